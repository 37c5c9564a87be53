"""What the reader answers with."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_I64_MIN, _I64_MAX = -(2**63), 2**63 - 1


class Range(NamedTuple):
    """from_ns ≤ t < to_ns, and of these the newest `last` (None: all)."""

    from_ns: int = _I64_MIN
    to_ns: int = _I64_MAX
    last: int | None = None


ALL = Range()


class PulseRow(NamedTuple):
    t_ns: int
    channel: str
    total: int


class PowerRow(NamedTuple):
    """watts: mean since the edge before (None: no such edge, or unknown imp/kWh). kwh: the meter's lifetime energy."""

    t_ns: int
    channel: str
    total: int
    watts: float | None
    kwh: float | None


class Block(NamedTuple):
    """A decoded chunk: t_ns int64 (n,); counts of its dtype (n, axes), one count = scale units."""

    t_ns: npt.NDArray[np.int64]
    counts: npt.NDArray[Any]
    axes: list[str]
    unit: str
    scale: float
    rate_hz: float


class SampleSeries(NamedTuple):
    """t_ns int64 (n,); values float64 (n, axes) in `unit`."""

    t_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    axes: list[str]
    unit: str


class StreamRow(NamedTuple):
    id: int
    node: str
    src: str
    run: str
    boot_id: str
    stored_to: int
    stored: int
    no_rows: int
    published_to: int
    closed: int


class LedgerRow(NamedTuple):
    """count None: unknown. node, src and run are None for what is of no stream."""

    t_ns: int
    stream_id: int | None
    node: str | None
    src: str | None
    run: str | None
    stream: str
    unit: str
    count: int | None  # type: ignore[assignment]  # hides tuple.count
    cause: str
    from_seq: int | None
    to_seq: int | None
    from_t_ns: int | None
    to_t_ns: int | None
    detail: str


class EventRow(NamedTuple):
    """table: ledger, clock_steps or system_events. what: the cause, 'clock_step' or the event's type."""

    t_ns: int
    table: str
    what: str
    source: str
    detail: str


class Stats(NamedTuple):
    """tables: rows of each. bytes: of the database file, of which free_bytes are reusable; wal_bytes: its log."""

    tables: dict[str, int]
    bytes: int
    free_bytes: int
    wal_bytes: int


class RollupRow(NamedTuple):
    """A series in the window of window_s seconds that begins at t_ns. last: its newest value, of the time last_t_ns.

    watts: of an `energy/…` series the mean power, its sum over the whole window (the newest window is not yet whole).
    """

    t_ns: int
    window_s: int
    series: str
    n: int
    sum: float
    min: float
    max: float
    last: float
    last_t_ns: int
    watts: float | None
