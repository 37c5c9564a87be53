"""The quarantine: what is sent again or given up, with a loss in the ledger; by the sink and on a stopped rig."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from common.cli.main import main
from common.errors import RigbusError
from common.paths import Lock
from common.sinks import quarantine
from common.sinks.quarantine import Desk, Which
from common.store.moves import Move, Refused
from common.store.writer import Store


def fill(store: Store, influx: int = 3, csv: int = 0, frames: int = 0) -> None:
    """Refused rows of two outputs, and frames that no table could take."""
    for output, n in (("influx", influx), ("csv", csv), ("store", frames)):
        refused = [Refused("pulses", i, f"400: no {i}", b"PowerPulse Pulse=1i %d" % i) for i in range(1, n + 1)]
        store.commit([], moves=[Move(output, {}, {}, refused, [], [], [])])


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store.open(tmp_path / "rigbus.db")
    yield made
    made.close()


def rows(store: Store, sql: str) -> list[Any]:
    return store.work(lambda conn: conn.execute(sql).fetchall())


def test_rows_are_marked_by_id_or_all_of_an_output(store: Store) -> None:
    fill(store, 3, 2)
    assert store.work(lambda c: quarantine.requeue(c, Which([2]))) == (1, 0)
    assert rows(store, "SELECT id FROM quarantine WHERE requeued = 1") == [(2,)]
    assert store.work(lambda c: quarantine.requeue(c, Which([2]))) == (0, 0)
    assert store.work(lambda c: quarantine.requeue(c, Which(all=True, output="csv"))) == (2, 0)
    assert rows(store, "SELECT id FROM quarantine WHERE requeued = 1 ORDER BY id") == [(2,), (4,), (5,)]
    assert store.work(lambda c: quarantine.requeue(c, Which(all=True))) == (2, 0)


def test_a_long_quarantine_is_changed_in_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "STEP", 4)
    fill(store, 10)
    done = [store.work(lambda c: quarantine.requeue(c, Which(all=True))) for _ in range(3)]
    assert done == [(4, 4), (4, 2), (2, 0)]
    done = [store.work(lambda c: quarantine.drop(c, Which(all=True))) for _ in range(3)]
    assert done == [(4, 4), (4, 2), (2, 0)]
    assert sum(n for (n,) in rows(store, "SELECT count FROM ledger")) == 10


def test_what_is_dropped_is_in_the_ledger_and_frames_only_once(store: Store) -> None:
    fill(store, 3, 2, 2)
    assert store.work(lambda c: quarantine.drop(c, Which(all=True))) == (7, 0)
    assert rows(store, "SELECT count(*) FROM quarantine") == [(0,)]
    assert rows(store, "SELECT stream, unit, count, cause FROM ledger ORDER BY id") == [
        ("influx/pulses", "row", 3, "quarantine_dropped"),
        ("csv/pulses", "row", 2, "quarantine_dropped"),
    ]


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (Which([1, 99]), "not in quarantine: 99"),
        (Which([4], output="influx"), "not in quarantine of influx: 4"),
        (Which(), "ids or all"),
        (Which([1], all=True), "ids or all"),
        (Which(list(range(1, 5002))), "at most 5000"),
        (Which([1, 5]), "cannot be sent again"),
        (Which(all=True, output="store"), "cannot be sent again"),
    ],
)
def test_what_cannot_be_is_refused_whole(store: Store, which: Which, words: str) -> None:
    fill(store, 3, 1, 1)
    with pytest.raises(RigbusError, match=words):
        store.work(lambda c: quarantine.requeue(c, which))
    assert rows(store, "SELECT count(*) FROM quarantine WHERE requeued = 1") == [(0,)]


class Told:
    def __init__(self) -> None:
        self.names: list[str] = []

    def retry(self, name: str = "") -> None:
        self.names.append(name)


def test_the_desk_works_in_the_writers_thread_and_wakes_the_output(store: Store) -> None:
    fill(store)
    desk, outputs = Desk(), Told()
    handlers: dict[str, Callable[..., Future[dict[str, Any]]]] = desk.handlers()  # type: ignore[assignment]
    found: list[Future[dict[str, Any]]] = []

    def ask() -> None:
        found.append(handlers["requeue"]({"op": "requeue", "all": True, "output": "influx"}))
        found.append(handlers["drop"]({"op": "drop", "ids": [77]}))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert not found[0].done()
    for _ in range(3):
        desk.work(store, outputs)  # type: ignore[arg-type]
    assert found[0].result(0) == {"done": 3, "left": 0}
    assert outputs.names == ["influx"]
    with pytest.raises(RigbusError, match="not in quarantine: 77"):
        found[1].result(0)
    waiting = handlers["drop"]({"all": True})
    desk.close()
    with pytest.raises(RigbusError, match="stopping"):
        waiting.result(0)
    with pytest.raises(RigbusError, match="stopping"):
        handlers["drop"]({"all": True}).result(0)
    assert rows(store, "SELECT count(*) FROM quarantine") == [(3,)]


# ---- the command


@pytest.fixture
def command(tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    config = tmp_path / "rigbus.toml"
    config.write_text("")
    options = ["--config", str(config), "--data", str(tmp_path), "--run-dir", str(tmp_path / "r")]

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["quarantine", *words, *options])
        return code, *capsys.readouterr()

    return run


def test_list(command: Any, store: Store) -> None:
    assert command("list") == (0, "the quarantine is empty\n", "")
    fill(store, 3, 1)
    store.commit([], moves=[Move("influx", {}, {}, [Refused("event", 9, "\x1b[31mred", b"\xff\x00")], [], [], [])])
    code, out, _ = command("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["id", "1", "2", "3", "4", "5"]
    assert "400: no 2" in out
    assert "PowerPulse Pulse=1i 2" in out
    assert "\x1b" not in out
    code, out, _ = command("list", "--output", "csv", "--json")
    (row,) = json.loads(out)
    assert row.pop("time").endswith("Z")
    assert row == {
        "id": 4, "output": "csv", "table": "pulses", "row": 1, "reason": "400: no 1", "requeued": False,
        "line": "PowerPulse Pulse=1i 1",
    }  # fmt: skip
    assert json.loads(command("list", "--limit", "1", "--json")[1])[0]["line"] == "ff00"
    assert "and 4 older" in command("list", "--limit", "1")[1]


def test_requeue_and_drop_on_a_stopped_rig(command: Any, store: Store) -> None:
    fill(store, 3, 1, 1)
    store.close()
    assert command("requeue", "2") == (0, "1 row will be sent again\n", "")
    code, out, _ = command("requeue", "ALL")
    assert (code, out.split(";")[0]) == (0, "3 rows will be sent again")
    assert "1 row of store stay" in out
    code, _, err = command("requeue", "5")
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot be sent again" in err
    assert command("drop", "1", "2") == (0, "2 rows dropped\n", "")
    assert command("drop", "ALL")[0] == 2
    assert command("drop", "ALL", "--yes") == (0, "3 rows dropped\n", "")
    assert sum(n for (n,) in rows(store, "SELECT count FROM ledger")) == 4


@pytest.mark.parametrize(
    "words",
    [["requeue", "x"], ["requeue", "1", "ALL"], ["drop", "-1"], ["requeue", "9" * 30], ["list", "--limit", "0"]],
)
def test_a_mistake_is_one_line(command: Any, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code, _, err = command(*words)
    except SystemExit as e:
        code, err = e.code, capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert len(err.splitlines()) == 1


def test_a_rig_that_is_held_is_not_written_behind_its_back(
    command: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.cli.quarantine._ASK_S", 0.5)
    fill(store)
    lock = Lock(tmp_path / "journal" / "sink" / "lock")
    try:
        code, _, err = command("requeue", "1")
    finally:
        lock.release()
    assert code == 1
    assert len(err.splitlines()) == 1
    assert rows(store, "SELECT count(*) FROM quarantine WHERE requeued = 1") == [(0,)]
