"""A meter's lifetime count never goes back: where the journal is damaged, the store may know more."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.lifetime import lifetime_total
from common.log import Log
from common.paths import Folders
from common.store.writer import Store

STORED = 900


class Rt:
    """What of Runtime is asked; `told`: the rows for the ledger."""

    def __init__(self, folders: Folders, *, damaged: bool, total: int) -> None:
        self.folders, self.said = folders, io.StringIO()
        self.log = Log("pulse", self.said)
        state = SimpleNamespace(totals={"import": total} if total else {})
        self.journal = SimpleNamespace(damaged=damaged, state=state)
        self.told: list[tuple[Any, ...]] = []

    def lose(self, *words: Any, from_t: int, to_t: int, detail: str) -> None:
        assert from_t == to_t > 0
        self.told.append((*words, detail))


@pytest.fixture
def folders(tmp_path: Path, maker: Any) -> Folders:
    folders = Folders(tmp_path, tmp_path / "r")
    store = Store.open(folders.store)
    store.commit([maker.pulse(total=STORED), maker.pulse(channel="export", total=5000)])
    store.close()
    return folders


@pytest.mark.parametrize(
    ("damaged", "journal", "total"),
    [(False, 7, 7), (True, 7, STORED), (True, 0, STORED), (True, STORED, STORED), (True, 901, 901)],
    ids=["whole", "damaged", "new", "both know the same", "the journal knows more"],
)
def test_it_is_the_greater_one(folders: Folders, damaged: bool, journal: int, total: int) -> None:
    rt = Rt(folders, damaged=damaged, total=journal)
    assert lifetime_total(rt, "import") == total
    taken = [("pulse/import/", "edge", None, "total_from_store", f"journal had {journal}, the store {STORED}")]
    assert rt.told == (taken if total > journal else [])


def test_a_store_that_cannot_be_asked_keeps_no_meter_from_counting(folders: Folders) -> None:
    folders.store.write_bytes(b"no database" * 100)
    rt = Rt(folders, damaged=True, total=7)
    assert lifetime_total(rt, "import") == 7
    assert "lifetime total not compared with the store" in rt.said.getvalue()
    folders.store.unlink()
    assert lifetime_total(rt, "import") == 7
    assert rt.told == []
