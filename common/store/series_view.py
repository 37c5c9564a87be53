"""What charts draw: values of series as columns of lowest, highest and mean, raw or from rollups, as the range asks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from common.store.readonly import StoreFile
from common.store.series_columns import Columns
from common.store.series_kinds import OfSamples, Series, UnknownSeries, series_of
from common.store.series_names import SeriesNames
from common.store.series_raw import RawSeries, TooMuch
from common.store.series_sums import WINDOWS_S, SummedSeries, oldest_ns

RAW = 0
RAW_NS = 600 * 10**9  # `auto` is raw up to here
MOST_RAW_NS = 3600 * 10**9  # raw at all
SOURCES = (RAW, *WINDOWS_S)
MOST_NAMES, MOST_COLUMNS = 16, 4000
FARTHEST_NS = 2**62 - 1  # of a range, on both sides of 1970


class Drawn(NamedTuple):
    """kind: step (a value holds until the next) or line. period_s: between two values; None: none, or not known."""

    unit: str
    kind: str
    period_s: float | None
    columns: Columns
    first_ns: int | None


class Answer(NamedTuple):
    """source: 0 raw, else the window of the rollups in s."""

    from_ns: int
    to_ns: int
    source: int
    series: dict[str, Drawn]


class Named(NamedTuple):
    name: str
    unit: str
    kind: str
    first_ns: int
    last_ns: int


class SeriesView:
    """file: of this thread. imp_per_kwh: of the configured meters. names: shared by all views of a store."""

    def __init__(self, file: StoreFile, imp_per_kwh: Mapping[str, float], names: SeriesNames) -> None:
        self._file, self._imp_per_kwh, self._names = file, imp_per_kwh, names

    def get(
        self, names: Sequence[str], from_ns: int, to_ns: int, columns: int = 600, source: int | None = None
    ) -> Answer:
        """Values of from_ns ≤ t < to_ns. source: of SOURCES, or None: raw up to 10 min, then the coarsest window of
        which each column holds one at least; where retention has taken that, the next that is still there.

        Raises UnknownSeries for a name, ValueError for a range, columns or a source, TooMuch; StoreError where the
        database refuses.
        """
        wanted = [series_of(name) for name in dict.fromkeys(names)]
        _check(wanted, from_ns, to_ns, columns, source)
        if source is None:
            answer = self._auto(wanted, from_ns, to_ns, columns)
        else:
            answer = self._from(source, wanted, from_ns, to_ns, columns)
        if not self._names.learn(self._file, 0.0) and not all(map(self._names.knows, names)):
            self._names.learn(self._file)
        return answer._replace(series={name: self._told(name, drawn) for name, drawn in answer.series.items()})

    def names(self, budget_s: float = 5.0) -> list[Named]:
        """Every series that there is; of a huge store those that could be learnt in that time, and later the rest.

        Raises StoreError.
        """
        self._names.learn(self._file, budget_s)
        found = []
        for name in self._names.all():
            span = self._names.span(self._file, name)
            try:
                series = series_of(name)
            except UnknownSeries:  # of a newer rigbus
                continue
            if span is not None:
                found.append(Named(name, self.unit_of(series), series.kind, *span))
        return found

    def _auto(self, wanted: Sequence[Series], from_ns: int, to_ns: int, columns: int) -> Answer:
        if to_ns - from_ns <= RAW_NS:
            answer = self._from(RAW, wanted, from_ns, to_ns, columns)
            if any(len(drawn.columns.n) for drawn in answer.series.values()):
                return answer
            summed = self._from(self._reaching(60, from_ns), wanted, from_ns, to_ns, columns)
            return summed if any(len(drawn.columns.n) for drawn in summed.series.values()) else answer
        column_s = (to_ns - from_ns) / columns / 1e9
        fitting = max((w for w in WINDOWS_S if w <= column_s), default=WINDOWS_S[0])
        return self._from(self._reaching(fitting, from_ns), wanted, from_ns, to_ns, columns)

    def _reaching(self, window_s: int, from_ns: int) -> int:
        """That window, or a longer one where it goes back further towards from_ns."""
        best, oldest = window_s, oldest_ns(self._file, window_s)
        for longer in WINDOWS_S:
            if longer <= window_s or (oldest is not None and oldest <= from_ns):
                continue
            found = oldest_ns(self._file, longer)
            if found is not None and (oldest is None or found + longer * 10**9 <= oldest):
                best, oldest = longer, found
        return best

    def _from(self, source: int, wanted: Sequence[Series], from_ns: int, to_ns: int, columns: int) -> Answer:
        found: dict[str, Drawn] = {}
        if source == RAW:
            raw = RawSeries(self._file, self._imp_per_kwh, from_ns, to_ns, columns).get(wanted)
            for series in wanted:
                of = raw[series.name]
                found[series.name] = Drawn(of.unit or series.unit, series.kind, of.period_s, of.columns, None)
        else:
            summed = SummedSeries(self._file, source, from_ns, to_ns, columns).get(wanted)
            for series in wanted:
                period_s = float(source) if series.periodic else None
                unit = self.unit_of(series)
                found[series.name] = Drawn(unit, series.kind, period_s, summed[series.name], None)
        return Answer(from_ns, to_ns, source, found)

    def unit_of(self, series: Series) -> str:
        """Of samples as their newest chunk has it."""
        if not isinstance(series.raw, OfSamples):
            return series.unit
        newest = "(SELECT sensor, unit FROM sample_chunks ORDER BY id DESC LIMIT 1000)"
        found = self._file.all(f"SELECT unit FROM {newest} WHERE sensor = ? LIMIT 1", (series.raw.sensor,))
        return str(found[0][0]) if found else ""

    def _told(self, name: str, drawn: Drawn) -> Drawn:
        span = self._names.span(self._file, name)
        known = [] if span is None else [span.first_ns]
        return drawn._replace(first_ns=min([*known, *drawn.columns.t_ns[:1].tolist()], default=None))


def _check(wanted: Sequence[Series], from_ns: int, to_ns: int, columns: int, source: int | None) -> None:
    if not 1 <= len(wanted) <= MOST_NAMES:
        raise ValueError(f"{len(wanted)} names: 1 to {MOST_NAMES} at once")
    if not -FARTHEST_NS <= from_ns < to_ns <= FARTHEST_NS:
        raise ValueError("from must lie before to, and both between 1824 and 2116")
    if not 1 <= columns <= MOST_COLUMNS:
        raise ValueError(f"columns: {columns} is not 1 to {MOST_COLUMNS}")
    if source is not None and source not in SOURCES:
        raise ValueError(f"source: {source} is none of auto, {', '.join(map(str, SOURCES))}")
    if source == RAW and to_ns - from_ns > MOST_RAW_NS:
        raise TooMuch(f"raw values of {(to_ns - from_ns) / 1e9:,.0f} s: at most {MOST_RAW_NS // 10**9:,} s at once")
