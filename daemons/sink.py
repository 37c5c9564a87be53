"""Stores every frame: rows, ledger and cursors in one transaction, fsync, then the acknowledgement. Outputs follow."""

import gc
import sys
import time
from contextlib import ExitStack

from common import clock
from common.clock import Clock
from common.config.schema import SinkConfig
from common.intake.committer import Committer
from common.intake.intake import Intake
from common.runtime import Runtime
from common.service import entry
from common.sinks.outputs import Outputs
from common.sinks.quarantine import Desk
from common.store.writer import Store

_OPEN_S = 3600.0  # for the store to be migrated and checked, until systemd takes it for a hang
_NAP_S = 0.25  # frames wait in the socket meanwhile: one wake-up takes them all
_DRAIN_S = 1.0  # at the stop: for what is published and not yet here
_DELIVER_S = 1.0  # at the stop: for outputs to write what is stored; what they do not waits in the store


def run(rt: Runtime, cfg: SinkConfig, clocks: Clock = clock) -> None:
    gc.freeze()  # what the imports made lives for ever
    gc.set_threshold(100_000, 50, 1000)  # items wait by the ten thousand and hold no cycles: do not walk them again
    # frames must not wait for the store, which may take long to migrate: they are safe in the journals
    rt.ready(_OPEN_S)
    rt.say("opening the store")
    with ExitStack() as ending:  # whatever is raised: a socket that is left open would keep the process from ending
        store = Store.open(str(rt.folders.store), cfg.synchronous)
        ending.callback(store.close)
        intake = Intake(rt.context, rt.config, rt.folders, store.cursors(), rt.log)
        ending.callback(intake.close)
        intake.on_health = store.health
        outputs = Outputs(rt.config, rt.folders.data, str(rt.folders.store), rt.log, rt.secrets)
        committer = Committer(rt, cfg, store, intake, outputs, clocks)
        outputs.start()
        desk = Desk()
        ending.callback(desk.close)
        for op, handler in desk.handlers().items():
            rt.on(op, handler)
        rt.on_reload(committer.take)
        while not rt.stopping:
            is_idle = intake.step(0.05 if intake.catching_up else 0.5) < 100 and not intake.catching_up
            rt.wait(_NAP_S if is_idle else 0)
            if committer.due():
                committer.commit()
                committer.report()
            committer.between()
            desk.work(store, outputs)
            rt.progress()
        end = time.monotonic() + _DRAIN_S
        while time.monotonic() < end and (intake.step(0.05) or not intake.settled):
            pass
        committer.commit(last=True)
        committer.finish()
        outputs.stop(_DELIVER_S)
        committer.commit(last=True)


if __name__ == "__main__":
    sys.exit(entry("sink", __doc__, lambda config: config.sink, run, journaled=False))
