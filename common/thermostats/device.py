"""One thermostat: its thread, which polls or listens, and carries out commands in the time between."""

import threading
import time
import traceback
from concurrent.futures import Future
from typing import Any

from msgspec.structs import replace

from common.config.schema import ThermostatDevice
from common.errors import RigbusError
from common.frames import Event, Thermostat
from common.log_events import LogEvent
from common.notify import Rounds
from common.runtime import Runtime
from common.thermostats.commands import Answer, Commands
from common.thermostats.connection import Connection, readings_in
from common.thermostats.control import Setting
from common.thermostats.freshness import Freshness, Reboots, Verdict
from common.thermostats.link import Fault, Link, LinkError, Stopped, TimedOut
from common.thermostats.losses import TELL_S, Losses
from common.thermostats.mark import Mark
from common.thermostats.polls import Polls
from common.thermostats.protocol import Listing, Reading, Refusal
from common.thermostats.setting import carry_out, close_left_open
from common.thermostats.stream import StreamAccount

# The chip has a new value each 0.1 to 0.12 s: asked sooner than this it would mostly repeat the last one.
_AGAIN_S = 0.15
_LOOK_S = 1.0
# The firmware drops an answer without a word now and then: one that is missing does not mean that it has no streaming.
_STREAM_TRIES, _STREAM_AGAIN_S = 3, 600.0
# beside what waits for the device: a name may be looked up for a minute
_ROUND_S, _ROUND_TIMEOUTS = 120.0, 10


