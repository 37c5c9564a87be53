"""The health of an application, each second: what rigbus's own daemons say of themselves."""

import os
import resource
import time
from pathlib import Path
from typing import Any

from .run import Run


class Pulse:
    """The intervals that rates and CPU shares are measured over."""

    def __init__(self) -> None:
        self._cpu = (time.monotonic(), _cpu_s())
        self._counted: tuple[float, dict[bytes, int]] = (time.monotonic(), {})

    def beat(self, run: Run, ctl: Path, *, peek: bool = False) -> dict[str, Any]:
        """The map of a health frame; peek: a look by `status`, which must not shift the intervals."""
        now, cpu, counts = time.monotonic(), _cpu_s(), run.topics
        cpu_pct = (cpu - self._cpu[1]) / max(1e-3, now - self._cpu[0]) * 100
        span = max(1e-3, now - self._counted[0])
        rates = {t.decode(): round((n - self._counted[1].get(t, 0)) / span, 3) for t, n in counts.items()}
        if not peek:
            self._cpu, self._counted = (now, cpu), (now, counts)
        last, acked, lost = run.counts
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return {
            "k": "health", "v": 1, "node": run.node, "src": run.src, "run": run.id, "seq": 0, "tseq": 0,
            "t": time.time_ns(), "mono": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            "last_seq": last, "closed": run.closed, "boot_id": run.boot_id, "journal_id": run.id,
            "ctl": str(ctl), "pid": os.getpid(), "cpu_pct": round(cpu_pct, 2),
            "rss_bytes": pages * resource.getpagesize(), "rates": rates,
            "lateness_us": {"p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}, "missed_ticks": 0,
            "journal": run.held, "status": f"{last} records, {last - acked} not yet stored, {lost} lost",
        }  # fmt: skip


def _cpu_s() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime
