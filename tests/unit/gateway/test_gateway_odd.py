"""What is odd on the bus, in the store or in time ends nothing, and is told as what it is."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from common.config.load import load
from common.frames import Health, JournalHealth, Lateness, Samples, encode
from common.gateway import debug, tables
from common.gateway.books import Bookkeeper
from common.gateway.live import Live, Message
from common.gateway.now import Now
from common.gateway.sections.rig import streams
from common.gateway.seen import Seen
from common.gateway.site import Site, open_site
from common.gateway.stored import Busy, Stored
from common.gateway.tokens import Tokens
from common.log import Log
from common.paths import Folders
from common.secrets import Secret
from common.store.series_kinds import OfRows, series_of

CONFIG = load("config/rigbus.toml", {}).config


def wait_until(is_so: Any) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_books_go_on_after_a_look_that_failed(tmp_path, monkeypatch):
    keeper = Bookkeeper(CONFIG, Folders(tmp_path, tmp_path), Seen({}), list, Log("test"))
    monkeypatch.setattr("common.gateway.books._LOOK_S", 0.01)
    looked: list[int] = []

    def look() -> Any:
        looked.append(1)
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(keeper, "_look", look)
    keeper.start()
    wait_until(lambda: len(looked) > 2)
    keeper.stop()


def test_one_look_at_a_time(monkeypatch):
    inside, most = [0], [0]

    def context() -> Any:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.15)  # longer than what two looks have in common
        inside[0] -= 1

    monkeypatch.setattr("common.gateway.now.SECTIONS", {})
    now = Now(context, Seen({}))
    threads = [threading.Thread(target=now.refresh) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_what_cannot_be_looked_at_on_the_bus_ends_nothing(tmp_path, monkeypatch):
    live = Live(Folders(tmp_path, tmp_path), Log("test"))
    batches: list[int] = []

    def take(_: Any) -> None:
        batches.append(1)
        raise OverflowError

    live.at_once(take)
    monkeypatch.setattr("common.gateway.live.zmq.Socket.poll", lambda *_: True)
    live.start(None)
    wait_until(lambda: len(batches) > 2)
    live.stop()


@pytest.mark.parametrize("scale", [1e-320, 1e-9, 2.0])
def test_a_scale_that_does_not_fit_the_range_is_no_fault(scale):
    seen = Seen({"vib": 2.0})
    frame = Samples(
        node="n", src="s", run="0" * 16, seq=1, t=1, sensor="vib", rate_hz=800.0, nominal_hz=800.0, n=1, axes=["x"],
        unit="g", scale=scale, dtype="<i2", values=b"\x00\x00", dt_ns=1,
    )  # fmt: skip
    seen.take([Message("samples/vib/", encode(frame), 0.0)])
    assert seen.sensors["vib"].clipped == 0


@pytest.fixture
def site(tmp_path: Path) -> Any:
    assert CONFIG.gateway is not None
    tokens = Tokens(Secret("", "test"), Secret("", "test"))
    made = open_site(CONFIG, CONFIG.gateway, Folders(tmp_path, tmp_path), Log("test"), tokens, lambda _: 1)
    yield made
    for part in (made.daemons, made.estop, made.stored, made.work):
        part.close()


def heard(site: Site, *, closed: bool) -> None:
    fields = {"last_seq": 1, "closed": closed, "pid": 1, "cpu_pct": 0.0, "rss_bytes": 1, "missed_ticks": 0}
    texts = dict.fromkeys(("boot_id", "journal_id", "ctl"), "")
    late, journal = Lateness(p50=0, p99=0, p999=0, max=0), JournalHealth(frames=0, bytes=0, oldest=0)
    frame = Health(
        node="n",
        src="myscript",
        run="0" * 16,
        seq=0,
        t=1,
        rates={},
        lateness_us=late,
        journal=journal,
        **fields,
        **texts,
    )
    site.now.seen.take([Message("health/myscript/", encode(frame), time.monotonic() - 60)])


def test_an_application_that_has_ended_is_no_stale_stream(site):
    heard(site, closed=False)
    assert streams(site.now._context(), {})["health/myscript/"]["state"] == "stale"
    heard(site, closed=True)
    assert "health/myscript/" not in streams(site.now._context(), {})


def test_a_stream_that_gets_no_turn_is_told_so(db, monkeypatch):
    stored = Stored(db, Log("test"))

    async def run() -> None:
        held = [stored.stream(lambda _: iter([b"x"] * 100)) for _ in range(2)]
        for stream in held:
            await anext(stream)
        third = stored.stream(lambda _: iter([b"x"]))
        with monkeypatch.context() as short:  # only here: the others' first pieces must come, however slow it is
            short.setattr("common.gateway.stored._LIMIT_S", 0.3)
            with pytest.raises(Busy):
                await anext(third)
        for stream in held:
            await stream.aclose()  # type: ignore[attr-defined]
        later = stored.stream(lambda _: iter([b"y"]))
        assert await anext(later) == b"y"
        await later.aclose()  # type: ignore[attr-defined]

    try:
        asyncio.run(run())
    finally:
        stored.close()


def told(db: Path, table: str, ts: float, cid: str) -> None:
    columns = {"dds_commands": "ts_mono, seq, funcode", "web_requests": "endpoint, method, ok"}[table]
    with sqlite3.connect(db) as conn:
        conn.execute(f"INSERT INTO {table} (ts, correlation_id, {columns}) VALUES (?, ?, 1, 1, 1)", (ts, cid))
    conn.close()


def test_a_correlation_is_found_around_its_command_and_without_one(db):
    for table in ("web_requests", "dds_commands"):
        told(db, table, 1000.0, "a")
    told(db, "web_requests", 5000.0, "b")
    told(db, "web_requests", 9000.0, "a")  # of another day: an id that was taken twice
    assert len(debug.pipeline(db, "a")) == 2
    assert len(debug.pipeline(db, "b")) == 1
    assert debug.pipeline(db, "c") == []


def test_totals_are_by_the_ids(db):
    for n in range(3):
        told(db, "web_requests", 1000.0 + n, str(n))
    assert debug.stats(db)["total_events"] == 3


def test_bytes_are_told_by_their_number_and_not_fetched(db):
    with sqlite3.connect(db) as conn:
        columns = "output, table_name, row_id, reason, t_ns, line"
        conn.execute(f"INSERT INTO quarantine ({columns}) VALUES ('csv', 'x', 1, '', 1, ?)", (b"\x00" * 700,))
    conn.close()
    [row] = tables.newest(db, "quarantine", 5)
    assert row["line"] == {"bytes": 700}
    assert row["output"] == "csv"


def test_angles_are_found_by_their_time(db):
    raw = series_of("arm/joint2").raw
    assert isinstance(raw, OfRows)
    plan = (
        f"EXPLAIN QUERY PLAN SELECT {raw.column} FROM {raw.table} WHERE {raw.where} AND ts >= 1 AND ts < 2 ORDER BY ts"
    )
    with sqlite3.connect(db) as conn:
        steps = " ".join(row[3] for row in conn.execute(plan))
    conn.close()
    assert "ts>?" in steps
    assert "TEMP B-TREE" not in steps
