"""The collector that all of a process shares."""

import threading

from .collector import TelemetryCollector

_collector: TelemetryCollector | None = None
_lock = threading.Lock()


def get_collector() -> TelemetryCollector:
    """The process's one collector, with the defaults; made and started by the first call."""
    global _collector
    if _collector is None:
        with _lock:
            if _collector is None:
                made = TelemetryCollector()
                made.start()
                _collector = made
    return _collector
