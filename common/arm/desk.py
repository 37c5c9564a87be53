"""Sends commands to the arm, one at a time, in a thread of its own; each once, recorded before it leaves, never again.

docs/ctl.md has the ops, docs/safety.md what an emergency stop of this arm can do and what it cannot.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from common import clock
from common.arm import commands, messages
from common.arm.commands import Order
from common.arm.ledger import Ledger, Record
from common.arm.recorder import Recorder
from common.arm.tracker import Tracker
from common.config.schema import DdsConfig
from common.errors import RigbusError
from common.frames import Event
from common.latch import CONFIRM, Latch, Unlock, reason_of
from common.log_events import LogEvent
from common.notify import Rounds
from common.runtime import Runtime

if TYPE_CHECKING:
    from common.arm.bridge import Bridge

OPS = ("send", "joint", "joints", "enable", "release", "power", "zero")
_WAITING = 16
_COMMIT_S = 1.0  # the journal must hold an intent by then
_ROUND_S = 60.0
NOT_STOPPED = (
    "no further command is sent; a move under way goes on to its target, the arm stays powered, and other programs on "
    "its network can still command it: only its power supply stops it, and then it falls"
)

Reply = dict[str, Any]


class _Command(Struct):
    command_id: str


class _Forced(Struct):
    force: bool = False


class Desk:
    def __init__(
        self,
        rt: Runtime,
        cfg: DdsConfig,
        bridge: "Bridge",
        ledger: Ledger,
        tracker: Tracker,
        recorder: Recorder,
        latch: Latch,
        lock: threading.RLock,
    ) -> None:
        """lock: held for everything that the ledger and the tracker do."""
        self._rt, self._cfg, self._bridge = rt, cfg, bridge
        self._ledger, self._tracker, self._recorder, self._latch, self._lock = ledger, tracker, recorder, latch, lock
        # a command leaves before a stop, or not at all
        self._gate = threading.Lock()
        self._stops = 0
        self.locked = latch.is_set()
        self.reason = latch.reason() if self.locked else ""
        self._saved = True
        self._closed = False
        self._take_over()
        for op in OPS:
            rt.on(op, partial(self._ask, op))
        rt.on("command", self._command)
        rt.on("estop", self._estop)
        rt.on("unlock", self._unlock)
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.rounds = Rounds(_ROUND_S)
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    def _take_over(self) -> None:
        """What an earlier process sent: the arm's last targets, and what it was sending when it died."""
        for record in self._ledger.records():
            text = Order(record.funcode, record.data).text(record.seq)
            self._tracker.targets.update(messages.targets_of(messages.read(text)))
            if record.state == "intent":
                self._end(record, "unknown", "the daemon ended before it could say whether it was sent")

    # ---- in the ctl thread

    def _ask(self, op: str, request: Reply) -> "Future[Reply]":
        identity = msgspec.convert(request, commands.Identity)
        force = msgspec.convert(request, _Forced).force
        order = commands.order_of(op, request, self._cfg.enable_mode)
        if not self._cfg.allow_motion:
            raise RigbusError("dds.allow_motion is false: nothing is sent to the arm")
        if self._closed:
            raise RigbusError("stopping: the daemon ends")
        if self._queue.qsize() >= _WAITING:
            raise RigbusError("busy: too many requests wait")
        command_id = identity.command_id or os.urandom(8).hex()
        correlation_id, stops = identity.correlation_id or command_id, self._stops
        future: Future[Reply] = Future()

        def answer() -> None:
            try:
                future.set_result(self._send(order, command_id, correlation_id, force, stops))
            except Exception as e:
                future.set_exception(e)

        self._queue.put(answer)
        return future

    def _command(self, request: Reply) -> Reply:
        command_id = msgspec.convert(request, _Command).command_id
        with self._lock:
            record = self._ledger.find(command_id)
            if record is None:
                raise RigbusError(f"no command {command_id!r} is known")
            return _told(record, repeated=True)

    def _estop(self, request: Reply) -> Reply:
        reason = reason_of(request)
        with self._gate:
            self._stops += 1
            fresh, self.locked = not self.locked, True
            self.reason = reason if fresh else self.reason
        self.save()
        if fresh:
            self._rt.log.warning("emergency stop", event=LogEvent.ESTOP, reason=reason)
            event = Event(event_type="estop", source="dds", detail=f"{reason}; {NOT_STOPPED}", level="warning")
            self._rt.publish(event)
        return {"locked": True, "saved": self._saved, "detail": NOT_STOPPED}

    def save(self) -> None:
        """The lock to the disk, where it is not yet."""
        try:
            self._latch.set(self.reason)
            self._saved = True
        except OSError as e:
            self._saved = False
            self._rt.log.seldom(
                "latch", "the lock is not on the disk, it is tried again",
                event=LogEvent.LATCH_UNSAVED, reason=e.strerror,
            )  # fmt: skip

    def _unlock(self, request: Reply) -> Reply:
        if msgspec.convert(request, Unlock).confirm != CONFIRM:
            raise RigbusError(f"confirm: to unlock, say confirm = {CONFIRM!r}")
        if self.locked:
            try:
                self._latch.clear()
            except OSError as e:
                raise RigbusError(f"locked: {self._latch.path} cannot be removed: {e.strerror}") from None
            self.locked, self._saved = False, True
            self._rt.log.warning("unlocked", event=LogEvent.UNLOCKED)
            self._rt.publish(Event(event_type="unlocked", source="dds"))
        return {"locked": False}

    # ---- in the main thread

    def take(self, cfg: DdsConfig) -> None:
        """Commands that come from here on go by it."""
        self._cfg = cfg

    def look(self) -> None:
        """A lock that somebody else has set counts; one that is not on the disk is tried again."""
        if not self.locked and self._latch.is_set():
            with self._gate:
                self._stops += 1
                self.locked, self.reason = True, self._latch.reason()
            self._rt.log.warning("emergency stop", event=LogEvent.ESTOP, reason=self.reason)
        elif self.locked and not self._saved:
            self.save()

    def close(self) -> None:
        """What waits is refused."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    # ---- in the desk's thread

    def _work(self) -> None:
        self.rounds.idle()
        while (work := self._queue.get()) is not None:
            self.rounds.turn()
            work()
            self.rounds.idle()

    def _send(self, order: Order, command_id: str, correlation_id: str, force: bool, stops: int) -> Reply:
        """The whole way of one command; the reply comes when it has left. Raises RigbusError where it did not."""
        with self._lock:
            before = self._ledger.find(command_id)
            if before is not None:
                if (before.funcode, before.data) != order:
                    raise RigbusError(f"command_id {command_id} was another command: funcode {before.funcode}")
                return _told(before, repeated=True)
            self._check(order, force, stops)
            record = self._ledger.intend(command_id, correlation_id, order, clock.wall_ns())
        text = order.text(record.seq)
        message = messages.read(text)
        seq = self._rt.publish(messages.command(message, correlation_id))
        if not self._rt.committed(seq, _COMMIT_S):
            raise self._end(record, "not_sent", f"the journal did not record it in {_COMMIT_S:g} s")
        with self._gate:
            if self.locked or self._stops != stops:
                raise self._end(record, "not_sent", f"emergency stop: {self.reason}")
            self._recorder.moved(command_id, message)
            try:
                self._bridge.write(text)
            except RigbusError as e:
                raise self._end(record, "unknown", str(e)) from None
        with self._lock:
            record.state = "sent"
            self._ledger.note(record)
            return _told(record, repeated=False)

    def _check(self, order: Order, force: bool, stops: int) -> None:
        if self._closed:
            raise RigbusError("stopping: the daemon ends")
        if self.locked or self._stops != stops:
            raise RigbusError(f"locked: emergency stop: {self.reason}")
        if not self._bridge.listeners:
            raise RigbusError("no arm listens on rt/arm_Command")
        enables = order.funcode in (commands.ENABLE, commands.MOTOR) and order.data is not None and order.data["mode"]
        if enables and not force:
            if not self._tracker.fresh:
                raise RigbusError("stale: where the arm stands is not known, and it would run to its last target")
            if chase := self._tracker.chase():
                told = ", ".join(f"joint {joint} by {by:+.0f}°" for joint, by in chase.items())
                raise RigbusError(f"chase: enabled, the arm would run to its last target: {told} (force = true: do it)")

    def _end(self, record: Record, state: Literal["not_sent", "unknown"], reason: str) -> RigbusError:
        """Records that an intent came to nothing, or to nobody knows what; returns that as an error."""
        with self._lock:
            record.state, record.reason = state, reason
            self._ledger.note(record)
        who = record.correlation_id
        self._rt.publish(
            Event(event_type=state, source="dds", detail=reason, correlation_id=who, level="warning"),
        )
        return RigbusError(f"{state}: {reason}")


def _told(record: Record, *, repeated: bool) -> Reply:
    return {
        "command_id": record.command_id,
        "correlation_id": record.correlation_id,
        "arm_seq": record.seq,
        "state": record.state,
        "reason": record.reason,
        "received": record.received,
        "executed": record.executed,
        "result": record.result,
        "repeated": repeated,
    }
