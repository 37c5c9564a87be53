"""A sink in small, to be killed: `csv_child.py FOLDER MAX_FILES` stores frames as fast as it can and writes CSV files.

It goes on where the store says that it was. SIGTERM: everything is delivered, committed, and it ends with 0.
"""

import itertools
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from common import frames
from common.config.schema import Config
from common.log import Log
from common.sinks.consumer import Consumer
from common.sinks.csv.output import CsvOutput
from common.sinks.gate import Gate
from common.sinks.output import Place
from common.store.items import StreamKey, Taken
from common.store.writer import Store

T = 1_772_366_400_000_000_000
RUN = "0" * 16
S = 10**9


def taken(src: str, kind: type[frames.Frame], seq: int, **fields: object) -> Taken:
    frame = kind(node="rig1", src=src, run=RUN, seq=seq, **{"mono": 1000 * seq, **fields})  # type: ignore[arg-type]
    return Taken(StreamKey("rig1", src, RUN), "x", frame)


def made(seq: int) -> list[Taken]:
    """Frame number seq of each source: 100 ms of samples (some 12 s late), pulses, an event, a poll."""
    t = T + seq * S // 10 - (12 * S if seq % 7 == 0 else 0)
    values = b"".join(((seq * 7 + i) % 9000).to_bytes(2, "little") for i in range(80))
    samples = {"sensor": "vibration", "rate_hz": 800.0, "nominal_hz": 800.0, "n": 80, "axes": ["x"], "unit": "g"}
    samples |= {"scale": 0.0001, "dtype": "<i2", "values": values, "dt_ns": 1_250_000, "t": t}
    readings = [{"channel": c, "temperature": seq + c / 10} for c in range(2)]
    return [
        taken("highspeed", frames.Samples, seq, **samples),
        taken("pulse", frames.Pulse, seq, channel="import", edges=[0, 1, 2], total=3 * seq, t=T + seq * S),
        taken("app", frames.Event, seq, event_type="n", source="test", detail=f"=a,{seq}", t=T + seq * 100 * S),
        taken("bath", frames.Thermostat, seq, device="bath", readings=readings, dialect="new", t=T + seq * S),
        taken("pump", frames.Pump, seq, pump="water", event="done", action="dispense", direction="forward",
              command_id=f"c{seq}", ml=1.0, seconds=1.0, hz=1.0, steps=1, t=T + seq * S),
    ]  # fmt: skip


def main() -> None:
    folder, max_files = Path(sys.argv[1]), int(sys.argv[2])
    csv = {"enabled": True, "file_s": 1, "max_files": max_files, "max_mb": 0.02}
    config = msgspec.convert({"sink": {"csv": csv}, "highspeed": {}}, Config)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    store = Store.open(folder / "rigbus.db")
    log = Log("sink")
    place = {**dict.fromkeys(Place._fields), "name": "csv", "config": config, "data": folder, "log": log, "options": {}}
    consumer = Consumer("csv", CsvOutput(Place(**place)), str(folder / "rigbus.db"), Gate(), log)  # type: ignore[arg-type]
    consumer.start()
    seq = max((cursor.stored_to for cursor in store.cursors().values()), default=0)
    print("ready", flush=True)

    def commit(items: list[Taken]) -> None:
        move = consumer.mailbox.take()
        store.commit(items, moves=[move] if move else [])
        consumer.mailbox.confirm()
        consumer.wake()

    parent = os.getppid()
    while not ended and os.getppid() == parent:
        items = list(itertools.chain(*(made(seq + i + 1) for i in range(3))))
        items.sort(key=lambda item: item.key.src)  # each source in one run
        commit(items)
        seq += 3
        time.sleep(0.004)
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        commit([])
        time.sleep(0.05)
        tops = store.tops([feed.table for feed in consumer.feeds])
        if all(consumer.position(table) >= top for table, top in tops.items()):
            break
    for _ in range(30):  # commits go on while nothing is left to write: what is old is tidied up
        commit([])
        time.sleep(0.1)
    consumer.stop(5.0)
    consumer.join(10.0)
    commit([])
    store.close()


if __name__ == "__main__":
    main()
