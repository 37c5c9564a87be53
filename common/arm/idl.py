"""The arm's DDS types, as its firmware declares them: final, IDL module unitree_arm::msg::dds_.

A type of another name or shape never matches, and nothing says so. Annotations here must be types, not text:
`from __future__ import annotations` breaks cyclonedds.
"""

from dataclasses import dataclass
from typing import Any

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import final
from cyclonedds.idl.types import float32

# verbatim: `rt/` is a part of the name
COMMAND, FEEDBACK, FEEDBACK_BARE, ANGLES = "rt/arm_Command", "rt/arm_Feedback", "arm_Feedback", "current_servo_angle"


@dataclass
@final
class ArmString_(IdlStruct, typename="unitree_arm.msg.dds_.ArmString_"):  # noqa: N801
    """data_: a JSON text, see messages.py."""

    data_: str

    @classmethod
    def deserialize(cls, data: bytes, *args: Any, **kwargs: Any) -> "ArmString_":
        """Text that is not UTF-8 is taken too, its odd bytes as \\xNN: it would cost the whole batch otherwise."""
        try:
            return super().deserialize(data, *args, **kwargs)
        except UnicodeDecodeError as e:
            return cls(e.object.decode(errors="backslashreplace"))


@dataclass
@final
class PubServoInfo_(IdlStruct, typename="unitree_arm.msg.dds_.PubServoInfo_"):  # noqa: N801
    """Angles of the joints 0 to 5 in degrees, and of the gripper (6)."""

    servo0_data_: float32
    servo1_data_: float32
    servo2_data_: float32
    servo3_data_: float32
    servo4_data_: float32
    servo5_data_: float32
    servo6_data_: float32
