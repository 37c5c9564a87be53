"""`rigbus influx` and `rigbus doctor` as a user of the old power logger runs them, on a server like InfluxDB 2."""

import sys
from pathlib import Path
from typing import NamedTuple

from migrating_bench import run
from v2server import V2Server

from common.config.dotenv import read


class Influx(NamedTuple):
    """screen: all that was printed. buckets (name → retention, s), tasks (name → status), env: after set-up."""

    screen: str
    buckets: dict[str, int]
    tasks: dict[str, str]
    env: dict[str, str]


def set_up(folder: Path) -> Influx:
    """Set-up twice, verify, delete, and the same without a server; `.env` has the old keys only."""
    config, env, screen = folder / "rigbus.toml", folder / ".env", ""
    config.write_text('node = "rig"\n[sink.influx]\nenabled = true\n')
    with V2Server() as server:
        env.write_text(f"INFLUX_ORG={server.org}\nINFLUX_HOST={server.url}\nINFLUX_TOKEN={server.admin_token}\n")
        env.chmod(0o600)
        for command in (["influx", "setup", "--save"], ["influx", "setup", "--save"], ["influx", "verify"]):
            screen += _rigbus(*command, config=config)
        buckets = {
            bucket["name"]: bucket["retentionRules"][0]["everySeconds"]
            for bucket in server.buckets.values() if bucket["type"] == "user"
        }  # fmt: skip
        tasks = {task["name"]: task["status"] for task in server.tasks.values()}
        saved = dict(read(env))
        screen += _rigbus("influx", "delete", config=config, typed="DELETE\n")
        assert {bucket["name"] for bucket in server.buckets.values() if bucket["type"] == "user"} == set()
    screen += _rigbus("influx", "setup", config=config)  # the server is gone
    screen += _rigbus("influx", "verify", config=config)
    return Influx(screen, buckets, tasks, saved)


def _rigbus(*command: str, config: Path, typed: str = "") -> str:
    done = run([sys.executable, "-m", "common.cli.main", *command, "--config", str(config)], typed)
    assert "Traceback" not in done.err, done.err
    return done.out + done.err
