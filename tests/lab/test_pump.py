"""Pump steps on kernel GPIO outputs, counted where the kernel sets the line; killed and stopped, the line stands still.

The unit is the one that ships, with a drop-in for the guest's paths. gpio-sim raises no edge for outputs, so each call
of its own functions that set a level is counted, by line and level: no reader of ours takes part in it.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import Report
from .rig import CONFIG, PYTHON, RIGBUS, RUN, START_S, UNIT
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
OTHERS = (pytest.param(name, marks=pytest.mark.slow) for name in ("rpigpio", "lgpio"))
DRIVERS = pytest.mark.parametrize("driver", ["gpiod", *OTHERS])
STEP, DIR, EN = 16, 6, 17
DATA = "/var/lib/rig"
HZ = 50
PATHS = f"--config {CONFIG} --data {DATA} --run-dir {RUN}"
TRACING = "/sys/kernel/tracing"
PROBES = f"""
echo 'p:level gpio_sim_set line=$arg2:u32 level=$arg3:s32' >> {TRACING}/kprobe_events
echo 'p:levels gpio_sim_set_multiple mask=+0($arg2):x64 bits=+0($arg3):x64' >> {TRACING}/kprobe_events
echo 'p:output gpio_sim_direction_output line=$arg2:u32 level=$arg3:s32' >> {TRACING}/kprobe_events
echo 'hist:keys=line,level' > {TRACING}/events/kprobes/level/trigger
echo 'hist:keys=line,level' > {TRACING}/events/kprobes/output/trigger
echo 'hist:keys=mask,bits' > {TRACING}/events/kprobes/levels/trigger
"""
DROP_IN = f"""
[Service]
User=root
Group=root
SupplementaryGroups=
ExecCondition=
Environment=RPI_LGPIO_CHIP=0 RPI_LGPIO_REVISION=c03114 LG_WD={RUN}
WorkingDirectory={RUN}
ExecStart=
ExecStart={PYTHON} -m daemons.pump {PATHS}
ExecStopPost=
ExecStopPost=-{PYTHON} -m common.pumps.release {PATHS}
Restart=no
TimeoutStopSec=60
ProtectSystem=no
PrivateTmp=no
StateDirectory=
"""


class Lab:
    """Bus, sink, and the pump's own unit in the guest."""

    def __init__(self, guest: Guest, driver: str) -> None:
        self.guest = guest
        guest.put(
            CONFIG,
            f'node = "lab"\n[pump]\ndriver = "{driver}"\nchip = "/dev/gpiochip0"\n[[pump.pump]]\nname = "water"\n'
            f"step = {STEP}\ndir = {DIR}\nen = {EN}\nhz = {HZ}\nramp_s = 0.1\nsteps_per_ml = 20\n",
        )
        unit = Path(__file__).parents[2] / "systemd/rigbus-pump.service"
        guest.put("/etc/systemd/system/rigbus-pump.service", unit.read_text())
        guest.put("/etc/systemd/system/rigbus-pump.service.d/lab.conf", DROP_IN)
        guest.put("/etc/systemd/system/rig@.service", UNIT.replace("DATA", DATA))
        # the resistor that docs/safety.md asks for: EN is inactive where nobody drives it
        guest.sh(f"echo pull-up > /run/lab/gpio/sim_gpio{EN}/pull; mkdir -p {RUN} {DATA}; systemctl daemon-reload")
        guest.sh(PROBES)
        guest.sh("systemctl start rig@bus rig@sink", START_S)

    def start(self) -> None:
        self.guest.sh("systemctl start rigbus-pump", START_S)
        self.guest.until(f"{RIGBUS} pump status {PATHS} >/dev/null 2>&1", START_S, "the pump's daemon can be asked")

    def pump(self, words: str) -> dict[str, Any]:
        """The JSON answer of `rigbus pump`, whatever its exit code."""
        found: dict[str, Any] = json.loads(
            self.guest.sh(f"{RIGBUS} pump {words} --json {PATHS} 2>/run/pump.err; true", 180)
        )
        return found

    def begin(self, command_id: str) -> None:
        """A run of half a minute, asked for by somebody who then waits in the background."""
        ask = f"{RIGBUS} pump prime water 30s --id {command_id} {PATHS}"
        self.guest.sh(f"systemd-run -q --unit=ask-{command_id} {ask}")

    def sets(self, line: int, level: int) -> int:
        """How often the kernel set a line to a level, in either way, as an output already."""
        one = self._hist("level", rf"line: +{line}, level: +{level} ")
        many = 0
        for mask, bits, hits in re.findall(
            r"mask: +(\d+), bits: +(\d+) \} +hitcount: +(\d+)",
            self.guest.sh(f"cat {TRACING}/events/kprobes/levels/hist"),
        ):
            if int(mask) >> line & 1 and int(bits) >> line & 1 == level:
                many += int(hits)
        return one + many

    def outputs(self, line: int, level: int) -> int:
        """How often a line was made an output of that level."""
        return self._hist("output", rf"line: +{line}, level: +{level} ")

    def _hist(self, event: str, key: str) -> int:
        text = self.guest.sh(f"cat {TRACING}/events/kprobes/{event}/hist")
        return sum(int(hits) for hits in re.findall(rf"{key}\}} +hitcount: +(\d+)", text))

    @property
    def steps(self) -> int:
        return self.sets(STEP, 1)

    def en(self) -> int:
        return int(self.guest.sh(f"cat /run/lab/gpio/sim_gpio{EN}/value"))

    def moving(self, least: int) -> None:
        end = time.monotonic() + START_S
        while self.steps < least:
            assert time.monotonic() < end, "it does not move"

    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = self.pump("status")["pumps"][0]["last"]
        return found

    def stands(self) -> int:
        """Steps so far; fails where one more comes in three seconds."""
        before, level = self.steps, self.guest.sh(f"cat /run/lab/gpio/sim_gpio{STEP}/value")
        self.guest.sh("sleep 3")
        assert self.steps == before
        assert self.guest.sh(f"cat /run/lab/gpio/sim_gpio{STEP}/value") == level
        return before


