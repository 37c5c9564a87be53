"""The sections of the status, in the order of docs/http.md: a function each, from what is known to what is sent."""

from collections.abc import Callable
from typing import Any

from common.gateway.attention import attention
from common.gateway.sections import actuators, devices, keeping, rig
from common.gateway.sections.context import Context

__all__ = ["SECTIONS", "Context"]

# gets what is known, and the sections made before it
Make = Callable[[Context, dict[str, Any]], Any]

SECTIONS: dict[str, Make] = {
    "rig": rig.rig,
    "daemons": rig.daemons,
    "streams": rig.streams,
    "pulse": devices.pulse,
    "vibration": devices.vibration,
    "thermostat": devices.thermostat,
    "pumps": actuators.pumps,
    "arm": actuators.arm,
    "record": keeping.record,
    "outputs": keeping.outputs,
    "account": keeping.account,
    "storage": keeping.storage,
    "attention": lambda context, made: context.holder.look(attention(made, context.t), context.at, context.t),
}
