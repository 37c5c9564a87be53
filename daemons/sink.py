"""Stores every frame: rows, ledger and cursors in one transaction, fsync, then the acknowledgement."""

import gc
import sys
import time

from common import clock
from common.config.schema import SinkConfig
from common.errors import StoreError
from common.intake.intake import Intake
from common.runtime import Runtime
from common.service import entry
from common.sinks.outputs import Outputs
from common.store.writer import Store

_NAP_S = 0.25  # frames wait in the socket meanwhile: one wake-up takes them all
_DRAIN_S = 1.0  # at the stop: for what is published and not yet here
_DELIVER_S = 1.0  # at the stop: for outputs to write what is stored; what they do not waits in the store
_MAX_BYTES = 2 << 20  # commit sooner under load: what is acknowledged need not be replayed
_STEP_NS = 20_000_000  # a wall clock that moves more than that against BOOTTIME between two commits was set


class Committer:
    """One transaction each commit_s; after an error everything is taken again from the journals."""

    def __init__(self, rt: Runtime, cfg: SinkConfig, store: Store, intake: Intake, outputs: Outputs) -> None:
        self._rt, self._cfg, self._store, self._intake, self._outputs = rt, cfg, store, intake, outputs
        self._next = time.monotonic() + cfg.commit_s
        self._ok = True
        self._offset_ns = clock.wall_minus_boot_ns()
        self.frames = 0

    def due(self) -> bool:
        now, intake = time.monotonic(), self._intake
        return now >= self._next or (self._ok and (intake.end_seen or intake.taken_bytes > _MAX_BYTES))

    def commit(self, *, last: bool = False) -> None:
        """Stores what is there. A store that refuses is tried again after a second; nothing piles up meanwhile."""
        intake, store = self._intake, self._store
        self._next = time.monotonic() + self._cfg.commit_s
        self._watch_clock()
        try:
            if not self._ok:
                intake.rewind(store.cursors())
            intake.items += intake.noise.take(now=last)
            store.commit(intake.items, intake.published, self._outputs.moves())
        except StoreError as e:
            if self._ok:
                self._rt.log.error("the store refuses; frames stay in the journals", reason=str(e))
            self._ok = False
            intake.suspend()
            self._outputs.follow(store.generation)
            self._next = time.monotonic() + 1.0
            return
        if not self._ok:
            self._rt.log.info("the store takes rows again")
            self._ok = True
        self.frames += len(intake.items)
        intake.stored()
        intake.resume()
        self._outputs.committed()

    def _watch_clock(self) -> None:
        offset = clock.wall_minus_boot_ns()
        step = offset - self._offset_ns
        self._offset_ns = offset
        if abs(step) > _STEP_NS:
            self._store.clock_step(clock.wall_ns(), clock.boot_id(), step, "")
            self._rt.log.warning("the wall clock was set", step_s=f"{step / 1e9:+.3f}")

    def report(self) -> None:
        lags = self._intake.lags()
        state = "storing" if self._ok else "the store refuses"
        self._rt.say(f"{state}, {self.frames} frames, {sum(lags.values())} behind")
        self._rt.details = {"stored_frames": self.frames, "behind": lags, "noise": self._intake.noise.total}
        self._rt.details |= {"outputs": self._outputs.status()}


def run(rt: Runtime, cfg: SinkConfig) -> None:
    gc.freeze()  # what the imports made lives for ever
    gc.set_threshold(100_000, 50, 1000)  # items wait by the ten thousand and hold no cycles: do not walk them again
    store = Store.open(str(rt.folders.store), cfg.synchronous)
    intake = Intake(rt.context, rt.config, rt.folders, store.cursors(), rt.log)
    intake.on_health = store.health
    outputs = Outputs(rt.config, rt.folders.data, str(rt.folders.store), rt.log, rt.secrets)
    outputs.follow(store.generation)
    committer = Committer(rt, cfg, store, intake, outputs)
    try:
        while not rt.stopping:
            if intake.step(0.05 if intake.catching_up else 0.5) < 100 and not intake.catching_up:
                rt.wait(_NAP_S)
            if committer.due():
                committer.commit()
                committer.report()
            rt.notifier.progress()
        end = time.monotonic() + _DRAIN_S
        while time.monotonic() < end and (intake.step(0.05) or not intake.settled):
            pass
        committer.commit(last=True)
        outputs.stop(_DELIVER_S)
        committer.commit(last=True)
    finally:
        intake.close()
        store.close()


if __name__ == "__main__":
    sys.exit(entry("sink", __doc__, lambda config: config.sink, run, journaled=False))
