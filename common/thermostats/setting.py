"""A control command, carried out: intent recorded, sent once and in time or not at all, outcome recorded."""

import json
import time

from common.errors import RigbusError
from common.frames import Event
from common.runtime import Runtime
from common.thermostats.commands import Answer
from common.thermostats.control import Setting
from common.thermostats.link import Link, LinkError, Stopped, TimedOut, TooLate
from common.thermostats.mark import Mark
from common.thermostats.protocol import Listing, Refusal, Reply, Warned


class _Record:
    """The events of one command, and its mark for the next start."""

    def __init__(self, rt: Runtime, mark: Mark, device: str, command: dict[str, str | None]) -> None:
        """command: op, dialect, sent, command_id."""
        self._rt, self._mark, self._device, self._command = rt, mark, device, command

    def tell(self, stage: str, level: str = "info", **more: str) -> int:
        data = {"op": self._command["op"], "dialect": self._command["dialect"], **more}
        return self._rt.publish(
            Event(
                event_type=f"control_{stage}", source=self._device, detail=self._command["sent"] or "", level=level,
                data_json=json.dumps(data), correlation_id=self._command["command_id"],
            )
        )  # fmt: skip

    def intent(self) -> bool:
        """Whether the journal holds it."""
        self._mark.begin(self._command)
        return self._rt.committed(self.tell("intent"))

    def outcome(self, outcome: str, level: str = "warning", **more: str) -> None:
        if self._rt.committed(self.tell("outcome", level, outcome=outcome, **more)):
            self._mark.end()


def carry_out(
    rt: Runtime, mark: Mark, device: str, setting: Setting, dialect: str, link: Link, not_after_ns: int
) -> Answer:
    """Returns the reply's fields. Raises RigbusError where the device says no; LinkError where it says nothing.

    Nothing is sent before the journal holds the intent, nor after not_after_ns (CLOCK_BOOTTIME). All that answers it
    must come in the link's time-out. Without an answer nobody knows whether it was done.
    """
    words = setting.words(dialect)
    command = {"op": setting.op, "dialect": dialect, "sent": words, "command_id": setting.command_id}
    record = _Record(rt, mark, device, command)
    if not record.intent():
        record.outcome("not sent", reason="the intent could not be recorded")
        raise RigbusError(f"{device}: not sent, as it could not be recorded")
    warnings = []
    try:
        link.flush()
        link.send(words, not_after_ns)
        deadline = time.monotonic() + link.timeout_s
        for _ in range(setting.replies):
            reply = _answer(link, words, deadline)
            if isinstance(reply, Refusal):
                record.outcome("refused", reason=reply.text)
                raise RigbusError(f"{device}: the device refuses {words!r}: {reply.text}")
            if isinstance(reply, Warned):
                warnings.append(reply.text)
    except (LinkError, Stopped, TooLate) as e:
        record.outcome("unknown" if link.begun else "not sent", reason=str(e))
        told = "was sent once, whether it was done is not known" if link.begun else "was not sent"
        raise type(e)(f"{device}: {words!r} {told}: {e}") from None
    record.outcome("done", "info", **({"warning": "; ".join(warnings)} if warnings else {}))
    return {"device": device, "dialect": dialect, "sent": words, "warnings": warnings}


def close_left_open(rt: Runtime, mark: Mark, device: str) -> None:
    """At the start: the command that a killed daemon was about. It is not sent again."""
    command = mark.left_open()
    if command is not None:
        fields = ("op", "dialect", "sent", "command_id")
        told = {name: text if isinstance(text := command.get(name), str) else None for name in fields}
        _Record(rt, mark, device, told).outcome("unknown", reason="the daemon ended before an answer came")


def _answer(link: Link, words: str, deadline: float) -> Reply:
    """The next line that is no report: those come unasked from a device that streams."""
    while True:
        reply = link.reply(f"no answer to {words!r}", deadline)
        if not isinstance(reply, Listing):
            return reply
        if time.monotonic() > deadline:
            raise TimedOut(f"only reports in answer to {words!r}")
