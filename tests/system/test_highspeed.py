"""The vibration daemon as a process: commands by its ctl socket, and what they leave in the store."""

import os
import signal
import time

import pytest
from rig import Rig

from common import ctl
from common.errors import RigbusError
from common.paths import Folders

STOP_S = 5.0  # an end takes well under a second


def ask(rig: Rig, op: str):
    return ctl.request(Folders(rig.data, rig.run), "highspeed", op, timeout_s=20.0)


def taken(rig: Rig) -> int:
    """Samples in the store."""
    return rig.rows("SELECT coalesce(sum(n), 0) FROM sample_chunks")[0][0]


def standing(rig: Rig) -> int:
    """The samples in the store, once no more come."""
    before = -1
    while (now := taken(rig)) != before:
        before = now
        time.sleep(2.0)  # ten times commit_s: a commit may be late
    return now


@pytest.fixture
def running(rig: Rig) -> Rig:
    rig.start("bus", "sink", "highspeed")
    rig.ready("bus", "sink", "highspeed")
    rig.until(lambda: taken(rig) > 100, "samples are stored")
    return rig


def finish(rig: Rig) -> None:
    rig.end()
    rig.check()


@pytest.mark.parametrize("mode", ["fifo", "polled"])
def test_the_fitted_rate_is_published_beside_the_nominal_one(make_rig, mode):
    rig = make_rig(f'[highspeed]\nmode = "{mode}"')
    rig.start("bus", "sink", "highspeed")
    rig.until(lambda: taken(rig) > 800, "samples are stored")
    finish(rig)
    rate = rig.rows("SELECT rate_hz FROM sample_chunks ORDER BY id DESC LIMIT 1")[0][0]
    # the simulated chip's clock is off by 1 %; polled, the host's clock decides
    assert rate == pytest.approx(202.0 if mode == "fifo" else 200.0, rel=2e-3)


@pytest.mark.parametrize(("op", "back", "state"), [("pause", "resume", "paused"), ("stop", "start", "stopped")])
def test_time_without_samples_by_command_is_accounted_for(running, op, back, state):
    rig = running
    assert ask(rig, op)["state"] == state
    status = rig.status("highspeed")
    assert (status["state"], status["health"]["status"]) == (state, state)
    assert status["rate_hz"] == pytest.approx(200, rel=0.05)
    assert ask(rig, op)["state"] == state  # again: it is so already
    before = standing(rig)
    time.sleep(1.0)
    assert taken(rig) == before
    assert ask(rig, back)["state"] == "running"
    rig.until(lambda: taken(rig) > before + 100, "samples come again")
    assert rig.status("highspeed")["state"] == "running"
    finish(rig)
    ((stream, unit, count, _),) = rig.ledger(state)
    assert (stream, unit) == ("samples/vibration/", "sample")
    ((from_ns, to_ns),) = rig.rows("SELECT from_t_ns, to_t_ns FROM ledger WHERE cause = ?", state)
    assert to_ns - from_ns > 1e9
    assert count == pytest.approx((to_ns - from_ns) / 1e9 * 202, abs=5, rel=0.02)
    assert rig.rows("SELECT count(*) FROM sample_chunks WHERE t_ns > ? AND t_ns < ?", from_ns, to_ns - 10**7) == [(0,)]


def test_a_pause_may_end_in_a_stop_and_a_stop_in_the_end_of_the_daemon(running):
    rig = running
    assert ask(rig, "pause")["state"] == "paused"
    time.sleep(0.3)
    assert ask(rig, "stop")["state"] == "stopped"
    time.sleep(0.3)
    begin = time.monotonic()
    rig.stop("highspeed")
    assert time.monotonic() - begin < STOP_S
    finish(rig)
    assert [count > 0 for _, _, count, _ in rig.ledger("paused") + rig.ledger("stopped")] == [True, True]


def test_what_makes_no_sense_is_refused(running):
    assert ask(running, "stop")["state"] == "stopped"
    for op in ("pause", "resume"):
        with pytest.raises(RigbusError, match=f"cannot {op}: stopped"):
            ask(running, op)
    assert ask(running, "start")["state"] == "running"
    finish(running)


def test_many_commands_are_obeyed_one_after_the_other(running):
    rig = running
    for _ in range(10):
        for op in ("pause", "resume", "stop", "start"):
            ask(rig, op)
    before = taken(rig)
    rig.until(lambda: taken(rig) > before + 50, "samples come again")
    finish(rig)


def test_kept_from_running_for_longer_than_the_fifo_holds(running):
    rig = running
    pid = rig.processes["highspeed"].pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.0)
    os.kill(pid, signal.SIGCONT)
    rig.until(lambda: rig.ledger("fifo_overflow"), "the overflow is in the ledger")
    finish(rig)
    ((_, _, count, _), *_) = rig.ledger("fifo_overflow")
    assert count > 150
    assert not rig.ledger("late")


def test_what_a_killed_run_may_not_have_told_is_marked_and_after_a_stop_only_the_time_between(running):
    """A sum of losses that waited for its row dies with the daemon: no row must look as if there were none."""
    rig = running
    rig.kill("highspeed")
    for end in (True, False):
        before = taken(rig)
        rig.start("highspeed")
        rig.until(lambda before=before: taken(rig) > before + 200, "samples are stored")
        if end:
            rig.stop("highspeed")
    finish(rig)
    (killed, _), (stopped, _) = rig.rows(
        "SELECT from_t_ns, to_t_ns FROM ledger WHERE cause = 'down' AND unit = 'sample' ORDER BY to_t_ns"
    )
    begins = [row[0] for row in rig.rows("SELECT min(t_ns) FROM sample_chunks GROUP BY stream_id ORDER BY 1")]
    assert killed <= begins[0]
    assert stopped > begins[1]


def test_a_chip_that_is_not_there_ends_the_daemon_in_one_line(make_rig):
    rig = make_rig('[highspeed]\ndriver = "mpu6050"\nbus = 243')
    rig.start("highspeed")
    assert rig.processes.pop("highspeed").wait(40) == 69
    lines = [line for line in rig.log("highspeed").read_text().splitlines() if "i2c" in line]
    assert len(lines) == 1
    assert "/dev/i2c-243: not there" in lines[0]
