"""What rows of docs/migrating.md are tried on; what takes its time is made once, when the first row asks for it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "system"))  # faces.py, rig.py: a rig with a gateway
sys.path.append(str(TESTS / "influx"))  # v2server.py: a server like InfluxDB 2

from migrating_bench import Bench  # noqa: E402
from migrating_influx import Influx, set_up  # noqa: E402
from migrating_rig import Rig, running_rig  # noqa: E402


@pytest.fixture(scope="session")
def migrating_rig() -> Iterator[Rig]:
    with running_rig() as rig:
        yield rig


@pytest.fixture(scope="session")
def migrating_influx(tmp_path_factory: pytest.TempPathFactory) -> Influx:
    return set_up(tmp_path_factory.mktemp("influx"))


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    def made(name: str) -> Callable[[], Any]:
        return lambda: request.getfixturevalue(name)

    for name in ("RIGBUS_RUN_DIR", "TELEMETRY_RETENTION_DAYS"):
        monkeypatch.delenv(name, raising=False)
    return Bench(tmp_path, made("migrating_rig"), made("migrating_influx"))
