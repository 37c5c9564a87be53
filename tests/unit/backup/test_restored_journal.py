"""A journal that comes back with less than the store was told of, out of a backup or after a power cut."""

import pytest

from common.intake.stream import Stream
from common.journal.replay import Chunk
from common.journal.state import CLEAN, KILLED, UNKNOWABLE
from common.store.items import Closed, Cursor, Item, Lost, StreamKey

KEY = StreamKey("rig1", "pulse", "0123456789abcdef")


def ended(cursor: Cursor, last: int, closed: int) -> list[Item]:
    """What the sink stores of a run that its journal knows up to `last`."""
    items: list[Item] = []
    stream = Stream(KEY, cursor, items)
    stream.replayed(Chunk([], [], max(last, cursor.stored_to), last, 0, closed, (5, 6)))
    return items


@pytest.mark.parametrize(("closed", "cause"), [(UNKNOWABLE, "power_cut"), (KILLED, "journal_gone")])
def test_what_was_told_of_and_is_gone_is_lost_by_number(closed: int, cause: str) -> None:
    """Else published = stored + lost would never hold again."""
    [lost, end] = ended(Cursor(990, 0, published_to=1000), 980, closed)
    assert isinstance(lost, Lost)
    assert (lost.from_seq, lost.to_seq, lost.cause) == (991, 1000, cause)
    assert isinstance(end, Closed)
    assert end.kind == closed


@pytest.mark.parametrize("told", [0, 980, 990])
def test_what_was_not_told_of_is_not_lost(told: int) -> None:
    [end] = ended(Cursor(990, 0, published_to=told), 990, CLEAN)
    assert isinstance(end, Closed)


def test_after_an_error_of_the_store_too() -> None:
    items: list[Item] = []
    stream = Stream(KEY, Cursor(0, 0), items)
    stream.rewind(Cursor(5, 0, published_to=7))
    stream.replayed(Chunk([], [], 5, 5, 0, UNKNOWABLE, (5, 6)))
    assert [type(item) for item in items] == [Lost, Closed]
