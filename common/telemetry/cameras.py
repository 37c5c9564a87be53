"""A snapshot of each camera's health every few seconds, from a thread of its own."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from .collector import TelemetryCollector

_log = logging.getLogger("rigbus.telemetry")


class CameraSnapshots:
    """Logs the health of cameras each period_s.

    cameras: id → what tells its health: a dictionary, a function that returns one, or an object with one as `stats` or
    `_health.stats` (the seed's CameraHealthMonitor, and its camera). The mapping may change while this runs. A camera
    that fails to tell is logged once as a `camera_silent` event, and the others go on.
    """

    def __init__(self, collector: TelemetryCollector, cameras: Mapping[Any, Any], period_s: float = 5.0) -> None:
        """Raises ValueError for a period that is not above 0."""
        if not period_s > 0:
            raise ValueError(f"period_s={period_s}: above 0")
        self._collector, self._cameras, self._period_s = collector, cameras, period_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._silent: set[str] = set()

    def start(self) -> None:
        """Starts the thread, with a snapshot at once; a second call does nothing."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="camera-snapshots", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread; safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.snapshot()
            # absolute deadlines: no drift; those that were missed are not made up for
            due = max(due + self._period_s, time.monotonic())

    def snapshot(self) -> None:
        """Logs each camera once."""
        for name, camera in list(self._cameras.items()):
            key = str(name)
            try:
                stats = stats_of(camera)
            except Exception as e:
                if key not in self._silent:
                    self._silent.add(key)
                    reason = f"{type(e).__name__}: {e}"
                    _log.warning("camera %s: no health: %s", key, reason)
                    self._collector.log_system_event("camera_silent", "camera", f"{key}: {reason}", level="warning")
                continue
            self._silent.discard(key)
            self._collector.log_camera_health(key, stats)


def stats_of(camera: Any) -> dict[str, Any]:
    """The health of one camera. Raises TypeError where it has none, and whatever the camera raises."""
    found = camera
    if not isinstance(found, Mapping):
        found = getattr(camera, "_health", camera)
        found = getattr(found, "stats", found)
        if callable(found):
            found = found()
    if not isinstance(found, Mapping):
        raise TypeError(f"{type(camera).__name__} has no stats")
    return dict(found)