@DRIVERS
def test_steps_on_kernel_lines(driver: str, guest: Guest, report: Report) -> None:
    """Counted by the kernel = made = reported, for a run that is done and for one that is stopped."""
    lab = Lab(guest, driver)
    lab.start()
    assert lab.en() == 1
    # an emulated machine may stand still for longer than a run survives: then it is stopped, and counted all the same
    counted = 0
    for attempt in range(6):
        (run,) = lab.pump(f"dispense water 5 --id d{attempt}")["runs"]
        assert lab.steps - counted == run["steps"], run
        counted = lab.steps
        if run["state"] == "done":
            break
        assert run["reason"] == "stalled", run
    assert (run["state"], run["steps"], lab.en()) == ("done", 100, 1)
    # faster than an emulated machine can promise, with chunks of many steps: however it ends, it is counted
    (fast,) = lab.pump("dispense water 25 --hz 500 --id fast")["runs"]
    assert lab.steps - counted == fast["steps"], fast
    assert fast["state"] == "done" or fast["reason"] in ("stalled", "limit"), fast
    counted = lab.steps
    lab.begin("s")
    lab.moving(counted + 20)
    lab.pump("stop water")
    guest.until("! systemctl -q is-active ask-s", 60, "whoever asked has his answer")
    stopped = lab.last()
    made = lab.stands() - counted
    report(kernel=lab.steps, done=run["steps"], fast=f"{fast['steps']} {fast['state']}", stopped=stopped["steps"])
    assert (stopped["state"], stopped["steps"], lab.en()) == ("stopped", made, 1)


@DRIVERS
def test_killed_in_a_run(driver: str, guest: Guest, report: Report) -> None:
    """SIGKILL: no step more, ExecStopPost makes EN inactive, the intent is closed with the steps that were made."""
    lab = Lab(guest, driver)
    lab.start()
    lab.begin("k")
    lab.moving(20)
    assert lab.en() == 0
    released = lab.outputs(EN, 1)
    guest.sh("systemctl kill -s KILL rigbus-pump")
    guest.until("! systemctl -q is-active rigbus-pump", 60, "the unit has ended")
    made = lab.stands()
    assert lab.en() == 1
    assert lab.outputs(EN, 1) > released, "ExecStopPost did not make EN inactive"
    lab.start()
    last = lab.last()
    assert (last["command_id"], last["state"], last["reason"]) == ("k", "stopped", "crash")
    report(kernel=made, reported=last["steps"])
    # lgpio counts a chunk when it is sent: two of 20 ms, here one step each, may be on the line and not counted yet
    assert made - (2 if driver == "lgpio" else 1) <= last["steps"] <= made
    assert lab.stands() == made, "it was resumed"


@DRIVERS
@pytest.mark.slow
def test_stopped_by_sigstop_in_a_run(driver: str, guest: Guest, report: Report) -> None:
    """SIGSTOP: no step more. systemd's watchdog then kills the daemon, and EN is released."""
    lab = Lab(guest, driver)
    lab.start()
    lab.begin("z")
    lab.moving(20)
    guest.sh("systemctl kill -s STOP rigbus-pump")
    guest.sh("sleep 0.3")
    made = lab.stands()
    guest.until("! systemctl -q is-active rigbus-pump", 60, "the watchdog ends it")
    assert guest.sh("systemctl show -P Result rigbus-pump").strip() == "watchdog"
    assert (lab.stands(), lab.en()) == (made, 1)
    lab.start()
    last = lab.last()
    report(kernel=made, reported=last["steps"])
    assert (last["state"], last["reason"]) == ("stopped", "crash")


@DRIVERS
def test_a_line_that_somebody_else_holds(driver: str, guest: Guest) -> None:
    """One line that says so, and exit code 69."""
    lab = Lab(guest, driver)
    hold = f"import gpiod, time; r = gpiod.request_lines('/dev/gpiochip0', config={{{STEP}: None}}); time.sleep(600)"
    guest.sh(f'systemd-run -q --unit=holder {PYTHON} -c "{hold}"')
    guest.until('gpioinfo | grep -q "GPIO16.*\\[used"', 60, "the line is held")
    out = guest.sh(
        f"cd {RUN}; RPI_LGPIO_CHIP=0 RPI_LGPIO_REVISION=c03114 {PYTHON} -m daemons.pump {PATHS}; echo $?", 120
    )
    line, code = out.strip().splitlines()
    assert code == "69", out
    assert "water" in line
    assert "busy" in line.lower()
    assert lab.steps == 0
