"""Frames that were stamped before the clock was set, and are stored after it: they are moved on their way in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from retime_rig import DAY, LAST, NOW, Clocks, Publisher, S, Sink

from common import frames
from common.store.items import Closed, Lost
from common.store.reader import open_reader
from common.store.schema import RETIMED

MakeSink = Callable[..., Sink]


@pytest.fixture(params=["saw it", "came late"])
def sink(request: pytest.FixtureRequest, make_sink: MakeSink) -> Sink:
    """One that ran before the clock was set, and one that started after."""
    made = make_sink(Clocks())
    if request.param == "saw it":
        made.keeper.look()
    return made


def set_clock(sink: Sink, offset: int = NOW) -> None:
    sink.clocks.pass_s(1)
    sink.clocks.set(offset)
    sink.settle()


def test_every_table(sink: Sink) -> None:
    daemon, began = Publisher(sink.clocks), sink.clocks.wall_ns()
    early, health = daemon.every_kind(), daemon.health()
    set_clock(sink)
    sink.store.health(health)
    sink.commit(early)
    late = daemon.every_kind()
    sink.commit(late)
    shift = NOW - LAST
    for table in RETIMED:
        found = sink.times(table)
        edges = (0, 5, 9) if table == "pulses" else (0,)
        assert found[: len(edges)] == [(began + shift + e, began + e) for e in edges], table
        now = sink.clocks.wall_ns()
        assert found[len(edges) :] == ([(now + e, None) for e in edges] if table != "health" else []), table
    rows = sink.rows("SELECT from_t_ns, to_t_ns FROM ledger ORDER BY id")
    assert rows[0] == (began + shift - 2 * S, began + shift)
    assert sink.rows("SELECT journal_oldest FROM health") == [(began + shift - S,)]
    assert sink.rows("SELECT count(*) FROM unset_rows") == [(0,)]


def test_both_kinds_in_one_commit_keep_their_order(sink: Sink) -> None:
    daemon, other = Publisher(sink.clocks), Publisher(sink.clocks, "other", 2)
    early = [daemon.pulse(), daemon.pulse(), other.pulse()]
    set_clock(sink)
    sink.commit(early[:2], daemon.pulse(), early[2], daemon.pulse())
    assert sink.rows("SELECT src, frame_seq, t_orig_ns FROM pulses JOIN streams ON streams.id = stream_id") == [
        ("pulse", 1, LAST + 10 * S),
        ("pulse", 2, LAST + 10 * S),
        ("pulse", 3, None),
        ("other", 1, LAST + 10 * S),
        ("pulse", 4, None),
    ]


def test_no_chunk_mixes_stamps_of_two_settings(sink: Sink, path: Path) -> None:
    """Once moved, the frames follow each other without a gap; they are told apart by what they had."""
    daemon, clocks = Publisher(sink.clocks), sink.clocks
    step = 8 * 1_250_000

    def frame() -> Any:
        item = daemon.samples()
        clocks.boot += step
        return item

    items = [frame(), frame()]
    clocks.set(NOW)
    items += [frame(), frame()]
    clocks.pass_s(1)
    sink.settle()
    sink.commit(items)
    first = 10 * S
    assert sink.rows("SELECT from_seq, to_seq, t_ns, t_orig_ns, dt_ns FROM sample_chunks") == [
        (1, 2, NOW + first, LAST + first, 1_250_000),
        (3, 4, NOW + first + 2 * step, None, 1_250_000),
    ]
    with open_reader(path) as reader:
        times = reader.samples("v").t_ns.tolist()
    assert times == [NOW + first + i * 1_250_000 for i in range(32)]


def test_a_clock_that_was_wrong_by_less_than_a_second_was_set(sink: Sink) -> None:
    daemon = Publisher(sink.clocks)
    item = daemon.pulse()
    set_clock(sink, LAST + S - 1)
    sink.commit(item)
    assert sink.times("pulses") == [(LAST + 10 * S, None)]


@pytest.mark.parametrize("offset", [NOW + 3650 * DAY, 0])
def test_a_clock_that_was_ahead_or_at_1970(make_sink: MakeSink, offset: int) -> None:
    sink = make_sink(Clocks(offset))
    daemon = Publisher(sink.clocks)
    sink.commit(daemon.pulse())
    item = daemon.pulse()
    set_clock(sink)
    sink.commit(item)
    assert sink.times("pulses") == [(NOW + 10 * S, offset + 10 * S)] * 2


def test_frames_without_a_capture_time_and_with_a_later_one_stay(sink: Sink) -> None:
    daemon = Publisher(sink.clocks)
    items = [daemon.pulse(mono=0), daemon.pulse(t=-(2**63), mono=0, edges=[0]), daemon.pulse(mono=10**15)]
    sink_saw = len(sink.rows("SELECT * FROM boots"))
    if sink_saw:
        sink.commit(items)
    set_clock(sink)
    if not sink_saw:
        sink.commit(items)
    assert [t for t, _ in sink.times("pulses")][:2] == [LAST + 10 * S, -(2**63)]


def test_frames_of_an_earlier_boot_are_judged_by_that_boot(make_sink: MakeSink) -> None:
    first = Clocks()
    sink, daemon = make_sink(first), Publisher(first)
    sink.commit(daemon.pulse())
    left_in_the_journal = daemon.pulse()
    set_clock(sink)
    also = daemon.pulse()
    following = Clocks(NOW + DAY, name="b" * 32)
    sink.restart(following)
    here = Publisher(following, run=2)
    sink.commit(here.pulse())
    sink.commit(left_in_the_journal, also, boot=first.name)
    moved = (NOW + 10 * S, LAST + 10 * S)
    assert sink.times("pulses") == [moved, (NOW + DAY + 10 * S, None), moved, (NOW + 12 * S, None)]
    following.set(NOW + 2 * DAY)
    sink.settle()
    assert sink.times("pulses")[1:] == [
        (NOW + 2 * DAY + 10 * S, NOW + DAY + 10 * S), moved, (NOW + 12 * S, None),
    ]  # fmt: skip


def test_a_loss_that_began_in_the_boot_before_keeps_its_beginning(sink: Sink) -> None:
    daemon = Publisher(sink.clocks)
    cut = LAST - 3600 * S
    item = daemon.loss(cut, sink.clocks.wall_ns())
    set_clock(sink)
    sink.commit(item)
    assert sink.rows("SELECT from_t_ns, to_t_ns, t_ns FROM ledger") == [(cut, NOW + 10 * S, NOW + 10 * S)]


def test_accounts_without_a_frame_are_moved_where_their_time_can_be_no_other(make_sink: MakeSink) -> None:
    sink = make_sink(Clocks())
    sink.keeper.look()
    daemon, before = Publisher(sink.clocks), Publisher(sink.clocks, "before", 9)
    at = sink.clocks.wall_ns()
    set_clock(sink)
    sink.commit(Lost(daemon.key, 1, 4, "queue_full", at, at + S), Closed(before.key, 3, LAST - DAY, at))
    sink.commit(Lost(daemon.key, 5, 5, "queue_full", NOW + 11 * S, NOW + 11 * S))
    assert sink.rows("SELECT t_ns, t_orig_ns, from_t_ns FROM ledger ORDER BY id") == [
        (NOW + 11 * S, at + S, NOW + 10 * S),
        (NOW + 10 * S, at, LAST - DAY),
        (NOW + 11 * S, None, NOW + 11 * S),
    ]


def test_an_account_that_both_settings_explain_stays(make_sink: MakeSink) -> None:
    sink = make_sink(Clocks(boot=100 * S))
    sink.keeper.look()
    daemon = Publisher(sink.clocks)
    set_clock(sink, LAST + 30 * S)
    sink.commit(Lost(daemon.key, 1, 1, "queue_full", LAST + 60 * S, LAST + 60 * S))
    sink.commit(Lost(daemon.key, 2, 2, "queue_full", LAST + 20 * S, LAST + 20 * S))
    assert sink.rows("SELECT t_ns, t_orig_ns FROM ledger ORDER BY id") == [
        (LAST + 60 * S, None),
        (LAST + 50 * S, LAST + 20 * S),
    ]


def test_a_frame_no_table_takes_is_set_aside_as_it_came(sink: Sink) -> None:
    daemon = Publisher(sink.clocks)
    bad, good = daemon.pulse(channel="\ud800"), daemon.pulse()
    set_clock(sink)
    sink.commit(bad, good)
    assert sink.times("pulses") == [(NOW + 10 * S, LAST + 10 * S)]
    assert sink.rows("SELECT row_id FROM quarantine") == [(1,)]
    assert good.frame.t == LAST + 10 * S  # items are stored again from the start where a commit fails
    assert isinstance(good.frame, frames.Pulse)
