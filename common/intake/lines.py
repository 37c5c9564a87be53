"""What the sink says of losses and of catching up: lines for journald, a few a minute however much happens."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.log import Log
from common.log_events import LogEvent
from common.store.writer import Store

_EVERY_S = 60.0
_BEHIND_S = 5.0  # each start catches up for a moment
_MOST = 64  # kinds of losses that are told apart; the rest is told as one
_OTHERS = ("", "*", "*", "*")


@dataclass
class _Sum:
    """What has come since the last line of its kind. known: the sum of the counts that are; rows: of the ledger."""

    told_at: float = float("-inf")
    known: int = 0
    unknown: int = 0
    rows: int = 0
    from_ns: int | None = None
    to_ns: int | None = None
    detail: str = ""

    def add(self, count: int | None, from_ns: int | None, to_ns: int | None, detail: str) -> None:
        self.known += count or 0
        self.unknown += count is None
        self.rows += 1
        self.from_ns = min((t for t in (self.from_ns, from_ns) if t is not None), default=None)
        self.to_ns = max((t for t in (self.to_ns, to_ns) if t is not None), default=None)
        self.detail = detail or self.detail

    @property
    def count(self) -> str:
        if not self.unknown:
            return str(self.known)
        return f"at least {self.known}" if self.known else "unknown"


class LossLines:
    """Rows of the ledger become lines: one each, and of one kind (stream, unit, cause) a line a minute with the sum."""

    def __init__(self, store: Store, log: Log) -> None:
        """What is in the ledger by now was told by an earlier process. Raises StoreError."""
        self._log, self._sums = log, dict[tuple[str, str, str, str], _Sum]()
        self._generation, self._after = store.generation, store.tops(["ledger"])["ledger"]

    def look(self, store: Store, *, last: bool = False) -> None:
        """After a commit; last: the sink ends. Raises StoreError."""
        if store.generation != self._generation:  # another store: what is in it is not new
            self._generation, self._after = store.generation, store.tops(["ledger"])["ledger"]
        for row_id, *kind, count, from_ns, to_ns, detail in store.ledger(self._after):
            self._after = row_id
            src, stream, unit, cause = kind
            key = (src or "", stream, unit, cause)
            if key not in self._sums and len(self._sums) >= _MOST:
                key = _OTHERS
            self._sums.setdefault(key, _Sum()).add(count, from_ns, to_ns, detail or "")
        now = time.monotonic()
        for key, found in list(self._sums.items()):
            if not last and now - found.told_at < _EVERY_S:
                continue
            if found.rows:
                self._tell(key, found)
                self._sums[key] = _Sum(now)
            else:
                del self._sums[key]

    def _tell(self, key: tuple[str, str, str, str], found: _Sum) -> None:
        src, stream, unit, cause = key
        fields: dict[str, Any] = {"src": src, "from": _iso(found.from_ns), "to": _iso(found.to_ns)}
        fields |= {"rows": found.rows if found.rows > 1 else "", "detail": found.detail}
        self._log.noted(
            LogEvent.LOSS, "lost", warn=True, stream=stream, unit=unit, count=found.count, cause=cause,
            **{name: value for name, value in fields.items() if value},
        )  # fmt: skip


def _iso(t_ns: int | None) -> str:
    return "" if t_ns is None else datetime.fromtimestamp(t_ns // 10**9, UTC).isoformat()


class CatchUpLines:
    """A line where the sink is behind for more than a moment, and one where it no longer is."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._since: float | None = None
        self._told = False

    def look(self, lags: Mapping[str, int]) -> None:
        """lags: source → frames published and not yet taken."""
        now = time.monotonic()
        if not lags:
            if self._told:
                self._log.noted(LogEvent.CAUGHT_UP, "nothing is behind any more")
            self._since, self._told = None, False
            return
        self._since = now if self._since is None else self._since
        if not self._told and now - self._since >= _BEHIND_S:
            self._told = True
            srcs, frames = ",".join(sorted(lags)), sum(lags.values())
            self._log.noted(LogEvent.CATCH_UP, "frames are fetched from the journals", srcs=srcs, frames=frames)
