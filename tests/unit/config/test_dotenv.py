"""`.env` with the meter-pulse seed's keys: environment beats `.env` beats the files; tokens never show themselves."""

import os
import tempfile
from pathlib import Path

import pytest

from common.config.dotenv import KEYS
from common.config.load import load
from common.errors import ConfigError
from common.secrets import Secret, Secrets


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "rigbus.toml"
    file.write_text('[sink.influx]\norg = "toml"\nraw_bucket = "toml_raw"\nurl = "http://toml:1"\n')
    return file


def test_the_order_is_environment_dotenv_files(config, tmp_path):
    (tmp_path / ".env").write_text('INFLUX_ORG="from dotenv"\nINFLUX_HOST=http://dotenv:8086\n# RAW_BUCKET=no\n')
    loaded = load(str(config), {"INFLUX_HOST": "http://environment:8086"})
    influx = loaded.config.sink.influx
    assert (influx.org, influx.url, influx.raw_bucket) == ("from dotenv", "http://environment:8086", "toml_raw")
    assert str(loaded.origins[("sink", "influx", "url")]) == "environment INFLUX_HOST"
    assert str(loaded.origins[("sink", "influx", "org")]) == f"{tmp_path / '.env'}: INFLUX_ORG"
    loaded = load(str(config), {"INFLUX_HOST": "http://x", "RIGBUS__SINK__INFLUX__URL": "http://last:1"})
    assert loaded.config.sink.influx.url == "http://last:1"


def test_every_key_of_the_seed_is_taken(config, tmp_path):
    (tmp_path / ".env").write_text("".join(f"{name}=12\n" for name in KEYS))
    found = load(str(config), {}).config.sink
    assert found.retention_days == 12.0
    influx = found.influx
    assert {influx.raw_bucket, influx.b1m_bucket, influx.b5m_bucket, influx.b1h_bucket, influx.measurement} == {"12"}


@pytest.mark.parametrize("text", ["-3", "0", "a week"])
def test_a_wrong_value_is_one_line_with_its_place(config, tmp_path, text):
    (tmp_path / ".env").write_text(f"TELEMETRY_RETENTION_DAYS={text}\n")
    with pytest.raises(ConfigError) as e:
        load(str(config), {})
    assert f"{tmp_path / '.env'}: TELEMETRY_RETENTION_DAYS: sink.retention_days: expected a number over 0" in str(
        e.value
    )
    assert "\n" not in str(e.value)


def test_an_empty_value_is_none(config, tmp_path):
    (tmp_path / ".env").write_text("INFLUX_ORG=\nRAW_BUCKET=  \n")
    influx = load(str(config), {"INFLUX_ORG": ""}).config.sink.influx
    assert (influx.org, influx.raw_bucket) == ("toml", "toml_raw")


def test_a_comment_may_be_in_any_encoding_and_hides_nothing(config, tmp_path):
    (tmp_path / ".env").write_bytes(b"# pi\xe8ce\nINFLUX_ORG=home\nRIGBUS_CONTROL_TOKEN=t\n")
    assert load(str(config), {}).config.sink.influx.org == "home"
    assert Secrets(tmp_path / ".env", {}).get("RIGBUS_CONTROL_TOKEN").reveal() == "t"


def test_a_value_that_is_no_text_is_refused_without_its_text(config, tmp_path):
    (tmp_path / ".env").write_bytes(b"INFLUX_ORG=home\nINFLUX_TOKEN=secret\xff\n")
    with pytest.raises(ConfigError, match="the value of INFLUX_TOKEN is not UTF-8") as e:
        load(str(config), {})
    assert f"{tmp_path / '.env'}:2" in str(e.value)
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    "text",
    ["RIGBUS_CONTROL_TOKEN=secret\n".encode("utf-16-le"), b"RIGBUS_CONTROL_TOKEN\xa0=secret\n"],
    ids=["UTF-16", "a space of Latin-1"],
)
def test_a_name_that_is_no_text_is_refused_too(config, tmp_path, text):
    """Else the gateway would go without its token."""
    (tmp_path / ".env").write_bytes(text)
    with pytest.raises(ConfigError, match="not NAME=value") as e:
        load(str(config), {})
    assert f"{tmp_path / '.env'}:1" in str(e.value)
    assert "secret" not in str(e.value).replace("\0", "")


def test_tokens_come_from_the_environment_then_credentials_then_dotenv(tmp_path):
    env, credentials = tmp_path / ".env", tmp_path / "cred"
    credentials.mkdir()
    secrets = Secrets(env, {})
    assert not secrets.get("INFLUX_WRITE_TOKEN", "INFLUX_TOKEN")
    env.write_text("INFLUX_WRITE_TOKEN=from-dotenv\nINFLUX_TOKEN=admin\n")
    assert secrets.get("INFLUX_WRITE_TOKEN", "INFLUX_TOKEN").reveal() == "from-dotenv"
    (credentials / "INFLUX_WRITE_TOKEN").write_text("from-systemd\n")
    with_systemd = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert Secrets(env, with_systemd).get("INFLUX_WRITE_TOKEN").reveal() == "from-systemd"
    both = {**with_systemd, "INFLUX_WRITE_TOKEN": "from-environment"}
    found = Secrets(env, both).get("INFLUX_WRITE_TOKEN")
    assert (found.reveal(), found.source) == ("from-environment", "the environment")


