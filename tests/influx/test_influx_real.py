"""Against the real influxd 1.x and VictoriaMetrics: what is written is what is there."""

import io
import random
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from faults import Faults, ResetAfter
from servers import Influxd, VictoriaMetrics, need
from v2server import V2Server

from common.config.schema import Config, InfluxConfig, SinkConfig
from common.log import Log
from common.secrets import Secrets
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.sinks.influx.output import InfluxOutput
from common.sinks.output import NotNow, Place
from common.store.writer import Store

T = 1_760_000_000_000_000_000
Open = Callable[..., InfluxOutput]


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with Influxd(tmp_path_factory.mktemp("influxd")) as server:
        yield server


@pytest.fixture
def bucket(influxd: Influxd) -> Iterator[str]:
    """A database of its own."""
    influxd.create("PowerLogger_raw")
    yield "PowerLogger_raw"
    influxd.query('DROP DATABASE "PowerLogger_raw"')


@pytest.fixture
def open_output(tmp_path: Path) -> Iterator[Open]:
    made = []

    def make(url: str, token: str = "", **options: Any) -> InfluxOutput:
        config = Config(sink=SinkConfig(influx=InfluxConfig(enabled=True, url=url, org="rig", **options)))
        secrets = Secrets(tmp_path / ".env", {"INFLUX_WRITE_TOKEN": token})
        made.append(InfluxOutput(Place("influx", config, tmp_path, Log("sink", io.StringIO()), secrets, {})))
        return made[-1]

    yield make
    for output in made:
        output.close()


def pulses(n: int, first: int = 1) -> list[tuple[int, int, str]]:
    return [(i, T + i * 1000, "import") for i in range(first, first + n)]


def test_pulses_arrive_once_however_often_they_are_sent(influxd: Influxd, bucket: str, open_output: Open) -> None:
    with Faults(influxd.url) as faults:
        output = open_output(faults.url)
        faults.script = [ResetAfter(), ResetAfter()]
        for _ in range(2):
            with pytest.raises(NotNow):
                output.write("pulses", pulses(5000))
        output.write("pulses", pulses(5000))
    found = influxd.points(bucket)
    assert found == {("PowerPulse", (("PulseType", "Import"),), T + i * 1000) for i in range(1, 5001)}
    (counted,) = influxd.query('SELECT count("Pulse"), sum("Pulse") FROM "PowerPulse"', bucket)
    assert counted["values"][0][1:] == [5000, 5000]


class Run:
    """A consumer on a store with these pulses, and the commits that it needs."""

    def __init__(self, folder: Path, output: InfluxOutput, rows: list[tuple[int, str]]) -> None:
        self.path = folder / "rigbus.db"
        self.store = Store.open(self.path)
        sql = "INSERT INTO pulses (t_ns, channel, total, stream_id, frame_seq) VALUES (?, ?, 1, 1, 1)"
        self.store.work(lambda conn: conn.executemany(sql, rows))
        self.consumer = Consumer("influx", output, str(self.path), Gate(), Log("sink", io.StringIO()))
        self.consumer.start()

    def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, (self.consumer.state, self.consumer.reason)
            move = self.consumer.mailbox.take()
            self.store.commit([], moves=[move] if move else [])
            self.consumer.mailbox.confirm()
            self.consumer.wake()
            time.sleep(0.05)

    def rows(self, sql: str) -> list[Any]:
        return self.store.work(lambda conn: conn.execute(sql).fetchall())

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.stop(1.0)
        assert self.consumer.join(20.0)
        self.store.close()


