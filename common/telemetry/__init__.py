"""Telemetry of an application: the seed's TelemetryCollector, onto a rig's bus or into a file of its own.

Self-contained: it needs zmq and msgspec, and nothing of rigbus. Also the wheel `rigbus-telemetry` (`import
rigbus_telemetry`). How to use it: docs/telemetry.md.
"""

from .cameras import CameraSnapshots
from .collector import TelemetryCollector
from .database import init_db
from .events import EventType, TelemetryEvent, every_nth
from .middleware import TelemetryMiddleware
from .process import get_collector
from .query import TelemetryQuery

__version__ = "0.1.0"
__all__ = [
    "CameraSnapshots",
    "EventType",
    "TelemetryCollector",
    "TelemetryEvent",
    "TelemetryMiddleware",
    "TelemetryQuery",
    "every_nth",
    "get_collector",
    "init_db",
]
