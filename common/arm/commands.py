"""What may be sent to the arm: checks of a request, and the JSON text of a command. Pure.

A wrong type or a missing field is msgspec.ValidationError, a value out of bounds RigbusError; both say what and why.
"""

import math
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from common.arm.messages import JOINTS, TO_ARM
from common.errors import RigbusError

MOVE, MOVE_ALL, MOTOR, ENABLE, POWER, ZERO = 1, 2, 4, 5, 6, 7  # function codes of address 1
GRIPPER = 6
# ± degrees, from the vendor's manual; nothing is known of the gripper but that its unit is disputed: the widest joint's
LIMITS_DEG = (135.0, 90.0, 90.0, 135.0, 90.0, 135.0, 135.0)
MAX_DELAY_MS = 60_000
MAX_MODE = 80_000
MAX_SEQ = 2**31 - 1  # the arm's own width is not known: it fits in every signed one

_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")]


class Order(NamedTuple):
    """A checked command. data None: the command has none."""

    funcode: int
    data: dict[str, Any] | None

    def text(self, seq: int) -> str:
        """The JSON text, as it goes into `data_`."""
        data = {} if self.data is None else {"data": self.data}
        return msgspec.json.encode({"seq": seq, "address": TO_ARM, "funcode": self.funcode, **data}).decode()


class Identity(Struct):
    """The part of every request: command_id, drawn where there is none; correlation_id, by default the same."""

    command_id: _Id | None = None
    correlation_id: _Id | None = None


class _Joint(Struct):
    # not `id`: that is the request's own
    joint: int
    angle: float
    delay_ms: int = 0


class _Joints(Struct):
    angles: list[float]
    mode: int = 1


class _Send(Struct):
    funcode: int
    data: dict[str, Any] | None = None


class _Power(Struct):
    on: bool


class _MoveData(Struct, forbid_unknown_fields=True):
    id: int
    angle: float
    delay_ms: int


class _MoveAllData(Struct, forbid_unknown_fields=True):
    mode: int
    angle0: float
    angle1: float
    angle2: float
    angle3: float
    angle4: float
    angle5: float
    angle6: float


class _MotorData(Struct, forbid_unknown_fields=True):
    id: int
    mode: int


class _ModeData(Struct, forbid_unknown_fields=True):
    mode: int


class _PowerData(Struct, forbid_unknown_fields=True):
    power: int


_DATA: dict[int, type[Struct] | None] = {
    MOVE: _MoveData, MOVE_ALL: _MoveAllData, MOTOR: _MotorData, ENABLE: _ModeData, POWER: _PowerData, ZERO: None,
}  # fmt: skip


def order_of(op: str, request: dict[str, Any], enable_mode: int) -> Order:
    """The checked command of a ctl request. op: send, joint, joints, enable, release, power, zero."""
    if op == "send":
        sent = msgspec.convert(request, _Send)
        return check(sent.funcode, sent.data)
    if op == "joint":
        one = msgspec.convert(request, _Joint)
        return check(MOVE, {"id": one.joint, "angle": one.angle, "delay_ms": one.delay_ms})
    if op == "joints":
        every = msgspec.convert(request, _Joints)
        if len(every.angles) != JOINTS:
            raise RigbusError(f"angles: {len(every.angles)} of them; there must be {JOINTS}, the gripper's last")
        angles = {f"angle{joint}": angle for joint, angle in enumerate(every.angles)}
        return check(MOVE_ALL, {"mode": every.mode, **angles})
    if op == "power":
        return check(POWER, {"power": int(msgspec.convert(request, _Power).on)})
    if op == "zero":
        return check(ZERO, None)
    return check(ENABLE, {"mode": enable_mode if op == "enable" else 0})


def check(funcode: int, data: dict[str, Any] | None) -> Order:
    """The command as it may be sent. Raises RigbusError, msgspec.ValidationError."""
    if funcode not in _DATA:
        raise RigbusError(f"funcode {funcode}: there are {', '.join(map(str, _DATA))}")
    shape = _DATA[funcode]
    if shape is None:
        if data:
            raise RigbusError(f"funcode {funcode} has no data")
        return Order(funcode, None)
    checked = msgspec.to_builtins(msgspec.convert(data, shape))
    for key, value in checked.items():
        _within(funcode, key, value, checked)
    return Order(funcode, checked)


def _within(funcode: int, key: str, value: Any, data: dict[str, Any]) -> None:
    if key == "id":
        _bounds("joint", value, 0, JOINTS - 1, "")
    elif key.startswith("angle"):
        joint = data["id"] if key == "angle" else int(key[5:])
        if not 0 <= joint < JOINTS:
            raise RigbusError(f"joint {joint}: there are 0 to {JOINTS - 1}")
        limit = LIMITS_DEG[joint]
        _bounds(f"angle of joint {joint}", value, -limit, limit, "°")
    elif key == "delay_ms":
        _bounds(key, value, 0, MAX_DELAY_MS, " ms")
    elif key == "power" or (key == "mode" and funcode == MOVE_ALL):
        _bounds(key, value, 0, 1, "")
    else:
        _bounds(key, value, 0, MAX_MODE, "")


def _bounds(what: str, value: float, low: float, high: float, unit: str) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise RigbusError(f"{what}: {value:g} is not within {low:g} to {high:g}{unit}")
