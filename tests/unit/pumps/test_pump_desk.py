"""The desk with a runtime of the test's own: no motion before the intent is in the journal, and stops are obeyed."""

import threading
import time

import pytest

from common import drivers
from common.config.schema import PumpConfig, PumpLines
from common.drivers.sim_motor import PREFIX, read
from common.errors import RigbusError
from common.latch import Latch
from common.log import Log
from common.pumps.desk import Desk
from common.pumps.ops import Ops
from common.pumps.progress import Progress
from common.pumps.pump import Pump
from common.pumps.records import Records

CFG = PumpConfig(
    priority=0,
    pump=[
        PumpLines(name="water", step=16, dir=6, en=17, steps_per_ml=1000.0, ramp_s=0.01, max_ml=1e6),
        PumpLines(name="food", step=27, dir=22, en=24, legacy_presets=True, ramp_s=0.0),
    ],
)


class Runtime:
    """Publishes into a list, beside what the motors had made by then; `journal` decides what is committed."""

    def __init__(self, folder, log):
        self.folder, self.log = folder, log
        self.frames, self.ops, self.status = [], {}, ""
        self.journal = lambda frame: True

    def publish(self, frame):
        self.frames.append((frame, read(self.folder / f"{PREFIX}{frame.pump}").edges))
        return len(self.frames)

    def committed(self, seq, timeout_s=1.0):
        return self.journal(self.frames[seq - 1][0])

    def on(self, op, handler):
        self.ops[op] = handler

    def on_status(self, show):
        self.ops["status"] = lambda _: show()

    def say(self, status):
        self.status = status

    def events(self, pump="water"):
        return [f.event for f, _ in self.frames if f.pump == pump]


class Rig:
    def __init__(self, folder, stream):
        self.folder = folder
        self.rt = Runtime(folder, Log("pump", stream))
        self.latch = Latch(folder / "pump")
        steppers = {p.name: drivers.open_stepper(CFG, p, folder) for p in CFG.pump}
        self.pumps = {
            p.name: Pump(p, steppers[p.name], Progress(folder / f"progress-{p.name}"), 0, self.rt.log) for p in CFG.pump
        }
        self.records = Records(folder / "pump.db")
        self.desk = Desk(self.rt, CFG, self.pumps, self.records)
        self.ops = Ops(self.rt, CFG, self.pumps, self.desk, self.latch)
        self._end = threading.Event()
        self._main = threading.Thread(target=self._beat)
        self._main.start()

    def _beat(self):
        while not self._end.wait(0.02):
            self.ops.beat()

    def ask(self, op, **fields):
        found = self.rt.ops[op]({"op": op, **fields})
        return found.result(20) if hasattr(found, "result") else found

    def idle(self):
        deadline = time.monotonic() + 20
        while any(pump.job for pump in self.pumps.values()):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def edges(self, pump="water"):
        return read(self.folder / f"{PREFIX}{pump}").edges

    def close(self):
        self.ops.close("sigterm")
        self.desk.close(5)
        self._end.set()
        self._main.join()
        for pump in self.pumps.values():
            pump.close()
            pump.stepper.close()


