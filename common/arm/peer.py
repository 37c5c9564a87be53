"""The arm's own side of its domain, for the simulated one: writers of what it says, a reader of commands."""

from collections.abc import Sequence

from cyclonedds.core import DDSException, InstanceState, ReadCondition, SampleState, ViewState, WaitSet
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from common.arm.idl import ANGLES, COMMAND, FEEDBACK, ArmString_, PubServoInfo_
from common.arm.network import cyclone_xml
from common.config.schema import DdsConfig
from common.errors import DeviceMissing


class ArmPeer:
    """CycloneDDS's defaults, as the arm's: reliable writers that keep 1, a best-effort reader. For one thread."""

    def __init__(self, cfg: DdsConfig) -> None:
        """Raises DeviceMissing."""
        try:
            self._domain = Domain(cfg.domain, cyclone_xml(cfg))
            participant = DomainParticipant(cfg.domain)
            self._feedback = DataWriter(participant, Topic(participant, FEEDBACK, ArmString_))
            self._angles = DataWriter(participant, Topic(participant, ANGLES, PubServoInfo_))
            several = Qos(Policy.History.KeepLast(100))
            self._commands = DataReader(participant, Topic(participant, COMMAND, ArmString_), qos=several)
            self._waitset = WaitSet(participant)
            unread = SampleState.NotRead | ViewState.Any | InstanceState.Any
            self._waitset.attach(ReadCondition(self._commands, unread))
        except DDSException as e:
            raise DeviceMissing(f"dds: domain {cfg.domain} on {cfg.interface}: CycloneDDS: {e.msg or e}") from None

    def commands(self, timeout_s: float) -> list[str]:
        """Commands that came, at once or within a time; [] after that."""
        self._waitset.wait(max(1, round(timeout_s * 1e9)))
        return [s.data_ for s in self._commands.take(100) if not isinstance(s, InvalidSample)]

    def feedback(self, text: str) -> None:
        self._feedback.write(ArmString_(text))

    def angles(self, angles: Sequence[float]) -> None:
        self._angles.write(PubServoInfo_(*angles))
