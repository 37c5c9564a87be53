"""Any run: its chunks add up, stay under the rate, are short; any day: the bounds hold whatever the clocks do."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.schema import PumpLines
from common.errors import RigbusError
from common.pumps.decide import decide
from common.pumps.limits import DAY_NS, Ended, Now, Use, left, used
from common.pumps.plan import CHUNK_S, chunks, for_steps, steps_in
from common.pumps.requests import Motion

HZ = st.floats(1, 100_000)
RAMP = st.one_of(st.just(0.0), st.floats(1e-6, 10))


@settings(deadline=None)
@given(steps=st.integers(1, 50_000), hz=HZ, ramp_s=RAMP)
def test_chunks_add_up_and_stay_under_the_rate(steps, hz, ramp_s):
    found = list(chunks(steps, hz, ramp_s))
    assert sum(n for n, _ in found) == steps
    assert all(n >= 1 and 0 < rate <= hz * (1 + 1e-9) for n, rate in found)
    # a mean rate over the chunk's own time: a slow beginning may take a little longer than a chunk, never 50 ms
    assert all(n == 1 or n / rate <= 2.5 * CHUNK_S for n, rate in found)


@settings(deadline=None)
@given(steps=st.integers(1, 50_000), hz=HZ, ramp_s=RAMP)
def test_the_time_planned_is_the_time_of_the_chunks(steps, hz, ramp_s):
    plan = for_steps(steps, hz, ramp_s, None)
    took = sum(n / rate for n, rate in chunks(steps, hz, ramp_s))
    assert took <= plan.end_s, "it would be stopped before its end"
    assert math.isclose(took, plan.seconds, rel_tol=0.05, abs_tol=3 / hz + 3 * math.sqrt(ramp_s / hz))


@settings(deadline=None)
@given(seconds=st.floats(0.001, 60), hz=HZ, ramp_s=RAMP)
def test_a_time_is_never_exceeded(seconds, hz, ramp_s):
    steps = steps_in(seconds, hz, ramp_s)
    assert steps >= 0
    if steps:
        assert for_steps(steps, hz, ramp_s, None).seconds <= seconds * (1 + 1e-9)


class Machine:
    """Clocks that are set, and reboots: what the record would see."""

    def __init__(self):
        self.true_ns, self.offset_ns, self.boots = 0, 10**18, 0
        self.reboot()

    def reboot(self):
        self.boots += 1
        self.began_ns, self.boot_wall_ns = self.true_ns, self.true_ns + self.offset_ns

    def now(self):
        return Now(str(self.boots), self.true_ns - self.began_ns, self.boot_wall_ns)

    def ended(self, use):
        return Ended(use, str(self.boots), self.true_ns - self.began_ns, self.true_ns + self.offset_ns)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, DAY_NS)),
        st.tuples(st.just("set"), st.integers(-2 * DAY_NS, 2 * DAY_NS)),
        st.tuples(st.just("dose"), st.floats(0.01, 3)),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(EVENTS)
def test_in_any_24_hours_of_one_boot_no_more_than_the_bound(events):
    cfg = PumpLines(name="w", step=1, dir=2, en=3, steps_per_ml=1000.0, max_ml=3.0, max_ml_day=5.0)
    machine, runs, doses = Machine(), [], []
    for i, (kind, value) in enumerate(events):
        if kind == "wait":
            machine.true_ns += value
        elif kind == "set":
            machine.offset_ns += value
        else:
            motion = Motion(f"d{i}", "dispense", ("w",), "forward", None, None, value)
            try:
                plan = decide(motion, cfg, "sim", 1e5, None, left(cfg, used(runs, machine.now()))).plan
            except RigbusError:
                continue
            runs.append(machine.ended(Use(plan.steps, plan.seconds, plan.ml)))
            doses.append((machine.true_ns, plan.ml))
    for at, _ in doses:
        assert sum(ml for t, ml in doses if at - DAY_NS < t <= at) <= 5.0 + 1e-6


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(1, DAY_NS), st.just("reboot"), st.floats(0.01, 3)), max_size=40))
def test_over_reboots_with_a_clock_that_is_right(events):
    cfg = PumpLines(name="w", step=1, dir=2, en=3, steps_per_ml=1000.0, max_ml=3.0, max_ml_day=5.0)
    machine, runs, doses = Machine(), [], []
    for event in events:
        if event == "reboot":
            machine.reboot()
        elif isinstance(event, int):
            machine.true_ns += event
        elif left(cfg, used(runs, machine.now())).ml >= event:
            runs.append(machine.ended(Use(1, 1, event)))
            doses.append((machine.true_ns, event))
    for at, _ in doses:
        assert sum(ml for t, ml in doses if at - DAY_NS < t <= at) <= 5.0 + 1e-6
