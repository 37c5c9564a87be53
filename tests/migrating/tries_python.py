"""How names of the Python API of th3cl4w's telemetry are tried: signatures, answers, event types."""

import ast
import dataclasses
import importlib
import inspect
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import seed_file
from migrating_bench import Bench
from migrating_rows import Row, lacks

from common import telemetry
from common.store.query import TelemetryQuery as StoreQuery
from common.telemetry import EventType, TelemetryCollector, TelemetryEvent
from common.telemetry.cameras import stats_of

_NONE = inspect.Parameter.empty


def _split(name: str) -> tuple[str, list[tuple[str, Any]], str]:
    """`Owner.method(a, b=1) -> {…}`: what is called, its arguments with their defaults, the answer's shape."""
    found = re.fullmatch(r"([\w.]+)\((.*?)\)(?: -> (.*))?", name)
    assert found, name
    called, arguments, answer = found.groups()
    parsed = ast.parse(f"def f({arguments}): pass").body[0]
    assert isinstance(parsed, ast.FunctionDef)
    names = [argument.arg for argument in parsed.args.args]
    defaults = [ast.literal_eval(value) for value in parsed.args.defaults]
    return called, list(zip(names, [*[_NONE] * (len(names) - len(defaults)), *defaults], strict=True)), answer or ""


def _takes(found: Callable[..., Any], old: list[tuple[str, Any]]) -> None:
    """The old arguments, in their order and with their defaults; what came since has a default."""
    parameters = [one for one in inspect.signature(found).parameters.values() if one.name != "self"]
    for new, (name, default) in zip(parameters, old, strict=False):
        assert new.name == name
        assert new.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD
        if default is not _NONE:
            assert new.default == default
    assert len(parameters) >= len(old)
    assert [new.name for new in parameters[len(old) :] if new.default is _NONE] == []


def _find(called: str, owner: Any = telemetry) -> Any:
    for part in called.split("."):
        owner = inspect.getattr_static(owner, part)
        owner = owner.__func__ if isinstance(owner, staticmethod) else owner
    return owner


def class_(row: Row, bench: Bench) -> None:
    if row.name == "EventType":
        assert {kind.value for kind in EventType} >= {kind.lower() for kind in _SEED_TYPES}
    elif row.name == "TelemetryEvent":
        assert dataclasses.is_dataclass(TelemetryEvent)
        assert isinstance(
            TelemetryCollector(bench.folder / "t.db", bus="").emit("web", EventType.ERROR), TelemetryEvent
        )
    else:
        called, old, _ = _split(row.name)
        _takes(_find(called), old)


_SEED_TYPES = (
    "CMD_SENT",
    "DDS_PUBLISH",
    "DDS_RECEIVE",
    "CMD_ACK",
    "CMD_EXEC",
    "STATE_UPDATE",
    "WS_SEND",
    "CAM_FRAME",
    "ERROR",
)


def method(row: Row, bench: Bench) -> None:
    called, old, _ = _split(row.name)
    _takes(_find(called), old)


def function(row: Row, bench: Bench) -> None:
    called, old, answer = _split(row.name)
    assert called in telemetry.__all__
    _takes(_find(called), old)
    if answer:
        assert answer == "sqlite3.Connection"
        with closing(telemetry.init_db(bench.folder / "x/new.db")) as found:
            assert isinstance(found, sqlite3.Connection)


def property_(row: Row, bench: Bench) -> None:
    assert isinstance(_find(row.name), property)


def module(row: Row, bench: Bench) -> None:
    """The class that stood in it stands in it."""
    found = importlib.import_module(row.key.replace("rigbus_telemetry", "common.telemetry"))
    assert row.name == f"src/telemetry/{row.key.rpartition('.')[2]}.py"
    wanted = {"collector": "TelemetryCollector", "query": "TelemetryQuery"}[row.key.rpartition(".")[2]]
    assert inspect.isclass(getattr(found, wanted))


REQUIRED = {"joint": 2}


def query_method(row: Row, bench: Bench) -> None:
    """Asked of the old program's file, by both classes; an answer has at least the old keys."""
    called, old, shape = _split(row.name)
    name = called.removeprefix("TelemetryQuery.")
    for query_type in (telemetry.TelemetryQuery, StoreQuery):
        _takes(_find(name, query_type if name in vars(query_type) else telemetry.TelemetryQuery), old)
        with query_type(bench.telemetry) as query:
            answer = getattr(query, name)(**{name: REQUIRED[name] for name, default in old if default is _NONE})
        assert lacks(answer, shape) == []


