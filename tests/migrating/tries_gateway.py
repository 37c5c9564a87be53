"""How names that are asked over HTTP and WebSocket are tried: on a rig that runs."""

import os
import re
import socket
import threading
from typing import Any

from migrating_bench import Bench
from migrating_rig import Rig
from migrating_rows import ROOT, Row, lacks, quoted

from common.config.schema import ThermostatDevice
from common.log import Log
from common.paths import Folders
from common.store.rows import THERMOSTAT_FIELDS
from common.thermostats.connection import Connection

VALUES: dict[str, Any] = {
    "pump": "water", "pumps": ["water", "food"], "seconds": 0.2, "run_seconds": 0.3, "ml": 0.1, "ml_per_sec": 2.5,
    "hz": 8000, "direction": "forward", "table": "web_requests", "limit": 3, "from": 0, "to": 4_000_000_000_000,
}  # fmt: skip
ANSWERS: dict[str, set[str]] = {  # what an answer has at least; of a list: each of its maps. Other answers: below
    "/report": {"channel", "temperature", "i_tec", "time", "ts"},
    "/series": {"time", "ts", "temperature_ch0", "temperature_ch1"},
    "/save_once": {"readings"},
    "/pump/run-seconds": {"pump", "seconds", "hz", "direction", "status"},
    "/pump/run-multi-seconds": {"pumps", "seconds", "hz", "direction", "status"},
    "/pump/run-ml": {"pump", "ml", "hz", "direction", "status"},
    "/pump/calibrate-seconds": {"pump", "run_seconds", "hz", "status"},
    "/pump/calibration": {"pumps"},
    "/pump/stop-all": {"status", "message", "locked"},
    "/pump/unlock-all": {"status", "message"},
    "/pump/status": {"locked", "running_pumps"},
    "/api/debug/query": {"id", "ts", "endpoint", "method", "status_code"},
    "/api/debug/events": {"timestamp_ms", "source", "event_type", "payload", "correlation_id"},
    "/api/debug/telemetry": {"timestamp_ms", "source", "event_type", "payload", "correlation_id"},
    "/api/debug/stats": {
        "total_events",
        "rates_per_sec",
        "staleness_ms",
        "avg_pipeline_latency_ms",
        "active_correlations",
    },
}


def endpoint(row: Row, bench: Bench) -> None:
    """Asked with exactly the old fields: 200, and at least the old keys."""
    found = re.fullmatch(r"(GET|POST) (/[^ ?]*)(?:\?(\S+)| \{(.*)\})?", row.name)
    assert found, row.name
    verb, path, query, body = found.groups()
    rig: Rig = bench.rig
    if path == "/docs":
        assert "rigbus" in rig.get(path)
        return
    if path == "/data.csv":
        assert rig.get(path).startswith("time,ts,temperature_ch0,temperature_ch1,i_tec_ch0,i_tec_ch1,")
        return
    if "{correlation_id}" in path:
        _pipeline(rig, path)
        return
    said = {name: VALUES[name] for name in body.split(", ")} if body else None
    if said and path == "/pump/calibration":  # a rate is that of a run
        rig.move("/pump/calibrate-seconds", {"pump": said["pump"], "run_seconds": VALUES["run_seconds"]})
    if path.startswith("/api/debug/"):  # what was asked here before is what there is to see
        rig.until(lambda: rig.get("/api/debug/query", table=VALUES["table"]), "a request is stored")
    if verb == "GET":
        answer = rig.get(
            path,
            **{word.partition("=")[0]: VALUES[word.partition("=")[0]] for word in (query or "").split("&") if word},
        )
    elif said and path != "/pump/calibration":
        answer = rig.move(path, said)
    else:
        answer = rig.post(path, said)
    maps = answer if isinstance(answer, list) else [answer]
    assert maps
    assert all(ANSWERS[path] <= set(one) for one in maps)
    if path == "/pump/stop-all":
        rig.post("/pump/unlock-all")


def _pipeline(rig: Rig, path: str) -> None:
    """A request that names a correlation is found by it, once it is stored."""
    rig.get("/api/debug/query", table="web_requests")
    rig.http.get("/api/debug/stats", headers={"x-correlation-id": "mine"})
    asked = path.replace("{correlation_id}", "mine")
    rig.until(lambda: rig.get(asked), "it is stored")
    stage = rig.get(asked)[0]
    assert {"event", "latency_ms"} <= set(stage)
    assert {"ts", "type", "source"} <= set(stage["event"])


# ---- WebSocket

STATES = {"pause": "paused", "resume": "running", "stop": "stopped", "start": "running"}


def websocket_command(row: Row, bench: Bench) -> None:
    """The reply is of the type that is told, and has the old keys."""
    rig: Rig = bench.rig

    def reaches(state: str) -> None:
        # a status that all viewers are told each 5 s may be taken for the reply: the command is still to come then
        rig.until(lambda: rig.rig.status("highspeed")["state"] == state, f"{row.name}: {state}")

    with rig.socket() as ws:
        ws.next("status")
        said = {"command": row.name}
        if row.name == "get_csv_data":
            said["filename"] = ws.ask("file_list", command="get_file_list")["files"][0]
        if row.name == "resume_collection":
            ws.ask("status", command="pause_collection")
            reaches("paused")
        answer = ws.ask(row.key, **said)
        if row.name.endswith("_collection"):
            reaches(STATES[row.name.removesuffix("_collection")])
            ws.ask("status", command="start_collection")
            reaches("running")
        if row.name == "export_all_csv_zip":
            assert rig.http.get(answer["download_url"]).content[:2] == b"PK"


