"""The numbers in frames, by series: the names of rollups (docs/store.md), in the units that charts have."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from common.frames import (
    AnyFrame,
    ArmCommand,
    ArmFeedback,
    Camera,
    Health,
    Pulse,
    Pump,
    Samples,
    Smoother,
    Thermostat,
    WebRequest,
)
from common.store.series_kinds import UnknownSeries, series_of

_UNITS = {"_pct": "%", "_mb": "MB", "_us": "µs"}


class Numbers(NamedTuple):
    """main: what a chart of the whole topic shows. step: a value holds until the next. Arrays of one length."""

    series: str
    unit: str
    main: bool
    step: bool
    t_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class Numbering:
    """Keeps the last edge of each meter. imp_per_kwh: of the meters, whose power is to be known."""

    def __init__(self, imp_per_kwh: Mapping[str, float]) -> None:
        self._imp_per_kwh = imp_per_kwh
        self._edges: dict[str, tuple[int, int]] = {}  # channel → t and lifetime count of its last edge

    def of(self, frame: AnyFrame) -> Iterator[Numbers]:
        """The series of a frame; those without a finite value are left out."""
        if isinstance(frame, Samples):
            yield from _samples(frame)
        elif isinstance(frame, Pulse):
            yield from self._pulse(frame)
        else:
            for name, value, main in _single(frame):
                if isinstance(value, int | float) and math.isfinite(value):
                    yield _numbers(name, main, [frame.t], [float(value)])

    def _pulse(self, frame: Pulse) -> Iterator[Numbers]:
        if not frame.edges:
            return
        times = [frame.t + edge for edge in frame.edges]
        totals = list(range(frame.total - len(times) + 1, frame.total + 1))
        known = frame.channel in self._imp_per_kwh
        yield _numbers(f"pulse/{frame.channel}", not known, times, [float(total) for total in totals])
        before = self._edges.get(frame.channel)
        self._edges[frame.channel] = times[-1], totals[-1]
        if not known:
            return
        edges = [*([before] if before else []), *zip(times, totals, strict=True)]
        watts = [
            (t, 3.6e15 * (total - count) / (self._imp_per_kwh[frame.channel] * (later - t)))
            for (t, count), (later, total) in pairwise(edges)
            if later > t and total > count
        ]
        if watts:
            yield _numbers(f"energy/{frame.channel}", True, *zip(*watts, strict=True))


def _numbers(name: str, main: bool, times: Sequence[int], values: Sequence[float]) -> Numbers:
    try:
        series = series_of(name)
        unit, step = series.unit, series.kind == "step"
    except UnknownSeries:  # of health, or a field of a newer device
        unit, step = next((unit for end, unit in _UNITS.items() if name.endswith(end)), ""), False
    return Numbers(name, unit, main, step, np.array(times, np.int64), np.array(values, np.float64))


def _samples(frame: Samples) -> Iterator[Numbers]:
    counts = np.frombuffer(frame.values, frame.dtype).reshape(frame.n, len(frame.axes))
    steps: Any = frame.dt_ns
    times = frame.t + (np.arange(frame.n) * steps if isinstance(steps, int) else np.cumsum([0, *steps])[: frame.n])
    for i, axis in enumerate(frame.axes):
        values = counts[:, i] * frame.scale
        good = np.isfinite(values)
        yield Numbers(f"samples/{frame.sensor}/{axis}", frame.unit, True, False, times[good], values[good])


def _single(frame: AnyFrame) -> Iterator[tuple[str, Any, bool]]:
    """(series, value, main)."""
    if isinstance(frame, Thermostat):
        for reading in frame.readings:
            place = f"thermostat/{frame.device}/{reading.get('channel', '')}"
            for field, value in reading.items():
                name = "device_time_s" if field == "time" else field
                if field != "channel" and isinstance(value, int | float):
                    yield f"{place}/{name}", value, field == "temperature"
    elif isinstance(frame, ArmFeedback):
        angles = frame.angles if isinstance(frame.angles, list) and frame.funcode == 1 else []
        for i, angle in enumerate(angles[:7]):
            yield f"arm/joint{i}", angle, i < 6
    elif isinstance(frame, ArmCommand):
        if isinstance(frame.joint_id, int):
            yield f"arm/joint{frame.joint_id}/target", frame.target_value, True
    elif isinstance(frame, Pump):
        if frame.event in ("done", "stopped"):
            yield f"pump/{frame.pump}/ml", frame.ml, True
            yield f"pump/{frame.pump}/steps", frame.steps, False
    elif isinstance(frame, Smoother):
        place = f"smoother/{frame.joint_id}"
        for field in ("target", "current", "sent", "step_size"):
            yield f"{place}/{field}", getattr(frame, field), field in ("target", "current")
    elif isinstance(frame, Camera):
        yield f"camera/{frame.camera_id}/fps", frame.actual_fps, True
        yield f"camera/{frame.camera_id}/target_fps", frame.target_fps, False
        yield f"camera/{frame.camera_id}/drops", frame.drop_count, False
        yield f"camera/{frame.camera_id}/motion", frame.motion_score, False
    elif isinstance(frame, WebRequest):
        yield f"web/{frame.endpoint}/response_ms", frame.response_ms, True
    elif isinstance(frame, Health):
        yield f"health/{frame.src}/cpu_pct", frame.cpu_pct, True
        yield f"health/{frame.src}/rss_mb", frame.rss_bytes / 1e6, False
        yield f"health/{frame.src}/late_p999_us", frame.lateness_us.p999, False
