"""The account: published = stored + lost + pending, per stream. It only reads: the store, then counters and journals.

In that order a living rig can only look better off than it is by frames that are pending, never by lost ones.
"""

import sqlite3
from pathlib import Path
from typing import Any

from msgspec import Struct

from common import clock
from common.config.schema import Config
from common.errors import StoreError
from common.intake.application import is_alive
from common.journal.counter import Slot, read_counter, read_journal_id
from common.journal.folder import Scan, missing, scan_folder
from common.journal.limits import journal_limits
from common.journal.state import UNKNOWABLE, Run
from common.paths import Folders, is_held
from common.store.readonly import connect


class StreamAccount(Struct):
    """One stream, in frames. unknown: NULL counts that account for a range. ok: the equation holds, nothing unknown."""

    node: str
    src: str
    run: str
    published: int = 0
    stored: int = 0
    lost: int = 0
    pending: int = 0
    unknown: int = 0
    ok: bool = False
    stored_to: int = 0
    closed: int = 0

    def balance(self) -> int:
        """What nobody accounts for; 0 where all is well."""
        return self.published - self.stored - self.lost - self.pending


class DeviceLoss(Struct):
    """Data that never became a frame, in its own unit. count None: unknown; known counts are summed in another row."""

    stream: str
    unit: str
    count: int | None
    cause: str


class Account(Struct):
    streams: list[StreamAccount]
    devices: list[DeviceLoss]
    ok: bool

    def as_json(self) -> dict[str, Any]:
        """The document of `audit --json`."""
        fields = ("node", "src", "run", "published", "stored", "lost", "pending", "unknown", "ok")
        return {
            "streams": [{f: getattr(s, f) for f in fields} for s in self.streams],
            "devices": [{f: getattr(d, f) for f in d.__struct_fields__} for d in self.devices],
            "ok": self.ok,
        }


def audit(config: Config, folders: Folders, *, allow_unknown: bool = False) -> Account:
    """The account of a rig, running or stopped. Raises StoreError where the store cannot be read."""
    streams, devices = _from_store(folders.store)
    root = folders.data / "journal"
    for here in sorted(root.iterdir()) if root.is_dir() else ():
        if here.is_dir():
            _add_source(streams, config, folders, here.name)
    for path in sorted(folders.run.glob("*.counter")):
        _add_application(streams, config, folders, path.name.removesuffix(".counter"))
    for account in streams.values():
        account.ok = account.balance() == 0 and (allow_unknown or not account.unknown)
    rows = [s for s in streams.values() if s.published or s.unknown]
    return Account(rows, devices, all(s.ok for s in rows))


def _from_store(path: Path) -> tuple[dict[tuple[str, str], StreamAccount], list[DeviceLoss]]:
    streams: dict[tuple[str, str], StreamAccount] = {}
    try:
        db, _ = connect(str(path))
    except FileNotFoundError:
        return streams, []  # nothing is stored yet: all of it is pending
    try:
        losses = {
            row[0]: (row[1] or 0, row[2])
            for row in db.execute(
                "SELECT stream_id, SUM(count), SUM(count IS NULL) FROM ledger WHERE unit = 'frame' GROUP BY stream_id"
            )
        }
        query = "SELECT id, node, src, run, stored_to, stored, published_to, closed FROM streams ORDER BY id"
        for id_, node, src, run, stored_to, stored, published_to, closed in db.execute(query):
            lost, unknown = losses.get(id_, (0, 0))
            # a run stands under one node only; were it under two, each shows, and --deep calls it a fault
            key = (src, run) if (src, run) not in streams else (f"{node}/{src}", run)
            streams[key] = StreamAccount(
                node, src, run, max(stored_to, published_to), stored, lost,
                unknown=unknown, stored_to=stored_to, closed=closed,
            )  # fmt: skip
        query = (
            "SELECT stream, unit, SUM(count), cause FROM ledger WHERE unit != 'frame' OR stream_id IS NULL "
            "GROUP BY stream, unit, cause, count IS NULL ORDER BY stream, unit, cause"
        )
        devices = [DeviceLoss(*row) for row in db.execute(query)]
    except sqlite3.Error as e:
        raise StoreError(f"{path}: {e}") from None
    finally:
        db.close()
    return streams, devices


def _add_source(streams: dict[tuple[str, str], StreamAccount], config: Config, folders: Folders, src: str) -> None:
    here = folders.counters(src)
    alive = is_held(here / "lock")
    slots = {slot.run: slot for slot in read_counter(here / "counter")}
    place, known_id = journal_limits(config.journal, src)[0], read_journal_id(here / "counter")
    scan = scan_folder(folders.journal(src, place), alive=alive, known_id=known_id)
    runs = {run.id: run for run in scan.fold.state.runs if run.id}
    for run_id in {**slots, **runs}:
        account = streams.setdefault((src, run_id), StreamAccount(config.node, src, run_id))
        _add_run(account, slots.get(run_id), runs.get(run_id), scan, alive=alive)


def _add_application(streams: dict[tuple[str, str], StreamAccount], config: Config, folders: Folders, src: str) -> None:
    """Its frames are in its memory: what is not stored is pending while it lives, and lost when it does not."""
    alive = is_alive(folders, src)
    slots = read_counter(folders.application(src))
    for slot in slots:
        account = streams.setdefault((src, slot.run), StreamAccount(config.node, src, slot.run))
        # only the newest run can be the living one
        _add_run(account, slot, None, None, alive=alive and slot is slots[-1])


def _add_run(a: StreamAccount, slot: Slot | None, run: Run | None, scan: Scan | None, *, alive: bool) -> None:
    """What the counter and the journal know beyond the store."""
    last, offered = run.last if run else 0, slot.offered if slot else 0
    a.published = max(a.published, last, offered)
    if a.closed:
        return  # the store knows its end
    if run is not None and scan is not None:
        held = [[max(x, a.stored_to + 1), y] for x, y in scan.held.get(run.number, []) if y > a.stored_to]
        a.pending += sum(y - x + 1 for x, y in held)
        # what is not held is named, trimmed or damaged: replay will say so to the sink, number by number
        a.lost += sum(y - x + 1 for x, y in missing(a.stored_to + 1, last, held))
    beyond = a.published - max(last, a.stored_to)
    ended = run is not None and run.closed
    if alive and not ended:
        a.pending += beyond  # in the queue of the living daemon
        return
    a.lost += beyond  # as the next start will write it: killed, power_cut or journal_gone
    if ended:
        exact = run is not None and run.closed != UNKNOWABLE
    else:
        exact = slot is not None and (slot.closed or slot.boot_id == clock.boot_id())
    a.unknown += not exact
