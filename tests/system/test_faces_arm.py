"""The arm face over HTTP: what an application logs into the rig is what th3cl4w's debug routes show of it."""

import sqlite3
from contextlib import closing

import pytest
from faces import running

from common.telemetry import EventType, TelemetryCollector

SEED = ("dds_commands", "dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events")
ANGLES = {f"angle{n}": float(n) for n in range(7)}


@pytest.fixture(scope="module")
def faces():
    with running("") as faces:
        log(faces)
        yield faces


def log(faces) -> None:
    """What th3cl4w's server, smoother, camera and DDS connection say."""
    collector = TelemetryCollector(bus=faces.rig.run, src="arm-app")
    collector.start()
    collector.emit("web", EventType.CMD_SENT, {"endpoint": "/api/command/set-joint", "params": {"id": 1}}, "cid-1")
    collector.emit("dds", EventType.DDS_PUBLISH, {"seq": 7, "funcode": 1, "data": {"id": 1, "angle": 5.0}}, "cid-1")
    collector.log_feedback(10, 1, ANGLES, None, address=2)
    collector.log_feedback(7, 1, None, {"recv_status": 1}, address=3, correlation_id="cid-1")
    collector.log_smoother_tick([{"joint_id": 1, "target": 5.0, "current": 1.0, "sent": 2.0}])
    collector.log_camera_health("cam0", {"actual_fps": 14.5, "connected": True})
    collector.log_system_event("estop", "web", "pressed", {"who": "page"}, level="error")
    collector.log_system_event("connect", "dds", "there")
    collector.emit("system", EventType.STATE_UPDATE, {"armed": True})
    assert collector.flush()
    assert collector.stop()
    wanted = dict.fromkeys(SEED, 1) | {"dds_feedback": 2, "system_events": 3}
    faces.rig.until(
        lambda: all(len(faces.get("/api/debug/query", table=t)) >= n for t, n in wanted.items()), "all of it is stored"
    )


def test_a_tables_rows_are_those_of_the_database(faces):
    for table in SEED:
        found = faces.get("/api/debug/query", table=table, limit=3)
        if table == "web_requests":
            found = [row for row in found if row["stream_id"]]  # asking for it adds to it
        with closing(sqlite3.connect(f"file:{faces.rig.db}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            stored = {row["id"]: dict(row) for row in db.execute(f"SELECT * FROM {table}")}
        assert found, table
        assert all(stored[row["id"]] == row for row in found), table
        assert [row["id"] for row in found] == sorted(row["id"] for row in found)
        assert len(faces.get("/api/debug/query", table=table, limit=1)) == 1


def test_our_own_tables_can_be_asked_too_bytes_by_their_number(faces):
    for table in ("streams", "health", "ledger", "sample_chunks", "pulses", "rollups", "quarantine", "output_cursors"):
        assert isinstance(faces.get("/api/debug/query", table=table), list)
    assert faces.get("/api/debug/query", table="streams")[0]["node"] == "rig"


@pytest.mark.parametrize(
    "table",
    ["sqlite_master", "sqlite_schema", "pragma_table_info", "dds_commands; DROP TABLE pulses", "dds_commands--",
     "(SELECT 1)", "DDS_COMMANDS", "", " dds_commands", "../rigbus", "a\x00b", "unset_rows"],
)  # fmt: skip
def test_any_other_table_is_a_400(faces, table):
    error = faces.get("/api/debug/query", 400, table=table)["error"]
    assert "dds_commands" in error


def test_wrong_limits_are_a_422(faces):
    for limit in ("0", "-1", "10001", "1e3", "x", "", "9" * 400, "1;2", "nan"):
        faces.get("/api/debug/query", 422, table="dds_commands", limit=limit)
        faces.get("/api/debug/events", 422, limit=limit)
    faces.get("/api/debug/query", 422)
    faces.get("/api/debug/pipeline", 422)
    faces.get("/api/debug/events", 422, source="x" * 201)


def test_events_are_what_the_collector_gives(faces):
    found = faces.get("/api/debug/events", limit=1000)
    keys = {"timestamp_ms", "wall_time_ms", "source", "event_type", "payload", "correlation_id"}
    assert all(set(event) == keys for event in found)
    assert [event["wall_time_ms"] for event in found] == sorted(event["wall_time_ms"] for event in found)
    told = {(event["source"], event["event_type"]) for event in found}
    assert {("web", "cmd_sent"), ("dds", "dds_publish"), ("dds", "dds_receive"), ("camera", "cam_frame")} <= told
    assert {("web", "error"), ("dds", "state_update"), ("system", "state_update")} <= told
    assert "smoother" not in {event["source"] for event in found}
    (command,) = faces.get("/api/debug/events", event_type="dds_publish")
    assert command["correlation_id"] == "cid-1"
    assert command["payload"]["data"] == {"id": 1, "angle": 5.0}
    angles = [e["payload"]["angles"] for e in faces.get("/api/debug/events", event_type="dds_receive")]
    assert ANGLES in angles


def test_events_by_type_and_source(faces):
    def asked(**what):
        return {(e["source"], e["event_type"]) for e in faces.get("/api/debug/events", limit=1000, **what)}

    assert asked(event_type="error") == {("web", "error")}
    assert asked(event_type="state_update") == {("dds", "state_update"), ("system", "state_update")}
    assert asked(source="smoother") == {("smoother", "state_update")}
    assert asked(source="camera") == {("camera", "cam_frame")}
    assert asked(source="dds") == {("dds", "dds_publish"), ("dds", "dds_receive"), ("dds", "state_update")}
    assert asked(source="dds", event_type="state_update") == {("dds", "state_update")}
    assert asked(source="nobody") == asked(event_type="ws_send") == set()
    assert len(faces.get("/api/debug/events", limit=2)) == 2
    assert "cmd_sent" in faces.get("/api/debug/events", 400, event_type="' OR 1=1")["error"]
    # the address that the old page asks
    assert [e["event_type"] for e in faces.get("/api/debug/telemetry", event_type="dds_publish")] == ["dds_publish"]


def test_a_pipeline_is_one_correlation_with_the_time_between(faces):
    found = faces.get("/api/debug/pipeline/cid-1")
    assert [stage["event"]["type"] for stage in found] == ["cmd_sent", "dds_publish", "dds_receive"]
    assert all(set(stage["event"]) == {"ts", "type", "source"} for stage in found)
    assert found[0]["latency_ms"] == 0
    assert all(stage["latency_ms"] >= 0 for stage in found)
    same = faces.get("/api/debug/pipeline", correlation_id="cid-1")
    assert [stage["latency_ms"] for stage in same] == [stage["latency_ms"] for stage in found]
    assert faces.get("/api/debug/pipeline/nobody") == []


def test_stats_have_the_old_keys(faces):
    found = faces.get("/api/debug/stats")
    assert {"total_events", "rates_per_sec", "staleness_ms", "avg_pipeline_latency_ms", "active_correlations"} <= set(
        found
    )
    assert set(found["rates_per_sec"]) == {kind.value for kind in EventType}
    assert found["total_events"] >= 8
    assert 0 <= found["staleness_ms"] < 600_000