@pytest.fixture
def rig(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        rig = Rig(tmp_path, stream)
        yield rig
        rig.close()


def test_the_intent_is_told_before_the_first_step_and_the_outcome_after_the_last(rig):
    rig.ask("dispense", command_id="a", pump="water", ml=0.5)
    rig.idle()
    assert [(f.event, edges) for f, edges in rig.rt.frames] == [("intent", 0), ("started", 0), ("done", 500)]
    intent, _, done = [f for f, _ in rig.rt.frames]
    assert (intent.steps, intent.ml, done.steps, done.ml) == (500, 0.5, 500, 0.5)


def test_a_status_knows_of_all_that_was_answered_before_it(rig):
    rig.ops.beat = lambda: None  # whatever the main thread does meanwhile
    rig.ask("prime", command_id="a", pump="water", seconds=10)
    assert [pump["run"] and pump["run"]["command_id"] for pump in rig.ask("status")["pumps"]] == ["a", None]
    rig.ask("estop", reason="smoke")
    assert (rig.ask("status")["locked"], rig.ask("status")["locked_by"]) == (True, "smoke")
    rig.ask("unlock", confirm="unlock")
    assert (rig.ask("status")["locked"], rig.ask("status")["locked_by"]) == (False, "")
    rig.idle()


def test_the_record_holds_the_intent_before_the_journal_is_asked(rig):
    seen = []

    def look(frame):
        seen.append([(r.command_id, r.state) for r in rig.records.find("a")])
        return True

    rig.rt.journal = look
    rig.ask("dispense", command_id="a", pump="water", ml=0.5)
    rig.idle()
    assert seen[0] == [("a", "intent")]


def test_a_journal_that_does_not_take_the_intent_refuses_the_run(rig):
    rig.rt.journal = lambda frame: frame.event != "intent"
    with pytest.raises(RigbusError, match=r"^record: the journal"):
        rig.ask("prime", command_id="a", pumps=["food", "water"], seconds=1)
    time.sleep(0.2)
    assert (rig.edges(), rig.edges("food")) == (0, 0)
    assert rig.rt.events() == ["intent", "refused"]
    rig.rt.journal = lambda frame: True
    with pytest.raises(RigbusError, match=r"^record: "):  # the same id stays refused
        rig.ask("prime", command_id="a", pumps=["food", "water"], seconds=1)
    rig.ask("prime", command_id="b", pump="water", seconds=0.1)
    rig.idle()
    assert rig.edges() > 0


def test_a_record_that_cannot_be_written_refuses_the_run(rig, monkeypatch):
    def full(*_):
        raise RigbusError("record: pump.db: database or disk is full")

    monkeypatch.setattr(rig.records, "intend", full)
    with pytest.raises(RigbusError, match="disk is full"):
        rig.ask("prime", command_id="a", pump="water", seconds=1)
    assert rig.rt.events() == ["refused"]
    assert rig.edges() == 0


def test_an_outcome_that_cannot_be_written_is_tried_again_and_nothing_moves_before(rig, monkeypatch):
    end, broken = rig.records.end, [True]

    def sometimes(*args, **more):
        if broken[0]:
            raise RigbusError("record: pump.db: disk I/O error")
        return end(*args, **more)

    monkeypatch.setattr(rig.records, "end", sometimes)
    rig.ask("dispense", command_id="a", pump="water", ml=0.2)
    rig.idle()
    with pytest.raises(RigbusError, match=r"^record: the outcome of an earlier run"):
        rig.ask("dispense", command_id="b", pump="water", ml=0.2)
    assert "done" not in rig.rt.events()
    broken[0] = False
    deadline = time.monotonic() + 20
    while "done" not in rig.rt.events():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rig.ask("dispense", command_id="c", pump="water", ml=0.2)
    rig.idle()
    assert rig.edges() == 400


@pytest.mark.parametrize("op", ["stop", "stop_all", "estop"])
def test_a_stop_that_comes_while_the_intent_is_recorded_keeps_it_from_beginning(rig, op):
    fields = {"pump": "water"} if op == "stop" else {}

    def stop_meanwhile(frame):
        if frame.event == "intent":
            assert rig.ask(op, **fields)["stopped"] == ["water"]
        return True

    rig.rt.journal = stop_meanwhile
    with pytest.raises(RigbusError, match=r"^locked: " if op == "estop" else r"^stopped: "):
        rig.ask("prime", command_id="a", pump="water", seconds=1)
    time.sleep(0.2)
    assert rig.edges() == 0
    assert rig.rt.events()[-1] == "refused"


def test_a_stop_is_answered_while_the_desk_waits_for_the_journal(rig):
    waiting, go_on = threading.Event(), threading.Event()

    def slow(frame):
        if frame.event == "intent" and frame.pump == "food":
            waiting.set()
            assert go_on.wait(20)
        return True

    rig.ask("prime", command_id="a", pump="water", seconds=20)
    rig.rt.journal = slow
    future = rig.rt.ops["prime"]({"command_id": "b", "pump": "food", "seconds": 1})
    assert waiting.wait(20)
    assert rig.ask("stop", pump="water")["stopped"] == ["water"]
    edges = rig.edges()
    assert not read(rig.folder / f"{PREFIX}water").enabled
    time.sleep(0.1)
    assert rig.edges() == edges
    go_on.set()
    assert future.result(20)["runs"][0]["pump"] == "food"


def test_more_requests_than_can_wait_are_refused(rig):
    go_on = threading.Event()
    rig.rt.journal = lambda frame: go_on.wait(20)
    futures = [rig.rt.ops["prime"]({"command_id": "a", "pump": "water", "seconds": 0.1})]

    def flood():
        for i in range(30):
            futures.append(rig.rt.ops["dispense"]({"command_id": f"b{i}", "pump": "water", "ml": 1}))  # noqa: PERF401

    with pytest.raises(RigbusError, match=r"^busy: too many"):
        flood()
    go_on.set()
    assert 15 <= len(futures) <= 18
    assert all(future.exception(20) is None or isinstance(future.exception(), RigbusError) for future in futures)


def test_everybody_gets_an_answer_when_the_daemon_ends(rig):
    go_on = threading.Event()
    rig.rt.journal = lambda frame: go_on.wait(20)
    futures = [rig.rt.ops["prime"]({"command_id": f"a{i}", "pump": "water", "seconds": 5}) for i in range(5)]
    rig.ops.close("sigterm")
    go_on.set()
    rig.desk.close(5)
    for future in futures:
        with pytest.raises(RigbusError, match=r"^(stopping|stopped): "):
            future.result(20)
    with pytest.raises(RigbusError, match=r"^stopping: "):
        rig.ask("prime", command_id="z", pump="water", seconds=5)
    assert rig.edges() == 0


def test_a_latch_that_cannot_be_written_locks_all_the_same(rig, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rig.latch, "set", full)
    rig.ask("prime", command_id="a", pump="water", seconds=10)
    reply = rig.ask("estop", reason="x")
    assert (reply["locked"], reply["saved"]) == (True, False)
    with pytest.raises(RigbusError, match=r"^locked: "):
        rig.ask("prime", command_id="b", pump="food", seconds=1)
    monkeypatch.undo()
    deadline = time.monotonic() + 20
    while not rig.latch.is_set():  # it is tried again
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_file_made_by_hand_is_an_emergency_stop(rig):
    rig.ask("prime", command_id="a", pump="water", seconds=20)
    rig.latch.path.touch()
    deadline = time.monotonic() + 20
    while rig.rt.status != "locked: emergency stop":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    rig.idle()
    assert rig.desk.outcomes.last["water"].reason == "estop"
    rig.ask("unlock", confirm="unlock")
    assert not rig.latch.is_set()


def test_old_presets_come_with_a_warning(rig):
    reply = rig.ask("dispense", command_id="a", pump="food", ml=0.3305785)
    assert "overdose" in reply["warning"]
    assert reply["runs"][0]["planned_steps"] == 1000
    rig.idle()
    assert "overdose" in (rig.folder / "log").read_text()


def test_nothing_begins_right_after_the_process_was_away(rig):
    rig.ops._alive -= 5
    time.sleep(0.1)
    with pytest.raises(RigbusError, match=r"^stalled: "):
        rig.ask("prime", command_id="a", pump="water", seconds=1)


def test_all_pumps_of_a_command_or_none(rig):
    rig.ask("prime", command_id="a", pump="food", seconds=20)
    with pytest.raises(RigbusError, match=r"^busy: food"):
        rig.ask("prime", command_id="b", pumps=["water", "food"], seconds=1)
    assert rig.edges() == 0
    rig.ask("stop_all")
    rig.idle()
    assert rig.rt.events("food")[-1] == "stopped"
