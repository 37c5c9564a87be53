"""What goes into a journal, and how much of it may stay."""

from typing import NamedTuple

# Room that frames leave in each segment for STATE (about 7 kB), LOSS, CLOSE, RUN and TRIM: they must always fit.
RESERVE = 24_576


class Entry(NamedTuple):
    """A frame to append. channel and total: of a pulse frame, so that lifetime totals live with the frames."""

    seq: int
    topic: bytes
    payload: bytes
    durable: bool
    channel: str | None = None
    total: int = 0


class Gap(NamedTuple):
    """Numbers that were spent but never reached the journal."""

    from_seq: int
    to_seq: int
    cause: str
    from_t_ns: int
    to_t_ns: int


class Limits(NamedTuple):
    """max_bytes counts segments and spare. keep_s: acknowledged frames stay so long. sync_s: between fdatasyncs.

    on_disk False: the place is memory, nothing is synced.
    """

    max_bytes: int
    keep_s: float
    sync_s: float
    on_disk: bool
    consumers: tuple[str, ...]

    @property
    def segment_size(self) -> int:
        return max(65_536, min(4 << 20, self.max_bytes // 8)) & ~4095
