"""Files that are written anew from their first row, as what they held may not be on the disk.

The consumer reads from the first of these rows again. Up to the cursor only rows of these files are taken: all others
stand in files that are whole.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.sinks.csv.file import File
    from common.sinks.csv.tree import Piece


class Redo:
    """files: base → file that is being written anew, of `bytes` 0 once its first row has come."""

    def __init__(self, cursor: int, files: "Sequence[File]") -> None:
        self.cursor = cursor
        self.files = {file.base: file for file in files}
        self._waiting = {file.base: file.bytes for file in files}  # what each holds until then
        self._now: set[str] = set()
        self._last = 0

    @property
    def from_id(self) -> int:
        return min(file.first_id for file in self.files.values())

    def begin(self, ids: Sequence[int]) -> "list[File]":
        """Files whose first row should have come before this page, and has not: they cannot be made anew."""
        self._now.clear()
        self._last = ids[-1]
        return [self.files[base] for base in self._waiting if self.files[base].first_id < ids[0]]

    def split(self, base: str, pieces: "Sequence[Piece]") -> "tuple[File | None, Sequence[Piece], Sequence[Piece]]":
        """(file, the rows of it, rows beyond the cursor)."""
        file = self.files.get(base)
        up_to = next((i for i, piece in enumerate(pieces) if piece[0] > self.cursor), len(pieces))
        own = [piece for piece in pieces[:up_to] if file is not None and piece[0] >= file.first_id]
        if file is not None and own and base in self._waiting and base not in self._now:
            if own[0][0] == file.first_id:
                self._now.add(base)
                file.bytes = 0
            else:
                own = []
        return file, own, pieces[up_to:]

    def end_of_page(self) -> "set[str]":
        """Where the cursor is reached: the bases whose file may be closed now; else none."""
        if self._last < self.cursor:
            return set()
        return self.files.keys() - (self._waiting.keys() - self._now)

    def settle(self) -> bool:
        """The page stands; whether the cursor is reached."""
        for base in self._now:
            self._waiting.pop(base, None)
        self._now.clear()
        return self._last >= self.cursor

    def left(self) -> "list[File]":
        """Those whose first row never came."""
        return [self.files[base] for base in self._waiting]

    def drop(self, file: "File") -> None:
        """It stays as it is."""
        if self.files.get(file.base) is file:
            del self.files[file.base]
            file.bytes = self._waiting.pop(file.base, file.bytes)
