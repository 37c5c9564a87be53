"""What outputs tell the store: how far they are. Written with the next commit, in its transaction.

An output's thread adds to its Mailbox; the writer's thread takes one Move a commit and confirms it when that is done.
"""

import threading
from typing import Any, NamedTuple

Row = tuple[Any, ...]


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
    cursors: dict[str, int]
    files: dict[str, FileState | None]
    refused: list[Refused]
    lost: list[Lost]
    settled: list[int]
    kept: list[tuple[int, str]]


class Mailbox:
    """The moves of one output that no commit has taken yet, merged: it does not grow with the time a commit takes."""

    MAX_REFUSED = 10_000

    def __init__(self, output: str) -> None:
        self.output = output
        self._lock = threading.Condition()
        self._waiting = self._empty()
        self._taken: Move | None = None
        self._added = self._confirmed = 0
        self._taken_to = 0

    def _empty(self) -> Move:
        return Move(self.output, {}, {}, [], [], [], [])

    def add(
        self,
        cursors: dict[str, int] | None = None,
        files: dict[str, FileState | None] | None = None,
        refused: list[Refused] | None = None,
        lost: list[Lost] | None = None,
        settled: list[int] | None = None,
        kept: list[tuple[int, str]] | None = None,
    ) -> int:
        """Merged into what waits; a ticket for `is_committed`. What is added in one call is committed together."""
        with self._lock:
            into = self._waiting
            into.cursors.update(cursors or {})
            into.files.update(files or {})
            into.refused.extend(refused or ())
            into.lost.extend(lost or ())
            into.settled.extend(settled or ())
            into.kept.extend(kept or ())
            self._added += 1
            return self._added

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
            waiting, taken = self._waiting, self._taken
            if taken is not None:
                waiting = Move(
                    self.output, {**taken.cursors, **waiting.cursors}, {**taken.files, **waiting.files},
                    taken.refused + waiting.refused, taken.lost + waiting.lost, taken.settled + waiting.settled,
                    taken.kept + waiting.kept,
                )  # fmt: skip
            self._taken, self._waiting, self._taken_to = waiting, self._empty(), self._added
            return waiting

    def confirm(self) -> None:
        """What was taken is committed."""
        with self._lock:
            self._taken, self._confirmed = None, self._taken_to

    def reset(self) -> None:
        """The store is another one: what was not committed is void, and tickets with it."""
        with self._lock:
            self._waiting, self._taken = self._empty(), None
            self._confirmed = self._added
