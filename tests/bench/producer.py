"""A daemon of the bench's own: publishes what RIGBUS_BENCH asks for, and says at the end what it did.

flood: as fast as the way to the store takes it. paced: `rate_hz` frames a second.
"""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from common.bus.publisher import QUEUE_BYTES
from common.config.schema import BusConfig
from common.frames import Frame
from common.runtime import Runtime
from common.service import entry
from tests.bench import material, proc

GO = "go"


class Spec(Struct):
    """samples: per frame, 0: events of `size` bytes. seconds 0: until SIGTERM.

    queue: frames that may wait for the journal (at most half of what it takes). unacked: what the sink may owe,
    bytes and frames: the journal has a bound, and its socket takes 10,000.
    """

    mode: Literal["flood", "paced"]
    seconds: float = 0.0
    samples: int = 0
    size: int = 600
    rate_hz: float = 10.0
    queue: int = 2000
    unacked: int = 20 << 20
    unacked_frames: int = 12_500


def run(rt: Runtime, _: BusConfig) -> None:
    spec = msgspec.json.decode(os.environ["RIGBUS_BENCH"], type=Spec)
    frames: Iterator[Frame] = iter(
        material.samples(spec.samples, live=spec.mode == "paced") if spec.samples else material.events(spec.size)
    )
    while not (rt.folders.run / GO).exists():
        if rt.wait(0.01):
            return
    before, begin = dict(proc.threads(os.getpid())), time.monotonic()
    count = (_flood if spec.mode == "flood" else _paced)(rt, spec, frames)
    end, after = time.monotonic(), dict(proc.threads(os.getpid()))
    main = threading.main_thread().native_id
    used = {tid: seconds - before.get(tid, 0.0) for tid, seconds in after.items()}
    result: dict[str, Any] = {"frames": count, "begin": begin, "end": end}
    result |= {"cpu_before_s": sum(before.values()), "cpu_main_s": used.get(main or 0, 0.0)}
    result |= {"cpu_rest_s": sum(used.values()) - result["cpu_main_s"]}
    path = rt.folders.run / "result.json"
    path.with_suffix(".tmp").write_text(json.dumps(result))
    path.with_suffix(".tmp").rename(path)


def _flood(rt: Runtime, spec: Spec, frames: Iterator[Frame]) -> int:
    """In bursts: while this thread works, the writer thread gets the interpreter only every few ms."""
    assert rt.journal is not None
    frame = next(frames)
    size = len(msgspec.msgpack.encode(frame)) + 100
    queue = min(spec.queue, QUEUE_BYTES // 2 // size)
    most, burst = min(spec.unacked_frames, spec.unacked // size), max(1, queue // 4)
    end = time.monotonic() + spec.seconds
    count, run_, acked = 0, rt.journal.run, rt.journal.acked
    publish: Callable[[Frame], int] = rt.publish
    backlog = rt._publisher
    while not rt.stopping and time.monotonic() < end:
        while backlog.backlog > queue - burst or count - acked(run_) > most - burst:
            time.sleep(0.001)
        for frame in itertools.islice(frames, burst):
            publish(frame)
        count += burst
    return count


def _paced(rt: Runtime, spec: Spec, frames: Iterator[Frame]) -> int:
    """At most 100 wake-ups a second; above that several frames each."""
    burst = max(1, round(spec.rate_hz / 100))
    end = time.monotonic() + spec.seconds if spec.seconds else float("inf")
    count = 0
    for _ in rt.every(burst / spec.rate_hz):
        for frame in itertools.islice(frames, burst):
            rt.publish(frame)
        count += burst
        if time.monotonic() >= end:
            break
    return count


if __name__ == "__main__":
    sys.exit(entry("bench", __doc__, lambda config: config.bus, run))
