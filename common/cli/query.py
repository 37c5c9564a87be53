"""`rigbus query`: what is in the store, as a table for people, as JSON or CSV for programs."""

import argparse
import csv
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from common.config.load import load
from common.errors import RigbusError, UsageError
from common.store.reader import Reader, open_reader
from common.store.results import ALL, Range

NEWEST = 100  # rows where no range and no limit is given
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


class Answer(NamedTuple):
    """Columns and rows; document: what JSON prints instead of a list of rows."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    document: Any = None


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """Add the verb `query`. `common` gives --config, --data and --run-dir to each of its verbs."""
    text = "what is in the store"
    parser = sub.add_parser("query", help=text, description=text)
    parser.add_argument("--db", metavar="F", help="the database; default: rigbus.db in the data folder")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, (help_text, _) in _VERBS.items():
        one = verbs.add_parser(name, help=help_text, description=help_text, parents=[common])
        one.set_defaults(run=run, verb=name)
        one.add_argument("--db", metavar="F", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        one.add_argument("--format", choices=("table", "json", "csv"), default="table")
        one.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
        if name == "dbstats":
            continue
        one.add_argument("--last", metavar="10s|5m|N", help="the time up to now, or the newest N rows")
        one.add_argument(
            "--from", dest="from_", metavar="T", help="epoch seconds, or ISO 8601 (local time without zone)"
        )
        one.add_argument("--to", metavar="T", help="up to, not including")
        one.add_argument("--limit", metavar="N", help=f"the newest N rows; default {NEWEST} where no range is given")
        if name in ("pulses", "power"):
            one.add_argument("--channel", metavar="C", help="one meter channel; default: all")
        if name == "power":
            one.add_argument("--imp-per-kwh", metavar="I", help="pulses per kWh; default: as configured per channel")
        if name == "samples":
            one.add_argument("--sensor", metavar="S", help="default: the only one there is")


def run(args: argparse.Namespace) -> int:
    """The verb's exit code. Raises UsageError for wrong arguments, RigbusError where there is no database."""
    if args.verb != "dbstats":
        _range(args)  # wrong arguments are told first, whatever the database says
    try:
        with open_reader(_database(args)) as reader:
            answer = _VERBS[args.verb][1](reader, args)
    except FileNotFoundError as error:
        raise RigbusError(str(error)) from None
    _PRINT[args.format](answer)
    return 0


def range_of(args: argparse.Namespace, now_ns: int) -> Range:
    """--last, --from, --to and --limit. UsageError for what is none of these, or contradicts."""
    limit = None if args.limit is None else _count("--limit", args.limit)
    start = None if args.from_ is None else _time("--from", args.from_)
    end = None if args.to is None else _time("--to", args.to)
    if args.last is not None:
        if start is not None:
            raise UsageError("--last and --from: give one of them")
        if args.last.isdecimal():
            limit = int(args.last) if limit is None else min(limit, int(args.last))
        else:
            start = (now_ns if end is None else end) - _duration("--last", args.last)
    elif start is None and end is None and limit is None:
        limit = NEWEST
    start, end = (None if t is None else max(ALL.from_ns, min(t, ALL.to_ns)) for t in (start, end))
    limit = None if limit is None else min(limit, ALL.to_ns)
    return Range(ALL.from_ns if start is None else start, ALL.to_ns if end is None else end, limit)


def _range(args: argparse.Namespace) -> Range:
    return range_of(args, time.time_ns())


def _pulses(reader: Reader, args: argparse.Namespace) -> Answer:
    rows = reader.pulses(_range(args), args.channel)
    return Answer(("time", "t_ns", "channel", "total"), [(_iso(r.t_ns), *r) for r in rows])


def _power(reader: Reader, args: argparse.Namespace) -> Answer:
    rows = reader.power(_Meters(args), _range(args), args.channel)
    return Answer(("time", "t_ns", "channel", "total", "watts", "kwh"), [(_iso(r.t_ns), *r) for r in rows])


def _samples(reader: Reader, args: argparse.Namespace) -> Answer:
    sensor = args.sensor or _only_sensor(reader)
    series = reader.samples(sensor, _range(args))
    if not series.axes and sensor not in reader.sensors():
        raise RigbusError(f"{sensor}: no samples in this time; {_sensors(reader)}")
    pairs = zip(series.t_ns.tolist(), series.values.tolist(), strict=True)
    rows = [(_iso(t_ns), t_ns, *values) for t_ns, values in pairs]
    samples = [dict(zip(("time", "t_ns", *series.axes), row, strict=True)) for row in rows]
    document = {"sensor": sensor, "unit": series.unit, "axes": series.axes, "samples": samples}
    return Answer(("time", "t_ns", *[f"{axis} [{series.unit}]" for axis in series.axes]), rows, document)