@pytest.mark.parametrize("version", [1, 2])
def test_ten_bad_points_among_ten_thousand(
    tmp_path: Path, influxd: Influxd, bucket: str, open_output: Open, version: int
) -> None:
    """Ten rows are in quarantine with the server's words, 9,990 in influxd, and what is mended is sent again.

    Five have a time that InfluxDB does not know, five a type that conflicts with what it holds in their week.
    """
    week = 7 * 86400 * 10**9
    influxd.ask("POST", f"/write?db={bucket}", f"PowerPulse,PulseType=Old Pulse=1.5 {T - 9 * week}".encode())
    rows = [(T + i * 1000, "import") for i in range(1, 10_001)]
    early, odd = (1500, 1501, 4999, 7000, 10_000), (1, 2500, 5000, 5001, 9999)
    for i in early:
        rows[i - 1] = (T - 9 * week + i * 1000, "import")
    for i in odd:
        rows[i - 1] = (2**63 - 1, f"c{i}")
    with V2Server(influxd.url) as v2, Faults(influxd.url) as faults:
        v2.add_bucket(bucket, 0)
        url, token = (v2.url, v2.admin_token) if version == 2 else (faults.url, "")
        with Run(tmp_path, open_output(url, token), rows) as run:
            sql = "SELECT row_id, reason, line FROM quarantine ORDER BY row_id"
            run.until(lambda: run.consumer.behind == 0 and len(run.rows(sql)) == 10)
            found = {row: (reason, line) for row, reason, line in run.rows(sql)}
            assert set(found) == {*early, *odd}
            assert all("field type conflict" in found[i][0] for i in early)
            assert all("time outside range" in found[i][0] for i in odd)
            assert found[2500][1] == b"PowerPulse,PulseType=C2500 Pulse=1i 9223372036854775807"
            good = {t for i, (t, _) in enumerate(rows, 1) if i not in (*early, *odd)}
            assert {t for _, tags, t in influxd.points(bucket) if tags == (("PulseType", "Import"),)} == good
            # mended: the old point is gone, and the rows are asked for again
            influxd.query(f"DROP SHARD {shards(influxd, bucket)[0]}")
            run.store.work(lambda conn: conn.execute("UPDATE quarantine SET requeued = 1"))
            run.until(lambda: len(run.rows(sql)) == 5 and not run.rows("SELECT 1 FROM quarantine WHERE requeued = 1"))
            good |= {rows[i - 1][0] for i in early}
            assert {t for _, _, t in influxd.points(bucket)} == good


def shards(influxd: Influxd, bucket: str) -> list[int]:
    """Ids of a bucket's shards, by their start."""
    (series,) = [s for s in influxd.query("SHOW SHARDS") if s["name"] == bucket]
    at = {name: i for i, name in enumerate(series["columns"])}
    return [row[at["id"]] for row in sorted(series["values"], key=lambda row: row[at["start_time"]])]


def test_tokens_and_buckets_of_version_2(influxd: Influxd, bucket: str, open_output: Open) -> None:
    with V2Server(influxd.url) as v2:
        with pytest.raises(NotNow, match="wants a token"):
            open_output(v2.url).write("pulses", pulses(1))
        with pytest.raises(NotNow, match="not accepted"):
            open_output(v2.url, "wrong").write("pulses", pulses(1))
        with pytest.raises(NotNow, match="no bucket PowerLogger_raw of rig"):
            open_output(v2.url, v2.admin_token).write("pulses", pulses(1))
        made = v2.add_bucket(bucket, 0)
        poor = v2.authorize("poor", [])["token"]
        with pytest.raises(NotNow, match="may not write into bucket PowerLogger_raw"):
            open_output(v2.url, poor).write("pulses", pulses(1))
        rights = [{"action": "write", "resource": {"type": "buckets", "id": made["id"]}}]
        writer = v2.authorize("writer", rights)["token"]
        assert not open_output(v2.url, writer).write("pulses", pulses(3)).refused
    assert len(influxd.points(bucket)) == 3


def test_texts_arrive_as_they_are(influxd: Influxd, bucket: str, open_output: Open) -> None:
    detail = 'a "quoted" \\ text, with = and é\u2028 and \\" at its end\\'
    row = (5, T / 1e9, "warn, loud", 'a "b=c', "t", 1, detail, None, None)
    with Faults(influxd.url) as faults:
        output = open_output(faults.url)
        columns = next(feed.columns for feed in output.feeds() if feed.table == "system_events")
        assert columns.startswith("ts, level, source, event_type, 1, detail")
        assert not output.write("system_events", [row]).refused
    (series,) = influxd.query('SELECT "detail" FROM "event" GROUP BY *', bucket)
    assert series["tags"] == {"level": "warn, loud", "source": 'a "b=c', "type": "t"}
    assert series["values"] == [[T + 5, detail]]


def test_whatever_texts_hold_no_line_is_refused_and_all_come_back(
    influxd: Influxd, bucket: str, open_output: Open
) -> None:
    draw = random.Random(4)
    signs = [*'\\\\"",,== \'#abé\n\r\t\u2028']
    texts = ["".join(draw.choices(signs, k=draw.randrange(7))) for _ in range(4000)]
    rows = [(i, T / 1e9 + i, *texts[i - 1 :: 1000][:3], 1, texts[2999 + i], None, None) for i in range(1, 1001)]
    with Faults(influxd.url) as faults:
        assert not open_output(faults.url).write("system_events", rows).refused

    def told(text: str) -> str:
        return text.replace("\n", "\\n").replace("\r", "\\r")

    expected = set()
    for row_id, ts, *tags, _, detail, _, _ in rows:
        pairs = zip(("level", "source", "type"), (told(tag).rstrip("\\") for tag in tags), strict=True)
        time_ns = int(ts * 1e9) // 1000 * 1000 + row_id % 1000
        expected.add((time_ns, tuple(pair for pair in pairs if pair[1]), told(detail)))
    found = set()
    for series in influxd.query('SELECT "detail" FROM "event" GROUP BY *', bucket):
        tags_found = tuple(sorted((k, v) for k, v in series["tags"].items() if v))
        found.update((t, tags_found, detail) for t, detail in series["values"])
    assert found == expected


