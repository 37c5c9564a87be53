"""How commands are tried: make targets, `rigbus query` for query_telemetry.py, printed lines, units, packages."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from migrating_bench import Bench, run
from migrating_rows import ROOT, TEXT, Row

from common.cli import main as cli

# ---- make


def make_target(row: Row, bench: Bench) -> None:
    make, *target = row.name.split()
    assert make == "make"
    done = run(["make", "-n", *target])
    assert (done.code, done.err) == (0, "")
    if not target:
        assert done.out == run(["make", "-n", row.key.split()[1]]).out
    else:
        assert re.search(rf"^  make {target[0]} +\S", run(["make", "help"]).out, re.MULTILINE)
    if row.key.startswith("rigbus "):
        assert row.key.removeprefix("rigbus ") in done.out
        cli.parser().parse_args(shlex.split(row.key)[1:])


# ---- query_telemetry.py

VALUES = {"N": "3", "Ns": "36500d", "F": "1", "J": "2", "E": "/api/state", "ID": "front", "T": "error", "L": "error"}


def query_command(row: Row, bench: Bench) -> None:
    """On a file of the old program, with its options: exit code 0, and something is told."""
    words = [VALUES.get(word, word) for word in row.name.split()[1:]]
    if words == ["-h"]:
        assert "usage:" in bench.rigbus("query", "-h").out
        return
    if words == ["--db", "PATH"]:
        words = ["summary"]
    if "--follow" in words:  # it has no end: it is read, and asked without
        assert cli.parser().parse_args(["query", *words]).follow is True
        words.remove("--follow")
    if words[0] == "export":
        _export(words, bench)
        return
    done = bench.rigbus("query", "--db", str(bench.telemetry), *words)
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) >= 2
    after = bench.rigbus("query", *words, "--db", str(bench.telemetry))
    assert words[0] == "rate" or after == done


def _export(words: list[str], bench: Bench) -> None:
    for form in words[2].split("|"):
        done = bench.rigbus("query", "--db", str(bench.telemetry), "export", words[1], form)
        assert (done.code, done.err) == (0, "")
        written = sorted(path.name for path in (bench.telemetry.parent / "export").glob(f"*.{form}"))
        assert f"dds_commands.{form}" in written
        assert len(written) == 6


COMMANDS = {"--db": "summary", "--last": "commands", "--funcode": "commands", "--joint": "joints", "--cam": "cameras",
            "--endpoint": "requests", "--type": "events", "--level": "events", "--format": "events"}  # fmt: skip


def option(row: Row, bench: Bench) -> None:
    """As a part of a command line that is understood, each value of VALUES that may stand behind it."""
    name, *value = row.name.split()
    if name == "--follow":
        assert cli.parser().parse_args(["query", "tail", name]).follow is True
        return
    given = value or ["2"]
    args = cli.parser().parse_args(["query", COMMANDS[name], name, *given])
    assert given[0] in vars(args).values()
    assert args.verb == COMMANDS[name]


# ---- what `rigbus influx` and `rigbus doctor` print


def printed_line(row: Row, bench: Bench) -> None:
    """In the set-up, second set-up, deletion and failure of a fixture server, as a user sees them."""
    assert row.name in bench.influx.screen


# ---- systemd


def unit(row: Row, bench: Bench) -> None:
    _alias(bench.folder, row.name, row.key)


def unit_command(row: Row, bench: Bench) -> None:
    sudo, systemctl, verb, name = row.name.split()
    assert (sudo, systemctl) == ("sudo", "systemctl")
    assert verb in ("start", "stop", "restart", "status")  # `enable` does not take an alias
    _alias(bench.folder, name, row.key)


def _alias(folder: Path, old: str, new: str) -> None:
    """The drop-in of the document, with the unit of the repository, enabled in a folder by systemctl itself."""
    path, text = next(
        (path, text)
        for path, text in re.findall(r"`(/etc/systemd/system/\S+\.conf)`:\n```ini\n(.*?)```", TEXT, re.DOTALL)
        if f"Alias={old}.service" in text
    )
    [verb] = re.findall(r"^sudo systemctl (\w*enable) rigbus-gateway", TEXT, re.MULTILINE)
    assert path.split("/")[4] == f"{new}.service.d"
    if shutil.which("systemctl") is None:
        pytest.skip("systemctl: not here, so no alias is enabled")
    place = folder / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    shutil.copy(ROOT / f"systemd/{new}.service", place.parents[1])
    done = run(["systemctl", f"--root={folder}", verb, f"{new}.service"])
    assert done.code == 0, done.err
    link = place.parents[1] / f"{old}.service"
    assert link.readlink() == Path(f"/etc/systemd/system/{new}.service")


def unit_setting(row: Row, bench: Bench) -> None:
    for file in (ROOT / "systemd").glob("rigbus-*.service"):
        assert row.name in file.read_text().splitlines(), file


# ---- packages


def _extra(name: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=;]", package)[0].strip() for package in project["optional-dependencies"][name]]


def _influx_client() -> None:
    assert "influxdb-client" in _extra("influx")


def _rpi_gpio() -> None:
    """rpi-lgpio is what brings the module RPi.GPIO to a system of today."""
    assert "rpi-lgpio" in _extra("rpi")
    assert "RPi.GPIO" in (ROOT / "common/drivers/edges_rpigpio.py").read_text()


def _python3_venv() -> None:
    done = run(["bash", "-c", "find_python() { echo python3; }; . scripts/packages.sh; packages apt-get"])
    assert "python3-venv" in done.out.split(), done.err


PACKAGES: dict[str, Callable[[], None]] = {
    "influxdb-client": _influx_client, "RPi.GPIO": _rpi_gpio, "python3-venv": _python3_venv,
}  # fmt: skip


def package(row: Row, bench: Bench) -> None:
    PACKAGES[row.name]()


def package_manager(row: Row, bench: Bench) -> None:
    """The one that the machine has is the one that is used."""
    (bench.folder / row.name).write_text("#!/bin/sh\n")
    (bench.folder / row.name).chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    done = run([bash, "-c", f". scripts/packages.sh; PATH='{bench.folder}'; package_manager"])
    assert done.out.strip() == row.name, done.err


TRIES = {
    "make target": make_target, "query command": query_command, "option": option, "printed line": printed_line,
    "unit": unit,
    "unit setting": unit_setting, "unit command": unit_command, "package": package, "package manager": package_manager,
}  # fmt: skip
