"""How names of what is recorded are tried: files, folders, columns of CSV files, tables of databases, points."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import tries_configuration
from migrating_bench import Bench
from migrating_rows import ROOT, Row

from common.config.dotenv import KEYS, file_of, read
from common.sinks import outputs
from common.sinks.influx import kinds
from common.store.query import TelemetryQuery as StoreQuery
from common.store.wide_csv import wide_rows
from common.telemetry import TelemetryCollector, TelemetryQuery, init_db

# ---- files and folders


def _env(bench: Bench) -> None:
    config = bench.folder / "rigbus.toml"
    (bench.folder / ".env").write_text("INFLUX_ORG=mine\n")
    assert file_of(config) == bench.folder / ".env"


def _env_example(bench: Bench) -> None:
    assert set(KEYS) - {"TELEMETRY_RETENTION_DAYS"} | {"INFLUX_TOKEN"} <= set(read(ROOT / ".env.example"))


def _readings(bench: Bench) -> None:
    assert (bench.rig.csv / "readings").is_dir()


def _readings_tree(bench: Bench) -> None:
    assert list(
        (bench.rig.csv / "readings").glob("[0-9]" * 4 + "/[0-9][0-9]/Week_[1-5]/[0-9][0-9]/" + "[0-9]" * 6 + ".csv")
    )


def _aggregate(bench: Bench) -> None:
    bench.rig.until(lambda: (bench.rig.csv / "readings/aggregate_data.csv").stat().st_size > 1000, "it has samples")


def _pump_ledger(bench: Bench) -> None:
    assert len(bench.rig.ledger) >= 4


def _telemetry_db(bench: Bench) -> None:
    """The old file goes on: what was in it stays, what comes is added, and any query finds both."""
    before = bench.asked(bench.telemetry, "SELECT count(*) FROM system_events")[0][0]
    collector = TelemetryCollector(bench.telemetry, bus="")  # not started: it would delete what is over 7 days old
    collector.stop()
    init_db(bench.telemetry).close()
    with closing(sqlite3.connect(bench.telemetry)) as conn, conn:
        conn.execute("INSERT INTO system_events (ts, event_type, source) VALUES (1, 'x', 'y')")
    with TelemetryQuery(bench.telemetry) as query:
        assert len(query.get_events()) == before + 1


def _export_folder(bench: Bench) -> None:
    data = bench.folder / "data"
    init_db(data / "telemetry.db").close()
    assert bench.rigbus("query", "--db", str(data / "telemetry.db"), "export").code == 0
    assert (data / "export/dds_commands.csv").exists()


FILES: dict[str, Callable[[Bench], None]] = {
    ".env": _env, ".env.example": _env_example, "readings/": _readings, "pump_telemetry.csv": _pump_ledger,
    "readings/YYYY/MM/Week_N/DD/HHMMSS.csv": _readings_tree, "readings/aggregate_data.csv": _aggregate,
    "data/telemetry.db": _telemetry_db, "data/export/": _export_folder,
}  # fmt: skip


def file(row: Row, bench: Bench) -> None:
    FILES[row.name](bench)


def csv_column(row: Row, bench: Bench) -> None:
    """In what the rig has written, at its old place among the old columns."""
    if row.program == "Pump telemetry":
        old = ["Time", "Component", "Action", "Direction", "Amount (mL)", "Duration (s)", "Frequency (Hz)"]
        header = list(bench.rig.ledger[0])
    else:
        old = ["Time (ms)", "Acceleration"]
        newest = next((bench.rig.csv / "readings").glob("*/*/*/*/*.csv"))
        header = newest.read_text().splitlines()[0].split(",")
    assert row.name in old
    assert header.index(row.name) == old.index(row.name)


# ---- databases


def table(row: Row, bench: Bench) -> None:
    for file in bench.databases:
        assert bench.asked(file, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?", row.name)


def column(row: Row, bench: Bench) -> None:
    """With the type of the old table, and its NOT NULL and default."""
    owner, _, name = row.name.partition(".")
    sql = f"SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{owner}') WHERE name = ?"
    old = bench.asked(bench.telemetry, sql, name)
    assert old
    for file in bench.databases:
        assert bench.asked(file, sql, name) == old


def index(row: Row, bench: Bench) -> None:
    """On the same columns."""
    sql = "SELECT tbl_name, i.name FROM sqlite_schema s, pragma_index_info(s.name) i WHERE s.name = ? ORDER BY seqno"
    old = bench.asked(bench.telemetry, sql, row.name)
    assert old
    for file in bench.databases:
        assert bench.asked(file, sql, row.name) == old


def database_setting(row: Row, bench: Bench) -> None:
    pragma, _, value = row.name.removeprefix("PRAGMA ").partition("=")
    with closing(init_db(bench.folder / "new.db")) as conn:
        [(found,)] = conn.execute(f"PRAGMA {pragma}").fetchall()
    assert str(found).upper() in (value, {"NORMAL": "1"}.get(value))


# ---- what a program says, as rows


def _recorded(bench: Bench, log: Callable[[TelemetryCollector], Any], sql: str, *values: Any) -> list[tuple[Any, ...]]:
    file = bench.folder / "said.db"
    collector = TelemetryCollector(file, bus="")
    collector.start()
    log(collector)
    assert collector.stop()
    return bench.asked(file, sql, *values)


def funcode(row: Row, bench: Bench) -> None:
    code = int(row.name)
    rows = _recorded(bench, lambda c: c.log_command(1, code, None, None, None), "SELECT funcode FROM dds_commands")
    assert rows == [(code,)]
    config = bench.rigbus("query", "--db", str(bench.folder / "said.db"), "commands", "--funcode", row.name)
    assert len(config.out.splitlines()) == 2


def feedback_funcode(row: Row, bench: Bench) -> None:
    code = int(row.name)
    rows = _recorded(bench, lambda c: c.log_feedback(1, code, None, None), "SELECT funcode FROM dds_feedback")
    assert rows == [(code,)]


def event(row: Row, bench: Bench) -> None:
    sql = "SELECT event_type FROM system_events"
    assert _recorded(bench, lambda c: c.log_system_event(row.name, "web"), sql) == [(row.name,)]


def event_source(row: Row, bench: Bench) -> None:
    sql = "SELECT source FROM system_events"
    assert _recorded(bench, lambda c: c.log_system_event("x", row.name), sql) == [(row.name,)]


def level(row: Row, bench: Bench) -> None:
    sql = "SELECT level FROM system_events"
    assert _recorded(bench, lambda c: c.log_system_event("x", "web", level=row.name), sql) == [(row.name,)]
    if row.now == "the default":
        bench.folder.joinpath("said.db").unlink()
        assert _recorded(bench, lambda c: c.log_system_event("x", "web"), sql) == [(row.name,)]


# ---- points


class Point:
    """One line of line protocol that has nothing to escape."""

    def __init__(self, line: str) -> None:
        head, fields, _ = line.strip().rsplit(" ", 2)
        self.measurement, *tags = head.split(",")
        self.tags = dict(tag.split("=") for tag in tags)
        self.fields = dict(field.split("=") for field in fields.split(","))


def _points(bench: Bench) -> Iterator[Point]:
    """A pulse of each channel of the shipped configuration, and its sums, as the output sends them."""
    config = bench.shipped.config
    assert config.pulse is not None
    measurement = config.sink.influx.measurement
    for channel in config.pulse.channel:
        yield Point(kinds.Pulses(measurement).body([(1, 10**18, channel.name)]).decode())
        sums = [(1, window, f"pulse/{channel.name}", 0, 5, 5, 1, 5, 5) for window in (60, 300, 3600)]
        yield from (Point(line) for _, _, line in kinds.rollups(sums, measurement, samples=True))


def measurement(row: Row, bench: Bench) -> None:
    found = {point.measurement for point in _points(bench)}
    names = {row.name, *(name for name in row.now.split("`") if name.startswith("PowerPulse"))}
    assert names <= found


def tag(row: Row, bench: Bench) -> None:
    assert any(row.name in point.tags for point in _points(bench))


def tag_value(row: Row, bench: Bench) -> None:
    assert row.name in {point.tags["PulseType"] for point in _points(bench)}


def field(row: Row, bench: Bench) -> None:
    found = {point.fields[row.name] for point in _points(bench) if row.name in point.fields}
    assert found == {"1i"} if row.key == "1i" else {value[-1] for value in found} == {"i"}


# ---- behaviour that is a figure, or a promise


def _queue_log(bench: Bench) -> None:
    assert outputs.QUEUE_LOG_S == 5


def _two_hours(bench: Bench) -> None:
    csv = bench.shipped.config.sink.csv
    assert csv.max_files * csv.file_s == 2 * 3600


def _empty_cell(bench: Bench) -> None:
    """A reading of a channel that has no thermistor, as /data.csv streams it."""
    store = bench.databases[0]
    with closing(sqlite3.connect(store)) as conn, conn:
        columns = "t_ns, device, channel, temperature, i_tec, dialect, stream_id, frame_seq"
        readings = [(10**18, "bench", channel, None, 1.5, "new", 1, 1) for channel in (0, 1)]
        conn.executemany(f"INSERT INTO thermostat_readings ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", readings)
    with StoreQuery(store) as query:
        header, row = b"".join(wide_rows(query, "bench")).decode().splitlines()
    told = dict(zip(header.split(","), row.split(","), strict=True))
    assert (told["temperature_ch1"], told["i_tec_ch1"]) == ("", "1.5")


def _only_read(bench: Bench) -> None:
    """On a file of a program that was killed, whose -wal is left, too."""
    with closing(sqlite3.connect(bench.telemetry)) as conn:
        conn.execute("INSERT INTO system_events (ts, event_type, source) VALUES (1, 'x', 'y')")
        conn.commit()
        _unchanged(bench.telemetry)
    _unchanged(bench.telemetry)


def _unchanged(file: Path) -> None:
    before = file.read_bytes(), file.stat().st_mtime_ns
    for query_type in (TelemetryQuery, StoreQuery):
        with query_type(file) as query:
            assert query.get_events(event_type="x")
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


BEHAVIOURS: dict[str, Callable[[Bench], None]] = {
    "queue size every `5` seconds": _queue_log, "2 hours of data": _two_hours, "empty cell": _empty_cell,
    "`sqlite3.connect(db_path, uri=True)` with `?mode=ro`": _only_read,
    "`DELETE FROM <table> WHERE ts < ?` at start": tries_configuration.behaviour_of_retention,
}  # fmt: skip


def behaviour(row: Row, bench: Bench) -> None:
    BEHAVIOURS[row.old](bench)


TRIES = {
    "file": file, "folder": file, "CSV column": csv_column, "table": table, "column": column, "index": index,
    "database setting": database_setting, "funcode": funcode, "feedback funcode": feedback_funcode, "event": event,
    "event source": event_source, "level": level, "measurement": measurement, "tag": tag, "tag value": tag_value,
    "field": field, "behaviour": behaviour,
}  # fmt: skip
