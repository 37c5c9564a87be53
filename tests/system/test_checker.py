"""The independent check itself: it passes a true database, and finds each kind of lie in a doctored one."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from numbers_check import check_numbers, check_rows
from rig import Rig

from common.store import schema
from common.store.chunks import encode

RUN = "0123456789abcdef"


@pytest.fixture
def offers(tmp_path: Path) -> Path:
    """Numbers 1 to 9 as frames 1 to 9, and 10, of which nobody knows whether it became a frame."""
    path = tmp_path / "offers"
    path.write_text(f"run {RUN}\n" + "".join(f"offer {n}\nseq {n} {n}\n" for n in range(1, 10)) + "offer 10\nse")
    return path


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Path]:
    """Of these, 4 to 6 are in the ledger and the others are stored; beside them a pulse and a chunk of two frames."""
    path = tmp_path / "rigbus.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        schema.migrate(conn)
        stream = "INSERT INTO streams (id, node, src, run, stored, stored_to) VALUES (?, 'rig', ?, ?, ?, ?)"
        conn.executemany(stream, [(1, "numbered", RUN, 6, 9), (2, "pulse", RUN, 1, 1), (3, "highspeed", RUN, 2, 2)])
        event = "INSERT INTO system_events (ts, event_type, source, detail, stream_id, frame_seq) VALUES (0, ?, ?, ?, 1, ?)"
        conn.executemany(event, [("number", "numbered", str(n), n) for n in (1, 2, 3, 7, 8, 9)])
        lost = "INSERT INTO ledger (t_ns, stream_id, stream, unit, count, cause, from_seq, to_seq) "
        conn.execute(f"{lost} VALUES (0, 1, '*', 'frame', 3, 'killed', 4, 6)")
        conn.execute("INSERT INTO pulses (t_ns, channel, total, stream_id, frame_seq) VALUES (0, 'import', 1, 2, 1)")
        conn.execute(
            "INSERT INTO sample_chunks (t_ns, sensor, n, rate_hz, axes, unit, scale, dtype, dt_ns, encoding, data, "
            "from_seq, to_seq, frames, stream_id) VALUES (0, 'v', 2, 1, '[\"x\"]', 'g', 1, '<i2', 1, 'd1s2z', ?, 1, 2, 2, 3)",
            (encode(bytes(4), 2, 1, "<i2"),),
        )
    yield path


def test_the_truth_passes(db: Path, offers: Path) -> None:
    assert check_numbers(db, offers, "numbered") == ([], 9, 6, 3)
    assert check_rows(db) == []


COPY = "INSERT INTO {0} ({1}) SELECT {1} FROM {0} WHERE {2}"
EVENT = "ts, event_type, source, detail, stream_id, frame_seq"
LEDGER = "t_ns, stream_id, stream, unit, count, cause, from_seq, to_seq"


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
        ("INSERT INTO streams (node, src, run) VALUES ('rig', 'numbered', 'ffff')", "a run ffff that never was"),
        ("DELETE FROM streams WHERE id = 1", "number 1 .* not stored"),
    ],
)
def test_a_lie_about_numbers_is_found(db: Path, offers: Path, lie: str, says: str) -> None:
    doctor(db, lie)
    faults = "\n".join(check_numbers(db, offers, "numbered").faults)
    assert faults
    assert pytest.raises(AssertionError, match=says).__class__
