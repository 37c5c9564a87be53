"""The design that rigbus replaces, as the seeds describe it: a queue, one row a sample, a CSV line a sample.

`python -m tests.bench.seed FOLDER [drain]`: samples at 800 Hz until SIGTERM, then prints what its threads have used.
Their collector: a sampling thread puts each sample into a `queue.Queue`; a writer thread takes them one by one
(`get(timeout=1)`), inserts batches of 50 with `executemany` and commits; each sample is also a line of the second's
CSV file and of the aggregate. drain: its text taken to the letter ("`queue.get(timeout)`, drain up to `batch_size`
items, `executemany()`, a single transaction"), by which a batch is what is there: at 800 Hz one sample.
The sampling loop is no cheaper and no dearer than ours: it sleeps to absolute deadlines.
"""

import csv
import datetime
import json
import os
import queue
import signal
import sqlite3
import struct
import sys
import threading
import time
from pathlib import Path

from tests.bench import material, proc

BATCH, FLUSH_S = 50, 1.0
Sample = tuple[float, float, float, float]


class Writer:
    """The thread behind the queue."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.queue: queue.Queue[Sample | None] = queue.Queue()
        self.rows = 0
        self._folder, self._batch = folder, batch
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        db = sqlite3.connect(self._folder / "telemetry.db")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE vibration (id INTEGER PRIMARY KEY AUTOINCREMENT, ts REAL, x REAL, y REAL, z REAL)")
        db.execute("CREATE INDEX idx_vibration_ts ON vibration (ts)")
        batch: list[Sample] = []
        flushed = time.monotonic()
        second, file, lines = -1, None, None
        aggregate_file = (self._folder / "aggregate_data.csv").open("w", newline="")
        aggregate = csv.writer(aggregate_file)
        while True:
            try:
                sample = self.queue.get(timeout=FLUSH_S)
            except queue.Empty:
                continue
            if sample is not None:
                batch.append(sample)
                stamp = datetime.datetime.fromtimestamp(sample[0])
                if int(sample[0]) != second or lines is None:
                    second = int(sample[0])
                    if file is not None:
                        file.close()
                    aggregate_file.flush()
                    path = self._folder / stamp.strftime("%Y/%m/%d/%H%M%S.csv")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    file = path.open("w", newline="")
                    lines = csv.writer(file)
                row = (stamp.isoformat(), *sample[1:])
                lines.writerow(row)
                aggregate.writerow(row)
            if len(batch) >= self._batch or time.monotonic() - flushed > FLUSH_S or sample is None:
                db.executemany("INSERT INTO vibration (ts, x, y, z) VALUES (?, ?, ?, ?)", batch)
                db.commit()
                self.rows += len(batch)
                batch, flushed = [], time.monotonic()
            if sample is None:
                break
        db.close()


def main(folder: Path, batch: int) -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    values = list(struct.iter_unpack("<3h", b"".join(material.blocks(1))))
    writer = Writer(folder, batch)
    time.sleep(1.0)
    before = dict(proc.threads(os.getpid()))
    begin = deadline = time.monotonic_ns()
    count = 0
    while not stopping:
        x, y, z = values[count % len(values)]
        writer.queue.put((time.time(), x * material.SCALE, y * material.SCALE, z * material.SCALE))
        count += 1
        deadline += material.STEP_NS
        if (left := deadline - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
    used = {tid: s - before.get(tid, 0.0) for tid, s in proc.threads(os.getpid())}
    writer.queue.put(None)
    writer.thread.join()
    sampling = used[threading.get_native_id()]
    document = {"samples": count, "rows": writer.rows, "seconds": (time.monotonic_ns() - begin) / 1e9}
    wchar, dirtied = proc.written("self")
    document |= {"cpu_s": sum(used.values()) - sampling, "cpu_sampling_s": sampling, "wchar": wchar, "dirty": dirtied}
    print(json.dumps(document))


if __name__ == "__main__":
    main(Path(sys.argv[1]), 1 if "drain" in sys.argv else BATCH)
