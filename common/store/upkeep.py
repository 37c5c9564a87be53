"""What the sink's store is given between commits, a little at a time: sums of windows, and room."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.config.schema import Config
from common.errors import StoreError
from common.log import Log
from common.store.moves import Follower
from common.store.retention import Retention
from common.store.rollups import Rollups
from common.store.writer import Store

_ROOM_S = 0.1  # that deletions may take in one go, where the disk is nearly full


class Upkeep:
    """`step` after each commit, `refused` where one failed, `finish` at the stop. In the writer's thread."""

    def __init__(self, config: Config, data: Path, log: Log) -> None:
        self._rollups = Rollups(_imp_per_kwh(config), log)
        self._retention = Retention(config.sink, data, log)

    def take(self, config: Config) -> None:
        """Another configuration: sums go by it from the next step on."""
        self._rollups.imp_per_kwh = _imp_per_kwh(config)
        self._retention.take(config.sink)

    def step(
        self, store: Store, consumers: Sequence[Follower], limits: Mapping[str, int], *, settled: bool = True
    ) -> None:
        """consumers, limits: of the outputs, and of the clock's gate. settled: no row waits for its right time, by

        which it has its age. Raises StoreError: nothing of the step that failed is done.
        """
        self._rollups.step(store, limits, now=self._retention.full)
        end = time.monotonic() + _ROOM_S
        while self._retention.step(store, consumers, limits, aging=settled) and time.monotonic() < end:
            pass

    def refused(self, store: Store, consumers: Sequence[Follower], error: StoreError) -> None:
        """The store took nothing: where that is for want of room, some is made."""
        self._retention.refused(error)
        with contextlib.suppress(StoreError):
            self._retention.step(store, consumers, aging=False)

    def finish(self, store: Store, limits: Mapping[str, int], timeout_s: float) -> None:
        """Sums up what is stored. Raises StoreError."""
        self._rollups.finish(store, limits, timeout_s)
        self._retention.finish(store)


def _imp_per_kwh(config: Config) -> dict[str, float]:
    return {channel.name: channel.imp_per_kwh for channel in config.pulse.channel} if config.pulse is not None else {}
