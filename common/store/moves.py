"""What outputs tell the store: how far they are. Written with the next commit, in its transaction.

An output's thread adds to its Mailbox; the writer's thread takes one Move a commit and confirms it when that is done.
"""

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol


class Feed(NamedTuple):
    """A table that an output reads. columns: what a row holds behind its id. limit: rows of one page, at most.

    where: a condition that rows must meet, SQL. retained: whether a row that is gone before it was read is a loss.
    """

    table: str
    columns: str
    limit: int = 5000
    where: str = ""
    retained: bool = True


class Follower(Protocol):
    """An output, as the store's writer sees it: it must not delete what an output still waits for."""

    @property
    def name(self) -> str: ...

    @property
    def feeds(self) -> Sequence[Feed]: ...

    @property
    def state(self) -> str: ...

    def skip(self, table: str, to_id: int) -> None:
        """Rows up to there are gone; those beyond the cursor are accounted for."""
        ...


class FileState(NamedTuple):
    """A file of an output. path: below the output's folder. first_id: of the first row of `table` that is in it.

    bytes: so much of it stands for rows up to the output's cursor. closed: whole and on the disk. boot_id: written in.
    """

    path: str
    table: str
    first_id: int
    bytes: int
    closed: bool
    boot_id: str


class Refused(NamedTuple):
    """A row that an output can never take: it goes to quarantine. line: what was sent, where that is bytes."""

    table: str
    row_id: int
    reason: str
    line: bytes | None = None


class Lost(NamedTuple):
    """Rows of a table that an output will never get (unit `row`)."""

    table: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    cause: str
    detail: str = ""


class Move(NamedTuple):
    """cursors: table → last id delivered or set aside. files: path → its state; None: it is gone.

    settled: ids of quarantine rows that were sent after all. kept: ids of such that were refused again, with reasons.
    """

    output: str
    cursors: Mapping[str, int] = MappingProxyType({})
    files: Mapping[str, FileState | None] = MappingProxyType({})
    refused: Sequence[Refused] = ()
    lost: Sequence[Lost] = ()
    settled: Sequence[int] = ()
    kept: Sequence[tuple[int, str]] = ()


class Mailbox:
    """The moves of one output that no commit has taken yet, merged: it does not grow with the time a commit takes.

    epoch: of the store that moves are for. A move that was made for an earlier one is dropped.
    """

    MAX_REFUSED = 10_000

    def __init__(self, output: str) -> None:
        self.output = output
        self.epoch = 0
        self._lock = threading.Lock()
        self._waiting = self._empty()
        self._taken: Move | None = None
        self._added = self._taken_to = self._confirmed = 0

    def _empty(self) -> Move:
        return Move(self.output)

    def add(self, move: Move, epoch: int) -> int:
        """Merged into what waits; a ticket for `is_committed`. What is added in one call is committed together."""
        with self._lock:
            if epoch == self.epoch:
                self._waiting = _joined(self._waiting, move)
                self._added += 1
            return self._added

    @property
    def is_empty(self) -> bool:
        """Whether all that was added is committed."""
        with self._lock:
            return self._added == self._confirmed

    def is_full(self) -> bool:
        """Whether the output should wait for a commit before it has more rows refused."""
        with self._lock:
            taken = len(self._taken.refused) if self._taken else 0
            return taken + len(self._waiting.refused) >= self.MAX_REFUSED

    def is_committed(self, ticket: int) -> bool:
        with self._lock:
            return self._confirmed >= ticket

    # ---- the writer's side

    def take(self) -> Move | None:
        """What is to be committed now: also what an earlier commit failed to. None: nothing."""
        with self._lock:
            if self._added == self._confirmed:
                return None
            self._taken = _joined(self._taken, self._waiting) if self._taken else self._waiting
            self._waiting, self._taken_to = self._empty(), self._added
            return self._taken

    def confirm(self) -> None:
        """What was taken is committed."""
        with self._lock:
            self._taken, self._confirmed = None, self._taken_to

    def reset(self) -> None:
        """The store is another one: what was not committed is void, and tickets with it."""
        with self._lock:
            self.epoch += 1
            self._waiting, self._taken = self._empty(), None
            self._confirmed = self._taken_to = self._added


def _joined(a: Move, b: Move) -> Move:
    return Move(
        a.output, {**a.cursors, **b.cursors}, {**a.files, **b.files}, (*a.refused, *b.refused), (*a.lost, *b.lost),
        (*a.settled, *b.settled), (*a.kept, *b.kept),
    )  # fmt: skip