ASKED = {  # what is said to get a message of this type; the others come unasked
    "file_list": "get_file_list", "folder_structure": "get_folder_structure", "recent_data": "get_recent_data",
    "zip_export": "export_all_csv_zip", "error": "nonsense", "csv_data": "get_csv_data",
}  # fmt: skip


def websocket_message(row: Row, bench: Bench) -> None:
    """It comes, with all that it had."""
    kind, shape = row.name.split(" ", 1)
    with bench.rig.socket() as ws:
        if kind not in ASKED:
            answer = ws.next(kind)
        else:
            said = {"command": ASKED[kind]}
            if kind == "csv_data":  # the newest is empty for a moment
                said["filename"] = ws.ask("file_list", command="get_file_list")["files"][1]
            answer = ws.ask(kind, **said)
    assert lacks(answer, shape) == []


# ---- thermostat


def reading_field(row: Row, bench: Bench) -> None:
    """In the newest reading, and in the CSV: once a row, or once a channel."""
    rig: Rig = bench.rig
    assert all(row.name in reading for reading in rig.get("/report"))
    header = rig.get("/data.csv").splitlines()[0].split(",")
    file = next((rig.csv / "thermostat/bench").glob("*.csv")).read_text().splitlines()[0].split(",")
    assert header == file
    if row.name in ("time", "ts"):
        assert header.index(row.name) == ("time", "ts").index(row.name)
        return
    at = header.index(f"{row.name}_ch0")
    assert header[at + 1] == f"{row.name}_ch1"
    assert at == 2 + 2 * THERMOSTAT_FIELDS.index(row.name)


def answer_field(row: Row, bench: Bench) -> None:
    assert [reading[row.name] for reading in bench.rig.get("/report")] == [0, 1]


def channel(row: Row, bench: Bench) -> None:
    header = bench.rig.get("/data.csv").splitlines()[0].split(",")
    assert all(any(name.endswith(f"_{old.lower()}") for name in header) for old in quoted(row.old))


def device_command(row: Row, bench: Bench) -> None:
    """A device that writes down what it is asked."""
    heard: list[bytes] = []
    reading, writing = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def device() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(64))

        thread = threading.Thread(target=device)
        thread.start()
        cfg = ThermostatDevice(name="bench", host="127.0.0.1", port=server.getsockname()[1], timeout_s=10.0)
        link = Connection(cfg, Folders(bench.folder, bench.folder), Log("test"), reading)
        try:
            link.report()
        except Exception:  # it hangs up without an answer
            pass
        link.close()
        thread.join()
    os.close(reading)
    os.close(writing)
    assert heard == [f"{row.name}\n".encode()]


# ---- pumps


def direction(row: Row, bench: Bench) -> None:
    """This word, and those that stand in the last cell: the run goes that way."""
    rig: Rig = bench.rig
    for word in (row.name, *re.findall(r"`(\w+)`", row.now)):
        answer = rig.move("/pump/run-seconds", {"pump": "food", "seconds": 0.1, "direction": word})
        assert answer["runs"][0]["direction"] == row.name
    if "default" in row.now:
        answer = rig.move("/pump/run-seconds", {"pump": "food", "seconds": 0.1})
        assert answer["runs"][0]["direction"] == row.name


def component(row: Row, bench: Bench) -> None:
    assert row.name in {line["Component"] for line in bench.rig.ledger}


def action(row: Row, bench: Bench) -> None:
    assert row.name in {line["Action"] for line in bench.rig.ledger}


# ---- command lines and Grafana


def command_line(row: Row, bench: Bench) -> None:
    if row.name.startswith("curl -X POST"):
        path = row.name.partition("localhost:8000")[2]
        endpoint(row._replace(old=f"`POST {path}`"), bench)
        return
    plugin = re.fullmatch(r"sudo grafana-cli plugins install (\S+)", row.name)
    assert plugin, row.name
    assert f"type: {plugin[1]}\n" in _provisioned()


def _provisioned() -> str:
    return (ROOT / "config/grafana/provisioning/datasources/rigbus.yaml").read_text()


def grafana_setting(row: Row, bench: Bench) -> None:
    """Our dashboard asks for the same columns, by the same plug-in; the rig has them."""
    if row.name == "Infinity":
        assert "yesoreyeram-infinity-datasource" in _provisioned()
        return
    board = (ROOT / "config/grafana/dashboards/thermostat.json").read_text()
    if row.old.startswith("URL"):
        assert f'"url": "{row.name}' in board
        assert '"type": "csv"' in board
        return
    header = bench.rig.get("/data.csv").splitlines()[0].split(",")
    for column in quoted(row.old):
        assert f'"selector": "{column}"' in board
        assert column in header


TRIES = {
    "endpoint": endpoint, "WebSocket command": websocket_command, "WebSocket message": websocket_message,
    "reading field": reading_field, "answer field": answer_field, "channel": channel, "device command": device_command,
    "direction": direction, "component": component, "action": action, "command line": command_line,
    "Grafana setting": grafana_setting,
}  # fmt: skip
