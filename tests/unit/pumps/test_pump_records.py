"""The record: intents, outcomes, what a crash leaves, the day's use under a clock that is set."""

import sqlite3
import time

import pytest

from common import clock
from common.errors import RigbusError
from common.pumps import records as module
from common.pumps.limits import DAY_NS, Use, used
from common.pumps.plan import for_steps
from common.pumps.progress import Progress
from common.pumps.records import Records
from common.pumps.requests import Motion
from common.pumps.run import Outcome
from common.pumps.volume import Calibration

PLAN = for_steps(3000, 10_000, 0.2, 1.0)


def dose(command_id="d", pumps=("water",)):
    return Motion(command_id, "dispense", pumps, "forward", None, None, 1.0)


@pytest.fixture
def records(tmp_path):
    made = Records(tmp_path / "pump.db")
    yield made
    made.close()


def test_an_intent_stays_open_until_its_outcome(records):
    records.intend(dose(), "sim", {"water": PLAN})
    ((row, same_boot),) = records.open_intents()
    assert (row.state, row.planned_steps, row.planned_ml, same_boot) == ("intent", 3000, 1.0, True)
    assert records.last_run("water") is None
    records.end("d", "water", Outcome(None, 3000, 0.5), 1.0)
    assert records.open_intents() == []
    assert records.last_run("water").state == "done"
    assert [row.command_id for row in records.untold()] == ["d"]
    records.told("d", "water")
    assert records.untold() == []


def test_it_is_all_there_for_the_next_process(tmp_path):
    first = Records(tmp_path / "pump.db")
    first.intend(dose(pumps=("food", "water")), "sim", {"food": PLAN, "water": PLAN})
    first.calibrate("water", Calibration(1234.5, "sim", "d", 7))
    first.close()
    second = Records(tmp_path / "pump.db")
    assert [row.pump for row in second.find("d")] == ["food", "water"]
    assert second.calibration("water") == Calibration(1234.5, "sim", "d", 7)
    assert second.calibration("food") is None
    second.close()


def test_a_command_id_is_there_once_a_pump(records):
    records.intend(dose(), "sim", {"water": PLAN})
    with pytest.raises(RigbusError, match="UNIQUE"):
        records.intend(dose(), "sim", {"water": PLAN})
    assert len(records.find("d")) == 1


def test_a_refusal_takes_the_place_of_the_intent(records):
    records.intend(dose(), "sim", {"water": PLAN})
    records.refuse(dose(), ("water",), "sim", "locked: x")
    (row,) = records.find("d")
    assert (row.state, row.reason) == ("refused", "locked: x")
    assert records.open_intents() == []


@pytest.mark.parametrize("step_ns", [-DAY_NS, DAY_NS])
def test_what_was_used_today_is_not_forgotten_when_the_clock_is_set(records, monkeypatch, step_ns):
    records.intend(dose(), "sim", {"water": PLAN})
    records.end("d", "water", Outcome(None, 3000, 0.5), 1.0)
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + step_ns)
    again = Records(records.path)  # and a restart in the same boot
    for one in (records, again):
        assert used(one.ended("water"), one.now()) == Use(3000, 0.5, 1.0)
    again.close()


def test_over_a_reboot_by_the_clock_as_it_came_up(tmp_path, monkeypatch):
    first = Records(tmp_path / "pump.db")
    first.intend(dose(), "sim", {"water": PLAN})
    first.end("d", "water", Outcome(None, 3000, 0.5), 1.0)
    first.close()
    monkeypatch.setattr(clock, "boot_id", lambda: "f" * 32)
    second = Records(tmp_path / "pump.db")
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + DAY_NS)
    assert used(second.ended("water"), second.now()).steps == 3000
    second.close()


def test_a_run_whose_count_a_power_cut_took_counts_as_planned(records):
    records.intend(dose(), "sim", {"water": PLAN})
    records.end("d", "water", Outcome("crash", 100, 0.1), 0.03, exact=False)
    assert used(records.ended("water"), records.now()) == Use(3000, PLAN.seconds, 1.0)
    assert records.last_run("water").steps == 100


def test_it_stays_bounded(records, monkeypatch):
    monkeypatch.setattr(module, "KEEP_REFUSED", 3)
    for i in range(6):
        records.refuse(dose(f"r{i}"), ("water",), "sim", "busy")
    records.intend(dose("kept"), "sim", {"water": PLAN})
    records.prune()
    assert [bool(records.find(f"r{i}")) for i in range(6)] == [False, False, False, True, True, True]
    assert records.find("kept")


def test_a_file_that_is_no_record_is_one_line(tmp_path):
    path = tmp_path / "pump.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(RigbusError, match=r"pump\.db: file is not a database"):
        Records(path)


def test_a_database_that_somebody_holds_is_refused_not_waited_for_long(records, monkeypatch):
    other = sqlite3.connect(records.path)
    other.execute("BEGIN EXCLUSIVE")
    records._db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(RigbusError, match="locked"):
        records.intend(dose(), "sim", {"water": PLAN})
    other.close()


def test_progress_is_of_the_run_it_names_and_outlives_its_writer(tmp_path):
    progress = Progress(tmp_path / "p")
    progress.begin("one")
    progress.cell[0] = 17
    progress.close()
    again = Progress(tmp_path / "p")
    assert (again.of("one"), again.of("two"), again.of("on")) == (17, 0, 0)
    again.begin("two")
    assert (again.of("one"), again.of("two")) == (0, 0)
    again.close()
