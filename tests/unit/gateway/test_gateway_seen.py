"""The newest of everything on the bus."""

from typing import Any

import msgspec
import numpy as np
import pytest

from common.frames import ArmFeedback, Frame, Pulse, Pump, Samples, encode
from common.gateway.live import Message
from common.gateway.seen import Seen
from common.topics import topic_of

S = 10**9


def told(seen: Seen, *frames: Frame) -> None:
    for frame in frames:
        frame.node, frame.src, frame.run, frame.seq = "n", "src", "0" * 16, 1
        seen.take([Message(topic_of(frame), encode(frame), 0.0)])


@pytest.fixture
def seen() -> Seen:
    return Seen({"vib": 2.0})


def test_power_is_of_the_last_two_edges(seen):
    told(seen, Pulse(channel="import", edges=[0], total=1, t=S))
    assert seen.edges["import"][:4] == (1, S, None, 0)
    told(seen, Pulse(channel="import", edges=[0], total=2, t=3 * S))
    assert seen.edges["import"][:4] == (2, 3 * S, 2.0, 1)
    told(seen, Pulse(channel="import", edges=[0, S // 2], total=4, t=4 * S))
    assert seen.edges["import"][:4] == (4, 4 * S + S // 2, 0.5, 1)


def test_edges_of_a_lost_frame_count_for_the_mean_between(seen):
    told(seen, Pulse(channel="import", edges=[0], total=1, t=S), Pulse(channel="import", edges=[0], total=6, t=11 * S))
    assert seen.edges["import"][:4] == (6, 11 * S, 10.0, 5)


def test_a_frame_without_edges_changes_nothing(seen):
    told(seen, Pulse(channel="import", edges=[0], total=1, t=S))
    told(seen, Pulse(channel="import", edges=[], filtered=3, total=1, t=2 * S))
    assert seen.edges["import"].t == S


@pytest.mark.parametrize(("total", "t"), [(1, 2 * S), (5, 2 * S), (6, S), (6, S // 2)])
def test_a_total_or_a_clock_that_goes_back_gives_no_power(seen, total, t):
    told(seen, Pulse(channel="import", edges=[0], total=5, t=S), Pulse(channel="import", edges=[0], total=total, t=t))
    assert seen.edges["import"][2:4] == (None, 0)


def samples(values: list[list[int]], scale: float = 2 / 32768, dtype: Any = "<i2") -> Samples:
    array = np.array(values, dtype)
    return Samples(
        sensor="vib", rate_hz=800.1, nominal_hz=800.0, n=len(values), axes=["x", "y"], unit="g", scale=scale,
        dtype=dtype, values=array.tobytes(), dt_ns=1,
    )  # fmt: skip


def test_clipped_samples_are_counted_each_once(seen):
    told(seen, samples([[32767, -32768], [0, 1], [-32768, 3], [100, 32766]]))
    assert seen.sensors["vib"].clipped == 2
    told(seen, samples([[1, 2]]), samples([[32767, 0]]))
    assert seen.sensors["vib"].clipped == 3


def test_a_chip_with_fewer_bits_clips_at_the_end_of_its_own_range(seen):
    told(seen, samples([[511, 0], [-512, 0], [510, 0]], scale=2 / 512))
    assert seen.sensors["vib"].clipped == 2


def test_floats_have_no_end(seen):
    told(seen, samples([[32767, -32768]], dtype="<f4"))
    assert seen.sensors["vib"].clipped == 0


def test_pump_events_are_bounded_and_have_every_field(seen):
    for number in range(20):
        told(seen, Pump(pump="water", event="started", action="dispense", direction="forward", command_id=str(number)))
    assert len(seen.pump_events) == 8
    assert seen.pump_events[-1]["command_id"] == "19"
    assert seen.pump_events[-1]["ml"] is None
    assert seen.began["water"] == seen.pump_events[-1]["t"]


def test_only_feedback_with_angles_tells_angles(seen):
    told(seen, ArmFeedback(funcode=1, data={}, angles=[1.0, None], t=S), ArmFeedback(funcode=3, data={}, t=2 * S))
    assert seen.angles == (S, [1.0, None])


def test_strangers_are_survived_and_later_kinds_are_streams(seen):
    later = {"k": "new", "node": "n", "src": "s", "run": "0" * 16, "seq": 1, "t": 5}
    seen.take([Message("x/", b"\xc1", 0.0), Message("new/", msgspec.msgpack.encode(later), 1.0)])
    assert seen.malformed == 1
    assert seen.topics == {"new/": ("new", "s", 5, 1.0)}


def test_topics_are_bounded(seen):
    frame = Pulse(channel="a", edges=[], total=0, node="n", src="s", run="0" * 16, seq=1)
    payload = encode(frame)
    for number in range(5000):
        seen.take([Message(f"pulse/{number}/", payload, 0.0)])
    assert len(seen.topics) == 4096


@pytest.mark.parametrize("more", [{"missed": 3}, {"run": "1" * 16}], ids=str)
def test_over_edges_that_nobody_counted_there_is_no_power(seen, more):
    told(seen, Pulse(channel="import", edges=[0], total=5, t=S))
    frame = Pulse(channel="import", edges=[0], total=6, t=2 * S, **({"missed": 3} if "missed" in more else {}))
    frame.node, frame.src, frame.run, frame.seq = "n", "src", more.get("run", "0" * 16), 2
    seen.take([Message(topic_of(frame), encode(frame), 0.0)])
    assert seen.edges["import"].gap_s is None
