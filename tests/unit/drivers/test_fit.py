"""The true rate of a chip by its count of samples, and stamps that follow it: against chips whose truth is known."""

import itertools
import random

import pytest

from common.drivers.fit import RateFit, Timeline

S = 10**9


class Truth:
    """A chip that makes samples at its own rate from `begin_ns` on."""

    def __init__(self, rate_hz, begin_ns=5 * S):
        self.step_ns, self.begin_ns = 1e9 / rate_hz, begin_ns

    def made(self, at_ns):
        return int((at_ns - self.begin_ns) / self.step_ns)

    def t_ns(self, index):
        return self.begin_ns + (index + 1) * self.step_ns


def follow(truth, nominal_hz, seconds, looks):
    """(fit, [(time of the look, first index, n, stamp, step)]) for looks at these times: (asked, answered)."""
    fit = RateFit(nominal_hz)
    line = Timeline(fit)
    done, told = 0, []
    for before, after in looks:
        made = truth.made((before + after) // 2)
        if made > done:
            fit.observe(made, before, after)
            t_ns, step_ns = line.block(done, made - done)
            told.append((after, done, made - done, t_ns, step_ns))
            done = made
        if after > truth.begin_ns + seconds * S:
            break
    return fit, told


def steady(truth, period_s=0.04, jitter_s=0.0, stall_every=0, seed=1):
    """Looks in a paced loop whose wake-ups are late by up to jitter_s, and by 100 ms each stall_every looks."""
    rng = random.Random(seed)
    for i in itertools.count(1):
        before = truth.begin_ns + round(i * period_s * 1e9) + round(rng.random() * jitter_s * 1e9)
        if stall_every and i % stall_every == 0:
            before += S // 10
        yield before, before + 150_000


def errors(truth, told, after_s):
    """Deviation of each sample's stamp from the truth, in steps."""
    return [
        (t_ns + k * step_ns - truth.t_ns(first + k)) / truth.step_ns
        for at, first, n, t_ns, step_ns in told
        if at > truth.begin_ns + after_s * S
        for k in range(n)
    ]


@pytest.mark.parametrize("off", [-0.03, -0.01, 0.0, 0.01, 0.03])
@pytest.mark.parametrize("jitter_s", [0.0, 0.005])
def test_the_rate_is_found_within_seconds(off, jitter_s):
    truth = Truth(800 * (1 + off))
    fit, _ = follow(truth, 800, 1, steady(truth, jitter_s=jitter_s))
    assert fit.rate_hz == pytest.approx(800 * (1 + off), rel=1e-3)
    fit, _ = follow(truth, 800, 10, steady(truth, jitter_s=jitter_s))
    assert fit.rate_hz == pytest.approx(800 * (1 + off), rel=3e-5)


@pytest.mark.parametrize("nominal_hz", [4.0, 10.0, 200.0, 1000.0])
def test_slow_chips_too(nominal_hz):
    truth = Truth(nominal_hz * 1.01)
    seconds = max(20, 300 / nominal_hz)
    fit, told = follow(truth, nominal_hz, seconds, steady(truth, max(0.04, 1 / nominal_hz), 0.003))
    assert fit.rate_hz == pytest.approx(nominal_hz * 1.01, rel=2e-3)
    assert max(map(abs, errors(truth, told, seconds / 2))) < 1.1


@pytest.mark.parametrize("off", [-0.03, 0.01, 0.03])
@pytest.mark.parametrize("stall_every", [0, 25])
def test_stamps_stay_within_a_sample_of_the_truth(off, stall_every):
    truth = Truth(800 * (1 + off))
    _, told = follow(truth, 800, 30, steady(truth, jitter_s=0.004, stall_every=stall_every))
    assert max(map(abs, errors(truth, told, 0))) < 4
    assert max(map(abs, errors(truth, told, 3))) < 1.0


@pytest.mark.parametrize("off", [-0.03, 0.03])
def test_blocks_follow_each_other_to_the_ns(off):
    truth = Truth(800 * (1 + off))
    _, told = follow(truth, 800, 20, steady(truth, jitter_s=0.01, stall_every=40))
    for (_, _, n, t_ns, step_ns), (_, _, _, t_next, _) in itertools.pairwise(told):
        assert t_next == t_ns + n * step_ns


def test_once_settled_the_step_changes_about_once_a_second():
    truth = Truth(808)
    _, told = follow(truth, 800, 40, steady(truth, jitter_s=0.002))
    steps = [step for at, _, _, _, step in told if at > truth.begin_ns + 10 * S]
    changes = sum(a != b for a, b in itertools.pairwise(steps))
    assert changes <= 32
    assert max(steps) - min(steps) < 2000


def test_a_rate_that_drifts_with_the_temperature_is_followed():
    class Warming(Truth):
        def made(self, at_ns):  # by 10 ppm a second
            x = (at_ns - self.begin_ns) / self.step_ns
            return int(x * (1 + 5e-6 * x / 800))

    truth = Warming(800)
    fit, told = follow(truth, 800, 100, steady(truth, jitter_s=0.003))
    assert fit.rate_hz == pytest.approx(800.8, rel=2e-4)
    for _, first, n, t_ns, step_ns in told[100:]:
        assert abs(truth.made(t_ns + n * step_ns) - (first + n)) <= 1


def test_a_look_that_was_interrupted_is_left_out():
    truth = Truth(808)
    looks = list(itertools.islice(steady(truth), 200))
    fit, clean = RateFit(800), RateFit(800)
    for i, (before, after) in enumerate(looks):
        made = truth.made(before)
        if i % 10 == 5:
            fit.observe(made, before, after + 50_000_000)
        else:
            fit.observe(made, before, after)
            clean.observe(made, before, after)
    assert fit.rate_hz == pytest.approx(clean.rate_hz, rel=1e-4)


def test_where_every_look_takes_long_they_are_what_there_is():
    truth = Truth(808)
    fit, _ = follow(truth, 800, 20, ((before, before + 20_000_000) for before, _ in steady(truth)))
    assert fit.rate_hz == pytest.approx(808, rel=1e-3)


def test_after_a_restart_the_rate_is_kept_and_the_phase_is_new():
    truth = Truth(808)
    fit, _ = follow(truth, 800, 20, steady(truth))
    rate = fit.rate_hz
    fit.restart()
    assert not fit.ready
    assert fit.rate_hz == rate
    fit.observe(17_000, 40 * S, 40 * S)
    assert fit.t_ns(16_999) == pytest.approx(40 * S, abs=1e9 / 800)
    assert fit.made(41 * S) == pytest.approx(17_808, abs=1)


def test_how_many_were_made_is_known_to_the_sample():
    truth = Truth(808)
    fit, _ = follow(truth, 800, 20, steady(truth, jitter_s=0.004))
    for ahead_ms in range(0, 2000, 37):
        at = truth.begin_ns + 20 * S + ahead_ms * 1_000_000
        assert abs(fit.made(at) - truth.made(at)) <= 1
