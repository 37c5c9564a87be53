"""`rigbus run` without a terminal: it starts, records, restarts what dies, stops within its bound, leaves nothing."""

import os
import signal
import time
from typing import Any

import pytest
from rig import Listener, MakeRig, Rig

STOP_S = 5.0 * 5  # the contract says 5 s; only margins of five are asserted
# Type → the fields of wire.md that have it, of all frames and of each kind; bytes arrive from listener.py as a count.
Fields = dict[Any, str]
COMMON: Fields = {str: "k node src run", int: "v seq tseq t mono"}
KINDS: dict[str, Fields] = {
    "pulse": {str: "channel time_source", list: "edges", int: "total filtered"},
    "samples": {str: "sensor unit dtype", float: "rate_hz nominal_hz scale", list: "axes", int: "n values dt_ns"},
    "loss": {str: "stream unit cause detail", int | None: "count", int: "from_t to_t"},
    "health": {
        str: "boot_id journal_id ctl",
        int: "last_seq pid rss_bytes missed_ticks",
        bool: "closed",
        float: "cpu_pct",
        dict: "rates lateness_us journal",
    },
}


def pids(rig: Rig) -> dict[str, int]:
    """Living daemons of `rigbus run`, by name."""
    found = {}
    for process in rig.descendants():
        module = next((arg for arg in process.cmdline() if arg.startswith("daemons.")), None)
        if module is not None:
            found[module.removeprefix("daemons.")] = process.pid
    return found


def recording(rig: Rig) -> None:
    """Until every source has rows."""
    query = "SELECT count(DISTINCT src) FROM streams WHERE stored > 0"
    rig.until(lambda: rig.rows(query) == [(2,)], "pulse and highspeed are stored")


def test_runs_for_a_time_and_ends_by_itself(rig: Rig) -> None:
    rig.start("run", args=("--for", "15"))
    assert rig.processes["run"].wait(60) == 0, rig.tail()
    assert rig.descendants() == []
    rig.check()
    assert rig.audit().sum("stored") > 50
    for table in ("pulses", "sample_chunks", "health", "streams"):
        assert rig.rows(f"SELECT count(*) FROM {table}")[0][0] > 0, table


def test_a_stranger_reads_every_kind(rig: Rig, listener: Listener) -> None:
    rig.start("run")
    recording(rig)
    # kept from running for longer than the sensor's FIFO holds, the sampler misses samples and says so
    pid = pids(rig)["highspeed"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(pid, signal.SIGCONT)
    rig.until(lambda: {frame["k"] for _, frame in listener.frames()} >= set(KINDS), "every kind was heard")
    rig.stop("run")
    for topic, frame in listener.frames():
        kind = frame["k"]
        assert topic.startswith(f"{kind}/"), topic
        assert topic.endswith("/"), topic
        assert topic.count("/") == 2, topic
        for type_, names in [*COMMON.items(), *KINDS[kind].items()]:
            assert all(isinstance(frame[name], type_) for name in names.split()), (type_, frame)
        assert (frame["seq"] == 0) == (kind == "health"), frame
    samples = [frame for _, frame in listener.frames() if frame["k"] == "samples"]
    assert all(frame["values"] == frame["n"] * len(frame["axes"]) * 2 for frame in samples)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all(rig: Rig, number: signal.Signals) -> None:
    rig.start("run")
    recording(rig)
    begin = time.monotonic()
    rig.signal("run", number)
    assert rig.processes["run"].wait(60) == 0, rig.tail()
    assert time.monotonic() - begin < STOP_S
    assert rig.descendants() == []
    rig.check()


def test_a_second_one_is_refused_and_a_killed_daemon_comes_back(rig: Rig) -> None:
    rig.start("run")
    recording(rig)
    second = rig.command("run", "--for", "1")
    assert second.returncode == 1
    assert len(second.stderr.splitlines()) == 1, second.stderr
    before = pids(rig)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    rig.until(lambda: set(pids(rig)) == set(before), "all daemons are back")
    assert not set(pids(rig).values()) & set(before.values())
    query = "SELECT count(*) FROM streams WHERE stored > 0"
    rig.until(lambda: rig.rows(query)[0][0] >= 4, "the new runs are stored")
    rig.stop("run")
    rig.check()


def test_killed_itself_it_leaves_no_daemon(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.start("run")
    recording(rig)
    rig.kill("run")
    rig.until(lambda: rig.descendants() == [], "the daemons have ended")
    rig.start("run", args=("--for", "2"))
    assert rig.processes["run"].wait(60) == 0, rig.tail()
    rig.check()
