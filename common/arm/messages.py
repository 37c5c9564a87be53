"""The arm's messages: the JSON text in `data_` → what it says, and a frame of it. Pure, and total: any text is taken.

A message is `{seq, address, funcode, data}`, and `address` gives `funcode` its meaning: 1 is "move a joint" on the way
to the arm (address 1), "angles" as state (2) and "received" as an acknowledgement (3).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeGuard, TypeVar

import msgspec
from msgspec import UNSET

from common.frames import ArmCommand, ArmFeedback

TO_ARM, STATE, ACK = 1, 2, 3  # addresses
NO_FUNCODE = -1  # of what is no message of the arm; the column in the store cannot be NULL
JOINTS = 7  # joints 0 to 5, and the gripper (6)
MAX_TEXT = 8192  # characters of a text that are recorded; a message of the arm has under 300
_MAX_DEPTH = 16
_MAX_OPENINGS = 64  # brackets of a text: far nested ones overflow the stack of a thread before any limit is met
_KEYS = {"seq", "address", "funcode", "data"}

_Arm = TypeVar("_Arm", ArmCommand, ArmFeedback)
Kind = Literal["angles", "state", "motors", "received", "executed", "unknown", "malformed"]
_KINDS: dict[tuple[int | None, int], Kind] = {
    (STATE, 1): "angles",
    (STATE, 3): "state",
    (STATE, 4): "motors",
    (ACK, 1): "received",
    (ACK, 2): "executed",
}


class Message(NamedTuple):
    """fields: the map in `data` ({} where there is none). data: what is recorded of it. raw_len: bytes of the text.

    funcode NO_FUNCODE: the text is no message of the arm, and `data` holds all of it, cut to MAX_TEXT.
    """

    address: int | None
    funcode: int
    seq: int | None
    fields: dict[str, Any]
    data: Any
    raw_len: int

    @property
    def kind(self) -> Kind:
        """What a message from the arm is."""
        return "malformed" if self.funcode == NO_FUNCODE else _KINDS.get((self.address, self.funcode), "unknown")


def read(text: str) -> Message:
    """Never raises. A message with further or odd members is recorded whole, and read as far as it can be."""
    size = len(text.encode(errors="replace"))
    small = len(text) <= MAX_TEXT and text.count("[") + text.count("{") <= _MAX_OPENINGS
    try:
        value = msgspec.json.decode(text) if small else None
    except (msgspec.DecodeError, UnicodeError):
        value = None
    if not isinstance(value, dict) or not _storable(value, _MAX_DEPTH):
        return Message(None, NO_FUNCODE, None, {}, _printable(text[:MAX_TEXT]), size)
    address, funcode, seq, data = (value.get(key) for key in ("address", "funcode", "seq", "data"))
    if not _is_i64(address) or not _is_i64(funcode):
        return Message(None, NO_FUNCODE, None, {}, value, size)
    plain = value.keys() <= _KEYS and (seq is None or _is_i64(seq))
    fields = data if isinstance(data, dict) else {}
    return Message(address, funcode, seq if _is_i64(seq) else None, fields, data if plain else value, size)


def feedback(message: Message, correlation_id: str | None = None) -> ArmFeedback:
    """The frame of a message from the arm: angles where it says angles, numbers where it says how it is or "done"."""
    frame = _frame(ArmFeedback, message, correlation_id)
    if message.kind == "angles":
        frame.angles = angles_of(message.fields)
    elif message.kind not in ("malformed", "unknown"):
        frame.status = {key: value for key, value in message.fields.items() if _is_i64(value)}
    return frame


def servo_feedback(angles: Sequence[float]) -> ArmFeedback:
    """The frame of one `current_servo_angle`: angles, without an address."""
    return ArmFeedback(funcode=1, data=None, angles=servo_angles(angles), raw_len=4 * len(angles))


def servo_angles(angles: Sequence[float]) -> list[float | None]:
    """What is not a finite number is None."""
    return [number(angle) for angle in angles]


def command(message: Message, correlation_id: str | None = None) -> ArmCommand:
    """The frame of a command on its way to the arm, whoever sent it."""
    frame = _frame(ArmCommand, message, correlation_id)
    if message.address == TO_ARM and message.funcode == 1:
        joint, target = message.fields.get("id"), number(message.fields.get("angle"))
        frame.joint_id = joint if _is_i64(joint) else UNSET
        frame.target_value = UNSET if target is None else target
    elif message.address == TO_ARM and message.funcode == 2:
        frame.angles = angles_of(message.fields)
    return frame


def targets_of(message: Message) -> dict[int, float]:
    """Joint → target in degrees that a command sets, for both commands that move and for zero; {} for all others."""
    fields = message.fields
    if message.address != TO_ARM:
        return {}
    if message.funcode == 1:
        joint, target = fields.get("id"), number(fields.get("angle"))
        return {joint: target} if _is_i64(joint) and 0 <= joint < JOINTS and target is not None else {}
    if message.funcode == 2:
        return {joint: angle for joint, angle in enumerate(angles_of(fields)) if angle is not None}
    return dict.fromkeys(range(JOINTS), 0.0) if message.funcode == 7 else {}


def angles_of(fields: dict[str, Any]) -> list[float | None]:
    """angle0 to angle6; what is missing or no number is None, never 0.0."""
    return [number(fields.get(f"angle{joint}")) for joint in range(JOINTS)]


def number(value: Any) -> float | None:
    """A finite number, or None."""
    return float(value) if _is_i64(value) or (isinstance(value, float) and math.isfinite(value)) else None


def _frame(kind: type[_Arm], message: Message, correlation_id: str | None) -> _Arm:
    return kind(
        funcode=message.funcode,
        data=message.data,
        address=UNSET if message.address is None else message.address,
        arm_seq=UNSET if message.seq is None else message.seq,
        correlation_id=UNSET if correlation_id is None else correlation_id,
        raw_len=message.raw_len,
    )


def _is_i64(value: Any) -> TypeGuard[int]:
    return type(value) is int and -(2**63) <= value < 2**63


def _storable(value: Any, depth: int) -> bool:
    """Whether it can be written as MessagePack and read by everybody: 64 bit integers, finite numbers, not too deep."""
    if isinstance(value, int):
        return isinstance(value, bool) or _is_i64(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_storable(one, depth - 1) for one in inner)
    return True


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
