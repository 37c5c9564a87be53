"""Grafana's files: they parse, ask for what there is, and hold no token. Grafana itself is not run."""

import json
import re
from pathlib import Path

import pytest

from common.store.rows import THERMOSTAT_FIELDS

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "config/grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
SOURCES = (GRAFANA / "provisioning/datasources/rigbus.yaml").read_text()
HEADER = {"time", "ts", *(f"{field}_ch{channel}" for field in THERMOSTAT_FIELDS for channel in (0, 1))}


def panels(path):
    return json.loads(path.read_text())["panels"]


def targets(kind):
    found = [t for path in BOARDS for p in panels(path) for t in p["targets"] if t["datasource"]["type"] == kind]
    assert found, kind
    return found


def test_there_are_four_dashboards():
    assert [path.stem for path in BOARDS] == ["account", "power", "rig", "thermostat"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda p: p.stem)
def test_a_dashboard_is_whole(path):
    board = json.loads(path.read_text())
    assert board["uid"] == f"rigbus-{path.stem}"
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    places = [p["gridPos"] for p in board["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        cells = [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert not [o for o in places if o is not place and (o["x"], o["y"]) in cells], "panels lie over each other"
    for panel in board["panels"]:
        assert panel["title"]
        assert f"uid: {panel['datasource']['uid']}\n" in SOURCES
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        if panel["type"] == "timeseries":
            # a line over what is missing would be a lie
            assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False


def test_infinity_asks_for_columns_of_the_csv():
    for target in targets("yesoreyeram-infinity-datasource"):
        assert target["url"] == "/data.csv"
        assert {column["selector"] for column in target["columns"]} <= HEADER
        assert target["columns"][0] == {"selector": "time", "text": "Time", "type": "timestamp"}
        assert {p["key"] for p in target["url_options"]["params"]} == {"device", "from", "to", "columns"}


def test_flux_asks_for_the_names_of_the_outputs():
    variables = {
        v["name"]: v["query"] for v in json.loads((GRAFANA / "dashboards/power.json").read_text())["templating"]["list"]
    }
    env = dict(re.findall(r"^([A-Z0-9_]+)=(\S+)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert variables["measurement"] == env["MEASUREMENT"]
    for name, key in (("raw", "RAW"), ("1m", "B1M"), ("5m", "B5M"), ("1h", "B1H")):
        assert variables[f"bucket_{name}"] == env[f"{key}_BUCKET"]
    documented = (ROOT / "docs/outputs.md").read_text()
    for target in targets("influxdb"):
        bucket = re.search(r'from\(bucket: "\$\{bucket_(\w+)\}"', target["query"])[1]
        measurement = re.search(r'_measurement == "\$\{measurement\}(\w*)"', target["query"])[1]
        field = re.search(r'r\._field == "(\w+)"', target["query"])[1]
        assert measurement == ("" if bucket == "raw" else f"_{bucket}")
        assert field == ("Pulse" if bucket == "raw" else "PulseCount")
        assert f"`{field}" in documented
        assert set(re.findall(r"\$\{(\w+)\}", target["query"])) <= set(variables)


def test_no_file_holds_a_token():
    for path in [p for p in GRAFANA.rglob("*") if p.is_file()]:
        for line in path.read_text().splitlines():
            if re.search(r"token|password|secret", line, re.IGNORECASE) and not line.startswith("#"):
                value = line.partition(":")[2].strip()
                assert value in ("", "bearerToken") or re.fullmatch(r"\$[A-Z_]+", value), f"{path.name}: {line}"


def test_every_variable_is_documented():
    used = set()
    for path in (GRAFANA / "provisioning").rglob("*.yaml"):
        used |= set(re.findall(r": \$([A-Z_]+)$|- \$([A-Z_]+)$", path.read_text(), re.MULTILINE))
    names = {name for pair in used for name in pair if name}
    own, others = {"RIGBUS_URL", "RIGBUS_READ_TOKEN", "RIGBUS_DASHBOARDS"}, {"INFLUX_HOST", "INFLUX_ORG"}
    assert names == {*own, *others, "PROMETHEUS_URL", "INFLUX_READ_TOKEN"}
    documented = (ROOT / "docs/grafana.md").read_text()
    assert all(f"`{name}`" in documented or f"{name}=" in documented for name in names)
