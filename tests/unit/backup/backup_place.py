"""A stopped rig's folders with a real store and journals, and what `rigbus backup` and `restore` are called with."""

from pathlib import Path
from typing import Any, NamedTuple

from common import clock, frames, topics
from common.backup.make import Made, make
from common.backup.restore import Options, Restored, restore
from common.config.load import Loaded
from common.journal.counter import Counter
from common.journal.entries import Entry, Limits
from common.journal.recover import open_journal
from common.paths import Folders
from common.store.items import StreamKey, Taken
from common.store.writer import Store

CONFIG = """
node = "rig1"
[pulse]
channel = [{ name = "import", line = 20 }]
[journal.daemon.pulse]
place = "disk"
[sink.csv]
enabled = true
"""
RUN = "0123456789abcdef"


def quiet(what: str, done: int, of: int) -> None:
    pass


class Place(NamedTuple):
    """A rig's configuration and folders."""

    loaded: Loaded
    folders: Folders

    def backup(self, into: Path, *, secrets: bool = False, keep: int = 0) -> Made:
        return make(self.loaded, self.folders, into, secrets=secrets, keep=keep, told=quiet)

    def restore(self, source: Path, **options: bool) -> Restored:
        return restore(self.loaded, self.folders, source, Options(**options), quiet)

    def store(self, first: int, last: int) -> None:
        store = Store.open(self.folders.store)
        items = [Taken(StreamKey("rig1", "pulse", RUN), "pulse/import/", pulse(n)) for n in range(first, last + 1)]
        store.commit(items, {StreamKey("rig1", "pulse", RUN): (last, clock.boot_id())})
        store.close()


def pulse(n: int) -> frames.Pulse:
    t = 1_760_000_000_000_000_000 + n * 10**9
    head: dict[str, Any] = {"node": "rig1", "src": "pulse", "run": RUN, "seq": n, "tseq": n, "t": t, "mono": t}
    return frames.Pulse(**head, channel="import", edges=[0], total=n)


def record(folders: Folders, last: int) -> None:
    """The pulse daemon, killed after so many frames were journaled, and one more offered."""
    here = folders.counters("pulse")
    here.mkdir(parents=True)
    counter = Counter(here / "counter")
    counter.begin(RUN, clock.boot_id(), clock.wall_ns())
    limits = Limits(1 << 20, 60.0, 1.0, True, ("sink",))
    journal = open_journal(folders.journal("pulse", "disk"), limits, RUN, [], b"")
    counter.keep_journal_id(journal.id)
    for n in range(1, last + 1):
        frame = pulse(n)
        entry = Entry(n, topics.topic_of(frame).encode(), frames.encode(frame), True, "import", n)
        counter.offer(n)
        assert journal.append([entry]) == 1
    counter.offer(last + 1)
    journal.release()
    counter.close()
