"""What an output is: it takes rows of the store, page by page, and says what it could not take.

A new one is a class with these few methods, found by its name (docs/extend.md). Reading, cursors, batches, backoff,
quarantine, logs and status are the consumer's work (consumer.py), the same for all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from common.config.schema import Config
from common.log import Log
from common.secrets import Secrets
from common.store.moves import Feed, FileState, Refused

__all__ = ["Feed", "FileState", "NotNow", "Output", "Place", "Refused", "Row", "Written"]

Row = tuple[Any, ...]


class Place(NamedTuple):
    """What an output is opened with. name: its own. options: of `[sink.output.<name>]`, for a plug-in."""

    name: str
    config: Config
    data: Path
    log: Log
    secrets: Secrets
    options: Mapping[str, Any]


class Written(NamedTuple):
    """What came of a page. refused: rows that can never be taken. files: of outputs that keep files, what changed."""

    refused: Sequence[Refused] = ()
    files: Mapping[str, FileState | None] = {}


class NotNow(Exception):
    """The page cannot be taken now; it comes again, the same rows. The message is the reason, one line without secrets.

    after_s: when to try again, where the other side said so; else with growing pauses up to a minute. needs_mending:
    it will not pass by itself (wrong credentials, a folder that may not be written): logged as an error. of_table: rows
    of other tables may be taken all the same.
    """

    def __init__(
        self, reason: str, after_s: float | None = None, *, needs_mending: bool = False, of_table: bool = False
    ) -> None:
        super().__init__(reason)
        self.after_s, self.needs_mending, self.of_table = after_s, needs_mending, of_table


class Output(Protocol):
    """One thread calls all of it."""

    def feeds(self) -> Sequence[Feed]:
        """Asked once, at the start."""
        ...

    def restore(self, cursors: Mapping[str, int], files: Sequence[FileState]) -> Mapping[str, int]:
        """At the start, and where the store was replaced: what it says of this output. Raises NotNow.

        Returns table → id after which to read, where that is not the cursor: an output that has to write anew what it
        had not made durable goes back by this. Rows that it then sees again are its own business.
        """
        ...

    def write(self, table: str, rows: Sequence[Row]) -> Written:
        """Rows of one table, rising in id (their first column). Raises NotNow; anything else is a fault in the output:

        it is logged, and the page tried again after a pause. After NotNow the same rows come again, perhaps more.
        """
        ...

    def idle(self) -> Written:
        """Nothing is left to write for now: called at most once a second. For closing what is old. Raises NotNow."""
        ...

    def committed(self) -> None:
        """All that write() and idle() returned so far is in the store."""
        ...

    def close(self) -> None: ...
