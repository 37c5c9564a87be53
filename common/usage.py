"""What this process has used."""

import resource

_PAGE = resource.getpagesize()


def cpu_s() -> float:
    """CPU time, of all its threads, in user and kernel mode."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def rss_bytes() -> int:
    """Resident memory."""
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * _PAGE
