"""All outputs of a sink, as its main thread sees them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import sinks
from common.config.schema import Config
from common.errors import ConfigError
from common.log import Log
from common.log_events import LogEvent
from common.secrets import Secrets
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.store.moves import Move

QUEUE_LOG_S = 5.0


class Outputs:
    """Made once the store is open. `start` when the gate is set; `moves` before each commit, `committed` after it.

    consumers: those that are there; it stays the same list, as others hold it.
    """

    def __init__(self, config: Config, data: Path, store: str, log: Log, secrets: Secrets) -> None:
        """An output that cannot be opened is said in the log and in the status; all else goes on without it."""
        self.gate = Gate()
        self.consumers: list[Consumer] = []
        self.faults: dict[str, str] = {}
        self.tables: list[str] = []
        self._config, self._data, self._store, self._log, self._secrets = config, data, store, log, secrets
        self._generation: int | None = None
        self._queues: dict[str, Queue] = {}
        self._anew: set[str] = set()  # outputs whose settings have changed
        for name in sinks.enabled(config):
            self._open(name)

    def _open(self, name: str) -> Consumer | None:
        try:
            output = sinks.open_output(name, self._config, self._data, self._log, self._secrets)
            consumer = Consumer(name, output, self._store, self.gate, self._log)
        except Exception as e:  # also what a plug-in raises that rigbus knows nothing of
            self.faults[name] = str(e) if isinstance(e, ConfigError) else f"{type(e).__name__}: {e}"
            text = f"{name}: cannot be opened, the rig goes on without it"
            self._log.error(text, event=LogEvent.OUTPUT_AWAY, also={"output": name}, reason=self.faults[name])
            return None
        self.consumers.append(consumer)
        self._queues[name] = Queue(consumer, self._log)
        self._list_tables()
        return consumer

    def _list_tables(self) -> None:
        self.tables = sorted({feed.table for consumer in self.consumers for feed in consumer.feeds})

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
        for name in sorted(self._anew):
            self._begin_anew(name)

    def take(self, config: Config) -> None:
        """Another configuration. An output whose settings differ ends, and begins anew from its cursor in the store."""
        old, self._config = self._config, config
        for name in {*sinks.enabled(old), *sinks.enabled(config)}:
            if sinks.settings(name, old) != sinks.settings(name, config):
                self._anew.add(name)
        for consumer in self.consumers:
            if consumer.name in self._anew:
                consumer.stop(0.0)

    def _begin_anew(self, name: str) -> None:
        """Once the old one has ended, and how far it came is in the store."""
        old = next((consumer for consumer in self.consumers if consumer.name == name), None)
        if old is not None:
            if not old.join(0.0) or not old.mailbox.is_empty:
                return
            self.consumers.remove(old)
            del self._queues[name]
            self._list_tables()
        self._anew.remove(name)
        self.faults.pop(name, None)
        if name in sinks.enabled(self._config) and (consumer := self._open(name)) is not None:
            consumer.start()

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
    """How many rows an output is behind: in its status, and in the log while it does not catch up.

    On a terminal every few seconds, in journald when that begins.
    """

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
                text = f"{consumer.name}: nothing is behind"
                self._log.info(text, event=LogEvent.OUTPUT_CAUGHT_UP, also={"output": consumer.name})
            consumer.caught_up, self._told, self._next = False, False, now + QUEUE_LOG_S
        elif consumer.behind and now >= self._next:
            text = f"{consumer.name}: queue"
            self._log.watched(text, rows=consumer.behind)
            if not self._told:
                self._log.noted(LogEvent.OUTPUT_BEHIND, text, output=consumer.name, rows=consumer.behind)
            self._told, self._next = True, now + QUEUE_LOG_S
