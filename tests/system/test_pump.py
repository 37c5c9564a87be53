"""Pumps from the command line to the store: intent, motion, outcome; the simulated motor's own count is the witness."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgpack
import pytest
import zmq

from common.config.schema import PumpConfig, PumpLines
from common.drivers import open_stepper
from common.drivers.sim_motor import PREFIX, read

ROOT = Path(__file__).parents[2]
PUMPS = """
[pump]
cpu = "none"
[[pump.pump]]
name = "water"
step = 16
dir = 6
en = 17
steps_per_ml = 1000.0
max_ml = 1000.0
[[pump.pump]]
name = "food"
step = 27
dir = 22
en = 24
"""


@pytest.fixture
def rig(make_rig):
    rig = make_rig(PUMPS)
    rig.start("bus", "sink", "pump")
    rig.ready("bus", "sink")
    ready(rig)
    return rig


def ready(rig):
    rig.ready("pump")
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")


def motor(rig, pump="water"):
    return read(rig.run / f"{PREFIX}{pump}")


def pump(rig, *words, code=0):
    done = rig.command("pump", *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def run_of(rig, *words, code=0):
    """The one run of a motion command's JSON answer."""
    (run,) = json.loads(pump(rig, *words, "--json", code=code).stdout)["runs"]
    return run


class Client:
    """A script of somebody's: zmq and msgpack."""

    def __init__(self, rig):
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"ipc://{rig.run / 'pump.ctl.sock'}")

    def send(self, request):
        self.socket.send(request if isinstance(request, bytes) else msgpack.packb(request))

    def reply(self):
        assert self.socket.poll(20_000)
        return msgpack.unpackb(self.socket.recv())

    def ask(self, **request):
        self.send(request)
        return self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self._context.term()


def account(rig):
    rig.end()
    found = rig.audit("--deep")
    assert (found.code, found.sum("pending"), found.sum("lost")) == (0, 0, 0), found.document


def events(rig, *, of="water"):
    rows = rig.rows(
        "SELECT event, action, steps, reason, command_id, ml FROM pump_events WHERE pump = ? ORDER BY t_ns, id", of
    )
    return [tuple(row) for row in rows]


def stored(rig, count, of="water"):
    rig.until(lambda: len(events(rig, of=of)) >= count, f"{count} pump events")
    return events(rig, of=of)


def test_a_volume_and_a_time_leave_intent_and_outcome_with_the_motors_own_steps(rig):
    run = run_of(rig, "dispense", "water", "5")
    assert (run["state"], run["steps"], run["ml"]) == ("done", 5000, 5.0)
    assert "food: done" in pump(rig, "prime", "food", "500ms").stdout
    assert motor(rig).made == 5000
    assert not motor(rig).enabled
    food = motor(rig, "food").made
    assert food == 10_000 * (0.5 - 0.2)
    told = stored(rig, 3)
    assert [(row[0], row[1], row[2]) for row in told] == [(e, "dispense", 5000) for e in ("intent", "started", "done")]
    assert len({row[4] for row in told}) == 1
    assert [(row[0], row[2]) for row in stored(rig, 3, "food")] == [(e, food) for e in ("intent", "started", "done")]
    account(rig)


def test_several_pumps_and_the_other_way_round(rig):
    pump(rig, "prime", "food,water", "500ms", "--reverse", "--hz", "1000")
    for name in ("food", "water"):
        assert (motor(rig, name).steps, motor(rig, name).made) == (-300, 300)
        assert motor(rig, name).ml < 0


def test_a_command_id_moves_once_also_after_a_restart(rig):
    first = run_of(rig, "dispense", "water", "1", "--id", "dose-1")
    again = json.loads(pump(rig, "dispense", "water", "1", "--id", "dose-1", "--json").stdout)
    assert (again["repeated"], again["runs"]) == (True, [first])
    other = pump(rig, "dispense", "water", "2", "--id", "dose-1", code=1)
    assert "was used for another command" in other.stderr
    rig.stop("pump")
    rig.start("pump")
    ready(rig)
    assert run_of(rig, "dispense", "water", "1", "--id", "dose-1") == first
    assert motor(rig).made == 1000


