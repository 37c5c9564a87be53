"""The bus side of a collector, beside a rig that is only sockets: what it says, answers, keeps and gives up."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from common import frames
from common.journal.counter import read_counter
from common.telemetry import EventType, TelemetryCollector
from common.topics import topic_of

MakeCollector = Callable[..., TelemetryCollector]


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


class FakeRig:
    """in.sock, and a bus daemon's ctl socket that tells the rig's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context: zmq.Context[Any] = zmq.Context()
        self.sub = self.context.socket(zmq.SUB)
        self.sub.subscribe(b"")
        self.sub.bind(f"ipc://{folder / 'in.sock'}")
        self._ctl = self.context.socket(zmq.ROUTER)
        self._ctl.bind(f"ipc://{folder / 'bus.ctl.sock'}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._ctl.poll(20):
                *head, request = self._ctl.recv_multipart()
                asked = msgpack.unpackb(request)
                reply = {"id": asked["id"], "ok": True, "health": {"node": "rig1"}}
                self._ctl.send_multipart([*head, msgpack.packb(reply)])

    def heard(self) -> list[frames.AnyFrame]:
        out = []
        while self.sub.poll(0):
            topic, payload = self.sub.recv_multipart()
            out.append(frames.decode(payload))
            assert topic.decode() == topic_of(out[-1])
        return out

    def ask(self, src: str, request: Any, reply: bool = True) -> Any:
        dealer = self.context.socket(zmq.DEALER)
        dealer.linger = 1000
        dealer.connect(f"ipc://{self.folder / f'{src}.ctl.sock'}")
        try:
            dealer.send(request if isinstance(request, bytes) else msgpack.packb(request))
            if not reply:
                return None
            assert dealer.poll(10_000)
            return msgpack.unpackb(dealer.recv())
        finally:
            dealer.close()

    def ack(self, src: str, run: str, to: int, consumer: str = "sink") -> None:
        self.ask(src, {"op": "ack", "consumer": consumer, "acks": {run: to}}, reply=False)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.sub.close(0)
        self._ctl.close(0)
        self.context.term()


@pytest.fixture
def fake(folder: Path) -> Iterator[FakeRig]:
    rig = FakeRig(folder)
    yield rig
    rig.close()


def named(tc: TelemetryCollector) -> str:
    """The run, once the collector has found its rig."""
    until(lambda: tc.get_stats()["node"] == "rig1")
    return str(tc.get_stats()["run"])


def test_frames_are_those_of_the_contract(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    run = named(tc)
    tc.emit("dds", EventType.DDS_PUBLISH, {"seq": 1, "funcode": 1, "data": {"id": 2, "angle": 3.5}}, "cid")
    tc.log_smoother_tick([{"joint_id": n, "target": 1, "current": 1, "sent": 1} for n in range(2)])
    tc.emit("web", EventType.WS_SEND, {})
    tc.log_system_event("e", "s")
    got: list[frames.AnyFrame] = []
    until(lambda: got.extend(fake.heard()) or sum(f.seq > 0 for f in got) >= 4)
    data = [f for f in got if f.seq]
    assert [type(f).__name__ for f in data] == ["ArmCommand", "Smoother", "Smoother", "Event"]
    assert [f.seq for f in data] == [1, 2, 3, 4]
    assert [f.tseq for f in data] == [1, 1, 2, 1]
    assert {(f.node, f.src, f.run) for f in got} == {("rig1", "robot", run)}
    assert abs(data[0].t - time.time_ns()) < 60e9
    assert abs(data[0].mono - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 60e9
    command = data[0]
    assert isinstance(command, frames.ArmCommand)
    assert (command.joint_id, command.target_value, command.correlation_id) == (2, 3.5, "cid")
    until(lambda: got.extend(fake.heard()) or any(isinstance(f, frames.Health) and f.last_seq == 4 for f in got))
    [slot] = read_counter(fake.folder / "robot.counter")
    assert (slot.run, slot.offered, slot.closed) == (run, 4, False)


def test_the_end_is_told_and_waits_for_the_acknowledgement(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    run = named(tc)
    tc.log_system_event("e", "s")
    answer: list[bool] = []
    stopping = threading.Thread(target=lambda: answer.append(tc.stop()))
    stopping.start()
    got: list[frames.AnyFrame] = []
    until(lambda: got.extend(fake.heard()) or any(isinstance(f, frames.Health) and f.closed for f in got))
    reply = fake.ask("robot", {"id": 5, "op": "replay", "run": run, "from": 1})
    assert (reply["id"], reply["upto"], reply["last"], reply["closed"], len(reply["frames"])) == (5, 1, 1, 1, 1)
    assert not answer
    fake.ack("robot", run, 1)
    stopping.join(10)
    assert answer == [True]
    [slot] = read_counter(fake.folder / "robot.counter")
    assert (slot.offered, slot.closed) == (1, True)
    assert not (fake.folder / "robot.ctl.sock").exists()


def test_ctl_answers_as_the_daemons_do(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    run = named(tc)
    for n in range(5):
        tc.log_system_event("e", "s", str(n))
    reply = fake.ask("robot", {"id": 1, "op": "runs"})
    assert (reply["src"], reply["run"], reply["journal_id"]) == ("robot", run, run)
    [row] = reply["runs"]
    assert (row[0], row[2:], len(row[1])) == (run, [5, 0, 0], 32)
    reply = fake.ask("robot", {"id": "x", "op": "replay", "run": run, "from": 2, "n": 3})
    assert reply["id"] == "x"
    assert [frames.decode(p).seq for _, p in reply["frames"]] == [2, 3, 4]
    assert (reply["losses"], reply["upto"], reply["trimmed"], reply["unknown"]) == ([], 4, 0, None)
    health = fake.ask("robot", {"id": 1, "op": "status"})["health"]
    assert frames.decode(msgpack.packb(health))
    assert (health["pid"], health["last_seq"]) == (os.getpid(), 5)
    wrong = [
        (b"\xc1", "malformed"), (b"", "malformed"), (msgpack.packb([1]), "malformed"), ({"id": 1}, "malformed"),
        ({"op": 5}, "malformed"), ({"op": "dance"}, "unknown_op"), ({"op": "replay"}, "malformed"),
        ({"op": "replay", "run": "0" * 16, "from": 1}, "refused"),
        ({"op": "replay", "run": run, "from": "x"}, "malformed"),
        ({"op": "ack", "consumer": "sink", "acks": {run: None}}, "malformed"),
    ]  # fmt: skip
    for request, error in wrong:
        assert fake.ask("robot", request)["error"] == error, request
    fake.ack("robot", run, 3, consumer="stranger")
    fake.ack("robot", run, 4)
    until(lambda: tc.get_stats()["queued"] == 1)
    assert not tc.flush(0.1)


def test_memory_is_bounded_and_what_it_gives_up_is_named(
    fake: FakeRig, collect: MakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    tc = collect(bus=fake.folder, src="robot", max_bytes=20_000)
    run = named(tc)
    for _ in range(500):
        tc.log_system_event("e", "s", "x" * 200)
    tc.log_system_event("big", "s", "x" * (2 << 20))
    tc.log_system_event("e", "s", "last")
    reply = fake.ask("robot", {"id": 1, "op": "replay", "run": run, "from": 1, "n": 10_000})
    held = [frames.decode(p).seq for _, p in reply["frames"]]
    lost = {n: cause for a, b, cause, *_ in reply["losses"] for n in range(a, b + 1)}
    assert sorted([*held, *lost]) == list(range(1, 503))
    assert lost[1] == "journal_full"
    assert lost[501] == "too_large"
    assert tc.get_stats()["dropped"] == len(lost)
    stopping = threading.Thread(target=lambda: fake.ack("robot", run, 502))
    stopping.start()
    assert not tc.stop()  # not all of it is stored
    stopping.join()
    assert f"lost for want of memory: {len(lost)}" in caplog.text


def test_names_are_unique_and_daemons_names_are_refused(fake: FakeRig, collect: MakeCollector) -> None:
    three = [collect(bus=fake.folder, src="robot") for _ in range(3)]
    until(lambda: all(tc.get_stats()["node"] for tc in three))
    assert sorted(tc.get_stats()["src"] for tc in three) == ["robot", "robot-2", "robot-3"]
    for src in ("sink", "a/b", ".hidden", "x" * 61, "é"):
        with pytest.raises(ValueError, match="src="):
            TelemetryCollector(bus=fake.folder, src=src)
    with pytest.raises(ValueError, match="107 bytes"):
        TelemetryCollector(bus=f"/tmp/{'x' * 100}", src="robot")


def test_a_process_that_was_killed_is_answered_for_by_the_next(fake: FakeRig, collect: MakeCollector) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            tc = TelemetryCollector(bus=fake.folder, src="robot")
            tc.start()
            until(lambda: (fake.folder / "robot.counter").exists())
            until(lambda: read_counter(fake.folder / "robot.counter"))
            for _ in range(9):
                tc.log_system_event("e", "s")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    [slot] = read_counter(fake.folder / "robot.counter")
    assert (slot.offered, slot.closed) == (9, False)
    tc = collect(bus=fake.folder, src="robot")
    named(tc)
    rows = fake.ask("robot", {"id": 1, "op": "runs"})["runs"]
    assert [(row[0] == slot.run, *row[2:]) for row in rows] == [(True, 9, 9, 2), (False, 0, 0, 0)]
    reply = fake.ask("robot", {"id": 1, "op": "replay", "run": slot.run, "from": 4})
    assert [loss[:3] for loss in reply["losses"]] == [[4, 9, "app_killed"]]
    assert (reply["upto"], reply["closed"], reply["unknown"]) == (9, 2, None)
    assert fake.ask("robot", {"id": 1, "op": "replay", "run": slot.run, "from": 10})["losses"] == []


def test_a_child_after_a_fork_has_a_run_and_a_name_of_its_own(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    run = named(tc)
    tc.log_system_event("parent", "s")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            tc.log_system_event("child", "s")
            until(lambda: tc.get_stats()["node"] == "rig1")
            stats = tc.get_stats()
            code = 0 if stats["src"] == "robot-2" and stats["run"] != run and stats["queued"] == 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    tc.log_system_event("parent", "s")
    assert tc.get_stats()["queued"] == 2
    assert [s.offered for s in read_counter(fake.folder / "robot-2.counter")] == [1]


def test_many_threads_get_every_number_once(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    run = named(tc)
    each, count = 500, 8

    def work() -> None:
        for n in range(each):
            tc.log_system_event("e", "s", str(n))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seqs: list[int] = []
    while len(seqs) < each * count:
        reply = fake.ask("robot", {"id": 1, "op": "replay", "run": run, "from": len(seqs) + 1, "n": 10_000})
        seqs += [frames.decode(p).seq for _, p in reply["frames"]]
    assert seqs == list(range(1, each * count + 1))
    assert read_counter(fake.folder / "robot.counter")[-1].offered == each * count


def test_the_run_folder_is_taken_from_the_environment(
    fake: FakeRig, collect: MakeCollector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RIGBUS_RUN_DIR", str(fake.folder))
    tc = collect(src="robot")
    assert tc.get_stats()["mode"] == "bus"
    alone = collect(tmp_path / "t.db", bus="")
    assert alone.get_stats()["mode"] == "file"


def test_the_newest_events_are_shown_from_memory(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    cid = tc.new_correlation_id()
    tc.emit("web", EventType.CMD_SENT, {"endpoint": "e"}, cid)
    tc.log_command(1, 1, 0, 1.0, None, cid)
    tc.log_smoother_tick([{"joint_id": 0, "target": 1, "current": 1, "sent": 1}])
    for n in range(1500):
        tc.emit("s", EventType.STATE_UPDATE, {"n": n})
    assert [e.payload["n"] for e in tc.get_events(limit=2)] == [1498, 1499]
    assert len(tc.get_events(limit=5000)) == 1000
    tc.emit("web", EventType.CMD_SENT, {}, "c2")
    tc.log_command(1, 1, 0, 1.0, None, "c2")
    assert [s["event"]["type"] for s in tc.get_pipeline("c2")] == ["cmd_sent", "dds_publish"]
    stats = tc.get_stats()
    assert (stats["mode"], stats["total_events"]) == ("bus", 1504)


def test_a_socket_that_is_taken_away_is_bound_again(fake: FakeRig, collect: MakeCollector) -> None:
    tc = collect(bus=fake.folder, src="robot")
    named(tc)
    (fake.folder / "robot.ctl.sock").unlink()
    until((fake.folder / "robot.ctl.sock").exists)
    assert fake.ask("robot", {"id": 1, "op": "runs"})["ok"]
