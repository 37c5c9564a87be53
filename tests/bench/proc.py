"""What a process has used, from /proc: CPU to the ns, resident memory, bytes written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """CPU seconds of all its threads that are alive."""
    return sum(seconds for _, seconds in threads(pid))


def threads(pid: int) -> Iterator[tuple[int, float]]:
    """(thread id, CPU seconds) of each."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            yield int(task.name), int((task / "schedstat").read_text().split()[0]) / 1e9


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def peak_rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def written(pid: int | str) -> tuple[int, int]:
    """(bytes handed to write calls, bytes of pages made dirty on a disk)."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"]), int(fields["write_bytes"])


def machine() -> str:
    """What the figures were measured on, in a few words."""
    return f"{os.cpu_count()} cores {os.uname().machine}"
