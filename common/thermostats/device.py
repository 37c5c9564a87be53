"""One thermostat: its thread, and its account of polls: each deadline is a frame, or a poll lost with its cause."""

import threading
import time
from concurrent.futures import Future
from typing import Any

from common import clock
from common.config.schema import ThermostatDevice
from common.errors import RigbusError
from common.frames import Event, Thermostat
from common.runtime import Runtime
from common.thermostats.commands import Answer, Commands, Job
from common.thermostats.connection import Connection, readings_in
from common.thermostats.control import Setting
from common.thermostats.freshness import Freshness, Verdict
from common.thermostats.link import Link, LinkError, Stopped, ask_ok
from common.thermostats.losses import Losses
from common.thermostats.pacing import Grid
from common.thermostats.protocol import Listing, Reading, Refusal
from common.thermostats.setting import carry_out
from common.thermostats.stream import StreamAccount

# The chip has a new value each 0.1 to 0.12 s: asked too soon for one, it is asked again.
_SAVE_TRIES, _SAVE_PAUSE_S = 4, 0.15
_LOOK_S = 1.0


class Device:
    """Polls or listens in a thread of its own. The public methods are for other threads."""

    def __init__(self, rt: Runtime, cfg: ThermostatDevice, stop_fd: int) -> None:
        """Begins at once. stop_fd: readable when all is to end."""
        self.name, self._rt, self._cfg = cfg.name, rt, cfg
        self.fault: BaseException | None = None  # what ended the thread, where nothing should have
        self.commands = Commands(cfg.name, stop_fd)
        self._connection = Connection(cfg, rt.folders, rt.log, stop_fd)
        self._losses = Losses(rt.lose, cfg.name)
        self._fresh, self._taking = Freshness(), threading.Lock()
        self._streams = cfg.mode == "stream"
        self._frames = self._repeats = self._stale = 0
        self._last: list[Reading] = []
        self._still = False  # the last report had only stale readings
        rt.mark_down_time(f"thermostat/{cfg.name}/", "poll")
        self._grid = Grid(cfg.period_s, time.monotonic_ns())
        self._account = StreamAccount(self._losses, cfg.period_s)
        works = [self._work, self._serve_aside] if self._streams else [self._work]
        self._threads = [threading.Thread(target=self._guard, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def join(self, until: float) -> None:
        """After stop_fd: waits until then (monotonic) at most, and closes the account. A name look-up has no end."""
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.commands.close()
        self._losses.close()

    def summary(self) -> str:
        """For the daemon's status: the temperatures, or what is wrong."""
        if not self._connection.up:
            return f"{self.name} {self._connection.error.cause if self._connection.error else 'connecting'}"
        if self._still:
            return f"{self.name} stale"
        values = [reading.get("temperature") for reading in self._last]
        return " ".join([self.name, *(f"{v:.1f} °C" if isinstance(v, int | float) else "–" for v in values)])

    def status(self) -> dict[str, Any]:
        """A row of `devices` in ctl `status` (docs/ctl.md)."""
        return {
            "device": self.name,
            "connected": self._connection.up,
            "dialect": self._connection.dialect,
            "mode": "stream" if self._streams else "poll",
            "frames": self._frames,
            "missed": self._losses.total,
            "repeats": self._repeats,
            "stale": self._stale,
            "last_error": str(self._connection.error or ""),
        }

    def save_once(self) -> "Future[Answer]":
        """One reading more, published; the answer has it. Raises RigbusError where the device is away."""
        self._require_connection()
        return self.commands.put(None if self._streams else self._save_once, self._patience_s())

    def control(self, setting: Setting) -> "Future[Answer]":
        """Sends it once, never again. Raises RigbusError where that is not allowed, or the device is away."""
        if not self._cfg.allow_control:
            raise RigbusError(f"{self.name}: control is off: thermostat.device.{self.name}.allow_control is false")
        self._require_connection()
        setting.words(self._connection.dialect)  # what is wrong with it is said at once
        return self.commands.put(
            lambda link: carry_out(self._rt, self.name, setting, self._connection.dialect, link), self._patience_s()
        )

    def _require_connection(self) -> None:
        if not self._connection.up:
            raise RigbusError(f"{self.name}: not connected: {self._connection.error or 'not yet'}")

    def _patience_s(self) -> float:
        return 3.0 + 2 * self._cfg.timeout_s

    # ---- the device's thread

    def _guard(self, work: Any) -> None:
        try:
            while True:
                work()
        except Stopped:
            pass
        except BaseException as e:
            self.fault = e
        finally:
            if work == self._work:
                self._connection.close()

    def _work(self) -> None:
        if self._streams:
            self._listen()
        else:
            self._tick()

    def _tick(self) -> None:
        """Waits for the next deadline, serving commands, and polls once."""
        self._serve_until(self._grid.due_ns)
        begin = clock.wall_ns()
        late = self._grid.passed(time.monotonic_ns()) - 1
        late_ns = round(late * self._cfg.period_s * 1e9)
        self._losses.missed("late", late, from_t=begin - late_ns, to_t=begin, detail="the daemon was kept from running")
        try:
            self._take(self._connection.report())
        except LinkError as e:
            self._connection.failed(e)
            # what was due meanwhile is missed too, and never made up for
            missed = 1 + self._grid.passed(time.monotonic_ns())
            self._losses.missed(e.cause, missed, from_t=begin, to_t=clock.wall_ns(), detail=str(e))
            return
        if self._still:
            self._losses.missed("stale", 1, from_t=begin, to_t=clock.wall_ns(), detail="the device's time stands still")
        else:
            self._losses.end()
        slow = self._grid.passed(time.monotonic_ns())
        self._losses.missed("late", slow, from_t=begin, to_t=clock.wall_ns(), detail="the device was slow to answer")

    def _take(self, readings: list[Reading]) -> Verdict:
        """Publishes what is new of a report."""
        self._connection.good()
        dialect = self._connection.dialect
        with self._taking:
            verdict = self._fresh.take(readings, time.monotonic_ns())
            self._repeats += verdict.repeats
            self._stale += verdict.stale
            self._last = sorted(readings, key=lambda r: int(r["channel"]))
            self._still = bool(verdict.stale and not verdict.readings)
            if verdict.readings:
                self._frames += 1
                self._rt.publish(Thermostat(device=self.name, readings=verdict.readings, dialect=dialect))
        if verdict.readings:
            self.commands.tell({"device": self.name, "dialect": dialect, "readings": verdict.readings})
        if verdict.reboot:
            self._rt.log.warning("the device has rebooted", device=self.name, why=verdict.reboot)
            self._rt.publish(Event(event_type="reboot", source=self.name, detail=verdict.reboot, level="warning"))
            self._connection.probe_again()
        return verdict

    def _serve_until(self, until_ns: int) -> None:
        """Waits until then (CLOCK_MONOTONIC), serving commands on the one connection. Raises Stopped."""
        while (left_ns := until_ns - time.monotonic_ns()) > 0:
            self._losses.look()
            if self.commands.wait(min(left_ns / 1e9, _LOOK_S)):
                while (job := self.commands.take()) is not None:
                    link = self._connection.link
                    error = self._serve(job, link)
                    if link is not None and isinstance(error, LinkError):
                        self._connection.failed(error)

    def _serve(self, job: Job, link: Link | None) -> Exception | None:
        """Runs a command and completes its future; returns what went wrong. Raises Stopped."""
        try:
            if link is None or job.run is None:
                raise RigbusError(f"{self.name}: not connected: {self._connection.error}")
            job.future.set_result(job.run(link))
        except Exception as e:
            job.future.set_exception(e)
            if isinstance(e, Stopped):
                raise
            return e
        return None

    def _save_once(self, link: Link) -> Answer:
        for attempt in range(_SAVE_TRIES):
            if attempt:
                time.sleep(_SAVE_PAUSE_S)
            verdict = self._take(readings_in(ask_ok(link, "report")))
            if verdict.readings:
                return {"device": self.name, "dialect": self._connection.dialect, "readings": verdict.readings}
        raise RigbusError(f"{self.name}: its time stands still, there is no new reading")

    # ---- streaming

    def _listen(self) -> None:
        """Listens until the connection fails, then waits a little."""
        asked = False
        try:
            link = self._connection.get()
            if self._connection.dialect == "new":
                self._poll_instead("this firmware has no streaming")
                return
            link.send("report mode on")
            asked = True
            while True:
                reply = link.reply("the stream is silent", max(self._cfg.timeout_s, 3 * self._fresh.interval_s))
                if isinstance(reply, Refusal):
                    self._poll_instead(f"the device answers with {reply.text!r}")
                    return
                if isinstance(reply, Listing):
                    self._account.heard(self._take(readings_in(reply)), self._fresh.interval_s)
                self._losses.look()
        except LinkError as e:
            self._connection.failed(e)
            self._account.silent(e.cause, str(e))
            if asked and not self._account.began:
                self._poll_instead(str(e))
        self._losses.look()
        self.commands.wait_for_stop(min(_LOOK_S, max(0.05, self._connection.pause_s)))

    def _poll_instead(self, why: str) -> None:
        self._rt.log.warning("no stream, polled instead", device=self.name, why=why)
        self._streams = False
        self._grid = Grid(self._cfg.period_s, time.monotonic_ns())

    def _serve_aside(self) -> None:
        """The commands of a device that streams: each on a connection of its own, as replies and reports would mix."""
        self.commands.wait(None)
        while (job := self.commands.take()) is not None:
            try:
                link = self._connection.open_aside()
            except (LinkError, Stopped) as e:
                job.future.set_exception(e)
                continue
            try:
                self._serve(job, link)
            finally:
                link.close()
