"""The drivers and the daemon of docs/extend.md, taken from there, in a live rig."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs/extend.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
TOML = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)]
MODULES = dict(zip(("rigbus_counter", "rigbus_load", "rigbus_collector"), PYTHON, strict=False))
PROJECT, MINE, OUTPUT = (next(t for t in TOML if key in t) for key in ("project", "pulse", "sink"))
CHIP = "/sys/bus/counter/devices/counter0"


@pytest.fixture
def package(tmp_path):
    """The package of the document, as pip would have installed it; returns its folder."""
    site = tmp_path / "site"
    info = site / "rigbus_mine-1.0.dist-info"
    info.mkdir(parents=True)
    for name, source in MODULES.items():
        assert f"`{name}.py`" in TEXT
        (site / f"{name}.py").write_text(source)
    project = PROJECT["project"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points)
    return site


@pytest.fixture
def counter(tmp_path):
    """A file that stands for the hardware counter: set(n) as the kernel would show it, never half."""
    chip = tmp_path / "counter0"
    (chip / "count0").mkdir(parents=True)

    def set_to(count):
        new = chip / "new"
        new.write_text(f"{count}\n")
        os.replace(new, chip / "count0/count")

    set_to(41)
    return chip, set_to


@pytest.fixture
def config(tmp_path, counter):
    """The configuration of the document, with the file in place of the counter."""
    (text,) = (t for t in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL) if "[pulse]" in t)
    assert text.count(CHIP) == 1
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(CHIP, str(counter[0])))
    return path


@pytest.mark.parametrize("source", PYTHON, ids=["edges", "sampler", "output", "daemon"])
def test_an_example_fits_on_a_screen(source):
    assert len(source.splitlines()) <= 40


def test_the_shown_drivers_work_by_their_entry_points(live_rig, package, config, counter):
    rig = live_rig(config=config, PYTHONPATH=str(package))

    def status(src):
        return rig.health(src)["status"]

    rig.wait(lambda: status("pulse") == "import 0")
    _, set_to = counter
    set_to(46)
    rig.wait(lambda: status("pulse") == "import 5")
    set_to(3)  # it began again: three since
    rig.wait(lambda: status("pulse") == "import 8")
    rig.wait(lambda: rig.health("highspeed")["last_seq"] >= 3)
    assert status("highspeed") == "10.0 Hz, driver load"
    assert rig.stop() == 0, rig.log()

    pulses = json.loads(rig.rigbus("query", "pulses", "--json", "--last", "100").out)
    assert [(row["channel"], row["total"]) for row in pulses] == [("import", n) for n in range(1, 9)]
    stamps = [row["t_ns"] for row in pulses]
    assert stamps == sorted(set(stamps))
    samples = json.loads(rig.rigbus("query", "samples", "--json", "--last", "100").out)
    assert (samples["sensor"], samples["unit"], samples["axes"]) == ("load", "1", ["load1", "load5", "load15"])
    assert len(samples["samples"]) >= 10
    assert all(0 <= row["load1"] < 10_000 for row in samples["samples"])
    audit = rig.rigbus("audit", "--json")
    assert audit.code == 0, audit.out


def test_a_counter_that_is_not_there_is_said_in_one_line(package, config, counter):
    (counter[0] / "count0/count").unlink()
    env = {**os.environ, "PYTHONPATH": str(package)}
    with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as folder:
        words = ["--config", str(config), "--data", f"{folder}/d", "--run-dir", f"{folder}/r"]
        command = [sys.executable, "-m", "daemons.pulse", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 69
    assert "pulse channel import" in done.stderr
    assert "Traceback" not in done.stderr


class Lines:
    """The collector at the other end: answers each burst of whole lines, and hangs up when it is told to."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.lines = []
        self.deaf = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            with conn, contextlib.suppress(ConnectionError):
                data = b""
                while more := conn.recv(1 << 20):
                    data += more
                    if not data.endswith(b"\n"):
                        continue
                    if self.deaf:
                        break  # what came is lost with the connection
                    self.lines += [json.loads(line) for line in data.splitlines()]
                    data = b""
                    conn.sendall(b"ok\n")


def test_the_shown_output_gets_every_row_also_after_it_was_away(live_rig, package, config, tmp_path):
    lines = Lines()
    settings = OUTPUT["sink"]["output"]["lines"]
    assert settings["options"]["port"] == 5170
    port = lines.server.getsockname()[1]
    mine = f'[sink.output.lines]\ndriver = "{settings["driver"]}"\noptions = {{ host = "127.0.0.1", port = {port} }}\n'
    ours = tmp_path / "output.toml"
    ours.write_text(f'{mine}[pulse]\nchannel = [{{ name = "import", line = 1, imp_per_kwh = 50000.0 }}]\n')
    rig = live_rig("--only", "bus,sink,pulse", config=ours, PYTHONPATH=str(package))
    rig.wait(lambda: len(lines.lines) > 5)
    lines.deaf = True
    rig.wait(lambda: "collector 127.0.0.1: it did not say ok" in rig.log())
    rig.wait(lambda: rig.ask("sink", {"id": 1, "op": "status"})["outputs"]["lines"]["state"] == "waiting")
    lines.deaf = False
    rig.wait(lambda: "lines: goes on" in rig.log())
    assert rig.stop() == 0, rig.log()
    lines.server.close()
    stored = json.loads(rig.rigbus("query", "pulses", "--json", "--last", "100000").out)
    got = {line["id"]: (line["t_ns"], line["channel"], line["total"]) for line in lines.lines}
    assert list(got.values()) == [(row["t_ns"], row["channel"], row["total"]) for row in stored]
    assert rig.log().count("did not say ok") == 1


def test_the_shown_daemon_publishes_and_the_sink_takes_its_frames(live_rig, tmp_path):
    source = PYTHON[3]
    assert source.count("config.load") == 1
    own = "__import__('types').SimpleNamespace(every_s=0.1, cpu='none')"  # in place of the table in the schema
    script = tmp_path / "load.py"
    script.write_text(source.replace("config.load", own))
    rig = live_rig("--only", "bus,sink")
    rig.health("sink")
    daemon = subprocess.Popen([sys.executable, str(script), *rig.words()], env=rig.env, stderr=subprocess.PIPE)
    try:
        rig.wait(lambda: rig.health("load")["last_seq"] >= 3)
    finally:
        daemon.terminate()
        _, told = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, told
    assert rig.stop() == 0, rig.log()
    events = json.loads(rig.rigbus("query", "events", "--json", "--last", "100").out)
    loads = [row for row in events if row["event_type"] == "load"]
    assert len(loads) >= 3
    assert [row["detail"] for row in loads if not re.search(r"\d+\.\d\d$", row["detail"])] == []
    audit = json.loads(rig.rigbus("audit", "--json").out)
    assert [(s["src"], s["pending"], s["lost"], s["ok"]) for s in audit["streams"]] == [("load", 0, 0, True)]
