"""The independent check itself: it passes a true database, and finds each kind of lie in a doctored one."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from numbers_check import check_numbers, check_rows
from rig import Rig

from common.store import schema
from common.store.chunks import encode

RUN = "0123456789abcdef"
CHUNK = "t_ns, sensor, n, rate_hz, axes, unit, scale, dtype, dt_ns, encoding, data, frames, stream_id, from_seq, to_seq"
PULSE = "t_ns, channel, stream_id, frame_seq, total"
LEDGER = "t_ns, stream_id, stream, unit, count, cause, from_seq, to_seq"
EVENT = "ts, event_type, source, detail, stream_id, frame_seq"
COPY = "INSERT INTO {0} ({1}) SELECT {1} FROM {0} WHERE {2}"


@pytest.fixture
def offers(tmp_path: Path) -> Path:
    """Numbers 1 to 9 as frames 1 to 9, and 10, of which nobody knows whether it became a frame."""
    path = tmp_path / "offers"
    path.write_text(f"run {RUN}\n" + "".join(f"offer {n}\nseq {n} {n}\n" for n in range(1, 10)) + "offer 10\nse")
    return path


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Of these, 4 to 6 are in the ledger and the others are stored; beside them a pulse and a chunk of two frames."""
    path = tmp_path / "rigbus.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        schema.migrate(conn)
        stream = "INSERT INTO streams (id, node, src, run, stored, stored_to) VALUES (?, 'rig', ?, ?, ?, ?)"
        conn.executemany(stream, [(1, "numbered", RUN, 6, 9), (2, "pulse", RUN, 1, 1), (3, "highspeed", RUN, 2, 2)])
        event = f"INSERT INTO system_events ({EVENT}) VALUES (0, 'number', 'numbered', ?, 1, ?)"
        conn.executemany(event, [(str(n), n) for n in (1, 2, 3, 7, 8, 9)])
        conn.execute(f"INSERT INTO ledger ({LEDGER}) VALUES (0, 1, '*', 'frame', 3, 'killed', 4, 6)")
        conn.execute(f"INSERT INTO pulses ({PULSE}) VALUES (0, 'import', 2, 1, 1)")
        values = """0, 'v', 2, 1, '["x"]', 'g', 1, '<i2', 1, 'd1s2z', ?, 2, 3, 1, 2"""
        chunk = f"INSERT INTO sample_chunks ({CHUNK}) VALUES ({values})"
        conn.execute(chunk, (encode(bytes(4), 2, 1, "<i2"),))
    return path


def test_the_truth_passes(db: Path, offers: Path) -> None:
    assert check_numbers(db, offers, "numbered") == ([], 9, 6, 3)
    assert check_rows(db) == []


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        ("DELETE FROM system_events WHERE detail = '8'", "number 8 .* not stored, and in 0 ledger ranges"),
        (COPY.format("system_events", EVENT, "detail = '8'"), "number 8 is stored 2 times"),
        ("UPDATE system_events SET frame_seq = 77 WHERE detail = '8'", "number 8 went out as frame 8"),
        ("UPDATE system_events SET detail = '99' WHERE detail = '8'", "never offered"),
        ("DELETE FROM ledger", "number 4 .* not stored, and in 0 ledger ranges"),
        (COPY.format("ledger", LEDGER, "true"), "number 4 .* not stored, and in 2 ledger ranges"),
        ("UPDATE ledger SET to_seq = 7, count = 4", "number 7 .* is stored, and the ledger calls it lost"),
        ("UPDATE ledger SET count = 2", "counts 2 for 4..6"),
        ("UPDATE ledger SET stream_id = 2", "in 0 ledger ranges"),
        ("UPDATE streams SET run = 'ffff' WHERE id = 1", "numbers of a run ffff that never was"),
        ("DELETE FROM streams WHERE id = 1", "number 1 .* not stored"),
    ],
)
def test_a_lie_about_numbers_is_found(db: Path, offers: Path, lie: str, says: str) -> None:
    doctor(db, lie)
    faults = "\n".join(check_numbers(db, offers, "numbered").faults)
    assert re.search(says, faults), faults


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (COPY.format("pulses", f"{PULSE}", "true"), "totals of import stored twice"),
        ("UPDATE pulses SET total = 2", "totals of import not there: .1. of 2"),
        ("DELETE FROM pulses", "0 frames have rows, 0 have none, and 1 are counted"),
        ("UPDATE pulses SET stream_id = 1", "numbered/.* frames in two tables: .1."),
        (COPY.format("sample_chunks", CHUNK, "true"), "a chunk of 2 frames, 1..2, overlaps"),
        ("UPDATE sample_chunks SET frames = 3", "a chunk of 3 frames, 1..2, overlaps"),
        ("DELETE FROM sample_chunks", "0 frames have rows, 0 have none, and 2 are counted"),
        ("UPDATE ledger SET stream_id = 3, from_seq = 2, to_seq = 2, count = 1", "a chunk of 2 frames, 1..2, overlaps"),
        ("UPDATE ledger SET from_seq = 3, count = 4", "frame 3 is stored, and the ledger calls it lost"),
        ("UPDATE streams SET stored_to = 12 WHERE id = 1", "6 stored and 3 lost are not the 12 numbers passed"),
    ],
)
def test_a_lie_about_rows_is_found(db: Path, lie: str, says: str) -> None:
    doctor(db, lie)
    faults = "\n".join(check_rows(db))
    assert re.search(says, faults), faults


def doctor(db: Path, lie: str) -> None:
    with closing(sqlite3.connect(db, isolation_level=None)) as conn:
        assert conn.execute(lie).rowcount > 0


def test_a_real_rig_passes_until_it_is_doctored(rig: Rig) -> None:
    rig.start("bus", "sink", "numbered")
    rig.ready("numbered")
    rig.until(lambda: rig.offered() > 50, "50 numbers are offered")
    rig.caught_up()
    rig.end()
    found = rig.check("numbered")["numbered"]
    assert found.offered == found.stored == rig.stored()
    doctor(rig.db, "DELETE FROM system_events WHERE detail = '7'")
    assert len(check_numbers(rig.db, rig.offers("numbered"), "numbered").faults) == 1
    with pytest.raises(AssertionError, match="number 7 "):
        rig.check("numbered")
