"""TelemetryQuery: the seed's methods, arguments and answers, on its own files and on ours, and on what may be wrong."""

import inspect
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import seed_file
from hypothesis import given
from hypothesis import strategies as st

from common.telemetry import TelemetryCollector, TelemetryQuery, init_db
from common.telemetry.statements import NEAR_ROWS, tracking

T = seed_file.T

# Typed from the seed's text: every method, its arguments in order, their defaults (... : none).
SEED: dict[str, list[tuple[str, Any]]] = {
    "__init__": [("db_path", "data/telemetry.db")],
    "get_commands": [("time_range", None), ("funcode", None), ("limit", 1000)],
    "get_command_rate": [("window_s", 10.0)],
    "get_joint_history": [("joint", ...), ("time_range", None), ("limit", 5000)],
    "get_all_joints_snapshot": [("time_range", None), ("limit", 1000)],
    "get_gripper_log": [("time_range", None), ("limit", 1000)],
    "get_tracking_error": [("joint", ...), ("time_range", None), ("delay_s", 0.2)],
    "get_smoother_history": [("joint", ...), ("time_range", None), ("limit", 2000)],
    "get_web_requests": [("time_range", None), ("endpoint", None), ("limit", 500)],
    "get_web_latency_stats": [("time_range", None)],
    "get_camera_health": [("camera_id", None), ("time_range", None), ("limit", 500)],
    "get_events": [("event_type", None), ("source", None), ("level", None), ("time_range", None), ("limit", 500)],
    "get_session_summary": [],
    "get_db_stats": [],
}


