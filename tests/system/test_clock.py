"""A clock that is set late, and a sink that is killed meanwhile: each row goes out under one time, the right one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from clock_sink import AHEAD_NS
from rig import HERE, ROOT, MakeRig, Rig

HELD = 10**9


def start_sink(rig: Rig, *, hold_s: float = HELD) -> None:
    command = [sys.executable, str(HERE / "clock_sink.py"), "--set", str(told(rig)), "--hold", str(hold_s)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
    env |= {"RIGBUS_SUPERVISOR": str(os.getpid()), "PYTHONPATH": str(ROOT)}
    with rig.log("sink").open("ab") as log:
        rig.processes["sink"] = subprocess.Popen(
            [*command, *rig.options], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    rig.ready("sink")


def told(rig: Rig) -> Path:
    return rig.folder / "set"


def kept(rig: Rig) -> dict[tuple[str, int], set[int]]:
    """(table, id) → the times under which it went out."""
    out: dict[tuple[str, int], set[int]] = {}
    for line in (rig.folder / "kept").read_text().splitlines():
        table, row_id, t = json.loads(line)
        out.setdefault((table, row_id), set()).add(t)
    return out


def stored(rig: Rig) -> dict[tuple[str, int], tuple[int, int | None]]:
    found: dict[tuple[str, int], Any] = {}
    for table, t in (("system_events", "CAST(round(ts * 1e6) AS INTEGER)"), ("pulses", "t_ns")):
        for row_id, t_now, before in rig.rows(f"SELECT id, {t}, t_orig_ns FROM {table}"):
            found[table, row_id] = t_now, before
    return found


def all_went_out(rig: Rig) -> None:
    """A sink that stops gives its outputs one second: nothing new comes, and they have it all."""
    rig.stop("pulse", "numbered")
    rig.until(lambda: kept(rig).keys() == stored(rig).keys(), "all went out")


@pytest.fixture
def rig_of(make_rig: MakeRig) -> Rig:
    rig = make_rig()
    rig.merge(f'[sink.output.kept]\noptions = {{ path = "{rig.folder / "kept"}" }}\n')
    (rig.folder / "kept").touch()
    return rig


def test_rows_wait_for_the_clock_and_go_out_once_with_the_right_time(rig_of: Rig) -> None:
    rig = rig_of
    rig.start("bus")
    start_sink(rig)
    rig.start("pulse", "numbered")
    for n in (200, 400):
        rig.until(lambda n=n: rig.stored() > n, f"{n} are stored")
        rig.kill("sink")
        start_sink(rig)
    rig.until(lambda: rig.status("sink")["outputs"]["kept"]["reason"] == "the clock is not set", "it says why")
    assert kept(rig) == {}
    set_ns = time.time_ns()
    told(rig).touch()
    for _ in range(3):
        time.sleep(0.4)
        rig.kill("sink")
        start_sink(rig)
    rig.until(lambda: rig.stored() > 700, "700 are stored")
    rig.caught_up()
    all_went_out(rig)
    rig.end()
    assert rig.audit().code == 0, rig.audit().document
    rig.check("numbered")
    found = stored(rig)
    went = kept(rig)
    assert {key: {t} for key, (t, _) in found.items()} == went
    moved = {key: (t, before) for key, (t, before) in found.items() if before is not None}
    assert len(moved) > 400
    for (table, _), (t, before) in moved.items():
        shift = t * 1000 - before if table == "system_events" else t - before
        assert abs(shift - AHEAD_NS) < 50_000_000
    # the daemons' own clock was never set: what they stamped before the look is moved, what came later is not
    late = [t for (table, _), (t, before) in found.items() if table == "pulses" and before is None]
    assert late
    assert min(late) > set_ns
    steps = rig.rows("SELECT step_ns, detail FROM clock_steps ORDER BY id")
    assert any(abs(step - AHEAD_NS) < 50_000_000 for step, _ in steps)
    assert not any("went out" in detail for _, detail in steps)


def test_after_hold_s_the_store_alone_is_corrected(rig_of: Rig) -> None:
    rig = rig_of
    rig.start("bus")
    start_sink(rig, hold_s=0)
    rig.start("pulse", "numbered")
    rig.until(lambda: len(kept(rig)) > 200, "200 rows went out")
    told(rig).touch()
    rig.until(lambda: rig.rows("SELECT 1 FROM clock_steps WHERE detail LIKE '%went out%'"), "the store is corrected")
    before = len(kept(rig))
    rig.until(lambda: len(kept(rig)) > before + 50, "rows go out again")
    all_went_out(rig)
    rig.end()
    assert rig.audit().code == 0
    found, went = stored(rig), kept(rig)
    assert found.keys() == went.keys()
    assert {key for key, times in went.items() if len(times) != 1} == set()
    (detail,) = rig.rows("SELECT detail FROM clock_steps WHERE detail LIKE '%went out%'")[0]
    named = dict(part.split(" ")[1:] for part in detail.partition("old time: ")[2].split(", "))
    for table in ("pulses", "system_events"):
        first, last = map(int, named[table].split(".."))
        old = {key[1] for key, (t, b) in found.items() if key[0] == table and b is not None and went[key] != {t}}
        assert old, table
        assert old == set(range(first, last + 1))
