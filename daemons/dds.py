"""Records what a robot arm says and is told on DDS, and sends it commands where the configuration allows that."""

import sys
import threading
from contextlib import closing

from common import arm, clock
from common.arm.desk import Desk
from common.arm.ledger import Ledger
from common.arm.network import dropped_datagrams
from common.arm.recorder import FEEDBACK_STREAM, Recorder
from common.arm.tracker import Tracker
from common.config.schema import Config, DdsConfig
from common.errors import RigbusError
from common.latch import Latch
from common.runtime import Runtime
from common.service import entry

_BEAT_S = 0.1
_BEATS = 10  # from one look at the sockets to the next


class Sockets:
    """What the kernel dropped on our sockets: some of it may have been the arm's."""

    def __init__(self, rt: Runtime) -> None:
        self._rt, self._dropped, self._looked_ns = rt, dropped_datagrams(), clock.wall_ns()

    def look(self) -> None:
        before, since_ns = self._dropped, self._looked_ns
        self._dropped, self._looked_ns = dropped_datagrams(), clock.wall_ns()
        if self._dropped > before:
            self._rt.lose(
                FEEDBACK_STREAM, "sample", None, "socket_full", from_t=since_ns, to_t=self._looked_ns,
                detail=f"{self._dropped - before} datagrams of any DDS topic",
            )  # fmt: skip


def run(rt: Runtime, cfg: DdsConfig) -> None:
    rt.mark_down_time(FEEDBACK_STREAM, "sample")
    folder = rt.folders.data / "dds"
    with closing(Ledger(folder / "commands.jsonl")) as ledger, arm.open_bridge(cfg) as bridge:
        try:
            latch = Latch(folder)
        except OSError as e:
            raise RigbusError(f"{e.filename or folder}: {e.strerror}") from None
        # the gripper only where its unit is known: its commands and its angles may count it differently
        tracker = Tracker(cfg.stale_s, range(6 if cfg.gripper_unit == "raw" else 7))
        lock, sockets = threading.RLock(), Sockets(rt)
        recorder = Recorder(rt, ledger, tracker, lock)
        desk = Desk(rt, cfg, bridge, ledger, tracker, recorder, latch, lock)
        rt.watch("dds", bridge.rounds)
        rt.watch("desk", desk.rounds)
        bridge.start(recorder.text, recorder.servo, recorder.lost)

        def take(config: Config) -> None:
            assert config.dds is not None
            desk.take(config.dds)
            tracker.stale_s = config.dds.stale_s

        rt.on_reload(take)
        try:
            for beat, _ in enumerate(rt.every(_BEAT_S)):
                bridge.check()
                recorder.tick()
                desk.look()
                if beat % _BEATS == 0:
                    sockets.look()
                seen = recorder.status(bridge.listeners, bridge.writers)
                rt.details = {"locked": desk.locked, "locked_by": desk.reason if desk.locked else "", "arm": seen}
                heard = "angles come" if seen["fresh"] else "no angles"
                rt.say(f"locked: emergency stop, {heard}" if desk.locked else heard)
        finally:
            desk.close()
            sockets.look()


if __name__ == "__main__":
    sys.exit(entry("dds", __doc__, lambda config: config.dds, run))