def argument(row: Row, bench: Bench) -> None:
    """Every question with a time takes it by this name; both ends are included."""
    name = row.name.partition(":")[0]
    asking = [f for n, f in inspect.getmembers(telemetry.TelemetryQuery, inspect.isfunction) if n.startswith("get_")]
    with_range = [f for f in asking if name in inspect.signature(f).parameters]
    assert len(with_range) >= 9
    assert all(inspect.signature(f).parameters[name].default is None for f in with_range)
    with telemetry.TelemetryQuery(bench.telemetry) as query:
        found = query.get_commands((seed_file.T + 1, seed_file.T + 2))
        assert [one["ts"] - seed_file.T for one in found] == [1, 2]


PAYLOADS: dict[str, dict[str, Any]] = {
    "DDS_PUBLISH": {"seq": 1, "funcode": 1, "data": {"id": 1, "angle": 2.0}},
    "DDS_RECEIVE": {"seq": 1, "funcode": 1, "angle0": 1.0},
    "CMD_SENT": {"endpoint": "/api/x"},
    "CAM_FRAME": {"camera_id": "front", "actual_fps": 1.0},
}


def event_type(row: Row, bench: Bench) -> None:
    """An event of it becomes a row of the table that is told, and of no other."""
    kind = row.name.removeprefix("EventType.")
    found = _tables_of(bench, lambda tc: tc.emit("dds", EventType[kind], PAYLOADS.get(kind, {"a": 1}), "cid"))
    assert found == ([row.key] if row.key else [])


CALLS: dict[str, Callable[[TelemetryCollector], Any]] = {
    'tc.emit("dds", EventType.DDS_PUBLISH, {...}, correlation_id)': lambda tc: tc.emit(
        "dds", EventType.DDS_PUBLISH, PAYLOADS["DDS_PUBLISH"], "cid"
    ),
    'tc.emit("dds", EventType.DDS_RECEIVE, ...)': lambda tc: tc.emit(
        "dds", EventType.DDS_RECEIVE, PAYLOADS["DDS_RECEIVE"]
    ),
    'tc.emit("web", ...)': lambda tc: tc.emit("web", EventType.CMD_SENT, PAYLOADS["CMD_SENT"], "cid"),
    "tc.log_command(seq, funcode, joint_id, target_value, data, correlation_id, raw_len)": lambda tc: tc.log_command(
        1, 1, 2, 3.0, {"id": 2}, "cid", 40
    ),
    "tc.log_feedback(seq, funcode, angles_dict, status_dict)": lambda tc: tc.log_feedback(
        1, 3, {"angle0": 1.0}, {"power_status": 1}
    ),
    'tc.log_system_event("connect"/"disconnect", "dds", ...)': lambda tc: (
        tc.log_system_event("connect", "dds", "eth0"),
        tc.log_system_event("disconnect", "dds"),
    ),
}


def call(row: Row, bench: Bench) -> None:
    """As the old program writes it: a row in the table that is told."""
    assert _tables_of(bench, CALLS[row.name]) == [row.key]


def _tables_of(bench: Bench, log: Callable[[TelemetryCollector], Any]) -> list[str]:
    """The tables in which there are rows when this was logged."""
    file = bench.folder / "said.db"
    collector = TelemetryCollector(file, bus="")
    collector.start()
    log(collector)
    assert collector.stop()
    return [table for table in telemetry.schema.NAMES if bench.asked(file, f"SELECT 1 FROM {table}")]


class _Monitor:
    """As th3cl4w's CameraHealthMonitor."""

    @property
    def stats(self) -> dict[str, Any]:
        return {"actual_fps": 29.5}


class _Camera:
    def __init__(self) -> None:
        self._health = _Monitor()


def attribute(row: Row, bench: Bench) -> None:
    camera = {"CameraHealthMonitor.stats": _Monitor, "_health.stats": _Camera}[row.name]()
    assert stats_of(camera) == {"actual_fps": 29.5}


TRIES = {
    "class": class_, "method": method, "function": function, "property": property_, "module": module,
    "query method": query_method, "argument": argument, "event type": event_type, "call": call, "attribute": attribute,
}  # fmt: skip
