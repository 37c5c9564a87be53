"""A configuration of a few files, and what it is refused for."""

import pytest

from common.config.load import load
from common.errors import ConfigError


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """Write files in an empty folder that is the current one, and load `rigbus.toml` with an environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf.d").mkdir()

    def loaded(text, *more, **environ):
        write("rigbus.toml", text)
        for count, extra in enumerate(more):
            write(f"conf.d/{count}.toml", extra)
        return load("rigbus.toml", {f"RIGBUS__{key}": value for key, value in environ.items()})

    def write(name, text):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return loaded


@pytest.fixture
def error(rig):
    """The one line that a configuration is refused with."""

    def message(*args, **environ):
        with pytest.raises(ConfigError) as caught:
            rig(*args, **environ)
        assert caught.value.exit_code == 78
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message
