"""The sink's line to one source: a DEALER to its ctl socket, or its journal on the disk when nobody answers."""

import time
from pathlib import Path
from typing import Any

import msgspec
import zmq

from common.config.schema import JournalConfig
from common.journal.counter import read_journal_id
from common.journal.folder import scan_folder
from common.journal.limits import journal_limits
from common.journal.replay import Chunk, Snapshot, replay
from common.paths import Folders, endpoint, fsync_path, is_held

TIMEOUT_S = 2.0
_encode = msgspec.msgpack.Encoder().encode


class RunRow(msgspec.Struct, array_like=True):
    run: str
    boot_id: str
    last: int
    trimmed: int
    closed: int


class _Reply(msgspec.Struct):
    id: int
    ok: bool
    runs: list[RunRow] = []
    run: str = ""
    journal_id: str = ""
    error: str = ""
    frames: list[tuple[bytes, bytes]] = []
    losses: list[tuple[int, int, str, int, int]] = []
    upto: int = 0
    last: int = 0
    trimmed: int = 0
    closed: int = 0
    unknown: tuple[int, int] | None = None


_decode = msgspec.msgpack.Decoder(_Reply).decode


class Link:
    """At most one request outstanding. A reply with a stale id is dropped; after TIMEOUT_S the socket is made anew."""

    def __init__(self, context: zmq.Context[Any], poller: zmq.Poller, path: Path) -> None:
        """Raises UsageError where the kernel could not take the path."""
        self._context, self._poller, self._endpoint = context, poller, endpoint(path)
        self.socket: zmq.Socket[bytes] | None = None
        self._id = 0
        self.waiting_for: tuple[str, str, int] | None = None  # (op, run, from)
        self._deadline = 0.0

    def _connect(self) -> zmq.Socket[bytes]:
        if self.socket is None:
            self.socket = self._context.socket(zmq.DEALER)
            self.socket.linger = 100  # the last acknowledgement is worth a moment
            self.socket.immediate = True  # nothing is queued for a peer that is not there
            self.socket.sndhwm = 100
            self.socket.reconnect_ivl = 50
            self.socket.reconnect_ivl_max = 500
            self.socket.connect(self._endpoint)
            self._poller.register(self.socket, zmq.POLLIN)
        return self.socket

    def close(self) -> None:
        if self.socket is not None:
            self._poller.unregister(self.socket)
            self.socket.close()
        self.socket = self.waiting_for = None

    def ask(self, op: str, run: str = "", from_seq: int = 0, **fields: Any) -> bool:
        """Sends a request; False where nobody is connected (yet)."""
        self._id += 1
        try:
            request = {"id": self._id, "op": op, "run": run, "from": from_seq, **fields}
            self._connect().send(_encode(request), zmq.NOBLOCK)
        except zmq.Again:
            return False
        self.waiting_for, self._deadline = (op, run, from_seq), time.monotonic() + TIMEOUT_S
        return True

    def tell(self, op: str, **fields: Any) -> None:
        """A message without a reply (ack); lost where nobody is connected, since it will be said again."""
        try:
            self._connect().send(_encode({"op": op, **fields}), zmq.NOBLOCK)
        except zmq.Again:
            pass

    def timed_out(self) -> bool:
        """Drops a request that nobody answered; True once for each."""
        if self.waiting_for is None or time.monotonic() < self._deadline:
            return False
        self.close()
        return True

    def reply(self) -> _Reply | None:
        """The answer to what was asked last, if it is there."""
        while self.socket is not None:
            try:
                found = _decode(self.socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return None
            except msgspec.DecodeError:
                continue
            if self.waiting_for is not None and found.id == self._id:
                self.waiting_for = None
                return found
        return None


def chunk_of(reply: _Reply) -> Chunk:
    r = reply
    return Chunk(r.frames, r.losses, r.upto, r.last, r.trimmed, r.closed, r.unknown)


class DeadJournal:
    """The journal of a source whose process is gone: read from the disk, without its lock."""

    def __init__(self, folders: Folders, config: JournalConfig, src: str) -> None:
        self._counter = folders.counters(src) / "counter"
        self._lock = folders.counters(src) / "lock"
        self._folder = folders.journal(src, journal_limits(config, src)[0])
        self._snapshot: Snapshot | None = None
        self._seen: list[tuple[str, int, int]] = []  # name, size, mtime: what the snapshot was made of

    def runs(self) -> list[RunRow] | None:
        """What it holds; None while its process lives, or where there is none. Raises OSError."""
        if is_held(self._lock) or not self._folder.is_dir():
            self._snapshot = None
            return None
        files = [p for p in self._folder.iterdir() if p.is_file()]
        seen = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(files)]
        if self._snapshot is None or seen != self._seen:
            for path in files:
                fsync_path(path)
            self._snapshot, self._seen = (
                Snapshot.of(scan_folder(self._folder, known_id=read_journal_id(self._counter))),
                seen,
            )
        snap = self._snapshot
        return [RunRow(r.id, r.boot_id, r.last, snap.trimmed(r.number), r.closed) for r in snap.runs if r.id]

    def replay(self, run: str, from_seq: int, n: int) -> Chunk | None:
        """As ctl's replay. None where the process lives again or the journal has changed: ask `runs` anew."""
        if self._snapshot is None or is_held(self._lock):
            return None
        try:
            return replay(self._snapshot, run, from_seq, n)
        except OSError:
            return None
