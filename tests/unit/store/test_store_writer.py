"""What a commit writes: rows, ledger, cursors, together or not at all."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import frames
from common.frames import Event, Loss, Pulse
from common.store.items import Closed, Cursor, Lost, Noise, StreamKey, Unreadable
from common.store.writer import Store

T = 1_760_000_000_000_000_000
STREAM = "SELECT stored_to, stored, no_rows, published_to, closed, boot_id FROM streams"


def test_an_edge_is_a_row_with_its_own_total_and_time(store: Store, maker: Any, rows: Any) -> None:
    store.commit([maker.pulse(t=T, edges=[0, 5, 9], total=100)])
    assert rows("SELECT t_ns, channel, total, stream_id, frame_seq FROM pulses ORDER BY id") == [
        (T, "import", 98, 1, 1),
        (T + 5, "import", 99, 1, 1),
        (T + 9, "import", 100, 1, 1),
    ]


def test_frames_without_a_row_are_counted_as_stored(store: Store, maker: Any, rows: Any) -> None:
    loss = {"stream": "pulse/import/", "count": 3, "cause": "killed", "from_t": 1, "to_t": 2}
    items = [
        maker.pulse(edges=[]),
        maker.take(Loss, unit="frame", **loss),
        maker.samples(n=0, values=b""),
        maker.take(frames.Thermostat, device="t", readings=[], dialect="new"),
        maker.pulse(),
    ]
    store.commit(items)
    assert rows(STREAM) == [(5, 5, 4, 0, 0, "")]
    assert rows("SELECT count(*) FROM ledger") == [(0,)]


def test_a_device_loss_is_a_ledger_row(store: Store, maker: Any, rows: Any) -> None:
    store.commit(
        [
            maker.take(
                Loss, stream="pulse/import/", unit="edge", count=None, cause="down", from_t=1, to_t=2, detail="d"
            ),
            maker.take(Loss, stream="samples/v/", unit="sample", count=0, cause="fifo", from_t=3, to_t=4),
        ]
    )
    columns = "stream_id, stream, unit, count, cause, from_seq, to_seq, from_t_ns, to_t_ns, detail, frame_seq"
    assert rows(f"SELECT {columns} FROM ledger ORDER BY id") == [
        (1, "pulse/import/", "edge", None, "down", None, None, 1, 2, "d", 1),
        (1, "samples/v/", "sample", 0, "fifo", None, None, 3, 4, "", 2),
    ]


def test_lost_unreadable_closed_and_noise_are_accounted_for(store: Store, maker: Any, rows: Any) -> None:
    key = maker.key
    store.commit(
        [
            maker.pulse(),
            Lost(key, 2, 5, "overflow", 10, 20, "why"),
            Unreadable(key, 6, "odd/", b"\xff\0", "no map"),
            Closed(key, 3, 30, 40),
            Noise("foreign/", 7, "foreign", "from a script"),
        ]
    )
    columns = "stream_id, stream, unit, count, cause, from_seq, to_seq, from_t_ns, to_t_ns, detail"
    assert rows(f"SELECT {columns} FROM ledger ORDER BY id") == [
        (1, "*", "frame", 4, "overflow", 2, 5, 10, 20, "why"),
        (1, "odd/", "frame", 1, "malformed", 6, 6, None, None, "no map"),
        (1, "*", "frame", None, "power_cut", 7, None, 30, 40, ""),
        (None, "foreign/", "frame", 7, "foreign", None, None, None, None, "from a script"),
    ]
    assert rows("SELECT output, table_name, row_id, reason, line FROM quarantine") == [
        ("store", "odd/", 6, "no map", b"\xff\0")
    ]
    assert rows(STREAM) == [(6, 1, 0, 0, 3, "")]
    assert store.cursors() == {key: Cursor(6, 3)}


@pytest.mark.parametrize("kind", [1, 2])
def test_an_exact_end_needs_no_ledger_row(store: Store, maker: Any, rows: Any, kind: int) -> None:
    store.commit([maker.pulse(), Closed(maker.key, kind, 1, 2)])
    assert rows("SELECT count(*) FROM ledger") == [(0,)]
    assert store.cursors()[maker.key].closed == kind


def test_an_unknowable_end_is_told_once(store: Store, maker: Any, rows: Any) -> None:
    for _ in range(2):
        store.commit([Closed(maker.key, 3, 1, 2)])
    assert rows("SELECT count(*), max(from_seq) FROM ledger") == [(1, 1)]


def test_samples_of_a_commit_are_joined_per_sensor(store: Store, maker: Any, rows: Any) -> None:
    first, event, second = maker.samples(), maker.take(Event, event_type="e", source="s"), maker.samples(sensor="w")
    store.commit([first, event, second])
    assert rows("SELECT sensor, from_seq, to_seq, frame_seq, frames, stream_id FROM sample_chunks ORDER BY id") == [
        ("v", 1, 1, 1, 1, 1),
        ("w", 3, 3, 3, 1, 1),
    ]
    store.commit([maker.samples(), maker.samples()])
    assert rows("SELECT from_seq, to_seq, frames, n FROM sample_chunks WHERE id > 2") == [(4, 5, 2, 16)]


def test_two_streams_interleaved(store: Store, maker: Any, new_maker: Any, rows: Any) -> None:
    other = new_maker(run="f" * 16)
    store.commit([maker.pulse(), other.pulse(), maker.pulse(), other.pulse(), maker.pulse()])
    assert store.cursors() == {maker.key: Cursor(3, 0), other.key: Cursor(2, 0)}
    assert rows("SELECT stream_id, count(*) FROM pulses GROUP BY 1") == [(1, 3), (2, 2)]


def test_cursors_and_counts_survive_a_reopening(path: Path, maker: Any, rows: Any) -> None:
    for _ in range(3):
        store = Store.open(path)
        store.commit([maker.pulse(), maker.pulse(edges=[])], {maker.key: (50, "boot")})
        store.close()
    assert rows(STREAM) == [(6, 6, 3, 50, 0, "boot")]
    assert not path.with_name("rigbus.db-wal").exists()


def test_published_to_only_grows_and_needs_no_items(store: Store, maker: Any, rows: Any) -> None:
    for last, boot_id in ((9, "b"), (4, "b"), (5, "")):
        store.commit([], {maker.key: (last, boot_id)})
    assert rows(STREAM) == [(0, 0, 0, 9, 0, "b")]
    assert store.cursors() == {maker.key: Cursor(0, 0, 9)}
    store.commit([maker.pulse()], {maker.key: (1, "")})
    assert rows(STREAM) == [(1, 1, 0, 9, 0, "b")]


def test_a_commit_without_news_writes_nothing(store: Store, maker: Any, path: Path) -> None:
    store.commit([maker.pulse()], {maker.key: (1, "b")})
    wal = path.with_name("rigbus.db-wal")
    before = wal.read_bytes()
    store.commit([])
    store.commit([], {maker.key: (1, "b")})
    assert wal.read_bytes() == before


@pytest.mark.parametrize("start", [0, 1, 3, 7])
def test_what_does_not_follow_the_cursor_is_a_programming_error(
    store: Store, maker: Any, rows: Any, start: int
) -> None:
    store.commit([maker.pulse()])
    with pytest.raises(AssertionError, match="stored to 1"):
        store.commit([maker.pulse(seq=start)])
    with pytest.raises(AssertionError, match=r"got 2\.\.1"):
        store.commit([Lost(maker.key, 2, 1, "x", 0, 0)])
    assert rows("SELECT count(*) FROM pulses") == [(1,)]


def test_a_number_is_never_stored_twice_within_a_commit(store: Store, maker: Any, rows: Any) -> None:
    with pytest.raises(AssertionError):
        store.commit([maker.pulse(seq=1), maker.pulse(seq=1)])
    assert rows("SELECT count(*) FROM streams") == [(0,)]


POISON = [
    (Pulse, {"channel": "import", "edges": [0, 2**62], "total": 2, "t": 2**62 + 5}),
    (Event, {"event_type": None, "source": "s"}),
    (Event, {"event_type": "e", "source": {"no": "text"}}),
    (Event, {"event_type": "\ud800", "source": "s"}),
    (frames.ArmCommand, {"funcode": 1, "data": {(1, 2): 3}}),
    (frames.Smoother, {"joint_id": 1, "target": math.nan, "current": 0.0, "sent": 0.0}),
    (frames.Pump, {"pump": "p", "event": "done", "action": "a", "direction": "f", "command_id": "c", "steps": 2**64}),
]


@pytest.mark.parametrize(("kind", "fields"), POISON)
def test_a_poison_frame_is_set_aside_and_the_rest_stored(
    store: Store, maker: Any, rows: Any, kind: type[frames.Frame], fields: dict[str, Any]
) -> None:
    store.commit([maker.pulse(), maker.samples(), maker.take(kind, **fields), maker.pulse(), maker.samples()])
    assert rows("SELECT frame_seq FROM pulses ORDER BY id") == [(1,), (4,)]
    assert rows("SELECT sum(frames) FROM sample_chunks") == [(2,)]
    tag = kind.__struct_config__.tag
    assert rows("SELECT output, table_name, row_id FROM quarantine") == [("store", tag, 3)]
    assert rows("SELECT unit, count, cause, from_seq, to_seq, stream_id FROM ledger") == [
        ("frame", 1, "poison", 3, 3, 1)
    ]
    assert rows(STREAM) == [(5, 4, 0, 0, 0, "")]
    store.commit([maker.pulse()])
    assert store.cursors()[maker.key].stored_to == 6


def test_quarantine_keeps_the_frame_as_bytes(store: Store, maker: Any, rows: Any) -> None:
    poison = maker.pulse(edges=[0, 2**62], t=2**62 + 5)
    store.commit([poison])
    ((line, reason),) = rows("SELECT line, reason FROM quarantine")
    assert frames.decode(line) == poison.frame
    assert "OverflowError" in reason


def test_poison_samples_do_not_take_their_neighbours_along(store: Store, maker: Any, rows: Any) -> None:
    items = [maker.samples() for _ in range(9)]
    items[4] = items[4]._replace(frame=msgspec.structs.replace(items[4].frame, values=b"short"))
    store.commit(items)
    assert rows("SELECT sum(frames), sum(n) FROM sample_chunks") == [(8, 64)]
    assert rows("SELECT row_id FROM quarantine") == [(5,)]
    assert rows(STREAM) == [(9, 8, 0, 0, 0, "")]


def test_many_poison_frames_of_two_streams(store: Store, maker: Any, new_maker: Any, rows: Any) -> None:
    other = new_maker(src="arm")
    items = []
    for i in range(20):
        items.append(maker.pulse(t=2**63 - 1 if i % 7 == 0 else T, edges=[0, 1]))
        items.append(other.take(Event, event_type=None if i % 5 == 0 else "e", source="s"))
    store.commit(items)
    assert rows("SELECT stored_to, stored FROM streams ORDER BY id") == [(20, 17), (20, 16)]
    assert rows("SELECT count(*) FROM quarantine") == [(7,)]
    assert rows("SELECT count(*), sum(count) FROM ledger WHERE cause = 'poison'") == [(7, 7)]


def test_an_account_that_cannot_be_written_is_tamed(store: Store, maker: Any, rows: Any) -> None:
    key = maker.key
    store.commit([Lost(key, 1, 4, "bad\ud800", 0, 2**70), Unreadable(key, 5, "t\udcff/", b"x", "r\udcff")])
    assert rows("SELECT count, cause, to_t_ns, stream FROM ledger ORDER BY id") == [
        (4, "bad\\ud800", 2**63 - 1, "*"),
        (1, "malformed", None, "t\\udcff/"),
    ]
    assert store.cursors()[key].stored_to == 5


def test_health_is_stored_at_once_then_once_a_minute_with_the_worst_lateness(
    store: Store, maker: Any, rows: Any
) -> None:
    second = 10**9
    for i in range(122):
        worst = 500.0 if i == 30 else 5.0
        late = frames.Lateness(p50=1.0, p99=2.0, p999=3.0, max=worst)
        store.health(maker.health(t=T + i * second, mono=i * second, last_seq=i, lateness_us=late))
        store.commit([])
    assert rows("SELECT t_ns, last_seq, lateness_max_us, stream_id, frame_seq FROM health ORDER BY id") == [
        (T, 0, 5.0, 1, 0),
        (T + 60 * second, 60, 500.0, 1, 0),
        (T + 120 * second, 120, 5.0, 1, 0),
    ]
    assert rows("SELECT pid, cpu_pct, rates_json, journal_bytes FROM health LIMIT 1") == [
        (9, 1.5, '{"pulse/import/":2.0}', 2)
    ]


def test_health_after_a_reboot_is_stored_at_once(store: Store, maker: Any, new_maker: Any, rows: Any) -> None:
    store.health(maker.health(mono=10**15))
    store.commit([])
    store.health(new_maker(run="f" * 16).health(mono=5))
    store.commit([])
    assert rows("SELECT stream_id FROM health ORDER BY id") == [(1,), (2,)]


def test_poisonous_health_stops_nothing(store: Store, maker: Any, rows: Any) -> None:
    store.health(maker.health(rss_bytes=2**70))
    store.commit([maker.pulse()])
    assert rows("SELECT (SELECT count(*) FROM health), (SELECT count(*) FROM pulses)") == [(0, 1)]


def test_a_stream_is_its_node_source_and_run(store: Store, maker: Any, rows: Any) -> None:
    key = StreamKey("rig2", maker.key.src, maker.key.run)
    store.commit([maker.pulse(), Lost(key, 1, 1, "x", 0, 0)])
    assert rows("SELECT node, src, run FROM streams ORDER BY node") == [tuple(maker.key), tuple(key)]


def test_numbers_go_on_above_the_highest_after_a_table_was_emptied(
    store: Store, maker: Any, rows: Any, path: Path
) -> None:
    store.commit([maker.pulse(), maker.pulse()])
    store._connection().execute("DELETE FROM pulses")
    store.close()
    again = Store.open(path)
    again.commit([maker.pulse()])
    again.close()
    assert rows("SELECT id FROM pulses") == [(3,)]
