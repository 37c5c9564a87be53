"""The contract of the wire, byte for byte: golden/<kind>[.min].hex is what this version writes and must always read.

A frame's bytes may only change by new fields. Then, and only then: python tests/wire/test_golden.py --write.
"""

import sys
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from common import frames
from common.frames import Frame, Malformed, decode, decode_head, encode

GOLDEN = Path(__file__).parent / "golden"
HEAD = {
    "v": 1,
    "node": "rig1",
    "src": "daemon",
    "run": "0123456789abcdef",
    "seq": 7,
    "tseq": 3,
    "t": 1_760_000_000_123_456_789,
    "mono": 42_000_000_000,
}
LIVE = {**HEAD, "seq": 0, "tseq": 0}
ARM = {
    "funcode": 1,
    "data": {"angle0": 12.5, "list": [1, None]},
    "address": 2,
    "arm_seq": 1000,
    "joint_id": 5,
    "target_value": -90.25,
    "angles": [0.5, None, 1.5, -2.0, 0.0, 3.25, 65.0],
    "status": {"power_status": 1, "error_status": 0},
    "correlation_id": "c-1",
    "raw_len": 118,
}

# What each kind carries with every field set: exactly the map that msgpack.unpackb must show.
FULL: dict[str, dict[str, Any]] = {
    "pulse": {
        **HEAD,
        "channel": "import",
        "edges": [0, 1_000_000_000, 2_000_000_123],
        "total": 123_456,
        "filtered": 2,
        "missed": 1,
        "time_source": "user",
    },
    "samples": {
        **HEAD,
        "sensor": "vibration",
        "rate_hz": 799.5,
        "nominal_hz": 800.0,
        "n": 2,
        "axes": ["x", "y", "z"],
        "unit": "g",
        "scale": 2**-14,
        "dtype": "<i2",
        "values": bytes(range(12)),
        "dt_ns": [1_250_000],
    },
    "thermostat": {
        **HEAD,
        "device": "tec1",
        "readings": [{"channel": 0, "temperature": 24.5, "i_tec": None}, {"channel": 1, "temperature": None}],
        "dialect": "report",
    },
    "pump": {
        **HEAD,
        "pump": "acid",
        "event": "done",
        "action": "dispense",
        "direction": "forward",
        "command_id": "cmd-1",
        "ml": 2.5,
        "seconds": 12.0,
        "hz": 400.0,
        "steps": 4800,
        "reason": "lease",
    },
    "arm_command": {**HEAD, **ARM},
    "arm_feedback": {**HEAD, **ARM},
    "smoother": {
        **HEAD,
        "joint_id": 3,
        "target": 10.0,
        "current": 9.5,
        "sent": 9.75,
        "step_size": 0.25,
        "dirty": 0,
    },
    "web_request": {
        **HEAD,
        "endpoint": "/api/command/set-joint",
        "method": "GET",
        "params_json": '{"joint":3}',
        "response_ms": 4.5,
        "status_code": 200,
        "correlation_id": "c-1",
        "ok": 1,
    },
    "camera": {
        **HEAD,
        "camera_id": "front",
        "actual_fps": 29.5,
        "target_fps": 30.0,
        "drop_count": 4,
        "motion_score": 0.5,
        "connected": 1,
        "resolution_w": 1280,
        "resolution_h": 720,
        "stalled": 0,
    },
    "event": {
        **HEAD,
        "event_type": "power_on",
        "source": "web",
        "detail": "by hand",
        "data_json": "{}",
        "correlation_id": "c-1",
        "level": "warning",
    },
    "loss": {
        **HEAD,
        "stream": "*",
        "unit": "frame",
        "count": 9,
        "cause": "journal_full",
        "from_t": 1_760_000_000_000_000_000,
        "to_t": 1_760_000_001_000_000_000,
        "detail": "a word",
        "run_of": "fedcba9876543210",
        "from_seq": 11,
        "to_seq": 19,
    },
    "health": {
        **LIVE,
        "last_seq": 7,
        "closed": True,
        "boot_id": "00112233445566778899aabbccddeeff",
        "journal_id": "8877665544332211",
        "ctl": "/run/rigbus/daemon.ctl.sock",
        "pid": 4711,
        "cpu_pct": 1.5,
        "rss_bytes": 28_000_000,
        "rates": {"pulse/import/": 2.0, "loss/daemon/": 0.0},
        "lateness_us": {"p50": 10.0, "p99": 100.5, "p999": 200.0, "max": 300.0},
        "missed_ticks": 5,
        "journal": {"frames": 1, "bytes": 524_288, "oldest": 1_760_000_000_000_000_000},
        "status": "import 123456",
    },
}

