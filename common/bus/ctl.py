"""The control socket of a daemon: `runs`, `replay`, `ack`, `status` and the daemon's own commands. docs/ctl.md."""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import msgspec
import zmq

from common.errors import RigbusError
from common.journal.journal import Journal
from common.journal.replay import Hints, replay
from common.log import Log
from common.notify import Rounds
from common.paths import endpoint, inode_of, open_to_group

# A reply that needs time is a Future: it is sent when that is done, and others are answered meanwhile. Who returns
# Futures bounds their number, and completes each.
Handler = Callable[[dict[str, Any]], "dict[str, Any] | Future[dict[str, Any]]"]
_ALWAYS = ("runs", "replay", "ack", "status", "estop")
MAX_REQUEST = 1 << 20
MAX_FRAMES = 10_000
_ROUND_S = 60.0
_WAKE = "inproc://ctl-stop"  # stop() comes in as one more peer: no time-outs, no wake-ups while nobody asks


class _Request(msgspec.Struct):
    op: str
    id: Any = None


_decode_request = msgspec.msgpack.Decoder(_Request).decode
_decode_map = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode = msgspec.msgpack.Encoder().encode


class CtlServer:
    """One thread, one ROUTER socket. Handlers run in that thread, one at a time, and must be short."""

    def __init__(self, context: zmq.Context[Any], path: Path, log: Log, handlers: Mapping[str, Handler]) -> None:
        """Binds at once, so that a path that cannot be bound is the start's error. Raises UsageError, RigbusError."""
        self._log, self._handlers, self._path = log, handlers, path
        self._stop = False
        self._check = False
        self.starting = False  # not all ops may be there yet
        self.ending = ""  # why what acts is refused; what is stored may still be asked
        self._done: deque[tuple[list[bytes], Any, Future[dict[str, Any]]]] = deque()
        self.rounds = Rounds(_ROUND_S)
        self._token = os.urandom(16)  # a message that nobody else can send
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.sndtimeo = 1000
        self._socket.set(zmq.MAXMSGSIZE, MAX_REQUEST)
        try:
            self._bind()
        except (zmq.ZMQError, OSError) as e:
            self._socket.close()
            raise RigbusError(f"{path}: cannot be bound: {e.strerror}") from None
        self._socket.bind(_WAKE)
        self._context = context
        self._thread = threading.Thread(target=self._serve, name="ctl", daemon=True)
        self._thread.start()

    def _bind(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._socket.bind(endpoint(self._path))
        open_to_group(self._path)
        self._inode = inode_of(self._path)

    def check(self) -> None:
        """Once a second: a socket file that a foreign hand removed is bound anew, or nobody could ask any more."""
        if inode_of(self._path) != self._inode and not self._stop:
            self._check = True
            self._wake()

    def _wake(self) -> None:
        with self._context.socket(zmq.DEALER) as wake:
            wake.linger = 1000
            wake.connect(_WAKE)
            wake.send(self._token, zmq.NOBLOCK)

    def stop(self) -> None:
        """Ends the thread and removes the socket file: what is gone should look gone."""
        self._stop = True
        self._wake()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            self.rounds.idle()
            parts = self._socket.recv_multipart()
            self.rounds.turn()
            # stop(), check() or a reply that is done: nothing else ends this loop, so that none waits in vain
            if parts[-1] == self._token:
                if self._stop:
                    break
                if self._check:
                    self._check = False
                    self._bind_again()
                self._send_done()
                continue
            # REQ puts an empty part before its request and wants it back
            head, request = parts[:-1], parts[-1]
            if len(head) in (1, 2):
                self._send(head, self._answer(head, request))
        self._send_done()
        self._socket.close()

    def _send(self, head: list[bytes], reply: bytes | None) -> None:
        if reply is not None:
            try:
                self._socket.send_multipart([*head, reply])
            except zmq.ZMQError:
                pass  # who asked is gone

    def _send_done(self) -> None:
        while self._done:
            head, request_id, future = self._done.popleft()
            try:
                reply = _encode({"id": request_id, "ok": True, **future.result()})
            except (Exception, CancelledError) as e:
                reply = self._failure(request_id, e)
            self._send(head, reply)

    def _finish(self, head: list[bytes], request_id: Any, future: "Future[dict[str, Any]]") -> None:
        """Called in whatever thread completes the future."""
        self._done.append((head, request_id, future))
        if threading.current_thread() is self._thread:
            self._send_done()  # it was done before it came here
        else:
            try:
                self._wake()
            except zmq.ZMQError:
                pass  # the daemon has ended

    def _bind_again(self) -> None:
        try:
            self._socket.unbind(endpoint(self._path))
        except zmq.ZMQError:
            pass  # its file is gone
        try:
            self._bind()
            self._log.warning("the ctl socket was removed, and is bound again", path=self._path)
        except (zmq.ZMQError, OSError) as e:
            self._log.seldom("bind", "the ctl socket was removed, and cannot be bound", reason=e.strerror)

    def _answer(self, head: list[bytes], request: bytes) -> bytes | None:
        """The reply; None where there is none, or not yet."""
        request_id: Any = None
        try:
            envelope = _decode_request(request)
            request_id, op = envelope.id, envelope.op
            handler = self._handlers.get(op)
            if self.ending and op not in _ALWAYS:
                raise RigbusError(self.ending)
            if handler is None and self.starting:
                raise RigbusError("starting")
            if handler is None:
                return _error(request_id, "unknown_op", f"no op {op!r}; there are: {', '.join(sorted(self._handlers))}")
            found = handler(_decode_map(request))
            if isinstance(found, Future):
                found.add_done_callback(lambda future: self._finish(head, request_id, future))
                return None
            return None if op == "ack" else _encode({"id": request_id, "ok": True, **found})
        except Exception as e:
            return self._failure(request_id, e)

    def _failure(self, request_id: Any, e: BaseException) -> bytes:
        if isinstance(e, msgspec.DecodeError | UnicodeDecodeError | RecursionError):
            return _error(request_id, "malformed", str(e))
        if isinstance(e, RigbusError):
            return _error(request_id, "refused", str(e))
        # a handler's fault must not end the thread that serves replay
        self._log.seldom(f"failed {type(e).__name__}", "ctl request failed", error=f"{type(e).__name__}: {e}")
        return _error(request_id, "failed", f"{type(e).__name__}: {e}")


def _error(request_id: Any, error: str, detail: str) -> bytes:
    return _encode({"id": request_id, "ok": False, "error": error, "detail": detail})


class _Replay(msgspec.Struct):
    run: str
    from_: int = msgspec.field(name="from")
    n: int = 1000


class _Ack(msgspec.Struct):
    consumer: str
    acks: dict[str, int]


def journal_handlers(journal: Journal, src: str) -> dict[str, Handler]:
    """`runs`, `replay` and `ack` for one journal. Replay reads the files, so it never waits for the writer."""
    hints: Hints = {}

    def runs(_: dict[str, Any]) -> dict[str, Any]:
        snap = journal.snapshot()
        rows = [[r.id, r.boot_id, r.last, snap.trimmed(r.number), r.closed] for r in snap.runs if r.id]
        return {"src": src, "journal_id": journal.id.hex(), "run": journal.run.id, "runs": rows}

    def answer_replay(request: dict[str, Any]) -> dict[str, Any]:
        r = msgspec.convert(request, _Replay)
        for _ in range(5):
            try:
                chunk = replay(journal.snapshot(), r.run, max(1, r.from_), max(1, min(r.n, MAX_FRAMES)), hints)
            except FileNotFoundError:
                continue  # trimmed since the snapshot
            if chunk is None:
                raise RigbusError(f"unknown run {r.run}")
            return chunk._asdict()
        raise RigbusError("the journal is trimmed faster than it is read, ask again")

    def ack(request: dict[str, Any]) -> dict[str, Any]:
        r = msgspec.convert(request, _Ack)
        journal.ack(r.consumer, r.acks)
        return {}

    return {"runs": runs, "replay": answer_replay, "ack": ack}


def no_journal_handlers(src: str, run: str) -> dict[str, Handler]:
    """The same ops for a daemon that publishes nothing that counts (bus, sink)."""

    def runs(_: dict[str, Any]) -> dict[str, Any]:
        return {"src": src, "journal_id": "", "run": run, "runs": []}

    def ack(_: dict[str, Any]) -> dict[str, Any]:
        return {}

    return {"runs": runs, "ack": ack}
