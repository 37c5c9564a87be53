"""Questions to a rig's database from Python: those to the six tables (common/telemetry/query.py), and its own tables.

On a stand-alone telemetry file, or one of the seed's, the former work; the latter are a StoreError: no such table.
How to use it: docs/query.md.
"""

import os
from collections.abc import Mapping, Sequence

from common import telemetry
from common.store.columns import envelope
from common.store.reader import Reader
from common.store.readonly import StoreFile
from common.store.results import ALL, Range, Stats
from common.store.rows import THERMOSTAT_FIELDS
from common.telemetry.query import Row
from common.telemetry.times import MAX_NS, TimeRange, checked_count, checked_limit, span_ns


class TelemetryQuery(telemetry.TelemetryQuery):
    """Belongs to the thread that makes it. FileNotFoundError: there is no such file.

    Arguments and rows as in the base class, times in ns (`t_ns`). Every method raises StoreError where the database
    refuses, ValueError for a wrong argument.
    """

    THERMOSTAT_COLUMNS = ("t_ns", "device", "channel", *THERMOSTAT_FIELDS, "device_time_s", "dialect", "extra_json")
    PUMP_COLUMNS = (
        *("t_ns", "pump", "event", "action", "direction", "ml", "seconds", "hz", "steps", "command_id", "reason"),
    )
    HEALTH_COLUMNS = (
        *("t_ns", "node", "src", "run", "status", "pid", "cpu_pct", "rss_bytes", "last_seq", "closed", "rates_json"),
        *("lateness_p50_us", "lateness_p99_us", "lateness_p999_us", "lateness_max_us", "missed_ticks"),
        *("journal_frames", "journal_bytes", "journal_oldest"),
    )

    _file: StoreFile

    def __init__(self, db_path: str | os.PathLike[str]) -> None:
        super().__init__(db_path)
        self._reader = Reader(self._file)

    def _open(self, db_path: str | os.PathLike[str]) -> StoreFile:
        return StoreFile(db_path, foreign=True)

    @property
    def file(self) -> StoreFile:
        """For questions of one's own in SQL."""
        return self._file

    def get_pulses(
        self, channel: str | None = None, time_range: TimeRange | None = None, limit: int | None = 1000
    ) -> list[Row]:
        """[{t_ns, channel, total}]: accepted edges; total is the meter's lifetime count."""
        return [row._asdict() for row in self._reader.pulses(_range(time_range, limit), channel)]

    def get_power(
        self,
        imp_per_kwh: Mapping[str, float],
        channel: str | None = None,
        time_range: TimeRange | None = None,
        limit: int | None = 1000,
    ) -> list[Row]:
        """[{t_ns, channel, total, watts, kwh}]: mean power since the edge before. imp_per_kwh: by channel; of another
        channel watts and kwh are None.
        """
        return [row._asdict() for row in self._reader.power(imp_per_kwh, _range(time_range, limit), channel)]

    def get_samples(
        self,
        sensor: str | None = None,
        time_range: TimeRange | None = None,
        limit: int | None = 10_000,
        columns: int | None = None,
    ) -> Row:
        """{sensor, unit, axes, t_ns, values}: NumPy arrays, t_ns int64 (n,), values float64 (n, axes) in `unit`.

        sensor may be left out where there is only one. columns: all samples of the range (limit then counts for
        nothing), in so many columns of equal time: {sensor, unit, axes, t_ns, min, max, n}; t_ns (m,) is where a column
        begins, min and max (m, axes) what lies within it, n (m,) how many samples; empty columns are left out.
        ValueError: no such sensor, or axes or unit change within the range.
        """
        name = self.only_sensor() if sensor is None else sensor
        if columns is not None:
            found = envelope(self._reader, name, _range(time_range, None), checked_count("columns", columns))
            return self._known(name, found.axes, found._asdict())
        series = self._reader.samples(name, _range(time_range, limit))
        return self._known(name, series.axes, series._asdict())

    def _known(self, sensor: str, axes: Sequence[str], found: Row) -> Row:
        if not axes and sensor not in self._reader.sensors():
            raise ValueError(f"{sensor}: no samples in this time; {self._sensors_told()}")
        head = {"sensor": sensor, "unit": found.pop("unit"), "axes": found.pop("axes")}
        return {**head, **found}

    def sensors(self) -> list[str]:
        """Names of the sensors that have samples of late."""
        return self._reader.sensors()

    def only_sensor(self) -> str:
        """ValueError where there is not exactly one."""
        names = self._reader.sensors()
        if len(names) != 1:
            raise ValueError(f"sensor: which? {self._sensors_told()}")
        return names[0]

    def _sensors_told(self) -> str:
        names = self._reader.sensors()
        return f"there are {', '.join(names)}" if names else "no samples are stored"

    def get_thermostat(
        self,
        device: str | None = None,
        channel: int | None = None,
        time_range: TimeRange | None = None,
        limit: int | None = 1000,
    ) -> list[Row]:
        """Readings: t_ns, device, channel, the device's own fields (temperature in °C), device_time_s, dialect,
        extra_json.
        """
        where = {"device": device, "channel": channel}
        return self._in_ns(self.THERMOSTAT_COLUMNS, "thermostat_readings", time_range, limit, where)

    def get_pumps(
        self, pump: str | None = None, time_range: TimeRange | None = None, limit: int | None = 500
    ) -> list[Row]:
        """Intents and outcomes: t_ns, pump, event, action, direction, ml, seconds, hz, steps, command_id, reason."""
        return self._in_ns(self.PUMP_COLUMNS, "pump_events", time_range, limit, {"pump": pump})

    def get_rollups(
        self,
        window_s: int = 60,
        series: str | None = None,
        time_range: TimeRange | None = None,
        limit: int | None = 1000,
    ) -> list[Row]:
        """Sums of windows (60, 300 or 3,600 s) that begin in the range: t_ns, window_s, series, n, sum, min, max, last,
        last_t_ns, watts (of `energy/…` the mean power). series: docs/store.md has the names.
        """
        if window_s not in (60, 300, 3600):
            raise ValueError(f"window_s {window_s}: 60, 300 or 3600")
        return [row._asdict() for row in self._reader.rollups(window_s, series, _range(time_range, limit))]

    def get_ledger(self, time_range: TimeRange | None = None, limit: int | None = 500) -> list[Row]:
        """What is known to be lost, and why; count None: an unknown number."""
        return [row._asdict() for row in self._reader.ledger(_range(time_range, limit))]

    def get_happened(self, time_range: TimeRange | None = None, limit: int | None = 500) -> list[Row]:
        """[{t_ns, table, what, source, detail}]: losses, settings of the clock and system events, by time."""
        return [row._asdict() for row in self._reader.events(_range(time_range, limit))]

    def get_health(
        self, src: str | None = None, time_range: TimeRange | None = None, limit: int | None = 500
    ) -> list[Row]:
        """A row a minute and daemon (src): status, CPU, memory, rates_json (topic → Hz), lateness, journal."""
        joined = "(SELECT health.*, node, src, run FROM health LEFT JOIN streams ON streams.id = stream_id)"
        return self._in_ns(self.HEALTH_COLUMNS, joined, time_range, limit, {"src": src})

    def stats(self) -> Stats:
        """Rows of every table and the size of the files, the -wal and the reusable part among them."""
        return self._reader.dbstats()

    def _in_ns(
        self, columns: Sequence[str], table: str, time_range: TimeRange | None, limit: int | None, equal: Row
    ) -> list[Row]:
        asked = {column: value for column, value in equal.items() if value is not None}
        span = _range(time_range, None)
        where = "".join(f" AND {column} = ?" for column in asked)
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE t_ns >= ? AND t_ns < ?{where} "
        sql += "ORDER BY t_ns DESC, id DESC LIMIT ?"
        rows = self._dicts(sql, [span.from_ns, span.to_ns, *asked.values(), checked_limit(limit)])
        rows.reverse()
        return rows


def _range(time_range: TimeRange | None, limit: int | None) -> Range:
    start, end = span_ns(time_range)
    checked_limit(limit)
    to = ALL.to_ns if end is None else min(end + 1, MAX_NS)
    return Range(ALL.from_ns if start is None else start, to, limit)
