"""All outputs of a sink, as its main thread sees them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import sinks
from common.config.schema import Config
from common.errors import ConfigError
from common.log import Log
from common.secrets import Secrets
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.store.moves import Move

QUEUE_LOG_S = 5.0


class Outputs:
    """Made once the store is open. `start` when the gate is set; `moves` before each commit, `committed` after it."""

    def __init__(self, config: Config, data: Path, store: str, log: Log, secrets: Secrets) -> None:
        """An output that cannot be opened is said in the log and in the status; all else goes on without it."""
        self.gate = Gate()
        self.consumers: list[Consumer] = []
        self.faults: dict[str, str] = {}
        for name in sinks.enabled(config):
            try:
                output = sinks.open_output(name, config, data, log, secrets)
                self.consumers.append(Consumer(name, output, store, self.gate, log))
            except Exception as e:  # also what a plug-in raises that rigbus knows nothing of
                self.faults[name] = str(e) if isinstance(e, ConfigError) else f"{type(e).__name__}: {e}"
                log.error(f"{name}: cannot be opened, the rig goes on without it", reason=self.faults[name])
        self.tables = sorted({feed.table for consumer in self.consumers for feed in consumer.feeds})
        self._generation: int | None = None
        self._queues = {consumer.name: Queue(consumer, log) for consumer in self.consumers}

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

    def count(self, tops: Mapping[str, int]) -> None:
        """tops: table → highest id. Counts what is behind, and says so in the log."""
        for queue in self._queues.values():
            queue.count({table: min(top, self.gate.limits.get(table, top)) for table, top in tops.items()})

    def retry(self, name: str = "") -> None:
        """End the pauses of one output, or of all."""
        for consumer in self.consumers:
            if name in ("", consumer.name):
                consumer.retry()

    def waits(self) -> list[str]:
        """What outputs wait for, a few words each."""
        if self.gate.reason and self.consumers:
            return [f"outputs wait: {self.gate.reason}"]
        waiting = [(c.name, c.reason) for c in self.consumers if c.state == "waiting"]
        return [f"{name} waits: {reason}" for name, reason in (*self.faults.items(), *waiting)]

    def stop(self, timeout_s: float) -> None:
        """Lets them deliver what is stored, within so long. Their last moves wait for one more commit."""
        end = time.monotonic() + timeout_s
        for consumer in self.consumers:
            consumer.stop(timeout_s)
        for consumer in self.consumers:
            consumer.join(end + 0.5 - time.monotonic())

    def status(self) -> dict[str, Any]:
        """For ctl `status`: by output."""
        nothing = {"behind": 0, "delivered": 0, "refused": 0}
        faults = {name: {"state": "waiting", "reason": reason, **nothing} for name, reason in self.faults.items()}
        return faults | {
            c.name: {
                "state": c.state, "reason": c.reason or self.gate.reason, "behind": c.behind,
                "delivered": c.delivered, "refused": c.refused,
            } for c in self.consumers
        }  # fmt: skip


class Queue:
    """How many rows an output is behind: in its status, and in the log every few seconds while it does not catch up."""

    def __init__(self, consumer: Consumer, log: Log) -> None:
        self._consumer, self._log = consumer, log
        self._told = False
        self._next = time.monotonic() + QUEUE_LOG_S

    def count(self, tops: Mapping[str, int]) -> None:
        consumer, now = self._consumer, time.monotonic()
        left = (tops[feed.table] - consumer.position(feed.table) for feed in consumer.feeds)
        consumer.behind = sum(max(0, rows) for rows in left)
        if consumer.caught_up:  # since the last look: what it has not got has just come
            consumer.behind = 0
            if self._told:
                self._log.info(f"{consumer.name}: nothing is behind")
            consumer.caught_up, self._told, self._next = False, False, now + QUEUE_LOG_S
        elif consumer.behind and now >= self._next:
            self._log.info(f"{consumer.name}: queue", rows=consumer.behind)
            self._told, self._next = True, now + QUEUE_LOG_S
