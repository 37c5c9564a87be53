"""Bytes of the journal: segment head and records, packed and scanned. Pure: no file is opened here.

Segment head, 64 bytes: magic 8s, segment u64, journal id 8s, version u32, size u32, t_ns u64, 20 spare, crc u32.
Record, 40 bytes + payload, little-endian: sync `RBJ1`, len u32 (payload), crc u32, gen u32, type u8, a u8, b u16,
run number u32, seq u64, total u64. Of a FRAME, a is the channel (255: none) and b the length of the topic that
precedes the frame in the payload; of a CLOSE, a is its kind.

The crc is seeded with (journal id, segment) and covers the record's offset, so that foreign, moved or nested records
never verify. gen rises with every write attempt and a falling one is rejected, so the remains of a short write are
never read and nothing needs zeroing.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

MAGIC = b"RIGBUSJ1"
VERSION = 1
SYNC = b"RBJ1"
HEAD_SIZE = 64
RECORD_SIZE = 40
NO_CHANNEL = 255

FRAME, LOSS, CLOSE, RUN, STATE, TRIM = range(1, 7)

_HEAD = struct.Struct("<8sQ8sIIQ20x")
_PREFIX = struct.Struct("<4sII")  # sync, len, crc
_REST = struct.Struct("<IBBHIQQ")  # gen, type, a, b, run number, seq, total
_COVERED = struct.Struct("<QIIBBHIQQ")  # offset, len, then _REST: what the crc sees before the payload
_FULL = struct.Struct("<4sIIIBBHIQQ")


class SegmentHead(NamedTuple):
    segment: int
    journal_id: bytes
    size: int
    t_ns: int


class Record(NamedTuple):
    """offset: of its first byte in the segment; end: of the next record."""

    offset: int
    end: int
    gen: int
    type: int
    a: int
    b: int
    run: int
    seq: int
    total: int
    payload: memoryview


def seed_of(journal_id: bytes, segment: int) -> int:
    """Start value of the crc of each record in one segment."""
    return crc32(segment.to_bytes(8, "little"), crc32(journal_id))


def pack_head(segment: int, journal_id: bytes, size: int, t_ns: int) -> bytes:
    """The 64 bytes a segment begins with."""
    body = _HEAD.pack(MAGIC, segment, journal_id, VERSION, size, t_ns)
    return body + crc32(body).to_bytes(4, "little")


def unpack_head(data: bytes | memoryview) -> SegmentHead | None:
    """The head, or None where it is damaged, foreign or of another version."""
    if len(data) < HEAD_SIZE:
        return None
    body = bytes(data[: HEAD_SIZE - 4])
    if crc32(body) != int.from_bytes(data[HEAD_SIZE - 4 : HEAD_SIZE], "little"):
        return None
    magic, segment, journal_id, version, size, t_ns = _HEAD.unpack(body)
    if magic != MAGIC or version != VERSION:
        return None
    return SegmentHead(segment, journal_id, size, t_ns)


def pack_record(
    seed: int,
    offset: int,
    gen: int,
    type_: int,
    payload: bytes,
    *,
    a: int = NO_CHANNEL,
    b: int = 0,
    run: int = 0,
    seq: int = 0,
    total: int = 0,
) -> bytes:
    """One record that verifies only at `offset` of the segment that `seed` belongs to."""
    size = len(payload)
    covered = _COVERED.pack(offset, size, gen, type_, a, b, run, seq, total)
    crc = crc32(payload, crc32(covered, seed))
    return _PREFIX.pack(SYNC, size, crc) + covered[12:] + payload


def record_at(view: memoryview, offset: int, seed: int, base: int = 0) -> Record | None:
    """The record at `offset` of `view` (whose first byte stands at `base` of the segment), or None if none verifies."""
    if offset + RECORD_SIZE > len(view):
        return None
    sync, size, crc, gen, type_, a, b, run, seq, total = _FULL.unpack_from(view, offset)
    end = offset + RECORD_SIZE + size
    if sync != SYNC or end > len(view):
        return None
    covered = _COVERED.pack(base + offset, size, gen, type_, a, b, run, seq, total)
    payload = view[offset + RECORD_SIZE : end]
    if crc32(payload, crc32(covered, seed)) != crc:
        return None
    return Record(base + offset, base + end, gen, type_, a, b, run, seq, total, payload)


def scan(view: memoryview, seed: int, *, resync: bool, base: int = 0, start: int | None = None) -> Iterator[Record]:
    """Records in order, from `start` (a segment offset; default: behind the head).

    Without `resync` the first that does not verify is the end: that is how a living publisher's newest segment is read.
    With it the search goes on behind the damage, which costs the damaged records and not the segment.
    """
    offset = (HEAD_SIZE if start is None else start) - base
    gen = 0
    raw: bytes | None = None
    while True:
        record = record_at(view, offset, seed, base)
        if record is not None and record.gen >= gen:
            gen = record.gen
            yield record
            offset = record.end - base
            continue
        if not resync:
            return
        if raw is None:
            raw = bytes(view)
        offset = raw.find(SYNC, offset + 1)
        if offset < 0:
            return
