"""EN inactive after the daemon's end, whatever has become of the configuration since."""

from pathlib import Path
from typing import Any

import pytest

from common import drivers
from common.config.load import load
from common.errors import RigbusError
from common.log import Log
from common.pumps import release

PUMP = '[pump]\ndriver = "sim"\n[[pump.pump]]\nname = "water"\nstep = 16\ndir = 6\nen = 7\n'


class Killed(Exception):
    pass


class Recorder:
    """In place of a stepper: which EN lines were made inactive."""

    def __init__(self) -> None:
        self.released: list[int] = []
        self.broken: set[int] = set()

    def open(self, _: Any, pump: Any, __: Path) -> "Recorder":
        if pump.en in self.broken:
            raise OSError("held by another")
        self.released.append(pump.en)
        return self

    def close(self) -> None:
        pass


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(drivers, "open_stepper", recorder.open)
    return recorder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "rigbus.toml"
    file.write_text(PUMP)
    return file


def killed(config: Path) -> None:
    """A daemon took its lines, and could not give them back."""
    held = load(str(config)).config.pump
    assert held is not None
    with pytest.raises(Killed), release.holding(held, config.parent, Log("pump")):
        raise Killed


def run(config: Path) -> int:
    return release.main(["--config", str(config), "--run-dir", str(config.parent)])


@pytest.mark.parametrize(
    ("now", "released"),
    [
        (PUMP, [7]),
        (PUMP.replace("en = 7", "en = 8"), [8, 7]),
        (PUMP.replace("[pump]", "[pump]\nenabled = false"), [7]),
        ("", [7]),
        ("[pump\n", [7]),
    ],
    ids=["same", "moved", "disabled", "gone", "wrong"],
)
def test_the_lines_that_the_daemon_held_are_released(lines: Recorder, config: Path, now: str, released: list[int]):
    killed(config)
    config.write_text(now)
    assert run(config) == 0
    assert lines.released == released
    lines.released.clear()
    config.write_text("")
    run(config)
    assert lines.released == [], "they are told once"


def test_what_cannot_be_released_is_tried_again(lines: Recorder, config: Path):
    killed(config)
    config.write_text("")
    lines.broken.add(7)
    assert run(config) == 0
    lines.broken.clear()
    assert run(config) == 0
    assert lines.released == [7]


def test_a_start_that_cannot_release_what_another_held_leaves_it_to_the_next(lines: Recorder, config: Path):
    killed(config)
    config.write_text(PUMP.replace("en = 7", "en = 8"))
    cfg = load(str(config)).config.pump
    assert cfg is not None
    lines.broken.add(7)
    with release.holding(cfg, config.parent, Log("pump")):
        assert lines.released == []
    lines.broken.clear()
    with release.holding(cfg, config.parent, Log("pump")):
        assert lines.released == [7]
    assert not (config.parent / "pump.lines").exists()


def test_without_a_word_of_the_daemon_it_is_the_configuration(lines: Recorder, config: Path):
    (config.parent / "pump.lines").write_bytes(b"torn")
    assert run(config) == 0
    assert lines.released == [7]


@pytest.mark.parametrize(
    ("now", "released"), [(PUMP, []), (PUMP.replace("en = 7", "en = 8"), [7])], ids=["same", "moved"]
)
def test_a_start_releases_what_a_killed_one_held(lines: Recorder, config: Path, now: str, released: list[int]):
    killed(config)
    config.write_text(now)
    cfg = load(str(config)).config.pump
    assert cfg is not None
    with release.holding(cfg, config.parent, Log("pump")):
        assert lines.released == released
    assert not (config.parent / "pump.lines").exists(), "given back"


def test_a_start_that_cannot_note_its_lines_takes_none(config: Path, lines: Recorder):
    cfg = load(str(config)).config.pump
    assert cfg is not None
    (config.parent / "pump.new").mkdir()
    with pytest.raises(RigbusError, match=r"pump\.new"), release.holding(cfg, config.parent, Log("pump")):
        pytest.fail("it began")
