"""From the signal to the line in the log: when it is read, who takes it, what a mistake does."""

import io
import threading
import time

import msgspec
import pytest

from common.config.schema import Config
from common.errors import ConfigError
from common.log import Log
from common.reload import Reload


class Systemd:
    """What is told to systemd."""

    def __init__(self):
        self.told = []

    def send(self, *lines):
        self.told.append(lines[0])


def config(**sink):
    return msgspec.convert({"node": "rig", "sink": sink}, Config)


class Rig:
    def __init__(self):
        self.out, self.systemd = io.StringIO(), Systemd()
        self.file = config()
        self.reload = Reload("sink", config(), self.read, self.systemd, Log("sink", self.out))
        self.taken = []
        self.reload.add(lambda found: self.taken.append(found.sink.commit_s))

    def read(self):
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def again(self, file):
        """SIGHUP with this in the files, until it is done."""
        self.file = file
        told = self.systemd.told.count("READY=1")
        self.reload.ask()
        until = time.monotonic() + 30
        while self.systemd.told.count("READY=1") == told:
            self.reload.look()
            assert time.monotonic() < until
            time.sleep(0.001)
        return self.lines()

    def lines(self):
        found = self.out.getvalue().splitlines()
        self.out.truncate(0)
        self.out.seek(0)
        return found


@pytest.fixture
def rig():
    return Rig()


def test_what_can_change_is_taken_and_told_to_systemd(rig):
    assert rig.again(config(commit_s=2.0)) == ["sink: configuration read anew: sink.commit_s"]
    assert rig.taken == [2.0]
    assert rig.reload.config.sink.commit_s == 2.0
    assert rig.systemd.told == ["RELOADING=1", "READY=1"]


def test_without_a_signal_nothing_is_read(rig):
    rig.file = ConfigError("must not be read")
    for _ in range(100):
        rig.reload.look()
    assert (rig.lines(), rig.systemd.told) == ([], [])


def test_what_needs_a_restart_is_one_line_each_time(rig):
    changed = config(commit_s=2.0, synchronous="extra")
    assert rig.again(changed)[1:] == ["sink: needs a restart: sink.synchronous  [warning]"]
    assert rig.again(changed) == [
        "sink: configuration read anew: nothing to take",
        "sink: needs a restart: sink.synchronous  [warning]",
    ]
    assert rig.reload.config.sink.synchronous == "full"


@pytest.mark.parametrize("fault", [ConfigError("f.toml:3: sink.x: unknown key"), ValueError("f.toml:3: a fault")])
def test_a_mistake_is_one_line_and_the_old_one_stays(rig, fault):
    (line,) = rig.again(fault)
    assert "f.toml:3" in line
    assert line.endswith("what runs goes on with the configuration that it has  [error]")
    assert (rig.taken, rig.reload.config) == ([], config())
    assert rig.again(config(commit_s=3.0)) == ["sink: configuration read anew: sink.commit_s"]


def test_who_refuses_is_asked_before_the_others(rig):
    def refuse(found):
        raise ConfigError("pump.pump.a.hz: too fast")

    rig.reload.add(refuse)
    (line,) = rig.again(config(commit_s=2.0))
    assert "too fast" in line
    assert (rig.taken, rig.reload.config) == ([], config())
    assert rig.systemd.told == ["RELOADING=1", "READY=1"]


def test_a_taker_that_fails_ends_nothing(rig):
    rig.reload.add(lambda found: 1 / 0)
    (line,) = rig.again(config(commit_s=2.0))
    assert "ZeroDivisionError" in line


def test_what_is_taken_must_fit_what_is_not(rig):
    """frame_ms is taken at once, rate_hz is not: together they must make sense until the restart."""
    sampled = {"node": "rig", "highspeed": {"frame_ms": 100, "rate_hz": 10}}
    old, new = (msgspec.convert({**sampled, "highspeed": h}, Config) for h in (sampled["highspeed"], {"frame_ms": 5}))
    out, systemd = io.StringIO(), Systemd()
    reload = Reload("highspeed", old, lambda: new, systemd, Log("highspeed", out))
    reload.ask()
    until = time.monotonic() + 30
    while "READY=1" not in systemd.told and time.monotonic() < until:
        reload.look()
    assert "holds less than one sample" in out.getvalue()
    assert reload.config == old


def test_it_is_read_beside_the_main_thread_and_signals_meanwhile_are_one_more_time(rig):
    gate, reads = threading.Event(), []

    def read():
        reads.append(threading.current_thread())
        assert gate.wait(30)
        return config(commit_s=2.0)

    reload = Reload("sink", config(), read, rig.systemd, Log("sink", rig.out))
    reload.ask()
    for _ in range(50):
        reload.look()  # does not wait
        reload.ask()
    gate.set()
    until = time.monotonic() + 30
    while rig.systemd.told.count("READY=1") < 2:
        reload.look()
        assert time.monotonic() < until
    for _ in range(100):
        reload.look()
    assert len(reads) == 2
    assert threading.main_thread() not in reads
