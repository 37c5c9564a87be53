"""Publishing: numbers are never reused, what cannot be queued becomes a named range, journal before send."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from common import clock
from common.bus import publisher as module
from common.bus.publisher import Publisher
from common.frames import Event, Health, JournalHealth, Lateness, Loss, Pulse, decode
from common.journal import recover
from common.journal.counter import Counter, read_counter
from common.journal.entries import Limits
from common.journal.journal import Journal
from common.journal.replay import replay
from common.log import Log

RUN = "00000000000000aa"


def health(publisher: Publisher) -> Health:
    return Health(
        last_seq=0, closed=False, boot_id="b", journal_id="j", ctl="", pid=1, cpu_pct=0.0, rss_bytes=1, rates={},
        lateness_us=Lateness(0.0, 0.0, 0.0, 0.0), missed_ticks=0, journal=JournalHealth(0, 0, 0),
    )  # fmt: skip


class Bench:
    """A publisher with its journal, and a SUB where the bus would be."""

    def __init__(self, folder: Path) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.sub = self.context.socket(zmq.SUB)
        self.sub.linger = 0
        self.sub.subscribe(b"")
        self.sub.bind(f"ipc://{folder}/in.sock")
        self.counter = Counter(folder / "counter")
        self.counter.begin(RUN, clock.boot_id(), 1)
        limits = Limits(1 << 20, 60.0, 1.0, False, ("sink",))
        self.journal: Journal = recover.open_journal(folder / "segments", limits, RUN, [])
        self.publisher = Publisher(
            self.context, folder / "in.sock", node="n", src="s", run=RUN, log=Log("s"), health=health,
            journal=self.journal, counter=self.counter,
        )  # fmt: skip
        self.folder = folder

    def journaled(self) -> dict[int, str]:
        chunk = replay(self.journal.snapshot(), RUN, 1, 10_000)
        assert chunk is not None
        out = {decode(payload).seq: "frame" for _, payload in chunk.frames}
        return out | {n: cause for a, b, cause, _, _ in chunk.losses for n in range(a, b + 1)}

    def heard(self, until: Callable[[Any], bool]) -> list[Any]:
        """Frames off the bus, up to the one that is waited for."""
        out = []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.sub.poll(100):
                out.append(decode(self.sub.recv_multipart()[1]))
                if until(out[-1]):
                    return out
        raise AssertionError(f"not heard; {len(out)} frames came")


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("p"))
    yield bench
    bench.publisher.stop(wait_s=0.0)
    bench.journal.release()
    bench.counter.close()
    bench.sub.close()
    bench.context.term()


def event(detail: str = "") -> Event:
    return Event(event_type="e", source="t", detail=detail)


def settled(bench: Bench, seq: int) -> None:
    deadline = time.monotonic() + 20
    while bench.journal.run.last < seq and time.monotonic() < deadline:
        time.sleep(0.01)
    assert bench.journal.run.last >= seq


def test_numbers_run_without_holes_and_are_stamped(bench: Bench) -> None:
    assert [bench.publisher.publish(event(str(n))) for n in range(100)] == list(range(1, 101))
    settled(bench, 100)
    assert bench.journaled() == dict.fromkeys(range(1, 101), "frame")
    assert read_counter(bench.folder / "counter")[-1].offered == 100
    chunk = replay(bench.journal.snapshot(), RUN, 50, 1)
    assert chunk is not None
    topic, payload = chunk.frames[0]
    frame = decode(payload)
    assert topic == b"app/event/"
    assert (frame.node, frame.src, frame.run, frame.seq, frame.tseq) == ("n", "s", RUN, 50, 50)
    assert abs(frame.mono - clock.boot_ns()) < 60e9
    assert abs(frame.t - clock.wall_ns()) < 60e9


def test_a_full_queue_spends_numbers_and_names_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.heard(lambda f: isinstance(f, Health))  # connected
    real = bench.journal.append
    monkeypatch.setattr(bench.journal, "append", lambda batch: 0)  # a place without room
    monkeypatch.setattr(module, "QUEUE_FRAMES", 50)
    for n in range(80):
        assert bench.publisher.publish(event()) == n + 1  # never waits, never fails
    monkeypatch.setattr(bench.journal, "append", real)
    settled(bench, 80)
    found = bench.journaled()
    assert [n for n in range(1, 81) if found[n] == "queue_full"] == list(range(51, 81))
    loss = bench.heard(lambda f: isinstance(f, Loss))[-1]
    assert (loss.unit, loss.from_seq, loss.to_seq, loss.count, loss.run_of) == ("frame", 51, 80, 30, RUN)


def test_a_frame_that_cannot_be_encoded_is_an_error_and_a_named_number(bench: Bench) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        bench.publisher.publish(Pulse(channel="c", edges=[0], total=1, t=2**70, mono=1))
    bench.publisher.publish(event())
    settled(bench, 2)
    assert {n: bench.journaled()[n] for n in (1, 2)} == {1: "not_encodable", 2: "frame"}


def test_a_frame_over_half_a_segment_is_a_loss(bench: Bench) -> None:
    bench.publisher.publish(event("x" * bench.journal.max_frame))
    bench.publisher.publish(event())
    settled(bench, 2)
    assert {n: bench.journaled()[n] for n in (1, 2)} == {1: "too_large", 2: "frame"}


def test_sent_is_journaled_first_and_the_end_is_told(bench: Bench) -> None:
    bench.heard(lambda f: isinstance(f, Health))  # connected
    for n in range(500):
        bench.publisher.publish(event(str(n)))
    bench.publisher.stop(wait_s=0.0)
    frames = bench.heard(lambda f: isinstance(f, Health) and f.closed)
    numbers = [f.seq for f in frames if f.seq]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(bench.journaled())
    assert frames[-1].last_seq == 500
    assert read_counter(bench.folder / "counter")[-1].closed


def test_a_stop_without_room_names_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.publisher.publish(event())
    settled(bench, 1)
    monkeypatch.setattr(bench.journal, "append", lambda batch: 0)
    for _ in range(5):
        bench.publisher.publish(event())
    bench.publisher.stop(wait_s=0.0)
    assert bench.journaled() == {1: "frame", **dict.fromkeys(range(2, 7), "journal_blocked")}


def test_stop_waits_for_the_acknowledgement(bench: Bench) -> None:
    bench.publisher.publish(event())
    settled(bench, 1)
    bench.journal.ack("sink", {RUN: 1})
    assert bench.publisher.stop(wait_s=20.0)


def test_after_the_stop_nothing_is_numbered_whatever_thread_goes_on(bench):
    stop, given = threading.Event(), []

    def go_on() -> None:
        while not stop.is_set():
            given.append(bench.publisher.publish(event()))
            time.sleep(1e-4)

    thread = threading.Thread(target=go_on)
    thread.start()
    settled(bench, 100)
    bench.publisher.stop(wait_s=0.0)
    while given[-1]:
        time.sleep(0.001)
    stop.set()
    thread.join()
    offered = read_counter(bench.folder / "counter")[-1].offered
    assert offered == max(given) == bench.journal.run.last


def test_a_second_whose_health_cannot_be_told_ends_nothing(bench, monkeypatch):
    failed = threading.Event()

    def broken(_: Publisher) -> Health:
        failed.set()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(bench.publisher, "_health", broken)
    assert failed.wait(20)
    monkeypatch.setattr(bench.publisher, "_health", health)
    bench.publisher.publish(Event(level="info", event_type="x", source="s"))
    heard = bench.heard(lambda frame: isinstance(frame, Health))
    assert any(isinstance(frame, Event) for frame in heard) or 1 in bench.journaled()
