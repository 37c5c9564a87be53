"""Any text is taken as a message of the arm: it becomes a frame and a row, and no reading is made up."""

import json
import math

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from common import frames
from common.arm import messages
from common.arm.commands import check
from common.arm.messages import JOINTS
from common.errors import RigbusError
from common.store.rows import rows_of

NUMBERS = st.integers(-(2**70), 2**70) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "seq": st.integers(0, 20) | VALUES,
        "address": st.integers(0, 4) | VALUES,
        "funcode": st.integers(0, 8) | VALUES,
        "data": st.dictionaries(st.sampled_from([f"angle{i}" for i in range(8)]), VALUES, max_size=8) | VALUES,
        "more": VALUES,
    },
)
TEXTS = ENVELOPES.map(json.dumps) | VALUES.map(json.dumps) | st.text() | st.binary().map(lambda b: b.decode("latin1"))


def stored(frame):
    """As it comes back from the wire, and the row of it; both must be possible."""
    frame.node, frame.src, frame.run, frame.seq = "n", "dds", "0" * 16, 1
    back = frames.decode(frames.encode(frame))
    _, rows = rows_of(back, 1)
    assert len(rows) == 1
    for value in rows[0]:
        assert value is None or isinstance(value, str | int | float)
        assert not isinstance(value, int) or -(2**63) <= value < 2**63
    return back


@given(TEXTS)
@example('{"address":2,"funcode":1,"data":{}}')
@example("\ud800")
def test_any_text_is_recorded_and_no_angle_is_made_up(text):
    message = messages.read(text)
    frame = stored(messages.feedback(message, "c"))
    stored(messages.command(message, "c"))
    if message.kind != "angles":
        assert frame.angles is UNSET
        return
    said = json.loads(text)
    fields = said.get("data") if isinstance(said.get("data"), dict) else {}
    for joint in range(JOINTS):
        value = fields.get(f"angle{joint}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        assert frame.angles[joint] == (value if is_number else None)


@given(TEXTS)
def test_targets_are_of_joints_that_there_are_and_finite(text):
    for joint, target in messages.targets_of(messages.read(text)).items():
        assert 0 <= joint < JOINTS
        assert math.isfinite(target)


@given(st.lists(st.floats(width=32), min_size=7, max_size=7))
def test_any_servo_angles_are_recorded(angles):
    frame = stored(messages.servo_feedback(angles))
    assert frame.angles == [angle if math.isfinite(angle) else None for angle in angles]


KEYS = st.sampled_from(["id", "angle", "delay_ms", "mode", "power", *(f"angle{i}" for i in range(7))])


@given(st.sampled_from([1, 2, 4, 5, 6, 7]), st.dictionaries(KEYS, NUMBERS | VALUES))
def test_whatever_passes_the_check_is_safe_to_send(funcode, data):
    try:
        order = check(funcode, data)
    except (RigbusError, ValueError):
        return
    message = messages.read(order.text(1))
    assert (message.address, message.funcode, message.fields) == (1, funcode, order.data or {})
    assert 0 <= message.fields.get("id", 0) < JOINTS
    assert all(abs(target) <= 135 for target in messages.targets_of(message).values())
