"""The bus: one thread reads all of it, and hands batches to the loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import zmq

from common.log import Log
from common.notify import Rounds
from common.paths import Folders, endpoint

_HWM = 4000
_GATHER_S = 0.05  # at most 20 batches a second
_MAX_BATCH = 2000
_MAX_UNTAKEN = 40  # batches that the loop has not taken: two seconds of them
_ROUND_S = 60.0


class Message(NamedTuple):
    """A frame as it was on the bus: payload is its MessagePack map. at: monotonic s of its arrival."""

    topic: str
    payload: bytes
    at: float


Take = Callable[[Sequence[Message]], None]


class Live:
    """The bus may die and come back: its sockets reconnect by themselves."""

    def __init__(self, folders: Folders, log: Log) -> None:
        self._folders, self._log = folders, log
        self.untold = 0  # frames that the loop was too busy for; viewers are told
        self._inline: list[Take] = []
        self._takers: list[Take] = []
        self._untaken = 0
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.rounds = Rounds(_ROUND_S)
        self._thread = threading.Thread(target=self._read, name="live", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """From now on `follow`ers get batches, in this loop."""
        self._loop = loop
        self._thread.start()

    def at_once(self, take: Take) -> None:
        """take(batch) in the reading thread, before anybody else; call before `start`."""
        self._inline.append(take)

    def follow(self, take: Take) -> Callable[[], None]:
        """take(batch) in the loop, at most 20 times a second; returns what ends it. To be called in the loop."""
        self._takers.append(take)
        return lambda: self._takers.remove(take) if take in self._takers else None

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2.0)

    def _read(self) -> None:
        context = zmq.Context[zmq.Socket[bytes]]()
        socket = context.socket(zmq.SUB)
        socket.rcvhwm, socket.linger = _HWM, 0
        socket.reconnect_ivl, socket.reconnect_ivl_max = 50, 500
        socket.subscribe("")
        socket.connect(endpoint(self._folders.bus_out))
        try:
            while not self._stopping.is_set():
                self.rounds.turn()
                if not socket.poll(200):
                    continue
                batch = self._gather(socket)
                for take in self._inline:
                    try:
                        take(batch)
                    except Exception as e:  # an odd frame ends nothing
                        self._log.seldom("bus", "frames could not be looked at", error=f"{type(e).__name__}: {e}")
                self._hand_over(batch)
        finally:
            socket.close()
            context.term()

    def _gather(self, socket: "zmq.Socket[bytes]") -> list[Message]:
        """What comes within the time of a batch: one wake-up takes it all."""
        time.sleep(_GATHER_S)
        batch: list[Message] = []
        while len(batch) < _MAX_BATCH:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if len(parts) != 2:
                continue
            try:
                topic = parts[0].decode("ascii")
            except UnicodeDecodeError:
                continue
            batch.append(Message(topic, parts[1], time.monotonic()))
        return batch

    def _hand_over(self, batch: list[Message]) -> None:
        if self._loop is None or not batch:
            return
        if self._untaken >= _MAX_UNTAKEN:
            self.untold += len(batch)
            return
        self._untaken += 1
        try:
            self._loop.call_soon_threadsafe(self._deliver, batch)
        except RuntimeError:
            self._loop = None  # it has ended

    def _deliver(self, batch: list[Message]) -> None:
        self._untaken -= 1
        for take in list(self._takers):
            try:
                take(batch)
            except Exception as e:  # one viewer's fault is not the others'
                self._log.seldom("live", "a viewer failed", error=f"{type(e).__name__}: {e}")
