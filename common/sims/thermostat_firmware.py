"""A simulated thermostat without its network: two channels with TECs, and the firmware's language in three dialects.

What is known of the real one is in its sources (M-Labs, and the forks of 2023 to 2025); every oddity of theirs that a
client can trip over is here, and those that come and go are a switch in Quirks.
"""

import json
import math
import random
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, field

Dialect = Literal["old", "swap", "new"]

INPUT_BYTES = 64  # of a request; what follows is dropped, and what was kept is obeyed
REPLY_BYTES = 1024
CHANNELS = (0, 1)
_AMBIENT_C, _TAU_S, _COOLING_C_PER_A_S = 23.0, 60.0, 0.4
_R0_OHM, _T0_K, _BETA_K = 10_000.0, 298.15, 3950.0
_STEP_S = 0.1  # between two values of a channel; the ADC takes the channels in turn
_TURN_S = _STEP_S / len(CHANNELS)
_LONGEST = 1200  # turns that are caught up with: a minute
_INVALID = b'{ "error": "invalid input" }'
_PID = ("target", "kp", "ki", "kd", "output_min", "output_max")
_OUTPUT = ("i_set", "max_v", "max_i_pos", "max_i_neg")
_MAX = {"i_set": 3.0, "max_v": 5.0, "max_i_pos": 3.0, "max_i_neg": 3.0}


class Quirks(Struct):
    """What a device may do to its clients. Each may be changed while it runs.

    no_thermistor, nan: channels whose measured values are null, or NaN. drop_every: each n-th reply is not sent.
    error_every: each n-th request is answered with an error. doubled_braces: those errors are `{{…}}`, which is no
    JSON. frozen: `time` stands still. silent: takes requests, answers nothing. delay_s: before each reply.
    null_current: channels whose i_tec and tec_i are null (swap).
    """

    no_thermistor: set[int] = field(default_factory=set)
    nan: set[int] = field(default_factory=set)
    null_current: set[int] = field(default_factory=set)
    drop_every: int = 0
    error_every: int = 0
    doubled_braces: bool = False
    frozen: bool = False
    silent: bool = False
    delay_s: float = 0.0


