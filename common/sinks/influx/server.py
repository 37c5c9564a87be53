"""One request to the server at a time, and what it answered. What an answer means is not decided here (sender.py)."""

import gzip
import http.client
import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)

from common.config.schema import InfluxConfig
from common.errors import ConfigError
from common.secrets import Secret, Secrets
from common.sinks.output import NotNow

TOKENS = ("INFLUX_WRITE_TOKEN", "INFLUX_TOKEN")
LONGEST_WAIT_S = 3600.0
MAX_WORDS = 300
_READ = 16_384  # bytes of an answer that are looked at
_HEADER_TOO_LONG = "its answer has a header of over 64 kB"


class Answer(NamedTuple):
    """status: of HTTP. words: the server's own, one line without secrets, "" for none. wait_s: of Retry-After."""

    status: int
    words: str = ""
    wait_s: float | None = None
    is_page: bool = False


class Server:
    """The URL of the configuration, with one connection. `name` is the URL as it may be shown."""

    def __init__(self, config: InfluxConfig, secrets: Secrets) -> None:
        """Raises ConfigError for a URL that is none."""
        try:
            url = urllib3.util.parse_url(config.url.strip())
        except LocationParseError:
            url = urllib3.util.Url()
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ConfigError("sink.influx.url is no URL of a server: http://localhost:8086 or https://…")
        self.name = f"{url.scheme}://{url.netloc}{(url.path or '').rstrip('/')}"
        self.had_token = False  # of the last request
        self._org, self._secrets, self._timeout_s = config.org, secrets, config.timeout_s
        auth = unquote(url.auth or "")
        self._basic = urllib3.make_headers(basic_auth=auth) if auth else {}
        self._hidden = [text.partition(":")[2] for text in (auth, url.auth or "")]
        self._token: Secret | None = None
        timeout = urllib3.Timeout(connect=config.timeout_s, read=config.timeout_s)
        self._pool = urllib3.PoolManager(1, maxsize=1, timeout=timeout, retries=False)

    def write(self, bucket: str, body: bytes) -> Answer:
        """Lines into a bucket. Raises NotNow where no answer came."""
        query = ({"org": self._org} if self._org else {}) | {"bucket": bucket, "precision": "ns"}
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        return self._ask("POST", f"/api/v2/write?{urlencode(query)}", gzip.compress(body, 1, mtime=0), headers)

    def tasks(self) -> Answer:
        """Whether the server has Flux tasks. Raises NotNow where no answer came."""
        return self._ask("GET", "/api/v2/tasks?limit=1", None, {})

    def forget_token(self) -> None:
        """The next request looks for it anew."""
        self._token = None

    def close(self) -> None:
        self._pool.clear()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        token = self._token
        if not token:
            token = self._token = self._secrets.get(*TOKENS)
        self.had_token = bool(token)
        headers["User-Agent"] = "rigbus"
        headers |= {"Authorization": f"Token {token.reveal()}"} if token else self._basic
        try:
            answer = self._pool.request(
                method, f"{self.name}{path}", body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                read = answer.read(_READ, decode_content=False) or b""
            finally:
                answer.release_conn() if answer.closed else answer.close()
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as e:
            if _is_long_header(e):
                return Answer(0, _HEADER_TOO_LONG)
            # not from: the error's text may hold what was sent
            raise NotNow(f"{_failure(e, self._timeout_s)} ({self.name})") from None
        is_page = "html" in answer.headers.get("Content-Type", "")
        words = "" if is_page else self._clean(_message(read, answer.headers), token)
        return Answer(answer.status, words, wait_s(answer.headers.get("Retry-After")), is_page)

    def _clean(self, words: str, token: Secret) -> str:
        for secret in (token.reveal(), *self._hidden):
            if secret:
                words = words.replace(secret, "…")
        words = " ".join(words.split())
        return words if len(words) <= MAX_WORDS else f"{words[: MAX_WORDS - 1]}…"


def wait_s(header: str | None) -> float | None:
    """Retry-After, seconds or a date, as seconds from now, at most an hour; None where it says nothing."""
    text = (header or "").strip()
    if re.fullmatch(r"\d+", text):
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(seconds, LONGEST_WAIT_S) if seconds > 0 else None


def _message(read: bytes, headers: "urllib3.HTTPHeaderDict") -> str:
    """The server's words: InfluxDB's JSON, else the text as it is."""
    text = read.decode(errors="replace")
    try:
        document = json.loads(text, strict=False)
    except ValueError:
        return text or headers.get("X-Influxdb-Error", "")
    if isinstance(document, dict):
        found = [document[key] for key in ("message", "error") if isinstance(document.get(key), str)]
        return found[0] if found else text
    return text


def _is_long_header(e: BaseException) -> bool:
    """influxd 1.x repeats its words in a header: many bad lines make one that http.client does not read."""
    cause = e.args[1] if isinstance(e, ProtocolError) and len(e.args) > 1 else e
    return isinstance(cause, http.client.LineTooLong) and "header" in str(cause)


def _failure(e: Exception, timeout_s: float) -> str:
    """What went wrong, in the same words each time."""
    if isinstance(e, NameResolutionError):
        return "the server's name is not known"
    if isinstance(e, SSLError):
        return f"TLS failed: {' '.join(str(e).split())[:200]}"
    if isinstance(e, ConnectTimeoutError) and not isinstance(e, urllib3.exceptions.NewConnectionError):
        return f"no connection in {timeout_s:g} s"
    if isinstance(e, TimeoutError) and not isinstance(e, urllib3.exceptions.NewConnectionError):
        return f"no answer in {timeout_s:g} s"
    if isinstance(e, urllib3.exceptions.NewConnectionError):
        return "no connection to the server"
    cause = e.args[1] if isinstance(e, ProtocolError) and len(e.args) > 1 else e
    if isinstance(cause, http.client.RemoteDisconnected | http.client.IncompleteRead | OSError):
        return "the connection was cut"
    return "what answers is no HTTP server, or a broken one"
