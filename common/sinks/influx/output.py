"""InfluxDB 2.x, or what takes its writes: rows as line protocol over HTTP. docs/outputs.md."""

from collections.abc import Iterator, Mapping, Sequence

from common.errors import ConfigError
from common.sinks.influx import kinds, samples
from common.sinks.influx.lines import Batch
from common.sinks.influx.sender import Bad, Sender
from common.sinks.influx.server import Server
from common.sinks.output import Feed, NotNow, Place, Row, Written
from common.store import chunks
from common.store.moves import FileState, Refused

_CHUNKS = 4  # of one page: each may have 65,536 samples
_TEXTS = 1000  # rows of one page that may hold long texts


class InfluxOutput:
    """Batches of one page at a time; nothing is kept between two pages."""

    def __init__(self, place: Place) -> None:
        """Raises ConfigError."""
        self._config = config = place.config.sink.influx
        if config.measurement.startswith("#") or config.measurement != config.measurement.strip("\\\r\n"):
            raise ConfigError(f"sink.influx.measurement {config.measurement!r} cannot be written as line protocol")
        self._log, self._name = place.log, place.name
        self._server = Server(config, place.secrets)
        self._sender = Sender(place.name, self._server, config, place.log)
        self._pulses = kinds.Pulses(config.measurement)
        self._sums: bool | None = {"tasks": False, "sink": True}.get(config.downsampling)  # None: not known yet
        self._buckets = {60: config.b1m_bucket, 300: config.b5m_bucket, 3600: config.b1h_bucket}

    def feeds(self) -> Sequence[Feed]:
        config, batch = self._config, self._config.batch
        found = [Feed("pulses", kinds.PULSE_COLUMNS, batch)]
        for table, kind in kinds.KINDS.items():
            found.append(Feed(table, kind.columns, min(batch, _TEXTS)))
        series = ["samples"] * (config.samples == "rollups") + ["pulse"] * (config.downsampling != "tasks")
        if series:
            where = " OR ".join(f"series GLOB '{name}/*'" for name in series)
            # A changed sum has a new id: that the old one is gone is no loss.
            found.append(Feed("rollups", kinds.ROLLUP_COLUMNS, batch, where, retained=False))
        if config.samples == "raw":
            found.append(Feed("sample_chunks", chunks.COLUMNS, _CHUNKS))
        return found

    def restore(self, cursors: Mapping[str, int], files: Sequence[FileState]) -> Mapping[str, int]:
        return {}

    def write(self, table: str, rows: Sequence[Row]) -> Written:
        if table == "sample_chunks":
            return self._samples(rows)
        return Written(
            _by_row(table, [bad for batch in self._batches(table, rows) for bad in self._sender.send(batch)])
        )

    def idle(self) -> Written:
        return Written()

    def committed(self) -> None:
        pass

    def close(self) -> None:
        self._server.close()

    def _batches(self, table: str, rows: Sequence[Row]) -> Iterator[Batch]:
        bucket = self._config.raw_bucket
        if table == "pulses":
            yield Batch(bucket, self._pulses.body(rows), [row[0] for row in rows])
        elif table == "rollups":
            yield from self._rollups(rows)
        else:
            body, ids = kinds.encode(kinds.KINDS[table], rows)
            yield Batch(bucket, body, ids)

    def _rollups(self, rows: Sequence[Row]) -> Iterator[Batch]:
        if self._sums is None and any(row[2].startswith("pulse/") for row in rows):
            self._sums = self._sink_sums()
        measurement = self._config.measurement if self._sums else None
        found: dict[int, list[tuple[int, str]]] = {}
        for window_s, row_id, line in kinds.rollups(rows, measurement, samples=self._config.samples == "rollups"):
            found.setdefault(window_s, []).append((row_id, line))
        for window_s, pairs in found.items():
            body = "".join(line for _, line in pairs).encode()
            yield Batch(self._buckets[window_s], body, [row_id for row_id, _ in pairs])

    def _sink_sums(self) -> bool:
        """Whether sums of pulses are written here: where the server has no Flux tasks. Raises NotNow: not known yet."""
        answer = self._server.tasks()
        if answer.status >= 500 or answer.status in (408, 429):
            raise NotNow(f"{self._server.name}: it does not say whether it has tasks", answer.wait_s)
        has = answer.status in (200, 401, 403) and not answer.is_page
        who = (
            "it has Flux, so tasks sum up pulses (`rigbus influx setup` makes them)"
            if has
            else "it has no Flux tasks, so sums of pulses are written from here"
        )
        self._log.info(f"{self._name}: {self._server.name}: {who} (sink.influx.downsampling is auto)")
        return not has

    def _samples(self, rows: Sequence[Row]) -> Written:
        """A chunk is lines by the thousand: one batch of them at a time."""
        refused: list[Refused] = []
        for row in rows:
            bad: list[Bad] = []
            try:
                for body, n in samples.encode(row, self._config.batch):
                    bad += self._sender.send(Batch(self._config.raw_bucket, body, [row[0]] * n))
            except chunks.BadChunk as e:
                refused.append(Refused("sample_chunks", row[0], str(e)))
            refused += _by_row("sample_chunks", bad)
        return Written(refused)


def _by_row(table: str, bad: Sequence[Bad]) -> list[Refused]:
    """One entry a row: of a row with several lines the first, with the number of the others."""
    first: dict[int, Bad] = {}
    more: dict[int, int] = {}
    for line in bad:
        if line.row_id in first:
            more[line.row_id] = more.get(line.row_id, 0) + 1
        else:
            first[line.row_id] = line

    def reason(line: Bad) -> str:
        others = more.get(line.row_id)
        return line.reason + (f" (and {others} more of its lines)" if others else "")

    return [Refused(table, line.row_id, reason(line), line.line) for line in first.values()]
