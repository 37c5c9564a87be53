"""Opening a journal: whatever stands in the folder, it opens, and what is missing gets a name.

Nothing is cut and nothing created where the last segment has room, so a start works on a full disk. All that a start
finds out is written in one go (STATE as found, LOSS, CLOSE, RUN): cut at any byte, the next start comes out the same.
"""

import os
from pathlib import Path

from common import clock
from common.errors import JournalError
from common.journal import format as fmt
from common.journal.counter import Slot
from common.journal.entries import Limits
from common.journal.files import make_spare
from common.journal.folder import SPARE, Scan, Segment, missing, scan_folder, segment_path
from common.journal.journal import Journal
from common.journal.losses import outermost
from common.journal.state import (
    CLEAN,
    KEEP_RUNS,
    KILLED,
    OPEN,
    UNKNOWABLE,
    LossRange,
    Run,
    State,
    copy_state,
    encode,
)
from common.paths import fsync_path

KEEP_BAD = 4  # files set aside


def open_journal(folder: Path, limits: Limits, run_id: str, slots: list[Slot], known_id: bytes = b"") -> Journal:
    """The journal, open for a new run; the loss ranges that this start has found are its first news.

    slots, known_id: the counter file's runs before this one, and its journal id.
    Raises JournalError where no segment can be written at all.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scan = scan_folder(folder, known_id=known_id)
        _set_aside(folder, scan.bad)
        segments = _tidy(folder, scan, limits)
        fresh = not segments
        if fresh:
            scan = Scan(os.urandom(8), [], scan.fold, {}, 0, scan.damaged or bool(scan.bad), [], [])
    except OSError as e:
        raise JournalError(f"journal {folder}: {e.strerror or e}") from None
    state = scan.fold.state
    _prune(scan)
    found = copy_state(state)
    now, boot = clock.wall_ns(), clock.boot_id()
    losses = _holes(scan, segments, boot, now)
    closes = _end_runs(state, slots, losses, boot=boot, now=now, fresh=not scan.fold.has_runs)
    run = Run(max((r.number for r in state.runs), default=0) + 1, run_id, boot, born_ns=now, alive_ns=now)
    state.runs.append(run)
    segments = _write(folder, limits, scan, segments, found, losses, closes, run, now)
    for loss in losses:
        loss.segment = segments[-1].number
    journal = Journal(folder, limits, run, scan.journal_id, segments, state, outermost(scan.fold.losses), scan.gen + 1)
    journal.name_losses(losses)
    # a damaged last record looks like an end: lifetime totals are then compared with the store
    journal.damaged = fresh or scan.damaged or bool(losses) or any(r.closed == UNKNOWABLE for r in closes)
    return journal


def _prune(scan: Scan) -> None:
    """Forgets old runs that nothing is kept of: else a daemon that fails at each start would fill its journal."""
    state, fold = scan.fold.state, scan.fold
    needed = {loss.run for loss in fold.losses} | set(scan.held)
    old = state.runs[:-KEEP_RUNS]
    state.runs = [r for r in old if r.number in needed or r.closed == OPEN] + state.runs[-KEEP_RUNS:]


def _set_aside(folder: Path, bad: list[Path]) -> None:
    if not bad:
        return
    place = folder / "bad"
    place.mkdir(exist_ok=True)
    for path in bad:
        path.rename(place / f"{clock.wall_ns()}-{path.name}")
    for old in sorted(place.iterdir())[:-KEEP_BAD]:
        old.unlink()


def _tidy(folder: Path, scan: Scan, limits: Limits) -> list[Segment]:
    """Finishes a begun trim, gives files their right names, keeps one spare of the right size."""
    segments: list[Segment] = []
    last = scan.segments[-1].number if scan.segments else 0
    for segment in scan.segments:
        path = segment_path(folder, segment.number)
        if segment.number < scan.fold.state.first_segment and segment.number != last:
            segment.path.unlink()
            scan.fold.losses[:] = [x for x in scan.fold.losses if x.segment != segment.number]
            continue
        if segment.path != path:
            segment.path.rename(path)
        segments.append(segment._replace(path=path))
    for path in scan.spares:
        if path.name != SPARE or path.stat().st_size != limits.segment_size:
            path.unlink()
    return segments


def _holes(scan: Scan, segments: list[Segment], boot: str, now: int) -> list[LossRange]:
    """Numbers neither held, nor named, nor trimmed: damage, or what a power cut took out of the middle."""
    out = []
    before = segments[0].before if segments else {}
    for run in scan.fold.state.runs:
        present = [list(x) for x in scan.held.get(run.number, [])]
        present += [[x.from_seq, x.to_seq] for x in scan.fold.losses if x.run == run.number]
        cause = "damaged" if run.boot_id == boot else "power_cut"
        for a, b in missing(before.get(run.number, 0) + 1, run.last, present):
            out.append(LossRange(run.number, a, b, cause, run.born_ns, now))
    return out


def _end_runs(
    state: State, slots: list[Slot], losses: list[LossRange], *, boot: str, now: int, fresh: bool
) -> list[Run]:
    """Closes each run that is still open, naming what its counter offered beyond the journal; returns those closed."""
    by_id = {slot.run: slot for slot in slots}
    known = {run.id for run in state.runs}
    number = max((run.number for run in state.runs), default=0)
    # slots older than one that the journal knows may stand for runs whose entries were pruned
    newest_known = max((i for i, slot in enumerate(slots) if slot.run in known), default=-1)
    for slot in slots if fresh else slots[newest_known + 1 :]:
        if slot.run not in known and (slot.offered or not slot.closed):
            number += 1
            state.runs.append(Run(number, slot.run, slot.boot_id, born_ns=slot.born_ns, alive_ns=slot.alive_ns))
    ended = []
    for run in state.runs:
        count = by_id.get(run.id)
        offered = count.offered if count else 0
        if run.closed != OPEN and offered <= run.last:
            continue
        same_boot = (count.boot_id if count else run.boot_id) == boot
        run.alive_ns = max(run.alive_ns, count.alive_ns if count else 0)
        run.next_ns = now
        if offered > run.last:
            cause = "journal_gone" if run.id not in known else "killed" if same_boot else "power_cut"
            losses.append(LossRange(run.number, run.last + 1, offered, cause, run.alive_ns, now))
            run.last = offered
        if run.closed == OPEN:
            # without its counter slot, or after another boot, nobody knows what was offered last
            never_began = not fresh and run.id not in known and offered == 0  # its journal was never opened
            exact = count is not None and (count.closed or same_boot or never_began)
            run.closed = KILLED if exact else UNKNOWABLE
            if count is not None and count.closed:
                run.closed = CLEAN
        ended.append(run)
    return ended


def _write(
    folder: Path,
    limits: Limits,
    scan: Scan,
    segments: list[Segment],
    found: State,
    losses: list[LossRange],
    closes: list[Run],
    run: Run,
    now: int,
) -> list[Segment]:
    """Writes what the start has found: behind the last segment's end, or into a new one where that has no room."""
    gen = scan.gen + 1

    def records(seed: int, offset: int, before: State | None) -> bytes:
        out = b""
        todo: list[tuple[int, bytes, int]] = [] if before is None else [(fmt.STATE, encode(before), fmt.NO_CHANNEL)]
        todo += [(fmt.LOSS, encode(x), fmt.NO_CHANNEL) for x in losses]
        todo += [(fmt.CLOSE, encode(r), r.closed) for r in closes]
        todo.append((fmt.RUN, encode(run), fmt.NO_CHANNEL))
        for type_, payload, a in todo:
            out += fmt.pack_record(seed, offset + len(out), gen, type_, payload, a=a)
        return out

    try:
        if segments:
            last = segments[-1]
            data = records(fmt.seed_of(scan.journal_id, last.number), last.end, found)
            if last.end + len(data) <= last.size - _room_for_stop(last.size):
                _pwrite(last.path, data, last.end, limits)
                return [*segments[:-1], last._replace(end=last.end + len(data))]
        number = segments[-1].number + 1 if segments else 1
        spare = folder / SPARE
        if not spare.exists() and not make_spare(folder, limits.segment_size, sync=limits.on_disk):
            raise JournalError(f"journal {folder}: no room for a segment of {limits.segment_size} bytes")
        head = fmt.pack_head(number, scan.journal_id, limits.segment_size, now)
        seed = fmt.seed_of(scan.journal_id, number)
        head += fmt.pack_record(seed, len(head), gen, fmt.STATE, encode(found))
        data = head + records(seed, len(head), None)
        _pwrite(spare, data, 0, limits)
        path = segment_path(folder, number)
        spare.rename(path)
        if limits.on_disk:
            fsync_path(folder)
        before = {r.number: r.last for r in found.runs}
        segment = Segment(number, path, limits.segment_size, now, path.stat().st_ino, before, len(data))
        return [*segments, segment]
    except OSError as e:
        raise JournalError(f"journal {folder}: {e.strerror or e}") from None


def _room_for_stop(size: int) -> int:
    """What a start leaves free, so that CLOSE still fits at the stop."""
    return 1024 if size > 4096 else 0


def _pwrite(path: Path, data: bytes, offset: int, limits: Limits) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        if os.pwrite(fd, data, offset) != len(data):
            raise OSError(28, "short write")
        if limits.on_disk:
            os.fdatasync(fd)
    finally:
        os.close(fd)
