"""The robot arm's daemon as a process, against a foreign DDS participant and against the simulated arm.

The participant here has the types written out, as a program of somebody else would: nothing of rigbus's own DDS code.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from rig import ROOT, MakeRig, Rig

pytest.importorskip("cyclonedds", reason="no cyclonedds here")

from cyclonedds._clayer import ddspy_write
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import float32
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

STOP_S = 3.5 * 5  # the supervisor's bound; only margins of five are asserted
REST = [0.5, -80.0, 80.0, 1.0, 2.0, 3.0, 10.0]
XML = """<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces>
</General><Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""


@dataclass
@final
class ArmString(IdlStruct, typename="unitree_arm.msg.dds_.ArmString_"):
    data_: str


@dataclass
@final
class PubServoInfo(IdlStruct, typename="unitree_arm.msg.dds_.PubServoInfo_"):
    servo0_data_: float32
    servo1_data_: float32
    servo2_data_: float32
    servo3_data_: float32
    servo4_data_: float32
    servo5_data_: float32
    servo6_data_: float32


class Foreign:
    """An arm, or a program that commands one. listen: whether it reads commands, as an arm does."""

    def __init__(self, domain: int, *, listen: bool = True) -> None:
        self._domain = Domain(domain, XML)
        self.participant = DomainParticipant(domain)
        self._writers: dict[str, Any] = {}
        several = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(1000))
        command = Topic(self.participant, "rt/arm_Command", ArmString)
        self._reader = DataReader(self.participant, command, qos=several) if listen else None
        self._heard: list[dict[str, Any]] = []
        self.rig: Rig | None = None  # whose daemon is to hear it

    def writer(self, topic: str, kind: type[Any] = ArmString) -> Any:
        """Matched by the daemon's reader."""
        if topic not in self._writers:
            writer = DataWriter(self.participant, Topic(self.participant, topic, kind))
            self._writers[topic] = writer
            until(lambda: writer.get_matched_subscriptions(), f"somebody reads {topic}")
            if (rig := self.rig) is not None:
                # the reader's end is another matter: what came before it knows the writer is lost
                rig.until(lambda: rig.status("dds")["arm"]["writers"][topic] > 0, f"the daemon reads {topic}")
        return self._writers[topic]

    def say(self, text: str, topic: str = "rt/arm_Feedback") -> None:
        self.writer(topic).write(ArmString(text))

    def state(self, address: int, funcode: int, data: Any, seq: int = 10, **kwargs: Any) -> None:
        self.say(json.dumps({"seq": seq, "address": address, "funcode": funcode, "data": data}), **kwargs)

    def angles(self, angles: list[float]) -> None:
        self.writer("current_servo_angle", PubServoInfo).write(PubServoInfo(*angles))

    def commands(self) -> list[dict[str, Any]]:
        """All that it was sent so far."""
        assert self._reader is not None
        self._heard += [json.loads(s.data_) for s in self._reader.take(1000) if s.sample_info.valid_data]
        return self._heard


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found


def config(domain: int, extra: str = "") -> str:
    return f'[dds]\ndomain = {domain}\ncpu = "none"\n{extra}'


MOVE = "allow_motion = true\n"


@pytest.fixture
def domain() -> int:
    """Of this test alone: others share the loopback."""
    return random.SystemRandom().randint(1, 200)


@pytest.fixture
def arm(domain: int) -> Foreign:
    return Foreign(domain)


@pytest.fixture
def start(make_rig: MakeRig, domain: int, arm: Foreign) -> Callable[..., Rig]:
    """A rig of bus, sink and dds, that may move the arm."""

    def started(extra: str = MOVE) -> Rig:
        rig = make_rig(config(domain, extra))
        rig.start("bus", "sink", "dds")
        rig.ready("bus", "sink", "dds")
        arm.rig = rig
        return rig

    return started


def ask(rig: Rig, op: str, timeout_s: float = 20.0, **fields: Any) -> dict[str, Any]:
    """The whole reply; {} where none comes in time."""
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(f"ipc://{rig.run / 'dds.ctl.sock'}")
    socket.send(msgpack.packb({"id": 1, "op": op, **fields}))
    reply = msgpack.unpackb(socket.recv()) if socket.poll(timeout_s * 1000) else {}
    socket.close()
    context.term()
    return reply


