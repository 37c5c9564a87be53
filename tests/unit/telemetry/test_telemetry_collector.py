"""The seed's collector with a file of its own: its call sites, its routing table, its debug pages."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.telemetry import EventType, TelemetryCollector, TelemetryEvent, every_nth, get_collector, init_db, process

MakeCollector = Callable[..., TelemetryCollector]
TABLES = ("dds_commands", "dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events")


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as conn:
        conn.row_factory = sqlite3.Row
        return [dict(row) for row in conn.execute(f"SELECT * FROM {table} ORDER BY id")]


def counts(path: Path) -> dict[str, int]:
    return {table: len(rows(path, table)) for table in TABLES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "by" / "it" / "telemetry.db"


def test_the_seeds_call_sites_work_unchanged(collect: MakeCollector, path: Path) -> None:
    tc = collect(db_path=str(path), batch_size=50, flush_interval_s=1.0)
    cid = tc.new_correlation_id()
    assert len(cid) == 12
    assert int(cid, 16) >= 0
    tc.emit("web", EventType.CMD_SENT, {"endpoint": "set-joint", "params": {"id": 1, "angle": 20}}, cid)
    command = {"seq": 4, "funcode": 1, "data": {"id": 1, "angle": 20.5, "delay_ms": 0}, "raw_len": 77}
    tc.emit("dds", EventType.DDS_PUBLISH, command, cid)
    tc.emit("dds", EventType.DDS_RECEIVE, {"seq": 10, "funcode": 1, "data_keys": ["angle0"]})
    tc.emit("dds", EventType.CMD_ACK, {"seq": 4, "recv_status": 1})
    tc.emit("dds", EventType.CMD_EXEC, {"seq": 4, "exec_status": 1})
    tc.emit("dds", EventType.STATE_UPDATE, {"changed": {"angle0": [1.0, 2.0]}})
    tc.emit("dds", EventType.ERROR, {"error": "not_connected", "cmd": "x"}, cid)
    tc.emit("camera", EventType.CAM_FRAME, {"camera_id": "0", "actual_fps": 29.5})
    tc.emit("web", EventType.WS_SEND, {"client_count": 2, "state_timestamp": None})
    tc.log_command(5, 5, None, None, {"mode": 1}, None, 40)
    tc.log_command(seq=6, funcode=1, joint_id=6, target_value=30.0, data=None, correlation_id=cid, raw_len=12)
    tc.log_feedback(7, 1, {f"angle{n}": n + 0.5 for n in range(7)}, None)
    tc.log_feedback(seq=8, funcode=3, angles=None, status={"power_status": 1, "enable_status": 1, "error_status": 0})
    tc.log_smoother_tick(
        [
            {"joint_id": 0, "target": 10.0, "current": 8.0, "sent": 9.0, "step_size": 1.0, "dirty": True},
            {"joint_id": 6, "target": 1.0, "current": 1.0, "sent": 1.0},
        ]
    )
    tc.log_web_request(endpoint="/api/x", method="GET", params=None, response_ms=1.25, status_code=404, ok=False)
    tc.log_camera_health("0", {"connected": True, "stalled": False, "resolution": (640, 480), "drop_count": 3})
    tc.log_system_event("connect", "dds", "eth0")
    tc.stop()
    assert counts(path) == {
        "dds_commands": 3, "dds_feedback": 3, "smoother_state": 2, "web_requests": 2, "camera_health": 2,
        "system_events": 5,
    }  # fmt: skip
    first, enable, grip = rows(path, "dds_commands")
    assert (first["seq"], first["funcode"], first["joint_id"], first["target_value"]) == (4, 1, 1, 20.5)
    assert (json.loads(first["data_json"]), first["raw_len"], first["correlation_id"]) == (command["data"], 77, cid)
    assert (enable["joint_id"], enable["target_value"], grip["joint_id"], grip["data_json"]) == (None, None, 6, None)
    nothing, angles, status = rows(path, "dds_feedback")
    assert [nothing[f"angle{n}"] for n in range(7)] == [None] * 7  # never a zero that the arm did not send
    assert [angles[f"angle{n}"] for n in range(7)] == [n + 0.5 for n in range(7)]
    assert (status["power_status"], status["error_status"], status["recv_status"]) == (1, 0, None)
    assert [row["dirty"] for row in rows(path, "smoother_state")] == [1, 1]
    sent, logged = rows(path, "web_requests")
    assert (sent["endpoint"], json.loads(sent["params_json"])) == ("set-joint", {"id": 1, "angle": 20})
    assert (sent["response_ms"], sent["status_code"], sent["ok"]) == (None, None, None)  # not known: not made up
    assert (logged["response_ms"], logged["status_code"], logged["ok"]) == (1.25, 404, 0)
    camera = rows(path, "camera_health")[1]
    assert (camera["resolution_w"], camera["resolution_h"], camera["connected"], camera["stalled"]) == (640, 480, 1, 0)
    events = rows(path, "system_events")
    assert [e["event_type"] for e in events] == ["cmd_ack", "cmd_exec", "state_update", "error", "connect"]
    assert [e["level"] for e in events] == ["info", "info", "info", "error", "info"]
    assert json.loads(events[3]["data_json"]) == {"error": "not_connected", "cmd": "x"}
    assert abs(first["ts"] - time.time()) < 60
    assert abs(first["ts_mono"] - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


def test_acks_stand_apart_from_angles_where_the_address_is_told(collect: MakeCollector, path: Path) -> None:
    tc = collect(path)
    tc.log_feedback(4, 1, None, {"recv_status": 1}, address=3)
    tc.emit("dds", EventType.DDS_RECEIVE, {"seq": 4, "funcode": 2, "address": 3, "data": {"exec_status": 0}})
    tc.log_feedback(10, 1, {"angle0": 1.0}, None, address=2)
    tc.stop()
    found = [(r["funcode"], r["arm_funcode"], r["recv_status"], r["exec_status"]) for r in rows(path, "dds_feedback")]
    assert found == [(101, 1, 1, None), (102, 2, None, 0), (1, 1, None, None)]


def test_emit_returns_the_event_and_none_while_disabled(collect: MakeCollector, path: Path) -> None:
    tc = collect(path)
    assert tc.enabled
    payload = {"detail": "x"}
    event = tc.emit("src", EventType.ERROR, payload, "cid")
    assert isinstance(event, TelemetryEvent)
    assert (event.source, event.event_type, event.payload, event.correlation_id) == (
        "src", EventType.ERROR, payload, "cid",
    )  # fmt: skip
    tc.disable()
    assert not tc.enabled
    assert tc.emit("src", EventType.ERROR, payload) is None
    tc.log_system_event("e", "s")
    tc.log_smoother_tick([{"joint_id": 0, "target": 1, "current": 1, "sent": 1}])
    tc.enable()
    tc.log_system_event("e", "s")
    tc.stop()
    assert counts(path)["system_events"] == 2
    assert counts(path)["smoother_state"] == 0


def test_the_enums_values_are_the_seeds() -> None:
    assert {kind.name: kind.value for kind in EventType} == {kind.name: kind.name.lower() for kind in EventType}
    wanted = "CMD_SENT DDS_PUBLISH DDS_RECEIVE CMD_ACK CMD_EXEC STATE_UPDATE WS_SEND WS_RECEIVE CAM_FRAME ERROR"
    assert [kind.name for kind in EventType] == wanted.split()


def test_the_debug_pages_are_answered_from_the_file(collect: MakeCollector, path: Path) -> None:
    tc = collect(path, flush_interval_s=60.0)
    cid = tc.new_correlation_id()
    tc.emit("web", EventType.CMD_SENT, {"endpoint": "e"}, cid)
    tc.emit("dds", EventType.DDS_PUBLISH, {"seq": 1, "funcode": 1, "data": {"id": 0}}, cid)
    tc.emit("dds", EventType.CMD_ACK, {"seq": 1}, cid)
    tc.log_smoother_tick([{"joint_id": 0, "target": 1, "current": 1, "sent": 1}] * 5)
    for n in range(30):
        tc.emit("arm", EventType.STATE_UPDATE, {"n": n})
    events = tc.get_events(limit=10)
    assert [e.payload["n"] for e in events] == list(range(20, 30))
    assert all(isinstance(e, TelemetryEvent) and e.timestamp_ms > 0 for e in events)
    assert len(tc.get_events(limit=1000)) == 33
    assert [e.payload["seq"] for e in tc.get_events(event_type=EventType.CMD_ACK)] == [1]
    assert [e.event_type for e in tc.get_events(source="web")] == [EventType.CMD_SENT]
    assert len(tc.get_events(source="smoother")) == 5
    assert tc.get_events(limit=0) == []
    stages = tc.get_pipeline(cid)
    assert [s["event"]["type"] for s in stages] == ["cmd_sent", "dds_publish", "cmd_ack"]
    assert stages[0]["latency_ms"] == 0.0
    assert all(s["latency_ms"] >= 0 for s in stages)
    assert tc.get_pipeline("nobody") == []
    stats = tc.get_stats()
    assert stats["total_events"] == 33
    assert stats["rates_per_sec"]["state_update"] == 3.0
    assert stats["active_correlations"] == 1
    assert stats["avg_pipeline_latency_ms"] >= 0
    assert stats["staleness_ms"] is not None
    assert (stats["mode"], stats["stored"], stats["queued"], stats["dropped"]) == ("file", 38, 0, 0)


def test_what_an_earlier_process_has_stored_is_found(collect: MakeCollector, path: Path) -> None:
    """Not from memory, as the seed's did."""
    first = collect(path)
    first.emit("web", EventType.ERROR, {"n": 1}, "c1")
    first.stop()
    second = collect(path)
    assert [e.payload for e in second.get_events()] == [{"n": 1}]
    assert len(second.get_pipeline("c1")) == 1


