"""What common.telemetry declares a second time, since it imports nothing of rigbus, is the same as what rigbus does."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from common import frames, rig
from common.journal.counter import Slot, read_counter
from common.store import rows as store_rows
from common.store.schema import migrate
from common.telemetry import frames as mine
from common.telemetry import place
from common.telemetry.counter import Counter
from common.telemetry.database import init_db
from common.telemetry.rows import COLUMNS, row_of
from common.topics import TOPICS, topic_of

HEAD = mine.Head("", 1, "rig1", "robot", "00000000000000aa", 7, 3, 1_800_000_000_123_456_789, 55_123_456_789)
FULL: list[mine.Body] = [
    mine.ArmCommand(
        funcode=1, data={"id": 1, "angle": 2.5}, address=1, arm_seq=4, joint_id=1, target_value=2.5,
        correlation_id="abc", raw_len=41,
    ),
    mine.ArmFeedback(
        funcode=2, data={"x": None}, address=3, arm_seq=4, angles=[1.0, None, 3.0],
        status={"exec_status": 1, "power_status": None, "more": "x"}, correlation_id="abc", raw_len=9,
    ),
    mine.ArmFeedback(funcode=1, data=None, angles=[float(n) for n in range(7)]),
    mine.Smoother(joint_id=6, target=1.0, current=0.5, sent=0.7, step_size=0.2, dirty=0),
    mine.WebRequest(endpoint="/api/x", method="GET", params_json="{}", response_ms=1.5, status_code=200, ok=1),
    mine.Camera(camera_id="0", actual_fps=29.5, target_fps=30.0, drop_count=2, motion_score=0.1, connected=1,
                resolution_w=640, resolution_h=480, stalled=0),
    mine.Event(event_type="estop", source="web", detail="é", data_json='{"a":1}', correlation_id="c", level="error"),
]  # fmt: skip
SPARSE: list[mine.Body] = [
    mine.ArmCommand(funcode=7, data=None),
    mine.ArmFeedback(funcode=3, data=None),
    mine.Smoother(joint_id=0, target=1.0, current=1.0, sent=1.0),
    mine.WebRequest(endpoint=""),
    mine.Camera(camera_id="c"),
    mine.Event(event_type="e", source="s"),
]


def head_of(body: mine.Body) -> mine.Head:
    return msgspec.structs.replace(HEAD, k=mine.KINDS[type(body)].name)


def theirs(body: mine.Body) -> frames.Frame:
    """The same frame, made by rigbus's own struct."""
    head = {k: v for k, v in msgspec.structs.asdict(HEAD).items() if k != "k"}
    fields = {k: v for k, v in msgspec.structs.asdict(body).items() if v is not UNSET}
    return TOPICS[mine.KINDS[type(body)].name].frame(**head, **fields)


def test_every_kind_is_compared() -> None:
    assert {type(b) for b in FULL} == {type(b) for b in SPARSE} == set(mine.KINDS)
    assert set(mine.Body.__args__) == set(mine.KINDS)


@pytest.mark.parametrize("body", [*FULL, *SPARSE], ids=lambda b: type(b).__name__)
def test_the_map_is_that_of_the_rigs_encoder(body: mine.Body) -> None:
    payload = mine.join(head_of(body), mine.encode(body))
    found, wanted = msgspec.msgpack.decode(payload), msgspec.msgpack.decode(frames.encode(theirs(body)))
    assert sorted(found) == sorted(wanted)
    # repr tells 1 from 1.0
    assert {k: repr(v) for k, v in found.items()} == {k: repr(v) for k, v in wanted.items()}
    assert frames.decode(payload) == theirs(body)


@pytest.mark.parametrize("kind", mine.KINDS)
def test_fields_and_topics_are_the_same(kind: type[Any]) -> None:
    twin = TOPICS[mine.KINDS[kind].name].frame
    head = frames.Frame.__struct_fields__
    assert kind.__struct_fields__ == tuple(f for f in twin.__struct_fields__ if f not in head)
    assert tuple(f for f in mine.Head.__struct_fields__ if f != "k") == head
    assert mine.KINDS[kind].topic.decode() == topic_of(theirs(next(b for b in FULL if type(b) is kind)))


@pytest.mark.parametrize("body", [*FULL, *SPARSE], ids=lambda b: type(b).__name__)
def test_a_file_of_its_own_holds_the_rows_that_the_store_would(body: mine.Body) -> None:
    table, row = row_of(body, HEAD.t, HEAD.mono)
    their_table, [their_row] = store_rows.rows_of(theirs(body), 5)
    names = store_rows.COLUMNS[their_table].split(", ")
    found = dict(zip(names, their_row, strict=True))
    assert table == their_table
    mine_by_name = dict(zip(COLUMNS[table].split(", "), row, strict=True))
    if mine_by_name.get("data_json", "") is None:
        found["data_json"] = None
    assert mine_by_name == {k: v for k, v in found.items() if k not in ("stream_id", "frame_seq")}


def test_a_new_file_has_the_stores_own_tables(tmp_path: Path) -> None:
    store = sqlite3.connect(":memory:", isolation_level=None)
    migrate(store)
    alone = init_db(tmp_path / "t.db")
    tables = tuple(COLUMNS)
    for table in tables:
        query = f"SELECT * FROM pragma_table_xinfo('{table}') WHERE name != 't_orig_ns'"  # the sink alone moves rows
        assert alone.execute(query).fetchall() == store.execute(query).fetchall()
    query = f"SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN {tables} ORDER BY name"
    assert alone.execute(query).fetchall() == store.execute(query).fetchall()
    assert len(store.execute(query).fetchall()) == 13
    alone.close()
    store.close()


def test_the_counter_file_is_the_rigs(tmp_path: Path) -> None:
    path = tmp_path / "c"
    for n in range(70):
        counter = Counter(path)
        counter.begin(f"{n:016x}", "ab" * 16, 1000 + n, 3)
        counter.offer(10 + n)
        counter.alive(2000 + n)
        if n % 2:
            counter.close_run()
        counter.close()
    expected = [Slot(f"{n:016x}", "ab" * 16, 10 + n, bool(n % 2), 1000 + n, 2000 + n) for n in range(8, 70)]
    assert read_counter(path) == expected
    again = Counter(path)
    assert [tuple(slot) for slot in again.before] == [tuple(slot) for slot in expected]
    again.close()


def test_a_counter_file_of_garbage_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"garbage" * 1000)
    counter = Counter(path)
    assert counter.before == []
    counter.begin("00000000000000aa", "cd" * 16, 1, 0)
    counter.close()
    assert [slot.run for slot in read_counter(path)] == ["00000000000000aa"]


def test_no_application_takes_a_daemons_name() -> None:
    assert {daemon.name for daemon in rig.DAEMONS} <= set(place.RESERVED)
