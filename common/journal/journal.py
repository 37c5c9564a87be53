"""The journal's writer: append, commit, trim. What a start has to mend is in `recover.py`, the bytes in `format.py`."""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from common import clock
from common.journal import format as fmt
from common.journal.entries import RESERVE, Entry, Gap, Limits
from common.journal.files import make_spare
from common.journal.folder import SPARE, Segment, missing, segment_path
from common.journal.losses import losses_of
from common.journal.replay import Snapshot
from common.journal.state import CLEAN, KEEP_RUNS, LossRange, Run, State, encode
from common.paths import fsync_path, inode_of


class Journal:
    """One source's journal, open for one run. One thread writes; `snapshot()` and `ack()` may come from another."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        run: Run,
        journal_id: bytes,
        segments: Sequence[Segment],
        state: State,
        losses: list[LossRange],
        gen: int,
    ) -> None:
        """Takes over what `recover.open_journal` found or made; the last segment is the one written to."""
        self.folder, self.limits, self.run, self.id = folder, limits, run, journal_id  # limits: may be replaced
        self.segment_size = limits.segment_size  # of this run: it stays
        self.state, self.losses = state, losses
        self.damaged = False  # set by recovery: lifetime totals must be compared with the store
        self._segments = deque(segments)
        self._gen = gen
        self._lock = threading.Lock()
        self._fd = os.open(segments[-1].path, os.O_RDWR)
        self._end = segments[-1].end
        self._seed = fmt.seed_of(journal_id, segments[-1].number)
        self._spare = (folder / SPARE).exists()
        self._unsynced_since = 0.0
        self._acked_at: dict[int, float] = {}  # segment → monotonic time at which all in it was acknowledged
        self._next_spare_try = 0.0
        self._news: list[tuple[str, LossRange]] = []

    # ---- appending

    @property
    def max_frame(self) -> int:
        """Bytes of topic and payload that an entry may have; the publisher turns a larger one into a Gap."""
        return (self.segment_size - RESERVE) // 2

    def append(self, batch: Sequence[Entry | Gap]) -> int:
        """Appends in order and commits; returns how many were taken (fewer: the place is full, offer the rest again).

        What was taken is in the file, and on the disk where one of its entries is durable.
        """
        done = failed = 0
        while done < len(batch) and failed < 2 and self._ensure_spare():
            taken = self._write(batch, done)
            if taken is None:
                # a file that failed once (EIO) is never tried again; the next one is, once
                failed += 1
            done += taken or 0
            if done < len(batch) and not self._rotate():
                break
        return done

    def _write(self, batch: Sequence[Entry | Gap], start: int) -> int | None:
        """One pwrite of as many as the current segment takes; None: the write failed and nothing counts as written."""
        limit = self.segment_size - RESERVE
        parts: list[bytes] = []
        offset, durable = self._end, False
        losses: list[LossRange] = []
        self._gen += 1
        index = start
        for index in range(start, len(batch)):
            entry = batch[index]
            if isinstance(entry, Entry):
                record = self._pack_frame(offset, entry)
                durable = durable or entry.durable
            else:
                loss = self._loss_of(self.run.number, entry)
                record = self._pack(offset, fmt.LOSS, encode(loss))
                losses.append(loss)
            if offset + len(record) > limit:
                if not isinstance(entry, Entry):
                    losses.pop()
                break
            parts.append(record)
            offset += len(record)
        else:
            index = len(batch)
        if not parts:
            return 0
        if not self._put(b"".join(parts), sync=durable):
            return None
        last = batch[index - 1]
        self.name_losses(losses)  # before the number: who sees that it was reached must see what it was
        with self._lock:
            self.run.last = last.seq if isinstance(last, Entry) else last.to_seq
        for entry in batch[start:index]:
            if isinstance(entry, Entry) and entry.channel is not None:
                self.state.totals[entry.channel] = entry.total
        return index - start

    def _pack_frame(self, offset: int, e: Entry) -> bytes:
        a = fmt.NO_CHANNEL if e.channel is None else 0
        payload = e.topic + e.payload
        return fmt.pack_record(
            self._seed, offset, self._gen, fmt.FRAME, payload,
            a=a, b=len(e.topic), run=self.run.number, seq=e.seq, total=e.total,
        )  # fmt: skip

    def _pack(self, offset: int, type_: int, payload: bytes, *, a: int = fmt.NO_CHANNEL, seq: int = 0) -> bytes:
        return fmt.pack_record(self._seed, offset, self._gen, type_, payload, a=a, run=self.run.number, seq=seq)

    def _loss_of(self, run: int, gap: Gap) -> LossRange:
        return LossRange(
            run, gap.from_seq, gap.to_seq, gap.cause, gap.from_t_ns, gap.to_t_ns, self._segments[-1].number
        )

    def _put(self, data: bytes, *, sync: bool) -> bool:
        """Writes at the end and moves it. A failed write leaves the old end valid."""
        try:
            done = os.pwrite(self._fd, data, self._end)
            if done == len(data) and sync:
                self.sync()
        except OSError:
            done = -1
        if done != len(data):
            # whole records of a short write would verify: make sure that no reader takes them for committed
            try:
                os.pwrite(self._fd, bytes(len(data)), self._end)
            except OSError:
                pass
            return False
        with self._lock:
            self._end += len(data)
        if not self._unsynced_since:
            self._unsynced_since = time.monotonic()
        return True

    def sync(self) -> None:
        """fdatasync where the place is a disk."""
        if self.limits.on_disk:
            os.fdatasync(self._fd)
        self._unsynced_since = 0.0

    def _control(self, records: Sequence[tuple[int, bytes, int, int]], *, sync: bool = True) -> bool:
        """Appends (type, payload, a, seq) records, into the room that frames leave."""
        self._gen += 1
        parts, offset = [], self._end
        for type_, payload, a, seq in records:
            parts.append(self._pack(offset, type_, payload, a=a, seq=seq))
            offset += len(parts[-1])
        return offset <= self.segment_size and self._put(b"".join(parts), sync=sync)

    def give_up(self, gap: Gap) -> None:
        """Names numbers that found no room until the stop, in the room that frames leave."""
        loss = self._loss_of(self.run.number, gap)
        if self._control([(fmt.LOSS, encode(loss), fmt.NO_CHANNEL, 0)]):
            with self._lock:
                self.run.last = gap.to_seq
            self.name_losses([loss])

    def name_losses(self, losses: list[LossRange]) -> None:
        """Takes over ranges whose records have just been written. News are only the numbers not named before."""
        ids = {run.number: run.id for run in self.state.runs}
        for new in losses:
            named = [[x.from_seq, x.to_seq] for x in self.losses if x.run == new.run]
            for a, b in missing(new.from_seq, new.to_seq, named):
                self._news.append((ids[new.run], LossRange(new.run, a, b, new.cause, new.from_t_ns, new.to_t_ns)))
        with self._lock:
            kept = [x for x in self.losses if not any(x.within(y) for y in losses)]
            self.losses = kept + losses

    def take_news(self) -> list[tuple[str, LossRange]]:
        """(run id, range) of each loss named since the last call, for the log and the wire."""
        news, self._news = self._news, []
        return news

    def close(self) -> bool:
        """Commits a clean end of the run; False where it could not be written (the next start calls it killed)."""
        with self._lock:
            self.run.closed = CLEAN
            self.run.alive_ns = clock.wall_ns()
        return self._control([(fmt.CLOSE, encode(self.run), CLEAN, self.run.last)])

    # ---- segments

    def _rotate(self) -> bool:
        """Goes on in the spare. Only called with one there; on an I/O error the old segment stays the last."""
        number = self._segments[-1].number + 1
        path, spare = segment_path(self.folder, number), self.folder / SPARE
        self._prune_runs()
        seed, now = fmt.seed_of(self.id, number), clock.wall_ns()
        self._gen += 1
        self.state.first_segment = self._segments[0].number
        head = fmt.pack_head(number, self.id, self.segment_size, now)
        head += fmt.pack_record(seed, len(head), self._gen, fmt.STATE, encode(self.state))
        try:
            self.sync()
            fd = os.open(spare, os.O_RDWR)
            os.pwrite(fd, head, 0)
            if self.limits.on_disk:
                os.fdatasync(fd)
            os.rename(spare, path)
            self._sync_folder()
        except OSError:
            self._spare = spare.exists()
            return False
        before = {run.number: run.last for run in self.state.runs}
        with self._lock:
            os.close(self._fd)
            self._segments[-1] = self._segments[-1]._replace(end=self._end)
            self._segments.append(Segment(number, path, self.segment_size, now, os.fstat(fd).st_ino, before, len(head)))
            self._fd, self._end, self._seed, self._spare = fd, len(head), seed, False
        self._ensure_spare()
        return True

    def _prune_runs(self) -> None:
        held = {loss.run for loss in self.losses} | {self.run.number}
        before = self._segments[0].before
        gone = [r for r in self.state.runs if r.number not in held and r.last <= before.get(r.number, -1)]
        with self._lock:
            for run in gone[: max(0, len(self.state.runs) - KEEP_RUNS)]:
                self.state.runs.remove(run)
            ids = {r.id for r in self.state.runs}
            for acks in self.state.acks.values():
                for run_id in [k for k in acks if k not in ids]:
                    del acks[run_id]

    def _ensure_spare(self) -> bool:
        """A preallocated next segment: without one no frame is written, so that the disk cannot fill under us."""
        if self._spare:
            return True
        if time.monotonic() < self._next_spare_try:
            return False
        size = self.segment_size
        self._next_spare_try = time.monotonic() + 0.1
        while (len(self._segments) + 1) * size > self.limits.max_bytes and len(self._segments) > 1:
            if not self._discard_oldest("journal_full"):
                return False
        while not make_spare(self.folder, size, sync=self.limits.on_disk):
            # a full disk: what every consumer has stored goes first; nothing else is given up for it
            if len(self._segments) < 2 or not self._acknowledged(0):
                return False
            self._drop_oldest()
        self._spare, self._next_spare_try = True, 0.0
        return True

    def _sync_folder(self) -> None:
        if self.limits.on_disk:
            fsync_path(self.folder)

    # ---- acknowledging and trimming

    def ack(self, consumer: str, stored: dict[str, int]) -> None:
        """A consumer has run → number on its disk; cumulative, a lower one is ignored."""
        if consumer not in self.limits.consumers:
            return
        with self._lock:
            mine = self.state.acks.setdefault(consumer, {})
            for run_id, stored_to in stored.items():
                mine[run_id] = max(mine.get(run_id, 0), stored_to)

    def acked(self, run: Run) -> int:
        """Highest number of the run that every consumer has stored."""
        acks = self.state.acks
        return min(acks.get(c, {}).get(run.id, 0) for c in self.limits.consumers)

    def _acknowledged(self, index: int) -> bool:
        """Whether all frames and loss ranges in a segment (not the last) are stored by every consumer."""
        segment, after = self._segments[index], self._segments[index + 1].before
        for run in self.state.runs:
            to = after.get(run.number, 0)
            if to > segment.before.get(run.number, 0) and self.acked(run) < to:
                return False
        runs = {run.number: run for run in self.state.runs}
        return all(
            self.acked(runs[loss.run]) >= loss.to_seq
            for loss in self.losses
            if loss.segment == segment.number and loss.run in runs
        )

    def maintain(self) -> None:
        """Once a second: trims what has been acknowledged for keep_s, syncs by interval, looks after its own files."""
        self._check_files()
        now = time.monotonic()
        for index in range(len(self._segments) - 1):
            if not self._acknowledged(index):
                break
            self._acked_at.setdefault(self._segments[index].number, now)
        while now - self._acked_at.get(self._segments[0].number, now + 1) >= self.limits.keep_s:
            self._drop_oldest()
        if self._unsynced_since and now - self._unsynced_since >= self.limits.sync_s:
            try:
                self.sync()
            except OSError:
                self._start_over("damaged")
        self._ensure_spare()

    def _drop_oldest(self) -> None:
        with self._lock:
            segment = self._segments.popleft()
            self.losses = [loss for loss in self.losses if loss.segment != segment.number]
        self._acked_at.pop(segment.number, None)
        segment.path.unlink(missing_ok=True)

    def _discard_oldest(self, cause: str) -> bool:
        """Gives up the oldest segment: what is not yet stored becomes a loss, on the disk before the file goes."""
        losses = self._losses_of(0, cause)
        records = [(fmt.LOSS, encode(loss), fmt.NO_CHANNEL, 0) for loss in losses]
        if not self._control([*records, (fmt.TRIM, b"", fmt.NO_CHANNEL, self._segments[1].number)]):
            return False
        self.name_losses(losses)
        self._drop_oldest()
        return True

    def _losses_of(self, index: int, cause: str) -> list[LossRange]:
        segment, after, here = self._segments[index], self._segments[index + 1].before, self._segments[-1].number
        runs = [(run.number, self.acked(run)) for run in self.state.runs]
        return losses_of(segment, after, runs, self.losses, cause, here)

    def _check_files(self) -> None:
        """A segment removed by a foreign hand is a loss, and no reason to write into a file that nobody can see."""
        for segment in list(self._segments)[:-1]:
            if segment is self._segments[0] and inode_of(segment.path) != segment.inode:
                self._discard_oldest("journal_gone")
        if inode_of(self._segments[-1].path) != self._segments[-1].inode:
            self._start_over("journal_gone")

    def _start_over(self, cause: str) -> None:
        """Goes on in a new segment; the unacknowledged numbers of the last one are lost."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._spare = (self.folder / SPARE).exists()
        if not self._ensure_spare() or not self._rotate():
            return
        records = self._losses_of(len(self._segments) - 2, cause)
        if self._control([(fmt.LOSS, encode(loss), fmt.NO_CHANNEL, 0) for loss in records]):
            self.name_losses(records)

    # ---- looking

    def snapshot(self) -> Snapshot:
        """For `replay`; cheap, and safe from another thread."""
        with self._lock:
            segments = list(self._segments)
            segments[-1] = segments[-1]._replace(end=self._end)
            runs = [Run(**{f: getattr(r, f) for f in r.__struct_fields__}) for r in self.state.runs]
            return Snapshot(self.id, runs, list(self.losses), segments)

    def fill(self) -> tuple[int, int, int]:
        """(frames not yet acknowledged, bytes in use, wall ns of the oldest segment)."""
        frames = sum(max(0, run.last - self.acked(run)) for run in self.state.runs if run.id)
        used = (len(self._segments) + self._spare) * self.segment_size
        return frames, used, self._segments[0].t_ns

    def release(self) -> None:
        """Closes the file; nothing is written."""
        os.close(self._fd)
