"""What large answers leave behind. The C library keeps it, in a heap for each thread, unless it is told otherwise."""

import ctypes
import time
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h
_GIVE_BACK_OVER_BYTES = 85 << 20
_SELDOM_S = 10.0


class Memory:
    """Made before there are threads. musl has neither call: then nothing happens."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._gave_at = 0.0
        with suppress(AttributeError):
            self._libc.mallopt(_M_ARENA_MAX, 1)

    def look(self, rss_bytes: int) -> None:
        """Gives back what is free, where it is much; each 10 s at most, as it takes milliseconds."""
        now = time.monotonic()
        if rss_bytes > _GIVE_BACK_OVER_BYTES and now - self._gave_at >= _SELDOM_S:
            self._gave_at = now
            with suppress(AttributeError):
                self._libc.malloc_trim(0)
