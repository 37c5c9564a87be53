"""New, repeated or stale: told by the device's own `time`, channel by channel. No I/O."""

from typing import NamedTuple

from common.thermostats.protocol import Reading

# A channel gets a new value each `interval` (0.1 to 0.12 s); asked again sooner, the device repeats the last one.
REPEAT_INTERVALS = 3.0
_USUAL_INTERVAL_S = 0.12
# A device's time that runs ahead of ours by more than this has jumped: a report may have been under way for some
# seconds, and a clock may be wrong by a percent.
_AHEAD_S, _AHEAD = 10.0, 1.01
_REBOOT_S = 60.0
_LEAST_INTERVAL_S, _MOST_INTERVAL_S = 0.001, 60.0  # an interval outside is not believed


class _Seen(NamedTuple):
    time_s: float  # the device's
    at_ns: int  # ours, when it last moved
    interval_s: float


class Verdict(NamedTuple):
    """readings: what is worth a frame, those of a stale channel without their values and with the flag `stale`.

    repeats, stale: channels that repeat themselves, for a short and for too long a time. reboot: what was seen, or "".
    missed: readings that the device made since the last look, but for the newest: by its own time, and by ours where
    that has jumped.
    """

    readings: list[Reading]
    repeats: int
    stale: int
    reboot: str
    missed: int


class Freshness:
    """Remembers each channel's `time` over reconnections."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self.interval_s = 0.0  # between a channel's values, as the device says; 0: not said yet

    def take(self, readings: list[Reading], now_ns: int) -> Verdict:
        """now_ns: CLOCK_MONOTONIC. A reading without `time` counts as new: there is nothing to tell by."""
        reboot = self._went_back(readings)
        if reboot:
            self._seen.clear()
        fresh: list[Reading] = []
        still: list[Reading] = []
        repeats = missed = 0
        for reading in readings:
            channel, time_s = reading["channel"], _number(reading, "time")
            before = self._seen.get(channel)
            if time_s is None:
                fresh.append(reading)
            elif before is None or time_s > before.time_s:
                interval_s = _number(reading, "interval") or 0.0
                if not _LEAST_INTERVAL_S <= interval_s <= _MOST_INTERVAL_S:
                    interval_s = _USUAL_INTERVAL_S
                if before is not None:
                    moved_s, ours_s = time_s - before.time_s, (now_ns - before.at_ns) / 1e9
                    if moved_s > ours_s * _AHEAD + _AHEAD_S:
                        moved_s = ours_s
                    missed = max(missed, round(moved_s / interval_s) - 1)
                self._seen[channel] = _Seen(time_s, now_ns, interval_s)
                self.interval_s = interval_s
                fresh.append(reading)
            elif (now_ns - before.at_ns) / 1e9 < REPEAT_INTERVALS * before.interval_s:
                repeats += 1
            else:
                still.append({"channel": channel, "time": time_s, "flags": ["stale"]})
        # with nothing new there is no frame: the caller accounts for a poll that brought nothing
        out = sorted(fresh + still, key=lambda r: int(r["channel"])) if fresh else []
        return Verdict(out, repeats, len(still), reboot, missed)

    def _went_back(self, readings: list[Reading]) -> str:
        for reading in readings:
            time_s, before = _number(reading, "time"), self._seen.get(reading["channel"])
            if time_s is not None and before is not None and time_s < before.time_s:
                return f"its time went back from {before.time_s:g} to {time_s:g} s"
        return ""


class Reboots:
    """Told at once, and then at most once a minute: a time that goes to and fro would be told with each report."""

    def __init__(self) -> None:
        self._count, self._why, self._next_ns = 0, "", 0

    def seen(self, why: str) -> None:
        self._count, self._why = self._count + 1, why

    def to_tell(self, now_ns: int) -> str:
        """What is to be told now, or "". now_ns: CLOCK_MONOTONIC."""
        if not self._count or now_ns < self._next_ns:
            return ""
        text = self._why if self._count == 1 else f"{self._why}; {self._count} times in a minute"
        self._count, self._next_ns = 0, now_ns + round(_REBOOT_S * 1e9)
        return text


def _number(reading: Reading, name: str) -> float | None:
    value = reading.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
