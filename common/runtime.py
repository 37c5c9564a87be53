"""What a daemon's run() is given: publish, lose, pace, commands, status. One Runtime a process."""

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq

from common import clock
from common.bus.ctl import CtlServer, Handler, journal_handlers, no_journal_handlers
from common.bus.publisher import Publisher
from common.config.schema import Config
from common.errors import RigbusError
from common.frames import Frame, Health, JournalHealth, Loss
from common.journal.counter import Counter, read_journal_id
from common.journal.journal import Journal
from common.journal.limits import journal_limits
from common.journal.recover import open_journal
from common.log import Log
from common.log_events import LogEvent
from common.notify import Notifier, Rounds
from common.paths import Folders, Lock, require_whole
from common.realtime import Pace, pin_again
from common.reload import Reload
from common.secrets import Secrets
from common.status_line import StatusLine
from common.usage import cpu_s, rss_bytes

CLEAN_STOP = "it had been stopped"  # detail of the time that a daemon was down, where it was not killed
AWAY_S = 30.0  # what is not there (a device, room on the disk) is looked for again so much later


class Runtime:
    """A daemon's way to the rig: publish, lose, pace, commands. Made by `entry`, closed when run() returns."""

    def __init__(
        self,
        src: str,
        config: Config,
        folders: Folders,
        log: Log,
        *,
        journaled: bool,
        secrets: Secrets | None = None,
        read_config: Callable[[], Config] | None = None,
    ) -> None:
        """read_config: the configuration as it stands in the files now, for `reload`. Raises ConfigError."""
        folders.make()
        require_whole(folders.data)
        self.src, self.config, self.folders, self.log = src, config, folders, log
        self.secrets = secrets or Secrets(folders.data / ".env")
        self.node = config.node
        self.run_id = os.urandom(8).hex()
        self.context: zmq.Context[Any] = zmq.Context()
        self.notifier = Notifier()
        self.reload = Reload(src, config, read_config or (lambda: config), self.notifier, log)
        self.reload.add(self._take)
        self.pace = Pace(self.wait)
        self.status = ""
        self.details: dict[str, Any] = {}  # further fields of ctl `status`; replace it whole, another thread reads it
        self._show: Callable[[], dict[str, Any]] = dict
        self.stopping = False
        self._ready = False
        self._status_line = StatusLine(self.notifier)
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._stop_fd, select.POLLIN)
        self._handlers: dict[str, Handler] = {"status": self._starting}
        self._cpu = (time.monotonic(), cpu_s())
        self._counted: tuple[float, dict[str, int]] = (time.monotonic(), {})
        here = folders.counters(src)
        # two folders, two locks: sockets stand in one, the counter in the other
        self._locks = [Lock(here / "lock"), Lock(folders.run / f"{src}.lock")]
        self.journal: Journal | None = None
        self._counter: Counter | None = None
        self.previous_alive_ns = 0  # wall time of the previous run's last sign of life; 0: none is known
        self._was_killed, self._born_ns = False, 0  # that run; when it began, 0: not known
        if journaled:
            self._open_journal(here)
        # the socket first: who hears of this daemon must be able to ask it
        ops = journal_handlers(self.journal, src) if self.journal is not None else no_journal_handlers(src, self.run_id)
        self._handlers.update(ops)
        self._ctl = CtlServer(self.context, folders.ctl(src), log, self._handlers)
        self._publisher = Publisher(
            self.context, folders.bus_in, node=self.node, src=src, run=self.run_id, log=log,
            health=self._make_health, journal=self.journal, counter=self._counter,
        )  # fmt: skip
        self.watch("writer", self._publisher.rounds)
        self.watch("ctl", self._ctl.rounds)
        self._handlers["status"] = self._status
        self._ctl.starting = True

    def _open_journal(self, here: Path) -> None:
        place, limits = journal_limits(self.config.journal, self.src, self.folders.run)
        try:
            self._counter = Counter(here / "counter")
        except OSError as e:
            raise RigbusError(f"{here / 'counter'}: {e.strerror}") from None
        before, known_id = self._counter.before, read_journal_id(here / "counter")
        previous = max(before, key=lambda slot: slot.alive_ns, default=None)
        if previous is not None:
            self.previous_alive_ns = previous.alive_ns
            self._was_killed, self._born_ns = not previous.closed, previous.born_ns
        self._counter.begin(self.run_id, clock.boot_id(), clock.wall_ns())
        self.journal = open_journal(self.folders.journal(self.src, place), limits, self.run_id, before, known_id)
        self._counter.keep_journal_id(self.journal.id)

    # ---- publishing

    def publish(self, frame: Frame) -> int:
        """Numbers, journals and sends a frame; never waits. Returns its seq; 0 after run() has returned."""
        return self._publisher.publish(frame)

    def committed(self, seq: int, timeout_s: float = 1.0) -> bool:
        """Waits until the journal holds a frame (on the disk, where it is durable and the journal is there).

        For what must be recorded before it is done; seq: what publish() returned. False: not there in time, or lost.
        """
        deadline = time.monotonic() + timeout_s
        while seq and (journal := self.journal) is not None and time.monotonic() < deadline:
            if journal.run.last >= seq:
                number = journal.run.number
                return not any(x.run == number and x.from_seq <= seq <= x.to_seq for x in list(journal.losses))
            time.sleep(0.001)
        return False

    def lose(
        self, stream: str, unit: Any, count: int | None, cause: str, *, from_t: int, to_t: int, detail: str = ""
    ) -> None:
        """Accounts for data that never became a frame; count None: nobody can know."""
        self._status_line.lose(unit, count, cause)
        self.publish(Loss(stream=stream, unit=unit, count=count, cause=cause, from_t=from_t, to_t=to_t, detail=detail))

    def mark_down_time(self, stream: str, unit: Any, untold_s: float = 0.0) -> None:
        """The time since the previous run's last sign of life: whatever the device did then is unknown.

        untold_s: where that run was killed, its losses of so many seconds before may never have been told.
        """
        since = self.previous_alive_ns
        if since and self._was_killed and self._born_ns:
            since = min(since, max(self._born_ns, since - round(untold_s * 1e9)))
        if since:
            how = "" if self._was_killed else CLEAN_STOP
            self.lose(stream, unit, None, "down", from_t=since, to_t=clock.wall_ns(), detail=how)

    # ---- time and signals

    def wait(self, seconds: float) -> bool:
        """Sleeps, wakes at once on SIGTERM; True when the daemon is to stop."""
        self._begun()
        if seconds > 0 and not self.stopping:
            self._poll.poll(seconds * 1000)
        if not self.stopping:
            self.reload.look()
        return self.stopping

    def every(self, period_s: float) -> Iterator[int]:
        """Deadlines (CLOCK_MONOTONIC ns) without drift until the daemon is to stop; missed ones are counted."""
        self._begun()
        for deadline in self.pace.ticks(period_s):
            self.progress()
            yield deadline

    def _begun(self) -> None:
        """A daemon that paces has its device, and has told its commands."""
        self._ctl.starting = False
        self.ready()

    def ready(self, patience_s: float = 0.0) -> None:
        """Tells systemd once that this daemon has begun; patience_s: how long its first round may take."""
        if not self._ready:
            self._ready = True
            self.notifier.send("READY=1")
            self.log.noted(LogEvent.READY, "ready", run=self.run_id, node=self.node)
            if patience_s:
                self.notifier.be_patient(patience_s)

    def watch(self, name: str, rounds: Rounds) -> None:
        """From now on systemd's watchdog ends this process if that thread hangs."""
        self.notifier.watched[name] = rounds

    def progress(self) -> None:
        """Call where work is done, where `every` does not: what keeps systemd's watchdog from ending this process."""
        if hung := self.notifier.progress():
            text, threads = "a thread hangs, systemd will end this process", ",".join(hung)
            self.log.seldom("hung", text, event=LogEvent.HUNG, threads=threads)

    def sit_out(self, why: str) -> None:
        """For a daemon without what it needs, before it ends: under systemd it stays for a while.

        So that is looked for again and again, but seldom: ten ends within five minutes would be the last
        (StartLimitBurst).
        """
        if not self.notifier.listens:
            return
        self._ctl.ending, self._show = why, dict  # nobody serves run()'s ops any more, nor knows its devices
        self.say(why)
        self.details = {**self.details, "missing": why}
        self.notifier.watched = {name: self.notifier.watched[name] for name in ("writer", "ctl")}  # run()'s have ended
        self._ready = True  # which it is not; but nothing is to wait for this one, or be told that it is there
        self.notifier.send("READY=1")
        until = time.monotonic() + AWAY_S
        while time.monotonic() < until and not self.wait(1.0):
            self.progress()

    def stop(self) -> None:
        """Ends run(): what a signal does."""
        self.stopping = True
        os.eventfd_write(self._stop_fd, 1)

    def on_reload(self, take: Callable[[Config], None]) -> None:
        """take(config): what is in effect from then on, where the configuration was read anew (SIGHUP).

        Called in the thread that paces, within wait() or every(). See config/live.py for what it may differ in. It may
        raise RigbusError before it has changed anything: then all stays as it was.
        """
        self.reload.add(take)

    def _take(self, config: Config) -> None:
        old, self.config = self.config, config
        before, now = (getattr(getattr(c, self.src, None), "cpu", "none") for c in (old, config))
        if before != now:
            pin_again(now, self.src, self.log)
        if self.journal is not None:
            self.journal.limits = journal_limits(config.journal, self.src, self.folders.run)[1]

    # ---- commands and status

    def on(self, op: str, handler: Handler) -> None:
        """A device command of the ctl socket: gets the request map, returns the reply's further fields."""
        self._handlers[op] = handler

    def on_status(self, show: Callable[[], dict[str, Any]]) -> None:
        """show(): further fields of `status`, as they are when it is asked for. Called in the ctl thread."""
        self._show = show

    def say(self, status: str) -> None:
        """What the daemon is doing, in a few words: in `rigbus status` and systemctl status."""
        self.status = status

    def _starting(self, _: dict[str, Any]) -> dict[str, Any]:
        raise RigbusError("starting")

    def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        health = msgspec.to_builtins(self._make_health(self._publisher, peek=True))
        now = {"t": clock.wall_ns(), "mono": clock.boot_ns()}
        return {
            "health": {**health, "node": self.node, "src": self.src, "run": self.run_id, **now},
            **self.details,
            **self._show(),
        }

    def _make_health(self, publisher: Publisher, *, peek: bool = False) -> Health:
        """The health frame of this second; peek: a look by `status`, which must not shift the intervals."""
        now, cpu, counts = time.monotonic(), cpu_s(), publisher.counts
        cpu_pct = (cpu - self._cpu[1]) / max(1e-3, now - self._cpu[0]) * 100
        span = max(1e-3, now - self._counted[0])
        rates = {topic: round((n - self._counted[1].get(topic, 0)) / span, 3) for topic, n in counts.items()}
        lateness, missed = self.pace.last if peek else self.pace.take()
        if not peek:
            self._ctl.check()
            self._cpu, self._counted = (now, cpu), (now, counts)
        frames, used, oldest = self.journal.fill() if self.journal is not None else (0, 0, 0)
        if not peek:
            self._status_line.tell(self.status, self.journal)
        return Health(
            last_seq=self.journal.run.last if self.journal is not None else 0,
            closed=False,
            boot_id=clock.boot_id(),
            journal_id=self.journal.id.hex() if self.journal is not None else "",
            ctl=str(self.folders.ctl(self.src)),
            pid=os.getpid(),
            cpu_pct=round(cpu_pct, 2),
            rss_bytes=rss_bytes(),
            rates=rates,
            lateness_us=lateness,
            missed_ticks=missed,
            journal=JournalHealth(frames, used, oldest),
            status=self.status,
        )

    def close(self, why: str = "stopped") -> None:
        """Drains, says `closed`, serves ctl until acknowledged or for 3 s. why: for systemctl status."""
        self._status_line.stop()
        self._ctl.ending = "stopping: the daemon ends"
        if not self._publisher.stop():
            self.log.warning("stopped before every frame was acknowledged; they stay in the journal")
        self._ctl.stop()
        self.context.term()
        if self.journal is not None:
            self.journal.release()
        if self._counter is not None:
            self._counter.close()
        for lock in self._locks:
            lock.release()
        self._status_line.end(why)
