"""Which commands were sent: a file of JSON lines, so that a command id is sent at most once whatever happens between.

A line with the intent is on the disk before the command leaves. What comes of it follows in further lines.
"""

import errno
import os
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from common.arm.commands import MAX_SEQ, Order
from common.errors import RigbusError

KEEP = 2000  # newest commands that are known; an older id counts as new
_REWRITE_LINES = 10_000

State = Literal["intent", "sent", "not_sent", "unknown"]


class Record(Struct):
    """One command. state: intent before it leaves; unknown: nobody can say whether it left.

    received, executed: the arm's acknowledgements, None while there is none. result: arrived, not_arrived, unjudged or
    preempted, None before that and for what does not move.
    """

    command_id: str
    correlation_id: str
    seq: int
    funcode: int
    data: dict[str, int | float] | None
    t: int
    state: State = "intent"
    reason: str = ""
    received: int | None = None
    executed: int | None = None
    result: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


class Ledger:
    """Not for two threads at a time. Raises RigbusError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._by_seq: dict[int, Record] = {}
        self._lines = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for line in path.read_bytes().split(b"\n") if path.exists() else ():
                self._take(line)
            self._fd = self._rewrite()
        except OSError as e:
            raise RigbusError(f"{path}: {e.strerror}") from None
        self.next_seq = max(self._by_seq, default=0) % MAX_SEQ + 1

    def _take(self, line: bytes) -> None:
        try:
            self._keep(_decode(line))
        except msgspec.DecodeError:
            pass  # the last line of a process that died while it wrote: its command was not sent

    def _keep(self, record: Record) -> None:
        self._records[record.command_id] = self._by_seq[record.seq] = record
        while len(self._records) > KEEP:
            _, old = self._records.popitem(last=False)
            if self._by_seq.get(old.seq) is old:
                del self._by_seq[old.seq]

    def find(self, command_id: str) -> Record | None:
        return self._records.get(command_id)

    def of_seq(self, seq: int) -> Record | None:
        """The newest command with this number."""
        return self._by_seq.get(seq)

    def forget_seq(self, seq: int) -> None:
        """Somebody else used the number: acknowledgements of it are not ours."""
        self._by_seq.pop(seq, None)

    def records(self) -> list[Record]:
        """Oldest first."""
        return list(self._records.values())

    def intend(self, command_id: str, correlation_id: str, order: Order, t: int) -> Record:
        """A new command, on the disk when this returns."""
        record = Record(command_id, correlation_id, self.next_seq, order.funcode, order.data, t)
        self._append(record, sync=True)
        self.next_seq = self.next_seq % MAX_SEQ + 1
        self._keep(record)
        return record

    def note(self, record: Record) -> None:
        """Something came of it. A disk that refuses this is not worth an answer: the intent stands."""
        try:
            self._append(record, sync=False)
        except RigbusError:
            pass

    def _append(self, record: Record, *, sync: bool) -> None:
        try:
            if self._lines >= _REWRITE_LINES:
                old, self._fd = self._fd, self._rewrite()
                os.close(old)
            # a newline first: what a write that failed half-way left behind must not swallow this line
            _write(self._fd, b"\n" + _encode(record) + b"\n")
            if sync:
                os.fsync(self._fd)
        except OSError as e:
            raise RigbusError(f"{self._path}: {e.strerror}") from None
        self._lines += 1

    def _rewrite(self) -> int:
        """The newest line of each record alone, in place of the file; returns a descriptor to append to."""
        new = self._path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o660)
        try:
            _write(fd, b"".join(_encode(record) + b"\n" for record in self._records.values()))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(new, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._lines = len(self._records)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def close(self) -> None:
        os.close(self._fd)


def _write(fd: int, data: bytes) -> None:
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
