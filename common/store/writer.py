"""The one writer of `rigbus.db`: what `commit` returned from is on the disk, rows, ledger and cursors together.

One thread owns a Store. After any StoreError nothing of that commit is stored, and `cursors()` tells from where to go
on: also where the file was corrupt and a new one has begun. No caller needs to open it again.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar

from common.errors import StoreError
from common.frames import Health
from common.store import boots, database, progress
from common.store.items import Closed, Cursor, Item, Lost, Noise, StreamKey, Taken
from common.store.minutes import Minutes
from common.store.moves import Move
from common.store.transaction import POISON, Stream, Transaction

T = TypeVar("T")
Published = Mapping[StreamKey, tuple[int, str]]
NOTHING: Published = MappingProxyType({})
# What passes by itself, with the connection as good as before; after anything else it is opened anew.
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


class Store:
    """Made by `Store.open`."""

    def __init__(self, path: str, synchronous: str, busy_ms: int) -> None:
        self.path = path
        self._synchronous = synchronous
        self._busy_ms = busy_ms
        self._conn: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._doubtful = False  # an I/O error ended the last connection: what can be read may not be on the disk
        self._streams: dict[StreamKey, Stream] = {}
        self._unread = False  # what is stored is not what cursors() told
        self._minutes = Minutes()
        self.boots = boots.Boots()  # to be replaced by what `boots.load` finds after a change of theirs
        self.generation = 0  # rises when the database may be another one: ids that were known are void

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], synchronous: Literal["full", "extra"] = "full", busy_ms: int = 2000
    ) -> Self:
        """Open or make the database. A corrupt one is set aside, with a ledger row in the new one.

        busy_ms: how long another writer may hold the lock before a call fails. StoreError: it cannot be opened now
        (locked, full, not permitted), or belongs to a newer rigbus.
        """
        store = cls(os.path.abspath(path), synchronous, busy_ms)
        store.cursors()
        return store

    def cursors(self) -> dict[StreamKey, Cursor]:
        """Every stream with the number up to which it is stored. StoreError: it cannot be opened now."""
        if self._conn is None or self._moved():
            self._connect()
        self._unread = False
        return {
            key: Cursor(stream.stored_to, stream.closed, stream.published_to) for key, stream in self._streams.items()
        }

    def commit(
        self,
        items: Sequence[Item],
        published: Published = NOTHING,
        moves: Sequence[Move] = (),
        generation: int | None = None,
    ) -> list[str]:
        """Store all items, in order, each stream from its cursor on, in one transaction that is on the disk at return.

        published: per stream the highest number its publisher told of, and its boot id. An item whose data cannot be
        stored goes to quarantine and into the ledger, the others are stored. Nothing new: nothing is written.
        moves: what outputs have got done, in the store of that generation (None: in this one); dropped where it is
        another by now. Returns moves that cannot be written, one line each: a fault in an output stops nobody else.
        StoreError: nothing is stored; the items may be given again, from where `cursors()` then stands.
        AssertionError: an item does not start right after its stream's cursor.
        """
        conn = self._connection()
        if generation not in (None, self.generation):
            moves = ()
        keys = self._check(items)
        due = self._minutes.due()
        if not (items or due or moves or self._news(published)):
            return []
        keys += [*published, *(key for key, _, _ in due)]
        try:
            try:
                streams, faults = self._write(conn, items, published, keys, moves, each=False)
            except POISON:
                streams, faults = self._write(conn, items, published, keys, moves, each=True)
        except sqlite3.Error as e:
            raise self._failed(e) from e
        except StoreError:
            self._disconnect()  # another writer was here: read again what is stored
            raise
        self._streams = streams
        self._minutes.written(due)
        return faults

    def tops(self, tables: Iterable[str]) -> dict[str, int]:
        """Table → its highest id, 0 for an empty one, or none at all. StoreError: it cannot be read now."""
        conn = self._connection()
        try:
            there = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            return {t: (t in there and conn.execute(f"SELECT max(id) FROM {t}").fetchone()[0]) or 0 for t in tables}
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: {e}") from e

    def ledger(self, after: int, most: int = 500) -> list[tuple[Any, ...]]:
        """Rows behind that id, oldest first: id, src (None: of no stream), stream, unit, cause, count, from_t_ns,

        to_t_ns, detail. StoreError: it cannot be read now.
        """
        try:
            return self._connection().execute(
                "SELECT l.id, s.src, l.stream, l.unit, l.cause, l.count, l.from_t_ns, l.to_t_ns, l.detail "
                "FROM ledger l LEFT JOIN streams s ON s.id = l.stream_id WHERE l.id > ? ORDER BY l.id LIMIT ?",
                (after, most),
            ).fetchall()  # fmt: skip
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: {e}") from e

    def owed_bytes(self) -> int:
        """What the file will grow by when the log is folded into it: readers may hold that up for long."""
        conn = self._connection()
        try:
            pages, size = (conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            return max(0, int(pages * size) - os.path.getsize(self.path))
        except (sqlite3.Error, OSError) as e:
            raise StoreError(f"{self.path}: {e}") from e

    def health(self, frame: Health) -> None:
        """Remember a health frame; the next commit in which a row of its source is due writes it."""
        self._minutes.add(frame)

    def work(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in a transaction of its own: the writer's further work (rollups, retention, …) between commits.

        It must be over in some 50 ms. StoreError: nothing of it is stored. What else it raises undoes it and comes out.
        """
        conn = self._connection()
        try:
            conn.execute("BEGIN IMMEDIATE")
            found = job(conn)
            conn.execute("COMMIT")
        except BaseException as e:
            if conn.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
            if isinstance(e, sqlite3.Error):
                raise self._failed(e) from e
            raise
        return found

    def close(self) -> None:
        """Fold the log into the database: a stopped rig has no -wal file."""
        self._disconnect()

    def _connection(self) -> sqlite3.Connection:
        """The open connection, opened anew where needed.

        StoreError also where what is stored has changed thereby, until cursors() was asked: whoever has items for it
        may not be who met the change.
        """
        if self._conn is None or self._moved():
            self._connect()
        if self._unread:
            raise StoreError(f"{self.path}: opened anew, and not as it was left; cursors() tells what is stored")
        assert self._conn is not None
        return self._conn

    def _moved(self) -> bool:
        """Whether the path leads to another file by now: rows written to a deleted file would be acknowledged."""
        try:
            found = os.stat(self.path)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._file

    def _connect(self) -> None:
        self._disconnect()
        try:
            self._open("")
        except sqlite3.Error as e:
            if not database.is_corrupt(e):
                raise StoreError(f"{self.path}: {e}") from e
            self._set_aside(e)
        except OSError as e:
            raise StoreError(f"{self.path}: {e.strerror}") from e

    def _open(self, reason: str) -> None:
        conn = database.connect(self.path, self._synchronous, self._busy_ms, reason)
        try:
            if self._doubtful:
                database.rewrite(conn)
            found = os.stat(self.path)
            known = boots.load(conn)
            rows = conn.execute(
                "SELECT node, src, run, id, boot_id, stored_to, published_to, closed FROM streams"
            ).fetchall()
        except BaseException:
            conn.close()
            raise
        self.boots = known
        before, self._streams = self._streams, {StreamKey(*row[:3]): Stream(*row[3:]) for row in rows}
        self._unread |= self._streams != before
        file = (found.st_dev, found.st_ino)
        self.generation += file != self._file
        self._file = file
        self._doubtful = False
        self._conn = conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                self._conn.close()
            self._conn = None

    def _set_aside(self, error: sqlite3.Error) -> str:
        """Move a corrupt file away and begin a new one; where the old one lies."""
        try:
            aside = database.set_aside(self.path)
            self._disconnect()
            self._doubtful = False
            self._open(str(error))
        except sqlite3.Error as e:
            raise StoreError(f"{self.path}: corrupt ({error}), and no new one can be made: {e}") from e
        except OSError as e:
            raise StoreError(f"{self.path}: corrupt ({error}), and cannot be replaced: {e.strerror}") from e
        return aside

    def _failed(self, error: sqlite3.Error) -> StoreError:
        """What to raise for an error of the database, after doing what it calls for."""
        if database.is_corrupt(error):
            return StoreError(f"{self.path}: {error}; a new one has begun, the old one is {self._set_aside(error)}")
        if database.primary_code(error) not in _PASSING:
            self._disconnect()
            self._doubtful = True
        return StoreError(f"{self.path}: {error}")

    def _check(self, items: Sequence[Item]) -> list[StreamKey]:
        """The streams of the items, as they come. AssertionError: an item does not start right after its cursor."""
        reached: dict[StreamKey, int] = {}
        last: StreamKey | None = None
        cursor = 0
        for item in items:
            if isinstance(item, Noise):
                continue
            key = item.key
            if key is not last:
                if last is not None:
                    reached[last] = cursor
                stored = self._streams.get(key)
                last, cursor = key, reached.get(key, stored.stored_to if stored else 0)
            if isinstance(item, Taken):
                start = end = item.frame.seq
            elif isinstance(item, Lost):
                start, end = item.from_seq, item.to_seq
            elif isinstance(item, Closed):
                continue
            else:
                start = end = item.seq
            if start != cursor + 1 or end < start:
                raise AssertionError(f"{'/'.join(key)} is stored to {cursor}, and got {start}..{end}")
            cursor = end
        if last is not None:
            reached[last] = cursor
        return list(reached)

    def _news(self, published: Published) -> bool:
        """Whether publishers told anything that is not stored yet."""
        for key, (last, boot_id) in published.items():
            stream = self._streams.get(key)
            if stream is None or last > stream.published_to or (boot_id and boot_id != stream.boot_id):
                return True
        return False

    def _write(
        self,
        conn: sqlite3.Connection,
        items: Sequence[Item],
        published: Published,
        keys: Sequence[StreamKey],
        moves: Sequence[Move],
        *,
        each: bool,
    ) -> tuple[dict[StreamKey, Stream], list[str]]:
        """One transaction; each: item by item where needed, so that none can fail the others.

        The new streams, and what is wrong with moves that are not written.
        """
        conn.execute("BEGIN IMMEDIATE")
        try:
            work = Transaction(conn, self._streams, self.boots)
            work.ensure(keys)
            for key, (last, boot_id) in published.items():
                work.tell(key, last, boot_id)
            (work.store_each if each else work.store)(items)
            for key, frame, worst in self._minutes.due():
                work.health(key, frame, worst)
            faults = [fault for move in moves if (fault := _try(conn, move))]
            streams = work.finish()
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
            raise
        self.boots.marks = work.marks
        return streams, faults


def _try(conn: sqlite3.Connection, move: Move) -> str:
    """Writes what an output has got done; what is wrong with it, where it cannot be."""
    conn.execute("SAVEPOINT move")
    fault = ""
    try:
        progress.write(conn, move)
    except POISON as e:
        conn.execute("ROLLBACK TO move")
        fault = f"{move.output}: {type(e).__name__}: {e}"
    conn.execute("RELEASE move")
    return fault