def test_what_is_logged_before_the_start_is_kept(path: Path) -> None:
    tc = TelemetryCollector(path)
    tc.log_system_event("early", "s")
    assert [e.payload["system_event_type"] for e in tc.get_events()] == ["early"]
    tc.log_system_event("later", "s")
    tc.start()
    assert tc.stop()
    assert counts(path)["system_events"] == 2


def test_what_is_logged_after_the_stop_is_counted_and_a_start_begins_anew(
    collect: MakeCollector, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tc = collect(path)
    tc.log_system_event("a", "s")
    assert tc.stop()
    tc.log_system_event("lost", "s")
    tc.log_system_event("lost", "s")
    assert tc.get_stats()["dropped"] == 2
    assert sum("is stopped" in record.message for record in caplog.records) == 1
    tc.start()
    tc.log_system_event("b", "s")
    assert tc.close()
    assert [e["event_type"] for e in rows(path, "system_events")] == ["a", "b"]


@pytest.mark.parametrize("interval_s", [0.02, 60.0])
def test_many_threads_many_events_exact(collect: MakeCollector, path: Path, interval_s: float) -> None:
    tc = collect(path, batch_size=20, flush_interval_s=interval_s)
    each, threads = 500, 8

    def work(n: int) -> None:
        for i in range(each):
            tc.emit(f"t{n}", EventType.STATE_UPDATE, {"n": n, "i": i})

    running = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert tc.stop()
    found = [json.loads(row["data_json"]) for row in rows(path, "system_events")]
    assert len(found) == each * threads
    for n in range(threads):
        assert [f["i"] for f in found if f["n"] == n] == list(range(each))  # each thread's in its order


def test_whatever_is_handed_over_is_recorded(collect: MakeCollector, path: Path) -> None:
    """Telemetry must not be what stops a robot."""
    tc = collect(path)
    held: dict[str, Any] = {}
    held["self"] = held

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    tc.emit("s", EventType.STATE_UPDATE, {"array": np.arange(3), "float": np.float32(0.5), "set": {1}, "odd": Odd()})
    tc.emit("s", EventType.STATE_UPDATE, held)
    tc.emit("s", EventType.STATE_UPDATE, {"big": 2**70, "nan": float("nan"), "bytes": b"\xff", 5: "five", "\ud800": 1})
    tc.emit("dds", EventType.DDS_PUBLISH, {"seq": "x", "funcode": None, "joint_id": 2**80, "target_value": "far"})
    tc.log_command(np.int64(3), np.int32(1), np.int8(2), np.float32(0.25), {"angle": np.float64(0.25)})
    tc.log_feedback(1, 1, [1, None, "x"], {"power_status": True, "enable_status": "?"})
    tc.log_smoother_tick([{"joint_id": 0, "target": float("nan"), "current": 1, "sent": 1}])
    tc.log_camera_health("c", None)
    tc.log_web_request("\ud800", "GET", {"a": object})
    assert tc.stop()
    events = [json.loads(row["data_json"]) for row in rows(path, "system_events")]
    assert events[0] == {"array": [0, 1, 2], "float": 0.5, "set": [1], "odd": "<Odd>"}
    assert events[2]["big"] == str(2**70)
    assert events[2]["nan"] is None
    odd, command = rows(path, "dds_commands")
    assert (odd["seq"], odd["funcode"], odd["joint_id"], odd["target_value"]) == (None, 0, None, None)
    assert (command["seq"], command["funcode"], command["joint_id"], command["target_value"]) == (3, 1, 2, 0.25)
    [feedback] = rows(path, "dds_feedback")
    assert [feedback[f"angle{n}"] for n in range(4)] == [1.0, None, None, None]
    assert (feedback["power_status"], feedback["enable_status"]) == (1, None)
    # a joint without a number has no place in its table, and is told as an event
    assert rows(path, "smoother_state") == []
    assert [row["event_type"] for row in rows(path, "system_events")][-1] == "smoother_incomplete"


def test_a_payload_that_changes_afterwards_is_stored_as_it_was(collect: MakeCollector, path: Path) -> None:
    tc = collect(path, flush_interval_s=60.0)
    payload = {"angles": [1, 2]}
    tc.emit("s", EventType.STATE_UPDATE, payload)
    payload["angles"].append(3)
    tc.stop()
    assert json.loads(rows(path, "system_events")[0]["data_json"]) == {"angles": [1, 2]}


def test_old_rows_go_at_the_start(
    collect: MakeCollector, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def begin(days: str) -> list[str]:
        monkeypatch.setenv("TELEMETRY_RETENTION_DAYS", days)
        tc = collect(path)
        while tc._recorder._old:  # type: ignore[attr-defined]
            time.sleep(0.01)
        tc.stop()
        return [row["event_type"] for row in rows(path, "system_events")]

    conn = init_db(path)
    insert = "INSERT INTO system_events (ts, event_type, source) VALUES (?, ?, 's')"
    now = time.time()
    conn.executemany(insert, [(now - days * 86400, f"{days}") for days in (400, 8, 6, 1)])
    conn.executemany(insert, [(now - 500 * 86400, "many")] * 12_000)
    conn.commit()
    conn.close()
    assert len(begin("0")) == 12_004
    assert begin("") == ["8", "6", "1"][1:]
    assert begin("soon") == ["6", "1"]
    assert "is no number" in caplog.text
    assert begin("2.5") == ["1"]


def test_a_file_of_the_seeds_own_module_is_completed(collect: MakeCollector, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    conn = sqlite3.connect(old)
    conn.executescript(
        "CREATE TABLE dds_feedback (id INTEGER PRIMARY KEY AUTOINCREMENT, ts REAL NOT NULL, ts_mono REAL NOT NULL, "
        "seq INTEGER, funcode INTEGER NOT NULL, angle0 REAL, angle1 REAL, angle2 REAL, angle3 REAL, angle4 REAL, "
        "angle5 REAL, angle6 REAL, power_status INTEGER, enable_status INTEGER, error_status INTEGER, "
        "recv_status INTEGER, exec_status INTEGER);"
        "INSERT INTO dds_feedback (ts, ts_mono, seq, funcode, angle0) VALUES (1e10, 1, 1, 1, 5.0);"
    )
    conn.close()
    tc = collect(old)
    tc.log_feedback(2, 1, {"angle0": 6.0}, None, address=2)
    assert tc.stop()
    assert [(r["seq"], r["angle0"], r["address"]) for r in rows(old, "dds_feedback")] == [(1, 5.0, None), (2, 6.0, 2)]


def test_init_db_makes_the_folder_and_is_in_wal_mode(path: Path) -> None:
    conn = init_db(str(path))
    assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    conn.close()
    init_db(path).close()
    assert counts(path) == dict.fromkeys(TABLES, 0)


def test_one_collector_a_process_started_by_the_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "_collector", None)
    found: list[TelemetryCollector] = []
    threads = [threading.Thread(target=lambda: found.append(get_collector())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(tc) for tc in found}) == 1
    found[0].log_system_event("e", "s")
    monkeypatch.chdir("/")
    assert found[0].stop()
    assert counts(tmp_path / "data/telemetry.db")["system_events"] == 1


def test_every_nth() -> None:
    due = every_nth(5)
    assert [n for n in range(1, 21) if due()] == [5, 10, 15, 20]
    with pytest.raises(ValueError, match="at least 1"):
        every_nth(0)


def test_a_child_after_a_fork_writes_its_own(collect: MakeCollector, path: Path) -> None:
    tc = collect(path, flush_interval_s=60.0)
    for n in range(10):
        tc.log_system_event("parent", "s", str(n))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for n in range(10):
                tc.log_system_event("child", "s", str(n))
            code = 0 if tc.stop() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert tc.stop()
    found = [row["event_type"] for row in rows(path, "system_events")]
    assert (found.count("parent"), found.count("child")) == (10, 10)
