"""An HTTP server, or a proxy before a real one, that does to each request what a script says.

    with Faults(influxd.url) as faults:          # a proxy: /api/v2/write?bucket=X becomes /write?db=X there
        faults.script = [Say(503, {"Retry-After": "2"}), ResetAfter(), Hang()]
        faults.otherwise = Pass()                # what is done when the script is at its end

A step may be a function of the request that gives the step. Without a server behind it `Pass` keeps lines and says 204.
"""

import gzip
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlencode, urlsplit


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes  # unpacked
    t: float  # monotonic s

    @property
    def lines(self) -> list[bytes]:
        return [line for line in self.body.splitlines() if not line.startswith(b"#")]


class Pass(NamedTuple):
    """On to the server behind, and its answer back. delay_s: before that."""

    delay_s: float = 0.0


class Say(NamedTuple):
    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Hang(NamedTuple):
    """No answer, until the client gives up or the proxy ends."""


class ResetBefore(NamedTuple):
    """The connection is reset before the request is read."""


class ResetAfter(NamedTuple):
    """The server behind has taken it and said so; the client sees a reset."""


class Raw(NamedTuple):
    """These bytes instead of an answer, then the end; pause_s: between one byte and the next."""

    data: bytes
    pause_s: float = 0.0


Step = Pass | Say | Hang | ResetBefore | ResetAfter | Raw
Scripted = Step | Callable[[Request], Step]


class Faults:
    """`requests` has all that was asked, `taken` the lines that `Pass` kept where there is no server behind."""

    def __init__(self, target: str | None = None, *, translate: bool = True) -> None:
        """target: URL of the real server. translate: it is an influxd 1.x."""
        self._target, self._translate = target, translate
        self.script: list[Scripted] = []
        self.otherwise: Scripted = Pass()
        self.requests: list[Request] = []
        self.keep = True  # False: requests are not kept, for long tests
        self.count = 0
        self.taken: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._ended = threading.Event()
        self.port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Takes connections, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(16)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuses connections, and resets those that there are."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for client in list(self._open):
                _reset(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.down()

    def writes(self) -> list[Request]:
        """The requests that hold lines."""
        return [request for request in self.requests if request.path == "/api/v2/write" and request.lines]

    # ---- threads

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        behind: list[http.client.HTTPConnection] = []
        try:
            with client.makefile("rb") as reader:
                while self._one(client, reader, behind):
                    pass
        except (OSError, ValueError):
            pass  # who asked is gone, or speaks no HTTP
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()
            for connection in behind:
                connection.close()

    def _one(self, client: socket.socket, reader: Any, behind: list[http.client.HTTPConnection]) -> bool:
        """One request; whether the connection stays."""
        line = reader.readline()
        if not line:
            return False
        with self._lock:
            step = self.script[0] if self.script else self.otherwise
            if isinstance(step, ResetBefore):
                del self.script[:1]
                self.count += 1
        if isinstance(step, ResetBefore):
            _reset(client)
            return False
        request, packed = _read(line, reader)
        with self._lock:
            self.count += 1
            if self.keep:
                self.requests.append(request)
            # a comment asks about the request itself: it is no step of a script, but meets what is there otherwise
            scripted = bool(request.lines) or request.method != "POST"
            step = self.script.pop(0) if self.script and scripted else self.otherwise
        if not isinstance(step, tuple):
            step = step(request)
        match step:
            case Hang():
                while not self._ended.wait(0.05) and client.fileno() >= 0 and not _is_gone(client):
                    pass
                return False
            case Raw(data, pause_s):
                for i in range(len(data) if pause_s else 1):
                    client.sendall(data[i : i + 1] if pause_s else data)
                    self._ended.wait(pause_s)
                return False
            case Say():
                client.sendall(_answer(step))
                return True
            case Pass(delay_s):
                time.sleep(delay_s)
            case ResetAfter():
                assert self._pass_on(request, packed, behind).status == 204
                _reset(client)
                return False
        client.sendall(_answer(self._pass_on(request, packed, behind)))
        return True

    def _pass_on(self, request: Request, packed: bytes, behind: list[http.client.HTTPConnection]) -> Say:
        if self._target is None:
            if request.method == "GET":
                return Say(404)
            with self._lock:
                self.taken += [(request.query.get("bucket", ""), line) for line in request.lines]
            return Say(204)
        path, query = request.path, request.query
        if self._translate and path == "/api/v2/write":
            path, query = "/write", {"db": query.get("bucket", ""), "precision": "ns"}
        headers = {k: v for k, v in request.headers.items() if k in ("content-encoding", "authorization")}
        for _ in range(2):
            if not behind:
                behind.append(http.client.HTTPConnection(urlsplit(self._target).netloc, timeout=60))
            try:
                behind[0].request(request.method, f"{path}?{urlencode(query)}", packed, headers)
                answer = behind[0].getresponse()
                body = answer.read()
                return Say(answer.status, {"Content-Type": answer.headers.get("Content-Type", "")}, body)
            except (OSError, http.client.HTTPException):
                behind.pop().close()
        return Say(502, {}, b"the server behind does not answer")


def _read(line: bytes, reader: Any) -> tuple[Request, bytes]:
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (header := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    packed = reader.read(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
    body = gzip.decompress(packed) if headers.get("content-encoding") == "gzip" else packed
    return Request(method, url.path, query, headers, body, time.monotonic()), packed


def _answer(say: Say) -> bytes:
    headers = dict(say.headers)
    if say.status != 204:
        headers["Content-Length"] = str(len(say.body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {say.status} Said\r\n{head}\r\n".encode() + say.body


def _reset(client: socket.socket) -> None:
    """RST instead of FIN."""
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    _close(client)


def _close(client: socket.socket) -> None:
    # close() alone would wait for the file object that reads it
    client._io_refs = 0  # type: ignore[attr-defined]
    client.close()


def _is_gone(client: socket.socket) -> bool:
    try:
        client.setblocking(False)
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def refuse(status: int, is_bad: Callable[[bytes], bool], words: str = "no") -> Callable[[Request], Step]:
    """A server that refuses every request with a bad line in it, and takes the others."""

    def step(request: Request) -> Step:
        if any(map(is_bad, request.lines)):
            body = json.dumps({"code": "invalid", "message": words}).encode()
            return Say(status, {"Content-Type": "application/json"}, body)
        return Pass()

    return step


def lines_of(requests: Sequence[Request]) -> list[bytes]:
    return [line for request in requests for line in request.lines]
