"""Who looks on over `/live`: what each wants, and a bounded queue for it. All of it runs in the loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from common.gateway.live import Live, Message
from common.gateway.now import Now
from common.gateway.reduce import Reducer

MOST_VIEWERS = 200
QUEUE = 256  # messages; what comes beyond pushes the oldest out
_REPLIES = 64
_TICK_S = 0.25  # the status is looked at so often

_encode = msgspec.msgpack.Encoder().encode


class Subscription(NamedTuple):
    """topics: prefixes. samples_hz: samples of a higher rate are reduced; None: never."""

    topics: tuple[str, ...] = ()
    samples_hz: float | None = None


class Viewer:
    """One connection: `next` gives what is to be sent, in order."""

    def __init__(self) -> None:
        self.subscription = Subscription()
        self.sections: tuple[str, ...] | None = ()  # None: all
        self.dropped = 0  # frames, since the viewer was last told
        self.wake = asyncio.Event()
        self._frames: deque[tuple[bytes, int]] = deque()  # message, frames in it
        self._replies: deque[bytes] = deque(maxlen=_REPLIES)
        self._seen: dict[str, int] = {}  # section → the version that was sent

    def offer(self, message: bytes, frames: int) -> None:
        if len(self._frames) >= QUEUE:
            self.dropped += self._frames.popleft()[1]
        self._frames.append((message, frames))
        self.wake.set()

    def reply(self, **fields: Any) -> None:
        """Goes before everything else."""
        self._replies.append(_encode({"type": "reply", **fields}))
        self.wake.set()

    def say(self, type: str, **fields: Any) -> None:
        self._replies.append(_encode({"type": type, **fields}))
        self.wake.set()

    def want_status(self, sections: Sequence[str] | None) -> None:
        self.sections = None if sections is None else tuple(sections)
        self._seen = {}
        self.wake.set()

    def next(self, now: Now) -> bytes | None:
        """The next message; None: nothing is left to be said."""
        if self._replies:
            return self._replies.popleft()
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            return _encode({"type": "dropped", "frames": dropped})
        if changed := self._changed(now):
            return _encode({"type": "status", "t": now.t, "sections": changed})
        return self._frames.popleft()[0] if self._frames else None

    def _changed(self, now: Now) -> dict[str, msgspec.Raw]:
        """Sections that are others than those last sent: never queued, so a slow viewer gets the newest."""
        out = {}
        for name in now.names if self.sections is None else self.sections:
            version, whole = now.encoded(name)
            if self._seen.get(name) != version:
                self._seen[name] = version
                out[name] = msgspec.Raw(whole)
        return out


class Viewers:
    """All of them. What is the same for several is encoded once."""

    def __init__(self, live: Live, now: Now) -> None:
        self._live, self._now = live, now
        self._viewers: set[Viewer] = set()
        self._reducers: dict[float, Reducer] = {}
        self._untold = 0
        self._tick: asyncio.Task[None] | None = None
        self._unfollow: Callable[[], None] = lambda: None

    @property
    def count(self) -> int:
        return len(self._viewers)

    @property
    def full(self) -> bool:
        return len(self._viewers) >= MOST_VIEWERS

    def add(self, viewer: Viewer) -> None:
        self._viewers.add(viewer)
        if self._tick is None:
            self._unfollow = self._live.follow(self.take)
            self._tick = asyncio.create_task(self._ticking())

    def remove(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers and self._tick is not None:
            self._tick.cancel()
            self._tick = None
            self._unfollow()
            self._reducers.clear()

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            if any(viewer.sections != () for viewer in self._viewers):
                try:
                    self._now.refresh()
                except Exception:
                    continue  # told where the site itself looks
                for viewer in self._viewers:
                    viewer.wake.set()

    def take(self, batch: Sequence[Message]) -> None:
        """A batch from the bus to everybody who wants some of it."""
        untold, self._untold = self._live.untold - self._untold, self._live.untold
        made: dict[Subscription, tuple[bytes, int]] = {}
        for viewer in self._viewers:
            wanted = viewer.subscription
            viewer.dropped += untold if wanted.topics else 0
            if not wanted.topics:
                continue
            if wanted not in made:
                made[wanted] = self._message(wanted, batch)
            if made[wanted][1]:
                viewer.offer(*made[wanted])
        if len(self._reducers) > len(made):  # a viewer may ask for another rate again and again
            used = {wanted.samples_hz for wanted in made}
            self._reducers = {hz: reducer for hz, reducer in self._reducers.items() if hz in used}

    def _message(self, wanted: Subscription, batch: Sequence[Message]) -> tuple[bytes, int]:
        frames = []
        for message in batch:
            if not message.topic.startswith(wanted.topics):
                continue
            payload = message.payload
            if wanted.samples_hz is not None and message.topic.startswith("samples/"):
                if wanted.samples_hz not in self._reducers:
                    self._reducers[wanted.samples_hz] = Reducer(wanted.samples_hz)
                payload = self._reducers[wanted.samples_hz].reduce(message)
            frames.append((message.topic, msgspec.Raw(payload)))
        return (_encode({"type": "frames", "frames": frames}) if frames else b""), len(frames)
