"""Answers of an application on its ctl socket: `runs`, `replay`, `ack`, `status`, as rigbus's docs/ctl.md says."""

from collections.abc import Callable
from typing import Any

import msgspec

MAX_REQUEST = 1 << 20
MAX_FRAMES = 10_000
Handler = Callable[[dict[str, Any]], dict[str, Any] | None]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Refused(Exception):
    """The request is right, and the answer is no."""


class Replay(msgspec.Struct):
    run: str
    from_: int = msgspec.field(name="from")
    n: int = 1000


class Ack(msgspec.Struct):
    consumer: str
    acks: dict[str, int]


def answer(request: bytes, handlers: dict[str, Handler]) -> bytes | None:
    """The reply to a request; None where there is none (`ack`). Whatever comes in, nothing raises."""
    request_id: Any = None
    try:
        fields = _decode(request)
        request_id, op = fields.get("id"), fields.get("op")
        handler = handlers.get(op) if isinstance(op, str) else None
        if not isinstance(op, str):
            return _error(request_id, "malformed", "no op")
        if handler is None:
            return _error(request_id, "unknown_op", f"no op {op!r}; there are: {', '.join(sorted(handlers))}")
        found = handler(fields)
        return None if found is None else _encode({"id": request_id, "ok": True, **found})
    except Refused as e:
        return _error(request_id, "refused", str(e))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        return _error(request_id, "malformed", str(e))
    except Exception as e:
        return _error(request_id, "failed", f"{type(e).__name__}: {e}")


def _error(request_id: Any, error: str, detail: str) -> bytes:
    return _encode({"id": request_id, "ok": False, "error": error, "detail": detail})