def _ledger(reader: Reader, args: argparse.Namespace) -> Answer:
    rows = reader.ledger(_range(args))
    columns = ["time", "t_ns", "src", "run", "stream", "unit", "count", "cause", "from_seq", "to_seq", "detail"]
    told = [{**r._asdict(), "time": _iso(r.t_ns)} for r in rows]
    for_people = [{**row, "count": "unknown" if row["count"] is None else row["count"]} for row in told]
    return Answer(columns, [[row[name] for name in columns] for row in for_people], told)


def _events(reader: Reader, args: argparse.Namespace) -> Answer:
    rows = reader.events(_range(args))
    return Answer(("time", "t_ns", "table", "what", "source", "detail"), [(_iso(r.t_ns), *r) for r in rows])


def _dbstats(reader: Reader, args: argparse.Namespace) -> Answer:
    stats = reader.dbstats()
    sizes = {"bytes": stats.bytes, "free_bytes": stats.free_bytes, "wal_bytes": stats.wal_bytes}
    rows = [*stats.tables.items(), *sizes.items()]
    return Answer(("table", "rows"), rows, {"path": reader.path, "tables": stats.tables, **sizes})


_VERBS: dict[str, tuple[str, Callable[[Reader, argparse.Namespace], Answer]]] = {
    "pulses": ("accepted edges of meters", _pulses),
    "power": ("power and energy from the time between pulses", _power),
    "samples": ("samples of a sensor", _samples),
    "events": ("losses, clock settings and events, by time", _events),
    "ledger": ("what is known to be lost", _ledger),
    "dbstats": ("rows per table, bytes", _dbstats),
}


class _Meters(dict[str, float]):
    """imp/kWh by channel: one for all from the command line, else the configuration's. Names each unknown one once."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self._all = None if args.imp_per_kwh is None else _number("--imp-per-kwh", args.imp_per_kwh)
        if self._all is None:
            pulse = load(args.config).config.pulse
            self.update({channel.name: channel.imp_per_kwh for channel in (pulse.channel if pulse else [])})

    def get(self, channel: str, default: Any = None) -> Any:
        found = self._all if self._all is not None else super().get(channel)
        if found is None:
            print(f"{channel}: not in the configuration; its power needs --imp-per-kwh", file=sys.stderr)
        return found


def _database(args: argparse.Namespace) -> Path:
    """--db, else the store of the configured data folder."""
    if args.db is not None:
        return Path(args.db)
    return load(args.config).folders(args.data, args.run_dir).data / "rigbus.db"


def _only_sensor(reader: Reader) -> str:
    if len(reader.sensors()) != 1:
        raise UsageError(f"--sensor: which? {_sensors(reader)}")
    return reader.sensors()[0]


def _sensors(reader: Reader) -> str:
    names = reader.sensors()
    return f"there are {', '.join(names)}" if names else "no samples are stored"


def _count(option: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{option} {text}: not a number of rows")
    return int(text)


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} {text}: not a number over 0")
    return value


def _duration(option: str, text: str) -> int:
    """ns of `30s`, `1.5m`, `2h`, `1d`, `200ms`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not found:
        raise UsageError(f"{option} {text}: neither a duration (30s, 5m, 2h, 1d) nor a number of rows")
    return int(Decimal(found[1]) * _SECONDS[found[2]] * 10**9)


def _time(option: str, text: str) -> int:
    """Wall ns, exact for epoch seconds with nine decimals."""
    try:
        ns = int(Decimal(text) * 10**9)
    except (InvalidOperation, ValueError, OverflowError):
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(f"{option} {text}: neither epoch seconds nor ISO 8601") from None
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        ns = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
    if abs(ns) >= 2**63:
        raise UsageError(f"{option} {text}: beyond the calendar")
    return ns


def _iso(t_ns: int) -> str:
    """UTC to the millisecond; as it is read back by --from."""
    seconds, ns = divmod(t_ns, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 10**6:03d}Z"
    except (OverflowError, ValueError):
        return str(t_ns)


def _print_table(answer: Answer) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = [name for name in answer.columns if name != "t_ns"]  # people read `time`
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    for name in names:
        numbers = any(isinstance(row[name], int | float) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*[Text(_cell(row[name])) for name in names])
    # A row is a line, however narrow the terminal: what is cut off cannot be searched for.
    Console(file=sys.stdout, width=10**6, highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_json(answer: Answer) -> None:
    document = answer.document
    if document is None:
        document = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    print(msgspec.json.encode(document).decode())


def _print_csv(answer: Answer) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


_PRINT: dict[str, Callable[[Answer], None]] = {"table": _print_table, "json": _print_json, "csv": _print_csv}