class Channel:
    """One TEC with its thermistor and its PID; positive current cools."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.number, self._rng = number, rng
        self.temperature_c = _AMBIENT_C + 2.0 * number
        self.time_s, self.interval_s = 0.0, _STEP_S
        self.pid = {
            "target": 25.0 + 7 * number,
            "kp": 0.5,
            "ki": 0.02,
            "kd": 0.0,
            "output_min": -2.0,
            "output_max": 2.0,
        }
        self.output = {"i_set": 0.0, "max_v": 4.0, "max_i_pos": 2.0, "max_i_neg": 2.0}
        self.engaged, self.polarity, self.swapped = True, "normal", False
        self.pid_output = self._sum = 0.0
        self._noise_c = 0.0

    def step(self, time_s: float) -> None:
        """Up to a new value of the ADC, _STEP_S after the last."""
        error = self.temperature_c - self.pid["target"]
        low, high = self.pid["output_min"], self.pid["output_max"]
        if self.engaged:
            self._sum = min(high, max(low, self._sum + self.pid["ki"] * error * _STEP_S))
            self.pid_output = min(high, max(low, self.pid["kp"] * error + self._sum))
            self.output["i_set"] = self.pid_output
        current = min(self.output["max_i_pos"], max(-self.output["max_i_neg"], self.output["i_set"]))
        self.temperature_c += _STEP_S * ((_AMBIENT_C - self.temperature_c) / _TAU_S - _COOLING_C_PER_A_S * current)
        self._noise_c = self._rng.gauss(0.0, 0.002)
        self.interval_s, self.time_s = time_s - self.time_s, time_s

    def report(self, dialect: Dialect, quirks: Quirks) -> dict[str, Any]:
        """As the firmware writes it, SI units."""
        celsius = self.temperature_c + self._noise_c
        ohm = _R0_OHM * math.exp(_BETA_K * (1 / (celsius + 273.15) - 1 / _T0_K))
        measured: dict[str, Any] = {"adc": 3.3 * ohm / (ohm + _R0_OHM), "sens": ohm, "temperature": celsius}
        if self.number in quirks.no_thermistor:
            measured = dict.fromkeys(measured)
        elif self.number in quirks.nan:
            measured = dict.fromkeys(measured, math.nan)
        current = self.output["i_set"]
        known = self.number not in quirks.null_current
        return {
            "channel": self.number,
            "time": round(self.time_s, 3),
            "interval": round(self.interval_s, 3),
            **measured,
            "pid_engaged": self.engaged,
            **({"current_swapped": self.swapped} if dialect == "swap" else {}),
            "i_set": current,
            **({"vref": 1.5} if dialect == "old" else {}),
            "dac_value": 1.5 + current * 0.4,
            "dac_feedback": 1.5 + current * 0.4,
            "i_tec": 1.5 + current * 0.4 if known else None,
            "tec_i": current if known else None,
            "tec_u_meas": current * 1.8,
            "pid_output": self.pid_output,
        }


class Session:
    """What the firmware keeps of one client."""

    def __init__(self, device: "Firmware") -> None:
        self._device, self._line = device, b""
        self.reporting = False
        self.closed = False  # by `quit`

    def feed(self, data: bytes) -> list[bytes]:
        """Replies without their newline, which the firmware sends apart."""
        out = []
        for byte in data:
            if byte in b"\r\n":
                line, self._line = self._line, b""
                if line:
                    out += self._device.answer(line, self)
            elif len(self._line) < INPUT_BYTES:
                self._line += bytes([byte])
        return out


class Firmware:
    """clock() gives seconds; the device boots with its first look at it."""

    def __init__(self, dialect: Dialect, clock: Callable[[], float], seed: int = 1) -> None:
        self.dialect, self.quirks, self.requests = dialect, Quirks(), list[str]()
        self._clock, self._rng = clock, random.Random(seed)
        self.replies = self._asked = self._turn = self.saves = 0
        self.boot()

    def boot(self) -> None:
        """As after `reset`: time begins again, what was not saved is gone."""
        self._booted = self._now = self._clock()
        self.channels = [Channel(n, self._rng) for n in CHANNELS]
        self.poll()

    def poll(self) -> bool:
        """Lives up to now; whether the ADC has a new value."""
        if self.quirks.frozen:
            return False
        turns = int((self._clock() - self._now) / _TURN_S)
        for _ in range(min(turns, _LONGEST)):
            self._now += _TURN_S
            self._turn = (self._turn + 1) % len(CHANNELS)
            self.channels[self._turn].step(self._now - self._booted)
        if turns > _LONGEST:  # asleep for over a minute: time passes, the temperatures stay
            self._now += (turns - _LONGEST) * _TURN_S
        return turns > 0

    def report(self) -> bytes:
        """The line of a report, its channels in one list."""
        body = _json([channel.report(self.dialect, self.quirks) for channel in self.channels])
        return body if len(body) <= REPLY_BYTES else b'{"error":"BufferFull"}'

    def answer(self, line: bytes, session: Session) -> list[bytes]:
        """What a request is answered with, after the quirks have had their way."""
        self.poll()
        words = line.decode("ascii", "replace").split()
        self.requests.append(" ".join(words))
        del self.requests[:-1000]
        self._asked += 1
        if self.quirks.silent:
            return []
        if self.quirks.error_every and self._asked % self.quirks.error_every == 0:
            return [b'{{"error": "unable to choose postfilter rate"}}' if self.quirks.doubled_braces else _INVALID]
        return [reply for reply in self._execute(words, session) if self._has_room()]

    def push(self, session: Session) -> list[bytes]:
        """What a client gets without asking, at a new value of the ADC."""
        return [self.report()] if session.reporting and not self.quirks.silent and self._has_room() else []

    def _has_room(self) -> bool:
        """Of the transmit buffer: without it a reply is dropped, and nobody told."""
        self.replies += 1
        return not self.quirks.drop_every or self.replies % self.quirks.drop_every != 0

    def _execute(self, words: list[str], session: Session) -> list[bytes]:
        output, thermistor = ("output", "b-p") if self.dialect == "new" else ("pwm", "s-h")
        match words:
            case ["report"]:
                return [self.report()]
            case ["report", "mode", *rest] if self.dialect != "new":
                return _mode(session, rest)
            case ["pid"]:
                return [_json([{"channel": c.number, "parameters": c.pid} for c in self.channels])]
            case ["pid", "0" | "1" as channel, name, value] if name in _PID:
                return self._set(self.channels[int(channel)].pid, name, value)
            case [word] if word == output:
                return [_json([self._limits(c) for c in self.channels])]
            case [word, "0" | "1" as channel, *rest] if word == output:
                return self._set_output(self.channels[int(channel)], rest)
            case ["swap", "0" | "1" as channel] if self.dialect == "swap":
                self.channels[int(channel)].swapped ^= True
                return [b"{}"]
            case [word] if word == thermistor:
                params = {"t0": _T0_K, "b": _BETA_K, "r0": _R0_OHM}
                return [_json([{"channel": c.number, "params": params} for c in self.channels])]
            case ["save" | "load"]:
                self.saves += 1
                return [b"{}", b"{}"]
            case ["save" | "load", "0" | "1"]:
                self.saves += 1
                return [b"{}"]
            case ["fan", *_]:
                return [b'{ "warning": "this thermostat doesn\'t have a fan!" }']
            case ["reset" | "dfu"]:
                self.boot()
                return []
            case ["quit"]:
                session.closed = True
                return []
        return [_INVALID]

    def _set_output(self, channel: Channel, rest: list[str]) -> list[bytes]:
        match rest:
            case ["pid"]:
                channel.engaged = True
            case ["polarity", "normal" | "reversed" as polarity] if self.dialect == "new":
                channel.polarity = polarity
            case [name, value] if name in _OUTPUT:
                if name == "i_set":
                    channel.engaged = False
                return self._set(channel.output, name, value, clamp=self.dialect == "new")
            case _:
                return [_INVALID]
        return [b"{}"]

    def _set(self, where: dict[str, float], name: str, word: str, *, clamp: bool = False) -> list[bytes]:
        """As the firmware's parser reads a number: digits and points behind an optional sign, the rest ignored."""
        digits = word.lstrip("-")
        kept = digits[: next((i for i, c in enumerate(digits) if c not in "0123456789."), len(digits))]
        try:
            value = float(kept) * (-1 if word.startswith("-") else 1)
        except ValueError:
            return [_INVALID]
        if clamp:
            bound = 4.3 if name == "max_v" else 2.0
            value = min(bound, max(-bound if name == "i_set" else 0.0, value))
        where[name] = value
        return [b"{}"]

    def _limits(self, channel: Channel) -> dict[str, Any]:
        if self.dialect == "new":
            return {"channel": channel.number, "center": "vref", **channel.output, "polarity": channel.polarity}
        nested = {name: {"value": value, "max": _MAX[name]} for name, value in channel.output.items()}
        return {"channel": channel.number, "center": "vref", **nested}


def _mode(session: Session, rest: list[str]) -> list[bytes]:
    match rest:
        case []:
            return [b'{ "report": %s }' % (b"true" if session.reporting else b"false")]
        case ["on" | "off" as state]:
            session.reporting = state == "on"
            return [b"{}"]
    return [_INVALID]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