def test_a_dotenv_that_nobody_may_read_is_known(tmp_path, monkeypatch):
    env, given = tmp_path / ".env", tmp_path / "cred/env"
    given.parent.mkdir()
    service = {"CREDENTIALS_DIRECTORY": str(given.parent)}
    monkeypatch.setattr("common.secrets.os.access", lambda path, _: path == given and given.exists())
    assert Secrets(env, service).unread() is None
    env.touch()
    assert Secrets(env, {}).unread() == Secrets(env, service).unread() == env
    given.touch()
    assert Secrets(env, service).unread() is None


def test_the_dotenv_that_systemd_read_comes_before_the_one_beside_the_configuration(config, tmp_path):
    """A service may not read the latter, which is root's."""
    credentials = tmp_path / "cred"
    credentials.mkdir()
    (credentials / "env").write_text("INFLUX_TOKEN=from-credential\nINFLUX_ORG=credential\nRAW_BUCKET=\n")
    (tmp_path / ".env").write_text("INFLUX_TOKEN=from-dotenv\nINFLUX_ORG=dotenv\nRAW_BUCKET=dotenv_raw\n")
    service = {"CREDENTIALS_DIRECTORY": str(credentials)}
    found = Secrets(tmp_path / ".env", service).get("INFLUX_TOKEN")
    assert (found.reveal(), found.source) == ("from-credential", "systemd credentials (env)")
    (credentials / "INFLUX_TOKEN").write_text("from-its-own-file")
    assert Secrets(tmp_path / ".env", service).get("INFLUX_TOKEN").reveal() == "from-its-own-file"
    influx = load(str(config), service).config.sink.influx
    assert (influx.org, influx.raw_bucket) == ("credential", "dotenv_raw")
    assert load(str(config), {**service, "INFLUX_ORG": "environment"}).config.sink.influx.org == "environment"


def test_a_service_without_that_credential_has_the_dotenv_beside_the_configuration(config, tmp_path):
    (tmp_path / ".env").write_text("INFLUX_TOKEN=from-dotenv\nINFLUX_ORG=dotenv\n")
    service = {"CREDENTIALS_DIRECTORY": str(tmp_path / "cred")}
    assert Secrets(tmp_path / ".env", service).get("INFLUX_TOKEN").reveal() == "from-dotenv"
    assert load(str(config), service).config.sink.influx.org == "dotenv"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not look into it")
def test_a_folder_of_credentials_that_is_closed_is_as_none():
    """As systemd 252 shows it to an ExecCondition."""
    with tempfile.TemporaryDirectory() as folder:
        config, credentials = Path(folder, "rigbus.toml"), Path(folder, "credentials")
        config.write_text('[sink.influx]\norg = "toml"\n')
        credentials.mkdir()
        (credentials / "env").write_text("INFLUX_ORG=credential\n")
        service = {"CREDENTIALS_DIRECTORY": str(credentials)}
        assert load(str(config), service).config.sink.influx.org == "credential"
        credentials.chmod(0)
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            assert load(str(config), service).config.sink.influx.org == "toml"
        finally:
            os.seteuid(0)


def test_a_bad_line_in_systemds_dotenv_is_said_without_its_text(config, tmp_path):
    (tmp_path / "env").write_text('INFLUX_TOKEN="hunter2\n')
    with pytest.raises(ConfigError) as e:
        load(str(config), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert str(e.value).startswith(f"{tmp_path / 'env'}:1: not NAME=value")
    assert "hunter2" not in str(e.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not read it")
def test_a_dotenv_that_may_not_be_read_is_as_none():
    """As a daemon finds /etc/rigbus/.env, which is root's."""
    with tempfile.TemporaryDirectory() as folder:  # others could not go through pytest's own
        config, env = Path(folder, "rigbus.toml"), Path(folder, ".env")
        config.write_text('[sink.influx]\norg = "toml"\n')
        env.write_text("INFLUX_TOKEN=hunter2\nINFLUX_ORG=dotenv\n")
        assert load(str(config), {}).config.sink.influx.org == "dotenv"  # and imports what nobody else may read here
        env.chmod(0o600)
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            assert not Secrets(env, {}).get("INFLUX_TOKEN")
            assert load(str(config), {}).config.sink.influx.org == "toml"
        finally:
            os.seteuid(0)


def test_a_token_is_found_when_it_is_mended(tmp_path):
    secrets = Secrets(tmp_path / ".env", {})
    assert not secrets.get("INFLUX_TOKEN")
    (tmp_path / ".env").write_text("INFLUX_TOKEN=new\n")
    assert secrets.get("INFLUX_TOKEN").reveal() == "new"


def test_a_token_does_not_show_itself():
    secret = Secret("hunter2", "the environment")
    assert "hunter2" not in f"{secret} {secret!r} {secret:>5} {[secret]} {vars(secret).keys()}"


def test_a_line_that_is_none_is_said_with_its_number_and_without_its_text(config, tmp_path):
    (tmp_path / ".env").write_text('INFLUX_ORG=rig\nINFLUX_TOKEN="hunter2\n')
    with pytest.raises(ConfigError) as e:
        load(str(config), {})
    assert str(e.value).startswith(f"{tmp_path / '.env'}:2: not NAME=value")
    assert "hunter2" not in str(e.value)
