"""Settings of a clock that was set already change nothing; and whatever happens, each row has the right time once."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from retime_rig import DAY, LAST, NOW, Clocks, Publisher, S, Sink

from common.store.recount import recount

MakeSink = Callable[..., Sink]


@pytest.mark.parametrize("step", [DAY, -DAY, 3600 * S, -3600 * S, -3650 * DAY, S, -S])
@pytest.mark.parametrize("restart", [False, True])
def test_later_settings_are_noted_and_change_nothing(make_sink: MakeSink, path: Path, step: int, restart: bool) -> None:
    clocks = Clocks(NOW)
    clocks.sane = True
    sink = make_sink(clocks)
    daemons = [Publisher(clocks, "a", 1), Publisher(clocks, "b", 2)]
    sink.commit(*[d.pulse() for d in daemons])
    clocks.pass_s(1)
    waiting = [d.every_kind() for d in daemons]  # stamped before, stored after
    clocks.set(NOW + step)
    if restart:
        sink.restart()
    sink.commit(*waiting)
    sink.store.health(daemons[0].health())
    sink.commit(*[d.every_kind() for d in daemons])
    at = clocks.boot
    sink.settle()
    assert sink.rows("SELECT step_ns, detail FROM clock_steps") == [
        (step, "while the sink was not running" if restart else "")
    ]
    assert not sink.is_holding
    for table, found in sink.all_times().items():
        assert {orig for _, orig in found} == {None}, table
    edges = [at + offset + edge for offset in (NOW, NOW, NOW + step, NOW + step) for edge in (0, 5, 9)]
    assert [t for t, _ in sink.times("pulses")] == [NOW + 10 * S] * 2 + edges
    assert sink.rows("SELECT count(*), count(DISTINCT id) FROM pulses") == [(14, 14)]
    for daemon in daemons:
        (row,) = sink.rows("SELECT stored_to, stored FROM streams WHERE src = ?", daemon.key.src)
        assert row == (daemon.seq, daemon.seq)
        order = sink.rows(
            "SELECT frame_seq FROM pulses JOIN streams ON streams.id = stream_id WHERE src = ? ORDER BY pulses.id",
            daemon.key.src,
        )
        assert order == sorted(order)
    assert recount(path) == []


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_each_row_ends_with_the_right_time_once(make_sink: MakeSink, path: Path, seed: int) -> None:
    rng = random.Random(seed)
    clocks = Clocks(boot=2 * S)
    sink = make_sink(clocks, hold_s=rng.choice([5, 10_000]))
    daemons = [Publisher(clocks, name, n) for n, name in enumerate("abc")]
    waiting: dict[str, list[Any]] = {d.key.src: [] for d in daemons}
    right: dict[tuple[str, int], tuple[int, int]] = {}

    def publish() -> None:
        daemon = rng.choice(daemons)
        item = rng.choice([daemon.pulse, daemon.event, daemon.samples])()
        right[daemon.key.src, daemon.seq] = clocks.boot, clocks.wall_ns()
        waiting[daemon.key.src].append(item)

    def commit() -> None:
        taken = []
        for items in waiting.values():
            n = rng.choice([0, len(items)])
            taken += items[:n]
            del items[:n]
        sink.commit(taken)

    for _ in range(rng.randrange(30, 120)):
        rng.choices(
            [publish, commit, sink.keeper.look, sink.restart,
             lambda: clocks.set(LAST + rng.randrange(-5, 5) * DAY, sane=False)],
            [10, 4, 2, 1, 0.5],
        )[0]()  # fmt: skip
        clocks.pass_s(rng.random())
    clocks.set(NOW)
    for _ in range(30):
        rng.choices([publish, commit, sink.keeper.look, sink.restart], [6, 3, 6, 1])[0]()
        clocks.pass_s(rng.random())
    commit()
    sink.commit(*waiting.values())
    sink.settle()
    assert recount(path) == []
    assert not sink.is_holding
    found: dict[tuple[str, int], tuple[int, int]] = {}
    names = dict(sink.rows("SELECT id, src FROM streams"))
    for table, t in (("pulses", "t_ns"), ("system_events", "CAST(round(ts * 1e6) AS INTEGER) * 1000")):
        for stream, seq, t_ns, before in sink.rows(f"SELECT stream_id, frame_seq, {t}, t_orig_ns FROM {table}"):
            found[names[stream], seq] = t_ns, before
    for stream, first, last, t_ns, before in sink.rows(
        "SELECT stream_id, from_seq, to_seq, t_ns, t_orig_ns FROM sample_chunks"
    ):
        found[names[stream], first] = t_ns, before
        for seq in range(first + 1, last + 1):
            right.pop((names[stream], seq), None)
    assert found.keys() == right.keys()
    for key, (t_ns, before) in found.items():
        mono, stamped = right[key]
        assert abs(t_ns - mono - NOW) < S, key
        assert abs((t_ns if before is None else before) - stamped) < 2000, key
