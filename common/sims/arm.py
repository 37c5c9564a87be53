"""The simulated arm: a process of its own on the arm's DDS domain, with the topics, rates and oddities of a D1."""

import argparse
import os
import signal
import sys
import time
from typing import Any

from common import arm
from common.config.load import load
from common.config.schema import DdsConfig
from common.errors import ConfigError, DeviceMissing, RigbusError
from common.log import Log
from common.options import add_common
from common.rig import PARENT
from common.sims.arm_model import ArmModel

ANGLES_HZ, FEEDBACK_HZ = 9.0, 19.0
_MOTORS_EVERY = 10  # of the feedback, the rest is angles and state in turn


class SimArm:
    """The model, and its four topics."""

    def __init__(self, cfg: DdsConfig) -> None:
        """Raises DeviceMissing."""
        try:
            from common.arm.peer import ArmPeer
        except (ImportError, OSError) as e:
            raise DeviceMissing(arm.how_to_get(e)) from None
        self._peer, self._model = ArmPeer(cfg), ArmModel()
        self._sent = 0
        now = time.monotonic()
        self._angles_at = self._feedback_at = now

    def step(self) -> None:
        """Until the next thing is due, commands in between."""
        due = min(self._angles_at, self._feedback_at)
        for text in self._peer.commands(max(0.0, due - time.monotonic())):
            for answer in self._model.command(text, time.monotonic()):
                self._peer.feedback(answer)
        now = time.monotonic()
        if now >= self._angles_at:
            self._angles_at = max(self._angles_at + 1 / ANGLES_HZ, now)
            if not self._model.silent:
                self._peer.angles(self._model.angles(now))
        if now >= self._feedback_at:
            self._feedback_at = max(self._feedback_at + 1 / FEEDBACK_HZ, now)
            self._say(now)

    def _say(self, now: float) -> None:
        self._sent += 1
        if self._sent % _MOTORS_EVERY == 0:
            self._peer.feedback(self._model.motors_text())
        elif self._sent % 2 == 0:
            self._peer.feedback(self._model.state_text())
        elif not self._model.silent:
            self._peer.feedback(self._model.angles_text(now))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m common.sims.arm", description=__doc__)
    add_common(parser)
    args = parser.parse_args()
    log, stopping = Log("sim-arm"), False

    def stop(*_: Any) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    parent = int(os.environ.get(PARENT) or os.getppid())
    try:
        loaded = load(args.config)
        if loaded.config.dds is None:
            raise ConfigError(f"{loaded.sources[0]}: there is no [dds]")
        sim = SimArm(loaded.config.dds)
        log.info("an arm", domain=loaded.config.dds.domain, interface=loaded.config.dds.interface)
        while not stopping and os.getppid() == parent:
            sim.step()
    except RigbusError as e:
        log.error(str(e))
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