# The contract's table: every field of a kind and its types on the wire; * marks one that may be absent,
# ? one that may be nil.
COMMON_TABLE = "k:str v:int node:str src:str run:str seq:int tseq:int t:int mono:int"
ARM_TABLE = (
    "address*:int funcode:int arm_seq*:int joint_id*:int target_value*:float angles*:list status*:dict data:dict "
    "correlation_id*:str raw_len:int"
)
TABLE = {
    "pulse": "channel:str edges:list total:int filtered:int missed*:int time_source:str",
    "samples": "sensor:str rate_hz:float nominal_hz:float n:int axes:list unit:str scale:float dtype:str values:bytes "
    "dt_ns:list",
    "thermostat": "device:str readings:list dialect:str",
    "pump": "pump:str event:str action:str direction:str ml*:float seconds*:float hz*:float steps*:int command_id:str "
    "reason*:str",
    "arm_command": ARM_TABLE,
    "arm_feedback": ARM_TABLE,
    "smoother": "joint_id:int target:float current:float sent:float step_size:float? dirty:int",
    "web_request": "endpoint:str method:str params_json:str? response_ms:float? status_code:int? correlation_id:str? "
    "ok:int?",
    "camera": "camera_id:str actual_fps:float? target_fps:float? drop_count:int? motion_score:float? connected:int? "
    "resolution_w:int? resolution_h:int? stalled:int?",
    "event": "event_type:str source:str detail:str? data_json:str? correlation_id:str? level:str",
    "loss": "stream:str unit:str count:int? cause:str run_of*:str from_seq*:int to_seq*:int from_t:int to_t:int "
    "detail:str",
    "health": "last_seq:int closed:bool boot_id:str journal_id:str ctl:str pid:int cpu_pct:float rss_bytes:int "
    "rates:dict lateness_us:dict missed_ticks:int journal:dict status:str",
}


def types_of(text: str) -> dict[str, str]:
    """Field (with its star) → the names of its types, joined by |."""
    pairs = (word.split(":") for word in text.split())
    return {name: of.replace("?", "|NoneType") for name, of in pairs}


KINDS = sorted(TABLE)


def starred(kind: str) -> set[str]:
    return {name[:-1] for name in types_of(TABLE[kind]) if name.endswith("*")}


def required(kind: str) -> set[str]:
    return {name for name in types_of(TABLE[kind]) if not name.endswith("*")}


def minimal(kind: str) -> dict[str, Any]:
    """The golden frame without its optional fields; a loss whose count nobody knows."""
    fields = {name: value for name, value in FULL[kind].items() if name not in starred(kind)}
    return {**fields, "count": None} if kind == "loss" else fields


CASES = {kind: FULL[kind] for kind in KINDS} | {f"{kind}.min": minimal(kind) for kind in KINDS if starred(kind)}


def frame_of(case: str) -> Frame:
    """Made as a daemon makes it, by the constructor."""
    classes = {cls.__struct_config__.tag: cls for cls in frames.AnyFrame.__args__}
    fields = dict(CASES[case])
    if case == "health":
        fields["lateness_us"] = frames.Lateness(**fields["lateness_us"])
        fields["journal"] = frames.JournalHealth(**fields["journal"])
    return classes[case.partition(".")[0]](**fields)


