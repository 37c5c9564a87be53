"""This process on the arm's DDS domain: readers of all that the arm and its other users say, a writer of commands."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from cyclonedds.core import (
    DDSException,
    GuardCondition,
    InstanceState,
    Listener,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from common.arm.idl import ANGLES, COMMAND, FEEDBACK, FEEDBACK_BARE, ArmString_, PubServoInfo_
from common.arm.messages import JOINTS
from common.arm.network import cyclone_xml
from common.config.schema import DdsConfig
from common.errors import DeviceMissing, RigbusError
from common.notify import Rounds

# Angles, state and acknowledgements share one topic without keys: a reader that keeps 1 loses what comes together.
DEPTH = 1000
_SETTLED_S = 1.0
_WAIT, _ROUND_S = duration(seconds=10), 60.0

# best effort matches every writer; a reliable reader would not hear one that is best effort
_READER = (Policy.Reliability.BestEffort, Policy.History.KeepLast(DEPTH))
# A command that an arm has not taken within a second is void: nothing moves late, after a cable was plugged in again.
_WRITER = Qos(
    Policy.Reliability.Reliable(duration(milliseconds=100)),
    Policy.History.KeepLast(1),
    Policy.Lifespan(duration(seconds=1)),
)

OnText = Callable[[str, str], None]
OnServo = Callable[[Sequence[float]], None]
OnLoss = Callable[[int | None, str, str], None]


class _Matches(Listener):
    """Counts who is at the other end of a reader or a writer (0.10 has no get_matched_subscriptions())."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0
        self.since = time.monotonic()

    def on_publication_matched(self, writer: Any, status: Any) -> None:
        if status.current_count > self.count:
            self.since = time.monotonic()
        self.count = status.current_count

    def on_subscription_matched(self, reader: Any, status: Any) -> None:
        self.count = status.current_count


class Bridge:
    """start() before anything is heard; one thread of its own calls back. write() and `listeners` from any thread."""

    def __init__(self, cfg: DdsConfig) -> None:
        """Raises DeviceMissing."""
        xml = cyclone_xml(cfg)
        try:
            self._domain = Domain(cfg.domain, xml)
            self._participant = DomainParticipant(cfg.domain)
            command = Topic(self._participant, COMMAND, ArmString_)
            self._matches = {topic: _Matches() for topic in (COMMAND, FEEDBACK, FEEDBACK_BARE, ANGLES)}
            self._listeners = _Matches()
            self._writer = DataWriter(self._participant, command, qos=_WRITER, listener=self._listeners)
            # what we send is recorded before it leaves: only what others send is read back
            self._readers = {COMMAND: self._reader(command, Policy.IgnoreLocal.Participant)}
            for name in (FEEDBACK, FEEDBACK_BARE):
                self._readers[name] = self._reader(Topic(self._participant, name, ArmString_))
            self._readers[ANGLES] = self._reader(Topic(self._participant, ANGLES, PubServoInfo_))
            self._end = GuardCondition(self._participant)
            self._waitset = WaitSet(self._participant)
            for reader in self._readers.values():
                any_sample = SampleState.NotRead | ViewState.Any | InstanceState.Any
                self._waitset.attach(ReadCondition(reader, any_sample))
            self._waitset.attach(self._end)
        except DDSException as e:
            where = f"domain {cfg.domain} on {cfg.interface}"
            raise DeviceMissing(f"dds: {where}: CycloneDDS cannot be started: {e.msg or e}") from None
        self._stopping = False
        self.rounds = Rounds(_ROUND_S)  # of the receiving thread
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def _reader(self, topic: Topic[Any], *more: Any) -> DataReader[Any]:
        qos = Qos(*_READER, *more)
        return DataReader(self._participant, topic, qos=qos, listener=self._matches[topic.name])

    @property
    def listeners(self) -> int:
        """How many read what we send; 0 for a moment after a new one came.

        It may not know of us yet, and a best-effort reader, as the arm's, would miss a command.
        """
        settled = time.monotonic() - self._listeners.since > _SETTLED_S
        return self._listeners.count if settled else 0

    @property
    def writers(self) -> dict[str, int]:
        """Topic → how many write it, as far as their types are the arm's."""
        return {topic: matches.count for topic, matches in self._matches.items()}

    def write(self, text: str) -> None:
        """One command, once. Raises RigbusError."""
        try:
            self._writer.write(ArmString_(text))
        except DDSException as e:
            raise RigbusError(f"not sent: {e.msg or e}") from None

    def start(self, on_text: OnText, on_servo: OnServo, lost: OnLoss) -> None:
        """on_text(topic, text), on_servo(angles), lost(count, cause, detail): samples that came and went unseen."""
        args = (on_text, on_servo, lost)
        self._thread = threading.Thread(target=self._receive, args=args, name="dds", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises what ended the receiving thread: it never ends in silence."""
        if self._fault is not None:
            raise self._fault

    def _receive(self, on_text: OnText, on_servo: OnServo, lost: OnLoss) -> None:
        try:
            while not self._stopping:
                self.rounds.turn()
                self._waitset.wait(_WAIT)
                for topic, reader in self._readers.items():
                    self._sweep(topic, reader, on_text, on_servo, lost)
        except BaseException as e:
            self._fault = e

    def _sweep(self, topic: str, reader: Any, on_text: OnText, on_servo: OnServo, lost: OnLoss) -> None:
        while not self._stopping:
            try:
                samples = reader.take(DEPTH)
            except DDSException:
                raise
            except Exception as e:
                lost(None, "undecodable", f"{topic}: {type(e).__name__}: {e}")
                continue
            # it was full, and then it drops the oldest without a word
            if len(samples) >= DEPTH:
                lost(None, "reader_full", topic)
            for sample in samples:
                if isinstance(sample, InvalidSample):
                    continue  # a writer went: no data
                try:
                    if topic == ANGLES:
                        on_servo([getattr(sample, f"servo{joint}_data_") for joint in range(JOINTS)])
                    else:
                        on_text(topic, sample.data_)
                except Exception as e:
                    # a stranger's word must not end the recording of all others
                    lost(None, "undecodable", f"{topic}: {type(e).__name__}: {e}")
            if len(samples) < DEPTH:
                return

    def close(self) -> None:
        self._stopping = True
        self._end.set(True)
        if self._thread is not None:
            self._thread.join()
        # cyclonedds has no close(): entities go with their last reference, children first
        del self._waitset, self._end, self._writer, self._readers
        del self._participant, self._domain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
