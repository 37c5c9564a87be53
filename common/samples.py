"""Frames of samples out of a sampler's blocks, and the account of what is missing between them."""

from typing import Literal

from common import clock
from common.config.schema import HighspeedConfig
from common.drivers.samplers import Block, Lost, Sampler
from common.frames import Samples
from common.loss_sums import LossSums
from common.runtime import Runtime

_TELL_NS = 60_000_000_000
_UNTOLD_S = 65.0  # of a daemon that was killed: holds and outages are told each minute, sums each ten seconds


class Framer:
    """Joins blocks to frames of `frame_ms`; a frame ends at its length or before a gap. Times: CLOCK_MONOTONIC ns.

    Losses of one cause that follow each other within seconds are told as one, by LossSums.
    While it holds, samples are wanted by nobody: "paused" counts those that come, "stopped" the time that passes.
    """

    def __init__(self, rt: Runtime, cfg: HighspeedConfig, sampler: Sampler) -> None:
        self._rt, self._cfg = rt, cfg
        self.sampler = sampler  # to be replaced where it was closed and opened anew
        self._full = _samples_in(cfg)
        self._pieces: list[Block] = []
        self._n = self._next_ns = 0
        self._held: Literal["paused", "stopped"] | None = None
        self._held_ns, self._held_hz = 0, 0.0
        self._skipped: int | None = 0
        self._wall = clock.WallOffset()
        self._topic = f"samples/{cfg.name}/"
        self._sums = LossSums(self._told)
        rt.mark_down_time(self._topic, "sample", _UNTOLD_S)

    def take(self, cfg: HighspeedConfig) -> None:
        """Another `frame_ms`, from here on."""
        self.flush()
        self._cfg, self._full = cfg, _samples_in(cfg)

    def add(self, part: Block | Lost) -> None:
        """The next part of what a sampler took."""
        if isinstance(part, Lost):
            self._resume_at(part.from_ns)
            self._lose(part.from_ns, part.to_ns, part.n, part.cause, part.detail)
            self._next_ns = max(self._next_ns, part.to_ns)
            return
        self._resume_at(part.t_ns)
        step = part.step_ns or round(1e9 / self.sampler.rate_hz)
        late = (part.t_ns - self._next_ns + step // 2) // step
        if self._next_ns and late > 0:
            # the loop was kept from running: these samples were never taken
            self._lose(self._next_ns, part.t_ns, late, "late")
        self._next_ns = part.t_ns + part.n * step
        if self._held:
            self._skip(part.n)
            return
        self._pieces.append(Block(part.t_ns, part.n, part.values, step))
        self._n += part.n
        while self._n >= self._full:
            self._cut()

    def _cut(self) -> None:
        """Publishes a full frame; what its last piece has beyond it stays."""
        last, over = self._pieces[-1], self._n - self._full
        rest: list[Block] = []
        if over:
            keep = last.n - over
            at = len(last.values) // last.n * keep
            rest = [Block(last.t_ns + keep * last.step_ns, over, last.values[at:], last.step_ns)]
            self._pieces[-1] = Block(last.t_ns, keep, last.values[:at], last.step_ns)
        self._n = self._full
        self.flush()
        self._pieces, self._n = rest, over

    def flush(self) -> None:
        """Publishes what there is."""
        if not self._n:
            return
        s, first, last = self.sampler, self._pieces[0], self._pieces[-1]
        mono = first.t_ns + clock.boot_minus_monotonic_ns()
        # pieces follow each other to the ns; their steps differ by parts in a thousand, and one in between does for all
        step = (last.t_ns + last.n * last.step_ns - first.t_ns) // self._n
        self._rt.publish(
            Samples(
                sensor=self._cfg.name, rate_hz=s.rate_hz, nominal_hz=self._cfg.rate_hz, n=self._n, axes=s.axes,
                unit=s.unit, scale=s.scale, dtype=s.dtype, values=b"".join([piece.values for piece in self._pieces]),
                dt_ns=step, t=mono + self._wall.ns(), mono=mono,
            )
        )  # fmt: skip
        self._pieces, self._n = [], 0

    def _lose(self, from_ns: int, to_ns: int, count: int | None, cause: str, detail: str = "") -> None:
        if self._held:
            self._skip(count)
            return
        self.flush()
        wall = self._wall_ns()
        self._sums.add(count, cause, from_ns + wall, to_ns + wall, detail, to_ns)

    def _told(self, count: int | None, cause: str, from_t: int, to_t: int, detail: str = "") -> None:
        self._rt.lose(self._topic, "sample", count, cause, from_t=from_t, to_t=to_t, detail=detail)

    def _wall_ns(self) -> int:
        """What is to be added to CLOCK_MONOTONIC."""
        return self._wall.ns() + clock.boot_minus_monotonic_ns()

    # ---- time in which no samples are wanted

    def hold(self, how: Literal["paused", "stopped"], now_ns: int) -> None:
        """From here on, until release(), or the first part after a stop."""
        self.release()
        self.flush()
        self._next_ns = self._held_ns = self._next_ns or now_ns
        self._held, self._held_hz = how, self.sampler.rate_hz

    def release(self) -> None:
        """The end of a pause."""
        if self._held == "paused":
            self._tell_held(self._next_ns)
            self._held = None

    def tell(self, now_ns: int, *, last: bool = False) -> None:
        """What is summed and what is held, so that nobody has to guess after a crash; last: the daemon ends."""
        self._sums.look(now_ns, last=last)
        if self._held and (last or now_ns - self._held_ns > _TELL_NS):
            self._tell_held(now_ns if self._held == "stopped" else self._next_ns)

    def _tell_held(self, to_ns: int) -> None:
        cause = "paused" if self._held == "paused" else "stopped"
        count = self._skipped
        if cause == "stopped":
            count = max(0, round((to_ns - self._held_ns) * self._held_hz / 1e9))
            self._next_ns = max(self._next_ns, to_ns)
        if count != 0:
            wall = self._wall_ns()
            self._told(count, cause, self._held_ns + wall, to_ns + wall)
        self._held_ns, self._skipped = to_ns, 0

    def _resume_at(self, t_ns: int) -> None:
        """After a stop samples come again."""
        if self._held == "stopped":
            self._tell_held(t_ns)
            self._held = None

    def _skip(self, n: int | None) -> None:
        self._skipped = None if n is None or self._skipped is None else self._skipped + n


def _samples_in(cfg: HighspeedConfig) -> int:
    """Of a full frame."""
    return max(1, round(cfg.rate_hz * cfg.frame_ms / 1e3))
