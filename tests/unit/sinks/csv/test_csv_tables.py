"""Daily files: columns, days, sizes, gzip, age, text that is safe in spreadsheets; thermostats; the pump ledger."""

import csv
import gzip
import io
import time
from typing import Any

import csv_oracle as oracle
import pytest

from common import frames
from common.sinks.csv import thermostat

T = 1_772_366_400_000_000_000  # 2026-03-01T12:00:00Z
S = 10**9
DAY_NS = 86_400 * S
LEDGER = "pump_telemetry.csv"
SEED = "Time,Component,Action,Direction,Amount (mL),Duration (s),Frequency (Hz)"


def read(rig: Any, path: str) -> list[dict[str, str]]:
    return list(oracle.records(rig.root / path))


def event(rig: Any, detail: str, t: int = T) -> None:
    rig.put("app", frames.Event, event_type="note", source="test", detail=detail, t=t)


# ---- tables


def test_time_and_the_tables_columns(rig: Any) -> None:
    rig.pulses(T + 123_456_789, n=2)
    rig.run()
    assert rig.text("pulses/2026-03-01.csv") == (
        "time,t_ns,channel,total,frame_seq\n"
        "2026-03-01T12:00:00.123456+00:00,1772366400123456789,import,1,1\n"
        "2026-03-01T12:00:00.124456+00:00,1772366400124456789,import,2,1\n"
    )


