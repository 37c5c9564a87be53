"""What was asked of the pumps and what came of it, durably: SQLite in `<data folder>/pump/pump.db`."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from common import clock
from common.errors import RigbusError
from common.pumps.limits import DAY_NS, Ended, Now, Use
from common.pumps.plan import Plan
from common.pumps.requests import Motion
from common.pumps.run import Outcome
from common.pumps.volume import Calibration

KEEP_REFUSED, KEEP_RUNS = 10_000, 100_000  # newest rows that stay (docs/safety.md)
_PRUNE_EVERY = 1000  # refusals
_DDL = """
CREATE TABLE IF NOT EXISTS commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    command_id TEXT NOT NULL, pump TEXT NOT NULL, request TEXT NOT NULL,
    action TEXT NOT NULL, direction TEXT NOT NULL, driver TEXT NOT NULL,
    state TEXT NOT NULL,               -- intent, done, stopped, refused
    reason TEXT,
    hz REAL, planned_steps INTEGER, planned_s REAL, planned_ml REAL,
    steps INTEGER, seconds REAL, ml REAL,
    exact INTEGER NOT NULL DEFAULT 1,  -- 0: at least so many steps, a power cut took the count
    told INTEGER NOT NULL DEFAULT 0,   -- 1: the frame with the outcome is in the journal
    boot TEXT NOT NULL, boot_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL,  -- of the last change
    UNIQUE (command_id, pump)
);
CREATE INDEX IF NOT EXISTS runs ON commands (pump, id) WHERE state IN ('done', 'stopped');
CREATE INDEX IF NOT EXISTS runs_by_boot ON commands (pump, boot, boot_ns) WHERE state IN ('done', 'stopped');
CREATE INDEX IF NOT EXISTS runs_by_wall ON commands (pump, wall_ns) WHERE state IN ('done', 'stopped');
CREATE INDEX IF NOT EXISTS untold ON commands (id) WHERE told = 0 AND state IN ('done', 'stopped');
CREATE TABLE IF NOT EXISTS calibrations (
    pump TEXT PRIMARY KEY, steps_per_ml REAL NOT NULL, driver TEXT NOT NULL, command_id TEXT NOT NULL,
    t_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS boots (boot TEXT PRIMARY KEY, boot_wall_ns INTEGER NOT NULL);
"""


class Row(NamedTuple):
    """A command as it was asked of one pump, and what came of it. ml None: not known."""

    command_id: str
    pump: str
    request: str
    action: str
    direction: str
    driver: str
    state: str
    reason: str | None
    hz: float | None
    planned_steps: int | None
    planned_s: float | None
    planned_ml: float | None
    steps: int | None
    seconds: float | None
    ml: float | None
    exact: bool


_COLUMNS = ", ".join(Row._fields)


class Records:
    """Every method raises RigbusError where the disk or the file refuses."""

    def __init__(self, path: Path) -> None:
        """May be made in one thread and used in another, never in two at a time."""
        self._refused = 0
        self.path = path
        with self._told_of():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_DDL)
            boot = clock.boot_id()
            self._db.execute("INSERT OR IGNORE INTO boots VALUES (?, ?)", (boot, clock.wall_minus_boot_ns()))
            self._boot_wall_ns: int = self._db.execute(
                "SELECT boot_wall_ns FROM boots WHERE boot = ?", (boot,)
            ).fetchone()[0]

    @contextmanager
    def _told_of(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            raise RigbusError(f"record: {self.path}: {e}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._told_of():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # ---- commands

    def find(self, command_id: str) -> list[Row]:
        """What is known of a command, one row a pump."""
        return self._rows("command_id = ? ORDER BY pump", command_id)

    def last_run(self, pump: str) -> Row | None:
        """The newest run of a pump that has ended."""
        found = self._rows("pump = ? AND state IN ('done', 'stopped') ORDER BY id DESC LIMIT 1", pump)
        return found[0] if found else None

    def open_intents(self) -> list[tuple[Row, bool]]:
        """Runs whose end nobody recorded, and whether they began in this boot."""
        with self._told_of():
            rows = self._db.execute(f"SELECT {_COLUMNS}, boot FROM commands WHERE state = 'intent'").fetchall()
        return [(_row(row[:-1]), row[-1] == clock.boot_id()) for row in rows]

    def untold(self) -> list[Row]:
        """Outcomes whose frames may not be in the journal."""
        return self._rows("told = 0 AND state IN ('done', 'stopped') ORDER BY id")

    def intend(self, motion: Motion, driver: str, plans: dict[str, Plan]) -> None:
        """The intent of every pump of a command, in one transaction."""
        with self._transaction():
            for pump, plan in plans.items():
                self._insert(motion, pump, driver, "intent", None, (plan.hz, plan.steps, plan.seconds, plan.ml))

    def refuse(self, motion: Motion, pumps: Sequence[str], driver: str, reason: str) -> None:
        """The refusal of a command, or of an intent that did not come to move anything."""
        with self._transaction():
            self._db.execute("DELETE FROM commands WHERE command_id = ?", (motion.command_id,))
            for pump in pumps:
                self._insert(motion, pump, driver, "refused", reason, (motion.hz, None, motion.seconds, motion.ml))
        self._refused += 1
        if self._refused % _PRUNE_EVERY == 0:
            self.prune()

    def end(self, command_id: str, pump: str, outcome: Outcome, ml: float | None, *, exact: bool = True) -> None:
        """done or stopped."""
        state = "done" if outcome.reason is None else "stopped"
        with self._transaction():
            self._db.execute(
                "UPDATE commands SET state = ?, reason = ?, steps = ?, seconds = ?, ml = ?, exact = ?, "
                "boot = ?, boot_ns = ?, wall_ns = ? WHERE command_id = ? AND pump = ?",
                (state, outcome.reason, outcome.steps, outcome.seconds, ml, exact, *_now(), command_id, pump),
            )

    def told(self, command_id: str, pump: str) -> None:
        with self._transaction():
            self._db.execute("UPDATE commands SET told = 1 WHERE command_id = ? AND pump = ?", (command_id, pump))

    def ended(self, pump: str) -> list[Ended]:
        """The runs that may lie in the last 24 hours; of an unknown count what was planned."""
        use = (
            "SELECT max(steps, iif(exact, 0, planned_steps)), max(seconds, iif(exact, 0, planned_s)), "
            "max(coalesce(ml, 0), iif(exact, 0, coalesce(planned_ml, 0))), boot, boot_ns, wall_ns FROM commands "
            "WHERE pump = ? AND state IN ('done', 'stopped') AND "
        )
        now = self.now()
        since_boot, since_wall = now.boot_ns - DAY_NS, now.boot_wall_ns + now.boot_ns - DAY_NS
        with self._told_of():
            rows = self._db.execute(f"{use} boot = ? AND boot_ns > ?", (pump, now.boot, since_boot)).fetchall()
            rows += self._db.execute(f"{use} boot <> ? AND wall_ns > ?", (pump, now.boot, since_wall)).fetchall()
        return [Ended(Use(*row[:3]), *row[3:]) for row in rows]

    def now(self) -> Now:
        return Now(clock.boot_id(), clock.boot_ns(), self._boot_wall_ns)

    def prune(self) -> None:
        """Keeps the file bounded: the newest of each kind stay."""
        with self._transaction():
            for state, keep in (("= 'refused'", KEEP_REFUSED), ("<> 'refused'", KEEP_RUNS)):
                self._db.execute(
                    f"DELETE FROM commands WHERE state {state} AND id <= coalesce((SELECT id FROM commands "
                    f"WHERE state {state} ORDER BY id DESC LIMIT 1 OFFSET ?), 0)",
                    (keep,),
                )

    # ---- calibration

    def calibration(self, pump: str) -> Calibration | None:
        with self._told_of():
            row = self._db.execute(
                "SELECT steps_per_ml, driver, command_id, t_ns FROM calibrations WHERE pump = ?", (pump,)
            ).fetchone()
        return Calibration(*row) if row else None

    def calibrate(self, pump: str, calibration: Calibration) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?, ?, ?)", (pump, *calibration))

    def close(self) -> None:
        self._db.close()

    # ---- below

    def _rows(self, where: str, *values: object) -> list[Row]:
        with self._told_of():
            return [_row(r) for r in self._db.execute(f"SELECT {_COLUMNS} FROM commands WHERE {where}", values)]

    def _insert(
        self, m: Motion, pump: str, driver: str, state: str, reason: str | None, plan: tuple[object, ...]
    ) -> None:
        values = (m.command_id, pump, m.text, m.action, m.direction, driver, state, reason, *plan, *_now())
        self._db.execute(
            "INSERT INTO commands (command_id, pump, request, action, direction, driver, state, reason, "
            "hz, planned_steps, planned_s, planned_ml, boot, boot_ns, wall_ns) VALUES (" + ", ".join("?" * 15) + ")",
            values,
        )


def _row(values: Sequence[object]) -> Row:
    return Row._make([*values[:-1], bool(values[-1])])


def _now() -> tuple[str, int, int]:
    return clock.boot_id(), clock.boot_ns(), clock.wall_ns()
