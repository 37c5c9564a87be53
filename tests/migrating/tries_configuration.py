"""How names of the configuration are tried: variables, defaults, addresses, and what InfluxDB is set up with."""

import inspect
import time
from typing import Any

from migrating_bench import SHIPPED, Bench
from migrating_rows import ROOT, Row, quoted

from common import telemetry
from common.config.dotenv import KEYS
from common.config.load import load
from common.config.schema import Config
from common.influx import flux
from common.influx.site import period, site
from common.influx.tokens import admin, plans
from common.telemetry import TelemetryCollector

SAID = {"TELEMETRY_RETENTION_DAYS": "3"}  # values for variables that take no text


def variable(row: Row, bench: Bench) -> None:
    """It counts in `.env`, and in the environment, which is stronger; a secret is none of the configuration."""
    config, said = bench.folder / "rigbus.toml", SAID.get(row.name, "http://said")
    config.write_text("")
    (bench.folder / ".env").write_text(f"{row.name}={said}\n")
    if row.name not in KEYS:
        assert row.name == "INFLUX_TOKEN"
        assert admin(site(load(str(config), {}))).reveal() == said
        return
    path = KEYS[row.name]
    assert _at(load(str(config), {}).config, path) == _same_type(said, path)
    assert _at(load(str(config), {row.name: f"{said}1"}).config, path) == _same_type(f"{said}1", path)
    assert f"{row.name}=" in (ROOT / ".env.example").read_text()
    if row.key.startswith("sink."):
        assert tuple(row.key.split(".")) == path


def _same_type(text: str, path: tuple[str, ...]) -> Any:
    return type(_at(load(str(SHIPPED), {}).config, path))(text)


def _at(config: Config, path: tuple[str, ...]) -> Any:
    found: Any = config
    for part in path:
        if isinstance(found, list):  # <name>: any of them
            found = found[0] if part == "<name>" else next(one for one in found if one.name == part)
        else:
            found = getattr(found, part)
    return found


def default(row: Row, bench: Bench) -> None:
    """`NAME = value`, or a value: what the key in the last cell has where nobody says anything."""
    name, _, text = row.name.rpartition("=")
    if name.strip() and name.isupper() and name in KEYS:
        assert f"\n{row.name}\n" in (ROOT / ".env.example").read_text()
    value: Any = _argument(row.now) if " of `" in row.now else _at(bench.shipped.config, tuple(row.key.split(".")))
    wanted = text.strip(' "').split()[-1]
    if isinstance(value, int | float):
        assert value == float(wanted)
    else:
        assert value == (wanted.lower() if wanted == wanted.upper() else wanted)


def _argument(now: str) -> Any:
    """The default of an argument of a class of the telemetry package: `prefix` of `TelemetryMiddleware`."""
    argument, owner = quoted(now)[:2]
    return inspect.signature(getattr(telemetry, owner)).parameters[argument].default


def address(row: Row, bench: Bench) -> None:
    """One of InfluxDB is taken; one of the gateway is where it listens, and answers."""
    if row.key == "INFLUX_HOST":
        assert load(str(SHIPPED), {"INFLUX_HOST": row.name}).config.sink.influx.url == row.name
        return
    rest = row.name.removeprefix("http://localhost:8000")
    assert rest != row.name
    gateway = bench.shipped.config.gateway
    assert gateway is not None
    assert (gateway.host, gateway.port) == ("127.0.0.1", 8000)
    assert bench.rig.http.get(f"http://localhost:{bench.rig.http.base_url.port}{rest}").status_code == 200


# ---- what an InfluxDB is set up with: as planned, and as it is after set-up


def bucket(row: Row, bench: Bench) -> None:
    [plan] = [plan for plan in site(bench.shipped).buckets if plan.name == row.name]
    assert period(plan.retention_s) == row.now
    assert bench.influx.buckets[row.name] == plan.retention_s


def task(row: Row, bench: Bench) -> None:
    [window] = [window for window in flux.WINDOWS if window.name == row.name]
    assert flux.task_name(window, bench.shipped.config.sink.influx) == row.key
    assert bench.influx.tasks[row.key] == "active"


def token(row: Row, bench: Bench) -> None:
    """It is made for that, and saved under the name that is told."""
    [plan] = [plan for plan in plans(site(bench.shipped)) if plan.title.startswith(row.name)]
    assert plan.env == row.key
    assert bench.influx.env[row.key]


def behaviour_of_retention(bench: Bench) -> None:
    """`DELETE … WHERE ts < ?` at start, by TELEMETRY_RETENTION_DAYS."""
    before = bench.asked(bench.telemetry, "SELECT count(*) FROM web_requests")
    assert before[0][0] > 0  # of 2025
    collector = TelemetryCollector(bench.telemetry, bus="")
    collector.start()
    deadline = time.monotonic() + 40
    while bench.asked(bench.telemetry, "SELECT count(*) FROM web_requests") != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert collector.stop()


TRIES = {
    "variable": variable, "default": default, "address": address, "bucket": bucket, "task": task, "token": token,
}  # fmt: skip
