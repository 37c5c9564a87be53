"""Which file is the configuration, which files beside it count, and which folders follow from it."""

from pathlib import Path

import pytest

from common.config import locate
from common.config.schema import Config, Paths
from common.errors import ConfigError, UsageError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty machine: no /etc/rigbus, a current folder and a checkout without a configuration."""
    monkeypatch.setattr(locate, "SYSTEM_FILE", tmp_path / "etc/rigbus.toml")
    monkeypatch.setattr(locate, "CHECKOUT", tmp_path / "checkout")
    for folder in ("etc", "cwd/config", "checkout/config"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def test_the_order_of_the_search(places):
    with pytest.raises(ConfigError, match=r"^no configuration: neither --config nor RIGBUS_CONFIG, nor .*/etc/rigbus"):
        locate.find(None, {})
    for file in ("checkout/config/rigbus.toml", "cwd/config/rigbus.toml", "etc/rigbus.toml"):
        (places / file).touch()
        assert locate.find(None, {}).absolute() == places / file
    assert locate.find(None, {"RIGBUS_CONFIG": "/a.toml"}) == Path("/a.toml")
    assert locate.find("b.toml", {"RIGBUS_CONFIG": "/a.toml"}) == Path("b.toml")


def test_in_the_current_folder_the_name_stays_short(places):
    (places / "cwd/config/rigbus.toml").touch()
    assert str(locate.find(None, {})) == "config/rigbus.toml"


def test_an_empty_variable_names_nothing(places):
    (places / "etc/rigbus.toml").touch()
    assert locate.find(None, {"RIGBUS_CONFIG": ""}) == places / "etc/rigbus.toml"


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert locate.find("~/a.toml", {}) == Path("/home/me/a.toml")
    assert locate.find(None, {"RIGBUS_CONFIG": "~/a.toml"}) == Path("/home/me/a.toml")
    assert locate.find("~no-such-user/a.toml", {}) == Path("~no-such-user/a.toml")


def test_a_dangling_link_is_not_passed_over(places):
    (places / "cwd/config/rigbus.toml").touch()
    (places / "etc/rigbus.toml").symlink_to("gone")
    assert locate.find(None, {}) == places / "etc/rigbus.toml"


def test_a_folder_that_is_closed_is_not_passed_over(places, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", refuse)
    assert locate.find(None, {}) == places / "etc/rigbus.toml"


def test_conf_d_sorted_and_without_what_is_no_configuration(tmp_path):
    assert locate.conf_d(tmp_path / "r.toml") == []
    (tmp_path / "conf.d").mkdir()
    for name in ("b.toml", "10.toml", "a.toml", "9.toml", ".hidden.toml", "c.toml.example", "readme"):
        (tmp_path / "conf.d" / name).touch()
    assert [file.name for file in locate.conf_d(tmp_path / "r.toml")] == ["10.toml", "9.toml", "a.toml", "b.toml"]


def test_a_conf_d_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(ConfigError, match=r"/conf\.d: cannot be read: Permission denied$"):
        locate.conf_d(tmp_path / "r.toml")
    with pytest.raises(ConfigError, match=r"/conf\.d: cannot be read: Permission denied: it is for root \(sudo\)"):
        locate.conf_d(locate.SYSTEM_FILE)


def config(data="", run=""):
    return Config(paths=Paths(data=data, run=run))


@pytest.mark.parametrize(
    ("main", "data", "run"),
    [
        ("/etc/rigbus/rigbus.toml", "/var/lib/rigbus", "/run/rigbus"),
        ("/etc/rigbus/other/x.toml", "/var/lib/rigbus", "/run/rigbus"),
        ("/etc/rigbus/config/rigbus.toml", "/var/lib/rigbus", "/run/rigbus"),
        ("/etc/rigbus2/x.toml", "/etc/rigbus2/var/data", "/etc/rigbus2/var/run"),
        ("/src/config/rigbus.toml", "/src/var/data", "/src/var/run"),
        ("/src/config/other.toml", "/src/config/var/data", "/src/config/var/run"),
        ("/src/rigbus.toml", "/src/var/data", "/src/var/run"),
    ],
)
def test_the_folders_follow_the_file(main, data, run):
    assert locate.resolve_paths(config(), Path(main)) == (Path(data), Path(run))


def test_a_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate.resolve_paths(config(), Path("config/rigbus.toml"), run_dir="/r").data == tmp_path / "var/data"
    assert locate.resolve_paths(config(), Path("x.toml"), run_dir="/r").data == tmp_path / "var/data"


def test_the_command_line_beats_the_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    main = Path("/src/config/rigbus.toml")
    configured = config(data="~/data", run="run/../r")
    assert locate.resolve_paths(configured, main) == (Path("/home/me/data"), Path("/src/r"))
    assert locate.resolve_paths(configured, main, data="d", run_dir="~/x") == (tmp_path / "d", Path("/home/me/x"))


def test_folders_are_found_though_the_configuration_is_wrong(tmp_path):
    (tmp_path / "conf.d").mkdir()
    main = tmp_path / "rigbus.toml"
    main.write_text('[paths]\ndata = "d"\nrun = "r"\n[pulse]\nchanel = 1\n')
    (tmp_path / "conf.d/a.toml").write_text('[paths]\nrun = "s"\nmore = 5\n')
    (tmp_path / "conf.d/b.toml").write_text("[paths\n")
    (tmp_path / "conf.d/c.toml").write_bytes(b"\xff")
    found = locate.folders_at_any_rate(str(main), {}, None, None)
    assert found == (tmp_path / "d", tmp_path / "s")
    there = {"RIGBUS_CONFIG": str(main), "RIGBUS__PATHS__DATA": "/e"}
    assert locate.folders_at_any_rate(None, there, None, "/x") == (Path("/e"), Path("/x"))


def test_a_relative_folder_in_the_system_configuration():
    folders = locate.resolve_paths(config(data="srv/rig"), Path("/etc/rigbus/rigbus.toml"))
    assert folders.data == Path("/srv/rig")


def test_a_run_folder_too_long_for_sockets():
    room = 107 - len("/thermostat.ctl.sock")
    fits, main = "/" + "r" * (room - 1), Path("/src/x.toml")
    assert locate.resolve_paths(config(), main, run_dir=fits).run == Path(fits)
    for long in (fits + "r", "/r" + "ä" * ((room - 1) // 2)):  # bytes count, not letters
        with pytest.raises(
            UsageError, match=r"too long for a run folder: .* paths of 108 bytes, and 107 are allowed"
        ) as caught:
            locate.resolve_paths(config(), main, run_dir=long)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
