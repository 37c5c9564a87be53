"""The sink's side of the promise: out of a lossy SUB and the publishers' journals, exactly each number once, in order.

One thread runs it. `items` fills up until the sink commits it; `stored` then acknowledges, `rewind` goes back.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from common import frames
from common.config.schema import Config
from common.frames import Health, Malformed
from common.intake.link import RunRow, chunk_of
from common.intake.noise import NoiseCount
from common.intake.source import DAEMON_NAMES, Source
from common.intake.stream import State, Stream
from common.log import Log
from common.paths import Folders, endpoint
from common.store.items import Cursor, Item, Noise, StreamKey

HWM = 10_000
SILENCE_S = 3.0  # no health for so long: the forwarder may be dead, ask the sockets themselves
_CHUNK_FRAMES = 2000
_MAX_STRANGERS = 8  # runs of a source that its journal has not confirmed yet
_MAX_RECV = 4000  # messages a step, so that replies and commits get their turn


class Intake:
    def __init__(
        self, context: zmq.Context[Any], config: Config, folders: Folders, cursors: Mapping[StreamKey, Cursor], log: Log
    ) -> None:
        self.items: list[Item] = []
        self.published: dict[StreamKey, tuple[int, str]] = {}  # what changed since the last commit
        self.taken_bytes = 0  # of messages since the last commit, about what `items` holds
        self.end_seen = False  # a run has ended: commit at once, its publisher waits for it
        self.noise = NoiseCount()
        self.on_health: Callable[[Health], None] = lambda health: None
        self._context, self._config, self._folders, self._log = context, config, folders, log
        self._node = config.node
        self._cursors = dict(cursors)
        self._stored_as = {(key.src, key.run): key for key in cursors}
        self._sources: dict[str, Source] = {}
        self._suspended = False
        self._next_look = 0.0
        self._poller = zmq.Poller()
        self._sub = context.socket(zmq.SUB)
        self._sub.rcvhwm = HWM
        self._sub.linger = 0
        self._sub.reconnect_ivl = 50
        self._sub.reconnect_ivl_max = 500
        self._sub.set(zmq.MAXMSGSIZE, 64 << 20)
        self._sub.subscribe(b"")
        self._sub.connect(endpoint(folders.bus_out))
        self._poller.register(self._sub, zmq.POLLIN)

    # ---- the loop's step

    def step(self, timeout_s: float) -> int:
        """Waits for something, takes in what is there, asks for what is missing; returns how many messages came."""
        self._poller.poll(max(0, round(timeout_s * 1000)))
        count = self._receive()
        for source in self._sources.values():
            self._replies(source)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + SILENCE_S
            self._look_around(now)
        if not self._suspended:
            for source in self._sources.values():
                self._ask(source, now)
        return count

    def _receive(self) -> int:
        recv = self._sub.recv_multipart
        for count in range(_MAX_RECV):
            try:
                parts = recv(zmq.NOBLOCK)
            except zmq.Again:
                return count
            if len(parts) != 2:
                self.noise.add(parts[0], "malformed", f"{len(parts)} parts")
                continue
            try:
                frame = frames.decode(parts[1])
            except Malformed as e:
                self._unreadable(parts[0], parts[1], str(e))
                continue
            if frame.node != self._node:
                self.noise.add(parts[0], "foreign", f"node {frame.node}")
            elif (source := self._find(frame.src)) is None:
                self.noise.add(parts[0], "foreign", f"no daemon {frame.src} on this rig")
            elif type(frame) is Health:
                self._health(source, frame)
            elif (stream := self._stream(source, frame.run)) is None:
                self.noise.add(parts[0], "foreign", f"{frame.src} has no run {frame.run}")
            elif frame.seq and not self._suspended:
                stream.live(parts[0].decode("ascii", "replace"), frame)
            self.taken_bytes += len(parts[1])
        return _MAX_RECV

    def _unreadable(self, topic: bytes, payload: bytes, reason: str) -> None:
        """A message that is no frame we know. If a known stream still waits for its number, the journal's copy decides;

        anything else is noise.
        """
        try:
            head = frames.decode_head(payload)
        except Malformed:
            self.noise.add(topic, "malformed", reason)
            return
        source = self._sources.get(head.src) if head.node == self._node else None
        stream = source.streams.get(head.run) if source else None
        if stream is None or head.seq <= stream.cursor:
            self.noise.add(topic, "malformed", reason)

    def _health(self, source: Source, health: Health) -> None:
        now = time.monotonic()
        if health.run != source.run:
            # a new run's, or a stranger's: its source is asked, but not for each of them
            source.want_runs |= now - source.asked > 1.0
            return
        source.heard = now
        self.on_health(health)
        stream = source.streams.get(health.run)
        if stream is None:
            return  # it keeps no journal
        if health.closed and stream.state is not State.DONE:
            self.end_seen = True
        stream.heard(health.last_seq, ended=health.closed)

    # ---- sources and streams

    def _find(self, src: str) -> Source | None:
        """A source that has a socket or a journal; None for a name that somebody made up."""
        source = self._sources.get(src)
        if source is not None:
            return source
        places = (self._folders.ctl(src), self._folders.counters(src), self._folders.application(src))
        return self._meet(src) if any(place.exists() for place in places) else None

    def _meet(self, src: str) -> Source | None:
        source = Source.meet(src, self._context, self._poller, self._folders, self._config.journal)
        if source is not None:
            self._sources[src] = source
        return source

    def _stream(self, source: Source, run: str) -> Stream | None:
        """The stream of a run; a new one is asked about. None where more are invented than a source can have."""
        stream = source.streams.get(run)
        if stream is not None:
            return stream
        if sum(not s.confirmed for s in source.streams.values()) >= _MAX_STRANGERS:
            return None
        source.want_runs = True
        return self._make(source, run)

    def _make(self, source: Source, run: str) -> Stream:
        # a run that is stored keeps its node: the rig may have been renamed since, and must not store it twice
        key = self._stored_as.get((source.src, run)) or StreamKey(self._node, source.src, run)
        stream = source.streams[run] = Stream(key, self._cursors.get(key, Cursor(0, 0)), self.items)
        stream.born = time.monotonic()
        return stream

    def _note(self, stream: Stream, last: int, boot_id: str = "") -> None:
        """What a journal says of its run; the bus is not believed in this: anybody can speak there."""
        stream.confirmed = True
        told = bool(boot_id) and boot_id != stream.boot_id
        stream.boot_id = boot_id or stream.boot_id
        if last > stream.noted or told:
            stream.noted = max(stream.noted, last)
            self.published[stream.key] = (stream.noted, stream.boot_id)

    def _look_around(self, now: float) -> None:
        """Finds sockets and journals of sources that have not been heard of."""
        for suffix in (".ctl.sock", ".counter"):
            for path in self._folders.run.glob(f"*{suffix}"):
                self._find(path.name.removesuffix(suffix))
        for path in (self._folders.data / "journal").glob("*/"):
            self._find(path.name)
        for key, cursor in self._cursors.items():
            # an application that ended while no sink was there may have left nothing that could be found
            if cursor.closed or key.src in DAEMON_NAMES:
                continue
            ended = self._find(key.src) or self._meet(key.src)
            if ended is not None and not ended.journaled and key.run not in ended.streams:
                self._make(ended, key.run).heard(cursor.published_to, ended=True)
                ended.want_runs = True
        for source in self._sources.values():
            if now - max(source.heard, source.asked) > SILENCE_S:
                source.want_runs = True

    # ---- asking

    def _ask(self, source: Source, now: float) -> None:
        if source.link.timed_out():
            self._silent(source, now)
        if source.link.waiting_for is not None or now < source.pause_until:
            return
        if source.want_runs:
            source.asked = now
            if source.link.ask("runs"):
                source.want_runs = False
            else:
                self._silent(source, now)
            return
        # the newest run first: it is the one whose live frames pile up
        catchup = (s for s in reversed(source.streams.values()) if s.state is State.CATCHUP)
        stream = next(catchup, None)
        if stream is None:
            return
        if source.from_disk:
            chunk = source.dead.replay(stream.key.run, stream.cursor + 1, _CHUNK_FRAMES)
            if chunk is None or not stream.replayed(chunk):
                source.want_runs, source.pause_until = True, now + 0.5
        elif not source.link.ask("replay", stream.key.run, stream.cursor + 1, n=_CHUNK_FRAMES):
            self._silent(source, now)

    def _silent(self, source: Source, now: float) -> None:
        """Nobody answers (yet): where the process is gone, its journal on the disk does."""
        source.silent_asks += 1
        source.pause_until = now + min(1.0, 0.02 * 2 ** min(source.silent_asks, 6))
        source.from_disk = False
        try:
            rows = source.dead.runs()
        except OSError as e:
            self._log.seldom("dead journal", "a dead daemon's journal cannot be read", reason=e.strerror)
            rows = None
        if rows is not None:
            source.from_disk = True
            source.link.close()
            self._runs(source, rows)
        elif source.is_gone:
            rows = []
            source.link.close()
        if rows is not None and not source.journaled:
            self._forsake(source, {row.run for row in rows})
        elif rows is None:
            source.want_runs = any(s.state is not State.DONE for s in source.streams.values())

    def _forsake(self, source: Source, known: set[str]) -> None:
        """Runs of an application of which nothing is left, not even a count."""
        for run, stream in list(source.streams.items()):
            if run in known or stream.state is State.DONE:
                continue
            if stream.confirmed:
                stream.forsake()
            else:
                self._made_up(source, run)

    def _made_up(self, source: Source, run: str) -> None:
        self.noise.add(source.src.encode(), "foreign", f"{source.src} has no run {run}")
        del source.streams[run]

    def _replies(self, source: Source) -> None:
        waiting = source.link.waiting_for
        reply = source.link.reply() if waiting else None
        if waiting is None or reply is None:
            return
        op, run, from_seq = waiting
        now = time.monotonic()
        source.silent_asks, source.from_disk = 0, False
        if self._suspended or not reply.ok:
            source.want_runs, source.pause_until = True, now + 0.2
        elif op == "runs":
            source.heard = now
            source.run = reply.run
            self._runs(source, reply.runs)
            self._reconcile(source, {row.run for row in reply.runs}, journaled=bool(reply.journal_id))
            self._acknowledge(source)
        elif (stream := source.streams.get(run)) is not None and from_seq == stream.cursor + 1:
            self.taken_bytes += sum(len(payload) for _, payload in reply.frames)
            if not stream.replayed(chunk_of(reply)):
                source.pause_until = now + 0.2
            self._note(stream, reply.last)
            if stream.state is State.DONE:
                self.end_seen = True

    def _runs(self, source: Source, rows: list[RunRow]) -> None:
        for row in rows:
            stream = source.streams.get(row.run) or self._make(source, row.run)
            # a LIVE run that is reported closed catches up: else a killed run's tail would wait for the next restart
            stream.heard(row.last, ended=bool(row.closed))
            self._note(stream, row.last, row.boot_id)
        source.want_runs = False

    def _reconcile(self, source: Source, known: set[str], *, journaled: bool) -> None:
        """A run that its own source does not know was made up by a stranger, or its journal was taken away."""
        for run, stream in list(source.streams.items()):
            # born later than the question: the answer could not know it
            if run in known or stream.state is State.DONE or stream.born > source.asked:
                continue
            if not stream.confirmed or not journaled:
                self._made_up(source, run)
            elif source.journaled:
                stream.abandon()
            else:
                stream.forsake()
        for key, cursor in self._cursors.items() if journaled else ():
            open_here = key.src == source.src and not cursor.closed
            if open_here and key.run not in known and cursor.published_to and key.run not in source.streams:
                # it is abandoned with the next answer, if that does not know it either
                self._make(source, key.run).heard(cursor.published_to, ended=True)
                source.want_runs = True

    # ---- the sink's side

    @property
    def catching_up(self) -> bool:
        """Whether a chunk is due or under way: then the next step should not wait."""
        return any(s.link.waiting_for is not None for s in self._sources.values())

    @property
    def settled(self) -> bool:
        """Whether nothing is known to be missing and no question is open."""
        asking = any(s.want_runs or s.link.waiting_for is not None for s in self._sources.values())
        return not asking and not self.lags()

    def lags(self) -> dict[str, int]:
        """Source → frames published and not yet taken."""
        return {
            src: lag
            for src, source in self._sources.items()
            if (lag := sum(max(0, s.last - s.cursor) for s in source.streams.values() if s.state is not State.DONE))
        }

    def stored(self) -> None:
        """All of `items` is on the disk: acknowledge."""
        for item in self.items:
            if not isinstance(item, Noise):
                stream = self._sources[item.key.src].streams[item.key.run]
                self._cursors[item.key] = Cursor(stream.cursor, int(stream.state is State.DONE))
        touched = {item.key.src for item in self.items if not isinstance(item, Noise)}
        self._clear()
        for src in touched:
            self._acknowledge(self._sources[src])

    def _clear(self) -> None:
        self.items.clear()
        self.published.clear()
        self.end_seen, self.taken_bytes = False, 0

    def _acknowledge(self, source: Source) -> None:
        keys = [stream.key for stream in source.streams.values()]
        acks = {key.run: self._cursors[key].stored_to for key in keys if key in self._cursors}
        if acks and not source.from_disk:
            source.link.tell("ack", consumer=self._config.sink.name, acks=acks)

    def suspend(self) -> None:
        """Nothing of `items` was stored: it stays in the journals, and live frames are dropped until resume()."""
        self.noise.put_back([item for item in self.items if isinstance(item, Noise)])
        self._clear()
        self._suspended = True

    def rewind(self, cursors: Mapping[StreamKey, Cursor]) -> None:
        """Go on from what the store holds: everything behind it is taken again from the journals."""
        self._cursors = dict(cursors)
        self._stored_as = {(key.src, key.run): key for key in cursors}
        self._clear()
        for source in self._sources.values():
            source.want_runs = True
            for stream in source.streams.values():
                stream.rewind(self._cursors.get(stream.key, Cursor(0, 0)))

    def resume(self) -> None:
        self._suspended = False

    def close(self) -> None:
        for source in self._sources.values():
            source.link.close()
        self._sub.close()
