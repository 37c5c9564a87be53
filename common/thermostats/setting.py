"""A control command, carried out: intent recorded, sent once, never again, outcome recorded."""

import json

from common.errors import RigbusError
from common.frames import Event
from common.runtime import Runtime
from common.thermostats.commands import Answer
from common.thermostats.control import Setting
from common.thermostats.link import Link, LinkError, Stopped
from common.thermostats.protocol import Listing, Refusal, Reply, Warned


def carry_out(rt: Runtime, device: str, setting: Setting, dialect: str, link: Link) -> Answer:
    """Returns the reply's fields. Raises RigbusError where the device says no; LinkError where it says nothing.

    Nothing is sent before the journal holds the intent. Without an answer nobody knows whether it was done.
    """
    words = setting.words(dialect)

    def record(stage: str, level: str = "info", **more: str) -> int:
        return rt.publish(
            Event(
                event_type=f"control_{stage}", source=device, detail=words, level=level,
                data_json=json.dumps({"op": setting.op, "dialect": dialect, **more}),
                correlation_id=setting.command_id,
            )
        )  # fmt: skip

    if not rt.committed(record("intent")):
        record("outcome", "warning", outcome="not sent", reason="the intent could not be recorded")
        raise RigbusError(f"{device}: not sent, as it could not be recorded")
    warnings = []
    try:
        link.flush()
        link.send(words)
        for _ in range(setting.replies):
            reply = _answer(link, words)
            if isinstance(reply, Refusal):
                record("outcome", "warning", outcome="refused", reason=reply.text)
                raise RigbusError(f"{device}: the device refuses {words!r}: {reply.text}")
            if isinstance(reply, Warned):
                warnings.append(reply.text)
    except (LinkError, Stopped) as e:
        record("outcome", "warning", outcome="unknown", reason=str(e))
        raise type(e)(f"{device}: {words!r} was sent once, whether it was done is not known: {e}") from None
    record("outcome", outcome="done", **({"warning": "; ".join(warnings)} if warnings else {}))
    return {"device": device, "dialect": dialect, "sent": words, "warnings": warnings}


def _answer(link: Link, words: str) -> Reply:
    """The next line that is no report: those come unasked from a device that streams."""
    for _ in range(100):
        reply = link.reply(f"no answer to {words!r}")
        if not isinstance(reply, Listing):
            return reply
    raise LinkError(f"only reports in answer to {words!r}")
