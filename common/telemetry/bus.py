"""The way onto a rig's bus: number, count, keep in memory; then one thread sends, answers its ctl socket, says health.

The sink takes what it missed over the ctl socket, and acknowledges what is on its disk; until then a frame is kept.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import ctl
from .frames import Body, encode
from .health import Pulse
from .journal import KEEP_S, MAX_BYTES, Journal
from .place import Place, check_name, default_src
from .run import Run
from .sockets import Sockets

BATCH_S = 0.005  # a batch is gathered for so long: wake-ups cost more than bytes
_BUSY_S = 0.04  # after a pause as long as that there is nothing to gather
_ASK_NODE_S = 30.0  # the rig may be renamed
_log = logging.getLogger("rigbus.telemetry")


class BusPublisher:
    """record() may be called from any thread and never waits. The rig may start later, and come and go."""

    def __init__(
        self,
        folder: Path,
        src: str | None = None,
        consumers: Sequence[str] = ("sink",),
        max_bytes: int = MAX_BYTES,
        keep_s: float = KEEP_S,
    ) -> None:
        """Raises ValueError for a name or a path that cannot be."""
        self._folder, self._wanted = folder, src or default_src()
        check_name(self._wanted, folder)
        self._make_journal: Callable[[], Journal] = lambda: Journal(consumers, max_bytes, keep_s)
        self._make()

    def _make(self) -> None:
        self.run = Run(self._make_journal(), self._wanted)
        self._place = Place(self._folder, self._wanted)
        self._pulse = Pulse()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._stop_at: float | None = None
        self.error = ""

    def after_fork(self) -> None:
        """In a child: a run and a name of its own; what the parent has not sent is the parent's."""
        os.close(self._wake_fd)
        self._place.leave()
        self._make()

    # ---- callers' side

    def record(self, body: Body, t_ns: int, mono_ns: int) -> bool:
        """Numbers and keeps a frame; False where it is lost at once, which is accounted for."""
        kept, wake = self.run.record(body, t_ns, mono_ns)
        if wake:
            os.eventfd_write(self._wake_fd, 1)
        return kept

    def account(self) -> dict[str, Any]:
        """stored: numbers that the sink has acknowledged, those in its ledger included."""
        last, acked, lost = self.run.counts
        names = {"src": self.run.src, "node": self.run.node, "run": self.run.id}
        return {"mode": "bus", "stored": acked, "queued": last - acked, "dropped": lost, "refused": 0, **names}

    def start(self) -> None:
        """Starts the thread; a second call does nothing. After a stop a new run begins."""
        if self._thread is not None:
            return
        if self.run.closed:
            os.close(self._wake_fd)
            self._make()
        # at once, not in the thread: from here on every record counts, whenever the process is killed
        self._settle()
        self._thread = threading.Thread(target=self._work, name="telemetry-bus", daemon=True)
        self._thread.start()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until the sink has acknowledged what is published now; False where it has not in time."""
        goal, deadline = self.run.counts[0], time.monotonic() + timeout_s
        while self.run.counts[1] < goal:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self, timeout_s: float = 3.0) -> bool:
        """Ends the run: sends the rest, answers until all is acknowledged or time is up; whether all was stored."""
        self._stop_at = time.monotonic() + timeout_s
        if self._thread is None:
            self.run.close()
        else:
            os.eventfd_write(self._wake_fd, 1)
            self._thread.join(timeout_s + 5.0)
            self._thread = None
        last, acked, lost = self.run.counts
        if acked >= last and not lost:
            return True
        why = "the sink has not acknowledged them" if self.run.node else "there was no rig"
        _log.warning(
            "%s: of %d records the last %d are not known to be stored: %s; lost for want of memory: %d",
            self.run.src, last, last - acked, why, lost,
        )  # fmt: skip
        return False

    # ---- the thread

    def _work(self) -> None:
        run, sockets = self.run, Sockets(self._folder, self._wake_fd)
        handlers: dict[str, ctl.Handler] = {
            "runs": run.runs,
            "replay": run.replay,
            "ack": run.ack,
            "status": lambda _: {"health": self._pulse.beat(run, self._place.ctl, peek=True)},
        }
        beat = drained = 0.0
        try:
            while not self._is_over():
                if self._stop_at is not None and not run.closed:
                    run.close()
                    beat = 0.0
                try:
                    sockets.poll(max(0.0, min(beat - time.monotonic(), 0.1 if run.closed else 1.0)))
                    if sockets.woken() and time.monotonic() - drained < _BUSY_S and not run.closed:
                        time.sleep(BATCH_S)
                    for topic, payload in run.take_unsent():
                        sockets.send(topic, payload)
                    drained = time.monotonic()
                    sockets.answer(handlers)
                    run.node = sockets.node() or run.node
                    if time.monotonic() >= beat:
                        beat = time.monotonic() + (0.25 if run.closed else 1.0)
                        self._each_second(sockets)
                except Exception as e:
                    # no fault of ours, of the folder or of a peer may end this thread
                    self._complain(f"{type(e).__name__}: {e}")
                    time.sleep(0.1)
        finally:
            self._end(sockets)

    def _is_over(self) -> bool:
        if self._stop_at is None or not self.run.closed:
            return False
        last, acked, _ = self.run.counts
        return acked >= last or time.monotonic() >= self._stop_at

    def _end(self, sockets: Sockets) -> None:
        self.run.close()
        counter = self.run.unsettle()
        if counter is not None:
            self._say_health(sockets)
        sockets.close()
        if counter is not None:
            counter.close_run()
            self._place.ctl.unlink(missing_ok=True)
        # the lock last: from here on the sink reads the counter file
        self._place.leave()

    def _each_second(self, sockets: Sockets) -> None:
        if not self._place.check():
            self._settle()
        if self.run.settled:
            sockets.keep_ctl(self._place.ctl)
            self.error = ""
        sockets.ask_node(_ASK_NODE_S if self.run.node else 0.0)
        self.run.each_second()
        if self.run.settled:
            self._say_health(sockets)

    def _say_health(self, sockets: Sockets) -> None:
        if self.run.node:
            health = self._pulse.beat(self.run, self._place.ctl)
            sockets.send(f"health/{self.run.src}/".encode(), encode(health))

    def _settle(self) -> None:
        """Takes the place in the run folder, if there is one; anew where the folder was emptied."""
        self.run.unsettle()
        self._place.leave()
        try:
            counter = self._place.take()
        except OSError as e:
            self._complain(f"{self._folder}: no rig here yet, records wait in memory ({e.strerror or e})")
            return
        self.run.settle(self._place.src, counter, self._place.before)

    def _complain(self, text: str) -> None:
        if text != self.error:
            self.error = text
            _log.warning("%s: %s", self.run.src, text)
