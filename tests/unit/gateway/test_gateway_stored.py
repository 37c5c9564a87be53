"""Questions to the store: bounded in number and time, streams no faster than they are taken."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import StoreError
from common.gateway.stored import Busy, NothingStored, Stored, TooLong
from common.log import Log

FOR_EVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def stored(db: Path) -> Iterator[Stored]:
    made = Stored(db, Log("test"))
    yield made
    made.close()


def ever(query) -> None:
    query._all(FOR_EVER)


def test_an_answer_and_a_refusal(stored):
    async def run() -> None:
        assert await stored.run(lambda query: query.tables()) != []
        with pytest.raises(StoreError, match="no such table"):
            await stored.run(lambda query: query._reader._all("SELECT * FROM nowhere"))
        with pytest.raises(KeyError):
            await stored.run(lambda query: {}["x"])
        assert await stored.run(lambda _: 7) == 7

    asyncio.run(run())


def test_nothing_is_stored_yet(tmp_path):
    stored = Stored(tmp_path / "rigbus.db", Log("test"))

    async def run() -> None:
        with pytest.raises(NothingStored):
            await stored.run(lambda _: 1)
        with pytest.raises(NothingStored):
            _ = [piece async for piece in stored.stream(lambda _: iter([b"x"]))]

    asyncio.run(run())
    stored.close()


def test_a_question_without_an_end_is_ended_and_the_worker_answers_again(stored):
    async def run() -> None:
        for _ in range(4):  # more than there are workers
            with pytest.raises(TooLong):
                await stored.run(ever, limit_s=0.1)
        assert await stored.run(lambda _: 7) == 7

    asyncio.run(run())


def test_too_many_questions_are_told_so_at_once(stored):
    go = threading.Event()

    async def run() -> None:
        waiting = [asyncio.create_task(stored.run(lambda _: go.wait(60))) for _ in range(3)]
        while stored._jobs or sum(worker.busy for worker in stored._workers) < 3:
            await asyncio.sleep(0.01)
        waiting += [asyncio.create_task(stored.run(lambda _: go.wait(60))) for _ in range(16)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await stored.run(lambda _: 1)
        go.set()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(run())


def test_who_has_gone_is_not_answered(stored):
    go, asked = threading.Event(), []

    async def run() -> None:
        busy = [asyncio.create_task(stored.run(lambda _: go.wait(60))) for _ in range(3)]
        await asyncio.sleep(0)
        gone = asyncio.create_task(stored.run(lambda _: asked.append(1)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        go.set()
        await asyncio.gather(*busy)
        await stored.run(lambda _: 1)

    asyncio.run(run())
    assert asked == []


def test_a_stream_is_made_no_faster_than_it_is_taken(stored):
    made = []

    def pieces(_) -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield bytes([number])

    async def run() -> None:
        taken = 0
        async for piece in stored.stream(pieces):
            assert piece == bytes([taken])
            taken += 1
            await asyncio.sleep(0.001)
            assert len(made) <= taken + 6
        assert taken == 100

    asyncio.run(run())


def test_a_client_that_goes_away_frees_the_worker(stored):
    ended = threading.Event()

    def pieces(_) -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            ended.set()

    async def run() -> None:
        for _ in range(5):  # more than there are workers
            ended.clear()
            source = stored.stream(pieces)
            assert await anext(source) == b"x"
            await source.aclose()
            await asyncio.to_thread(ended.wait, 30)
            assert ended.is_set()
        assert await stored.run(lambda _: 7) == 7

    asyncio.run(run())


def test_what_goes_wrong_in_a_stream_is_raised(stored):
    def pieces(_) -> Iterator[bytes]:
        yield b"x"
        raise StoreError("broken")

    async def run() -> None:
        source = stored.stream(pieces)
        assert await anext(source) == b"x"
        with pytest.raises(StoreError, match="broken"):
            await anext(source)

    asyncio.run(run())


def test_streams_that_are_not_taken_leave_a_worker_for_questions(stored):
    async def run() -> None:
        streams = [stored.stream(lambda _: iter([b"x"] * 100)) for _ in range(5)]  # more than there are workers
        begun = [asyncio.create_task(anext(stream)) for stream in streams]
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(5):
            assert await asyncio.wait_for(stored.run(lambda _: 7), 60) == 7
        for stream, first in zip(streams, begun, strict=True):  # one after the other they all get their turn
            assert await first == b"x"
            await stream.aclose()

    asyncio.run(run())