def test_every_table_has_a_folder(rig: Any) -> None:
    rig.pulses()
    event(rig, "x")
    rig.put("arm", frames.ArmCommand, funcode=1, data={"a": 1})
    rig.put("arm", frames.ArmFeedback, funcode=1, data=None, angles=[1.0, 2.0])
    rig.put("arm", frames.Smoother, joint_id=1, target=1.0, current=0.5, sent=0.6)
    rig.put("app", frames.WebRequest, endpoint="/a")
    rig.put("app", frames.Camera, camera_id="c")
    rig.put("pump", frames.Pump, pump="water", event="estop", action="estop", direction="", command_id="")
    rig.put("pulse", frames.Loss, stream="pulse/import/", unit="edge", count=None, cause="killed", from_t=T, to_t=T)
    late = frames.Lateness(p50=1.0, p99=2.0, p999=3.0, max=4.0)
    rig.store.health(frames.Health(
        node="rig1", src="pulse", run="0" * 16, t=T, mono=T, last_seq=1, closed=False, boot_id="b", journal_id="j",
        ctl="c", pid=9, cpu_pct=1.0, rss_bytes=1, rates={}, lateness_us=late, missed_ticks=0,
        journal=frames.JournalHealth(frames=0, bytes=0, oldest=0),
    ))  # fmt: skip
    rig.pulses()
    rig.run()
    folders = ("arm_commands", "arm_feedback", "cameras", "events", "health", "losses", "pulses", "pump_events")
    folders += ("smoother", "web_requests")
    assert [name for name in rig.names() if "/" in name] == [f"{folder}/2026-03-01.csv" for folder in folders]
    assert read(rig, "losses/2026-03-01.csv")[0]["count"] == ""
    assert [read(rig, f"{folder}/2026-03-01.csv")[0]["src"] for folder in ("losses", "health")] == ["pulse"] * 2
    for folder in folders:
        first = read(rig, f"{folder}/2026-03-01.csv")[0]
        assert next(iter(first)) == "time"
        assert first["time"].startswith("2026-03-01T12:00:00.0")
        assert "frame_seq" in first


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_text_is_no_formula(rig: Any, text: str) -> None:
    event(rig, text)
    event(rig, f"fine {text}")
    rig.run()
    with (rig.root / "events/2026-03-01.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["detail"] for row in rows] == [f"'{text}", f"fine {text}"]


def test_negative_numbers_stay_numbers(rig: Any) -> None:
    rig.put("arm", frames.Smoother, joint_id=-1, target=-1.5, current=-0.5, sent=0.6)
    rig.run()
    row = read(rig, "smoother/2026-03-01.csv")[0]
    assert (row["joint_id"], row["target"]) == ("-1", "-1.5")


def test_text_is_quoted(rig: Any) -> None:
    text = 'a "b", c\nd ünï'
    event(rig, text)
    rig.run()
    with (rig.root / "events/2026-03-01.csv").open(newline="", encoding="utf-8") as f:
        assert next(csv.DictReader(f))["detail"] == text


def test_a_new_file_each_day_and_after_so_many_bytes(make_rig: Any) -> None:
    rig = make_rig(max_mb=0.01, gzip=False)
    for t in (T, T + DAY_NS):
        for i in range(30):
            rig.pulses(t + i * S)
        rig.run()
    names = rig.names("pulses")
    assert {"pulses/2026-03-01-2.csv", "pulses/2026-03-01.csv"} < set(names)
    assert {"pulses/2026-03-02-2.csv", "pulses/2026-03-02.csv"} < set(names)
    assert all((rig.root / name).stat().st_size < 14_000 for name in rig.names("pulses"))
    assert oracle.differences(rig.root, rig.db, "pulses") == {}


def test_closed_files_are_packed_after_the_commit_that_closed_them(make_rig: Any) -> None:
    rig = make_rig(max_mb=0.01)
    for i in range(30):
        rig.pulses(T + i * S)
    rig.start()
    rig.write()
    assert rig.names("pulses") == ["pulses/2026-03-01-2.csv", "pulses/2026-03-01.csv"]
    rig.run(3)
    assert rig.names("pulses") == ["pulses/2026-03-01-2.csv", "pulses/2026-03-01.csv.gz"]
    known = rig.rows("SELECT path, closed FROM output_files WHERE path LIKE 'pulses/%' ORDER BY path")
    assert known == [("pulses/2026-03-01-2.csv", 0), ("pulses/2026-03-01.csv.gz", 1)]
    assert oracle.differences(rig.root, rig.db, "pulses") == {}
    rig.start()
    for i in range(40):
        rig.pulses(T + i * S)
    rig.run(5)
    assert oracle.differences(rig.root, rig.db, "pulses") == {}


@pytest.mark.parametrize("at", ["half-made", "before the unlink", "before the commit"])
def test_a_kill_while_a_file_is_packed(make_rig: Any, at: str) -> None:
    rig = make_rig(max_mb=0.01, gzip=False)
    for i in range(30):
        rig.pulses(T + i * S)
    rig.run()
    plain = rig.root / "pulses/2026-03-01.csv"
    packed = gzip.compress(plain.read_bytes())
    if at == "half-made":
        plain.with_name("2026-03-01.csv.gz.tmp").write_bytes(packed[:100])
    else:
        plain.with_name("2026-03-01.csv.gz").write_bytes(packed)
    if at == "before the commit":
        plain.unlink()
    rig.configure(max_mb=0.01, gzip=True)
    rig.start()
    rig.run(3)
    assert rig.names("pulses") == ["pulses/2026-03-01-2.csv", "pulses/2026-03-01.csv.gz"]
    assert oracle.differences(rig.root, rig.db, "pulses") == {}
    assert rig.rows("SELECT count(*) FROM output_files WHERE path LIKE 'pulses/%'") == [(2,)]


def test_files_go_after_so_many_days(make_rig: Any) -> None:
    rig = make_rig(keep_days=2.0, gzip=False)
    today = time.time_ns() // DAY_NS * DAY_NS
    for days in range(6, -1, -1):
        rig.pulses(today - days * DAY_NS)
    rig.start()
    rig.write()
    for file in rig.output._parts["pulses"].tree.open.values():
        file.used_s -= 100.0  # nothing came for them for long
    rig.commit()
    rig.run(2)
    rig.start()
    rig.run(2)
    assert len(rig.names("pulses")) == 3
    assert rig.rows("SELECT count(*) FROM output_files WHERE path LIKE 'pulses/%'") == [(3,)]


# ---- thermostats


def poll(rig: Any, *readings: dict[str, Any], t: int = T, device: str = "bath") -> None:
    rig.put("thermostat", frames.Thermostat, device=device, readings=list(readings), dialect="new", t=t)


def test_one_row_a_poll_in_the_seeds_columns(rig: Any) -> None:
    poll(
        rig, {"channel": 0, "i_tec": 1.514, "pid_engaged": True, "interval": 0.1},
        {"channel": 1, "temperature": 31.99, "i_tec": 1.553, "pid_engaged": False, "sens": 1 / 3},
        t=T + 877_487_000,
    )  # fmt: skip
    rig.run()
    head, row = rig.text("thermostat/bath/2026-03-01.csv").splitlines()
    assert head.startswith("time,ts,temperature_ch0,temperature_ch1,i_tec_ch0,i_tec_ch1,pid_output_ch0,")
    assert head.endswith(",current_swapped_ch0,current_swapped_ch1,interval_ch0,interval_ch1")
    assert len(head.split(",")) == 2 + 2 * 13
    assert row.startswith("2026-03-01T12:00:00.877487+00:00,1772366400877,,31.99,1.514,1.553,,,")
    cells = dict(zip(head.split(","), row.split(","), strict=True))
    assert (cells["pid_engaged_ch0"], cells["pid_engaged_ch1"]) == ("1", "0")
    assert float(cells["sens_ch1"]) == 1 / 3


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_no_page_ends_within_a_poll(rig: Any, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        channels = [{"channel": c, "temperature": i + c / 10} for c in range(1 if i == 7 else 2)]
        poll(rig, *channels, t=T + i * S, device="bath" if i % 3 else "block")
    consumer = rig.start()
    consumer.feeds = [feed._replace(limit=limit) for feed in consumer.feeds]
    rig.run()
    rows = read(rig, "thermostat/bath/2026-03-01.csv") + read(rig, "thermostat/block/2026-03-01.csv")
    found = sorted((float(row["temperature_ch0"]), row["temperature_ch1"]) for row in rows)
    assert found == [(i, "" if i == 7 else str(i + 0.1)) for i in range(20)]


def test_a_device_with_more_channels_gets_a_wider_file(make_rig: Any) -> None:
    rig = make_rig(gzip=False)
    poll(rig, {"channel": 0, "temperature": 1.0})
    poll(rig, *({"channel": c, "temperature": float(c)} for c in range(6)), t=T + S)
    poll(rig, {"channel": 0, "temperature": 2.0}, t=T + 2 * S)
    rig.run()
    assert len(read(rig, "thermostat/bath/2026-03-01.csv")) == 1
    rows = read(rig, "thermostat/bath/2026-03-01-2.csv") + read(rig, "thermostat/bath/2026-03-01-3.csv")
    assert sorted(float(row[f"temperature_ch{c}"]) for row in rows for c in range(4) if row[f"temperature_ch{c}"]) == [
        0.0, 1.0, 2.0, 2.0, 3.0,
    ]  # fmt: skip
    wide = [row for row in rows if row.get("temperature_ch5")]
    assert [(row["temperature_ch4"], row["temperature_ch5"]) for row in wide] == [("4.0", "5.0")]


def test_a_channel_that_has_no_column_is_refused(rig: Any) -> None:
    poll(rig, {"channel": 0, "temperature": 1.0}, {"temperature": 2.0})
    poll(rig, {"channel": 1, "temperature": 1.0}, t=T + S)
    rig.run()
    assert rig.rows("SELECT table_name, row_id FROM quarantine") == [("thermostat_readings", 1)]
    assert len(read(rig, "thermostat/bath/2026-03-01.csv")) == 1


def test_the_fields_are_those_of_the_table() -> None:
    assert thermostat.header(2).decode().count(",") == 27


# ---- pumps


def run_of(rig: Any, pumps: list[str], action: str, outcome: str, command: str, t: int = T, **more: Any) -> None:
    base = {"action": action, "direction": "forward", "command_id": command}
    planned = {"ml": 10.0, "seconds": 5.0, "hz": 10_000.0, "steps": 50_000}
    if outcome != "refused":
        for name in ("intent", "started"):
            rig.put_all(*(("pump", frames.Pump, {"pump": p, "event": name, "t": t, **base, **planned}) for p in pumps))
    ended = {**base, **more}
    rig.put_all(*(("pump", frames.Pump, {"pump": p, "event": outcome, "t": t + 5 * S, **ended}) for p in pumps))


def test_one_row_a_run_with_what_was_delivered(rig: Any) -> None:
    run_of(rig, ["water"], "dispense", "done", "a-1", ml=10.0, seconds=5.02, hz=10_000.0, steps=50_000)
    run_of(rig, ["water"], "prime", "stopped", "a-2", ml=1.25, seconds=0.6, hz=1e4, steps=6250, reason="estop")
    run_of(rig, ["food"], "prime", "refused", "-3", t=T + S, ml=99.0, seconds=3.0, hz=3e4, reason="busy: =1")
    run_of(rig, ["food", "water_pump"], "prime", "done", "m", seconds=2.0, hz=1e4, steps=20_000)
    rig.put("pump", frames.Pump, pump="food", event="estop", action="estop", direction="", command_id="")
    rig.run()
    at, later = "2026-03-01T12:00:00.000000+00:00", "2026-03-01T12:00:06.000000+00:00"
    assert rig.text(LEDGER).splitlines() == [
        f"{SEED},Outcome,Reason,Steps,Command",
        f"{at},water_pump,Dispense Volume,forward,10,5.02,10000,done,,50000,a-1",
        f"{at},water_pump,Manual Prime,forward,1.25,0.6,10000,stopped,estop,6250,a-2",
        f"{later},food_pump,Manual Prime,forward,0,0,30000,refused,busy: =1,0,'-3",
        f"{at},food_pump,Manual Prime (Multi),forward,,2,10000,done,,20000,m",
        f"{at},water_pump,Manual Prime (Multi),forward,,2,10000,done,,20000,m",
    ]
    assert len(read(rig, "pump_events/2026-03-01.csv")) == len(rig.rows("SELECT id FROM pump_events"))


def test_an_outcome_that_is_told_twice_stands_once(rig: Any) -> None:
    told = {"ml": 1.0, "seconds": 1.0, "hz": 1.0, "steps": 1}
    run_of(rig, ["water"], "dispense", "done", "a", **told)
    rig.run()
    rig.put(
        "pump", frames.Pump, pump="water", event="done", action="dispense", direction="forward", command_id="a", **told
    )
    rig.run()
    assert len(read(rig, LEDGER)) == 1


@pytest.mark.parametrize("boot", ["this", "another"])
def test_the_ledger_survives_kills_and_boots(rig: Any, boot: str) -> None:
    for i in range(6):
        run_of(rig, ["water"], "dispense", "done", f"c{i}", ml=1.0, seconds=1.0, hz=1.0, steps=1)
        if i == 0:
            rig.start()
        rig.write()
        if i % 2:
            rig.commit()
        if i == 3 and boot == "another":
            rig.set("UPDATE output_files SET boot_id = 'another'")
        rig.start()
    rig.run()
    assert [row["Command"] for row in read(rig, LEDGER)] == [f"c{i}" for i in range(6)]
    assert not [name for name in rig.names() if name.endswith(".orphan")]


def test_the_seeds_ledger_stays_as_it_is_beside_ours(rig: Any) -> None:
    rig.root.mkdir()
    (rig.root / LEDGER).write_text(f"{SEED}\r\n2026-01-01T00:00:00+00:00,water_pump,Manual Prime,forward,,2,10000\r\n")
    run_of(rig, ["water"], "dispense", "done", "a", ml=1.0, seconds=1.0, hz=1.0, steps=1)
    rig.run()
    assert rig.text("pump_telemetry-1.csv").startswith(f"{SEED}\r\n2026-01-01")
    assert len(read(rig, LEDGER)) == 1
    rig.start()
    rig.run()
    assert rig.names() == ["pump_events/2026-03-01.csv", "pump_telemetry-1.csv", LEDGER]


def test_a_new_store_goes_on_with_the_ledger_and_doubles_no_run(rig: Any) -> None:
    run_of(rig, ["water"], "dispense", "done", "a", ml=1.0, seconds=1.0, hz=1.0, steps=1)
    rig.run()
    rig.kill()
    rig.store.close()
    for path in rig.data.glob("rigbus.db*"):
        path.unlink()
    rig.store = type(rig.store).open(rig.db)
    rig.seqs = {}
    for command in ("a", "b"):  # the first is told again from the journal
        run_of(rig, ["water"], "dispense", "done", command, ml=1.0, seconds=1.0, hz=1.0, steps=1)
    rig.start()
    rig.run()
    assert [row["Command"] for row in read(rig, LEDGER)] == ["a", "b"]


def test_the_ledger_may_lie_elsewhere(make_rig: Any, tmp_path: Any) -> None:
    rig = make_rig(pump_ledger=str(tmp_path / "mine" / "pumps.csv"))
    run_of(rig, ["water"], "dispense", "done", "a", ml=1.0, seconds=1.0, hz=1.0, steps=1)
    rig.run()
    rig.start()
    rig.run()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "mine" / "pumps.csv").read_text())))
    assert [row["Command"] for row in rows] == ["a"]