def detail(rig: Rig, op: str, **fields: Any) -> str:
    """Why a request was refused."""
    reply = ask(rig, op, **fields)
    assert (reply["ok"], reply["error"]) == (False, "refused"), reply
    assert "\n" not in reply["detail"]
    return str(reply["detail"])


def listening(rig: Rig, n: int = 1) -> None:
    rig.until(lambda: rig.status("dds")["arm"]["listeners"] == n, f"{n} listen to commands")


def feedback(rig: Rig, where: str = "1") -> list[Any]:
    columns = "funcode, address, arm_funcode, seq, angle0, angle1, angle6, correlation_id, data_json, raw_len"
    return rig.rows(f"SELECT {columns} FROM dds_feedback WHERE {where} ORDER BY id")


def stored(rig: Rig, n: int, where: str = "1") -> list[Any]:
    rig.until(lambda: len(feedback(rig, where)) >= n, f"{n} rows of feedback are stored")
    rows = feedback(rig, where)
    assert len(rows) == n
    return rows


def events(rig: Rig, source: str = "dds") -> list[tuple[str, str, str | None]]:
    return rig.rows("SELECT event_type, detail, correlation_id FROM system_events WHERE source = ? ORDER BY id", source)


# ---- what the arm says


def test_what_a_foreign_arm_says_is_recorded_as_what_it_is(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    for topic in ("rt/arm_Feedback", "arm_Feedback"):
        arm.state(2, 1, {f"angle{i}": a for i, a in enumerate(REST)}, topic=topic)
        arm.state(2, 3, {"enable_status": 1, "power_status": 1, "error_status": 0}, topic=topic)
        arm.state(2, 4, {f"motor{i}_status": 1 for i in range(7)}, topic=topic)
        arm.state(3, 1, {"recv_status": 1}, seq=5, topic=topic)
        arm.state(3, 2, {"exec_status": 1}, seq=5, topic=topic)
    arm.angles(REST)
    rows = stored(rig, 11)
    found = sorted((row[:4] for row in rows), key=repr)
    once = [(1, 2, 1, 10), (101, 3, 1, 5), (102, 3, 2, 5), (3, 2, 3, 10), (4, 2, 4, 10)]
    assert found == sorted([*once, *once, (1, None, 1, None)], key=repr)
    # an acknowledgement read as angles would be a row of zeros among them
    assert [row[4:7] for row in rows if row[0] == 1] == [(0.5, -80.0, 10.0)] * 3
    assert [row[4:7] for row in rows if row[0] != 1] == [(None, None, None)] * 8
    status = rig.rows("SELECT enable_status, power_status, error_status FROM dds_feedback WHERE funcode = 3")
    assert status == [(1, 1, 0)] * 2
    acks = rig.rows("SELECT recv_status, exec_status FROM dds_feedback WHERE funcode > 100 ORDER BY funcode")
    assert acks == [(1, None), (1, None), (None, 1), (None, 1)]
    rig.end()
    rig.check()


def test_rubbish_is_recorded_raw_and_harms_nothing(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    bad = ["", "x", "[1]", "{", '{"address":2}', '{"address":2,"funcode":1,"data":{"angle0":NaN}}', "[" * 5000]
    bad += [json.dumps({"seq": 2**70, "address": 2**65, "funcode": 1}), "ä" * 500_000]
    for text in bad:
        arm.say(text)
        time.sleep(0.05)  # one at a time: its writer keeps but one for those who are slow
    # a text that is not UTF-8, by its bytes: header, length, text and its closing zero, padded to four
    raw = b'\x00\x01\x00\x00\x08\x00\x00\x00{"\xff\xfe":1\x00'
    assert ddspy_write(arm.writer("rt/arm_Feedback")._ref, raw) >= 0
    arm.state(2, 99, {"angle0": 1.0})
    arm.state(2, 1, {"angle0": "12", "angle1": -80.0, "angle6": None})
    rows = stored(rig, len(bad) + 3)
    assert [row[:2] for row in rows] == [(-1, None)] * (len(bad) + 1) + [(99, 2), (1, 2)]
    assert [row[4:7] for row in rows] == [(None, None, None)] * (len(bad) + 2) + [(None, -80.0, None)]
    assert [json.loads(row[8]) for row in rows[:4]] == bad[:4]
    assert (rows[8][9], len(json.loads(rows[8][8]))) == (1_000_000, 8192)
    assert json.loads(rows[9][8]) == '{"\\xff\\xfe":1'
    assert rig.status("dds")["arm"]["counts"] == {"malformed": len(bad) + 1, "unknown": 1, "angles": 1}
    rig.end()
    rig.check()


def test_a_burst_is_recorded_whole(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    for n in range(2000):
        arm.state(2, 1, {"angle0": n / 100})
        time.sleep(1 / 500)  # each: what made up for a pause of ours would be too much for the reader's history
    rows = stored(rig, 2000)
    assert [row[4] for row in rows] == [n / 100 for n in range(2000)]
    rig.end()
    rig.check()
    assert rig.ledger("reader_full") == rig.ledger("socket_full") == []


def test_what_was_lost_while_it_stood_still_is_in_the_ledger(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    arm.state(2, 1, {"angle0": 0.0})
    stored(rig, 1)
    rig.signal("dds", signal.SIGSTOP)
    sent = 6000
    for n in range(sent):
        arm.state(2, 1, {"angle0": 1.0 + n})
        if n % 10 == 0:
            time.sleep(0.001)
    rig.signal("dds", signal.SIGCONT)
    arm.state(2, 3, {"error_status": 0})
    rig.until(lambda: rig.ledger("reader_full") + rig.ledger("socket_full"), "the loss is in the ledger")
    rig.end()
    assert len(feedback(rig, "funcode = 1")) < sent
    for stream, unit, count, _ in rig.ledger("reader_full") + rig.ledger("socket_full"):
        assert (stream, unit, count) == ("arm/feedback/", "sample", None)  # nobody can know: not a zero
    assert rig.audit("--allow-unknown").code == 0


def test_staleness_is_told_once_a_change(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start("stale_s = 2.0\n")  # far above a pause of a busy machine between two of the ten
    rig.until(lambda: events(rig), "silence is seen")
    for _ in range(10):
        arm.angles(REST)
        time.sleep(0.05)
    seen = rig.status("dds")["arm"]
    assert (seen["fresh"], seen["angles"]) == (True, REST)
    arm.state(2, 3, {"enable_status": 1})  # state is no angles
    rig.until(lambda: not rig.status("dds")["arm"]["fresh"], "they count as stale")
    assert rig.status("dds")["arm"]["age_s"] >= 2.0
    rig.until(lambda: len(events(rig)) == 3, "three changes are stored")
    assert [event for event, _, _ in events(rig)] == ["stale", "fresh", "stale"]
    assert len(feedback(rig)) == 11
    rig.end()


def test_commands_of_others_are_recorded_and_ours_once(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    listening(rig)
    text = json.dumps({"seq": 9, "address": 1, "funcode": 1, "data": {"id": 6, "angle": 33.5, "delay_ms": 0}})
    arm.say(text, topic="rt/arm_Command")
    assert ask(rig, "joint", joint=1, angle=-75, command_id="ours")["ok"]
    rig.until(lambda: len(rig.rows("SELECT 1 FROM dds_commands")) >= 2, "both are stored")
    rig.end()
    found = rig.rows("SELECT seq, address, funcode, joint_id, target_value, correlation_id, raw_len FROM dds_commands")
    assert sorted(found, key=repr) == [(1, 1, 1, 1, -75.0, "ours", 76), (9, 1, 1, 6, 33.5, None, len(text))]
    rig.check()


# ---- commands


def test_a_command_is_followed_from_intent_to_arrival(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    listening(rig)
    arm.angles(REST)
    reply = ask(rig, "joint", joint=1, angle=-75, delay_ms=200, command_id="c1", correlation_id="web-7")
    assert (reply["ok"], reply["state"], reply["repeated"]) == (True, "sent", False), reply
    (sent,) = until(arm.commands, "the command comes")
    data = {"id": 1, "angle": -75.0, "delay_ms": 200}
    assert sent == {"seq": reply["arm_seq"], "address": 1, "funcode": 1, "data": data}
    arm.state(3, 1, {"recv_status": 1}, seq=sent["seq"])
    arm.state(3, 2, {"exec_status": 1}, seq=sent["seq"])
    rig.until(lambda: ask(rig, "command", command_id="c1")["executed"] == 1, "it is acknowledged")
    assert ask(rig, "command", command_id="c1")["result"] is None  # an acknowledgement is no arrival
    arm.angles([0.5, -75.3, *REST[2:]])
    rig.until(lambda: ask(rig, "command", command_id="c1")["result"] == "arrived", "it arrived")
    stored(rig, 1, "correlation_id = 'web-7' AND funcode = 101")
    stored(rig, 1, "correlation_id = 'web-7' AND funcode = 102")
    rig.until(lambda: ("arrived", "", "web-7") in events(rig), "the arrival is stored")
    assert rig.rows("SELECT correlation_id, target_value FROM dds_commands") == [("web-7", -75.0)]
    rig.end()
    rig.check()


def test_all_joints_are_followed_too_and_an_acknowledgement_alone_is_no_arrival(
    start: Callable[..., Rig], arm: Foreign
) -> None:
    rig = start()
    listening(rig)
    ask(rig, "joints", angles=[0.5, -80, 80, 1, 2, 90, 0], command_id="all")
    ask(rig, "joint", joint=0, angle=50, command_id="one", delay_ms=0)
    assert ask(rig, "command", command_id="all")["result"] == "preempted"
    ask(rig, "joints", angles=[0.5, -80, 80, 1, 2, 3, 99], command_id="again")
    for seq in (1, 2, 3):
        arm.state(3, 2, {"exec_status": 1}, seq=seq)
    arm.angles(REST)  # the gripper's unit is not known: it is not judged
    rig.until(lambda: ask(rig, "command", command_id="again")["result"] == "arrived", "all joints are there")
    ask(rig, "joint", joint=0, angle=50, command_id="lazy", delay_ms=0)
    arm.angles(REST)
    rig.until(lambda: ask(rig, "command", command_id="lazy")["result"] == "not_arrived", "its time is up")
    rig.until(lambda: ("not_arrived", "joint 0 at 0.5, target 50.0", "lazy") in events(rig), "that is stored")
    rig.end()


def test_a_command_that_an_arm_does_not_take_in_time_is_void(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    listening(rig)
    assert ask(rig, "zero", command_id="late")["state"] == "sent"
    time.sleep(1.5)
    assert arm.commands() == []
    assert ask(rig, "zero", command_id="soon")["state"] == "sent"
    until(arm.commands, "it comes")
    rig.end()


def test_nothing_is_sent_where_motion_is_not_allowed(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start("")
    listening(rig)
    for op, fields in (
        ("joint", {"joint": 1, "angle": 0}), ("joints", {"angles": [0] * 7}), ("enable", {}), ("release", {}),
        ("power", {"on": False}), ("zero", {}), ("send", {"funcode": 7}),
    ):  # fmt: skip
        assert "allow_motion" in detail(rig, op, **fields)
    time.sleep(0.3)
    assert arm.commands() == []
    rig.end()
    assert rig.rows("SELECT count(*) FROM dds_commands") == [(0,)]


def test_without_an_arm_nothing_is_recorded_as_sent(make_rig: MakeRig, domain: int) -> None:
    rig = make_rig(config(domain, MOVE))
    rig.start("bus", "sink", "dds")
    rig.ready("bus", "sink", "dds")
    Foreign(domain, listen=False).angles(REST)
    assert detail(rig, "zero", command_id="z") == "no arm listens on rt/arm_Command"
    assert "no command" in detail(rig, "command", command_id="z")
    rig.end()
    assert rig.rows("SELECT count(*) FROM dds_commands") == [(0,)]


def test_bad_requests_are_refused_in_one_line_and_nothing_moves(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    listening(rig)
    data = {"id": 1, "angle": 0.0, "delay_ms": 0}
    refused = [
        ("joint", {"joint": 7, "angle": 0}), ("joint", {"joint": -1, "angle": 0}), ("joint", {"joint": 1, "angle": 91}),
        ("joint", {"joint": 0, "angle": float("nan")}), ("joints", {"angles": [0] * 6}), ("send", {"funcode": 3}),
        ("send", {"funcode": 1, "data": {**data, "id": 7}}), ("send", {"funcode": 4, "data": {"id": -1, "mode": 1}}),
        ("send", {"funcode": 5, "data": {"mode": 99_999}}), ("unlock", {}), ("unlock", {"confirm": "yes"}),
    ]  # fmt: skip
    for op, fields in refused:
        detail(rig, op, **fields)
    malformed = [
        ("joint", {"joint": "1", "angle": 0}), ("joint", {"angle": 0}), ("send", {"funcode": 1, "data": {"id": 1}}),
        ("send", {"funcode": 1, "data": {**data, "more": 1}}), ("zero", {"command_id": 5}), ("command", {}),
        ("zero", {"command_id": "a b"}), ("send", {"funcode": 1, "data": "x"}),
    ]  # fmt: skip
    for op, fields in malformed:
        reply = ask(rig, op, **fields)
        assert (reply["ok"], reply["error"]) == (False, "malformed"), (op, fields, reply)
    # far over the bound of a request: dropped, and the next one is answered
    assert ask(rig, "send", timeout_s=1.0, funcode=1, data={"id": "x" * 10_000_000}) == {}
    time.sleep(0.3)
    assert arm.commands() == []
    assert ask(rig, "zero")["ok"]
    assert len(until(arm.commands, "the good one comes")) == 1
    rig.end()


def test_two_clients_with_one_id_send_one_command(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    listening(rig)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, rig, "joint", joint=1, angle=-70, command_id="same") for _ in range(8)]
        until(arm.commands, "it comes")  # looked for at once: it is void after a second
        replies = [future.result() for future in asked]
    assert all(reply["ok"] for reply in replies), replies
    assert sorted(reply["repeated"] for reply in replies) == [False, *[True] * 7]
    assert "another command" in detail(rig, "joint", joint=1, angle=-60, command_id="same")
    time.sleep(0.3)
    assert len(arm.commands()) == 1
    rig.end()


def test_a_killed_daemon_never_sends_again(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    for n in range(6):
        listening(rig)
        command_id, fields = f"k{n}", {"joint": 1, "angle": -10 - n}
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(ask, rig, "joint", timeout_s=2.0, command_id=command_id, **fields)
            time.sleep(0.001 * (1, 3, 5, 8, 12, 40)[n])
            rig.kill("dds")
            told = reply.result()
        arm.commands()  # a command is void when it was not taken within a second
        rig.start("dds")
        rig.ready("dds")
        listening(rig)
        again = ask(rig, "joint", command_id=command_id, **fields)
        assert again["ok"], again
        time.sleep(0.3)
        sent = [c for c in arm.commands() if c["data"]["angle"] == -10 - n]
        assert len(sent) <= 1
        assert not told or len(sent) == 1, told
        assert again["state"] == "sent" or again["repeated"], again
    sent = arm.commands()
    assert len({command["seq"] for command in sent}) == len(sent)
    rig.end()
    rows = rig.rows("SELECT target_value, count(*) FROM dds_commands GROUP BY target_value")
    assert all(count == 1 for _, count in rows), rows
    # an intent is on record before its command leaves
    assert {command["data"]["angle"] for command in sent} <= {target for target, _ in rows}


def test_an_emergency_stop_holds_until_it_is_unlocked(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start()
    listening(rig)
    reply = ask(rig, "estop", reason="smoke")
    assert (reply["ok"], reply["locked"], reply["saved"]) == (True, True, True)
    assert "power supply" in reply["detail"]
    for op, fields in (("zero", {}), ("enable", {}), ("release", {}), ("power", {"on": False})):
        assert detail(rig, op, **fields) == "locked: emergency stop: smoke"
    rig.until(lambda: "estop" in {event for event, _, _ in events(rig)}, "it is on record")
    rig.kill("dds")
    rig.start("dds")
    rig.ready("dds")
    listening(rig)
    assert rig.status("dds")["locked_by"] == "smoke"
    assert detail(rig, "zero").startswith("locked: ")
    assert ask(rig, "unlock", confirm="unlock")["locked"] is False
    assert ask(rig, "zero", command_id="z")["state"] == "sent"
    assert [c["funcode"] for c in until(arm.commands, "it comes")] == [7]
    rig.until(lambda: {"estop", "unlocked"} <= {event for event, _, _ in events(rig)}, "both are stored")
    rig.end()
    rig.check(unknown=True)  # a killed daemon did not hear what was said meanwhile


def test_an_arm_that_was_moved_by_hand_is_not_enabled_blindly(start: Callable[..., Rig], arm: Foreign) -> None:
    rig = start(MOVE + "stale_s = 10.0\n")
    listening(rig)
    assert detail(rig, "enable").startswith("stale: ")
    arm.angles(REST)
    assert ask(rig, "joint", joint=1, angle=-78)["ok"]
    rig.kill("dds")  # the last targets are known to the next process too
    rig.start("dds")
    rig.ready("dds")
    listening(rig)
    arm.angles([0.5, -20.0, *REST[2:]])
    rig.until(lambda: rig.status("dds")["arm"]["fresh"], "angles are there")
    assert detail(rig, "enable").startswith("chase: enabled, the arm would run to its last target: joint 1 by -58°")
    assert detail(rig, "send", funcode=4, data={"id": 1, "mode": 1}).startswith("chase: ")
    assert ask(rig, "release")["ok"]
    arm.angles([0.5, -20.0, *REST[2:]])
    assert ask(rig, "enable", force=True)["ok"]
    found = until(lambda: [c for c in arm.commands() if c["funcode"] == 5][1:], "both come")
    assert found[0]["data"] == {"mode": 80_000}
    rig.end()


# ---- the process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_its_bound(start: Callable[..., Rig], arm: Foreign, number: signal.Signals) -> None:
    rig = start()
    arm.angles(REST)
    begin = time.monotonic()
    rig.signal("dds", number)
    assert rig.processes.pop("dds").wait(60) == 0, rig.tail()
    assert time.monotonic() - begin < STOP_S
    rig.end()
    rig.check()


@pytest.fixture
def no_cyclonedds(tmp_path: Path) -> dict[str, str]:
    """An environment in which cyclonedds cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cyclonedds'] = None\n")
    return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


@pytest.mark.parametrize("module", ["daemons.dds", "common.sims.arm"])
def test_without_cyclonedds_it_says_in_one_line_how_to_get_it(
    make_rig: MakeRig, domain: int, no_cyclonedds: dict[str, str], module: str
) -> None:
    rig = make_rig(config(domain))
    command = [sys.executable, "-m", module, *rig.options]
    done = subprocess.run(command, cwd=ROOT, env=no_cyclonedds, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 69, done.stderr
    (line,) = done.stderr.splitlines()
    assert "pip install -e '.[dds]'" in line
    assert "scripts/install-cyclonedds.sh" in line


def test_the_rest_of_a_rig_does_without_cyclonedds(
    make_rig: MakeRig, domain: int, no_cyclonedds: dict[str, str]
) -> None:
    rig = make_rig(config(domain) + "[sim]\narm = true\n")
    for words in (["config", "check"], ["run", "--for", "12"]):
        command = [sys.executable, "-m", "common.cli.main", *words, *rig.options]
        done = subprocess.run(command, cwd=ROOT, env=no_cyclonedds, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
    assert rig.audit().code == 0
    assert rig.rows("SELECT count(*) FROM pulses")[0][0] > 0
    assert rig.descendants() == []


@pytest.mark.parametrize("wrong", ['interface = "arm0"', 'peers = ["127.0.0.1:7410"]'])
@pytest.mark.parametrize("module", ["daemons.dds", "common.sims.arm"])
def test_a_network_that_is_not_there_is_one_line(make_rig: MakeRig, domain: int, wrong: str, module: str) -> None:
    rig = make_rig(config(domain, f"{wrong}\n"))
    command = [sys.executable, "-m", module, *rig.options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 69, done.stderr
    (line,) = done.stderr.splitlines()
    assert wrong.split()[0] in line


# ---- the simulated arm


@pytest.fixture
def sim(make_rig: MakeRig, domain: int) -> Iterator[subprocess.Popen[str]]:
    rig = make_rig(config(domain))
    process = subprocess.Popen([sys.executable, "-m", "common.sims.arm", *rig.options], cwd=ROOT, text=True)
    yield process
    process.kill()
    process.wait()


def test_the_simulated_arm_speaks_to_a_foreign_program(sim: subprocess.Popen[str], domain: int) -> None:
    me = Foreign(domain, listen=False)
    best = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(1000))
    texts = DataReader(me.participant, Topic(me.participant, "rt/arm_Feedback", ArmString), qos=best)
    servo = DataReader(me.participant, Topic(me.participant, "current_servo_angle", PubServoInfo), qos=best)
    said: list[dict[str, Any]] = []

    def heard(**wanted: Any) -> list[dict[str, Any]]:
        said.extend(json.loads(s.data_) for s in texts.take(1000) if s.sample_info.valid_data)
        return [one for one in said if wanted.items() <= one.items()]

    me.say('{"seq":31,"address":1,"funcode":1,"data":{"id":1,"angle":-70,"delay_ms":300}}', "rt/arm_Command")
    until(lambda: heard(address=3, funcode=2, seq=31), "the command is acknowledged")
    until(lambda: any(one["data"]["angle1"] == -70.0 for one in heard(address=2, funcode=1)), "it moves")
    until(lambda: heard(address=2, funcode=3) and heard(address=2, funcode=4), "it tells its state")
    assert all(one["seq"] == 10 for one in heard(address=2))
    assert until(lambda: [s for s in servo.take(1000) if s.sample_info.valid_data], "its servos speak")
    me.say('{"seq":32,"address":1,"funcode":1,"data":{"id":7,"angle":0,"delay_ms":0}}', "rt/arm_Command")
    until(lambda: heard(address=3, funcode=1, seq=32), "an id that is not there is acknowledged")
    servo.take(1000)
    said.clear()
    until(lambda: len(heard(address=2, funcode=3)) > 5, "its state goes on")
    assert heard(address=2, funcode=1) == []
    assert [s for s in servo.take(1000) if s.sample_info.valid_data] == []
    sim.send_signal(signal.SIGTERM)
    assert sim.wait(30) == 0


def test_a_rig_with_the_simulated_arm(make_rig: MakeRig, domain: int) -> None:
    rig = make_rig(config(domain, MOVE) + "[sim]\narm = true\n")
    rig.start("run", args=("--only", "bus,sink,dds"))
    rig.until(lambda: rig.status("dds")["arm"]["fresh"], "the arm is heard")
    listening(rig)
    assert ask(rig, "joints", angles=[10, -60, 60, 0, 0, 0, 30], command_id="m")["ok"]
    rig.until(lambda: ask(rig, "command", command_id="m")["result"] == "arrived", "it arrives")
    rig.stop("run")
    assert rig.descendants() == []
    rig.check()
    assert rig.rows("SELECT count(*) FROM dds_feedback WHERE funcode = 1 AND angle1 = 0.0") == [(0,)]
    assert rig.rows("SELECT count(*) FROM dds_feedback WHERE correlation_id = 'm'") == [(2,)]
    kinds = rig.rows("SELECT DISTINCT funcode, address FROM dds_feedback ORDER BY 1, 2")
    assert kinds == [(1, None), (1, 2), (3, 2), (4, 2), (101, 3), (102, 3)]


def test_the_simulated_arm_ends_with_who_started_it(make_rig: MakeRig, domain: int) -> None:
    rig = make_rig(config(domain, MOVE) + "[sim]\narm = true\n")
    rig.start("run", args=("--only", "dds"))
    rig.until(lambda: rig.status("dds")["arm"]["fresh"], "the arm is heard")
    rig.kill("run")
    rig.until(lambda: rig.descendants() == [], "all have ended")


def test_the_daemon_is_on_loopback_when_told_so(start: Callable[..., Rig], domain: int, arm: Foreign) -> None:
    """Nothing leaves the machine: its datagrams come from and go to 127.0.0.1 (it binds 0.0.0.0 all the same)."""
    rig = start()
    arm.angles(REST)
    stored(rig, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        port = 7400 + 250 * domain + 10
        with pytest.raises(OSError):
            probe.bind(("127.0.0.1", port))
    rig.end()
