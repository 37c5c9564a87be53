"""A random history of pages, commits, kills, boots, damage and full disks: each row stands exactly once in the end."""

import contextlib
import errno
import os
import random
from collections.abc import Callable
from typing import Any

import csv_oracle as oracle
import pytest

from common.sinks.output import NotNow

T = 1_772_366_400_000_000_000
S = 10**9


class History:
    """One step each; the store has the truth."""

    def __init__(self, rig: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rig, self.random, self.patch = rig, random.Random(seed), monkeypatch
        self.second = 0
        rig.start()

    def rows(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            self.second += self.random.choice((0, 0, 1, 1, 2))
            late = self.random.choice((0, 0, 0, 5, 9))
            t = T + (self.second - late) * S + self.random.randrange(S)
            self.rig.samples(t, n=self.random.choice((1, 20, 300)))
            self.rig.pulses(T + self.second * 20_000 * S, n=self.random.randint(1, 40))

    def pages(self) -> None:
        consumer = self.rig.consumer
        limit = self.random.choice((1, 3, 1000))
        consumer.feeds = [feed._replace(limit=limit) for feed in consumer.feeds]
        consumer._idle_at = 0.0
        for _ in range(self.random.randint(1, 4)):
            consumer._pass()

    def all_pages(self) -> None:
        self.rig.write()

    def commit(self) -> None:
        self.rig.commit()

    def kill(self) -> None:
        self.rig.start()

    def boot(self) -> None:
        """A power cut: what was not synced is short, zeros or gone."""
        self.rig.kill()
        for path, size, closed in self.rig.rows("SELECT path, bytes, closed FROM output_files"):
            file = self.rig.root / path
            if not closed and file.exists():
                harm = self.random.choice(("nothing", "cut", "zeros", "gone", "zeros beyond"))
                if harm == "cut":
                    os.truncate(file, self.random.randint(0, file.stat().st_size))
                elif harm == "zeros":
                    start = self.random.randint(0, size)
                    file.write_bytes(file.read_bytes()[:start] + bytes(size - start))
                elif harm == "gone":
                    file.unlink()
                elif harm == "zeros beyond":
                    file.write_bytes(file.read_bytes()[:size] + bytes(100))
        self.rig.set("UPDATE output_files SET boot_id = 'another'")
        self.rig.start()

    def full(self) -> None:
        """The disk takes so many bytes more, then none."""
        left = [self.random.choice((0, 10, 500, 5000))]
        pwrite = os.pwrite

        def short(fd: int, data: Any, offset: int) -> int:
            n = min(len(data), left[0])
            if not n:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= n
            return pwrite(fd, data[:n], offset)

        with self.patch.context() as patch, contextlib.suppress(NotNow):
            patch.setattr(os, "pwrite", short)
            self.rig.write()

    def old(self) -> None:
        """Time passes: files that are over are closed."""
        for part in self.rig.output._parts.values():
            for file in part.tree.open.values():
                file.used_s -= 1000.0


@pytest.mark.parametrize("seed", range(25))
def test_each_row_stands_once_whatever_happens(
    make_rig: Callable[..., Any], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(file_s=1, max_files=100_000, max_mb=0.01)
    history = History(rig, seed, monkeypatch)
    names = ["rows"] * 3 + ["pages"] * 3 + ["all_pages", "commit", "commit", "kill", "boot", "full", "old"]
    done = []
    for _ in range(60):
        done.append(history.random.choice(names))
        getattr(history, done[-1])()
    rig.run(3)
    assert oracle.differences(rig.root, rig.db, "pulses") == {}, done
    assert oracle.written_samples(rig.root) == oracle.stored_samples(rig.db), done
    kept = [line for path in oracle.files(rig.root, "readings") for line in path.read_text().splitlines()[1:]]
    assert sorted(rig.text("readings/aggregate_data.csv").splitlines()[1:]) == sorted(kept), done
