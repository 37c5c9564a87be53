"""Viewers: what each is sent, and that nobody's queue grows."""

import asyncio
from typing import Any

import msgspec
import pytest

from common.gateway.live import Message
from common.gateway.viewers import QUEUE, Subscription, Viewer, Viewers


class _Now:
    """Sections with numbers, as Now gives them."""

    names = ("rig", "pulse")
    t = 5

    def __init__(self) -> None:
        self.numbers = {"rig": (1, b"\x01"), "pulse": (1, b"\x02")}

    def encoded(self, name: str) -> tuple[int, bytes]:
        return self.numbers[name]

    def refresh(self) -> None: ...


class _Live:
    untold = 0

    def follow(self, take: Any) -> Any:
        return lambda: None


def batch(*topics: str) -> list[Message]:
    return [Message(topic, msgspec.msgpack.encode({"n": number}), 0.0) for number, topic in enumerate(topics)]


def said(viewer: Viewer, now: Any) -> list[dict[str, Any]]:
    out = []
    while (message := viewer.next(now)) is not None:
        out.append(msgspec.msgpack.decode(message))
    return out


@pytest.fixture
def viewers() -> Viewers:
    return Viewers(_Live(), _Now())  # type: ignore[arg-type]


def watching(viewers: Viewers, *topics: str) -> Viewer:
    viewer = Viewer()
    viewer.subscription = Subscription(topics)
    viewers._viewers.add(viewer)
    return viewer


def test_frames_by_prefix_as_they_were(viewers):
    power, all_, none = watching(viewers, "pulse/"), watching(viewers, ""), watching(viewers)
    viewers.take(batch("pulse/import/", "samples/vib/", "pulse/export/"))
    now = _Now()
    assert said(power, now) == [
        {"type": "frames", "frames": [["pulse/import/", {"n": 0}], ["pulse/export/", {"n": 2}]]}
    ]
    assert len(said(all_, now)[0]["frames"]) == 3
    assert said(none, now) == []


def test_nothing_that_is_wanted_is_no_message(viewers):
    power = watching(viewers, "pulse/")
    viewers.take(batch("samples/vib/"))
    assert said(power, _Now()) == []


def test_viewers_who_want_the_same_share_one_message(viewers):
    first, second = watching(viewers, "pulse/"), watching(viewers, "pulse/")
    viewers.take(batch("pulse/import/"))
    assert first._frames[0][0] is second._frames[0][0]


def test_beyond_the_queue_the_oldest_goes_and_is_told(viewers):
    slow = watching(viewers, "")
    for _ in range(QUEUE + 10):
        viewers.take(batch("a/", "b/", "c/"))
    assert len(slow._frames) == QUEUE
    found = said(slow, _Now())
    assert found[0] == {"type": "dropped", "frames": 30}
    assert len(found) == 1 + QUEUE
    viewers.take(batch("a/"))
    assert [message["type"] for message in said(slow, _Now())] == ["frames"]


def test_what_the_loop_was_too_busy_for_is_told_to_who_wanted_frames():
    live = _Live()
    viewers = Viewers(live, _Now())  # type: ignore[arg-type]
    one, none = watching(viewers, "a/"), watching(viewers)
    live.untold = 7
    viewers.take(batch("a/"))
    assert said(one, _Now())[0] == {"type": "dropped", "frames": 7}
    assert said(none, _Now()) == []


def test_the_status_has_each_change_once_and_only_the_newest():
    viewer, now = Viewer(), _Now()
    assert said(viewer, now) == []
    viewer.want_status(None)
    assert said(viewer, now) == [{"type": "status", "t": 5, "sections": {"rig": 1, "pulse": 2}}]
    assert said(viewer, now) == []
    now.numbers["pulse"] = (2, b"\x03")
    now.numbers["pulse"] = (3, b"\x04")
    assert said(viewer, now) == [{"type": "status", "t": 5, "sections": {"pulse": 4}}]
    viewer.want_status(["rig"])
    now.numbers["pulse"] = (4, b"\x05")
    assert said(viewer, now) == [{"type": "status", "t": 5, "sections": {"rig": 1}}]


def test_a_reply_goes_before_frames_and_replies_are_bounded(viewers):
    viewer = watching(viewers, "")
    viewers.take(batch("a/"))
    for number in range(1000):
        viewer.reply(op="ping", id=number, ok=True)
    found = said(viewer, _Now())
    assert [message["type"] for message in found] == [*["reply"] * 64, "frames"]
    assert found[63]["id"] == 999


def test_the_last_viewer_ends_what_runs_for_them():
    async def run() -> None:
        viewers = Viewers(_Live(), _Now())  # type: ignore[arg-type]
        first, second = Viewer(), Viewer()
        viewers.add(first)
        viewers.add(second)
        assert viewers.count == 2
        viewers.remove(first)
        viewers.remove(second)
        await asyncio.sleep(0)
        assert viewers.count == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
