"""What a stream has left out: by the device's own clock where that goes on, by ours where it does not."""

import time

from common import clock
from common.thermostats.freshness import Verdict
from common.thermostats.losses import Losses


class StreamAccount:
    """One loss for each reading that the device made and did not deliver; before the first, one for each period_s."""

    def __init__(self, losses: Losses, period_s: float) -> None:
        self._losses = losses
        self._slot_s = period_s
        self.began = False  # whether a reading has come
        self._since_ns, self._since_wall = time.monotonic_ns(), clock.wall_ns()
        self._told = 0
        self._why: tuple[str, str] | None = None  # cause and detail of an outage that is under way

    def failed(self, cause: str, detail: str) -> None:
        """Nothing comes: tells what is missing up to now."""
        self._why = cause, detail
        self._tell(cause, self._slots_by_our_clock(), detail)

    def heard(self, verdict: Verdict, interval_s: float) -> None:
        """A report came, new or not; interval_s: between the device's readings."""
        if not verdict.readings:
            if verdict.stale:
                self.failed("stale", "the device's time stands still")
            return
        missing = self._slots_by_our_clock() - 1 if verdict.reboot else verdict.missed
        if self.began and self._why is not None:
            self._tell(self._why[0], missing, self._why[1])
        elif self.began:
            self._tell("dropped", missing, "the device's time shows readings that it did not send")
        self.began, self._told, self._why = True, 0, None
        self._slot_s = interval_s or self._slot_s
        self._since_ns, self._since_wall = time.monotonic_ns(), clock.wall_ns()
        self._losses.end()

    def look(self) -> None:
        """As of Polls. Nothing: what is silent may still come, until the time-out says that it does not."""

    def stopped(self, why: str = "the daemon stopped while nothing came") -> None:
        """It ends here: what is missing up to now; the reading that is due just now is not."""
        cause, detail = self._why or ("late", why)
        self._tell(cause, self._slots_by_our_clock() - (1 if self.began and self._why is None else 0), detail)

    def _slots_by_our_clock(self) -> float:
        return (time.monotonic_ns() - self._since_ns) / 1e9 / self._slot_s

    def _tell(self, cause: str, missing: float, detail: str) -> None:
        n = int(missing) - self._told
        if n > 0:
            self._told += n
            self._losses.missed(cause, n, from_t=self._since_wall, to_t=clock.wall_ns(), detail=detail)
