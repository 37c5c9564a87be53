"""A clock that is set late: rows stored before wait, are moved once, and only then go on to outputs."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from retime_rig import DAY, LAST, NOW, Clocks, Output, Publisher, S, Sink

from common.errors import StoreError
from common.store.items import Closed, Lost, Noise
from common.store.schema import RETIMED

MakeSink = Callable[..., Sink]


def test_rows_of_every_table_are_moved_by_one_shift_and_keep_what_they_had(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.store.health(daemon.health())
    sink.commit(daemon.every_kind())
    before = sink.all_times()
    assert set(before) == set(RETIMED)
    clocks.pass_s(5)
    clocks.set(NOW)
    sink.settle()
    shift = NOW - LAST
    assert sink.all_times() == {table: [(t + shift, t) for t, _ in found] for table, found in before.items()}
    assert sink.rows("SELECT from_t_ns, to_t_ns FROM ledger") == [(NOW + 8 * S, NOW + 10 * S)]
    assert sink.rows("SELECT journal_oldest FROM health") == [(NOW + 9 * S,)]
    assert sink.rows("SELECT count(*) FROM unset_rows") == [(0,)]
    (step, note) = sink.rows("SELECT step_ns, detail FROM clock_steps ORDER BY id")
    assert step == (3 * DAY, "")
    assert note[0] == 0
    assert "+259200.000 s" in note[1]
    assert "pulses 1..3" in note[1]
    assert "went out" not in note[1]


def test_outputs_get_rows_of_before_at_once_and_the_others_when_they_are_right(make_sink: MakeSink) -> None:
    earlier = Clocks(NOW - 10 * DAY, name="e" * 32)
    earlier.sane = True
    sink = make_sink(earlier)
    sink.commit(Publisher(earlier).pulse([0, 1]))
    assert not sink.is_holding
    clocks = Clocks()
    sink.restart(clocks)
    assert sink.gate.limits["pulses"] == 0  # until the first look nobody knows
    daemon = Publisher(clocks, run=2)
    sink.commit(daemon.pulse())
    assert sink.gate.reason == "the clock is not set"
    assert sink.gate.limits["pulses"] == 2
    assert set(sink.gate.limits) == {*RETIMED, "rollups"}
    clocks.pass_s(1)
    sink.commit(daemon.pulse())
    sink.restart()  # the limits are those of the boot, not those of the moment
    sink.keeper.look()
    assert sink.gate.limits["pulses"] == 2
    clocks.pass_s(1)
    clocks.set(NOW)
    sink.keeper.look()
    assert sink.gate.limits["pulses"] == 2
    sink.settle()
    assert not sink.is_holding
    old, shift = NOW - 10 * DAY + 10 * S, 3 * DAY
    new = [(NOW + 10 * S, NOW + 10 * S - shift), (NOW + 11 * S, NOW + 11 * S - shift)]
    assert sink.times("pulses") == [(old, None), (old + 1, None), *new]


def test_a_change_of_state_is_one_line(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    for _ in range(5):
        sink.commit(daemon.pulse())
        clocks.pass_s(1)
    assert len(sink.lines) == 1
    assert "outputs wait: the clock is not set" in sink.lines[0]
    clocks.set(NOW)
    sink.settle()
    sink.commit(daemon.pulse())
    for line, text in zip(sink.lines[1:], ("was set", "have their time", "outputs go on"), strict=True):
        assert text in line


@pytest.mark.parametrize("steps", range(8))
def test_a_kill_between_two_steps_moves_no_row_twice(make_sink: MakeSink, steps: int) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    for _ in range(3):
        sink.commit(daemon.pulse([0, 1]), daemon.event())
        clocks.pass_s(1)
    before = sink.all_times()
    clocks.set(NOW)
    sink.keeper._pace.rows = 1
    for _ in range(steps):
        sink.keeper.look()
        sink.keeper._pace.rows = 1
        assert sink.is_holding
    sink.restart()
    sink.keeper.look()
    now = clocks.wall_ns()
    sink.commit(daemon.pulse())
    sink.settle()
    after = sink.all_times()
    assert after["pulses"].pop() == (now, None)
    assert after == {table: [(t + NOW - LAST, t) for t, _ in found] for table, found in before.items()}
    assert not sink.is_holding


def test_a_power_cut_before_all_is_moved_is_made_good_in_the_next_boot(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.commit(daemon.pulse())
    clocks.pass_s(1)
    clocks.set(NOW)
    sink.keeper.look()
    assert sink.times("pulses") == [(LAST + 10 * S, None)]
    following = Clocks(NOW + S, boot=S, name="b" * 32)
    sink.restart(following)
    sink.keeper.look()
    assert sink.gate.limits["pulses"] == 0  # not what this boot found, as these are not right yet
    sink.commit(Publisher(following, run=2).pulse())
    sink.settle()
    assert sink.times("pulses") == [(NOW + 10 * S, LAST + 10 * S), (NOW + 2 * S, None)]
    assert sink.gate.limits["pulses"] == 1


def test_a_boot_that_ended_without_a_clock_stays_as_it_is(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink = make_sink(clocks)
    sink.commit(Publisher(clocks).pulse())
    following = Clocks(NOW, name="b" * 32)
    following.sane = True
    sink.restart(following)
    sink.settle()
    assert sink.times("pulses") == [(LAST + 10 * S, None)]
    assert not sink.is_holding
    assert sink.rows("SELECT count(*) FROM unset_rows") == [(0,)]


def test_rows_of_other_boots_in_between_stay(make_sink: MakeSink) -> None:
    clocks, elsewhere = Clocks(), Clocks(NOW - 7 * DAY, name="f" * 32)
    sink, here, other = make_sink(clocks), Publisher(clocks), Publisher(elsewhere, run=2)
    for _ in range(3):
        sink.commit(here.pulse())
        sink.commit(other.pulse(), boot=elsewhere.name)
    sink.commit(Publisher(clocks, "unknown", 3).pulse(), boot="?")
    clocks.set(NOW)
    sink.settle()
    mine, others = (NOW + 10 * S, LAST + 10 * S), (NOW - 7 * DAY + 10 * S, None)
    assert sink.times("pulses") == [mine, others] * 3 + [(LAST + 10 * S, None)]


def test_each_row_is_moved_by_the_setting_that_stamped_it(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon, late = make_sink(clocks), Publisher(clocks), Publisher(clocks, "late", 2)
    waiting = [late.pulse()]
    sink.commit(daemon.pulse())
    clocks.pass_s(1)
    clocks.set(LAST - DAY, sane=False)
    sink.commit(daemon.pulse(), waiting)  # of both settings, in one commit
    clocks.pass_s(1)
    clocks.set(LAST + DAY // 2, sane=False)
    sink.commit(daemon.pulse())
    clocks.set(NOW)
    sink.commit(daemon.pulse())
    sink.settle()
    assert [t for t, _ in sink.times("pulses")] == [NOW + n * S for n in (10, 11, 10, 12, 12)]
    assert [t for _, t in sink.times("pulses")] == [
        LAST + 10 * S, LAST - DAY + 11 * S, LAST + 10 * S, LAST + DAY // 2 + 12 * S, None,
    ]  # fmt: skip
    assert [row[0] for row in sink.rows("SELECT step_ns FROM clock_steps WHERE step_ns != 0 ORDER BY id")] == [
        -DAY, DAY + DAY // 2, NOW - LAST - DAY // 2,
    ]  # fmt: skip


def test_rows_stamped_after_the_setting_and_before_it_was_believed_stay(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.commit(daemon.pulse())
    clocks.set(NOW, sane=False)
    sink.commit(daemon.pulse())
    clocks.pass_s(2)
    clocks.sane = True
    sink.settle()
    assert sink.times("pulses") == [(NOW + 10 * S, LAST + 10 * S), (NOW + 10 * S, None)]


@pytest.mark.parametrize("step", [0, S // 2, -S // 2])
def test_less_than_a_second_moves_nothing(make_sink: MakeSink, step: int) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    waiting = daemon.pulse()
    sink.commit(Publisher(clocks, "other", 2).pulse())
    clocks.set(LAST + step)
    sink.commit(waiting)
    sink.settle()
    assert sink.times("pulses") == [(LAST + 10 * S, None)] * 2
    assert not sink.is_holding
    assert [row[0] for row in sink.rows("SELECT step_ns FROM clock_steps")] == ([step] if step else [])


@pytest.mark.parametrize("restart", [False, True])
def test_after_hold_s_rows_go_out_as_they_are_and_the_store_alone_is_corrected(
    make_sink: MakeSink, restart: bool
) -> None:
    clocks = Clocks()
    output = Output(pulses=0, system_events=0)
    sink, daemon = make_sink(clocks, output), Publisher(clocks)
    sink.store.commit([Publisher(Clocks(NOW - DAY), run=9).pulse()])  # of an earlier boot, before the first look
    sink.commit(daemon.pulse([0, 1, 2]), daemon.event())
    assert sink.gate.limits["pulses"] == 1
    clocks.pass_s(120)
    sink.keeper.look()
    assert not sink.is_holding
    assert "outputs go on, with the time that rows have" in sink.lines[-1]
    sink.commit(daemon.pulse([0, 1]))
    if restart:
        sink.restart()
        sink.keeper.look()
        assert not sink.is_holding
    output.reach = {"pulses": 5, "system_events": 0}
    cursor = "INSERT INTO output_cursors (output, table_name, last_id) VALUES ('off', 'pulses', 2)"
    sink.store.work(lambda conn: conn.execute(cursor))
    clocks.pass_s(1)
    clocks.set(NOW)
    sink.keeper.look()
    assert sink.gate.limits["pulses"] == 0  # nothing moves while it is found out what went out
    sink.settle()
    assert not sink.is_holding
    assert [t for t, _ in sink.times("pulses")][1:] == [NOW + 10 * S + n for n in range(3)] + [
        NOW + 130 * S + n for n in range(2)
    ]
    (detail,) = sink.rows("SELECT detail FROM clock_steps WHERE detail != ''")[0]
    assert detail.endswith("; went out with the old time: csv pulses 2..5, off pulses 2..2")


def test_the_hold_is_over_for_a_sink_that_comes_late(make_sink: MakeSink) -> None:
    clocks = Clocks(boot=200 * S)
    sink = make_sink(clocks)
    sink.commit(Publisher(clocks).pulse())
    assert not sink.is_holding
    assert sink.lines == []


def test_a_clock_that_is_set_from_the_start_costs_one_row_and_one_question(make_sink: MakeSink) -> None:
    clocks = Clocks(NOW)
    clocks.sane = True
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.keeper.look()
    assert not sink.is_holding
    asked = clocks.asked
    for _ in range(5):
        clocks.pass_s(2)
        sink.commit(daemon.every_kind())
    assert clocks.asked == asked
    assert sink.rows("SELECT boot_id, retimed, sane_mono_ns FROM boots") == [("a" * 32, 1, 10 * S)]
    assert sink.rows("SELECT count(*) FROM unset_rows") == [(0,)]
    assert sink.lines == []


def test_while_it_is_not_set_it_is_asked_once_a_second(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink = make_sink(clocks)
    sink.keeper.look()
    before = clocks.asked
    for _ in range(100):
        clocks.pass_s(0.1)
        sink.keeper.look()
    assert clocks.asked - before <= 11


def test_a_steady_clock_that_is_not_set_writes_nothing_more(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.commit(daemon.every_kind())
    before = sink.rows("SELECT * FROM unset_rows")
    for _ in range(10):
        clocks.pass_s(1)
        sink.commit(daemon.every_kind())
    assert sink.rows("SELECT * FROM unset_rows") == before


def test_accounts_that_came_in_no_frame_are_moved_too(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon, before = make_sink(clocks), Publisher(clocks), Publisher(clocks, "before", 9)
    cut = LAST - 3600 * S  # in the boot before
    now = clocks.wall_ns()
    sink.commit(daemon.pulse(), Lost(daemon.key, 2, 4, "queue_full", now - S, now), Noise("odd/", 1, "foreign", ""))
    sink.commit(Closed(before.key, 3, cut, now), boot="0" * 32)
    own = "INSERT INTO ledger (t_ns, stream, unit, cause) VALUES (?, 'o/p', 'row', 'x')"
    sink.store.work(lambda conn: conn.execute(own, (now,)))
    noise = sink.rows("SELECT t_ns FROM ledger WHERE cause = 'foreign'")[0][0]
    clocks.pass_s(1)
    clocks.set(NOW)
    sink.settle()
    shift = NOW - LAST
    ledger = "SELECT cause, t_ns, t_orig_ns, from_t_ns, to_t_ns FROM ledger ORDER BY id"
    assert sink.rows(ledger) == [
        ("queue_full", now + shift, now, now + shift - S, now + shift),
        ("foreign", noise + shift, noise, None, None),
        ("power_cut", now + shift, now, cut, now + shift),
        ("x", now + shift, now, None, None),
    ]


def test_another_store_begins_anew(make_sink: MakeSink, path: Path) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.commit(daemon.pulse())
    assert sink.gate.limits["pulses"] == 0
    path.rename(path.with_suffix(".old"))
    with pytest.raises(StoreError):
        sink.commit(daemon.pulse())
    sink.store.cursors()
    again = Publisher(clocks)
    sink.commit(again.pulse(), again.pulse())
    clocks.set(NOW)
    sink.settle()
    assert sink.times("pulses") == [(NOW + 10 * S, LAST + 10 * S)] * 2
    assert not sink.is_holding


def test_a_store_that_refuses_the_look_loses_no_step(make_sink: MakeSink, path: Path) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.commit(daemon.pulse())
    clocks.pass_s(1)
    clocks.set(NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        with pytest.raises(StoreError, match="locked"):
            sink.keeper.look()
        clocks.pass_s(1)
    other.execute("ROLLBACK")
    other.close()
    sink.settle()
    assert sink.times("pulses") == [(NOW + 10 * S, LAST + 10 * S)]
    assert [row[0] for row in sink.rows("SELECT step_ns FROM clock_steps WHERE detail = ''")] == [NOW - LAST]


def test_a_frame_that_cannot_be_stored_does_not_shift_what_is_known_of_the_others(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    bad = daemon.pulse([0], channel="\ud800")
    clocks2 = Clocks(LAST - DAY)
    odd = Publisher(clocks2, "odd", 2)
    sink.commit(bad, odd.pulse(), daemon.pulse(), odd.pulse())
    clocks.set(NOW)
    sink.settle()
    assert sink.times("pulses") == [
        (NOW + 10 * S, LAST - DAY + 10 * S),
        (NOW + 10 * S, LAST + 10 * S),
        (NOW + 10 * S, LAST - DAY + 10 * S),
    ]
    assert sink.rows("SELECT cause FROM ledger") == [("poison",)]


def test_steps_of_many_rows_stay_short(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink, daemon = make_sink(clocks), Publisher(clocks)
    sink.commit([daemon.pulse(range(100)) for _ in range(200)])
    clocks.set(NOW)
    sink.settle()
    assert sink.rows("SELECT count(*), count(DISTINCT t_ns - t_orig_ns) FROM pulses WHERE t_orig_ns > 0") == [
        (20_000, 1)
    ]
    assert 1 <= sink.keeper._pace.rows <= 50_000


def test_rows_have_no_age_while_they_may_be_moved(make_sink: MakeSink) -> None:
    clocks = Clocks()
    sink = make_sink(clocks)
    assert not sink.keeper.settled
    sink.commit(Publisher(clocks).pulse())
    assert sink.keeper.settled
    clocks.set(LAST + DAY, sane=False)
    sink.keeper.look()
    assert not sink.keeper.settled
    clocks.pass_s(1)
    clocks.set(NOW)
    sink.keeper.look()
    assert not sink.keeper.settled
    sink.settle()
    assert sink.keeper.settled
