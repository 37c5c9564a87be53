"""The one connection to a device: opened with back-off, its dialect probed anew each time, given up after a fault."""

import time

from common.config.schema import ThermostatDevice
from common.log import Log
from common.log_events import LogEvent
from common.paths import Folders
from common.thermostats.link import DeviceError, Garbled, Link, LinkError, Refused, TimedOut, ask_ok
from common.thermostats.pacing import Backoff
from common.thermostats.protocol import Listing, Malformed, Reading, Refusal, Reply, probe, readings_of

_LINE_S = 60.0


class Connection:
    """Belongs to the device's thread; `open_aside`, and reading `up`, `dialect` and `error`, are for any."""

    def __init__(self, cfg: ThermostatDevice, folders: Folders, log: Log, stop_fd: int) -> None:
        self._cfg, self._folders, self._log, self._stop_fd = cfg, folders, log, stop_fd
        self.link: Link | None = None
        self.dialect = "unknown"
        self.error: LinkError | None = None  # of the outage that is under way
        self.up = False  # whether a request is worth while: the last report was answered
        self.reports = 0  # that came on this connection
        self._backoff = Backoff()
        self._probed = False
        self._told_dialect = ""  # what the log says last
        self._told_outage, self._told_at = False, float("-inf")
        self._unanswered: frozenset[str] = frozenset()

    @property
    def pause_s(self) -> float:
        """How long it is waited before the next attempt; 0: it may be made now."""
        return max(0.0, (self._backoff.ready_ns - time.monotonic_ns()) / 1e9)

    def get(self) -> Link:
        """The connection, its dialect known. Raises LinkError (between attempts: the last one), Stopped."""
        if self.link is None:
            if self.error is not None and self.pause_s:
                raise type(self.error)(str(self.error))
            self.link, self._probed, self.reports = self.open_aside(), False, 0
        if not self._probed:
            self._probe(self.link)
        return self.link

    def report(self) -> list[Reading]:
        """Asks for a report. A connection that was closed since the last one is opened again at once."""
        before = self.link
        try:
            return readings_in(ask_ok(self.get(), "report"))
        except LinkError as e:
            if before is None or type(e) is not LinkError:
                raise
        self.close()
        return readings_in(ask_ok(self.get(), "report"))

    def for_command(self) -> Link:
        """As get(), with nothing on the way. Where the device has closed it meanwhile it is opened again at once."""
        try:
            link = self.get()
            link.flush()
            return link
        except LinkError as e:
            if type(e) is not LinkError:
                raise
        self.close()
        return self.get()

    def open_aside(self) -> Link:
        """A connection of the caller's own. Raises LinkError, Stopped."""
        return Link(*address_of(self._cfg, self._folders), self._cfg.timeout_s, self._stop_fd)

    def good(self) -> None:
        """A report came."""
        self._backoff.succeeded()
        self.error, self.up, self.reports = None, True, self.reports + 1
        if self._told_outage or self.dialect != self._told_dialect:
            text = "connected again" if self._told_outage else "connected"
            self._log.info(text, event=LogEvent.DEVICE_BACK, device=self._cfg.name, dialect=self.dialect)
        self._told_dialect, self._told_outage = self.dialect, False

    def failed(self, e: LinkError) -> None:
        """Gives the connection up: after a reply that is missing nobody can tell which one comes next."""
        # one that fails each few seconds is told once a minute, one that stays away once
        if not self._told_outage and time.monotonic() - self._told_at >= _LINE_S:
            self._log.warning("no reading", event=LogEvent.DEVICE_LOST, device=self._cfg.name, cause=e.cause, reason=e)
            self._told_outage, self._told_at = True, time.monotonic()
        if self.link is not None or not self.pause_s:
            self._backoff.failed(time.monotonic_ns())
        self.error, self.up = e, False
        self.close()

    def close(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.close()

    def _probe(self, link: Link) -> None:
        asking = probe(self._unanswered)
        word = next(asking)
        try:
            while True:
                try:
                    reply: Reply = link.ask(word)
                except TimedOut:
                    if word != "report":
                        self._unanswered |= {word}  # next time it is not asked
                    raise
                except Garbled as e:
                    reply = Refusal(str(e))
                word = asking.send(reply)
        except StopIteration as found:
            self.dialect = str(found.value)
        self._probed, self._unanswered = True, frozenset()


def address_of(cfg: ThermostatDevice, folders: Folders) -> tuple[str, int]:
    """Host and port; `sim` is where the simulated device of this rig says that it listens. Raises Refused."""
    if cfg.host != "sim":
        return cfg.host, cfg.port
    try:
        return "127.0.0.1", int((folders.run / "sim-thermostat.port").read_text())
    except (OSError, ValueError):
        raise Refused("the simulated thermostat does not run") from None


def readings_in(reply: Reply) -> list[Reading]:
    """A reply to `report`. Raises DeviceError, Garbled."""
    if not isinstance(reply, Listing):
        raise DeviceError(f"the device answers 'report' with {reply}")
    try:
        return readings_of(reply)
    except Malformed as e:
        raise Garbled(str(e)) from None
