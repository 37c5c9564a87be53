"""Every kind of the wire has its rows, and keeps what it says."""

import json
import math
from typing import Any

import pytest

from common import frames, topics
from common.store.writer import Store

T = 1_760_000_000_000_000_000


def stored(store: Store, rows: Any, table: str, item: Any) -> list[dict[str, Any]]:
    """The rows that one frame leaves in a table, by column, without id."""
    store.commit([item])
    names = [row[1] for row in rows(f"PRAGMA table_info({table})")]
    return [dict(zip(names[1:], row[1:], strict=True)) for row in rows(f"SELECT * FROM {table} ORDER BY id")]


def test_a_thermostat_poll_is_a_row_a_channel(store: Store, maker: Any, rows: Any) -> None:
    readings = [
        {"channel": 0, "temperature": 25.0, "i_tec": None, "pid_engaged": True, "time": 12.5, "interval": 0.1},
        {"channel": 1, "temperature": math.nan, "adc": "odd", "vref": 1.5},
    ]
    first, second = stored(
        store,
        rows,
        "thermostat_readings",
        maker.take(frames.Thermostat, device="t1", readings=readings, dialect="swap", t=T),
    )
    expected = {"t_ns": T, "device": "t1", "channel": 0, "temperature": 25.0, "i_tec": None, "pid_engaged": 1}
    expected |= {"device_time_s": 12.5, "interval": 0.1, "dialect": "swap", "extra_json": None, "frame_seq": 1}
    assert expected.items() <= first.items()
    assert (second["channel"], second["temperature"], second["adc"]) == (1, None, None)
    assert json.loads(second["extra_json"]) == {"adc": "odd", "vref": 1.5}


def test_pump_events(store: Store, maker: Any, rows: Any) -> None:
    item = maker.take(
        frames.Pump, pump="water", event="done", action="dispense", direction="forward", command_id="c1", ml=2.5, t=T
    )
    (row,) = stored(store, rows, "pump_events", item)
    expected = {"t_ns": T, "pump": "water", "event": "done", "action": "dispense", "direction": "forward", "ml": 2.5}
    expected |= {"seconds": None, "hz": None, "steps": None, "command_id": "c1", "reason": None, "stream_id": 1}
    assert row == {**expected, "frame_seq": 1, "t_orig_ns": None}


def test_arm_commands(store: Store, maker: Any, rows: Any) -> None:
    data = {"id": 3, "angle": 12.5}
    item = maker.take(
        frames.ArmCommand,
        funcode=1,
        data=data,
        address=1,
        arm_seq=4,
        joint_id=3,
        target_value=12.5,
        raw_len=70,
        t=T,
        mono=5,
    )
    (row,) = stored(store, rows, "dds_commands", item)
    expected = {"ts": T / 1e9, "ts_mono": 5e-9, "seq": 4, "funcode": 1, "joint_id": 3, "target_value": 12.5}
    expected |= {"data_json": '{"id":3,"angle":12.5}', "correlation_id": None, "raw_len": 70, "address": 1}
    assert row == {**expected, "stream_id": 1, "frame_seq": 1, "t_orig_ns": None}


def test_angles_of_the_servos_have_no_address(store: Store, maker: Any, rows: Any) -> None:
    item = maker.take(frames.ArmFeedback, funcode=1, data={}, angles=[1.0, 2.0, None, 4.0])
    (row,) = stored(store, rows, "dds_feedback", item)
    assert (row["funcode"], row["arm_funcode"], row["address"]) == (1, 1, None)
    assert [row[f"angle{i}"] for i in range(7)] == [1.0, 2.0, None, 4.0, None, None, None]


@pytest.mark.parametrize(
    ("own", "name", "other"), [(1, "recv_status", "exec_status"), (2, "exec_status", "recv_status")]
)
def test_acks_stand_apart_from_angles(store: Store, maker: Any, rows: Any, own: int, name: str, other: str) -> None:
    item = maker.take(frames.ArmFeedback, funcode=own, address=3, data={name: 1}, status={name: 1}, arm_seq=8)
    (row,) = stored(store, rows, "dds_feedback", item)
    assert (row["funcode"], row["arm_funcode"], row["address"], row["seq"]) == (100 + own, own, 3, 8)
    assert (row[name], row[other]) == (1, None)


def test_a_status_that_is_no_number_stays_in_the_data(store: Store, maker: Any, rows: Any) -> None:
    data = {"power_status": {"odd": 1}, "enable_status": 1}
    item = maker.take(frames.ArmFeedback, funcode=3, address=2, data=data, status=data)
    (row,) = stored(store, rows, "dds_feedback", item)
    assert (row["power_status"], row["enable_status"], json.loads(row["data_json"])) == (None, 1, data)


PLAIN = [
    (
        frames.Smoother,
        "smoother_state",
        {"joint_id": 2, "target": 1.0, "current": 0.5, "sent": 0.75, "step_size": 0.25},
    ),
    (frames.WebRequest, "web_requests", {"endpoint": "/api", "params_json": "{}", "response_ms": 1.5, "ok": 1}),
    (frames.Camera, "camera_health", {"camera_id": "c", "actual_fps": 29.5, "drop_count": 3, "connected": 1}),
    (frames.Event, "system_events", {"event_type": "estop", "source": "web", "detail": "d", "level": "error"}),
]


@pytest.mark.parametrize(("kind", "table", "fields"), PLAIN)
def test_the_seeds_other_tables(
    store: Store, maker: Any, rows: Any, kind: type[frames.Frame], table: str, fields: dict[str, Any]
) -> None:
    (row,) = stored(store, rows, table, maker.take(kind, t=T, **fields))
    assert {"ts": T / 1e9, "stream_id": 1, "frame_seq": 1, **fields}.items() <= row.items()


def test_every_kind_of_the_wire_can_be_stored(store: Store, maker: Any, rows: Any) -> None:
    loss = {"stream": "x/", "unit": "poll", "count": 1, "cause": "c", "from_t": 0, "to_t": 0}
    items = [
        *(maker.pulse(), maker.samples(), maker.take(frames.Loss, **loss)),
        maker.take(frames.Thermostat, device="t", readings=[{}], dialect="old"),
        maker.take(frames.Pump, pump="p", event="intent", action="a", direction="f", command_id="c"),
        *(maker.take(kind, funcode=1, data=None) for kind in (frames.ArmCommand, frames.ArmFeedback)),
        *(maker.take(kind, **fields) for kind, _, fields in PLAIN),
    ]
    numbered = {row.frame for row in topics.TOPICS.values()} - {frames.Health}
    assert {type(item.frame) for item in items} == numbered
    store.commit(items)
    assert rows("SELECT stored, no_rows FROM streams") == [(len(items), 0)]
    assert rows("SELECT count(*) FROM quarantine") == [(0,)]
