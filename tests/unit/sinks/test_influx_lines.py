"""Line protocol: the seed's names to the letter, what is left out, and whatever texts hold comes back whole."""

import math
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sinks.influx import kinds, lines, samples
from common.sinks.influx.lines import Batch
from common.store import chunks

T = 1_760_000_000_123_456_789


def parse(line: str) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """(measurement, tags, fields, time) of a line, by the rules of the published syntax."""
    head, fields, t = _split(line, " ")
    name, *tags = _split(head, ",", quotes=False)
    found: dict[str, Any] = {}
    for pair in _split(fields, ","):
        key, value = _split(pair, "=", 1)
        if value.startswith('"'):
            found[_plain(key)] = re.sub(r'\\(["\\])', r"\1", value[1:-1])
        elif value in ("true", "false"):
            found[_plain(key)] = value == "true"
        else:
            found[_plain(key)] = int(value[:-1]) if value.endswith("i") else float(value)
    return (
        _plain(name),
        {_plain(k): _plain(v) for k, v in (_split(t, "=", 1, quotes=False) for t in tags)},
        found,
        int(t),
    )


def _split(text: str, at: str, most: int = -1, *, quotes: bool = True) -> list[str]:
    """At a character that is neither escaped nor in quotes; quotes mean nothing in tags, before the first space."""
    parts, part, quoted, i = [], "", False, 0
    while i < len(text):
        c = text[i]
        if c == "\\" and i + 1 < len(text) and (quoted or text[i + 1] in ",= "):
            part += text[i : i + 2]
            i += 2
            continue
        quoted ^= c == '"' and quotes and (at != " " or len(parts) > 0)
        if c == at and not quoted and most != 0:
            parts.append(part)
            part, most = "", most - 1
        else:
            part += c
        i += 1
    return [*parts, part]


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def told(value: str) -> str:
    """What a text comes back as: line breaks are two characters each."""
    return value.replace("\n", "\\n").replace("\r", "\\r")


def one(table: str, **values: Any) -> str:
    """The line of a row in which all that is not given is NULL; "" for none."""
    kind = kinds.KINDS[table]
    columns = [kind.time, *kind.tags.values(), *(column for column, _ in kind.fields.values())]
    values = {kind.time: T / 1e9 if kind.time == "ts" else T, "1": 1} | values
    body, ids = kinds.encode(kind, [(7, *(values.get(column) for column in columns))])
    assert len(ids) == body.count(b"\n")
    return body.decode()


def test_pulses_are_the_seeds() -> None:
    body = kinds.Pulses("PowerPulse").body([(1, T, "import"), (2, T + 1, "export"), (3, T + 2, "generate")])
    assert body.decode() == (
        f"PowerPulse,PulseType=Import Pulse=1i {T}\n"
        f"PowerPulse,PulseType=Export Pulse=1i {T + 1}\n"
        f"PowerPulse,PulseType=Generate Pulse=1i {T + 2}\n"
    )


def test_a_channel_or_measurement_with_signs_of_its_own_is_escaped() -> None:
    body = kinds.Pulses("Power, Pulse 100%").body([(1, T, "roof 50%,a=b")])
    assert body.decode() == f"Power\\,\\ Pulse\\ 100%,PulseType=Roof\\ 50%\\,a\\=b Pulse=1i {T}\n"


def test_sums_of_pulses_are_those_of_the_seeds_tasks() -> None:
    start = T - T % 3_600_000_000_000
    rows = [(i, w, "pulse/import", start, 17, 17.0, 1.0, 1.0, 1.0) for i, w in enumerate((60, 300, 3600))]
    assert list(kinds.rollups(rows, "PowerPulse", samples=True)) == [
        (60, 0, f"PowerPulse_1m,PulseType=Import,window=1m PulseCount=17i {start}\n"),
        (300, 1, f"PowerPulse_5m,PulseType=Import,window=5m PulseCount=17i {start}\n"),
        (3600, 2, f"PowerPulse_1h,PulseType=Import,window=1h PulseCount=17i {start}\n"),
    ]
    assert list(kinds.rollups(rows, None, samples=True)) == []