class Device:
    """Polls or listens in a thread of its own. The public methods are for other threads."""

    def __init__(self, rt: Runtime, cfg: ThermostatDevice, stop_fd: int, *, was_there: bool = True) -> None:
        """Begins at once. stop_fd: readable when it is to end. was_there: in the run before this one, too."""
        self.name, self._rt, self._cfg = cfg.name, rt, cfg
        self.commands = Commands(cfg.name, stop_fd)
        self._connection = Connection(cfg, rt.folders, rt.log, stop_fd)
        self._losses = Losses(rt.lose, cfg.name)
        self._fresh, self._reboots = Freshness(), Reboots()
        self._frames = self._repeats = self._stale = 0
        self._last: list[Reading] = []
        self._still = False  # the last report had only stale readings
        self._asked_ns = self._served_ns = 0  # CLOCK_MONOTONIC: the last request for a report, the end of a command
        self._stream_failures, self._stream_again_ns, self._told_no_stream = 0, 0, False
        self._mark = Mark(rt.folders.data / "thermostat", cfg.name)
        # what no loss may have told yet when the run before was killed: see Losses and Polls.look; a stream's time-out
        if was_there:
            rt.mark_down_time(f"thermostat/{cfg.name}/", "poll", 2 * TELL_S + _LOOK_S + cfg.timeout_s)
        close_left_open(rt, self._mark, cfg.name)
        streams = cfg.mode == "stream"
        self._account = (StreamAccount if streams else Polls)(self._losses, cfg.period_s)
        self._ending, self._ended = threading.Lock(), False
        self.rounds = Rounds(_ROUND_S + _ROUND_TIMEOUTS * cfg.timeout_s)
        self._thread = threading.Thread(target=self._work, name=cfg.name, daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Now and then: tells what has waited long enough, whatever the device's thread waits for."""
        self._account.look()
        self._losses.look()
        self.commands.expire()

    def join(self, until: float) -> None:
        """After stop_fd: waits until then (monotonic) at most, and closes the account. A name look-up has no end."""
        self._thread.join(max(0.0, until - time.monotonic()))
        self._end_account()
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
            "mode": "stream" if isinstance(self._account, StreamAccount) else "poll",
            "frames": self._frames,
            "missed": self._losses.total,
            "repeats": self._repeats,
            "stale": self._stale,
            "last_error": str(self._connection.error or ""),
        }

    def save_once(self) -> "Future[Answer]":
        """One reading more, published; the answer has it. Raises RigbusError where the device is away."""
        self._require_connection()
        return self.commands.put(None)

    def allow_control(self, allowed: bool) -> None:
        self._cfg = replace(self._cfg, allow_control=allowed)

    def control(self, setting: Setting) -> "Future[Answer]":
        """Sends it once, never again. Raises RigbusError where that is not allowed, or the device is away."""
        if not self._cfg.allow_control:
            raise RigbusError(f"{self.name}: control is off: thermostat.device.{self.name}.allow_control is false")
        self._require_connection()
        setting.words(self._connection.dialect)  # what is wrong with it is said at once

        def run(link: Link, not_after_ns: int) -> Answer:
            return carry_out(self._rt, self._mark, self.name, setting, self._connection.dialect, link, not_after_ns)

        return self.commands.put(run)

    def _require_connection(self) -> None:
        if not self._connection.up:
            raise RigbusError(f"{self.name}: not connected: {self._connection.error or 'not yet'}")

    # ---- the device's thread

    def _work(self) -> None:
        try:
            while True:
                self.rounds.turn()
                try:
                    if isinstance(self._account, StreamAccount):
                        self._listen(self._account)
                    else:
                        self._tick(self._account)
                except LinkError as e:
                    self._failed(e)
                except Stopped:
                    raise
                except Exception as e:
                    # no word of one device may end the others; the pause keeps what comes at once from spinning
                    self._failed(_fault(e))
                    self.commands.wait_for_stop(_LOOK_S)
        except Stopped:
            pass
        finally:
            self._end_account()
            self._connection.close()

    def _failed(self, e: LinkError) -> None:
        self._connection.failed(e)
        self._account.failed(e.cause, str(e))
        self.commands.disappoint(str(e))

    def _end_account(self) -> None:
        with self._ending:
            if not self._ended:
                self._account.stopped()
            self._ended = True

    def _tick(self, polls: Polls) -> None:
        """Waits for the next deadline, serving commands, and polls once."""
        if 0 < self._stream_again_ns < time.monotonic_ns() and self._connection.dialect != "new":
            polls.stopped()
            self._account = StreamAccount(self._losses, self._cfg.period_s)
            return
        self._serve_until(polls.due_ns)
        busy = self._served_ns > polls.due_ns
        if polls.begin("commands were served" if busy else "the daemon was kept from running"):
            self._ask()
            if self._still:
                polls.failed("stale", "the device's time stands still")
            else:
                polls.answered()

    def _ask(self) -> None:
        self._asked_ns = time.monotonic_ns()
        self._take(self._connection.report())

    def _take(self, readings: list[Reading]) -> Verdict:
        """Publishes what is new of a report."""
        self._connection.good()
        dialect = self._connection.dialect
        verdict = self._fresh.take(readings, time.monotonic_ns())
        self._repeats += verdict.repeats
        self._stale += verdict.stale
        self._last = sorted(readings, key=lambda r: int(r["channel"]))
        self._still = bool(verdict.stale and not verdict.readings)
        if verdict.readings:
            self._frames += 1
            self._rt.publish(Thermostat(device=self.name, readings=verdict.readings, dialect=dialect))
            self.commands.tell({"device": self.name, "dialect": dialect, "readings": verdict.readings})
        elif self._still:
            self.commands.disappoint("its time stands still, there is no new reading")
        if verdict.reboot:
            self._reboots.seen(verdict.reboot)
        if why := self._reboots.to_tell(time.monotonic_ns()):
            self._rt.log.warning("the device has rebooted", event=LogEvent.DEVICE_REBOOTED, device=self.name, why=why)
            self._rt.publish(Event(event_type="reboot", source=self.name, detail=why, level="warning"))
            if self._connection.reports > 1:
                self._connection.close()  # perhaps into another firmware: the next one is probed
        return verdict

    def _serve_until(self, until_ns: int) -> None:
        """Waits until then (CLOCK_MONOTONIC), serving commands: none is begun later. Raises LinkError, Stopped."""
        while (now_ns := time.monotonic_ns()) < until_ns:
            self.rounds.turn()
            self._losses.look()
            wake_ns = until_ns
            if self.commands.to_run:
                self._serve(aside=False)
                continue
            if self.commands.reading_wanted:
                wake_ns = min(until_ns, self._asked_ns + round(_AGAIN_S * 1e9))
                if wake_ns <= now_ns:
                    self._ask()
                    self._served_ns = time.monotonic_ns()
                    continue
            self.commands.wait(min((wake_ns - now_ns) / 1e9, _LOOK_S))

    def _serve(self, *, aside: bool) -> None:
        """Carries out one command. aside: on a connection of its own. Raises LinkError of the common one, Stopped."""
        job, link = None, None
        try:
            try:
                link = self._connection.open_aside() if aside else self._connection.for_command()
            finally:
                job = self.commands.take()
            if job is not None and job.run is not None:
                job.future.set_result(job.run(link, job.not_after_ns))
        except Exception as e:
            if job is not None:
                job.future.set_exception(e if link is not None else RigbusError(f"{self.name}: not sent: {e}"))
            if isinstance(e, Stopped) or (isinstance(e, LinkError) and not aside):
                raise
            if not isinstance(e, RigbusError):
                raise _fault(e) from None
        finally:
            self._served_ns = time.monotonic_ns()
            if aside and link is not None:
                link.close()

    # ---- streaming

    def _listen(self, account: StreamAccount) -> None:
        """Listens until the connection fails, then waits a little. Commands use connections of their own."""
        asked = heard = False
        try:
            link = self._connection.get()
            if self._connection.dialect == "new":
                self._poll_instead("this firmware has no streaming")
                return
            link.send("report mode on")
            asked, until = True, self._silent_at()
            while self._connection.link is link:
                self.rounds.turn()
                # what waits meanwhile is read at once afterwards: the kernel keeps minutes of reports
                if self.commands.to_run:
                    self._serve(aside=True)
                self.commands.wait(0.0 if link.has_line else min(until - time.monotonic(), _LOOK_S), link)
                reply = link.take()
                if isinstance(reply, Refusal):
                    self._poll_instead(f"the device answers with {reply.text!r}")
                    return
                if isinstance(reply, Listing):
                    account.heard(self._take(readings_in(reply)), self._fresh.interval_s)
                    heard, until = True, self._silent_at()
                    self._stream_failures, self._told_no_stream = 0, False
                elif time.monotonic() > until:
                    raise TimedOut("the stream is silent")
                self._losses.look()
        except LinkError as e:
            self._failed(e)
            self._stream_failures += asked and not heard
            if self._stream_failures >= _STREAM_TRIES:
                self._poll_instead(str(e))
                return
            self._losses.look()
            self.commands.wait_for_stop(min(_LOOK_S, max(0.05, self._connection.pause_s)))

    def _silent_at(self) -> float:
        """time.monotonic() from which on the stream is silent."""
        return time.monotonic() + max(self._cfg.timeout_s, 3 * self._fresh.interval_s)

    def _poll_instead(self, why: str) -> None:
        if not self._told_no_stream:
            self._rt.log.warning("no stream, polled instead", device=self.name, why=why)
            self._told_no_stream = True
        self._stream_failures = _STREAM_TRIES - 1  # the next time one attempt will do
        self._stream_again_ns = time.monotonic_ns() + round(_STREAM_AGAIN_S * 1e9)
        self._account.stopped(why)
        self._account = Polls(self._losses, self._cfg.period_s)


def _fault(e: Exception) -> Fault:
    where = traceback.extract_tb(e.__traceback__)[-1]
    return Fault(f"{type(e).__name__}: {e} ({where.filename.rpartition('/')[2]}:{where.lineno})")
