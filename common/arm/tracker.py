"""Where the arm is, where it was told to go, and whether it came there: judged by angles, never by acknowledgements.

Pure: times are CLOCK_MONOTONIC ns that the caller gives. An acknowledgement may precede a motion that never comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

TOLERANCE_DEG = 1.0
GRACE_S = 3.0  # beyond a move's own `delay_ms`
UNTIMED_S = 15.0  # for moves that do not say how long they take: from end to end at a slow servo's 20 °/s
CHASE_DEG = 5.0  # further away than that, an enabled arm would visibly run after its old target

Verdict = Literal["arrived", "not_arrived", "unjudged"]


class Judged(NamedTuple):
    """What came of a move. name: as commanded() was told."""

    name: str
    verdict: Verdict
    detail: str


@dataclass
class _Move:
    name: str
    targets: dict[int, float]
    until_ns: int
    angles_seen: int


class Tracker:
    def __init__(self, stale_s: float, judged: Sequence[int]) -> None:
        """judged: the joints whose angles and targets are in one unit, so that they can be compared."""
        self.stale_s, self._judged = stale_s, frozenset(judged)
        self._moves: list[_Move] = []
        self._seen = 0
        self._begin_ns: int | None = None
        self._angles_ns: int | None = None
        self.angles: list[float | None] = []
        self.targets: dict[int, float] = {}
        self.fresh: bool | None = None  # None: neither angles nor `stale_s` without them yet

    def commanded(self, name: str, targets: dict[int, float], seconds: float | None, now_ns: int) -> list[str]:
        """A command with targets was sent. seconds: how long it takes, None where it does not say.

        Returns the names of the moves that it pre-empts: they are not judged any more.
        """
        self.targets.update(targets)
        mine = {joint: target for joint, target in targets.items() if joint in self._judged}
        ended = [move for move in self._moves if move.targets.keys() & mine.keys()]
        self._moves = [move for move in self._moves if move not in ended]
        if mine:
            wait_s = UNTIMED_S if seconds is None else seconds + GRACE_S
            self._moves.append(_Move(name, mine, now_ns + round(wait_s * 1e9), self._seen))
        return [move.name for move in ended]

    def heard(self, angles: list[float | None], now_ns: int) -> list[Judged]:
        """Angles came."""
        if all(angle is None for angle in angles):
            return []
        self.angles, self._angles_ns = angles, now_ns
        self._seen += 1
        there = [move for move in self._moves if not self._away(move)]
        self._moves = [move for move in self._moves if move not in there]
        return [Judged(move.name, "arrived", "") for move in there]

    def tick(self, now_ns: int) -> list[Judged]:
        """Time passed: moves whose time is up, and whether the angles are fresh."""
        if self._begin_ns is None:
            self._begin_ns = now_ns
        late = [move for move in self._moves if now_ns >= move.until_ns]
        self._moves = [move for move in self._moves if move not in late]
        since_ns = self._begin_ns if self._angles_ns is None else self._angles_ns
        if now_ns - since_ns > self.stale_s * 1e9:
            self.fresh = False
        elif self._angles_ns is not None:
            self.fresh = True
        return [self._give_up(move) for move in late]

    def age_s(self, now_ns: int) -> float | None:
        """Age of the newest angles; None where there were none."""
        return None if self._angles_ns is None else (now_ns - self._angles_ns) / 1e9

    def chase(self) -> dict[int, float]:
        """Joint → degrees from where it is to its last target, where that is over CHASE_DEG: an enable would run it."""
        found = {}
        for joint, target in self.targets.items():
            at = self.angles[joint] if self.angles else None
            if joint in self._judged and at is not None and abs(target - at) > CHASE_DEG:
                found[joint] = target - at
        return found

    def _away(self, move: _Move) -> str:
        """Which joints are not at their targets; empty: all are."""
        parts = []
        for joint, target in move.targets.items():
            at = self.angles[joint]
            if at is None or abs(at - target) > TOLERANCE_DEG:
                parts.append(f"joint {joint} at {'?' if at is None else format(at, '.1f')}, target {target:.1f}")
        return "; ".join(parts)

    def _give_up(self, move: _Move) -> Judged:
        if move.angles_seen == self._seen:
            return Judged(move.name, "unjudged", "no angles since the command")
        return Judged(move.name, "not_arrived", self._away(move))
