"""/metrics: promtool and a real Prometheus take it, and its figures are those of the rig."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from faces import CONTROL, READ, TOKENS, Faces, running

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/influx"))
from servers import free_port, need  # noqa: E402

CONFIG = """
[thermostat]
cpu = "none"
[[thermostat.device]]
name = "bench"
host = "sim"
period_s = 0.3
[sim]
thermostat = true
[pump]
cpu = "none"
[[pump.pump]]
name = "water"
step = 16
dir = 6
en = 17
[sink.csv]
enabled = true
"""
DAEMONS = ("sim-thermostat", "pulse", "highspeed", "thermostat", "pump")
SOURCES = ("pulse", "highspeed", "thermostat")
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\})? (\S+)')


@pytest.fixture(scope="module")
def faces():
    with running(CONFIG, *DAEMONS, env=TOKENS, token=READ) as faces:
        faces.rig.until(lambda: "rigbus_account_ok 1" in faces.get("/metrics"), "the account is there")
        faces.rig.until(lambda: "rigbus_temperature_celsius" in faces.get("/metrics"), "a temperature is there")

        def whole() -> bool:
            # what daemons answer, and rates of whole seconds, are not there at their start
            found = samples(faces)
            rates = found["rigbus_stream_rate_hertz"].items()
            return (
                set(found["rigbus_daemon_up"].values()) == {1.0}
                and {"rigbus_stop_latched", "rigbus_output_delivered_rows_total"} <= set(found)
                and any(rate > 10 for labels, rate in rates if 'stream="samples/vibration/"' in labels)
                and all(found["rigbus_frames_published_total"][f'src="{src}"'] for src in SOURCES)
            )

        faces.rig.until(whole, "all of it is told")
        yield faces


def samples(faces: Faces) -> dict[str, dict[str, float]]:
    """name → labels as text → value."""
    found: dict[str, dict[str, float]] = {}
    for line in faces.get("/metrics").splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert labels not in found.setdefault(name, {}), line
            found[name][labels or ""] = float(value)
    return found


def dashboards() -> list[str]:
    """Every PromQL expression of the dashboards, as Grafana would send it."""
    found = []
    for path in sorted((ROOT / "config/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [
                target["expr"].replace("$__rate_interval", "1m") for target in panel["targets"] if "expr" in target
            ]
    assert len(found) > 15
    return found


def test_promtool_finds_nothing_to_say(faces):
    done = subprocess.run(
        [need("promtool"), "check", "metrics"], input=faces.get("/metrics"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_content_type_is_prometheus_own(faces):
    assert faces.http.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_it_needs_a_token_where_one_is_set(faces):
    nobody = Faces(faces.rig)
    nobody.get("/metrics", 401)
    nobody.http.close()


def test_daemons_and_streams_are_those_of_the_rig(faces):
    found = samples(faces)
    up = found["rigbus_daemon_up"]
    assert set(up) == {f'daemon="{name}"' for name in ("bus", "sink", "gateway", *DAEMONS[1:])}
    assert set(up.values()) == {1.0}
    assert all(value > 0 for value in found["rigbus_daemon_cpu_seconds_total"].values())
    assert found["rigbus_daemon_memory_bytes"]['daemon="sink"'] > 1e7
    assert 150 < found["rigbus_sample_rate_hertz"]['sensor="vibration"'] < 250
    rates = found["rigbus_stream_rate_hertz"]
    assert 10 < rates['stream="samples/vibration/",kind="samples"'] < 30
    assert 0 <= found["rigbus_stream_lag_seconds"]['stream="samples/vibration/",kind="samples"'] < 20
    assert set(found["rigbus_temperature_celsius"]) == {'device="bench",channel="0"', 'device="bench",channel="1"'}
    assert found["rigbus_stop_latched"] == {'device="pumps"': 0.0}
    assert found["rigbus_disk_free_bytes"][""] > 0


def test_counters_only_grow_and_the_account_adds_up(faces):
    first = samples(faces)
    faces.rig.until(lambda: samples(faces)["rigbus_frames_stored_total"]['src="pulse"']
                    > first["rigbus_frames_stored_total"]['src="pulse"'], "more is stored")  # fmt: skip
    second = samples(faces)
    for name in first:
        if name.endswith("_total"):
            for labels, value in first[name].items():
                assert second[name][labels] >= value, (name, labels)
    for src in SOURCES:
        published, stored, lost, pending = (
            second[f"rigbus_frames_{name}"][f'src="{src}"']
            for name in ("published_total", "stored_total", "lost_total", "pending")
        )
        assert published == stored + lost + pending
        assert published > 0


def test_a_daemon_that_is_down_and_a_stop_are_seen(faces):
    rig = faces.rig
    faces.post("/pump/stop-all")
    rig.until(lambda: samples(faces)["rigbus_stop_latched"]['device="pumps"'] == 1, "the stop is seen")
    rig.stop("pump")
    rig.until(lambda: samples(faces)["rigbus_daemon_up"]['daemon="pump"'] == 0, "it is seen as down")
    found = samples(faces)
    # what is not known has no sample: never a 0
    assert 'daemon="pump"' not in found["rigbus_daemon_cpu_seconds_total"]
    rig.start("pump")
    rig.ready("pump")
    rig.until(lambda: samples(faces)["rigbus_daemon_up"]['daemon="pump"'] == 1, "it is up again")
    mover = Faces(rig, CONTROL)
    mover.post("/pump/unlock-all")
    mover.http.close()
    rig.until(lambda: samples(faces)["rigbus_stop_latched"]['device="pumps"'] == 0, "it is unlocked")


def test_the_dashboards_ask_for_what_there_is(faces):
    served = set(samples(faces))
    # some are there only when there is something to tell
    seldom = {"rigbus_lost_unknown", "rigbus_lost_total"}
    named = {name for expr in dashboards() for name in re.findall(r"rigbus_[a-z_]+", expr)}
    assert named - seldom <= served
    lines = ["groups:", "- name: dashboards", "  rules:"]
    for i, expr in enumerate(dashboards()):
        lines += [f"  - record: dashboard:panel{i}", f"    expr: {json.dumps(expr)}"]
    rules = faces.rig.folder / "rules.yml"
    rules.write_text("\n".join(lines) + "\n")
    done = subprocess.run([need("promtool"), "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_of_the_documentation_are_valid_and_ask_for_what_there_is(faces):
    text = (ROOT / "docs/grafana.md").read_text()
    (alerts,) = re.findall(r"```yaml\n(groups:.*?)```", text, re.DOTALL)
    rules = faces.rig.folder / "alerts.yml"
    rules.write_text(alerts)
    done = subprocess.run([need("promtool"), "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"rigbus_[a-z_]+", alerts)) - {"rigbus_lost_total"} <= set(samples(faces))


def test_the_metrics_are_those_of_the_documentation(faces):
    text = (ROOT / "docs/http.md").read_text().partition("## Prometheus\n")[2]
    documented: set[str] = set()
    for line in text.splitlines():
        for name in re.findall(r"`(rigbus_[a-z_]+|_[a-z_]+)(?:\{[a-z,]+\})?`", line.split(" | ")[0]):
            documented.add(name)  # `_lag_seconds`: an ending, behind the line's first name
    served = set(samples(faces))
    known = {n for n in documented if n.startswith("rigbus_")}
    endings = tuple(n for n in documented if n.startswith("_"))
    assert {name for name in served if name not in known and not name.endswith(endings)} == set()
    assert known - served <= {"rigbus_lost_total", "rigbus_lost_unknown", "rigbus_clock_set"}


def test_the_example_configuration_is_valid():
    config = ROOT / "config/prometheus.yml"
    done = subprocess.run(
        [need("promtool"), "check", "config", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_prometheus_scrapes_the_example_configuration(faces):
    folder, port = faces.rig.folder, free_port()
    text = (ROOT / "config/prometheus.yml").read_text()
    target = faces.url.removeprefix("http://")
    token = folder / "token"
    token.write_text(READ)
    text = text.replace("127.0.0.1:8000", target).replace("scrape_interval: 5s", "scrape_interval: 1s")
    text = text.replace("# authorization:", "authorization:")
    text = text.replace("#   credentials_file: /etc/prometheus/rigbus.token", f"  credentials_file: {token}")
    assert target in text
    assert str(token) in text
    config = folder / "prometheus.yml"
    config.write_text(text)
    command = [need("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
    # the console's files are in the package's own place, which is not this one
    command += [f"--web.console.templates={folder}", f"--web.console.libraries={folder}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)

    def ask(path: str, **params: str) -> dict:
        with urlopen(f"http://127.0.0.1:{port}{path}?{urlencode(params)}", timeout=10) as answer:
            found: dict = json.load(answer)["data"]
        return found

    def value(expr: str) -> list[float]:
        return [float(series["value"][1]) for series in ask("/api/v1/query", query=expr)["result"]]

    try:
        faces.rig.until(lambda: value("up") == [1.0], "Prometheus has scraped the rig")
        (scraped,) = ask("/api/v1/targets")["activeTargets"]
        assert scraped["lastError"] == ""
        assert value("rigbus_account_ok") == [1.0]
        before = value('rigbus_frames_stored_total{src="pulse"}')
        faces.rig.until(lambda: value('rigbus_frames_stored_total{src="pulse"}') > before, "the next scrape has more")
        for expr in dashboards():
            ask("/api/v1/query", query=expr)
        assert value("sum(rate(rigbus_frames_published_total[1m]))")[0] > 0
    except AssertionError as e:
        raise AssertionError(f"{e}\n{(folder / 'prometheus.log').read_text()[-2000:]}") from None
    finally:
        process.terminate()
        process.wait(30)
