"""The examples for users run against a live rig, and print what docs/subscribe.md says."""

import ast
import re
import sys
import time
from pathlib import Path

import msgpack
import pytest
import zmq

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
RUN = "00000000000000aa"


@pytest.fixture
def speak(rig):
    """Publishes frames onto the live bus, as a daemon `stranger` of another node would."""
    context = zmq.Context()
    pub = context.socket(zmq.PUB)
    pub.linger = 1000
    pub.connect(f"ipc://{rig.run / 'in.sock'}")

    def send(topic, **fields):
        head = {"v": 1, "node": "far", "src": "stranger", "run": RUN, "tseq": 1, "t": time.time_ns(), "mono": 1}
        pub.send_multipart([topic.encode(), msgpack.packb({**head, **fields})])

    yield send
    pub.close()
    context.term()


def lines(text, pattern):
    return re.findall(pattern, text, re.MULTILINE)


def test_the_document_names_every_example():
    text = (ROOT / "docs/subscribe.md").read_text()
    assert SCRIPTS
    assert [p.name for p in SCRIPTS if f"docs/examples/{p.name}" not in text] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_an_example_imports_only_zmq_msgpack_and_the_standard_library(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module.partition(".")[0])
    assert {"zmq", "msgpack"} <= names
    assert names - {"zmq", "msgpack"} <= sys.stdlib_module_names


def test_the_script_in_the_document_is_the_example():
    shown = re.search(r"```python\n(.*?)```", (ROOT / "docs/subscribe.md").read_text(), re.DOTALL)[1]
    example = (EXAMPLES / "watch_power.py").read_text()
    assert example.endswith(shown)
    assert len(shown.splitlines()) <= 20


def test_watch_power_prints_the_watts_of_every_channel(rig):
    enough = {"import", "export", "generate"}
    done = rig.script(
        EXAMPLES / "watch_power.py",
        str(rig.run / "out.sock"),
        until=lambda text: {line.split()[0] for line in text.splitlines() if line} >= enough,
    )
    assert done.code is None, done.err
    # the simulated households, which are exactly steady
    assert set(lines(done.out, r"^.+ W$")) == {"import 3600 W", "export 1800 W", "generate 7200 W"}


def test_every_kind_prints_what_the_rig_publishes(rig):
    wanted = (
        r"^\d\d:\d\d:\d\d pulse/import/ pulse pulse \d+ \{'channel': 'import', 'total': \d+, 'filtered': 0\}$",
        r"^\d\d:\d\d:\d\d samples/vibration/ samples highspeed \d+ \{'sensor': 'vibration', 'n': \d+, .*\}$",
        r"^\d\d:\d\d:\d\d health/sink/ health sink 0 \{'last_seq': 0, 'cpu_pct': .*\}$",
    )
    done = rig.script(
        EXAMPLES / "every_kind.py",
        str(rig.run / "out.sock"),
        until=lambda text: all(lines(text, pattern) for pattern in wanted),
    )
    assert done.code is None, done.err
    assert [pattern for pattern in wanted if not lines(done.out, pattern)] == []


def test_every_kind_shows_fields_of_all_kinds_and_survives_one_it_does_not_know(rig, speak):
    golden = {
        p.stem: msgpack.unpackb(bytes.fromhex(p.read_text())) for p in Path(__file__).parent.glob("golden/*[a-z].hex")
    }
    kinds = {kind: fields for kind, fields in golden.items() if not kind.endswith(".min")}

    def until(text):
        # again and again: a subscription takes a moment to reach the publisher
        for kind, fields in kinds.items():
            speak(f"{kind}/x/", **{**fields, "node": "far", "src": "stranger"})
        speak("weather/x/", k="weather", seq=9)
        return all(f"{kind}/x/ {kind} stranger" in text for kind in [*kinds, "weather"])

    done = rig.script(EXAMPLES / "every_kind.py", str(rig.run / "out.sock"), until=until)
    assert done.code is None, done.err
    shown = dict(lines(done.out, r"/x/ (\w+) stranger \d+ (\{.*\})$"))
    assert set(shown) == {*kinds, "weather"}
    for kind in kinds:
        fields = ast.literal_eval(shown[kind])
        assert len(fields) >= 2
        assert fields.items() <= kinds[kind].items()
    assert shown["weather"] == "{}"


def gap_check(rig, speak, scenario, enough):
    """Runs gap_check.py; once it hears us, the scenario is published, a single time."""
    heard = []

    def until(text):
        if "hello" not in text:
            speak("loss/hello/", k="loss", src="hello", seq=1, unit="edge", count=1, cause="hello", stream="hello/")
        elif not heard:
            heard.append(True)
            scenario()
        return heard and enough(text)

    done = rig.script(EXAMPLES / "gap_check.py", str(rig.run / "out.sock"), until=until)
    assert done.code is None, done.err
    return [line for line in done.out.splitlines() if "hello" not in line]


def test_gap_check_notices_gaps_and_tells_which_are_lost(rig, speak):
    """1 to 3, a gap that a loss frame names, one that nothing names, and a health frame that is ahead."""

    def scenario():
        for seq in (1, 2, 3, 7):
            speak("app/event/", k="event", seq=seq)
        speak("loss/stranger/", k="loss", seq=8, unit="frame", cause="queue_full", run_of=RUN, from_seq=4, to_seq=6)
        speak("app/event/", k="event", seq=12)
        speak("health/stranger/", k="health", seq=0, last_seq=14)
        speak("loss/stranger/", k="loss", seq=15, unit="edge", count=2, cause="kernel_overrun", stream="pulse/a/")
        speak("app/event/", k="event", seq=16)
        speak("app/event/", k="event", seq=18)

    told = gap_check(rig, speak, scenario, lambda text: "gap 17..17" in text)
    assert [line for line in told if "stranger" in line or "pulse/a/" in line] == [
        f"stranger/{RUN}: gap 4..6",
        f"stranger/{RUN}: lost 4..6, cause queue_full",
        f"stranger/{RUN}: gap 9..11",
        f"stranger/{RUN}: gap 13..14",
        "pulse/a/: lost 2 edge, cause kernel_overrun",
        f"stranger/{RUN}: gap 17..17",
    ]


def test_gap_check_finds_no_gap_in_a_rig_that_is_well(rig, speak):
    told = gap_check(rig, speak, lambda: None, lambda text: rig_is_heard(rig))
    assert [line for line in told if "gap" in line] == []


def rig_is_heard(rig):
    """True when some of the rig's own frames have passed."""
    context = zmq.Context()
    sub = context.socket(zmq.SUB)
    try:
        sub.linger = 0
        sub.connect(f"ipc://{rig.run / 'out.sock'}")
        sub.subscribe("")
        for _ in range(30):
            assert sub.poll(30_000)
            sub.recv_multipart()
        return True
    finally:
        sub.close()
        context.term()
