"""The journal against a model: random appends, acks, kills, torn writes, changed boots, small bounds.

A model sink pulls what `replay` gives. Whatever happens, each number it reaches is either the frame that was published
under it, byte for byte, or named by a loss range; never both, never neither.
"""

import itertools
import os
import random
from pathlib import Path

import pytest

from common import clock
from common.journal import recover
from common.journal.counter import Counter, read_counter, read_journal_id
from common.journal.entries import Entry, Gap, Limits
from common.journal.folder import scan_folder
from common.journal.journal import Journal
from common.journal.replay import Snapshot, replay

FRAME = "frame"


class Rig:
    """A publisher's half without threads, and a sink's half with a cursor a run."""

    def __init__(
        self, folder: Path, rng: random.Random, *, max_bytes: int, keep_s: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.rng, self.patch = folder, rng, monkeypatch
        self.limits = Limits(max_bytes, keep_s, 0.0, False, ("sink",))
        self.boot = f"{rng.getrandbits(128):032x}"
        self.published: dict[str, dict[int, bytes]] = {}
        self.offered: dict[str, int] = {}
        self.sink: dict[str, dict[int, str]] = {}  # run → number → FRAME or the loss's cause
        self.cursor: dict[str, int] = {}
        self.closed: dict[str, int] = {}
        self.journal: Journal
        self.totals_floor = 0  # the highest total whose frame the sink holds
        self.start()

    def start(self) -> None:
        self.patch.setattr(clock, "boot_id", lambda: self.boot)
        self.run = f"{self.rng.getrandbits(64):016x}"
        self.counter = Counter(self.folder / "counter")
        before, known_id = self.counter.before, read_journal_id(self.folder / "counter")
        self.counter.begin(self.run, self.boot, clock.wall_ns())
        self.journal = recover.open_journal(self.folder / "segments", self.limits, self.run, before, known_id)
        self.counter.keep_journal_id(self.journal.id)
        self.seq = 0
        self.published[self.run] = {}
        self.offered[self.run] = 0
        self.total = max(self.journal.state.totals.get("import", 0), self.totals_floor if self.journal.damaged else 0)
        assert self.total >= self.totals_floor

    def offer(self) -> Entry:
        self.seq += 1
        self.counter.offer(self.seq)
        self.offered[self.run] = self.seq
        payload = f"{self.run}-{self.seq}-".encode() + os.urandom(self.rng.choice((3, 40, 600, 4000)))
        self.total += 1
        self.published[self.run][self.seq] = payload
        return Entry(self.seq, b"pulse/import/", payload, True, "import", self.total)

    def append(self) -> None:
        batch: list[Entry | Gap] = []
        for _ in range(self.rng.randint(1, 30)):
            if self.rng.random() < 0.05:
                first = self.seq + 1
                for _ in range(self.rng.randint(1, 5)):
                    self.offer()
                batch.append(Gap(first, self.seq, "queue_full", 1, 2))
            else:
                batch.append(self.offer())
        taken = self.journal.append(batch)
        assert taken == len(batch)

    def pull(self, snap: Snapshot) -> None:
        for run in snap.runs:
            if run.id not in self.published or self.closed.get(run.id):
                continue
            at = self.cursor.get(run.id, 0)
            try:
                chunk = replay(snap, run.id, at + 1, self.rng.choice((1, 7, 1000)))
            except FileNotFoundError:
                continue
            assert chunk is not None
            seen = self.sink.setdefault(run.id, {})
            frames = {}
            for topic, payload in chunk.frames:
                assert topic == b"pulse/import/"
                number = int(payload.split(b"-")[1])
                assert payload == self.published[run.id][number]
                frames[number] = payload
            spans = dict(
                itertools.chain.from_iterable(
                    ((n, loss[2]) for n in range(loss[0], loss[1] + 1)) for loss in chunk.losses
                )
            )
            assert not frames.keys() & spans.keys()
            for n in range(at + 1, chunk.upto + 1):
                assert (n in frames) != (n in spans), (run.id, n)
                assert n not in seen
                seen[n] = FRAME if n in frames else spans[n]
            self.cursor[run.id] = max(at, chunk.upto)
            held = [n for n, what in seen.items() if what == FRAME]
            if held and run.id == self.run:
                self.totals_floor = max(
                    self.totals_floor, self.journal.state.totals.get("import", 0) if chunk.upto == chunk.last else 0
                )
            if chunk.closed and self.cursor[run.id] >= chunk.last:
                self.closed[run.id] = chunk.closed

    def ack(self) -> None:
        self.journal.ack("sink", dict(self.cursor))

    def kill(self) -> None:
        """SIGKILL: some numbers were offered and not journaled; a write may be torn behind the committed end."""
        for _ in range(self.rng.randint(0, 4)):
            self.offer()
        snap = self.journal.snapshot()
        last = snap.segments[-1]
        if self.rng.random() < 0.5:
            with open(last.path, "r+b") as f:
                f.seek(last.end)
                f.write(os.urandom(min(self.rng.randint(1, 300), last.size - last.end)))
        self.journal.release()
        self.counter.close()

    def stop(self) -> None:
        assert self.journal.close()
        self.counter.close_run()
        self.journal.release()
        self.counter.close()

    def drain(self) -> None:
        for _ in range(100_000):
            before = dict(self.cursor), dict(self.closed)
            self.pull(self.journal.snapshot())
            if before == (self.cursor, self.closed):
                return


@pytest.mark.parametrize("seed", range(6))
def test_model(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    rig = Rig(
        tmp_path, rng, max_bytes=rng.choice((600_000, 8 << 20)), keep_s=rng.choice((0.0, 60.0)), monkeypatch=monkeypatch
    )
    for _ in range(400):
        what = rng.random()
        if what < 0.55:
            rig.append()
        elif what < 0.75:
            rig.pull(rig.journal.snapshot())
        elif what < 0.85:
            rig.ack()
        elif what < 0.92:
            rig.journal.maintain()
        elif what < 0.95:
            rig.pull(Snapshot.of(scan_folder(tmp_path / "segments", alive=True)))
        else:
            if rng.random() < 0.2:
                rig.drain()
                rig.ack()
                rig.stop()
            else:
                rig.kill()
            if rng.random() < 0.3:
                rig.boot = f"{rng.getrandbits(128):032x}"
            rig.start()
    rig.drain()
    # every run is accounted to its last offered number, each once
    for run, offered in rig.offered.items():
        assert len(rig.sink.get(run, {})) == offered or rig.limits.max_bytes < 1 << 20, run
        assert sorted(rig.sink.get(run, {})) == list(range(1, offered + 1)), run
    causes = {what for seen in rig.sink.values() for what in seen.values()}
    assert FRAME in causes
    assert "killed" in causes
    assert read_counter(tmp_path / "counter")[-1].run == rig.run


@pytest.mark.parametrize("seed", range(30))
def test_damage_costs_only_what_it_hits(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flipped bits, cuts, zeroes, missing and foreign segments: it opens, and whatever is gone has a name."""
    rng = random.Random(seed)
    rig = Rig(tmp_path, rng, max_bytes=8 << 20, keep_s=60.0, monkeypatch=monkeypatch)
    for _ in range(rng.randint(40, 160)):
        rig.append()
    rig.kill()
    files = sorted((tmp_path / "segments").glob("seg-*"))
    victim = rng.choice(files)
    kind = rng.choice(("flip", "flip", "cut", "zero", "missing", "rename", "foreign", "garbage"))
    data = bytearray(victim.read_bytes())
    if kind == "flip":
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        victim.write_bytes(data)
    elif kind == "cut":
        victim.write_bytes(data[: rng.randrange(len(data))])
    elif kind == "zero":
        at = rng.randrange(len(data))
        data[at : at + 5000] = bytes(len(data[at : at + 5000]))
        victim.write_bytes(data)
    elif kind == "missing":
        victim.unlink()
    elif kind == "rename":
        victim.rename(victim.with_name("seg-0000099999"))
    elif kind == "foreign":
        other = tmp_path / "other"
        other.mkdir()
        stranger = Rig(other, random.Random(seed + 1000), max_bytes=8 << 20, keep_s=60.0, monkeypatch=monkeypatch)
        stranger.append()
        stranger.kill()
        source = next((other / "segments").glob("seg-*"))
        (tmp_path / "segments" / "seg-0000099999").write_bytes(source.read_bytes())
    else:
        (tmp_path / "segments" / "seg-0000000777").write_bytes(os.urandom(5000))
    rig.start()
    rig.append()
    rig.drain()
    for run, offered in rig.offered.items():
        assert sorted(rig.sink.get(run, {})) == list(range(1, offered + 1)), (kind, run)
    if kind in ("rename", "foreign", "garbage"):
        lost = [
            n for seen in rig.sink.values() for n, what in seen.items() if what not in (FRAME, "queue_full", "killed")
        ]
        assert not lost, kind


@pytest.mark.parametrize("byte", range(0, 64, 3))
def test_one_flipped_bit_in_the_only_head_costs_nothing(
    byte: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual journal is one segment: its id stands in the counter file a second time."""
    rig = Rig(tmp_path, random.Random(1), max_bytes=32 << 20, keep_s=60.0, monkeypatch=monkeypatch)
    rig.append()
    first, offered = rig.run, rig.seq
    rig.journal.release()
    rig.counter.close()
    (path,) = (tmp_path / "segments").glob("seg-*")
    data = bytearray(path.read_bytes())
    data[byte] ^= 4
    path.write_bytes(data)
    rig.start()
    rig.drain()
    assert sorted(rig.sink[first]) == list(range(1, offered + 1))
    assert set(rig.sink[first].values()) <= {FRAME, "queue_full"}
