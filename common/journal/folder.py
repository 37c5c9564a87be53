"""A journal's folder: which files are segments, what they hold. Reads only, without a lock."""

import os
from collections import Counter as Tally
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.journal import format as fmt
from common.journal.state import Fold

SPARE = "spare"


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"seg-{number:010d}"


class Segment(NamedTuple):
    """One segment. before: run number → last number that stands before it. end: where its valid records end."""

    number: int
    path: Path
    size: int
    t_ns: int
    inode: int
    before: dict[int, int]
    end: int


class Scan(NamedTuple):
    """Everything in a folder. held: run number → intervals [first, last] of frames. damaged: something did not verify.

    gen: the highest seen. bad: files that are no segment of this journal. spares: preallocated files.
    """

    journal_id: bytes
    segments: list[Segment]
    fold: Fold
    held: dict[int, list[list[int]]]
    gen: int
    damaged: bool
    bad: list[Path]
    spares: list[Path]


def scan_folder(folder: Path, *, alive: bool = False, known_id: bytes = b"") -> Scan:
    """Reads all segments, oldest first.

    known_id: the journal's id as the counter file has it, for when no segment head is whole.
    alive: the writer is at work, so the first record of the newest segment that fails is its end and no damage.
    A missing folder is an empty journal. Raises OSError for what cannot be read otherwise.
    """
    for _ in range(20):
        try:
            names = _names(folder)
            found = _scan(folder, names, alive, known_id)
        except FileNotFoundError:
            continue  # trimmed under our feet: start over
        # a segment made meanwhile would make this one's end look like the journal's
        if not alive or [n for n in _names(folder) if n != SPARE] == [n for n in names if n != SPARE]:
            return found
    return found


def _names(folder: Path) -> list[str]:
    """Sorted; none where the folder is missing, which is an empty journal."""
    try:
        return sorted(p.name for p in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _scan(folder: Path, names: list[str], alive: bool, known_id: bytes) -> Scan:
    files, spares = _heads(folder, names)
    ids = Tally(head.journal_id for _, _, head in files if head is not None)
    journal_id = known_id if known_id in ids or not ids else ids.most_common(1)[0][0]
    journal_id = journal_id or bytes(8)
    fold, held, segments, bad = Fold(), dict[int, list[list[int]]](), list[Segment](), list[Path]()
    gen, damaged = 0, False
    numbers: set[int] = set()
    for number, path, head in files:
        if number < 0 or number in numbers or (head is not None and head.journal_id != journal_id):
            bad.append(path)
            continue
        data = path.read_bytes()  # one segment at a time: a journal may be larger than the memory
        newest = number == files[-1][0]
        before, end = {}, fmt.HEAD_SIZE
        for r in fmt.scan(memoryview(data), fmt.seed_of(journal_id, number), resync=not (alive and newest)):
            damaged |= r.offset != end
            end = r.end
            gen = max(gen, r.gen)
            try:
                fold.apply(r, number)
            except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
                damaged = True
                continue
            if r.type == fmt.STATE and r.offset == fmt.HEAD_SIZE:
                before = {run.number: run.last for run in fold.state.runs}
            elif r.type == fmt.FRAME:
                spans = held.setdefault(r.run, [])
                if spans and r.seq == spans[-1][1] + 1:
                    spans[-1][1] = r.seq
                else:
                    spans.append([r.seq, r.seq])
        empty = end == fmt.HEAD_SIZE
        damaged |= head is None or empty
        if head is None and empty:
            bad.append(path)
            continue
        numbers.add(number)
        segments.append(Segment(number, path, len(data), head.t_ns if head else 0, os.stat(path).st_ino, before, end))
    return Scan(journal_id, segments, fold, held, gen, damaged or bool(bad), bad, spares)


def _heads(folder: Path, names: list[str]) -> tuple[list[tuple[int, Path, fmt.SegmentHead | None]], list[Path]]:
    """(number, path, head) of what may be segments, by number; and what is preallocated or half made."""
    files: list[tuple[int, Path, fmt.SegmentHead | None]] = []
    spares = []
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        with path.open("rb") as f:
            head = fmt.unpack_head(f.read(fmt.HEAD_SIZE))
        if head is not None:
            files.append((head.segment, path, head))
        elif name == SPARE or name.endswith(".tmp") or not path.read_bytes().strip(b"\0"):
            spares.append(path)
        else:
            digits = name.removeprefix("seg-")
            files.append((int(digits) if digits.isdigit() else -1, path, None))
    return sorted(files, key=lambda file: file[0]), spares


def missing(first: int, last: int, present: list[list[int]]) -> list[tuple[int, int]]:
    """The parts of first..last that no interval of `present` covers."""
    out, at = [], first
    for a, b in sorted(present):
        if b < at:
            continue
        if a > last:
            break
        if a > at:
            out.append((at, a - 1))
        at = b + 1
    if at <= last:
        out.append((at, last))
    return out
