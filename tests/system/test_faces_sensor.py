"""The sensor face: clients of the old vibration program, by the `websockets` library that they use, on a real rig."""

import base64
import csv
import io
import json
import os
import socket
import time
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from faces import CONTROL, READ, TOKENS, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CONFIG = """
[highspeed]
rate_hz = 200.0
[sink.csv]
enabled = true
file_s = 1
max_files = 5000
"""
STATUS = {"connected", "sampling_rate", "total_samples", "csv_files", "latest_file"}
COLLECTING = {"pause": "paused", "resume": "running", "stop": "stopped", "start": "running"}  # in this order
WAIT_S = 40.0


class Client:
    """As the old program's users wrote theirs: JSON text out, JSON text in."""

    def __init__(self, ws):
        self.ws = ws
        self.aside = []

    def next(self, kind=None):
        """The next message, of this type; others are put aside."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            message = json.loads(self.ws.recv(timeout=WAIT_S))
            if kind in (None, message["type"]):
                return message
            self.aside.append(message)
        raise AssertionError(f"no {kind}")

    def ask(self, kind, **said):
        self.ws.send(json.dumps(said))
        return self.next(kind)


@contextmanager
def client(faces, path="/ws", **more):
    with connect(faces.ws + path, max_size=None, proxy=None, **more) as ws:
        yield Client(ws)


@pytest.fixture(scope="module")
def faces():
    with running(CONFIG, "highspeed") as faces:
        with client(faces) as c:
            faces.rig.until(
                lambda: len(c.ask("file_list", command="get_file_list")["files"]) >= 4, "four files are there"
            )
        yield faces


def readings(faces):
    return faces.rig.data / "csv" / "readings"


@pytest.mark.parametrize("path", ["/ws", "/"])
def test_the_status_comes_by_itself_and_again_every_five_seconds(faces, path):
    with client(faces, path) as c:
        first = c.next("status")
        assert not c.aside, "it is the first, though a file comes each second"
        assert set(first) == {"type", "data"}
        assert set(first["data"]) == STATUS
        assert first["data"]["connected"] is True
        assert 150 < first["data"]["sampling_rate"] < 250
        assert first["data"]["csv_files"] >= 4
        again = c.next("status")
        if any(again["data"][key] == first["data"][key] for key in ("total_samples", "latest_file")):
            again = c.next("status")  # the one for all viewers came at once: both change each second
        assert again["data"]["total_samples"] > first["data"]["total_samples"] > 200
        assert again["data"]["latest_file"] > first["data"]["latest_file"]


def test_the_same_status_when_asked(faces):
    with client(faces) as c:
        c.next("status")
        assert set(c.ask("status", command="get_status")["data"]) == STATUS


def test_new_files_are_told_as_they_come(faces):
    with client(faces) as c:
        told = [c.next("new_file") for _ in range(3)]
        assert all(set(message) == {"type", "filename", "total_files"} for message in told)
        names = [message["filename"] for message in told]
        assert names == sorted(set(names))
        files = c.ask("file_list", command="get_file_list")["files"]
        assert set(names) <= set(files)
        assert told[-1]["total_files"] >= 4


def test_the_file_list_is_the_folders_newest_first(faces):
    with client(faces) as c:
        found = c.ask("file_list", command="get_file_list")
    assert set(found) == {"type", "files"}
    assert found["files"] == sorted(found["files"], reverse=True)
    assert all((readings(faces) / name).is_file() for name in found["files"][:10])
    now = datetime.now(UTC)
    assert found["files"][0][:7] in {f"{t:%Y/%m}" for t in (now, now - timedelta(minutes=5))}


def test_the_folder_structure_is_the_tree(faces):
    with client(faces) as c:
        found = c.ask("folder_structure", command="get_folder_structure")
    leaves = [
        (f"{year}/{month}/{week}/{day}/{entry['filename']}", entry)
        for year, months in found["structure"].items() for month, weeks in months.items()
        for week, days in weeks.items() for day, entries in days.items() for entry in entries
    ]  # fmt: skip
    assert len(leaves) >= 4
    for path, entry in leaves[3:10]:
        assert set(entry) == {"filename", "path", "size", "modified"}
        assert entry["path"] == path
        assert entry["size"] == (readings(faces) / path).stat().st_size


def test_csv_data_is_the_end_of_a_file_with_times(faces):
    with client(faces) as c:
        name = c.ask("file_list", command="get_file_list")["files"][3]
        found = c.ask("csv_data", command="get_csv_data", filename=name)
        assert set(found) == {"type", "filename", "data"}
        assert found["filename"] == name
        with (readings(faces) / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(found["data"]) == len(rows)
        year, month, _, day, clock = name.split("/")
        start = datetime.strptime(f"{year}{month}{day}{clock[:6]}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        for point, row in zip(found["data"], rows, strict=True):
            assert set(point) == {"timestamp", "acceleration"}
            assert point["acceleration"] == float(row["Acceleration"])
            since_ms = (datetime.fromisoformat(point["timestamp"]) - start).total_seconds() * 1000
            assert since_ms == pytest.approx(float(row["Time (ms)"]), abs=0.002)
        # the name alone, as the old page sent it
        alone = c.ask("csv_data", command="get_csv_data", filename=clock)
        assert alone["data"] == found["data"]
        assert alone["filename"] == clock


def test_a_name_alone_is_the_newest_of_that_name_and_1000_points_are_the_most(faces):
    for year, value in (("2001", 1), ("2003", 3), ("2002", 2)):
        folder = readings(faces) / year / "01" / "Week_1" / "02"
        folder.mkdir(parents=True)
        rows = "".join(f"{i}.000,{value + i / 10_000:.4f}\n" for i in range(1500))
        (folder / "030405.csv").write_text(f"Time (ms),Acceleration\n{rows}")
    with client(faces) as c:
        found = c.ask("csv_data", command="get_csv_data", filename="030405.csv")
        assert len(found["data"]) == 1000
        assert found["data"][-1] == {"timestamp": "2003-01-02T03:04:06.499000+00:00", "acceleration": 3.1499}
        older = c.ask("csv_data", command="get_csv_data", filename="2001/01/Week_1/02/030405.csv")
        assert older["data"][0]["acceleration"] == 1.05


OUTSIDE = [
    *("../../rigbus.db", "../aggregate_data.csv", "aggregate_data.csv", "/etc/passwd", "..%2f..%2frigbus.db"),
    *("..\\..\\rigbus.db", "%2e%2e/rigbus.db", "....//....//rigbus.db", "2026/../../../rigbus.db", "a\x00.csv"),
    *("", ".", "..", "/", "x" * 5000, "2026/11/Week_4/22/../22/000000.csv", "\ud800.csv", None, 5, [], {"a": 1}, True),
]


def test_a_path_of_elsewhere_is_an_error(faces):
    with client(faces) as c:
        for name in OUTSIDE:
            assert c.ask("error", command="get_csv_data", filename=name)["message"], name
        assert c.ask("error", command="get_csv_data")["message"]
        assert "csv_data" not in [message["type"] for message in c.aside]


def test_links_out_of_the_tree_are_no_files(faces):
    folder = readings(faces) / "2004" / "01" / "Week_1" / "02"
    folder.mkdir(parents=True)
    (folder / "010101.csv").symlink_to(faces.rig.db)
    (folder / "010102.csv").symlink_to("/etc/passwd")
    (readings(faces) / "2005").symlink_to(readings(faces) / "2004")
    (folder / "010103.csv").mkdir()
    os.mkfifo(folder / "010104.csv")
    with client(faces) as c:
        for name in ("010101.csv", "010102.csv", "010103.csv", "010104.csv"):
            assert c.ask("error", command="get_csv_data", filename=f"2004/01/Week_1/02/{name}")
            assert c.ask("error", command="get_csv_data", filename=name)
        files = c.ask("file_list", command="get_file_list")["files"]
        assert not [name for name in files if name.startswith(("2004", "2005"))]


def test_recent_data_is_in_order_bounded_and_keeps_the_peaks(faces):
    with client(faces) as c:
        found = c.ask("recent_data", command="get_recent_data")
        names = c.ask("file_list", command="get_file_list")["files"]
    assert set(found) == {"type", "data", "file_count"}
    assert 4 <= found["file_count"] <= 120
    assert 200 < len(found["data"]) <= 3000
    times = [point["timestamp"] for point in found["data"]]
    assert times == sorted(times)
    # of files that were whole by then
    whole = names[3:8]
    values = [float(row["Acceleration"]) for name in whole
              for row in csv.DictReader((readings(faces) / name).read_text().splitlines())]  # fmt: skip
    shown = [point["acceleration"] for point in found["data"]]
    assert max(values) <= max(shown)
    assert min(values) >= min(shown)


def test_collection_is_paused_resumed_stopped_and_started(faces):
    def state():
        return faces.rig.status("highspeed")["state"]

    with client(faces) as c:
        for _ in range(2):
            c.next("status")  # its own, and the one for all: the next is 5 s away, and none is taken for a reply
        with client(faces) as other:
            other.next("status")
            for command, then in COLLECTING.items():
                status = c.ask("status", command=f"{command}_collection")
                assert set(status["data"]) == STATUS
                assert status["data"]["connected"] is (then != "stopped")
                assert state() == then
            c.ask("status", command="stop_collection")
            assert "stopped" in c.ask("error", command="resume_collection")["message"]
            c.ask("status", command="start_collection")
            assert other.next("status")["data"]
    faces.rig.until(lambda: {"paused", "stopped"} <= {row[0] for row in faces.rig.rows("SELECT cause FROM ledger")},
                    "what was not taken is in the ledger")  # fmt: skip


SAID = [
    "", "{", "null", "[]", "5", '"get_status"', "{}", '{"command": null}', '{"command": 5}', '{"command": {}}',
    '{"command": ["get_status"]}', '{"command": "get_status "}', '{"command": "GET_STATUS"}', '{"command": "__init__"}',
    '{"command": "run"}', '{"command": "' + "x" * 5000 + '"}', '{"cmd": "get_status"}', b"\xff\xfe", b"get_status",
    "[" * 60_000,
]  # fmt: skip


def test_what_is_no_command_is_an_error_and_the_connection_stays(faces):
    with client(faces) as c:
        for said in SAID:
            c.ws.send(said)
            message = c.next("error")
            assert set(message) == {"type", "message"}
            assert len(message["message"]) < 200
        assert c.ask("status", command="get_status")
        assert c.ask("error", command="nonsense")["message"] == "Unknown command: nonsense"


def test_the_export_is_every_file_and_leaves_nothing_behind(faces):
    with client(faces) as c:
        found = c.ask("zip_export", command="export_all_csv_zip")
        names = c.ask("file_list", command="get_file_list")["files"]
    assert set(found) == {"type", "download_url", "filename", "file_count"}
    answer = httpx.get(found["download_url"], trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert found["filename"] in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        inside = [name.removeprefix("sensor_data/") for name in archive.namelist()]
        assert len(inside) >= found["file_count"] - 2  # what retention took meanwhile is not there
        for name in set(inside[4:8]) & set(names):
            assert archive.read(f"sensor_data/{name}") == (readings(faces) / name).read_bytes()
    assert not list(faces.rig.folder.rglob("*.zip"))
    for url in (found["download_url"] + "x", found["download_url"].replace("/ws/export/", "/ws/export/x")):
        assert httpx.get(url, trust_env=False).status_code == 404
    assert httpx.get(f"{faces.url}/ws/export/x/../../etc/passwd", trust_env=False).status_code == 404
    assert httpx.get(f"{faces.url}/ws/export/%2e%2e%2f/rigbus.db", trust_env=False).status_code == 404


def test_a_client_that_takes_nothing_is_closed_and_holds_up_nobody(faces):
    host, port = faces.url.removeprefix("http://").split(":")
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    stalled.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    stalled.settimeout(1.0)
    command = b'{"command": "get_recent_data"}'
    frame = bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command  # masked with zeros
    closed, end = False, time.monotonic() + 90
    while not closed and time.monotonic() < end:
        try:
            stalled.sendall(frame * 20)
        except TimeoutError:
            pass  # it is not read either: bounded on both sides
        except OSError:
            closed = True
        with client(faces) as c:
            assert c.next("status")
        time.sleep(0.2)
    assert closed
    stalled.close()


def test_tokens_by_header_or_first_message():
    with running(CONFIG, "highspeed", env=TOKENS, token=READ) as faces:
        with client(faces) as c:
            assert "token" in c.ask("error", command="get_status")["message"]
            assert "token" in c.ask("error", command="stop_collection")["message"]
            assert set(c.ask("status", command="auth", token=READ)["data"]) == STATUS
            assert "control" in c.ask("error", command="stop_collection")["message"]
            faces.rig.until(lambda: c.ask("file_list", command="get_file_list")["files"], "there is a file")
            url = c.ask("zip_export", command="export_all_csv_zip")["download_url"]
            # a browser's download has no token: the address is one
            assert httpx.get(url, trust_env=False).status_code == 200
            c.next("status")  # the one for all: the next is 5 s away, and none is taken for a reply
            assert c.ask("status", command="auth", token=CONTROL)
            assert c.ask("status", command="pause_collection")["data"]["connected"] is True
            faces.rig.until(lambda: faces.rig.status("highspeed")["state"] == "paused", "paused")
        for wrong in ("", "wrong", None, 5, READ + "x", READ[:-1], [READ]):
            with client(faces) as c:
                assert c.ask("error", command="auth", token=wrong)["message"]
                with pytest.raises(ConnectionClosed) as closed:
                    c.ws.recv(timeout=WAIT_S)
                assert closed.value.rcvd.code == 1008
        with client(faces, additional_headers={"Authorization": f"Bearer {READ}"}) as c:
            assert c.next("status")
        with client(faces) as c, pytest.raises(ConnectionClosed):
            c.ws.recv(timeout=WAIT_S)  # who says nothing is not waited for


def test_without_csv_files_there_are_none():
    with running("") as faces, client(faces) as c:
        status = c.next()["data"]
        assert status["connected"] is False
        assert status["csv_files"] == 0
        assert status["latest_file"] is None
        assert c.ask("file_list", command="get_file_list")["files"] == []
        assert c.ask("folder_structure", command="get_folder_structure")["structure"] == {}
        assert c.ask("recent_data", command="get_recent_data") == {"type": "recent_data", "data": [], "file_count": 0}
        assert "error" in c.ask("zip_export", command="export_all_csv_zip")
        assert "not running" in c.ask("error", command="start_collection")["message"]
