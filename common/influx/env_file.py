"""Keys in `.env`: put in place, all else as it was, the file replaced at once and readable by its owner only."""

import io
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from common.errors import RigbusError


def check_writable(file: Path) -> None:
    """Changes nothing. RigbusError: `save` would fail here. For before a token is made that is shown only once."""
    target = _target(file)
    _read(target)
    if not os.access(target.parent, os.W_OK | os.X_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise RigbusError(f"{file}: no permission to write")


def save(file: Path, values: Mapping[str, str]) -> None:
    """Each key on its line where there is one, else at the end. RigbusError: it was not changed.

    values: without quotes, white space and line ends, as tokens are.
    """
    target = _target(file)
    text = with_keys(_read(target), values)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".env.", dir=target.parent)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        if target.exists():
            before = target.stat()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(temporary, before.st_uid, before.st_gid)  # root sets up what a service's user reads
        os.replace(temporary, target)
        temporary = None
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as e:
        raise RigbusError(f"{file}: cannot be written: {e.strerror}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def with_keys(text: str, values: Mapping[str, str]) -> str:
    """The text of a `.env` with the keys set; comments, order and other lines stay as they are."""
    left, lines = dict(values), []
    for binding in parse_stream(io.StringIO(text, newline="")):
        line = binding.original.string
        key = binding.key
        if not binding.error and key is not None and key in values:
            before = re.match(r"\s*(?:export\s+)?", line)
            end = "\r\n" if line.endswith("\r\n") else "\n"
            line = f"{before[0] if before else ''}{key}={values[key]}{end}"
            left.pop(key, None)
        lines.append(line)
    whole = "".join(lines)
    if left and whole and not whole.endswith("\n"):
        whole += "\n"
    return whole + "".join(f"{key}={value}\n" for key, value in left.items())


def _target(file: Path) -> Path:
    """What a link leads to: the link stays one."""
    return file.resolve()


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise RigbusError(f"{file}: cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise RigbusError(f"{file}: not UTF-8 text") from None
