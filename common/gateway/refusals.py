"""How a daemon's no becomes an HTTP status. docs/http.md has the table."""

from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from common.errors import NoAnswer, Refused, RigbusError, UsageError

# by the first word of the pump daemon's refusals (docs/ctl.md)
_BUSY = ("busy", "locked", "calibration", "repeated", "stopped")
_VALUE = ("limit", "hz", "steps", "malformed")


def words(error: RigbusError) -> str:
    """What the daemon said, without its name in front."""
    return str(error).partition(": ")[2] or str(error)


def status_of(error: RigbusError) -> int:
    """400, 409, 422 for what the asker can mend; 504 where no answer came; else 503."""
    if isinstance(error, NoAnswer):
        return 504
    if isinstance(error, UsageError):
        return 422
    if not isinstance(error, Refused) or error.error == "failed":
        return 503
    word = words(error).partition(":")[0]
    if error.error == "malformed" or word in _VALUE:
        return 422
    return 400 if word == "unknown" else 409 if word in _BUSY else 503


def refuse(error: RigbusError) -> HTTPException:
    """For what asks and moves nothing: no answer is a 503 like any other."""
    status = status_of(error)
    return HTTPException(503 if status == 504 else status, str(error))


def problem(status: int, error: str, **detail: Any) -> JSONResponse:
    """An answer in the gateway's form, with more to tell than a line."""
    return JSONResponse({"error": error, "detail": detail or None}, status)
