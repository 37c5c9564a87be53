"""Failures of a server in words for the screen."""

import re
from typing import Any

import urllib3
from influxdb_client.rest import ApiException
from msgspec import DecodeError, json

from common.secrets import Secret


def line(text: object, token: Secret) -> str:
    """What a server said, as a line for the screen: printable, short, without the token."""
    said = str(text)
    if token:
        said = said.replace(token.reveal(), "…")
    said = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in said)).strip()
    return said if len(said) <= 200 else f"{said[:199]}…"


def refused(e: ApiException, token: Secret) -> str:
    """The status and the server's own message; the exception itself holds headers and the whole body."""
    try:
        said = json.decode(e.body or b"", type=dict[str, Any]).get("message")
    except (DecodeError, ValueError, TypeError):
        said = None
    if not isinstance(said, str):
        said = "no InfluxDB 2, or something in between" if e.status != 401 else "the token is not known"
    return f"HTTP {e.status}: {line(said, token)}"


def unreachable(e: Exception) -> str:
    """Why, in a few words; the exception itself holds objects' addresses."""
    reason: BaseException = getattr(e, "reason", None) or e
    match reason:
        case urllib3.exceptions.NameResolutionError():
            return "its host is not known"
        case urllib3.exceptions.NewConnectionError():  # before TimeoutError, which it is too
            refused = isinstance(reason.__cause__, ConnectionRefusedError)
            return "the connection is refused" if refused else "there is no way to it"
        case urllib3.exceptions.TimeoutError():
            return "it does not answer in time"
        case urllib3.exceptions.SSLError():
            return "its certificate is not accepted, or it speaks no TLS"
        case urllib3.exceptions.ProtocolError():
            return "it breaks the connection off, or speaks no HTTP"
    return "it cannot be reached"
