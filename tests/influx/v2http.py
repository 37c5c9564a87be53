"""HTTP of the fixture of InfluxDB 2: questions in, answers and refusals in the API's shape out."""

import http.client
import json
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

CODES = {400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not found", 405: "method not allowed"} | {
    413: "request too large", 422: "unprocessable entity", 500: "internal error", 501: "not implemented"
}  # fmt: skip


class Refusal(Exception):
    """An answer that is an error in the API's shape."""

    def __init__(self, status, message, code=None):
        self.status, self.body = status, {"code": code or CODES[status], "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server2: Any  # the V2Server

    def date_time_string(self, timestamp=None):
        return formatdate((timestamp or time.time()) + self.server2.date_offset_s, usegmt=True)

    def log_message(self, *_):
        pass

    def finish(self):
        super().finish()
        self.server2._close_v1()

    def _answer(self):
        server, url = self.server2, urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        header, asked = self.headers.get("Authorization", ""), None
        kind = "application/json; charset=utf-8"
        try:
            if (self.command, url.path) in server.answers:
                status, document, kind = server.answers[self.command, url.path]
            elif url.path == "/ping":
                status, document = 204, None
            elif url.path == "/health":
                said = {"message": "ready for queries and writes", "status": "pass", "checks": []}
                status, document = 200, {"name": "influxdb", **said, "version": "v2.7.fixture", "commit": "none"}
            elif url.path == "/api/v2/write" and self.command == "POST":
                status, document = server.write(query, body, header, self.headers.get("Content-Encoding"))
            elif url.path.startswith("/api/v2/"):
                asked = json.loads(body) if body else None
                with server.lock:
                    status, document = server.handle(self.command, url.path, query, asked, header)
            else:
                raise Refusal(404, "path not found")
        except Refusal as refusal:
            status, document = refusal.status, refusal.body
        except (ValueError, KeyError, TypeError) as error:
            status, document = 400, {"code": "invalid", "message": f"failed to decode request body: {error!r}"}
        except (OSError, http.client.HTTPException) as error:
            status, document = 500, {"code": "internal error", "message": f"influxd: {error}"}
        server.exchanges.append((self.command, url.path, query, asked, status, document))
        content = (
            document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
        )
        self.send_response(status)
        self.send_header("X-Influxdb-Version", "v2.7.fixture")
        self.send_header("X-Influxdb-Build", "OSS")
        if content:
            self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _answer  # noqa: N815 (the library's names)
