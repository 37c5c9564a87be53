"""What one commit writes: the rows of its items, the ledger, the streams. It knows nothing of files and recovery."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from common import clock, frames
from common.errors import StoreError
from common.frames import Samples
from common.store.assemble import assemble
from common.store.boots import Batch, Boot, Boots, Mark
from common.store.items import Closed, Item, Lost, Noise, StreamKey, Taken, Unreadable
from common.store.rows import Row, Rows, health_row, rows_of

# What the data of an item can raise, as against the disk, the file or another process: such an item fails for ever.
POISON = (
    OverflowError,
    TypeError,
    ValueError,
    RecursionError,
    msgspec.MsgspecError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
POWER_CUT = 3


class Stream(NamedTuple):
    """A row of `streams`, as far as the writer needs it."""

    id: int
    boot_id: str
    stored_to: int
    published_to: int
    closed: int


class _Move:
    """What one commit does to one stream."""

    __slots__ = ("closed", "no_rows", "stored", "to")

    def __init__(self, stored_to: int, closed: int) -> None:
        self.to = stored_to
        self.closed = closed
        self.stored = 0
        self.no_rows = 0


class Transaction:
    """One open transaction: `ensure` its streams, `store` the items, `tell` what publishers told, `finish`, COMMIT.

    streams, boots: what is stored so far; not changed. After COMMIT `finish`'s result replaces the streams, and `marks`
    those of the boots. What publishers told comes first: a frame is judged by its boot.
    """

    def __init__(self, conn: sqlite3.Connection, streams: dict[StreamKey, Stream], boots: Boots) -> None:
        self._conn = conn
        self._streams = dict(streams)
        self._boots = boots
        self.marks: dict[Mark, int | None] = dict(boots.marks)
        self._before = streams
        self._moves: dict[StreamKey, _Move] = {}

    def ensure(self, keys: Iterable[StreamKey]) -> None:
        """Make the rows of streams seen for the first time. Before any savepoint: going back must not undo them."""
        for key in keys:
            if key in self._streams:
                continue
            cursor = self._conn.execute(
                "INSERT INTO streams (node, src, run) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING id", key
            )
            found = cursor.fetchall()
            if not found:
                raise StoreError(f"stream {'/'.join(key)} was made by another writer")
            self._streams[key] = Stream(found[0][0], "", 0, 0, 0)

    def id_of(self, key: StreamKey) -> int:
        return self._streams[key].id

    def store(self, items: Sequence[Item]) -> None:
        """All items or, where one cannot be stored, none: raises what it raised (POISON), to be rolled back."""
        moves: dict[StreamKey, _Move] = {}
        rows: Rows = {}
        samples: dict[tuple[int, str], list[Samples]] = {}
        batch = Batch(self._boots, self.marks)
        boots: dict[int, Boot | None] = {}  # by stream; None: nothing is known of its clock
        last: StreamKey | None = None
        stream_id = 0
        for item in items:
            if isinstance(item, Noise):
                ledger = rows.setdefault("ledger", [])
                ledger.append(_noise(item))
                batch.account(ledger, len(ledger) - 1, None)
                continue
            key = item.key
            if key is not last:
                last, stream = key, self._streams[key]
                stream_id = stream.id
                boot = boots[stream_id] = self._boots.judging(stream.boot_id)
                below = boot.judges_below if boot is not None else 0
                move = moves.get(key) or self._moving(key, moves)
            if isinstance(item, Taken):
                frame = item.frame
                if isinstance(frame, Samples):
                    if frame.n:
                        samples.setdefault((stream_id, frame.sensor), []).append(frame)
                    else:
                        move.no_rows += 1
                else:
                    table, new = rows_of(frame, stream_id)
                    if new:
                        into = rows.setdefault(table, [])
                        if boot is not None and frame.mono < below:
                            new = batch.judge(boot, frame, table, stream_id, len(into), new)
                        into += new
                    else:
                        move.no_rows += 1
                move.to = frame.seq
                move.stored += 1
            else:
                ledger = rows.setdefault("ledger", [])
                at = len(ledger)
                _account(item, stream_id, move, rows)
                batch.account(ledger, at, stream_id)
        for (stream_id, _), of_sensor in samples.items():
            into, boot = rows.setdefault("sample_chunks", []), boots[stream_id]
            # joined by the stamps they came with, so that no chunk holds those of two settings of the clock
            early = {} if boot is None else {f.seq: f for f in of_sensor if f.mono < boot.judges_below}
            for chunk in assemble(of_sensor):
                new = [(*chunk, stream_id)]
                if boot is not None and (first := early.get(chunk.from_seq)) is not None:
                    new = list(batch.judge(boot, first, "sample_chunks", stream_id, len(into), new))
                into += new
        batch.insert(self._conn, rows)
        self.marks.update(batch.known)
        self._moves.update(moves)

    def store_each(self, items: Sequence[Item]) -> None:
        """As `store`, but what can never be stored is set aside: found by halving, so that the rest stays joined."""
        self._conn.execute("SAVEPOINT items")
        try:
            self.store(items)
        except POISON as e:
            self._conn.execute("ROLLBACK TO items")
            if len(items) == 1:
                self._set_aside(items[0], f"{type(e).__name__}: {e}")
            else:
                middle = len(items) // 2
                self.store_each(items[:middle])
                self.store_each(items[middle:])
        self._conn.execute("RELEASE items")

    def health(self, key: StreamKey, frame: frames.Health, worst: frames.Lateness) -> None:
        """Its row; nothing is done where it is poison."""
        stream_id = self._streams[key].id
        batch, boot = Batch(self._boots, self.marks), self._boots.judging(frame.boot_id)
        self._conn.execute("SAVEPOINT row")
        try:
            rows: Sequence[Row] = [health_row(frame, worst, stream_id)]
            if boot is not None:
                rows = batch.judge(boot, frame, "health", stream_id, 0, rows)
            batch.insert(self._conn, {"health": list(rows)})
            self.marks.update(batch.known)
        except POISON:
            self._conn.execute("ROLLBACK TO row")
        self._conn.execute("RELEASE row")

    def tell(self, key: StreamKey, published_to: int, boot_id: str) -> None:
        """What a publisher told: the highest number it gave out, and its boot."""
        stream = self._streams[key]
        self._streams[key] = stream._replace(
            boot_id=boot_id or stream.boot_id, published_to=max(stream.published_to, published_to)
        )

    def finish(self) -> dict[StreamKey, Stream]:
        """Write the streams that moved. StoreError if a cursor in the database is not where this writer left it."""
        for key, move in self._moves.items():
            self._streams[key] = self._streams[key]._replace(stored_to=move.to, closed=move.closed)
        for key, stream in self._streams.items():
            before = self._before.get(key)
            if stream == before:
                continue
            counts = self._moves.get(key) or _Move(0, 0)
            changed = self._conn.execute(
                "UPDATE streams SET boot_id = ?, stored_to = ?, stored = stored + ?, no_rows = no_rows + ?, "
                "published_to = ?, closed = ? WHERE id = ? AND stored_to = ?",
                (
                    *(stream.boot_id, stream.stored_to, counts.stored, counts.no_rows, stream.published_to),
                    *(stream.closed, stream.id, before.stored_to if before else 0),
                ),
            )
            if changed.rowcount != 1:
                raise StoreError(f"stream {'/'.join(key)}: another writer moved its cursor")
        return self._streams

    def _moving(self, key: StreamKey, moves: dict[StreamKey, _Move]) -> _Move:
        """This batch's own copy of a stream's move: it takes effect only if the batch is stored."""
        done = self._moves.get(key)
        stream = self._streams[key]
        move = moves[key] = _Move(done.to if done else stream.stored_to, done.closed if done else stream.closed)
        if done:
            move.stored, move.no_rows = done.stored, done.no_rows
        return move

    def _set_aside(self, item: Item, reason: str) -> None:
        """An item that can never be stored: its frame goes to quarantine, its numbers to the ledger.

        An account of a loss that cannot be written as it is (times beyond 64 bit, text that is no UTF-8) is tamed.
        """
        if not isinstance(item, Taken):
            self.store([item._replace(**_tamed(item))])
            return
        poison = Unreadable(item.key, item.frame.seq, item.topic, _encoded(item.frame), reason, "poison")
        poison = poison._replace(**_tamed(poison))
        rows: Rows = {}
        batch, stream_id = Batch(self._boots, self.marks), self._streams[item.key].id
        _refuse(poison, str(item.frame.__struct_config__.tag), stream_id, rows)
        batch.account(rows["ledger"], 0, stream_id)
        batch.insert(self._conn, rows)
        self.marks.update(batch.known)
        self._moving(item.key, self._moves).to = item.frame.seq


def _account(item: Unreadable | Lost | Closed, stream_id: int, move: _Move, rows: Rows) -> None:
    """The ledger's row of an item that is no frame (and a frame's bytes, where there are any)."""
    ledger = rows.setdefault("ledger", [])
    if isinstance(item, Lost):
        count = item.to_seq - item.from_seq + 1
        numbers = (item.from_seq, item.to_seq, item.from_t_ns, item.to_t_ns)
        ledger.append((item.to_t_ns, stream_id, "*", "frame", count, item.cause, *numbers, item.detail, None))
        move.to = item.to_seq
    elif isinstance(item, Closed):
        if item.kind == POWER_CUT and move.closed != POWER_CUT:
            beyond = (move.to + 1, None, item.from_t_ns, item.to_t_ns)
            ledger.append((item.to_t_ns, stream_id, "*", "frame", None, item.cause, *beyond, "", None))
        move.closed = item.kind
    else:
        _refuse(item, item.topic, stream_id, rows)
        move.to = item.seq


def _refuse(item: Unreadable, table_name: str, stream_id: int, rows: Rows) -> None:
    """A frame that no table can take: its bytes to quarantine, its number to the ledger."""
    now = clock.wall_ns()
    rows.setdefault("quarantine", []).append(("store", table_name, item.seq, item.reason, item.payload, now))
    numbers = (item.seq, item.seq, None, None)
    rows.setdefault("ledger", []).append(
        (now, stream_id, item.topic, "frame", 1, item.cause, *numbers, item.reason, None)
    )


def _noise(item: Noise) -> Row:
    now = clock.wall_ns()
    return (now, None, item.topic, "frame", item.count, item.cause, None, None, None, None, item.detail, None)


def _tamed(item: Item) -> dict[str, Any]:
    """The fields of an account that SQLite may refuse, as values that it takes."""
    fields: dict[str, Any] = {}
    for name, value in item._asdict().items():
        if isinstance(value, str):
            fields[name] = value.encode(errors="backslashreplace").decode()
        elif isinstance(value, int):
            fields[name] = max(-(2**63), min(value, 2**63 - 1))
    return fields


def _encoded(frame: frames.AnyFrame) -> bytes:
    """A frame's bytes; where even those cannot be made, what it looked like."""
    try:
        return frames.encode(frame)
    except (OverflowError, TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return repr(frame).encode(errors="backslashreplace")
