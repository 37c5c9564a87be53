"""Strangers on the bus: whatever they publish, the sink lives, real streams stay exact, and the noise is counted."""

import json
import random
import subprocess
import sys
from typing import Any

import msgpack
import pytest
from rig import HERE, PUBLISHERS, Rig

Message = list[bytes]
BODIES: dict[str, dict[str, Any]] = {
    "pulse": {"channel": "import", "edges": [0], "total": 1},
    "samples": {
        "sensor": "v", "rate_hz": 1.0, "nominal_hz": 1.0, "n": 1, "axes": ["x"], "unit": "g", "scale": 1.0,
        "dtype": "<i2", "values": b"ab", "dt_ns": 1,
    },
    "thermostat": {"device": "d", "readings": [{"channel": 1}], "dialect": "x"},
    "pump": {"pump": "p", "event": "done", "action": "prime", "direction": "in", "command_id": "c"},
    "arm_command": {"funcode": 1, "data": {}},
    "arm_feedback": {"funcode": 1, "data": {}},
    "smoother": {"joint_id": 1, "target": 1.0, "current": 1.0, "sent": 1.0},
    "web_request": {"endpoint": "/"},
    "camera": {"camera_id": "c"},
    "event": {"event_type": "number", "source": "numbered", "detail": "1"},
    "loss": {"stream": "*", "unit": "frame", "count": 5, "cause": "made_up", "from_t": 0, "to_t": 0},
    "health": {
        "last_seq": 7, "closed": False, "boot_id": "0" * 32, "journal_id": "0" * 16, "ctl": "", "pid": 1,
        "cpu_pct": 0.0, "rss_bytes": 0, "rates": {}, "missed_ticks": 0,
        "lateness_us": {"p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0},
        "journal": {"frames": 0, "bytes": 0, "oldest": 0},
    },
}  # fmt: skip
WRONG = [None, True, -1, 2**64 - 1, 1.5, "x", b"x", [], {}, [[]], {"a": {}}, float("nan"), "\u0000"]
MADE_UP = {"node": "rig", "src": "stranger", "run": "f" * 16}


def frame(kind: str, number: int, identity: dict[str, str], **changes: Any) -> Message:
    """A well-formed frame, with these fields changed or (`...`) left out."""
    at = {"k": kind, "v": 1, **identity, "seq": number, "tseq": number, "t": 10**18, "mono": 10**12}
    fields = {k: v for k, v in {**at, **BODIES.get(kind, {}), **changes}.items() if v is not ...}
    return [f"{kind}/x/".encode(), msgpack.packb(fields)]


def malformed(identity: dict[str, str], rng: random.Random) -> list[Message]:
    """Every kind with every field missing, and with a wrong value; and what is no frame at all."""
    out: list[Message] = []
    for kind, body in BODIES.items():
        changes = [{f: value} for f in ["k", "node", "src", "run", "seq", *body] for value in (..., rng.choice(WRONG))]
        out += [frame(kind, int(kind != "health"), identity, **change) for change in changes]
    good = frame("event", 1, identity)[1]
    out += [frame("tomorrow", 1, identity), frame("event", 2**63, identity), frame("event", 1, identity, v="one")]
    out += [frame("samples", 1, identity, values=b"abc"), frame("samples", 1, identity, dt_ns=[1, 2, 3])]
    out += [[b"event/x/", good[:n]] for n in range(0, len(good), 5)]
    out += [[b"event/x/", rng.randbytes(n)] for n in (0, 1, 2, 10, 100, 1000, 100_000)]
    out += [[b"event/x/", b"\x91" * 100_000], [b"event/x/", b"\xdf\xff\xff\xff\xff"], [b"event/x/", b"\xc1"]]
    out += [
        [b"alone"],
        [b""],
        [b"event/x/", good, b"third"],
        [b"a", b"b", b"c", b"d"],
        [b"\xff\xfe", good],
        [b"", good],
    ]
    out += [[b"event/x/", bytes(10 << 20)], [rng.randbytes(10 << 20), good]]
    return out


def send(rig: Rig, messages: list[Message]) -> None:
    """By a foreign process, which ends when the bus has taken all."""
    sender = subprocess.Popen(
        [sys.executable, str(HERE / "noise_sender.py"), str(rig.run / "in.sock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = "".join(json.dumps([part.hex() for part in message]) + "\n" for message in messages)
    try:
        out, _ = sender.communicate(lines, timeout=60)
    finally:
        sender.kill()
        sender.wait()
    assert out == "ready\n"


def current_run(rig: Rig, src: str) -> dict[str, str]:
    """The identity of a living stream."""
    [(node, run)] = rig.rows("SELECT node, run FROM streams WHERE src = ? AND closed = 0", src)
    return {"node": node, "src": src, "run": run}


def noise(rig: Rig) -> int:
    """Messages that the ledger counts as noise."""
    query = "SELECT sum(count) FROM ledger WHERE stream_id IS NULL AND unit = 'frame'"
    return rig.rows(query)[0][0] or 0


@pytest.fixture
def noisy(rig: Rig) -> Rig:
    """A running rig, for strangers to talk to."""
    rig.start("bus", "sink", *PUBLISHERS)
    rig.ready("bus", "sink", *PUBLISHERS)
    rig.caught_up()
    rig.until(lambda: len(rig.rows("SELECT 1 FROM streams WHERE stored > 0")) == 3, "all sources are stored")
    return rig


def exact(rig: Rig) -> None:
    """The rig goes on as if nothing had been said, and its account holds."""
    rig.caught_up()
    sink = rig.processes["sink"]
    assert sink.poll() is None, rig.tail()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0
    runs = rig.rows("SELECT src FROM streams WHERE published_to > 0 OR stored_to > 0 OR closed > 0 ORDER BY src")
    assert [src for (src,) in runs] == sorted(PUBLISHERS)
    assert rig.audit().sum("lost") == 0
    assert not rig.rows("SELECT * FROM quarantine")


def test_malformed_messages_of_a_stranger(noisy: Rig) -> None:
    messages = malformed(MADE_UP, random.Random(1))
    send(noisy, messages)
    noisy.until(lambda: noisy.status("sink")["noise"] >= len(messages), "the sink has heard it all")
    exact(noisy)
    assert noise(noisy) == len(messages)


def test_malformed_messages_under_real_identities(noisy: Rig) -> None:
    """Of numbers already stored; real streams must not stumble over them."""
    for src in PUBLISHERS:
        send(noisy, malformed(current_run(noisy, src), random.Random(2)))
    noisy.until(lambda: noisy.status("sink")["noise"] > 300, "the sink has heard most of it")
    exact(noisy)
    assert noise(noisy) > 300


def test_malformed_frames_with_numbers_to_come(noisy: Rig) -> None:
    """The journal's copy decides, whatever the bus brought under that number."""
    real, at = current_run(noisy, "numbered"), noisy.offered()
    messages = [frame("event", at + n, real, detail=n) for n in range(2000)]
    messages += [frame("tomorrow", at + n, real) for n in range(2000)]
    send(noisy, messages)
    noisy.until(lambda: noisy.offered() > at + 500, "500 more are offered")
    exact(noisy)


def test_made_up_sources_and_runs(noisy: Rig) -> None:
    """Well-formed frames of sources, nodes and runs that there are not."""
    real = current_run(noisy, "numbered")
    sources = ["stranger", "bus", "sink", "..", ".", "../numbered", "a/b", "numbered/", "x" * 5000, "\u0000", "é"]
    identities = [{**real, "src": src} for src in sources] + [{**real, "node": "elsewhere"}]
    identities += [{**real, "run": f"{n:016x}"} for n in range(50)] + [{**real, "run": "Z" * 16}]
    kinds = [kind for kind in BODIES if kind != "health"]
    send(noisy, [frame(kind, seq, who) for who in identities for kind in kinds for seq in (1, 2, 2**63 - 1)])
    noisy.until(lambda: noisy.status("sink")["noise"] > len(identities), "the sink has heard most of it")
    exact(noisy)
    assert noise(noisy) > len(identities)
    assert not noisy.ledger("made_up")


def test_made_up_health_frames(noisy: Rig) -> None:
    """A health frame is a hint: only the source itself says what it has published."""
    real = current_run(noisy, "numbered")
    identities = [real, {**real, "run": "f" * 16}, {**real, "src": "stranger"}, {**real, "src": ".."}]
    identities += [{**real, "src": "bus"}, {**real, "node": "elsewhere"}]
    for last in (2**63 - 1, 10**6):
        send(noisy, [frame("health", 0, who, last_seq=last, closed=c) for who in identities for c in (False, True)])
    exact(noisy)


def test_a_number_far_ahead_does_not_hold_up_a_stream(noisy: Rig) -> None:
    """A well-formed frame under a real identity, whose number its publisher has not given out."""
    real = current_run(noisy, "numbered")
    send(noisy, [frame("event", 2**63 - 1, real), frame("event", 10**6, real)])
    noisy.caught_up()
    noisy.stop("numbered")
    noisy.until(
        lambda: noisy.rows("SELECT closed FROM streams WHERE src = 'numbered'") == [(1,)], "the stream is closed"
    )
    exact(noisy)
