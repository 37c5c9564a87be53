"""Frames of every kind over random values: nothing changes on the way, and no bytes can do harm to a reader."""

import contextlib
import math
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from common import frames
from common.frames import AnyFrame, Frame, Malformed, Samples, decode, decode_head, encode

KINDS: dict[str, type[Frame]] = {cls.__struct_config__.tag: cls for cls in AnyFrame.__args__}
ANY_INT = st.integers(-(2**63), 2**64 - 1)  # all that MessagePack has
ANYTHING = st.recursive(
    st.none() | st.booleans() | ANY_INT | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def values(t: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a field's type, as its annotation declares it."""
    match t:
        case inspect.IntType():
            low = -(2**63) if t.ge is None else t.ge
            return st.integers(low, 2**64 - 1 if t.le is None else t.le)
        case inspect.StrType():
            return st.text() if t.pattern is None else st.from_regex(t.pattern, fullmatch=True)
        case inspect.FloatType():
            return st.floats(allow_nan=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.BytesType():
            return st.binary()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return ANYTHING
        case inspect.LiteralType():
            return st.sampled_from(t.values)
        case inspect.ListType():
            return st.lists(values(t.item_type), max_size=5)
        case inspect.DictType():
            return st.dictionaries(values(t.key_type), values(t.value_type), max_size=5)
        case inspect.UnionType():
            return st.one_of([values(one) for one in t.types])
        case inspect.StructType():
            return st.builds(t.cls, **{f.name: values(f.type) for f in t.fields})
    raise AssertionError(f"no strategy for {t}")


@st.composite
def whole_samples(draw: st.DrawFn, fields: dict[str, Any]) -> dict[str, Any]:
    """Counts that agree, as a daemon makes them: values for n × axes, n − 1 steps."""
    n = draw(st.integers(0, 5))
    axes = draw(st.lists(st.text(max_size=2), max_size=3))
    size = n * len(axes) * (2 if fields["dtype"] == "<i2" else 4)
    step = st.integers(0, 2**63 - 1)
    dt_ns = draw(step | st.lists(step, min_size=max(0, n - 1), max_size=max(0, n - 1)))
    return {**fields, "n": n, "axes": axes, "values": draw(st.binary(min_size=size, max_size=size)), "dt_ns": dt_ns}


@st.composite
def frames_of(draw: st.DrawFn, cls: type[Frame]) -> Any:
    """A frame with random values in every field, optional ones set or not."""
    fields = {}
    for field in inspect.type_info(cls).fields:
        if field.default is UNSET and draw(st.booleans()):
            continue
        fields[field.encode_name] = draw(values(field.type))
    if cls is Samples:
        fields = draw(whole_samples(fields))
    identity = st.from_regex(r"[a-zA-Z0-9_][a-z0-9_.-]{0,7}", fullmatch=True)
    run = st.text("0123456789abcdef", min_size=16, max_size=16)
    return cls(**{**fields, "node": draw(identity), "src": draw(identity), "run": draw(run)})


any_frame = st.one_of([frames_of(cls) for cls in KINDS.values()])


def plain(frame: Frame) -> dict[str, Any]:
    """The map a subscriber must see: the kind, every field that is set, nothing else."""
    fields: dict[str, Any] = msgspec.to_builtins(frame, builtin_types=(bytes,))
    return fields


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_plain_msgpack_reads_what_was_written(kind, data):
    frame = data.draw(frames_of(KINDS[kind]))
    seen = msgpack.unpackb(encode(frame))
    assert seen == plain(frame)
    assert seen["k"] == kind
    assert {name for name in frame.__struct_fields__ if getattr(frame, name) is not UNSET} == set(seen) - {"k"}


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_frame_comes_back_as_it_was(kind, data):
    frame = data.draw(frames_of(KINDS[kind]))
    back = decode(encode(frame))
    assert type(back) is type(frame)
    assert back == frame
    head = decode_head(encode(frame))
    assert (head.k, head.node, head.src, head.run, head.seq) == (kind, frame.node, frame.src, frame.run, frame.seq)


@given(any_frame, st.dictionaries(st.text(min_size=1), ANYTHING, max_size=4))
@settings(deadline=None)
def test_keys_of_a_newer_version_change_nothing(frame, extra):
    known = {"k", *frame.__struct_fields__}
    newer = {**plain(frame), **{key: value for key, value in extra.items() if key not in known}}
    assert decode(msgpack.packb(newer)) == frame


@given(any_frame)
@settings(deadline=None)
def test_a_field_with_a_default_may_be_missing(frame):
    """An older publisher: every field that has a default is left out, but for the identity."""
    old = plain(frame)
    defaults = {}
    for field in msgspec.structs.fields(type(frame)):
        if not field.required and field.name not in ("node", "src", "run"):
            old.pop(field.encode_name, None)
            defaults[field.name] = field.default
    back = decode(msgpack.packb(old))
    assert {name: getattr(back, name) for name in defaults} == defaults
    assert back == msgspec.structs.replace(frame, **defaults)


@given(st.floats(), st.floats())
def test_every_float_is_kept_bit_for_bit(current, sent):
    frame = frames.Smoother(node="n", src="s", run="0" * 16, joint_id=1, target=math.nan, current=current, sent=sent)
    back = decode(encode(frame))
    assert msgpack.packb([back.target, back.current, back.sent]) == msgpack.packb([math.nan, current, sent])


def only_malformed(payload: bytes) -> None:
    for read in (decode, decode_head):
        with contextlib.suppress(Malformed):
            read(payload)


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_any_bytes_are_a_frame_or_malformed(payload):
    only_malformed(payload)


@given(any_frame, st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_frames_are_a_frame_or_malformed(frame, data):
    payload = bytearray(encode(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "drop"])):
            case "flip" if at < len(payload):
                payload[at] = data.draw(st.integers(0, 255))
            case "cut":
                del payload[at:]
            case "insert":
                payload[at:at] = data.draw(st.binary(min_size=1, max_size=12))
            case "drop":
                del payload[at : at + data.draw(st.integers(1, 5))]
    only_malformed(bytes(payload))


EXTENSIONS = st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)).map(msgpack.packb)
TIMES = st.binary(min_size=12, max_size=12).map(lambda b: b"\xc7\x0c\xff" + b) | st.binary(min_size=8, max_size=8).map(
    lambda b: b"\xd7\xff" + b
)
STRANGE = st.sampled_from([b"\xc1", b"\x81\x80\x01", b"\x81\x91\x80\x02", b"\xa2\xff\xfe", b"\x91" * 3000 + b"\xc0"])


@given(any_frame, st.data(), EXTENSIONS | TIMES | STRANGE | st.binary(max_size=30))
@settings(max_examples=300, deadline=None)
def test_a_strange_value_in_any_field_is_a_frame_or_malformed(frame, data, raw):
    """Extension types, time stamps out of range, maps as keys, deep nesting, wrong types: in place of one field."""
    fields = plain(frame)
    victim = data.draw(st.sampled_from(sorted(fields)))
    rest = [msgpack.packb(key) + msgpack.packb(value) for key, value in fields.items() if key != victim]
    payload = b"\xdf" + len(fields).to_bytes(4, "big") + b"".join(rest) + msgpack.packb(victim) + raw
    only_malformed(payload)


@given(frames_of(Samples), st.integers(1, 100), st.binary(min_size=1, max_size=7))
@settings(deadline=None)
def test_samples_whose_counts_disagree_are_malformed(frame, more, tail):
    assume(len(frame.axes) > 0)
    wrong = [
        msgspec.structs.replace(frame, n=frame.n + more),
        msgspec.structs.replace(frame, values=frame.values + tail),
        msgspec.structs.replace(frame, dt_ns=[1] * (max(0, frame.n - 1) + more)),
    ]
    for one in wrong:
        with pytest.raises(Malformed, match=r"values|dt_ns"):
            decode(encode(one))


@pytest.mark.parametrize("field", ["data", "a_field_of_a_newer_version"])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1k"], ids=["lists", "maps"])
def test_nesting_without_end_is_malformed(field, opening):
    """A few kilobytes must not bring down a reader by its stack."""
    fields = {"k": "arm_command", "node": "n", "src": "s", "run": "0" * 16, "seq": 1, "funcode": 1}
    payload = bytes([0x80 + len(fields) + 2]) + msgpack.packb(fields)[1:] + msgpack.packb("raw_len") + b"\x01"
    payload += msgpack.packb(field) + opening * 100_000 + b"\xc0"
    with pytest.raises(Malformed):
        decode(payload)
    if field != "data":
        with pytest.raises(Malformed):
            decode_head(payload)
