"""The CSV output, as the consumer calls it: a part for each table, all in one folder."""

import os
from collections.abc import Mapping, Sequence

from common.sinks.csv import disk, readings, tables, thermostat
from common.sinks.csv.aggregate import PATH as AGGREGATE
from common.sinks.csv.aggregate import Aggregate
from common.sinks.csv.names import Names
from common.sinks.csv.orphans import Orphans
from common.sinks.csv.part import Limits, Part
from common.sinks.csv.pump import FEED as PUMP_FEED
from common.sinks.csv.pump import PumpLedger
from common.sinks.csv.readings import Readings
from common.sinks.csv.restore import FirstPages
from common.sinks.csv.tree import Files, Shape, Tree
from common.sinks.output import Feed, NotNow, Place, Row, Written
from common.store import space
from common.store.moves import FileState


class CsvOutput:
    def __init__(self, place: Place) -> None:
        cfg, log = place.config.sink.csv, place.log
        self._data, self._min_free_mb = place.data, place.config.sink.min_free_mb
        self._is_sparing = False
        self._names = Names(cfg.dir, place.data)
        self.root = self._names.root
        self._log = log
        self._orphans = Orphans(self.root, log)
        self._firsts = FirstPages(self.root)
        self._aggregate = Aggregate(self.root, log) if cfg.aggregate else None
        self._pumps = PumpLedger(self.root, cfg.pump_ledger, log)
        self._leaving: Files = {}  # files of the store's that are none of ours any more
        main = place.config.highspeed.name if place.config.highspeed is not None else ""
        daily = Limits(keep_days=cfg.keep_days, gzip=cfg.gzip)

        def tree(shape: Shape) -> Tree:
            return Tree(self.root, shape, log)

        self._readings = Part(
            readings.FEED, tree(readings.shape(cfg)), Readings(cfg, main).encode, Limits(cfg.max_files), log,
            self._aggregate,
        )  # fmt: skip
        polls = tables.daily(thermostat.TABLE, thermostat.FOLDER, cfg, below=True)
        pumps = tables.daily("pump_events", tables.PUMP_EVENTS.folder, cfg)
        parts = [
            self._readings,
            Part(thermostat.FEED, tree(polls), thermostat.encode, daily, log),
            Part(PUMP_FEED, tree(pumps), tables.encoder(tables.PUMP_EVENTS), daily, log, self._pumps),
        ]
        for table in tables.TABLES:
            shape = tables.daily(table.name, table.folder, cfg)
            parts.append(Part(table.feed, tree(shape), tables.encoder(table), daily, log))
        self._parts = {part.feed.table: part for part in parts}

    def feeds(self) -> Sequence[Feed]:
        return [part.feed for part in self._parts.values()]

    def restore(self, cursors: Mapping[str, int], files: Sequence[FileState]) -> Mapping[str, int]:
        """Raises NotNow."""
        self._leaving = self._names.left_open(files)
        files = self._names.own(files)
        back: dict[str, int] = {}
        own = (AGGREGATE, self._pumps.path)
        with disk.errors_are_not_now(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            for table, part in self._parts.items():
                cursor = cursors.get(table) or None  # 0: no page of it was ever committed
                before = self._firsts.restore(table, has_cursor=cursor is not None)
                states = [s for s in files if s.table == table and part.tree.shape.name.fullmatch(s.path)]
                found = part.restore(self._orphans, cursor, states, before)
                if found is not None:
                    back[table] = found
                    self._log.info("csv: files are written anew", table=table, from_id=found + 1)
                if table == "pump_events":
                    self._pumps.restore(self._orphans, cursor, [s for s in files if s.path in own], before)
            if self._aggregate is not None:
                self._aggregate.restore(self._readings.tree, files)
        known = set(own if self._aggregate is not None else own[1:])
        shapes = [part.tree.shape for part in self._parts.values()]
        lost = [s.path for s in files if s.path not in known and not any(
            shape.name.fullmatch(s.path) for shape in shapes)]  # fmt: skip
        self._leaving |= self._names.told(dict.fromkeys(lost))
        return back

    def write(self, table: str, rows: Sequence[Row]) -> Written:
        """Raises NotNow."""
        part = self._parts[table]
        self._spare_the_record()
        with disk.errors_are_not_now(self.root):
            written = part.write(rows, self._firsts)
        return Written(written.refused, self._names.told({**written.files, **self._tidy(look=False, part=part)}))

    def _spare_the_record(self) -> None:
        """Raises NotNow on a disk that is so full that the database would have to give up rows for these files."""
        with disk.errors_are_not_now(self.root):
            if os.stat(self.root).st_dev != os.stat(self._data).st_dev:
                return
            # some more before it goes on: what it writes then must not be what makes it wait again
            floors = 2.2 if self._is_sparing else 2.0
            wanted = floors * space.floor_bytes(self._data, self._min_free_mb)
            self._is_sparing = space.free_bytes(self._data) < wanted
        if not self._is_sparing:
            return
        raise NotNow(f"{self.root}: the disk is nearly full, what is left is for the database", needs_mending=True)

    def idle(self) -> Written:
        """Raises NotNow."""
        files: Files = {}
        leaving, self._leaving = self._leaving, {}
        with disk.errors_are_not_now(self.root):
            for part in self._parts.values():
                files |= part.idle()
            files |= self._tidy(look=True, part=self._readings)
        return Written((), {**self._names.told(files), **leaving})

    def committed(self) -> None:
        for part in self._parts.values():
            part.committed()
        if self._aggregate is not None:
            self._aggregate.committed()
        with disk.errors_are_not_now(self.root):
            self._firsts.committed()

    def close(self) -> None:
        for part in self._parts.values():
            part.tree.close_all()
        if self._aggregate is not None:
            self._aggregate.close()

    def _tidy(self, *, look: bool, part: Part) -> Files:
        """What is done beside a page, and must not fail it: it stands already.

        Orphans go whose rows stand again, then the oldest readings, and the aggregate is made anew where that is due.
        """
        files: Files = {}
        try:
            self._orphans.settle()
            if part is not self._readings:
                return files
            is_pruned = self._readings.prune()
            if self._aggregate is not None and (look or is_pruned or self._aggregate.is_due):
                files = self._aggregate.tidy(self._readings.tree)
        except OSError as e:
            self._log.seldom("csv-tidy", "csv: what is old cannot be tidied up", reason=e.strerror)
        return {**self._readings.tree.told(), **files}
