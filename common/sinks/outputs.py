"""All outputs of a sink, as its main thread sees them."""

import time
from pathlib import Path
from typing import Any

from common import sinks
from common.config.schema import Config
from common.log import Log
from common.secrets import Secrets
from common.sinks.consumer import Consumer, Gate
from common.store.moves import Move


class Outputs:
    """Made once the store is open. `start` when the gate is set; `moves` before each commit, `committed` after it."""

    def __init__(self, config: Config, data: Path, store: str, log: Log, secrets: Secrets) -> None:
        """Raises ConfigError."""
        self.gate = Gate()
        opened = {name: sinks.open_output(name, config, data, log, secrets) for name in sinks.enabled(config)}
        self.consumers = [Consumer(name, output, store, self.gate, log) for name, output in opened.items()]
        self._generation: int | None = None

    def start(self) -> None:
        for consumer in self.consumers:
            consumer.start()

    def follow(self, generation: int) -> None:
        """generation: of the store. Where it is another one than before, every output begins anew with it."""
        if self._generation not in (None, generation):
            for consumer in self.consumers:
                consumer.restart()
        self._generation = generation

    def moves(self) -> list[Move]:
        taken = (consumer.mailbox.take() for consumer in self.consumers)
        return [move for move in taken if move is not None]

    def committed(self) -> None:
        """What moves() gave is in the store, and there may be new rows."""
        for consumer in self.consumers:
            consumer.mailbox.confirm()
            consumer.wake()

    def retry(self, name: str = "") -> None:
        """End the pauses of one output, or of all."""
        for consumer in self.consumers:
            if name in ("", consumer.name):
                consumer.retry()

    def waiting(self) -> list[str]:
        """Names of outputs that cannot write now."""
        return [consumer.name for consumer in self.consumers if consumer.state == "waiting"]

    def stop(self, timeout_s: float) -> None:
        """Lets them deliver what is stored, within so long. Their last moves wait for one more commit."""
        end = time.monotonic() + timeout_s
        for consumer in self.consumers:
            consumer.stop(timeout_s)
        for consumer in self.consumers:
            consumer.join(end + 0.5 - time.monotonic())

    def status(self) -> dict[str, Any]:
        """For ctl `status`: by output."""
        return {
            c.name: {
                "state": c.state, "reason": c.reason or self.gate.reason, "behind": c.behind,
                "delivered": c.delivered, "refused": c.refused,
            } for c in self.consumers
        }  # fmt: skip
