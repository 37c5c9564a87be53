"""An application that logs into a real rig: nothing is lost without an account, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import HERE, WAIT_S, Rig

TABLES = ("dds_commands", "dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events")
RECORDS = 7  # a round of telemetry_app.py


class App:
    """telemetry_app.py as a process on a rig."""

    def __init__(self, rig: Rig, *args: str, name: str = "robot") -> None:
        self.rig, self.progress = rig, rig.folder / f"{name}.progress"
        command = [sys.executable, str(HERE / "telemetry_app.py"), str(rig.run), str(self.progress), "--src", name]
        env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
        with (rig.folder / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )

    def lines(self) -> list[str]:
        return self.progress.read_text().splitlines() if self.progress.exists() else []

    @property
    def rounds(self) -> int:
        return sum(line.isdigit() for line in self.lines())

    def reach(self, rounds: int) -> None:
        self.rig.until(lambda: self.rounds >= rounds, f"{rounds} rounds are logged")

    def stop(self) -> str:
        """SIGTERM: its last line, what stop() said."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(WAIT_S) == 0, self.rig.tail()
        return self.lines()[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)


@pytest.fixture
def apps() -> Iterator[list[App]]:
    made: list[App] = []
    yield made
    for app in made:
        app.kill()


def counts(rig: Rig) -> dict[str, int]:
    return {table: rig.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def expected(rounds: int) -> dict[str, int]:
    return dict.fromkeys(TABLES, rounds) | {"smoother_state": 2 * rounds}


def streams(rig: Rig, src: str = "robot") -> list[tuple[int, int, int]]:
    """(stored, lost, closed) of each run of a source, in order."""
    query = (
        "SELECT stored, (SELECT coalesce(sum(count), 0) FROM ledger WHERE stream_id = s.id AND unit = 'frame'), closed "
        "FROM streams s WHERE src = ? ORDER BY id"
    )
    return [tuple(row) for row in rig.rows(query, src)]


def ended(rig: Rig, runs: int = 1, src: str = "robot") -> None:
    rig.until(lambda: len(found := streams(rig, src)) == runs and all(c for *_, c in found), f"{src}'s runs have ended")


def opened(rig: Rig) -> None:
    """The sink answers before it has opened its store, and an application that stops by itself waits for 3 s only."""
    rig.until(lambda: streams(rig) == [], "the store is open")


def passed(rig: Rig, app: App) -> None:
    """Until what is logged up to now is stored or accounted for: the 3 s of a stop are for the tail behind it."""
    due = app.rounds * RECORDS
    rig.until(lambda: streams(rig) and sum(streams(rig)[0][:2]) >= due, "what waited is stored or accounted for")


def test_what_an_application_logs_stands_in_the_six_tables(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    opened(rig)
    app = App(rig, "--to", "200")
    apps.append(app)
    assert app.process.wait(WAIT_S) == 0, rig.tail()
    assert app.lines()[-1] == "stopped True 0", rig.tail()
    ended(rig)
    rig.end()
    assert counts(rig) == expected(200)
    assert streams(rig) == [(200 * RECORDS, 0, 1)]
    [row] = rig.rows("SELECT seq, funcode, joint_id, target_value, data_json, raw_len FROM dds_commands WHERE seq = 30")
    assert row == (30, 1, 1, 3.0, '{"id":1,"angle":3.0}', 40)
    [joined] = rig.rows(
        "SELECT count(*) FROM dds_commands c JOIN web_requests w ON w.correlation_id = c.correlation_id"
    )
    assert joined == (200,)
    assert rig.check(totals=False) == {}


def test_the_bus_is_killed_in_the_middle(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    for _ in range(3):
        app.reach(app.rounds + 40)
        rig.kill("bus")
        app.reach(app.rounds + 40)
        rig.start("bus")
        rig.ready("bus")
    passed(rig, app)
    assert app.stop() == "stopped True 0", rig.tail()
    ended(rig)
    rig.end()
    assert counts(rig) == expected(app.rounds)
    assert streams(rig) == [(app.rounds * RECORDS, 0, 1)]
    rig.check(totals=False)


def test_the_sink_is_away_for_ten_seconds(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    app.reach(50)
    rig.kill("sink")
    time.sleep(10)
    rig.start("sink")
    rig.ready("sink")
    app.reach(app.rounds + 50)
    passed(rig, app)
    assert app.stop() == "stopped True 0", rig.tail()
    ended(rig)
    rig.end()
    assert counts(rig) == expected(app.rounds)
    rig.check(totals=False)


def test_an_application_that_is_there_before_the_rig(rig: Rig, apps: list[App]) -> None:
    app = App(rig)
    apps.append(app)
    app.reach(100)
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    rig.until(lambda: counts(rig)["system_events"] > 100, "what waited is being stored")
    passed(rig, app)
    assert app.stop() == "stopped True 0", rig.tail()
    ended(rig)
    rig.end()
    assert counts(rig) == expected(app.rounds)
    rig.check(totals=False)


def test_a_rig_that_never_comes(rig: Rig, apps: list[App]) -> None:
    app = App(rig, "--to", "10")
    apps.append(app)
    assert app.process.wait(WAIT_S) == 0, rig.tail()
    assert app.lines()[-1] == "stopped False 0"
    assert "of 70 records the last 70 are not known to be stored: there was no rig" in rig.tail()
    assert not rig.run.exists()


def test_what_memory_cannot_hold_is_in_the_ledger(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig, "--max-bytes", "100000", "--period", "0.002")
    apps.append(app)
    app.reach(20)
    rig.kill("sink")
    app.reach(app.rounds + 200)
    rig.start("sink")
    rig.ready("sink")
    app.reach(app.rounds + 20)
    passed(rig, app)
    said = app.stop()
    ended(rig)
    rig.end()
    [(stored, lost, closed)] = streams(rig)
    assert (stored + lost, closed) == (app.rounds * RECORDS, 1)
    assert sum(count for _, _, count, _ in rig.ledger("journal_full")) == lost >= 100 * RECORDS
    assert said.startswith("stopped False")
    rig.check(totals=False)


def killed(rig: Rig, app: App) -> tuple[int, int]:
    """(stored, lost) of the run of an application that was killed after at least app.rounds rounds."""
    [(stored, lost, closed)] = streams(rig)
    assert closed == 2
    assert app.rounds * RECORDS <= stored + lost <= (app.rounds + 1) * RECORDS
    return stored, lost


def test_a_killed_application_is_exact(rig: Rig, apps: list[App]) -> None:
    """Its frames died with its memory; its counter file tells how many."""
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    app.reach(100)
    # what it has only heard goes as lost, where it still catches up
    rig.until(lambda: streams(rig) and streams(rig)[0][0] >= 60 * RECORDS, "sixty rounds are stored")
    rig.signal("sink", signal.SIGSTOP)
    app.reach(app.rounds + 50)
    app.kill()
    rig.signal("sink", signal.SIGCONT)
    ended(rig)
    stored, lost = killed(rig, app)
    assert stored >= 60 * RECORDS
    assert sum(count for _, _, count, _ in rig.ledger("app_killed")) == lost
    rig.end()
    rig.check(totals=False)


def test_an_application_that_is_killed_while_the_sink_is_down(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    app.reach(100)
    rig.kill("sink")
    app.reach(app.rounds + 50)
    app.kill()
    account = rig.audit()
    assert account.code == 0, account
    assert account.of("robot", "lost") >= 50 * RECORDS  # before the sink has said so
    rig.start("sink")
    rig.ready("sink")
    ended(rig)
    _, lost = killed(rig, app)
    assert lost >= 50 * RECORDS
    rig.end()
    rig.check(totals=False)


def test_an_application_that_comes_back_under_its_name(rig: Rig, apps: list[App]) -> None:
    """The new process answers for the old one."""
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    first = App(rig)
    apps.append(first)
    first.reach(50)
    rig.until(lambda: streams(rig)[0][0] > 0, "the first one is stored")  # else nobody would ever hear of it
    rig.kill("sink")
    first.reach(first.rounds + 30)
    first.kill()
    before = first.rounds
    second = App(rig)
    apps.append(second)
    second.reach(before + 50)
    rig.start("sink")
    rig.ready("sink")
    # a stop waits 3 s at most for what is not stored
    rig.until(lambda: [run[0] > 0 for run in streams(rig)] == [True, True], "both are being stored")
    assert second.stop() == "stopped True 0", rig.tail()
    ended(rig, runs=2)
    old, new = streams(rig)
    assert old[1] >= 30 * RECORDS
    assert old[2] == 2
    assert new == ((second.rounds - before) * RECORDS, 0, 1)
    rig.end()
    rig.check(totals=False)


def test_an_application_that_stops_while_the_sink_is_down(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    app.reach(50)
    rig.kill("sink")
    app.reach(app.rounds + 30)
    assert app.stop().startswith("stopped False")
    rig.start("sink")
    rig.ready("sink")
    ended(rig)
    [(stored, lost, closed)] = streams(rig)
    assert (stored + lost, closed) == (app.rounds * RECORDS, 1)
    assert sum(count for _, _, count, _ in rig.ledger("app_stopped")) == lost > 0
    rig.end()
    rig.check(totals=False)


@pytest.mark.parametrize("sink_lives", [True, False])
def test_an_application_that_has_left_nothing(rig: Rig, apps: list[App], sink_lives: bool) -> None:
    """As after a reboot: what lay beyond the last known number nobody can know, and nobody claims to."""
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    app.reach(50)
    rig.until(lambda: streams(rig) and streams(rig)[0][0] > 20 * RECORDS, "something is stored")
    if not sink_lives:
        rig.stop("sink")
    app.kill()
    for name in ("robot.counter", "robot.lock", "robot.ctl.sock"):
        (rig.run / name).unlink()
    if not sink_lives:
        rig.start("sink")
        rig.ready("sink")
    ended(rig)
    rig.end()
    [(_, _, closed)] = streams(rig)
    assert closed == 3
    assert [(unit, count) for _, unit, count, _ in rig.ledger("app_gone") if count is None] == [("frame", None)]
    assert rig.audit().code == 1
    assert rig.audit("--allow-unknown").code == 0


def test_two_applications_of_one_name(rig: Rig, apps: list[App]) -> None:
    """The second is `robot-2`; neither takes the other's place."""
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    opened(rig)
    apps += [App(rig, "--to", "100"), App(rig, "--to", "100")]
    for app in apps:
        assert app.process.wait(WAIT_S) == 0, rig.tail()
    ended(rig, src="robot")
    ended(rig, src="robot-2")
    rig.end()
    assert counts(rig) == expected(200)
    rig.check(totals=False)


def test_the_run_folder_is_emptied_under_a_living_application(rig: Rig, apps: list[App]) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    app = App(rig)
    apps.append(app)
    app.reach(50)
    for path in Path(rig.run).glob("robot.*"):
        path.unlink()
    rig.until(lambda: (rig.run / "robot.ctl.sock").exists(), "the application is back")
    app.reach(app.rounds + 50)
    assert app.stop() == "stopped True 0", rig.tail()
    ended(rig)
    rig.end()
    assert streams(rig) == [(app.rounds * RECORDS, 0, 1)]
    rig.check(totals=False)