def test_sums_of_samples() -> None:
    rows = [(1, 60, "samples/vibration/x", T, 4, 2.0, -1.0, 1.5, 0.25), (2, 60, "energy/import", T, 1, 1.0, 1, 1, 1)]
    rows.append((3, 60, "samples/vibration/odd,axis/y", T, 2, math.inf, -1.0, 1.5, 0.25))
    assert [line for _, _, line in kinds.rollups(rows, "PowerPulse", samples=True)] == [
        f"samples_1m,axis=x,sensor=vibration,window=1m n=4i,mean=0.5,min=-1.0,max=1.5,last=0.25 {T}\n",
        f"samples_1m,axis=odd\\,axis/y,sensor=vibration,window=1m n=2i,min=-1.0,max=1.5,last=0.25 {T}\n",
    ]
    assert list(kinds.rollups(rows, "PowerPulse", samples=False)) == []


@pytest.mark.parametrize(
    ("table", "values", "line"),
    [
        (
            "thermostat_readings",
            {"device": "bench", "channel": 0, "temperature": 25, "i_tec": None, "pid_engaged": 1},
            f"thermostat,channel=0,device=bench temperature=25.0,pid_engaged=1.0 {T}\n",
        ),
        (
            "pump_events",
            {"pump": "A", "event": "done", "action": "prime", "direction": "forward", "steps": 5, "command_id": "c"},
            f'pump,action=prime,direction=forward,event=done,pump=A steps=5i,command_id="c" {T - 789 + 7}\n',
        ),
        (
            "smoother_state",
            {"joint_id": 2, "target": 1.5, "current": 1.0, "sent": 1e300, "dirty": 1},
            "smoother,joint=2 target=1.5,current=1.0,sent=1e+300,dirty=1i",
        ),
        (
            "web_requests",
            {"endpoint": "/a b", "method": "GET", "response_ms": 1.5, "status_code": 200},
            'web_request,method=GET endpoint="/a b",response_ms=1.5,status_code=200i',
        ),
        ("camera_health", {"camera_id": "c1", "drop_count": 3}, "camera,camera=c1 drop_count=3i"),
        (
            "system_events",
            {"event_type": "start", "source": "", "level": "info", "detail": 'a "b"\nc\\'},
            'event,level=info,type=start n=1i,detail="a \\"b\\"\\nc\\\\"',
        ),
        (
            "dds_feedback",
            {"funcode": 1, "angle0": 0.5, "raw_len": 90, "seq": 4},
            "arm_feedback,funcode=1 angle0=0.5,seq=4i,raw_len=90i",
        ),
        (
            "dds_commands",
            {"funcode": 1, "joint_id": 3, "target_value": -1.5, "raw_len": 0, "data_json": "{}"},
            'arm_command,funcode=1,joint=3 target_value=-1.5,raw_len=0i,data="{}"',
        ),
    ],
)
def test_a_kind(table: str, values: dict[str, Any], line: str) -> None:
    found = one(table, **values)
    assert found.startswith(line)
    name, tags, fields, t = parse(found[:-1])
    assert abs(t - T) < 1500
    assert name in line
    assert tags
    assert fields


def test_an_unknown_count_is_no_zero() -> None:
    head = {"stream": "pulse/import/", "unit": "edge", "cause": "down"}
    _, _, unknown, _ = parse(one("ledger", **head, count=None, **{"count IS NULL": 1}).strip())
    _, _, none, _ = parse(one("ledger", **head, count=0, **{"count IS NULL": 0}).strip())
    assert unknown == {"unknown": True}
    assert none == {"count": 0, "unknown": False}


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_left_out_and_a_row_without_any_has_no_line(value: float | None) -> None:
    assert one("thermostat_readings", device="bench", channel=0, temperature=value) == ""
    assert one("thermostat_readings", device="bench", temperature=value, adc=1.5) == (
        f"thermostat,device=bench adc=1.5 {T}\n"
    )