def test_late_data_corrects_a_sum(influxd: Influxd, open_output: Open) -> None:
    influxd.create("PowerLogger_1m", "PowerLogger_1h")
    start = T - T % 3_600_000_000_000
    with Faults(influxd.url) as faults:
        output = open_output(faults.url, downsampling="sink")
        for row_id, n in ((1, 5), (4, 9)):
            rows = [(row_id + i, w, "pulse/import", start, n, 1.0 * n, 1, 1, 1) for i, w in enumerate((60, 3600))]
            assert not output.write("rollups", rows).refused
    for window in ("1m", "1h"):
        (series,) = influxd.query(f'SELECT * FROM "PowerPulse_{window}"', f"PowerLogger_{window}")
        assert series["columns"] == ["time", "PulseCount", "PulseType", "window"]
        assert series["values"] == [[start, 9, "Import", window]]


def test_victoria_metrics_takes_the_same_writes(tmp_path: Path, open_output: Open) -> None:
    """Times come out in ms, texts as 0, and nothing is ever refused (docs/outputs.md)."""
    with VictoriaMetrics(tmp_path / "vm") as server:
        output = open_output(server.url)
        rows = [(i, T + i * 10**9, "import") for i in range(1, 1001)]
        assert not output.write("pulses", rows).refused
        start = T - T % 3_600_000_000_000
        assert not output.write("rollups", [(1, 60, "pulse/import", start, 7, 7.0, 1, 1, 1)]).refused
        (series,) = server.export('{__name__="PowerPulse_Pulse"}')
        assert series["metric"]["PulseType"] == "Import"
        assert sorted(series["timestamps"]) == [(T + i * 10**9) // 10**6 for i in range(1, 1001)]
        assert set(series["values"]) == {1}
        (sums,) = server.export('{__name__="PowerPulse_1m_PulseCount"}')  # it has no tasks: asked, and written here
        assert (sums["values"], sums["timestamps"]) == ([7], [start // 10**6])


def test_victoria_metrics_needs_its_deduplication_for_what_is_sent_again(tmp_path: Path, open_output: Open) -> None:
    with VictoriaMetrics(tmp_path / "vm", "-dedup.minScrapeInterval=1ms") as server:
        output = open_output(server.url)
        start = T - T % 3_600_000_000_000
        for n in (5, 9):
            output.write("pulses", [(i, T + i * 10**9, "import") for i in range(1, 101)])
            output.write("rollups", [(n, 60, "pulse/import", start, n, 1.0 * n, 1, 1, 1)])
        (series,) = server.export('{__name__="PowerPulse_Pulse"}')
        assert len(series["values"]) == 100
        (sums,) = server.export('{__name__="PowerPulse_1m_PulseCount"}')
        assert sums["values"] == [9]


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl command to make a certificate")
    made = folder / "cert.pem", folder / "key.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [program, "req", *options, *names, "-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run(command, check=True, capture_output=True)
    return str(made[0]), str(made[1])


def test_tls(tmp_path: Path, open_output: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that the machine trusts is taken, another is not."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with V2Server() as v2:
        v2.add_bucket("PowerLogger_raw", 0)
        v2._http.socket = context.wrap_socket(v2._http.socket, server_side=True)
        v2._http.handle_error = lambda *_: None  # a client that does not trust it
        url = v2.url.replace("http", "https")
        with pytest.raises(NotNow, match="TLS failed"):
            open_output(url, v2.admin_token).write("pulses", pulses(3))
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        assert not open_output(url, v2.admin_token).write("pulses", pulses(3)).refused
        assert len(v2.lines["PowerLogger_raw"]) == 1


@pytest.mark.parametrize("required", [False, True])
def test_a_server_that_is_missing_is_skipped_but_never_where_it_must_be(
    monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    monkeypatch.setattr(servers, "_REQUIRED", required)
    with pytest.raises(pytest.fail.Exception if required else pytest.skip.Exception, match="no-such-server"):
        need("no-such-server")