def test_one_run_at_a_time_and_two_clients_at_once(rig):
    with Client(rig) as one, Client(rig) as two:
        for client, name in ((one, "a"), (two, "b")):
            client.send({"op": "prime", "command_id": name, "pump": "water", "seconds": 20})
        replies = [one.reply(), two.reply()]
        assert sorted(r["ok"] for r in replies) == [False, True]
        (no,) = [r for r in replies if not r["ok"]]
        assert no["error"] == "refused"
        assert no["detail"].startswith("busy: water is running")
        rig.until(lambda: motor(rig).made > 0, "it moves")  # stopped before, it would have no `started`
        assert one.ask(op="stop", pump="water")["stopped"] == ["water"]
        rig.until(lambda: rig.status("pump")["pumps"][0]["last"], "the run has ended")
    made = motor(rig).made
    last = rig.status("pump")["pumps"][0]["last"]
    assert (last["state"], last["reason"], last["steps"]) == ("stopped", "user", made)
    refused = [row for row in stored(rig, 4) if row[0] == "refused"]
    assert [row[3].partition(":")[0] for row in refused] == ["busy"]


def test_the_emergency_stop_is_on_the_disk_and_outlives_a_kill(rig):
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pumps=["water", "food"], seconds=10)["ok"]
        time.sleep(0.3)
        reply = client.ask(op="estop", reason="smoke")
        assert (reply["locked"], sorted(reply["stopped"]), reply["saved"]) == (True, ["food", "water"], True)
        assert (rig.data / "pump/estop").exists()
        assert not motor(rig).enabled
        rig.until(lambda: all(p["last"] for p in rig.status("pump")["pumps"]), "the outcomes are recorded")
        assert "smoke" in client.ask(op="dispense", command_id="q", pump="water", ml=1)["detail"]
    made = motor(rig).made
    stored(rig, 5)  # what a kill finds in the queue is lost, with an account of it: another test's matter
    rig.kill("pump")
    rig.start("pump")
    ready(rig)
    # the same command never runs later, and neither does a new one before somebody unlocks
    assert pump(rig, "dispense", "water", "1", code=1).stderr.startswith("rigbus: pump: locked: ")
    assert "nobody to ask" in pump(rig, "unlock", code=1).stderr
    pump(rig, "unlock", "--yes")
    assert "smoke" in pump(rig, "dispense", "water", "1", "--id", "q", code=1).stderr
    assert motor(rig).made == made
    assert run_of(rig, "dispense", "water", "1")["steps"] == 1000
    kinds = [row[0] for row in stored(rig, 10)]
    assert kinds.count("estop") == 1
    assert kinds.count("unlocked") == 1
    assert [row[3] for row in events(rig) if row[0] == "stopped"] == ["estop"]


def test_the_emergency_stop_works_on_a_daemon_that_hangs_or_is_gone(rig):
    rig.signal("pump", signal.SIGSTOP)
    assert "setting the latch in" in pump(rig, "estop", "--reason", "hangs").stderr
    rig.signal("pump", signal.SIGCONT)
    rig.until(lambda: rig.status("pump")["locked"], "the daemon sees the latch")
    pump(rig, "unlock", "--yes")
    rig.stop("pump")
    assert "not running" in pump(rig, "estop").stderr
    rig.start("pump")
    ready(rig)
    assert rig.status("pump")["locked"]


