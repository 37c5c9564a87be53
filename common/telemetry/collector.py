"""The seed's TelemetryCollector: to a rig's bus where there is one, else to a file of its own."""

import atexit
import logging
import os
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from . import bodies
from .events import EventType, TelemetryEvent
from .forks import on_fork
from .frames import Body, Smoother
from .queries import NOTHING_KNOWN, RATE_WINDOW_S, Answers, FileAnswers, RecentAnswers, stages_of
from .routing import route
from .writer import MAX_QUEUED, FileWriter

RUN_DIR = "RIGBUS_RUN_DIR"
_log = logging.getLogger("rigbus.telemetry")


class Recorder(Protocol):
    """Where records go: a file, or a rig's bus."""

    error: str

    def record(self, body: Body, t_ns: int, mono_ns: int) -> bool: ...
    def start(self) -> None: ...
    def flush(self, timeout_s: float) -> bool: ...
    def stop(self, timeout_s: float = ...) -> bool: ...
    def account(self) -> dict[str, Any]: ...
    def after_fork(self) -> None: ...


class TelemetryCollector:
    """Records what an application does. Every method may be called from any thread; emit and log_* never wait or raise.

    bus: a rig's run folder; None takes it from RIGBUS_RUN_DIR, "" means no rig. On a bus records are frames in the
    rig's account. Without one they are rows of db_path: batch_size rows are written at once, or what there is after
    flush_interval_s; TELEMETRY_RETENTION_DAYS (7) are kept, of which start() sees to. src: the name under which the rig
    knows this process (the program's name; `-2`, `-3` behind it where it is taken). consumers: whose acknowledgement
    stop() waits for, the rig's [journal] consumers. max_queued: rows, or max_bytes: of frames, that wait at most.
    Raises ValueError for a src or a bus that cannot be.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str] = "data/telemetry.db",
        batch_size: int = 50,
        flush_interval_s: float = 1.0,
        *,
        bus: str | os.PathLike[str] | None = None,
        src: str | None = None,
        consumers: Sequence[str] = ("sink",),
        max_queued: int = MAX_QUEUED,
        max_bytes: int = 16 << 20,
    ) -> None:
        folder = os.environ.get(RUN_DIR, "") if bus is None else os.fspath(bus)
        self._recorder: Recorder
        self._answers: Answers
        self._recent: RecentAnswers | None = None
        if folder:
            # here: who stands alone needs no ZeroMQ
            from .bus import BusPublisher

            self._recorder = BusPublisher(Path(folder).absolute(), src, consumers, max_bytes)
            self._answers = self._recent = RecentAnswers()
        else:
            # absolute: the application may change its folder
            path = Path(db_path).absolute()
            writer = self._recorder = FileWriter(path, batch_size, flush_interval_s, max_queued)
            writer.open()
            self._answers = FileAnswers(path)
        self._enabled = True
        self._state = "new"  # new: what is logged waits for start(). running. stopped: it is counted as dropped
        self._all_stored = True
        self._make_locks()
        self._dropped = 0
        self._emitted: dict[EventType, deque[float]] = {kind: deque(maxlen=20_000) for kind in EventType}
        on_fork(self)

    def _make_locks(self) -> None:
        self._life = threading.RLock()
        self._lock = threading.Lock()

    # ---- on, off

    def enable(self) -> None:
        """Records again; a collector begins enabled."""
        self._enabled = True

    def disable(self) -> None:
        """Records nothing until enable(); what was recorded is still written."""
        self._enabled = False

    @property
    def enabled(self) -> bool:
        return self._enabled

    @staticmethod
    def new_correlation_id() -> str:
        """12 hex digits."""
        return uuid.uuid4().hex[:12]

    # ---- life

    def start(self) -> None:
        """Starts the writer; a second call does nothing. After stop() it begins anew."""
        with self._life:
            if self._state == "running":
                return
            self._state = "running"
            self._recorder.start()
            atexit.register(self.stop)
            if (util := sys.modules.get("multiprocessing.util")) is not None:
                # the children of multiprocessing end without atexit
                util.Finalize(None, self.stop, exitpriority=10)

    def stop(self) -> bool:
        """Writes or sends the rest, waits up to 5 s for the file, 3 s for the rig; whether all of it is stored.

        What is not is logged as a warning with its count. Called at exit by itself; safe to call twice.
        """
        with self._life:
            if self._state != "stopped":
                self._state = "stopped"
                atexit.unregister(self.stop)
                self._all_stored = self._recorder.stop()
            return self._all_stored

    close = stop

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until what was logged so far is stored; False where it is not in time."""
        return self._recorder.flush(timeout_s)

    def after_fork(self) -> None:
        """In a child, without threads, the queue is the parent's. A running one begins anew with its first record."""
        self._make_locks()
        self._recorder.after_fork()
        if self._recent is not None:
            self._answers = self._recent = RecentAnswers()
        atexit.unregister(self.stop)
        if self._state == "running":
            self._state = "forked"

    # ---- recording

    def emit(
        self,
        source: str,
        event_type: EventType,
        payload: dict[str, Any] | None = None,
        correlation_id: str | None = None,
    ) -> TelemetryEvent | None:
        """Records an event in the table of its type; returns it, or None while disabled.

        DDS_PUBLISH → dds_commands, DDS_RECEIVE → dds_feedback, CMD_SENT → web_requests, CAM_FRAME → camera_health,
        WS_SEND → nowhere (it is counted in the rates), all others → system_events.
        """
        if not self._enabled:
            return None
        t_ns, mono_ns = _now()
        kind = EventType(event_type)
        held = payload if isinstance(payload, Mapping) else {} if payload is None else {"value": payload}
        event = TelemetryEvent(mono_ns / 1e6, t_ns / 1e6, source, kind, dict(held), correlation_id)
        self._emitted[kind].append(time.monotonic())
        body = route(source, kind, event.payload, correlation_id)
        if body is not None:
            self._record(body, event, t_ns, mono_ns)
        return event

    def log_command(
        self,
        seq: int | None = None,
        funcode: int = 0,
        joint_id: int | None = None,
        target_value: float | None = None,
        data: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        raw_len: int = 0,
        *,
        address: int | None = None,
    ) -> None:
        """A command to the arm: dds_commands. target_value: degrees, or the gripper's unit."""
        self._log(bodies.command(seq, funcode, joint_id, target_value, data, correlation_id, raw_len, address))

    def log_feedback(
        self,
        seq: int | None = None,
        funcode: int = 0,
        angles: Mapping[str, Any] | Sequence[Any] | None = None,
        status: Mapping[str, Any] | None = None,
        *,
        address: int | None = None,
        data: Any = None,
        correlation_id: str | None = None,
        raw_len: int = 0,
    ) -> None:
        """Feedback from the arm: dds_feedback. An angle that is missing is NULL.

        address: as the arm sent it; 3 is an acknowledgement, and stands under funcode 101 or 102, so that funcode 1
        finds angles only (arm_funcode keeps the arm's own).
        """
        self._log(bodies.feedback(seq, funcode, angles, status, data, correlation_id, raw_len, address))

    def log_smoother_tick(self, states: list[dict[str, Any]]) -> None:
        """The joints of one tick: a row each in smoother_state.

        Each: joint_id (6: the gripper), target, current, sent, and step_size, dirty. Nothing is left out: a caller that
        ticks fast asks `every_nth(5)`.
        """
        if self._enabled:
            t_ns, mono_ns = _now()
            for state in states:
                self._record(bodies.smoother(state), None, t_ns, mono_ns)

    def log_web_request(
        self,
        endpoint: str = "",
        method: str = "POST",
        params: dict[str, Any] | None = None,
        response_ms: float | None = None,
        status_code: int | None = None,
        ok: bool | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """A request to the application's web server: web_requests. What is not known yet stays NULL."""
        self._log(bodies.web_request(endpoint, method, params, response_ms, status_code, ok, correlation_id))

    def log_camera_health(self, camera_id: str = "", stats: Mapping[str, Any] | None = None) -> None:
        """A camera's health: camera_health. stats: the table's columns; `resolution` may be (width, height)."""
        self._log(bodies.camera(camera_id, stats))

    def log_system_event(
        self,
        event_type: str = "",
        source: str = "",
        detail: str = "",
        data: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        level: str = "info",
    ) -> None:
        """Something that happened: system_events. level: info, warning, error."""
        self._log(bodies.event(event_type, source, detail, data, correlation_id, level))

    # the names that the seed's later versions gave them
    log_dds_command = log_command
    log_dds_feedback = log_feedback
    log_smoother_state = log_smoother_tick

    def _log(self, body: Body) -> None:
        if self._enabled:
            t_ns, mono_ns = _now()
            self._record(body, None, t_ns, mono_ns)

    def _record(self, body: Body, event: TelemetryEvent | None, t_ns: int, mono_ns: int) -> None:
        if self._state == "forked":
            self.start()
        if self._state == "stopped":
            self._drop()
            return
        self._recorder.record(body, t_ns, mono_ns)
        if self._recent is not None and not isinstance(body, Smoother):
            self._recent.add(event or (body, t_ns, mono_ns))

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1
            first = self._dropped == 1
        if first:
            _log.warning("the collector is stopped: what is logged from now on is dropped, get_stats() counts it")

    # ---- the seed's debug pages

    def get_events(
        self, limit: int = 100, event_type: EventType | None = None, source: str | None = None
    ) -> list[TelemetryEvent]:
        """The newest events, oldest first. Smoother rows only from a file, and only for source 'smoother'.

        From a file a source is its table's: dds, web, camera, smoother, and a system event's own. On a bus: of this
        process, the last 1,000. Empty where the file cannot be read, which is logged.
        """
        self._settle()
        try:
            return self._answers.events(limit, event_type, source)
        except Exception as e:
            _unreadable(e)
            return []

    def get_pipeline(self, correlation_id: str) -> list[dict[str, Any]]:
        """The events of one correlation, oldest first: {event: {ts, type, source}, latency_ms since the one before}."""
        self._settle()
        try:
            found = self._answers.pipeline(correlation_id)
        except Exception as e:
            _unreadable(e)
            return []
        return stages_of(found)

    def get_stats(self) -> dict[str, Any]:
        """The seed's keys (total_events, rates_per_sec by event type, staleness_ms, avg_pipeline_latency_ms,

        active_correlations), and the collector's own account: mode, stored, queued (logged, not yet stored), dropped
        (never will be), refused (rows that no table can take), error (why nothing is being stored, or empty).
        """
        self._settle()
        since = time.monotonic() - RATE_WINDOW_S
        rates = {k.value: sum(at > since for at in list(times)) / RATE_WINDOW_S for k, times in self._emitted.items()}
        error = self._recorder.error
        try:
            totals = self._answers.totals()
        except Exception as e:
            totals, error = {**NOTHING_KNOWN}, error or f"{type(e).__name__}: {e}"
        own = self._recorder.account()
        own["dropped"] += self._dropped
        return {**totals, "rates_per_sec": rates, **own, "error": error}

    def _settle(self) -> None:
        """What is asked of a file is written first; one that refuses is not waited for."""
        if self._recent is None and not self._recorder.error and self._state != "stopped":
            self._recorder.flush(timeout_s=2.0)


def _now() -> tuple[int, int]:
    return time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _unreadable(error: Exception) -> None:
    _log.warning("telemetry cannot be read: %s: %s", type(error).__name__, error)
