"""How large a daemon's journal may grow, and where it stands."""

import os
from pathlib import Path

from common.config.schema import JournalConfig
from common.journal.entries import Limits


def journal_limits(config: JournalConfig, src: str, run: Path | None = None) -> tuple[str, Limits]:
    """(place, limits) for one source. run: the run folder, whose file system journals in memory must not fill."""
    own = config.daemon.get(src)
    place = (own.place if own else None) or config.place
    max_bytes = (own.max_bytes if own else None) or config.max_bytes
    if not max_bytes:
        ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        max_bytes = min(32 << 20, ram // 20)
        if run is not None and place == "memory":
            there = os.statvfs(run)
            max_bytes = min(max_bytes, there.f_blocks * there.f_frsize // 10)
        max_bytes = max(1 << 20, max_bytes)
    return place, Limits(max_bytes, config.keep_s, config.sync, place == "disk", tuple(config.consumers))