def test_stops_reach_the_motor_though_the_configuration_was_broken_meanwhile(rig):
    """Daemons go on with the old one: so there is something to stop."""
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pumps=["water", "food"], seconds=30)["ok"]
        conf_d = rig.config.parent / "conf.d"
        conf_d.mkdir(exist_ok=True)
        (conf_d / "bad.toml").write_text("[pulse]\nchanel = 1\n")
        (conf_d / "worse.toml").write_text("[pulse\n")
        assert pump(rig, "stop", "food").stdout == "stopped: food\n"
        done = pump(rig, "estop")
        assert "bad.toml:2: pulse.chanel" in done.stderr
        assert done.stdout == "locked; stopped: water\n"
        assert rig.command("ctl", "pump", "status").returncode == 0
    assert not motor(rig).enabled
    assert (rig.data / "pump/estop").exists()


def test_a_latch_that_cannot_be_read_locks(rig):
    rig.stop("pump")
    (rig.data / "pump/estop").write_bytes(b"\xff\x00")
    rig.start("pump")
    ready(rig)
    assert "locked: " in pump(rig, "prime", "water", "1s", code=1).stderr
    assert motor(rig).edges == 0


def test_sigterm_ends_a_run_and_records_it(rig):
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pump="water", seconds=30)["ok"]
        time.sleep(0.3)
        rig.stop("pump")
    assert not motor(rig).enabled
    assert [(row[0], row[3]) for row in stored(rig, 3)][2] == ("stopped", "sigterm")
    assert events(rig)[2][2] == motor(rig).made
    account(rig)


def test_whoever_asked_may_go_and_the_run_ends_at_its_bound(rig):
    with Client(rig) as client:
        client.send({"op": "prime", "command_id": "p", "pump": "water", "seconds": 1})
        rig.until(lambda: motor(rig).made > 0, "it moves")
    rig.kill("bus")  # and without a bus
    rig.until(lambda: rig.status("pump")["pumps"][0]["last"], "it has ended")
    last = rig.status("pump")["pumps"][0]["last"]
    assert (last["state"], last["steps"]) == ("done", 8000)
    assert motor(rig).made == 8000
    rig.start("bus")
    assert [row[0] for row in stored(rig, 3)] == ["intent", "started", "done"]


def test_ctrl_c_stops_the_pump_and_waits_for_the_outcome(rig):
    command = [sys.executable, "-m", "common.cli.main", "pump", "prime", "water", "30s", "--json", *rig.options]
    process = subprocess.Popen(
        command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background have it ignored
    )  # fmt: skip
    rig.until(lambda: motor(rig).made > 500, "it moves")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    (run,) = json.loads(out)["runs"]
    assert (run["state"], run["reason"], run["steps"]) == ("stopped", "user", motor(rig).made)


def test_limits_hold_before_a_run_and_over_the_day(make_rig):
    day = PUMPS.replace("max_ml = 1000.0", "max_ml = 1.5\nmax_ml_day = 2.0")
    rig = make_rig(day)
    rig.start("pump")
    ready(rig)
    assert "over max_ml = 1.5" in pump(rig, "dispense", "water", "1.6", code=1).stderr
    run_of(rig, "dispense", "water", "1.5")
    rig.kill("pump")
    rig.start("pump")
    ready(rig)
    assert "0.5 left of max_ml_day" in pump(rig, "dispense", "water", "1", code=1).stderr
    run_of(rig, "dispense", "water", "0.5")
    assert motor(rig).made == 2000


def test_a_calibration_comes_from_a_measured_run_and_stays(rig):
    assert "3000 steps/mL, driver sim" in pump(rig, "calibrate", "food").stdout
    run = run_of(rig, "prime", "food", "1s")
    delivered = motor(rig, "food").ml
    pump(rig, "calibrate", "food", f"{delivered:.6f}", "--run", run["command_id"])
    rig.stop("pump")
    rig.start("pump")
    ready(rig)
    before = motor(rig, "food").ml
    run_of(rig, "dispense", "food", "2")
    assert motor(rig, "food").ml - before == pytest.approx(2, rel=0.02)
    assert [row[0] for row in stored(rig, 7, "food")].count("calibrated") == 1


