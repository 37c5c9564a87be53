"""The design that rigbus replaces, all three outputs: a queue, rows in batches of 50, CSV lines, a Point a sample.

`python -m tests.bench.seed_outputs FOLDER SAMPLES [URL]`: as fast as it can, then prints what it has used. The parts
are those of tests/bench/seed.py; the InfluxDB part is the client's own Point and batches of 5,000 lines, as the
meter-pulse seed has them. Without a URL the lines are made and dropped.
"""

import json
import sys
import time
from pathlib import Path

import urllib3
from influxdb_client import Point, WritePrecision

from tests.bench import material
from tests.bench.seed import BATCH, Writer

_LINES = 5000


def main(folder: Path, samples: int, url: str) -> None:
    writer = Writer(folder, BATCH)
    pool = urllib3.PoolManager()
    lines: list[str] = []
    before, begin = time.process_time(), time.monotonic()
    values = [sample for block in material.blocks(1) for sample in [memoryview(block).cast("h").tolist()]]
    t_ns = time.time_ns()
    for i in range(samples):
        x, y, z = (value * material.SCALE for value in values[i % len(values)])
        t_ns += material.STEP_NS
        while writer.queue.qsize() > 10_000:
            time.sleep(0.005)
        writer.queue.put((t_ns / 1e9, x, y, z))
        point = Point("samples").tag("sensor", "bench").field("x", x).field("y", y).field("z", z)
        lines.append(point.time(t_ns, WritePrecision.NS).to_line_protocol())
        if len(lines) == _LINES:
            if url:
                pool.request("POST", url, body="\n".join(lines).encode())
            lines.clear()
    writer.queue.put(None)
    writer.thread.join()
    used, took = time.process_time() - before, time.monotonic() - begin
    print(json.dumps({"samples": samples, "rows": writer.rows, "cpu_s": used, "seconds": took}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
