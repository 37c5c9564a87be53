"""Status by status, against a server that answers as told."""

import io
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from faults import Faults, Hang, Raw, Request, ResetBefore, Say, Scripted, refuse

from common.config.schema import Config, InfluxConfig, SinkConfig
from common.errors import ConfigError
from common.log import Log
from common.secrets import Secrets
from common.sinks.influx.output import InfluxOutput
from common.sinks.influx.server import wait_s
from common.sinks.output import NotNow, Place, Written

T = 1_760_000_000_000_000_000
TOKEN = "sEcReT-t0ken=="


class Bench:
    """An output before a fault server."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder, self.faults, self.said = folder, faults, io.StringIO()
        self.env = folder / ".env"
        self.environ: dict[str, str] = {}
        self.options: dict[str, Any] = {"url": faults.url, "org": "rig", "timeout_s": 1.0}
        self.made: InfluxOutput | None = None

    @property
    def output(self) -> InfluxOutput:
        if self.made is None:
            config = Config(sink=SinkConfig(influx=InfluxConfig(enabled=True, **self.options)))
            secrets = Secrets(self.env, self.environ)
            self.made = InfluxOutput(Place("influx", config, self.folder, Log("sink", self.said), secrets, {}))
        return self.made

    def pulses(self, n: int, first: int = 1) -> Written:
        return self.output.write("pulses", [(i, T + i, "import") for i in range(first, first + n)])

    def fails(self, n: int = 3) -> NotNow:
        with pytest.raises(NotNow) as e:
            self.pulses(n)
        assert TOKEN not in repr(e.value) + str(e.value) + self.said.getvalue()
        assert "\n" not in str(e.value)
        return e.value

    def stored(self) -> list[int]:
        """The times of the lines that were taken, less T."""
        return sorted({int(line.rsplit(b" ", 1)[1]) - T for _, line in self.faults.taken})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Faults() as faults:
        made = Bench(tmp_path, faults)
        yield made
        if made.made is not None:
            made.made.close()


def bad_if(*times: int) -> Any:
    ends = [str(T + t).encode() for t in times]
    return lambda line: line.rsplit(b" ", 1)[1] in ends


def test_a_request_is_what_influxdb_2_expects(bench: Bench) -> None:
    bench.env.write_text(f"INFLUX_TOKEN=other\nINFLUX_WRITE_TOKEN={TOKEN}\n")
    assert bench.pulses(2) == Written([])
    request = bench.faults.requests[0]
    assert (request.method, request.path) == ("POST", "/api/v2/write")
    assert request.query == {"org": "rig", "bucket": "PowerLogger_raw", "precision": "ns"}
    assert request.headers["authorization"] == f"Token {TOKEN}"
    assert request.headers["content-encoding"] == "gzip"
    assert request.body == (
        b"PowerPulse,PulseType=Import Pulse=1i 1760000000000000001\n"
        b"PowerPulse,PulseType=Import Pulse=1i 1760000000000000002\n"
    )


def test_batches_are_no_greater_than_configured_and_use_one_connection(bench: Bench) -> None:
    bench.options["batch"] = 100
    bench.pulses(250)
    assert [len(r.lines) for r in bench.faults.requests] == [100, 100, 50]
    assert bench.stored() == list(range(1, 251))
    assert len(bench.faults._open) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_bad_lines_are_found_and_the_others_are_in(bench: Bench, status: int) -> None:
    bench.faults.otherwise = refuse(status, bad_if(3, 500, 501, 1000), "a\nlong story")
    refused = bench.pulses(1000).refused
    assert [r.row_id for r in refused] == [3, 500, 501, 1000]
    assert {r.table for r in refused} == {"pulses"}
    assert {r.reason for r in refused} == {f"{status}: a long story"}
    assert refused[0].line == b"PowerPulse,PulseType=Import Pulse=1i 1760000000000000003"
    assert bench.stored() == [i for i in range(1, 1001) if i not in (3, 500, 501, 1000)]
    bench.pulses(1000)
    assert bench.said.getvalue().count("refused rows") == 1  # a line for what is new, none for a row


def test_words_are_cut(bench: Bench) -> None:
    bench.faults.otherwise = refuse(400, bad_if(1), "x" * 2000)
    assert len(bench.pulses(1).refused[0].reason) <= 310


def test_what_the_server_counts_as_dropped_needs_no_halving(bench: Bench) -> None:
    words = b'{"code":"unprocessable entity","message":"partial write: points beyond retention policy dropped=1000"}'
    bench.faults.script = [Say(422, {}, words)]
    assert len(bench.pulses(1000).refused) == 1000
    assert len(bench.faults.writes()) == 1


def test_a_request_that_is_wrong_in_itself_puts_no_row_into_quarantine(bench: Bench) -> None:
    bench.faults.otherwise = Say(400, {}, b'{"code":"invalid","message":"organization 1234 not found"}')
    reasons = {str(bench.fails(n)) for n in (1, 5000)}
    bench.faults.otherwise = Say(400, {}, b'{"code":"invalid","message":"organization 5678 not found"}')
    reasons.add(str(bench.fails()))
    assert len(reasons) == 1
    assert "organization 1234 not found" in reasons.pop()
    assert bench.fails().needs_mending
    assert len(bench.faults.requests) == 8  # no halving


def test_a_large_batch_is_halved_and_stays_smaller(bench: Bench) -> None:
    bench.faults.otherwise = lambda r: Say(413) if len(r.lines) > 300 else Say(204)
    seen: list[int] = []

    def step(request: Request) -> Any:
        if len(request.lines) > 300:
            return Say(413, {"Content-Type": "text/html"}, b"<html>too large</html>")
        seen.extend(int(line.rsplit(b" ", 1)[1]) - T for line in request.lines)
        return Say(204)

    bench.faults.otherwise = step
    assert not bench.pulses(1000).refused
    assert sorted(seen) == list(range(1, 1001))
    n = len(bench.faults.requests)
    bench.pulses(1000)
    assert [len(r.lines) for r in bench.faults.requests[n:]] == [250] * 4


@pytest.mark.parametrize("bad", [7, 994])
def test_one_line_that_is_too_large_goes_to_quarantine_and_batches_stay_large(bench: Bench, bad: int) -> None:
    bench.faults.otherwise = refuse(413, bad_if(bad))
    assert [r.row_id for r in bench.pulses(1000).refused] == [bad]
    n = len(bench.faults.requests)
    bench.pulses(1000, 2001)
    assert len(bench.faults.requests) - n <= 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(bench: Bench, status: int) -> None:
    bench.faults.script = [
        Say(status, {"Retry-After": "7"}),
        Say(status, {}, b"busy"),
        Say(status, {"Retry-After": "9"}),
    ]
    found = [bench.fails() for _ in range(3)]
    assert [e.after_s for e in found] == [7.0, None, 9.0]
    assert len({str(e) for e in found}) == 1
    assert not found[0].needs_mending
    bench.pulses(3)
    assert len({r.body for r in bench.faults.requests}) == 1  # the same bytes each time
    assert bench.stored() == [1, 2, 3]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", None), ("5", 5.0), (" 60 ", 60.0), ("999999999999999999", 3600.0), ("-3", None), ("soon", None),
        ("", None), (None, None), ("1.5", None), ("Mon, 99 Foo", None),
        (formatdate(time.time() - 100, usegmt=True), None),
        (formatdate(time.time() + 10**7, usegmt=True), 3600.0),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, expected: float | None) -> None:
    assert wait_s(header) == expected


def test_retry_after_as_a_date() -> None:
    found = wait_s(formatdate(time.time() + 1000, usegmt=True))
    assert found is not None
    assert 900 < found <= 1000


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, ("token is not accepted", "rigbus influx setup")),
        (403, ("may not write into bucket PowerLogger_raw of rig", "rigbus influx setup")),
        (404, ("no bucket PowerLogger_raw of rig", "rigbus influx setup")),
        (301, ("elsewhere", "sink.influx.url")),
        (405, ("refused (405)",)),
    ],
)
def test_what_has_to_be_mended_says_so_and_goes_on(bench: Bench, status: int, words: tuple[str, ...]) -> None:
    bench.env.write_text(f"INFLUX_WRITE_TOKEN={TOKEN}\n")
    echo = b'{"code":"x","message":"no: Token %s at 10:00:01"}' % TOKEN.encode()
    bench.faults.script = [
        Say(status, {"Location": "http://127.0.0.1:1/"}, echo),
        Say(status, {}, echo.replace(b"01", b"02")),
    ]
    first, second = bench.fails(), bench.fails()
    assert first.needs_mending
    assert str(first) == str(second)
    assert all(word in str(first) for word in words)
    bench.pulses(3)
    assert bench.stored() == [1, 2, 3]


def test_a_token_that_is_mended_is_read_anew(bench: Bench) -> None:
    bench.faults.otherwise = lambda r: Say(204) if r.headers.get("authorization") == "Token right" else Say(401)
    assert "wants a token" in str(bench.fails())
    bench.env.write_text("INFLUX_TOKEN=wrong\n")
    assert "not accepted" in str(bench.fails())
    bench.env.write_text("INFLUX_TOKEN=right\n")
    bench.pulses(1)
    assert [r.headers.get("authorization") for r in bench.faults.requests] == [None, "Token wrong", "Token right"]


def test_a_password_in_the_url_is_sent_and_never_shown(bench: Bench) -> None:
    bench.options["url"] = bench.faults.url.replace("http://", "http://me:pass%40word@")
    bench.faults.script = [Say(500, {}, b"pass@word pass%40word")]
    told = str(bench.fails())
    assert "500" in told
    assert "pass" not in told + bench.said.getvalue() + repr(bench.output._server.__dict__["name"])
    assert bench.faults.requests[0].headers["authorization"] == "Basic bWU6cGFzc0B3b3Jk"


TLS = b"\x15\x03\x01\x00\x02\x02\x28"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Say(500, {}, b"boom"), "a fault there (500): boom"),
        (Say(200, {"Content-Type": "text/html"}, b"<html>login</html>"), "a web page"),
        (Hang(), "no answer in 1 s"),
        (ResetBefore(), "the connection was cut"),
        (Raw(b""), "the connection was cut"),
        (Raw(b"hello"), "no HTTP server"),
        (Raw(b"SSH-2.0-OpenSSH\r\n"), "no HTTP server"),
        (Raw(TLS), "no HTTP server"),
        (Raw(b"HTTP/1.1 500 x\r\nContent-Length: 100\r\n\r\nhalf"), "(500): half"),
        (Raw(b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), ""),
        (Raw(b"HTTP/1.1 500 x\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"), "500"),
        (Raw(b"HTTP/1."), "no HTTP server"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_answer_is_tried_again_with_the_same_bytes(bench: Bench, step: Scripted, words: str) -> None:
    bench.faults.script = [step, step]
    first, second = bench.fails(), bench.fails()
    assert words in str(first)
    assert str(first) == str(second)
    assert first.after_s is None
    bench.pulses(3)
    assert len({r.body for r in bench.faults.requests}) == 1
    assert bench.stored() == [1, 2, 3]


def test_a_server_that_is_not_there(bench: Bench) -> None:
    bench.pulses(1)
    bench.faults.down()
    first, second = bench.fails(), bench.fails()
    assert "no connection to the server" in str(first) + str(second)
    bench.faults.up()
    bench.pulses(3)
    assert bench.stored() == [1, 2, 3]


def test_a_name_that_is_not_known(bench: Bench) -> None:
    bench.options["url"] = "http://influx.invalid:8086"
    assert "name is not known" in str(bench.fails())


def test_tls_is_verified(bench: Bench) -> None:
    bench.options["url"] = bench.faults.url.replace("http", "https")
    bench.faults.otherwise = Raw(TLS)
    told = str(bench.fails())
    assert "https://127.0.0.1" in told


@pytest.mark.parametrize("url", ["localhost:8086", "ftp://x", "http://", "http:///x", "http://[", "", "http://h/?q=1"])
def test_a_url_that_is_none_is_one_line(bench: Bench, url: str) -> None:
    bench.options["url"] = url
    with pytest.raises(ConfigError, match=r"influx\.url"):
        _ = bench.output


def test_a_measurement_that_would_be_a_comment_is_refused(bench: Bench) -> None:
    bench.options["measurement"] = "#1"
    with pytest.raises(ConfigError, match="measurement"):
        _ = bench.output


def test_a_header_of_the_answer_that_cannot_be_read_stops_nothing(bench: Bench) -> None:
    """influxd 1.x repeats its words in a header: 5,000 bad lines make it longer than http.client takes."""

    def step(request: Request) -> Any:
        bad = [line for line in request.lines if bad_if(5)(line)]
        return Say(400, {"X-Influxdb-Error": "x" * 70_000}, b"") if bad else Say(204)

    bench.faults.otherwise = step
    refused = bench.pulses(10).refused
    assert [r.row_id for r in refused] == [5]


@pytest.mark.parametrize(
    ("answer", "sums"), [(Say(200, {}, b"{}"), False), (Say(401), False), (Say(404), True), (Say(400), True)]
)
def test_who_sums_up_is_asked_once(bench: Bench, answer: Say, sums: bool) -> None:
    start = T - T % 3600 * 10**9
    rows = [(i, w, "pulse/import", start, 5, 5.0, 1.0, 5.0, 5.0) for i, w in enumerate((60, 300, 3600), 1)]
    rows += [(9, 60, "samples/vib/x", start, 5, 5.0, 1.0, 5.0, 5.0)]
    bench.faults.otherwise = lambda r: answer if r.path == "/api/v2/tasks" else Say(204)
    bench.output.write("rollups", rows)
    bench.output.write("rollups", rows)
    sent = [(r.query["bucket"], line.split(b",")[0].decode()) for r in bench.faults.writes() for line in r.lines]
    once = [("PowerLogger_1m", "PowerPulse_1m")] * sums + [("PowerLogger_1m", "samples_1m")]
    once += [("PowerLogger_5m", "PowerPulse_5m"), ("PowerLogger_1h", "PowerPulse_1h")] * sums
    assert sent == once * 2
    assert sum(r.path == "/api/v2/tasks" for r in bench.faults.requests) == 1
    assert bench.said.getvalue().count("downsampling is auto") == 1


@pytest.mark.parametrize("mode", ["tasks", "sink"])
def test_who_sums_up_may_be_configured(bench: Bench, mode: str) -> None:
    bench.options |= {"downsampling": mode, "samples": "off"}
    wheres = [feed.where for feed in bench.output.feeds() if feed.table == "rollups"]
    assert wheres == (["series GLOB 'pulse/*'"] if mode == "sink" else [])
    bench.output.write("rollups", [(1, 60, "pulse/import", T, 5, 5.0, 1.0, 5.0, 5.0)])
    assert len(bench.faults.requests) == (mode == "sink")


def test_who_sums_up_is_not_guessed_from_a_server_that_is_ill(bench: Bench) -> None:
    row = (1, 60, "pulse/import", T, 5, 5.0, 1.0, 5.0, 5.0)
    bench.faults.script = [Say(503, {"Retry-After": "3"}), Say(404)]
    with pytest.raises(NotNow) as e:
        bench.output.write("rollups", [row])
    assert e.value.after_s == 3.0
    bench.output.write("rollups", [row])
    assert len(bench.faults.writes()) == 1