def test_an_absurd_calibration_is_refused_and_changes_nothing(rig):
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pump="water", seconds=0.5)["ok"]
        rig.until(lambda: rig.status("pump")["pumps"][0]["last"], "it has ended")
        before = client.ask(op="calibrate", pump="water")
        for ml in (0, -1, float("nan"), float("inf"), 1e-6, 1e5, "5", [1], True):
            reply = client.ask(op="calibrate", pump="water", ml=ml)
            assert reply["error"] in ("malformed", "refused"), ml
            assert "\n" not in reply["detail"]
        assert client.ask(op="calibrate", pump="water", ml=1, run="nobody")["error"] == "refused"
        assert client.ask(op="calibrate", pump="water", ml=None) == before


def test_bad_requests_get_one_line_each_and_move_nothing(rig):
    good = {"op": "prime", "command_id": "x", "pump": "water", "seconds": 1}
    dose = {"op": "dispense", "command_id": "x", "pump": "water", "ml": 1}
    changes = [
        *({"seconds": value} for value in (0, -1, float("nan"), float("inf"), 1e300, "1", True, None, [1])),
        *({"command_id": value} for value in ("", "a b", "../x", "x" * 65, 7, None)),
        *({"hz": value} for value in (0, -5, float("nan"), float("inf"), 200_000, "fast")),
        *({"pump": value} for value in ("beer", "../x", "", None, 5, ["water"])),
        *({"direction": value} for value in ("sideways", 1, None)),
        {"pumps": ["food"]}, {"pumps": []}, {"pump": None, "pumps": ["food", "food"]}, {"pump": None, "pumps": "food"},
    ]  # fmt: skip
    bad = [good | change for change in changes]
    bad += [{k: v for k, v in good.items() if k != missing} for missing in ("command_id", "seconds", "pump")]
    bad += [dose | {"ml": value} for value in (0, -1, float("nan"), float("inf"), 1e-9, 1e9, "1")]
    bad += [{"op": "dispense", "command_id": "x", "pumps": ["water"], "ml": 1}, {"op": "dispense"}, {"op": "prime"}]
    bad += [{"op": "stop"}, {"op": "stop", "pump": "beer"}, {"op": "unlock", "confirm": True}, {"op": "unlock"}]
    bad += [{"op": "calibrate"}]
    with Client(rig) as client:
        for i, request in enumerate(bad):
            if request.get("command_id") == "x":
                request = request | {"command_id": f"x{i}"}
            reply = client.ask(**request)
            assert not reply["ok"], request
            assert reply["error"] in ("malformed", "refused"), request
            assert "\n" not in reply["detail"]
        client.send(b"\xc1" * 1000)
        assert client.reply()["error"] == "malformed"
    with Client(rig) as client:
        client.send(b"x" * 10_000_000)  # the socket does not take it; others are served all the same
    assert run_of(rig, "dispense", "water", "1")["steps"] == 1000
    assert (motor(rig).made, motor(rig, "food").made) == (1000, 0)


def test_a_malformed_motion_for_a_pump_of_ours_leaves_a_trace(rig):
    with Client(rig) as client:
        client.ask(op="prime", command_id="p", pump="water", seconds=-1)
    assert [(row[0], row[4]) for row in stored(rig, 1)] == [("refused", "p")]


@pytest.mark.parametrize("reason", [5, "x" * 1000, None])
def test_an_emergency_stop_is_not_refused_for_its_comment(rig, reason):
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pump="water", seconds=20)["ok"]
        reply = client.ask(op="estop", reason=reason)
        assert (reply["ok"], reply["locked"], reply["stopped"]) == (True, True, ["water"])


