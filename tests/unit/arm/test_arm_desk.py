"""The desk: what is recorded, sent or refused, in which order, and what a stop or a death in between makes of it."""

import json
import threading
from contextlib import contextmanager

import pytest

from common.arm.commands import check
from common.arm.desk import OPS, Desk
from common.arm.ledger import Ledger
from common.arm.recorder import Recorder
from common.arm.tracker import Tracker
from common.config.schema import DdsConfig
from common.errors import RigbusError
from common.frames import ArmFeedback, Event
from common.latch import Latch
from common.log import Log

WAIT_S = 20.0
MOVE = {"joint": 1, "angle": -70.0, "command_id": "m"}


class Rig:
    """A runtime and a bridge that write down what happens, in order."""

    def __init__(self, folder, **cfg):
        self.folder, self.log = folder, Log("dds")
        self.happened, self.handlers, self.frames = [], {}, []
        self.recorded, self.listeners, self.fault = True, 1, None
        self.gate = threading.Event()
        self.gate.set()
        self.cfg = DdsConfig(**{"allow_motion": True, **cfg})
        lock = threading.RLock()
        self.ledger, self.latch = Ledger(folder / "commands.jsonl"), Latch(folder)
        self.tracker = Tracker(1.0, range(6))
        self.recorder = Recorder(self, self.ledger, self.tracker, lock)
        self.desk = Desk(self, self.cfg, self, self.ledger, self.tracker, self.recorder, self.latch, lock)

    # ---- a runtime

    def on(self, op, handler):
        self.handlers[op] = handler

    def publish(self, frame):
        self.frames.append(frame)
        self.happened.append(frame.event_type if isinstance(frame, Event) else type(frame).__name__)
        return len(self.frames)

    def committed(self, seq, timeout_s):
        self.happened.append("committed")
        self.gate.wait(WAIT_S)
        return self.recorded

    # ---- a bridge

    def write(self, text):
        assert b'"intent"' in (self.folder / "commands.jsonl").read_bytes()
        self.happened.append("written")
        if self.fault:
            raise self.fault

    # ---- a client

    def ask(self, op, **fields):
        found = self.handlers[op]({"op": op, "id": 1, **fields})
        return found if isinstance(found, dict) else found.result(WAIT_S)

    def refused(self, op, **fields):
        with pytest.raises(RigbusError) as error:
            self.ask(op, **fields)
        return str(error.value)

    def events(self):
        return [(f.event_type, f.correlation_id) for f in self.frames if isinstance(f, Event)]


@contextmanager
def opened(folder, **cfg):
    rig = Rig(folder, **cfg)
    yield rig
    rig.gate.set()
    rig.desk.close()


@pytest.fixture
def rig(tmp_path):
    with opened(tmp_path) as rig:
        yield rig


def test_the_intent_is_recorded_before_the_command_leaves(rig):
    reply = rig.ask("joint", **MOVE, correlation_id="web")
    assert rig.happened == ["ArmCommand", "committed", "written"]
    assert (reply["state"], reply["correlation_id"], reply["repeated"]) == ("sent", "web", False)
    frame = rig.frames[0]
    assert (frame.correlation_id, frame.joint_id, frame.target_value, frame.arm_seq) == ("web", 1, -70.0, 1)


def test_the_same_id_again_sends_nothing(rig):
    first = rig.ask("joint", **MOVE)
    assert rig.ask("joint", **MOVE) == {**first, "repeated": True}
    assert rig.ask("command", command_id="m") == {**first, "repeated": True}
    assert rig.happened.count("written") == 1
    assert "another command" in rig.refused("zero", command_id="m")


def test_without_an_id_each_request_is_a_command_of_its_own(rig):
    ids = {rig.ask("zero")["command_id"] for _ in range(3)}
    assert (len(ids), rig.happened.count("written")) == (3, 3)


def test_what_the_journal_does_not_record_is_not_sent(rig):
    rig.recorded = False
    assert rig.refused("joint", **MOVE).startswith("not_sent: the journal")
    assert "written" not in rig.happened
    assert rig.events() == [("not_sent", "m")]
    rig.recorded = True
    assert rig.ask("joint", **MOVE)["state"] == "not_sent"  # the id is spent
    assert "written" not in rig.happened


def test_a_write_that_fails_is_not_known_and_not_tried_again(rig):
    rig.fault = RigbusError("DDS said no")
    assert rig.refused("joint", **MOVE) == "unknown: DDS said no"
    rig.fault = None
    assert rig.ask("joint", **MOVE)["state"] == "unknown"
    assert rig.happened.count("written") == 1


def test_a_daemon_that_died_in_between_says_so_once_and_sends_nothing(tmp_path):
    with opened(tmp_path) as rig:
        rig.ledger.intend("m", "web", check(1, {"id": 1, "angle": -70.0, "delay_ms": 0}), 1)
    with opened(tmp_path) as rig:
        assert rig.events() == [("unknown", "web")]
        assert rig.tracker.targets == {1: -70.0}
        assert rig.ask("joint", joint=1, angle=-70.0, command_id="m")["state"] == "unknown"
        assert "written" not in rig.happened
    with opened(tmp_path) as rig:
        assert rig.events() == []


