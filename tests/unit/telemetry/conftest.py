"""Collectors that are stopped when a test ends, and a short folder for sockets."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.telemetry import TelemetryCollector

MakeCollector = Callable[..., TelemetryCollector]


@pytest.fixture(autouse=True)
def _no_rig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIGBUS_RUN_DIR", raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, as the path of a socket has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def collect() -> Iterator[MakeCollector]:
    """collect(…) → a started collector."""
    made: list[TelemetryCollector] = []

    def make(*args: Any, **options: Any) -> TelemetryCollector:
        made.append(TelemetryCollector(*args, **options))
        made[-1].start()
        return made[-1]

    yield make
    for collector in made:
        # nobody acknowledges here what a test has left
        collector._recorder.stop(0.2)
        collector.stop()
