"""The sink's transactions: what came in, what outputs have done, and between them the store's upkeep."""

import time
from contextlib import suppress

from common import clock
from common.clock import Clock
from common.config.schema import Config, SinkConfig
from common.errors import StoreError
from common.intake.clock_keeper import ClockKeeper
from common.intake.intake import Intake
from common.intake.lines import CatchUpLines, LossLines
from common.log_events import LogEvent
from common.runtime import Runtime
from common.sinks.outputs import Outputs
from common.store.upkeep import Upkeep
from common.store.writer import Store

_MAX_BYTES = 2 << 20  # commit sooner under load: what is acknowledged need not be replayed
_SUM_UP_S = 0.5  # at the stop


class Committer:
    """One transaction each commit_s; after an error everything is taken again from the journals."""

    def __init__(
        self, rt: Runtime, cfg: SinkConfig, store: Store, intake: Intake, outputs: Outputs, clocks: Clock = clock
    ) -> None:
        self._rt, self._cfg, self._store, self._intake, self._outputs = rt, cfg, store, intake, outputs
        self._keeper = ClockKeeper(store, outputs.gate, outputs.consumers, rt.config.clock.hold_s, rt.log, clocks)
        self._upkeep = Upkeep(rt.config, rt.folders.data, rt.log)
        self._next = time.monotonic() + cfg.commit_s
        self._ok = True
        self.frames = 0
        outputs.follow(store.generation)
        self._losses, self._lag_lines = LossLines(store, rt.log), CatchUpLines(rt.log)

    def take(self, config: Config) -> None:
        """Another configuration, for what is done from here on."""
        self._cfg, self._keeper.hold_s = config.sink, config.clock.hold_s
        self._upkeep.take(config)
        self._outputs.take(config)

    def due(self) -> bool:
        now, intake = time.monotonic(), self._intake
        return now >= self._next or (self._ok and (intake.end_seen or intake.taken_bytes > _MAX_BYTES))

    def commit(self, *, last: bool = False) -> None:
        """Stores what is there. A store that refuses is tried again after a second; nothing piles up meanwhile."""
        intake, store, outputs = self._intake, self._store, self._outputs
        self._next = time.monotonic() + self._cfg.commit_s
        try:
            if not self._ok:
                intake.rewind(store.cursors())
            self._keeper.look()
            outputs.follow(store.generation)
            intake.items += intake.noise.take(now=last)
            faults = store.commit(intake.items, intake.published, outputs.moves(), store.generation)
            outputs.follow(store.generation)
        except StoreError as e:
            self._refused(e)
            return
        for fault in faults:
            self._rt.log.seldom(fault, "the progress of an output cannot be stored", reason=fault)
        if not self._ok:
            self._rt.log.info("the store takes rows again", event=LogEvent.STORE_OK)
            self._ok = True
        self.frames += len(intake.items)
        intake.stored()
        intake.resume()
        outputs.committed()
        with suppress(StoreError):  # the next commit says what is wrong
            outputs.count(store.tops(outputs.tables))
            self._losses.look(store, last=last)

    def between(self) -> None:
        """What is done between commits, a little at a time."""
        if not self._ok:
            return
        try:
            self._keeper.look()
            gate = self._outputs.gate.limits
            self._upkeep.step(self._store, self._outputs.consumers, gate, settled=self._keeper.settled)
        except StoreError as e:
            self._refused(e)

    def finish(self) -> None:
        """At the stop: sums of what is stored."""
        try:
            self._upkeep.finish(self._store, self._outputs.gate.limits, _SUM_UP_S)
        except StoreError as e:
            self._refused(e)

    def _refused(self, error: StoreError) -> None:
        if self._ok:
            self._rt.log.error(
                "the store refuses; frames stay in the journals", event=LogEvent.STORE_REFUSES, reason=str(error)
            )
        self._ok = False
        self._intake.suspend()
        self._next = time.monotonic() + 1.0
        self._upkeep.refused(self._store, self._outputs.consumers, error)
        self._outputs.follow(self._store.generation)

    def report(self) -> None:
        lags = self._intake.lags()
        self._lag_lines.look(lags)
        state = "storing" if self._ok else "the store refuses"
        self._rt.say(", ".join([f"{state}, {self.frames} frames, {sum(lags.values())} behind", *self._outputs.waits()]))
        self._rt.details = {
            "stored_frames": self.frames, "behind": lags, "noise": self._intake.noise.total,
            "outputs": self._outputs.status(),
        }  # fmt: skip
