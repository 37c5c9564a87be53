"""What the day has used: from the last pulse before midnight on, also when that pulse comes late."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.config.load import load
from common.frames import Pulse
from common.gateway import books
from common.gateway.books import Bookkeeper, Books
from common.gateway.seen import Edge, Seen
from common.log import Log
from common.paths import Folders
from common.store.items import Item, StreamKey, Taken
from common.store.writer import Store

S = 10**9
DAY = 86_400 * S
MIDNIGHT = 1_760_000_000 * S
KEY = StreamKey("rig1", "pulse", "0" * 16)


class Rig:
    """A store with pulses, and the bookkeeper that looks at it; `at` is the time."""

    def __init__(self, folder: Path) -> None:
        config = load("config/rigbus.toml", {}).config
        self.at, self._seq, self.seen = MIDNIGHT - 3600 * S, 0, Seen({})
        folders = Folders(folder, folder)
        self.store = Store.open(folders.store)
        self.keeper = Bookkeeper(config, folders, self.seen, list, Log("test"))

    def pulses(self, *edges: tuple[int, int]) -> None:
        """(t, lifetime count) of the meter `import`."""
        items: list[Item] = []
        for t, total in edges:
            self._seq += 1
            frame = Pulse(
                node=KEY.node, src=KEY.src, run=KEY.run, seq=self._seq, t=t, mono=self._seq, channel="import",
                edges=[0], total=total,
            )  # fmt: skip
            items.append(Taken(KEY, "pulse/import/", frame))
            self.seen.edges["import"] = Edge(total, t, None, 1)
        self.store.commit(items)

    def first(self) -> int | None:
        """The lifetime count at the day's beginning, as a look finds it."""
        self.keeper._connect()
        conn = self.keeper._conn
        assert conn is not None
        day_t = MIDNIGHT - DAY if self.at < MIDNIGHT else MIDNIGHT
        found = self.keeper._day_totals(conn, day_t)
        self.keeper.books = Books(day_t=day_t, day_totals=found)
        return found.get("import")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(tmp_path)
    monkeypatch.setattr(books.clock, "wall_ns", lambda: made.at)
    with closing(made.store):
        yield made
        made.keeper._forget()


def test_a_meter_without_a_pulse_before_the_day_begins_at_its_first(rig):
    rig.pulses((MIDNIGHT - 7200 * S, 41), (MIDNIGHT - 7000 * S, 42))
    rig.at = MIDNIGHT - 6000 * S
    assert rig.first() == 40


def test_a_new_day_begins_at_the_count_of_midnight(rig):
    rig.pulses((MIDNIGHT - 7200 * S, 41), (MIDNIGHT - 7000 * S, 42))
    assert rig.first() == 40
    rig.pulses((MIDNIGHT - S, 99), (MIDNIGHT + S, 100))
    rig.at = MIDNIGHT + 2 * S
    assert rig.first() == 99


def test_a_pulse_of_the_day_before_that_comes_late_counts_there(rig, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(books.time, "monotonic", lambda: now[0])
    rig.pulses((MIDNIGHT - 60 * S, 50))
    rig.at = MIDNIGHT + S
    assert rig.first() == 50
    rig.pulses((MIDNIGHT - 30 * S, 51))
    rig.at, now[0] = MIDNIGHT + 20 * S, now[0] + 19
    assert rig.first() == 51
