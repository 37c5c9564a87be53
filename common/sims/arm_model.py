"""A D1 arm without a network: commands in, acknowledgements, angles and state out, oddities included. Pure.

Times are seconds of any clock that the caller gives.
"""

import json
from dataclasses import dataclass

from common.arm import commands, messages
from common.arm.messages import JOINTS, Message

REST = (0.0, -80.0, 80.0, 0.0, 0.0, 0.0, 10.0)
SMOOTHING_S = 0.1  # funcode 2, mode 0: targets come ten times a second, each is reached by the next
SPEED = 60.0  # degrees per second, of moves that do not say how long they take
ENABLES_FROM = 1000  # a mode of funcode 5 below that leaves the arm released


@dataclass
class _Joint:
    """Goes from `start` to `target` between two times, and stays there."""

    start: float
    target: float
    begin_s: float = 0.0
    end_s: float = 0.0

    def at(self, now_s: float) -> float:
        if now_s >= self.end_s:
            return self.target
        return self.start + (self.target - self.start) * (now_s - self.begin_s) / (self.end_s - self.begin_s)


class ArmModel:
    """silent: no angles any more, after a command for a joint that is not there."""

    def __init__(self) -> None:
        self._joints = [_Joint(angle, angle) for angle in REST]
        self._stale: dict[int, float] = {}  # targets that came while released: an enable runs to them
        self.enabled = True
        self.silent = False
        self.moves = 0

    def angles(self, now_s: float) -> list[float]:
        return [joint.at(now_s) for joint in self._joints]

    def command(self, text: str, now_s: float) -> list[str]:
        """Takes one `data_`; returns the texts of its acknowledgements. What it cannot read it ignores."""
        message = messages.read(text)
        if message.address != messages.TO_ARM or message.seq is None:
            return []
        self._obey(message, now_s)
        # both at once and for everything: they say nothing about the motion
        received = _text(message.seq, messages.ACK, 1, {"recv_status": 1})
        return [received, _text(message.seq, messages.ACK, 2, {"exec_status": 1})]

    def _obey(self, message: Message, now_s: float) -> None:
        fields = message.fields
        if message.funcode == commands.ENABLE:
            self._enable(fields.get("mode"), now_s)
        elif message.funcode == commands.MOVE and fields.get("id") not in range(JOINTS):
            self.silent = True
        # power = 0 is acknowledged and cuts nothing
        for joint, target in messages.targets_of(message).items():
            # no number is remembered: the same command once more is one more motion
            if self.enabled:
                self._move(joint, target, self._seconds(message, joint, target, now_s), now_s)
            else:
                self._stale[joint] = target

    def _enable(self, mode: object, now_s: float) -> None:
        enable = isinstance(mode, int) and mode >= ENABLES_FROM
        if enable and not self.enabled:
            for joint, target in self._stale.items():
                self._move(joint, target, abs(target - self._joints[joint].at(now_s)) / SPEED, now_s)
            self._stale.clear()
        elif not enable and self.enabled:
            # it holds its targets in mind while it is moved by hand
            self._stale = {i: joint.target for i, joint in enumerate(self._joints)}
            self._joints = [_Joint(angle, angle) for angle in self.angles(now_s)]
        self.enabled = enable

    def push(self, joint: int, angle: float) -> None:
        """A hand moves a released joint."""
        if not self.enabled:
            self._joints[joint] = _Joint(angle, angle)

    def _seconds(self, message: Message, joint: int, target: float, now_s: float) -> float:
        delay_ms = messages.number(message.fields.get("delay_ms"))
        if message.funcode == commands.MOVE and delay_ms is not None:
            return max(0.0, delay_ms / 1e3)
        if message.funcode == commands.MOVE_ALL and message.fields.get("mode") == 0:
            return SMOOTHING_S
        return abs(target - self._joints[joint].at(now_s)) / SPEED

    def _move(self, joint: int, target: float, seconds: float, now_s: float) -> None:
        self.moves += 1
        self._joints[joint] = _Joint(self._joints[joint].at(now_s), target, now_s, now_s + seconds)

    def angles_text(self, now_s: float) -> str:
        data = {f"angle{i}": round(angle, 1) for i, angle in enumerate(self.angles(now_s))}
        return _text(10, messages.STATE, 1, data)

    def state_text(self) -> str:
        data = {"enable_status": int(self.enabled), "power_status": 1, "error_status": 0}
        return _text(10, messages.STATE, 3, data)

    def motors_text(self) -> str:
        return _text(10, messages.STATE, 4, {f"motor{i}_status": int(self.enabled) for i in range(JOINTS)})


def _text(seq: int, address: int, funcode: int, data: dict[str, int] | dict[str, float]) -> str:
    return json.dumps({"seq": seq, "address": address, "funcode": funcode, "data": data}, separators=(",", ":"))