def test_a_latch_that_is_rubbish_locks_and_cuts_no_run_short_without_a_word(rig):
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pump="water", seconds=20)["ok"]
        (rig.data / "pump" / "estop").write_text("[" * 200_000)
        rig.until(lambda: rig.status("pump").get("locked"), "it is locked")
    # `estop` and `stopped` come from two threads, in any order
    rig.until(lambda: "stopped" in {row[0] for row in events(rig)}, "it was stopped, with a word")


def test_a_stop_is_answered_while_many_ask(rig):
    """Others' requests wait for the desk; a stop does not."""
    end = threading.Event()

    def pester(name):
        with Client(rig) as client:
            for i in range(10_000):
                if end.is_set():
                    return
                client.ask(op="dispense", command_id=f"{name}-{i}", pump="food", ml=5000)

    threads = [threading.Thread(target=pester, args=(name,)) for name in "ab"]
    with Client(rig) as client:
        assert client.ask(op="prime", command_id="p", pump="water", seconds=20)["ok"]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        asked = time.monotonic_ns()
        assert client.ask(op="estop")["stopped"] == ["water"]
        end.set()
        for thread in threads:
            thread.join()
    assert (motor(rig).times_ns[-1] - asked) / 1e9 < 1.0  # 5 × of what is promised


def test_a_motor_that_another_process_holds(make_rig):
    rig = make_rig(PUMPS)
    rig.run.mkdir()
    cfg = PumpConfig()
    with open_stepper(cfg, PumpLines(name="food", step=27, dir=22, en=24), rig.run):
        done = subprocess.run(
            [sys.executable, "-m", "daemons.pump", *rig.options], cwd=ROOT, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert "pump food: " in done.stderr


def test_a_second_daemon_does_not_get_the_motors(rig, make_rig):
    other = make_rig(PUMPS)
    other.run = rig.run  # the lines are the same, the data folder is another
    done = subprocess.run(
        [sys.executable, "-m", "daemons.pump", "--config", str(other.config), "--data", str(other.data),
         "--run-dir", str(other.run)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1  # the run folder's lock comes first
    assert len(done.stderr.splitlines()) == 1


def test_a_rate_above_the_drivers_is_a_configuration_error(make_rig):
    rig = make_rig(PUMPS.replace("steps_per_ml = 1000.0", "steps_per_ml = 1e9"))
    done = subprocess.run(
        [sys.executable, "-m", "daemons.pump", *rig.options], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "pump.pump.water.steps_per_ml" in done.stderr


def test_status_on_the_command_line(rig):
    assert "3000" in pump(rig, "status").stdout
    shown = json.loads(pump(rig, "status", "--json").stdout)
    assert [p["pump"] for p in shown["pumps"]] == ["water", "food"]
    assert shown["locked"] is False
    assert pump(rig, "stop-all").stdout == "nothing was running\n"
    assert json.loads(pump(rig, "stop", "water", "--json").stdout) == {"stopped": []}


@pytest.mark.root
def test_on_a_full_disk_nothing_moves_and_the_emergency_stop_holds(make_rig, small_disk):
    rig = make_rig(PUMPS)
    small_disk(rig.data, 8192)
    rig.start("pump")
    ready(rig)
    ballast = rig.data / "ballast"
    with ballast.open("wb", buffering=0) as f:
        for size in (65536, 1):  # to the last byte
            try:
                while f.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
    # what is in memory already may still take one; then the disk must say no
    refused = [rig.command("pump", "dispense", "water", "0.1").returncode for _ in range(5)]
    assert refused[-1] == 1
    made = motor(rig).made
    assert made == 100 * refused.count(0)
    assert json.loads(pump(rig, "estop", "--json").stdout) == {"locked": True, "stopped": [], "saved": True}
    rig.kill("pump")
    ballast.unlink()
    rig.start("pump")
    ready(rig)
    assert rig.status("pump")["locked"]
    pump(rig, "unlock", "--yes")
    assert run_of(rig, "dispense", "water", "1")["steps"] == 1000
    assert motor(rig).made == made + 1000
