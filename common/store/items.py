"""What the sink hands to the store: each item moves one stream's cursor, or accounts for something without identity."""

from typing import NamedTuple

from common.frames import AnyFrame


class StreamKey(NamedTuple):
    """Identity of a numbered sequence of frames."""

    node: str
    src: str
    run: str


class Taken(NamedTuple):
    """The next frame of a stream; storing it moves the cursor to frame.seq."""

    key: StreamKey
    topic: str
    frame: AnyFrame


class Unreadable(NamedTuple):
    """The next number of a stream, whose bytes no reader of this version can store: quarantine and a ledger row."""

    key: StreamKey
    seq: int
    topic: str
    payload: bytes
    reason: str
    cause: str = "malformed"


class Lost(NamedTuple):
    """Numbers from_seq..to_seq will never come; storing it moves the cursor to to_seq."""

    key: StreamKey
    from_seq: int
    to_seq: int
    cause: str
    from_t_ns: int
    to_t_ns: int
    detail: str = ""


class Closed(NamedTuple):
    """The stream ends at its cursor. kind 1 clean, 2 killed, 3: what lay beyond is unknowable (one NULL ledger row)."""

    key: StreamKey
    kind: int
    from_t_ns: int
    to_t_ns: int
    cause: str = "power_cut"  # of that row


class Noise(NamedTuple):
    """Messages on the bus that are no frame of a known stream: counted in the ledger, stream_id NULL."""

    topic: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of an item
    cause: str
    detail: str


Item = Taken | Unreadable | Lost | Closed | Noise


class Cursor(NamedTuple):
    """How far a stream is stored. closed 0: open, 1–3: done. published_to: the highest number that is known of."""

    stored_to: int
    closed: int
    published_to: int = 0
