"""The counter file: survives kills, keeps the newest runs, is never misread."""

from pathlib import Path

from common.journal.counter import Counter, read_counter

BOOT = "0123456789abcdef" * 2


def test_what_is_offered_can_be_read_without_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    with Counter(path) as counter:
        counter.begin("00000000000000aa", BOOT, 5)
        counter.offer(41)
        counter.alive(9)
        slot = read_counter(path)[-1]
        assert (slot.run, slot.boot_id, slot.offered, slot.closed) == ("00000000000000aa", BOOT, 41, False)
        assert (slot.born_ns, slot.alive_ns) == (5, 9)
        counter.close_run()
    assert read_counter(path)[-1].closed


def test_the_ring_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    for n in range(1, 200):
        with Counter(path) as counter:
            assert [int(s.run, 16) for s in counter.before] == list(range(max(1, n - 62), n))
            counter.begin(f"{n:016x}", BOOT, n)
            counter.offer(n)
    assert [s.offered for s in read_counter(path)] == list(range(138, 200))


def test_garbage_is_set_aside_and_a_missing_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    assert read_counter(path) == []
    path.write_bytes(b"not a counter" * 500)
    assert read_counter(path) == []
    with Counter(path) as counter:
        assert counter.before == []
    assert (tmp_path / "counter.bad").read_bytes().startswith(b"not a counter")


def test_the_file_is_never_sparse(tmp_path: Path) -> None:
    """A store to a hole on a full disk would be a SIGBUS."""
    path = tmp_path / "counter"
    with Counter(path):
        stat = path.stat()
        assert stat.st_blocks * 512 >= stat.st_size == 4096
