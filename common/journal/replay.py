"""Answers `replay`: an exact account of some numbers of a run, each as a frame or inside a loss range."""

import os
from typing import NamedTuple

from common.journal import format as fmt
from common.journal.folder import Scan, Segment, missing
from common.journal.state import UNKNOWABLE, LossRange, Run

MAX_BYTES = 512_000
_WINDOW = MAX_BYTES + 262_144  # one read holds a whole chunk; a larger frame gets a larger read


class Snapshot(NamedTuple):
    """What a journal held at one instant; the frames themselves are read from the files afterwards."""

    journal_id: bytes
    runs: list[Run]
    losses: list[LossRange]
    segments: list[Segment]

    @classmethod
    def of(cls, scan: Scan) -> "Snapshot":
        """Of a folder that was scanned from outside."""
        return cls(scan.journal_id, scan.fold.state.runs, scan.fold.losses, scan.segments)

    def trimmed(self, number: int) -> int:
        """Highest number of a run that stood before the oldest segment: gone, but accounted where it had to be."""
        return self.segments[0].before.get(number, 0) if self.segments else 0


class Chunk(NamedTuple):
    """Every number from the one asked for up to `upto` is in frames or in losses ((from, to, cause, from_t, to_t)).

    unknown: (from_t_ns, to_t_ns) where the run ended in a power cut and what lies beyond `last` cannot be known.
    """

    frames: list[tuple[bytes, bytes]]
    losses: list[tuple[int, int, str, int, int]]
    upto: int
    last: int
    trimmed: int
    closed: int
    unknown: tuple[int, int] | None


Hints = dict[int, tuple[int, int, int]]  # run number → (next seq, segment number, offset): where the last chunk ended


def replay(snap: Snapshot, run_id: str, from_seq: int, n: int, hints: Hints | None = None) -> Chunk | None:
    """At most n frames and MAX_BYTES (but at least one frame) from from_seq on; None: the run is not known.

    Raises FileNotFoundError where a segment was trimmed since the snapshot: take a new one and ask again.
    """
    run = next((r for r in snap.runs if r.id == run_id), None)
    if run is None:
        return None
    frames: list[tuple[bytes, bytes]] = []
    seqs: list[list[int]] = []
    whole = _collect(snap, run, from_seq, n, frames, seqs, {} if hints is None else hints)
    upto = run.last if whole else seqs[-1][1]
    upto = max(upto, from_seq - 1)
    losses = []
    for loss in snap.losses:
        if loss.run == run.number and loss.to_seq >= from_seq and loss.from_seq <= upto:
            a, b = max(loss.from_seq, from_seq), min(loss.to_seq, upto)
            losses += [(x, y, loss.cause, loss.from_t_ns, loss.to_t_ns) for x, y in missing(a, b, seqs)]
            seqs.append([a, b])  # a second range over the same numbers must not name them again
    trimmed = snap.trimmed(run.number)
    for a, b in missing(from_seq, upto, seqs):
        if a <= trimmed:
            losses.append((a, min(b, trimmed), "trimmed", run.born_ns, run.alive_ns))
        if b > trimmed:
            losses.append((max(a, trimmed + 1), b, "damaged", run.born_ns, run.alive_ns))
    unknown = (run.alive_ns, run.next_ns) if run.closed == UNKNOWABLE else None
    return Chunk(frames, sorted(losses), upto, run.last, trimmed, run.closed, unknown)


def _collect(
    snap: Snapshot,
    run: Run,
    from_seq: int,
    n: int,
    frames: list[tuple[bytes, bytes]],
    seqs: list[list[int]],
    hints: Hints,
) -> bool:
    """Appends frames and the intervals they cover; True when nothing of the run is left behind them."""
    segments = [s for s in snap.segments if s.before.get(run.number, 0) < from_seq]
    # the last segment that begins before from_seq, and all after it
    behind = [s for s in snap.segments if s.before.get(run.number, 0) >= from_seq]
    todo = segments[-1:] + behind
    hint = hints.pop(run.number, None)
    size = 0
    for segment in todo:
        offset = fmt.HEAD_SIZE
        if hint is not None and hint[0] == from_seq and hint[1] == segment.number:
            offset = hint[2]
        seed = fmt.seed_of(snap.journal_id, segment.number)
        window = _WINDOW
        while offset < segment.end:
            data = _pread(segment, offset, min(window, segment.end - offset))
            if not data:
                break
            start = offset
            for r in fmt.scan(memoryview(data), seed, resync=True, base=start, start=start):
                offset = r.end
                if r.type != fmt.FRAME or r.run != run.number or r.seq < from_seq:
                    continue
                if seqs and r.seq <= seqs[-1][1]:
                    continue
                if frames and (len(frames) >= n or size + len(r.payload) > MAX_BYTES):
                    hints[run.number] = (seqs[-1][1] + 1, segment.number, r.offset)
                    return False
                frames.append((bytes(r.payload[: r.b]), bytes(r.payload[r.b :])))
                size += len(r.payload)
                if seqs and r.seq == seqs[-1][1] + 1:
                    seqs[-1][1] = r.seq
                else:
                    seqs.append([r.seq, r.seq])
            if start + len(data) >= segment.end:
                break
            if offset == start:  # one record is larger than the window, or all of it is damaged
                window = segment.end - start
                if len(data) == window:
                    break
    return True


def _pread(segment: Segment, offset: int, size: int) -> bytes:
    fd = os.open(segment.path, os.O_RDONLY)
    try:
        if os.fstat(fd).st_ino != segment.inode:
            raise FileNotFoundError(segment.path)
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)
