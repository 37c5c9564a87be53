"""Publishing: number, count, queue; then one thread journals each batch and only then sends it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from common import clock
from common.frames import Frame, Health, Loss, Pulse, encode
from common.journal.counter import Counter
from common.journal.entries import Entry, Gap
from common.journal.journal import Journal
from common.log import Log
from common.log_events import LogEvent
from common.notify import Rounds
from common.paths import endpoint
from common.topics import row_of, topic_of

BATCH_S = 0.005  # a batch is gathered for so long: wake-ups cost more than bytes
ALONE_S = 0.04  # a frame after such a pause goes out at once: there is nothing to gather
QUEUE_FRAMES = 8192
QUEUE_BYTES = 8 << 20
HWM = 2000  # a burst fits; what drops is replayed
_MAX_BATCH = 1000
_ROUND_S = 60.0  # a card may stall for long; to end a writer that waits for it loses what is queued


class Publisher:
    """publish() may be called from any thread and never waits; everything else happens in the writer thread."""

    def __init__(
        self,
        context: zmq.Context[Any],
        bus_in: Any,
        *,
        node: str,
        src: str,
        run: str,
        log: Log,
        health: Callable[["Publisher"], Health],
        journal: Journal | None = None,
        counter: Counter | None = None,
    ) -> None:
        """Without journal and counter only health goes out (bus, sink)."""
        self.node, self.src, self.run = node, src, run
        self._log, self._health, self._journal, self._counter = log, health, journal, counter
        self._lock = threading.Lock()
        self._queue: list[Entry | Gap] = []
        self._pending: list[Entry | Gap] = []  # the writer's: taken off the queue, not yet in the journal
        self._queued_bytes = 0
        self._seq = 0
        self._tseq: dict[str, int] = {}
        self._wake = threading.Event()
        self._stopping = False
        self.closed = False
        self.rounds = Rounds(_ROUND_S)  # of the writer thread
        self._blocked = False
        self._socket = context.socket(zmq.PUB)
        self._socket.sndhwm = HWM
        self._socket.linger = 500
        self._socket.reconnect_ivl = 50
        self._socket.reconnect_ivl_max = 500
        self._socket.connect(endpoint(bus_in))
        self._thread = threading.Thread(target=self._write_loop, name="writer", daemon=True)
        self._thread.start()

    # ---- callers' side

    def publish(self, frame: Frame) -> int:
        """Numbers the frame and queues it; returns its seq. Full queue: the number is spent and becomes a loss range.

        After stop() nothing is numbered any more, and it returns 0: the run's last number is told.

        Raises TypeError or msgspec.EncodeError for a frame that cannot be encoded (a programming error).
        """
        assert self._journal is not None
        assert self._counter is not None
        if frame.mono == 0:
            frame.mono, frame.t = clock.boot_ns(), clock.wall_ns()
        frame.node, frame.src, frame.run = self.node, self.src, self.run
        row, topic = row_of(frame), topic_of(frame)
        with self._lock:
            if self._stopping:
                return 0
            seq = self._seq = self._seq + 1
            self._counter.offer(seq)
            if len(self._queue) + len(self._pending) >= QUEUE_FRAMES or self._queued_bytes >= QUEUE_BYTES:
                self._spend(seq, "queue_full")
                return seq
            tseq = self._tseq[topic] = self._tseq.get(topic, 0) + 1
            frame.seq, frame.tseq = seq, tseq
            try:
                payload = encode(frame)
            except (TypeError, ValueError, OverflowError, msgspec.EncodeError):
                self._spend(seq, "not_encodable")
                raise
            if len(payload) + len(topic) > self._journal.max_frame:
                self._spend(seq, "too_large")
                return seq
            if type(frame) is Pulse:
                entry = Entry(seq, topic.encode(), payload, row.durable, frame.channel, frame.total)
            else:
                entry = Entry(seq, topic.encode(), payload, row.durable)
            self._queue.append(entry)
            self._queued_bytes += len(payload)
        if not self._wake.is_set():
            self._wake.set()
        return seq

    def _spend(self, seq: int, cause: str) -> None:
        now = clock.wall_ns()
        last = self._queue[-1] if self._queue else None
        if isinstance(last, Gap) and last.cause == cause:
            self._queue[-1] = last._replace(to_seq=seq, to_t_ns=now)
        else:
            self._queue.append(Gap(seq, seq, cause, now, now))

    @property
    def counts(self) -> dict[str, int]:
        """Frames numbered so far, by topic."""
        return dict(self._tseq)

    @property
    def backlog(self) -> int:
        """Frames and gaps not yet in the journal."""
        return len(self._queue) + len(self._pending)

    def stop(self, wait_s: float = 3.0) -> bool:
        """Drains, commits `closed`, tells it, and stays until every consumer has acknowledged, at most wait_s.

        Returns whether all was acknowledged. Not acknowledged is not lost: it stays in the journal.
        """
        with self._lock:
            self._stopping = True
        self._wake.set()
        self._thread.join()
        done = True
        if self._journal is not None:
            deadline, beat = time.monotonic() + wait_s, time.monotonic() + 0.5
            # earlier runs too: with this process their only answer goes
            while not (done := self._journal.fill()[0] == 0) and time.monotonic() < deadline:
                time.sleep(0.02)
                if time.monotonic() >= beat:
                    beat += 0.5
                    self._send_health()
        self._socket.close()
        return done

    # ---- the writer thread

    def _write_loop(self) -> None:
        next_second = drained = time.monotonic()
        while not self._stopping:
            self.rounds.turn()
            self._wake.wait(max(0.0, next_second - time.monotonic()))
            if self._wake.is_set():
                if time.monotonic() - drained < ALONE_S:
                    time.sleep(BATCH_S)
                self._wake.clear()
                self._drain()
                drained = time.monotonic()
            if time.monotonic() >= next_second:
                next_second = max(next_second + 1.0, time.monotonic())
                self._each_second()
        self._finish()

    def _drain(self) -> None:
        """Journals what is queued, then sends it. What finds no room stays pending."""
        journal, send = self._journal, self._socket.send
        while journal is not None:
            if not self._pending:
                with self._lock:
                    self._pending, self._queue = self._queue, []
                if not self._pending:
                    break
            batch = self._pending[:_MAX_BATCH]
            taken = journal.append(batch)
            del self._pending[:taken]
            size = 0
            for entry in batch[:taken]:
                if isinstance(entry, Entry):
                    size += len(entry.payload)
                    send(entry.topic, zmq.SNDMORE)
                    send(entry.payload)
            with self._lock:
                self._queued_bytes -= size
            if taken < len(batch):
                if not self._blocked:
                    self._blocked = True
                    self._log.error(
                        "journal has no room: frames wait, then numbers are lost",
                        event=LogEvent.JOURNAL_FULL, folder=journal.folder,
                    )  # fmt: skip
                return
        if self._blocked:
            self._blocked = False
            self._log.info("journal has room again", event=LogEvent.JOURNAL_OK)
        self._announce()

    def _announce(self) -> None:
        """Tells subscribers of ranges of frames that are lost. Informative: the journal's own record is what counts."""
        for run_id, loss in self._journal.take_news() if self._journal is not None else ():
            count = loss.to_seq - loss.from_seq + 1
            self._log.seldom(
                f"lost {loss.cause}",
                "frames are lost",
                event=LogEvent.FRAMES_LOST,
                run=run_id,
                cause=loss.cause,
                count=count,
            )
            self.publish(
                Loss(
                    stream="*", unit="frame", count=count, cause=loss.cause, run_of=run_id,
                    from_seq=loss.from_seq, to_seq=loss.to_seq, from_t=loss.from_t_ns, to_t=loss.to_t_ns,
                )
            )  # fmt: skip

    def _each_second(self) -> None:
        if self._journal is not None and self._counter is not None:
            self._counter.alive(clock.wall_ns())
            self._journal.run.alive_ns = clock.wall_ns()
            self._journal.maintain()
            self._drain()
        try:
            self._send_health()
        except OSError as e:  # no file handle left, say: frames go on, and the next second tells again
            self._log.seldom("health", "its health cannot be told", reason=e.strerror)

    def _send_health(self) -> None:
        health = self._health(self)
        health.node, health.src, health.run = self.node, self.src, self.run
        health.t, health.mono, health.closed = clock.wall_ns(), clock.boot_ns(), self.closed
        if self._journal is not None:
            health.last_seq = self._journal.run.last
        self._socket.send(topic_of(health).encode(), zmq.SNDMORE)
        self._socket.send(encode(health))

    def _finish(self) -> None:
        """The rest of the queue, then the end of the run. A journal without room takes the rest as one loss range."""
        if self._journal is None or self._counter is None:
            self.closed = True
            self._send_health()
            return
        for _ in range(20):
            self._drain()
            if not self.backlog:
                break
            time.sleep(0.05)
        if rest := self._pending + self._queue:
            now = clock.wall_ns()
            from_seq = rest[0].seq if isinstance(rest[0], Entry) else rest[0].from_seq
            self._journal.give_up(Gap(from_seq, self._seq, "journal_blocked", now, now))
        self._journal.maintain()  # a daemon that always ends early must keep the journal's bound too
        if self._journal.close():
            self._counter.close_run()
        self.closed = True
        self._send_health()
