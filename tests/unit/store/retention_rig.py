"""A store with its retention, outputs as retention sees them, and frames of every kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import clock, frames
from common.config.schema import SinkConfig
from common.log import Log
from common.sinks.output import Feed
from common.store.moves import Move
from common.store.retention import Retention
from common.store.rollups import Rollups
from common.store.writer import Store

DAY = 86_400 * 10**9
NOW = clock.wall_ns()
OLD = NOW - 10 * DAY
Rows = Callable[..., list[Any]]
Full = Callable[[int, int], None]


class Output:
    """What retention sees of an output's consumer."""

    def __init__(self, name: str, *feeds: Feed, state: str = "writing") -> None:
        self.name, self.feeds, self.state = name, feeds, state
        self.skipped: list[tuple[str, int]] = []

    def skip(self, table: str, to_id: int) -> None:
        self.skipped.append((table, to_id))


class Keeper:
    """A store, its retention, and what the sink does around it."""

    def __init__(self, path: Path, store: Store, **config: Any) -> None:
        self.path, self.store, self.lines = path, store, []
        self.outputs: list[Any] = []
        self.retention = Retention(SinkConfig(**config), path.parent, Log("sink", self))  # type: ignore[arg-type]

    lines: list[str]

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None:
        pass

    def deliver(self, name: str, **cursors: int) -> None:
        self.store.commit([], moves=[Move(name, cursors, {}, [], [], [], [])])

    def roll_up(self) -> None:
        assert Rollups({}).finish(self.store, timeout_s=60)

    def run(self, limits: Any = None) -> None:
        """A whole pass by age, whether it is due or not."""
        self.retention._pass_at = 0.0
        while self.retention.step(self.store, self.outputs, limits or {}):
            pass


def everything(maker: Any, t: int) -> list[Any]:
    """A frame of each kind, of that time; those with several rows have three."""
    readings = [{"channel": i, "temperature": 20.0} for i in range(3)]
    return [
        maker.pulse(t=t, edges=[0, 10, 20], total=9),
        maker.samples(t=t),
        maker.take(frames.Thermostat, device="box", readings=readings, dialect="new", t=t),
        maker.take(frames.Pump, pump="w", event="done", action="dose", direction="in", command_id="c", t=t),
        maker.take(frames.ArmCommand, funcode=1, data=None, t=t),
        maker.take(frames.ArmFeedback, funcode=1, data=None, angles=[1.0], t=t),
        maker.take(frames.Smoother, joint_id=1, target=1.0, current=1.0, sent=1.0, t=t),
        maker.take(frames.WebRequest, endpoint="/", t=t),
        maker.take(frames.Camera, camera_id="top", t=t),
        maker.take(frames.Event, event_type="x", source="y", t=t),
        maker.take(frames.Loss, stream="*", unit="edge", count=1, cause="late", from_t=t, to_t=t, t=t),
        maker.pulse(t=t, edges=[], total=9),
    ]


def counts(rows: Rows) -> dict[str, int]:
    tables = [name for (name,) in rows("SELECT name FROM sqlite_schema WHERE type = 'table'") if "sqlite" not in name]
    return {name: n for name in tables if (n := rows(f"SELECT count(*) FROM {name}")[0][0])}
