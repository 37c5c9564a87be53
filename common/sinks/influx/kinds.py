"""Rows of the store's tables as lines: one measurement a table, few tags, fields of fixed types. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from common.sinks.influx import lines
from common.sinks.influx.lines import decimal, flag, key, own_time, quoted, whole
from common.store.rows import THERMOSTAT_FIELDS

Row = tuple[Any, ...]
Write = Callable[[Any], str | None]
_SRC = "(SELECT src FROM streams WHERE streams.id = {table}.stream_id)"


class Kind(NamedTuple):
    """measurement; time: column of the time, `t_ns` or, in seconds, `ts`; tags and fields: name → column (SQL).

    shared: rows may have one time, so that each gets a time of its own.
    """

    measurement: str
    time: str
    tags: Mapping[str, str]
    fields: Mapping[str, tuple[str, Write]]
    shared: bool = True

    @property
    def columns(self) -> str:
        """What is read of the table, behind the id."""
        return ", ".join([self.time, *self.tags.values(), *(column for column, _ in self.fields.values())])


def _fields(write: Write, *names: str) -> dict[str, tuple[str, Write]]:
    return {name: (name, write) for name in names}


KINDS: Mapping[str, Kind] = {
    "thermostat_readings": Kind(
        "thermostat", "t_ns", {"channel": "channel", "device": "device"},
        _fields(decimal, *THERMOSTAT_FIELDS, "device_time_s"),
        shared=False,
    ),
    "pump_events": Kind(
        "pump", "t_ns", {"action": "action", "direction": "direction", "event": "event", "pump": "pump"},
        _fields(decimal, "ml", "seconds", "hz") | _fields(whole, "steps") | _fields(quoted, "command_id", "reason"),
    ),
    "dds_commands": Kind(
        "arm_command", "ts", {"address": "address", "funcode": "funcode", "joint": "joint_id"},
        _fields(decimal, "target_value") | _fields(whole, "seq", "raw_len")
        | {"data": ("data_json", quoted)} | _fields(quoted, "correlation_id"),
    ),
    "dds_feedback": Kind(
        "arm_feedback", "ts", {"address": "address", "funcode": "funcode"},
        _fields(decimal, *(f"angle{i}" for i in range(7)))
        | _fields(decimal, "power_status", "enable_status", "error_status", "recv_status", "exec_status")
        | _fields(whole, "seq", "raw_len") | _fields(quoted, "correlation_id"),
    ),
    "smoother_state": Kind(
        "smoother", "ts", {"joint": "joint_id"},
        _fields(decimal, "target", "current", "sent", "step_size") | _fields(whole, "dirty"),
    ),
    # The endpoint comes from whoever asks: as a tag it could make series without end.
    "web_requests": Kind(
        "web_request", "ts", {"method": "method"},
        _fields(quoted, "endpoint") | _fields(decimal, "response_ms") | _fields(whole, "status_code", "ok")
        | {"params": ("params_json", quoted)} | _fields(quoted, "correlation_id"),
    ),
    "camera_health": Kind(
        "camera", "ts", {"camera": "camera_id"},
        _fields(decimal, "actual_fps", "target_fps", "motion_score")
        | _fields(whole, "drop_count", "connected", "resolution_w", "resolution_h", "stalled"),
    ),
    "system_events": Kind(
        "event", "ts", {"level": "level", "source": "source", "type": "event_type"},
        {"n": ("1", whole)} | _fields(quoted, "detail") | {"data": ("data_json", quoted)}
        | _fields(quoted, "correlation_id"),
    ),
    # An unknown count is left out and said to be unknown: sums of it are never too small without a word.
    "ledger": Kind(
        "loss", "t_ns", {"cause": "cause", "src": _SRC.format(table="ledger"), "stream": "stream", "unit": "unit"},
        _fields(whole, "count") | {"unknown": ("count IS NULL", flag)}
        | _fields(whole, "from_seq", "to_seq", "from_t_ns", "to_t_ns") | _fields(quoted, "detail"),
    ),
    "health": Kind(
        "health", "t_ns", {"src": _SRC.format(table="health")},
        _fields(whole, "last_seq", "pid", "rss_bytes", "missed_ticks", "journal_frames", "journal_bytes")
        | _fields(decimal, "cpu_pct", "lateness_p50_us", "lateness_p99_us", "lateness_p999_us", "lateness_max_us")
        | {"closed": ("closed", flag)} | _fields(quoted, "status"),
    ),
}  # fmt: skip
PULSE_COLUMNS = "t_ns, channel"
ROLLUP_COLUMNS = "window_s, series, t_ns, n, sum, min, max, last"
WINDOWS = {60: "1m", 300: "5m", 3600: "1h"}


class Pulses:
    """One line a pulse, as the seed writes them."""

    def __init__(self, measurement: str) -> None:
        self._measurement = lines.measurement(measurement)
        self._heads: dict[str, str] = {}

    def body(self, rows: Sequence[Row]) -> bytes:
        """rows: id, t_ns, channel."""
        heads = self._heads
        parts: list[Any] = [None] * (2 * len(rows))
        try:
            parts[0::2] = [heads[row[2]] for row in rows]
        except KeyError:
            for channel in {row[2] for row in rows}:
                heads[channel] = f"{self._measurement}{lines.tags([('PulseType', pulse_type(channel))])} Pulse=1i "
            parts[0::2] = [heads[row[2]] for row in rows]
        parts[1::2] = [row[1] for row in rows]
        return (("%s%d\n" * len(rows)) % tuple(parts)).encode()


def pulse_type(channel: str) -> str:
    return channel[:1].upper() + channel[1:]


def encode(kind: Kind, rows: Sequence[Row]) -> tuple[bytes, list[int]]:
    """Lines, and the row of each; a row with nothing to say has no line."""
    tag_names, fields = list(kind.tags), [(key(name), write) for name, (_, write) in kind.fields.items()]
    last_tag = 2 + len(tag_names)
    in_seconds = kind.time == "ts"
    head = lines.measurement(kind.measurement)
    heads: dict[Row, str] = {}
    found, ids = [], []
    for row in rows:
        said = [
            f"{name}={written}"
            for (name, write), value in zip(fields, row[last_tag:], strict=True)
            if (written := write(value)) is not None
        ]
        if not said:
            continue
        values = row[2:last_tag]
        begin = heads.get(values)
        if begin is None:
            begin = heads[values] = head + lines.tags(list(zip(tag_names, values, strict=True)))
        t_ns = int(row[1] * 1e9) if in_seconds else row[1]
        found.append(f"{begin} {','.join(said)} {own_time(t_ns, row[0]) if kind.shared else t_ns}\n")
        ids.append(row[0])
    return "".join(found).encode(errors="replace"), ids


def rollups(rows: Sequence[Row], measurement: str | None, *, samples: bool) -> Iterator[tuple[int, int, str]]:
    """(window in s, id, line) of each row of `rollups` that is to be sent. measurement: of pulses; None: not these."""
    for row_id, window_s, series, t_ns, n, total, low, high, last in rows:
        kind, _, name = series.partition("/")
        window = WINDOWS.get(window_s)
        if window is None:
            continue
        if kind == "pulse" and measurement is not None:
            tags = lines.tags([("PulseType", pulse_type(name)), ("window", window)])
            yield window_s, row_id, f"{lines.measurement(f'{measurement}_{window}')}{tags} PulseCount={n}i {t_ns}\n"
        elif kind == "samples" and samples:
            sensor, _, axis = name.partition("/")
            tags = lines.tags([("axis", axis), ("sensor", sensor), ("window", window)])
            values = (("mean", total / n if n else None), ("min", low), ("max", high), ("last", last))
            said = [f"n={n}i", *(f"{k}={w}" for k, v in values if (w := decimal(v)) is not None)]
            yield window_s, row_id, f"samples_{window}{tags} {','.join(said)} {t_ns}\n"