@pytest.mark.parametrize("name", SEED)
def test_every_method_argument_and_default_of_the_seed(name: str) -> None:
    found = list(inspect.signature(getattr(TelemetryQuery, name)).parameters.values())[1:]
    told = [(p.name, ... if p.default is inspect.Parameter.empty else p.default) for p in found]
    assert told == SEED[name]
    assert {p.kind for p in found} <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    return seed_file.fill(seed_file.make(tmp_path / "telemetry.db"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return seed_file.make(tmp_path / "telemetry.db")


@pytest.fixture
def query(filled: Path) -> Iterator[TelemetryQuery]:
    with TelemetryQuery(filled) as found:
        yield found


# ---- what is answered


def test_commands(query: TelemetryQuery) -> None:
    rows = query.get_commands()
    assert [row["seq"] for row in rows] == [1, 3, 2]  # by time
    assert set(rows[0]) == {
        *("id", "ts", "ts_mono", "seq", "funcode", "joint_id", "target_value", "data_json", "correlation_id"),
        "raw_len",
    }
    assert all(type(row) is dict for row in rows)
    assert [row["seq"] for row in query.get_commands(funcode=2)] == [3]
    assert [row["seq"] for row in query.get_commands(limit=1)] == [2]
    assert query.get_commands(limit=0) == []


@pytest.mark.parametrize(
    ("time_range", "seqs"),
    [
        ((T + 1, T + 2), [1, 3]),  # both ends are in it
        ((T + 1.5, None), [3, 2]),
        ((None, T + 1), [1]),
        (("2025-10-09T08:53:22Z", "2025-10-09T10:53:22+02:00"), [3]),
        (("2025-10-09T08:53:22", str(T + 2)), [3]),
        ((Decimal(T + 2), int(T + 2)), [3]),
        (None, [1, 3, 2]),
        ((T + 2, T + 2), [3]),
        ((0, 1), []),
    ],
)
def test_time_ranges(query: TelemetryQuery, time_range: Any, seqs: list[int]) -> None:
    assert [row["seq"] for row in query.get_commands(time_range)] == seqs


def test_a_time_that_a_row_has_finds_it(empty: Path) -> None:
    """Whatever its last binary digit."""
    stamps = [100.1, 0.1 + 0.2, T + 1 / 3, 1e-7]
    with closing(sqlite3.connect(empty)) as conn:
        conn.executemany("INSERT INTO dds_commands (ts, ts_mono, funcode) VALUES (?, 0, 1)", [(ts,) for ts in stamps])
        conn.commit()
    with TelemetryQuery(empty) as query:
        assert all(len(query.get_commands((ts, ts))) == 1 for ts in stamps)


def test_joints_and_gripper(query: TelemetryQuery) -> None:
    history = query.get_joint_history(2, limit=2)
    assert history == [{"ts": T + 9.8, "angle": 100.0}, {"ts": T + 9.9, "angle": 101.0}]
    assert len(query.get_joint_history(0)) == 100  # no row of the status
    last = query.get_all_joints_snapshot(limit=1)
    assert last == [{"ts": T + 9.9, **{f"angle{joint}": 99.0 + joint for joint in range(7)}}]
    gripper = query.get_gripper_log((T + 2.9, T + 3.1))
    assert gripper == sorted(gripper, key=lambda row: row["ts"])
    assert {"ts": T + 3, "position": 40.0, "source": "command"} in gripper
    assert {row["source"] for row in gripper} == {"command", "feedback"}
    assert all(list(row) == ["ts", "position", "source"] for row in gripper)


def test_tracking_of_one_joint_and_of_all(query: TelemetryQuery) -> None:
    """At T + 1.2 joint 2 was at 14, at T + 2.2 at 24; to all was said 27 for it."""
    found = query.get_tracking_error(2)
    assert found == {
        "mean_error_deg": 2.0,
        "max_error_deg": 3.0,
        "samples": 2,
        "errors": [
            {"ts": T + 1, "target": 15.0, "actual": 14.0, "error": 1.0},
            {"ts": T + 2, "target": 27.0, "actual": 24.0, "error": 3.0},
        ],
    }
    assert query.get_tracking_error(0)["samples"] == 1
    assert query.get_tracking_error(2, (T, T + 1.5))["samples"] == 1
    assert query.get_tracking_error(2, (T, T + 1.5), delay_s=0.0)["errors"][0]["actual"] == 12.0


def test_smoother_web_cameras_events(query: TelemetryQuery) -> None:
    smoother = query.get_smoother_history(6)
    assert smoother == [{"ts": T + i, "target": 9.0, "current": 1.0, "sent": 2.0, "step_size": 0.5} for i in range(3)]
    assert len(query.get_web_requests()) == 101
    assert [row["endpoint"] for row in query.get_web_requests(endpoint="/api/state")] == ["/api/state"]
    assert [row["camera_id"] for row in query.get_camera_health()] == ["front", "side"]
    assert [row["ts"] for row in query.get_camera_health("side")] == [T + 5]
    assert [row["event_type"] for row in query.get_events()] == ["connect", "error"]
    assert query.get_events("connect", "web") == []
    assert [row["detail"] for row in query.get_events(level="error")] == ["lost"]


def test_latency_is_by_nearest_rank(query: TelemetryQuery) -> None:
    """1 to 100 ms; the request without a time is not among them."""
    found = query.get_web_latency_stats()
    numbers = {"mean_ms": 50.5, "p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0}
    assert found == {**numbers, "by_endpoint": {"/api/command/set-joint": {"count": 100, **numbers}}}
    assert query.get_web_latency_stats((T + 0.1, T + 0.1))["p50_ms"] == 11.0


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_percentiles_are_what_they_are_called(values: list[int]) -> None:
    rows = [(T, "/a", value) for value in values]
    with _memory_file({"web_requests (ts, endpoint, response_ms)": rows}) as query:
        found = query.get_web_latency_stats()
    for percent in (50, 95, 99):
        enough = [v for v in sorted(values) if 100 * sum(w <= v for w in values) >= percent * len(values)]
        assert found[f"p{percent}_ms"] == enough[0]
    assert found["mean_ms"] == pytest.approx(sum(values) / len(values))


def test_the_summary(query: TelemetryQuery, filled: Path) -> None:
    assert list(query.get_session_summary().items()) == [
        *(("first_event_ts", T), ("last_event_ts", T + 10), ("duration_s", 10.0)),
        *(("total_commands", 3), ("total_feedback", 200), ("total_events", 2)),
        *(("command_rate_hz", 0.3), ("feedback_rate_hz", 20.0), ("error_count", 1)),
    ]
    assert list(query.get_db_stats().items()) == [
        *(("camera_health", 2), ("dds_commands", 3), ("dds_feedback", 200), ("smoother_state", 21)),
        *(("system_events", 2), ("web_requests", 101), ("db_size_bytes", filled.stat().st_size)),
    ]


def test_rates_are_of_the_last_seconds_before_now(empty: Path) -> None:
    now = time.time()
    stamps = [(now - 1000, 1), (now - 30, 1), (now - 20, 2), (now + 1000, 1)]  # one of a clock that was ahead
    with closing(sqlite3.connect(empty)) as conn:
        for table in ("dds_commands", "dds_feedback"):
            conn.executemany(f"INSERT INTO {table} (ts, ts_mono, funcode) VALUES (?, 0, ?)", stamps)
        conn.commit()
    with TelemetryQuery(empty) as query:
        found = query.get_command_rate(window_s=400)
        assert found == {"total_commands": 2, "rate_hz": 2 / 400, "by_funcode": {1: 1 / 400, 2: 1 / 400}}
        assert query.get_feedback_rate(400)["total_feedback"] == 2


def test_an_empty_database_knows_nothing_and_divides_by_nothing(empty: Path) -> None:
    with TelemetryQuery(empty) as query:
        lists = [
            query.get_commands(), query.get_joint_history(0), query.get_all_joints_snapshot(), query.get_gripper_log(),
            query.get_smoother_history(0), query.get_web_requests(), query.get_camera_health(), query.get_events(),
        ]  # fmt: skip
        assert lists == [[]] * 8
        nothing = {"mean_error_deg": None, "max_error_deg": None, "samples": 0, "errors": []}
        assert query.get_tracking_error(0) == nothing
        assert query.get_command_rate() == {"total_commands": 0, "rate_hz": 0.0, "by_funcode": {}}
        latencies = {"mean_ms": None, "p50_ms": None, "p95_ms": None, "p99_ms": None}
        assert query.get_web_latency_stats() == {**latencies, "by_endpoint": {}}
        summary = query.get_session_summary()
        assert {name for name, value in summary.items() if value is not None} == {
            *("total_commands", "total_feedback", "total_events", "error_count")
        }


def test_one_row_has_no_rate(empty: Path) -> None:
    with closing(sqlite3.connect(empty)) as conn:
        conn.execute("INSERT INTO dds_commands (ts, ts_mono, funcode) VALUES (5, 0, 1)")
        conn.commit()
    with TelemetryQuery(empty) as query:
        found = query.get_session_summary()
    assert (found["duration_s"], found["command_rate_hz"]) == (0.0, None)


def test_events_after_an_id(query: TelemetryQuery, filled: Path) -> None:
    assert [row["id"] for row in query.get_events_after(None, 1)] == [2]
    assert query.get_events_after(2) == []
    with closing(sqlite3.connect(filled)) as conn:  # at a time before all others
        conn.execute("INSERT INTO system_events (ts, event_type, source) VALUES (1, 'late', 'x')")
        conn.commit()
    assert [row["event_type"] for row in query.get_events_after(2)] == ["late"]
    assert [row["id"] for row in query.get_events_after(999)] == [1, 2, 3]  # of another database: from its first


# ---- tracking, against what is obvious

CODES = st.sampled_from([1, 1, 1, 3, 101])
STAMPS = st.integers(0, 40).map(lambda n: n / 8)
FEEDBACK = st.lists(st.tuples(STAMPS, CODES, st.none() | st.integers(-90, 90)), max_size=30)
DATA = st.none() | st.sampled_from(
    ["", "{", "[1]", '{"angle1": 7}', '{"angle1": "7"}', '{"angle1": null}', '{"angle1": 1.5}']
)
COMMANDS = st.lists(
    st.tuples(
        STAMPS, st.sampled_from([1, 2, 5]), st.none() | st.integers(0, 2), st.none() | st.integers(-90, 90), DATA
    ),
    max_size=12,
)


def _oracle(commands: list[Any], feedback: list[Any], delay_s: float) -> list[tuple[float, float, float]]:
    found = []
    for ts, funcode, joint, target, data in sorted(commands, key=lambda row: row[0]):
        value = None
        if funcode == 1 and joint == 1:
            value = target
        elif funcode == 2 and data is not None:
            try:
                loaded = json.loads(data)
            except ValueError:
                loaded = None
            value = loaded.get("angle1") if isinstance(loaded, dict) else None
        if not isinstance(value, int | float):
            continue
        angles = [
            (abs(t - (ts + delay_s)), t, i, a) for i, (t, code, a) in enumerate(feedback) if code == 1 and a is not None
        ]
        if not angles:
            continue
        near = min(angles, key=lambda row: (row[0], row[1]))
        same = [row for row in angles if row[1] == near[1]]
        # of several at one time that time's last before, its first after
        chosen = same[-1] if near[1] <= ts + delay_s else same[0]
        found.append((ts, float(value), float(chosen[3])))
    return found


@given(COMMANDS, FEEDBACK, st.sampled_from([0.0, 0.25, 0.2, -1.0]))
def test_tracking_is_what_is_obvious(commands: list[Any], feedback: list[Any], delay_s: float) -> None:
    rows = {
        "dds_commands (ts, funcode, joint_id, target_value, data_json, ts_mono)": [(*row, 0.0) for row in commands],
        "dds_feedback (ts, funcode, angle1, ts_mono)": [(*row, 0.0) for row in feedback],
    }
    with _memory_file(rows) as query:
        found = query.get_tracking_error(1, delay_s=delay_s)
    expected = _oracle(commands, feedback, delay_s)
    assert [(row["ts"], row["target"], row["actual"]) for row in found["errors"]] == expected
    errors = [abs(target - actual) for _, target, actual in expected]
    assert [row["error"] for row in found["errors"]] == errors
    assert found["max_error_deg"] == max(errors, default=None)
    assert found["samples"] == len(errors)


@contextmanager
def _memory_file(rows: dict[str, list[Any]]) -> Iterator[TelemetryQuery]:
    """A query on a file in memory, where the machine has such a folder: there is one for each example."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / "t.db"
        with closing(sqlite3.connect(path)) as conn:
            conn.executescript(seed_file.TABLES)
            for table, values in rows.items():
                if values:
                    conn.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values[0]))})", values)
            conn.commit()
        with TelemetryQuery(path) as query:
            yield query


def test_each_command_finds_its_angle_by_the_index_of_the_time(empty: Path) -> None:
    with closing(sqlite3.connect(empty)) as conn:
        values = {"joint": 0, "delay": 0.2}
        plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {tracking(0, False, False)}", values)]
    lookups = [line for line in plan if "dds_feedback" in line]
    by_time = [line for line in lookups if "idx_dds_feedback_ts (ts" in line]
    assert len(by_time) == 2
    assert all("INTEGER PRIMARY KEY" in line for line in lookups if line not in by_time)


def test_an_arm_whose_angles_fail_while_it_acknowledges_costs_no_search_through_all(empty: Path) -> None:
    n = 20 * NEAR_ROWS
    with closing(sqlite3.connect(empty)) as conn:
        conn.execute("INSERT INTO dds_feedback (ts, ts_mono, funcode, angle0) VALUES (0, 0, 1, 5)")
        acks = [(i + 1.0, 101) for i in range(n)]
        conn.executemany("INSERT INTO dds_feedback (ts, ts_mono, funcode) VALUES (?, 0, ?)", acks)
        told = "INSERT INTO dds_commands (ts, ts_mono, funcode, joint_id, target_value) VALUES (?, 0, 1, 0, 9)"
        conn.executemany(told, [(10.0,), (n - 10.0,)])
        conn.commit()
    with TelemetryQuery(empty) as query:
        assert [row["ts"] for row in query.get_tracking_error(0)["errors"]] == [10.0]


# ---- files


@pytest.mark.parametrize("name", ["none.db", "no/folder.db"])
def test_a_missing_file_is_told_and_not_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        TelemetryQuery(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_the_default_is_the_seeds_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    init_db("data/telemetry.db").close()
    with TelemetryQuery() as query:
        assert query.path == str(tmp_path / "data/telemetry.db")
        monkeypatch.chdir("/")
        assert query.get_events() == []


def test_nothing_is_written(filled: Path) -> None:
    before = (filled.read_bytes(), os.listdir(filled.parent))
    with TelemetryQuery(filled) as query:
        query.get_tracking_error(0)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            query._file.all("DELETE FROM dds_commands")
        assert os.listdir(filled.parent) == ["telemetry.db"]
    assert (filled.read_bytes(), os.listdir(filled.parent)) == before


def test_a_copy_in_a_folder_that_is_read_only(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "ro").mkdir()
    shutil.copy(filled, tmp_path / "ro")
    (tmp_path / "ro/telemetry.db").chmod(0o444)
    (tmp_path / "ro").chmod(0o555)
    try:
        with TelemetryQuery(tmp_path / "ro/telemetry.db") as query:
            assert len(query.get_commands()) == 3
        assert os.listdir(tmp_path / "ro") == ["telemetry.db"]
    finally:
        (tmp_path / "ro").chmod(0o755)


def test_a_file_in_rollback_mode_is_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as conn, TelemetryQuery(seed_file.make(tmp_path / "w.db")):
        conn.executescript(seed_file.TABLES)
        with TelemetryQuery(path) as query:
            assert query.get_events() == []
            conn.execute("INSERT INTO system_events (ts, event_type, source) VALUES (1, 'e', 's')")
            conn.commit()
            assert len(query.get_events()) == 1


def test_reading_while_a_collector_writes(tmp_path: Path, collect: Callable[..., TelemetryCollector]) -> None:
    path = tmp_path / "telemetry.db"
    collector = collect(path)
    collector.log_system_event("first", "s")
    assert collector.flush(30)
    with TelemetryQuery(path) as query:
        assert [row["event_type"] for row in query.get_events()] == ["first"]
        collector.log_system_event("second", "s")
        collector.log_command(1, 1, 2, 20.0, None)
        assert collector.flush(30)
        assert [row["event_type"] for row in query.get_events()] == ["first", "second"]
        assert query.get_commands()[0]["target_value"] == 20.0
        assert {*SEED} - {"__init__"} <= set(dir(query))


def test_a_query_on_a_stopped_writers_file_notices_its_start(empty: Path) -> None:
    with TelemetryQuery(empty) as query:
        assert query.get_events() == []
        with closing(sqlite3.connect(empty)) as conn:
            conn.execute("INSERT INTO system_events (ts, event_type, source) VALUES (1, 'e', 's')")
            conn.commit()
            assert len(query.get_events()) == 1
        assert len(query.get_events()) == 1


def test_what_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        TelemetryQuery(tmp_path / "x.db")


# ---- wrong arguments

WRONG: list[tuple[Callable[[TelemetryQuery], Any], str]] = [
    (lambda q: q.get_joint_history(9), "joint 9"),
    (lambda q: q.get_joint_history(-1), "joint -1"),
    (lambda q: q.get_tracking_error("2; DROP"), "joint '2; DROP'"),
    (lambda q: q.get_smoother_history(1.5), "joint 1.5"),
    (lambda q: q.get_smoother_history(True), "joint True"),
    (lambda q: q.get_commands(limit=-1), "limit -1"),
    (lambda q: q.get_commands(limit=1.5), "limit 1.5"),
    (lambda q: q.get_commands(limit=float("nan")), "limit nan"),
    (lambda q: q.get_events_after(0, -1), "limit -1"),
    (lambda q: q.get_commands((2, 1)), "from 2 is after to 1"),
    (lambda q: q.get_commands((float("nan"), 1)), "nan"),
    (lambda q: q.get_commands((1, float("inf"))), "inf"),
    (lambda q: q.get_commands(("soon", None)), "soon"),
    (lambda q: q.get_commands((True, None)), "True"),
    (lambda q: q.get_commands(([], None)), "neither"),
    (lambda q: q.get_commands((1, 2, 3)), "not (from, to)"),
    (lambda q: q.get_commands("12"), "not (from, to)"),
    (lambda q: q.get_commands(("9" * 30, None)), "calendar"),
    (lambda q: q.get_tracking_error(0, delay_s=float("nan")), "delay_s nan"),
    (lambda q: q.get_command_rate(0), "window_s 0"),
    (lambda q: q.get_command_rate(float("inf")), "window_s inf"),
    (lambda q: q.get_command_rate("10"), "window_s '10'"),
]


@pytest.mark.parametrize(("call", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_wrong_argument_is_one_line(query: TelemetryQuery, call: Callable[[TelemetryQuery], Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        call(query)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
