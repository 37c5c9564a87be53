"""What comes from the arm's domain → frames, and who is told of it. Runs in the bridge's thread."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from common import clock
from common.arm import messages
from common.arm.commands import MAX_DELAY_MS
from common.arm.ledger import Ledger, Record
from common.arm.messages import TO_ARM, Message
from common.arm.tracker import Judged, Tracker
from common.frames import Event
from common.runtime import Runtime

FEEDBACK_STREAM, COMMAND_STREAM = "arm/feedback/", "arm/command/"
COMMAND_TOPIC = "rt/arm_Command"


def seconds_of(message: Message) -> float | None:
    """How long a move says that it takes; None where it does not, or says what cannot be."""
    delay_ms = messages.number(message.fields.get("delay_ms")) if message.funcode == 1 else None
    # what others write may be anything
    return None if delay_ms is None or not 0 <= delay_ms <= MAX_DELAY_MS else delay_ms / 1e3


class Recorder:
    """lock: held for everything that the ledger and the tracker do."""

    def __init__(self, rt: Runtime, ledger: Ledger, tracker: Tracker, lock: threading.RLock) -> None:
        self._rt, self._ledger, self._tracker, self._lock = rt, ledger, tracker, lock
        self.counts: Counter[str] = Counter()
        self.state: dict[str, int] = {}  # what the arm said last of its power, its motors and errors
        self._last_ns = clock.wall_ns()
        self._fresh: bool | None = None

    def text(self, topic: str, text: str) -> None:
        message = messages.read(text)
        if topic == COMMAND_TOPIC:
            self._foreign(message)
            return
        kind = message.kind
        self.counts[kind] += 1
        record = self._acknowledged(message) if kind in ("received", "executed") else None
        frame = messages.feedback(message, record.correlation_id if record else None)
        self._rt.publish(frame)
        self._last_ns = clock.wall_ns()
        if isinstance(frame.angles, list):
            self._heard(frame.angles)
        elif kind == "state" and isinstance(frame.status, dict):
            self.state = frame.status

    def servo(self, angles: Sequence[float]) -> None:
        frame = messages.servo_feedback(angles)
        self.counts["servo"] += 1
        self._rt.publish(frame)
        self._last_ns = clock.wall_ns()
        self._heard(messages.servo_angles(angles))

    def lost(self, count: int | None, cause: str, detail: str) -> None:
        """Samples went unseen since the last one that came."""
        stream = COMMAND_STREAM if detail.startswith(COMMAND_TOPIC) else FEEDBACK_STREAM
        now = clock.wall_ns()
        self._rt.lose(stream, "sample", count, cause, from_t=min(self._last_ns, now), to_t=now, detail=detail)

    def tick(self) -> None:
        """Now and then: moves that did not arrive, angles that do not come any more or come again."""
        with self._lock:
            judged = self._tracker.tick(time.monotonic_ns())
            self._tell(judged)
            fresh, age_s = self._tracker.fresh, self._tracker.age_s(time.monotonic_ns())
        if fresh is not None and fresh != self._fresh:
            self._fresh = fresh
            detail = "angles come" if fresh else f"no angles {'yet' if age_s is None else f'for {age_s:.1f} s'}"
            level = "info" if fresh else "warning"
            self._rt.publish(Event(event_type="fresh" if fresh else "stale", source="dds", detail=detail, level=level))

    def status(self, listeners: int, writers: dict[str, int]) -> dict[str, Any]:
        """The map `arm` of ctl `status`."""
        with self._lock:
            tracker, age_s = self._tracker, self._tracker.age_s(time.monotonic_ns())
            return {
                "angles": tracker.angles or None,
                "age_s": None if age_s is None else round(age_s, 3),
                "fresh": bool(tracker.fresh),
                "targets": {str(joint): target for joint, target in sorted(tracker.targets.items())},
                "state": self.state,
                "listeners": listeners,
                "writers": writers,
                "counts": dict(self.counts),
            }

    def moved(self, name: str, message: Message) -> None:
        """A command goes to the arm: where it is to be from now on."""
        targets = messages.targets_of(message)
        if targets:
            with self._lock:
                ended = self._tracker.commanded(name, targets, seconds_of(message), time.monotonic_ns())
                self._close(ended, "preempted")

    def _foreign(self, message: Message) -> None:
        self.counts["commands_of_others"] += 1
        self._rt.publish(messages.command(message))
        with self._lock:
            if message.seq is not None:
                self._ledger.forget_seq(message.seq)
            if message.address == TO_ARM:
                self.moved("", message)

    def _acknowledged(self, message: Message) -> Record | None:
        """The command of ours that an acknowledgement answers."""
        with self._lock:
            record = None if message.seq is None else self._ledger.of_seq(message.seq)
            if record is None or record.state == "not_sent":
                return None
            name = "recv_status" if message.kind == "received" else "exec_status"
            value = message.fields.get(name)
            if type(value) is int:
                if message.kind == "received":
                    record.received = value
                else:
                    record.executed = value
                self._ledger.note(record)
            return record

    def _heard(self, angles: list[float | None]) -> None:
        with self._lock:
            self._tell(self._tracker.heard(angles, time.monotonic_ns()))

    def _tell(self, judged: list[Judged]) -> None:
        for name, verdict, detail in judged:
            record = self._ledger.find(name)
            correlation_id = record.correlation_id if record else None
            level = "info" if verdict == "arrived" else "warning"
            self._rt.publish(
                Event(event_type=verdict, source="dds", detail=detail, correlation_id=correlation_id, level=level)
            )
            self._close([name], verdict)

    def _close(self, names: list[str], result: str) -> None:
        for name in names:
            record = self._ledger.find(name)
            if record is not None and record.result is None:
                record.result = result
                self._ledger.note(record)