def golden(case: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{case}.hex").read_text())


def test_every_kind_has_its_golden_frames_and_there_are_no_others():
    kinds = {cls.__struct_config__.tag for cls in frames.AnyFrame.__args__}
    assert kinds == set(TABLE) == set(FULL)
    assert {p.name for p in GOLDEN.iterdir()} == {f"{case}.hex" for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_a_frame_is_written_as_its_golden_bytes(case):
    assert encode(frame_of(case)).hex() == golden(case).hex()


@pytest.mark.parametrize("case", CASES)
def test_golden_bytes_are_the_documented_map_for_plain_msgpack(case):
    assert msgpack.unpackb(golden(case)) == {"k": case.partition(".")[0], **CASES[case]}


@pytest.mark.parametrize("case", CASES)
def test_golden_bytes_decode_to_the_frame(case):
    assert decode(golden(case)) == frame_of(case)


@pytest.mark.parametrize("case", CASES)
def test_the_map_has_the_contracts_fields_and_types(case):
    kind = case.partition(".")[0]
    fields = msgpack.unpackb(golden(case))
    types = types_of(f"{COMMON_TABLE} {TABLE[kind]}")
    expected = {name.rstrip("*"): of for name, of in types.items() if "*" not in name or not case.endswith(".min")}
    assert set(fields) == set(expected)
    wrong = {name: value for name, value in fields.items() if type(value).__name__ not in expected[name].split("|")}
    assert wrong == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_must_be_there_has_no_frame_without_it(kind):
    """A required field is either written from its default or refused where it is missing: never silently absent."""
    defaults = {field.name: field for field in msgspec.structs.fields(type(frame_of(kind)))}
    for name in required(kind):
        assert defaults[name].default is not msgspec.UNSET, name


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_a_newer_version_are_ignored(kind):
    newer = {**msgpack.unpackb(golden(kind)), "v": 2, "new_field": [1, {"a": b"b"}], "another": None}
    assert decode(msgpack.packb(newer)) == msgspec.structs.replace(frame_of(kind), v=2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_keys_does_not_matter(kind):
    fields = msgpack.unpackb(golden(kind))
    assert decode(msgpack.packb(dict(reversed(fields.items())))) == frame_of(kind)


def test_a_kind_of_a_newer_version_is_malformed_but_its_identity_is_read():
    payload = msgpack.packb({"k": "weather", **HEAD, "rain_mm": 3})
    with pytest.raises(Malformed, match="weather"):
        decode(payload)
    head = decode_head(payload)
    assert {"k": head.k, **{name: getattr(head, name) for name in HEAD if name != "v"}} == {
        "k": "weather",
        **{name: value for name, value in HEAD.items() if name != "v"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_of_every_kind_is_read_without_its_body(kind):
    head = decode_head(golden(kind))
    assert (head.k, head.node, head.src, head.run) == (kind, "rig1", "daemon", "0123456789abcdef")
    assert head.seq == (0 if kind == "health" else 7)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("pulse", {"edges": [-1]}),
        ("pulse", {"total": 2**63}),
        ("pulse", {"channel": "a/b"}),
        ("pulse", {"channel": ""}),
        ("pulse", {"edges": "0"}),
        ("pulse", {"time_source": "moon"}),
        ("pulse", {"run": ""}),
        ("pulse", {"node": ""}),
        ("pulse", {"t": 1.5}),
        ("samples", {"n": 3}),
        ("samples", {"dt_ns": [1, 2]}),
        ("samples", {"dtype": "<f8"}),
        ("samples", {"values": "text"}),
        ("pump", {"event": "sneeze"}),
        ("loss", {"unit": "litre"}),
        ("loss", {"count": -1}),
        ("health", {"lateness_us": {}}),
    ],
)
def test_what_breaks_the_contract_is_malformed(kind, wrong):
    with pytest.raises(Malformed):
        decode(msgpack.packb({**msgpack.unpackb(golden(kind)), **wrong}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_without_a_field_that_has_no_default_is_malformed(kind):
    whole = msgpack.unpackb(golden(kind))
    for field in msgspec.structs.fields(type(frame_of(kind))):
        if field.required:
            with pytest.raises(Malformed, match=field.name):
                decode(msgpack.packb({k: v for k, v in whole.items() if k != field.name}))


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    for name in CASES:
        (GOLDEN / f"{name}.hex").write_text(encode(frame_of(name)).hex() + "\n")
