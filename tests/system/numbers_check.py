"""The independent check: what numbered.py offered, against the rows and the ledger of a database.

It trusts no counter of rigbus: `stored` is the rows that are there, `lost` the ranges of the ledger.
"""

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from common.store.chunks import decode


class Offers(NamedTuple):
    """One process of numbered.py. seqs: number → the seq that publish() returned; last: the last number offered."""

    run: str
    seqs: dict[int, int]
    last: int


class Found(NamedTuple):
    """What the check came to; faults is empty where every number is stored once or in one ledger range."""

    faults: list[str]
    offered: int
    stored: int
    lost: int


def connect(db: Path) -> sqlite3.Connection:
    """Read-only; a stopped rig has no log, and reading it must not leave one behind."""
    immutable = "" if Path(f"{db}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"file:{db}?mode=ro{immutable}", uri=True, timeout=5)


def read_offers(path: Path) -> list[Offers]:
    """The processes that wrote the file, in order; a line that a kill cut off is none."""
    out: list[Offers] = []
    text = path.read_text() if path.exists() else ""
    for line in text.split("\n")[:-1]:
        word, *rest = line.split()
        if word == "run":
            out.append(Offers(rest[0], {}, 0))
        elif word == "offer":
            out[-1] = out[-1]._replace(last=int(rest[0]))
        else:
            out[-1].seqs[int(rest[0])] = int(rest[1])
    return out


def check_numbers(db: Path, offers: Path, src: str) -> Found:
    """Every number of a source: stored exactly once under its seq, or its seq in exactly one ledger range."""
    faults: list[str] = []
    offered = stored = lost = 0
    with contextlib.closing(connect(db)) as conn:
        runs = read_offers(offers)
        known = {run.run for run in runs}
        # a process that is killed before its run() has a stream, but no number
        query = "SELECT DISTINCT run FROM streams, system_events WHERE src = ? AND stream_id = streams.id"
        for (run,) in conn.execute(query, (src,)):
            if run not in known:
                faults.append(f"{src}: the store has numbers of a run {run} that never was")
        for run in runs:
            faults_here, counts = _check_run(conn, src, run)
            faults += [f"{src}/{run.run}: {fault}" for fault in faults_here]
            offered, stored, lost = (a + b for a, b in zip((offered, stored, lost), counts, strict=True))
    return Found(faults, offered, stored, lost)


def _check_run(conn: sqlite3.Connection, src: str, run: Offers) -> tuple[list[str], tuple[int, int, int]]:
    faults: list[str] = []
    found = conn.execute("SELECT id FROM streams WHERE src = ? AND run = ?", (src, run.run)).fetchall()
    stream_id = found[0][0] if found else -1
    ranges = _ranges(conn, stream_id, faults)
    rows = conn.execute(
        "SELECT detail, frame_seq FROM system_events WHERE stream_id = ? AND event_type = 'number'", (stream_id,)
    ).fetchall()
    at: dict[int, list[int]] = {}
    for detail, seq in rows:
        at.setdefault(int(detail), []).append(seq)
    lost = 0
    for number, seq in run.seqs.items():
        seqs = at.pop(number, [])
        inside = sum(a <= seq <= b for a, b in ranges)
        if len(seqs) > 1:
            faults.append(f"number {number} is stored {len(seqs)} times")
        elif seqs and seqs != [seq]:
            faults.append(f"number {number} went out as frame {seq} and is stored as {seqs[0]}")
        elif seqs and inside:
            faults.append(f"number {number} (frame {seq}) is stored, and the ledger calls it lost")
        elif not seqs and inside != 1:
            faults.append(f"number {number} (frame {seq}) is not stored, and in {inside} ledger ranges")
        lost += not seqs
    # killed between offer and publish()'s return: the one number of which nobody knows whether it became a frame
    open_end = at.pop(run.last, []) if run.last not in run.seqs else []
    if len(open_end) > 1:
        faults.append(f"number {run.last} is stored {len(open_end)} times")
    if at:
        faults.append(f"stored, and never offered: {sorted(at)[:5]}")
    return faults, (len(run.seqs), len(rows), lost)


def _ranges(conn: sqlite3.Connection, stream_id: int, faults: list[str]) -> list[tuple[int, int]]:
    """Ledger ranges of frames of one stream; the end of an unknowable one is beyond all numbers."""
    query = "SELECT from_seq, to_seq, count FROM ledger WHERE stream_id = ? AND unit = 'frame' ORDER BY from_seq"
    out: list[tuple[int, int]] = []
    for first, last, count in conn.execute(query, (stream_id,)):
        if count is not None and count != last - first + 1:
            faults.append(f"a ledger row counts {count} for {first}..{last}")
        if out and first <= out[-1][1]:
            faults.append(f"ledger ranges overlap at {first}")
        out.append((first, 2**63 if last is None else last))
    return out


def check_rows(db: Path, *, totals: bool = True) -> list[str]:
    """Faults of the other tables: a frame stored twice, or stored and lost; pulse totals that are not 1, 2, 3, …

    totals: every pulse that was journaled must be there (only a journal that was damaged or over its bound may not).
    """
    faults: list[str] = []
    with contextlib.closing(connect(db)) as conn:
        for channel, *_ in conn.execute("SELECT DISTINCT channel FROM pulses").fetchall():
            counts = Counter(r[0] for r in conn.execute("SELECT total FROM pulses WHERE channel = ?", (channel,)))
            if twice := [total for total, n in counts.items() if n > 1]:
                faults.append(f"pulse totals of {channel} stored twice: {sorted(twice)[:5]}")
            if totals and (missing := set(range(1, max(counts) + 1)) - set(counts)):
                faults.append(f"pulse totals of {channel} not there: {sorted(missing)[:5]} of {max(counts)}")
        for id_, src, run, stored, stored_to, no_rows in conn.execute(
            "SELECT id, src, run, stored, stored_to, no_rows FROM streams"
        ).fetchall():
            faults += [f"{src}/{run}: {fault}" for fault in _check_stream(conn, id_, stored, stored_to, no_rows)]
    return faults


_ROW_TABLES = (
    *("pulses", "thermostat_readings", "pump_events", "dds_commands", "dds_feedback"),
    *("smoother_state", "web_requests", "camera_health", "system_events", "ledger"),
)


def _check_stream(conn: sqlite3.Connection, id_: int, stored: int, stored_to: int, no_rows: int) -> list[str]:
    faults: list[str] = []
    ranges = _ranges(conn, id_, faults)
    frames: list[int] = []
    for table in _ROW_TABLES:
        query = f"SELECT DISTINCT frame_seq FROM {table} WHERE stream_id = ? AND frame_seq > 0"
        frames += [row[0] for row in conn.execute(query, (id_,))]
    if twice := [seq for seq, n in Counter(frames).items() if n > 1]:
        faults.append(f"frames in two tables: {twice[:5]}")
    both = [seq for seq in frames if any(a <= seq <= b for a, b in ranges)]
    faults += [f"frame {seq} is stored, and the ledger calls it lost" for seq in both]
    count, end = len(frames), 0
    query = "SELECT from_seq, to_seq, frames, n, axes, dtype, data FROM sample_chunks WHERE stream_id = ? ORDER BY 1"
    for first, last, inside, n, axes, dtype, data in conn.execute(query, (id_,)):
        # frames of other kinds, and lost ones, may lie between those of a chunk
        others = sum(first <= seq <= last for seq in frames)
        gone = sum(min(b, last) - max(a, first) + 1 for a, b in ranges if a <= last and b >= first)
        if first <= end or inside < 1 or inside + others + gone > last - first + 1:
            faults.append(f"a chunk of {inside} frames, {first}..{last}, overlaps what is stored or lost ({end})")
        decode(data, n, axes.count(",") + 1, dtype)
        count, end = count + inside, last
    if count + no_rows != stored:
        faults.append(f"{count} frames have rows, {no_rows} have none, and {stored} are counted as stored")
    known = sum(min(b, stored_to) - a + 1 for a, b in ranges if a <= stored_to)
    if stored + known != stored_to:
        faults.append(f"{stored} stored and {known} lost are not the {stored_to} numbers passed")
    return faults
