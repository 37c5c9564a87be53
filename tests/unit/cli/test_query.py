"""`rigbus query`: its options, its formats, its mistakes."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from common.cli.main import main
from common.frames import Event, Pulse, Samples
from common.store.items import Closed, Item, StreamKey, Taken
from common.store.writer import Store

T = 1_760_000_000 * 10**9  # 2025-10-09T08:53:20Z
S = 10**9
KEY = StreamKey("rig1", "daemon", "0" * 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, and a store that a rig left behind."""
    (tmp_path / "rigbus.toml").write_text(
        'paths = { data = "data" }\n[[pulse.channel]]\nname = "import"\nline = 20\nimp_per_kwh = 500.0\n'
    )
    (tmp_path / "data").mkdir()
    store = Store.open(tmp_path / "data" / "rigbus.db")
    identity = {"node": KEY.node, "src": KEY.src, "run": KEY.run}
    samples = {"seq": 4, "t": T, "mono": 1, "sensor": "vibration", "rate_hz": 1000.0, "nominal_hz": 1000.0, "n": 4}
    samples |= {"axes": ["x"], "unit": "g", "scale": 0.25, "dtype": "<i2", "dt_ns": 1_000_000}
    samples |= {"values": bytes([1, 0, 2, 0, 3, 0, 4, 0])}
    frames = [
        Pulse(**identity, seq=1, t=T, channel="import", edges=[0, 3 * S + 600_000_000], total=41),
        Pulse(**identity, seq=2, t=T + 10 * S, channel="spare", edges=[0], total=7),
        Event(**identity, seq=3, t=T + 20 * S, event_type="estop", source="web", detail="[red] button"),
        Samples(**identity, **samples),
    ]
    items: list[Item] = [Taken(KEY, "topic/", frame) for frame in frames]
    store.commit([*items, Closed(KEY, 3, T, T + 30 * S)])
    store.close()
    return tmp_path


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb on the store of `folder`; exit code, stdout, stderr."""

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["query", *argv, "--config", str(folder / "rigbus.toml")])
        return code, *capsys.readouterr()

    return run


def test_pulses_as_a_table(ask: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = ask("pulses")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines == [
        ["time", "channel", "total"],
        ["2025-10-09T08:53:20.000Z", "import", "40"],
        ["2025-10-09T08:53:23.600Z", "import", "41"],
        ["2025-10-09T08:53:30.000Z", "spare", "7"],
    ]


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_pulses_as_one_json_document(ask: Callable[..., tuple[int, str, str]], option: list[str]) -> None:
    code, out, err = ask("pulses", "--channel", "spare", *option)
    assert (code, err) == (0, "")
    assert json.loads(out) == [{"time": "2025-10-09T08:53:30.000Z", "t_ns": T + 10 * S, "channel": "spare", "total": 7}]


def test_pulses_as_csv(ask: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = ask("pulses", "--format", "csv", "--last", "1")
    assert list(csv.reader(io.StringIO(out))) == [
        ["time", "t_ns", "channel", "total"],
        ["2025-10-09T08:53:30.000Z", str(T + 10 * S), "spare", "7"],
    ]


def test_power_takes_the_channels_own_constant(ask: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = ask("power", "--json")
    assert code == 0
    found = {(row["channel"], row["total"]): (row["watts"], row["kwh"]) for row in json.loads(out)}
    assert found == {("import", 40): (None, 0.08), ("import", 41): (2000.0, 0.082), ("spare", 7): (None, None)}
    assert err == "spare: not in the configuration; its power needs --imp-per-kwh\n"


def test_power_with_a_constant_given(ask: Callable[..., tuple[int, str, str]]) -> None:
    _, out, err = ask("power", "--json", "--imp-per-kwh", "1000", "--channel", "import", "--last", "1")
    assert (json.loads(out)[0]["watts"], err) == (1000.0, "")


def test_samples(ask: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = ask("samples", "--json", "--last", "2")
    document = json.loads(out)
    assert (document["sensor"], document["unit"], document["axes"]) == ("vibration", "g", ["x"])
    assert [(row["t_ns"], row["x"]) for row in document["samples"]] == [(T + 2_000_000, 0.75), (T + 3_000_000, 1.0)]
    _, out, _ = ask("samples", "--sensor", "vibration", "--format", "csv")
    assert out.splitlines()[0] == "time,t_ns,x [g]"
    assert len(out.splitlines()) == 5


def test_what_happened_is_printed_as_it_is(ask: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = ask("happened")
    assert code == 0
    assert "info: [red] button" in out
    assert "an unknown number of frames" in out


def test_an_unknown_count_is_never_a_zero(ask: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = ask("ledger")
    assert out.splitlines()[1].split()[5:7] == ["unknown", "power_cut"]
    _, out, _ = ask("ledger", "--json")
    assert [row["count"] for row in json.loads(out)] == [None]


def test_dbstats(ask: Callable[..., tuple[int, str, str]], folder: Path) -> None:
    _, out, _ = ask("dbstats", "--json")
    document = json.loads(out)
    assert document["path"] == str(folder / "data" / "rigbus.db")
    assert (document["tables"]["pulses"], document["bytes"]) == (3, (folder / "data" / "rigbus.db").stat().st_size)
    _, out, _ = ask("dbstats")
    assert ["pulses", "3"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize("before", [True, False])
def test_another_database_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: bool
) -> None:
    moved = (folder / "data" / "rigbus.db").rename(tmp_path / "other.db")
    argv = ["--db", str(moved), "pulses"] if before else ["pulses", "--db", str(moved)]
    assert main(["query", *argv]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_row_is_a_line_however_long(
    ask: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    _, out, _ = ask("happened")
    assert len(out.splitlines()) == 3


MISTAKES = [
    (["pulses", "--last", "soon"], 2, "--last soon"),
    (["pulses", "--last=-5"], 2, "--last -5"),
    (["pulses", "--last", "5m", "--from", "1"], 2, "--last and from"),
    (["pulses", "--from", "yesterday"], 2, "--from yesterday"),
    (["pulses", "--to", "1e99"], 2, "--to 1e99"),
    (["pulses", "--to", "nan"], 2, "--to nan"),
    (["pulses", "--limit", "many"], 2, "--limit many"),
    (["power", "--imp-per-kwh", "0"], 2, "--imp-per-kwh 0"),
    (["power", "--imp-per-kwh", "x"], 2, "--imp-per-kwh x"),
    (["samples", "--sensor", "none"], 2, "there are vibration"),
    (["--db", "/nowhere/rigbus.db", "pulses"], 1, "/nowhere/rigbus.db"),
]


@pytest.mark.parametrize(("argv", "code", "text"), MISTAKES)
def test_a_mistake_is_one_line(ask: Callable[..., tuple[int, str, str]], argv: list[str], code: int, text: str) -> None:
    found, out, err = ask(*argv)
    assert (found, out) == (code, "")
    assert text in err
    assert err.count("\n") == 1


def test_a_bad_configuration_has_its_own_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "pulses", "--config", str(tmp_path / "none.toml")]) == 78
    assert capsys.readouterr().err.count("\n") == 1