def test_rows_of_one_time_have_times_of_their_own_that_stay() -> None:
    times = [lines.own_time(T, row_id) for row_id in range(5000, 6000)]
    assert len(set(times)) == 1000
    assert all(t // 1000 == T // 1000 for t in times)
    assert times == [lines.own_time(T, row_id) for row_id in range(5000, 6000)]
    assert lines.own_time(-1, 5) == -1000 + 5


@given(st.text(), st.text(), st.text())
def test_any_text_comes_back_and_stays_in_its_line(source: str, detail: str, kind: str) -> None:
    found = one("system_events", source=source, event_type=kind, detail=detail)
    assert found.count("\n") == 1
    assert "\r" not in found
    name, tags, fields, _ = parse(found[:-1])
    kept = {"source": told(source).rstrip("\\"), "type": told(kind).rstrip("\\")}
    assert (name, tags) == ("event", {key: value for key, value in kept.items() if value})
    assert fields == {"n": 1, "detail": told(detail)}


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**63 - 1)), min_size=3, max_size=3))
def test_any_number_comes_back(values: list[Any]) -> None:
    found = one("camera_health", camera_id="c", actual_fps=values[0], motion_score=values[1], drop_count=values[2])
    expected: dict[str, Any] = {}
    for name, value in zip(("actual_fps", "motion_score"), values[:2], strict=True):
        if value is not None and math.isfinite(value):
            expected[name] = float(value)
    if isinstance(values[2], int):
        expected["drop_count"] = values[2]
    assert (parse(found[:-1])[2] if found else {}) == expected


def chunk(values: Any, dtype: str, scale: float, axes: list[str], step_ns: int = 1000) -> tuple[Any, ...]:
    array = np.array(values, dtype)
    data = chunks.encode(array.tobytes(), *array.shape, dtype)
    names = msgspec.json.encode(axes).decode()
    return (9, T, "vib", len(array), names, "g", scale, dtype, step_ns, chunks.ENCODING, data)


def test_samples_are_a_line_each_in_their_unit() -> None:
    row = chunk([[1, -2], [3, 4], [1, 1]], "<i2", 0.5, ["x", "y 5%"])
    assert [(body.decode(), n) for body, n in samples.encode(row, 2)] == [
        (f"samples,sensor=vib x=0.5,y\\ 5%=-1.0 {T}\nsamples,sensor=vib x=1.5,y\\ 5%=2.0 {T + 1000}\n", 2),
        (f"samples,sensor=vib x=0.5,y\\ 5%=0.5 {T + 2000}\n", 1),
    ]


def test_samples_that_are_no_numbers_are_left_out() -> None:
    row = chunk([[1.5, math.nan], [math.nan, math.inf], [2.0, -1.0]], "<f4", 1.0, ["x", "y"])
    assert [(body.decode(), n) for body, n in samples.encode(row, 100)] == [
        (f"samples,sensor=vib x=1.5 {T}\nsamples,sensor=vib x=2.0,y=-1.0 {T + 2000}\n", 2)
    ]
    row = chunk([[3.0e38, 1.0]], "<f4", 1e300, ["x", "y"])
    assert next(samples.encode(row, 100))[0].decode() == f"samples,sensor=vib y=1e+300 {T}\n"


def test_bytes_that_are_no_chunk_are_said_to_be() -> None:
    row = chunk([[1, 2]], "<i2", 1.0, ["x", "y"])
    for broken in [(*row[:10], b"rubbish"), (*row[:9], "other", row[10]), (*row[:4], "{", *row[5:])]:
        with pytest.raises(chunks.BadChunk):
            list(samples.encode(broken, 100))


def test_a_batch_is_cut_between_lines() -> None:
    batch = Batch("b", "a é=1\nb\x0b\x1c\u2028=2\nc=3\n".encode(), [1, 2, 3])
    head, tail = batch.cut(2)
    assert (head.body.decode(), head.ids) == ("a é=1\nb\x0b\x1c\u2028=2\n", [1, 2])
    assert (tail.body, tail.ids) == (b"c=3\n", [3])