@pytest.mark.parametrize("op", OPS)
def test_without_permission_or_an_arm_nothing_is_recorded(tmp_path, op):
    fields = {"send": {"funcode": 7}, "joint": {"joint": 1, "angle": 0}, "joints": {"angles": [0] * 7}}
    fields["power"] = {"on": True}
    with opened(tmp_path, allow_motion=False) as rig:
        assert "allow_motion" in rig.refused(op, **fields.get(op, {}))
    with opened(tmp_path) as rig:
        rig.listeners = 0
        assert "no arm listens" in rig.refused(op, **fields.get(op, {}))
        assert rig.happened == []
        assert rig.ledger.records() == []


def test_a_stop_while_a_command_is_being_recorded_keeps_it_back(rig):
    rig.gate.clear()
    waits = rig.handlers["joint"](MOVE)
    queued = rig.handlers["zero"]({"command_id": "z"})
    while "committed" not in rig.happened:
        pass
    assert rig.ask("estop", reason="smoke")["locked"]
    rig.ask("unlock", confirm="unlock")  # what was asked before the stop stays undone all the same
    rig.gate.set()
    for future in (waits, queued):
        with pytest.raises(RigbusError, match="emergency stop: smoke"):
            future.result(WAIT_S)
    assert "written" not in rig.happened
    assert rig.ask("zero", command_id="later")["state"] == "sent"


def test_a_stop_outlives_the_process_and_needs_the_word(tmp_path):
    with opened(tmp_path) as rig:
        assert rig.ask("estop", reason="smoke")["saved"]
        assert rig.ask("estop", reason="again")["locked"]
        assert rig.events() == [("estop", None)]
    with opened(tmp_path) as rig:
        assert (rig.desk.locked, rig.desk.reason) == (True, "smoke")
        assert rig.refused("zero") == "locked: emergency stop: smoke"
        assert "confirm" in rig.refused("unlock")
        assert "confirm" in rig.refused("unlock", confirm="yes")
        assert rig.ask("unlock", confirm="unlock") == {"locked": False}
        assert rig.ask("zero")["state"] == "sent"


def test_a_latch_that_somebody_else_sets_counts(rig):
    rig.folder.joinpath("estop").touch()
    rig.desk.look()
    assert rig.refused("zero").startswith("locked: emergency stop: ")


def test_a_stop_that_the_disk_does_not_take_holds_and_is_tried_again(rig, monkeypatch):
    def full(reason):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(rig.latch, "set", full)
        assert rig.ask("estop")["saved"] is False
        rig.desk.look()
        assert rig.refused("zero").startswith("locked")
    rig.desk.look()
    assert rig.ask("estop")["saved"] is True
    assert rig.latch.is_set()


def test_an_enable_needs_to_know_where_the_arm_stands(rig):
    assert rig.refused("enable").startswith("stale")
    rig.recorder.text("rt/arm_Feedback", said(2, 1, {f"angle{i}": 0 for i in range(7)}))
    rig.recorder.tick()
    assert rig.ask("enable")["state"] == "sent"
    rig.ask("joint", **MOVE)
    assert rig.refused("enable").startswith("chase: enabled, the arm would run to its last target: joint 1 by -70°")
    assert rig.refused("send", funcode=4, data={"id": 1, "mode": 1}).startswith("chase")
    assert rig.ask("release")["state"] == "sent"
    assert rig.ask("enable", force=True)["state"] == "sent"


def said(address, funcode, data, seq=10):
    return json.dumps({"seq": seq, "address": address, "funcode": funcode, "data": data})


def test_acknowledgements_find_their_command_by_its_number(rig):
    rig.ask("joint", **MOVE, correlation_id="web")
    for address, funcode, name in ((3, 1, "recv_status"), (3, 2, "exec_status"), (2, 1, "angle0")):
        rig.recorder.text("arm_Feedback", said(address, funcode, {name: 1}, seq=1))
    found = [f.correlation_id for f in rig.frames if isinstance(f, ArmFeedback)]
    assert found[:2] == ["web", "web"]
    assert found[2] not in ("web",)  # state has a number too, which means nothing
    told = rig.ask("command", command_id="m")
    assert (told["received"], told["executed"], told["result"]) == (1, 1, None)


def test_a_number_that_another_program_uses_is_its_own(rig):
    rig.ask("joint", **MOVE)
    rig.recorder.text("rt/arm_Command", said(1, 1, {"id": 2, "angle": 1.0, "delay_ms": 0}, seq=1))
    rig.recorder.text("rt/arm_Feedback", said(3, 1, {"recv_status": 1}, seq=1))
    assert rig.ask("command", command_id="m")["received"] is None
    assert rig.tracker.targets == {1: -70.0, 2: 1.0}


def test_too_many_requests_are_refused_and_all_are_answered_at_the_end(tmp_path):
    rig = Rig(tmp_path)
    rig.gate.clear()
    first = rig.handlers["zero"]({"command_id": "first"})
    while "committed" not in rig.happened:
        pass
    waiting = [rig.handlers["zero"]({"command_id": f"w{n}"}) for n in range(16)]
    with pytest.raises(RigbusError, match="busy"):
        rig.handlers["zero"]({"command_id": "w16"})
    closing = threading.Thread(target=rig.desk.close)
    closing.start()
    while not rig.desk._closed:
        pass
    rig.gate.set()
    closing.join(WAIT_S)
    assert first.result(0)["state"] == "sent"
    for future in waiting:
        with pytest.raises(RigbusError, match="stopping"):
            future.result(0)
    with pytest.raises(RigbusError, match="stopping"):
        rig.handlers["zero"]({})
