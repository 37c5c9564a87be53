"""What every stepper driver must do (common/drivers/steppers.py: Stepper), with a motor that counts for itself.

Nothing here touches a real line: this machine may have a motor on it. The drivers for real lines are run against
libraries of the test's own, which keep their manners; on a kernel's lines they are counted in tests/lab/test_pump.py.
"""

import importlib
import sys
import threading
import time
import types
from enum import Enum

import pytest

from common import drivers
from common.config.schema import PumpConfig, PumpLines
from common.drivers.sim_motor import PREFIX, read
from common.drivers.steppers import Stalled
from common.errors import DeviceMissing

DRIVERS = ("sim", "lgpio", "gpiod", "rpigpio")
STEP, DIR, EN = 16, 6, 17


class Chip:
    """Lines of a chip, and the motor on them: it counts rising edges of STEP while EN is active (low)."""

    def __init__(self):
        self.level, self.held, self.log = {}, set(), []
        self.made = self.signed = 0

    def claim(self, line, level):
        if line in self.held:
            raise OSError(16, "Device or resource busy")
        self.held.add(line)
        self.set(line, level)

    def set(self, line, level):
        if line == STEP and level and not self.level.get(STEP) and not self.level.get(EN, 1):
            self.made += 1
            self.signed += 1 if self.level[DIR] else -1
        self.level[line] = int(level)
        if line != STEP:
            self.log.append((line, int(level)))


def fake_gpiod(chip):
    gpiod, line = types.ModuleType("gpiod"), types.ModuleType("gpiod.line")
    line.Direction = Enum("Direction", "INPUT OUTPUT")
    line.Value = Enum("Value", {"INACTIVE": 0, "ACTIVE": 1})
    gpiod.LineSettings = lambda direction, output_value: output_value.value

    class Request:
        def __init__(self, lines):
            self._lines = lines

        def set_value(self, number, value):
            chip.set(number, value.value)

        def release(self):
            chip.held -= set(self._lines)

    def request_lines(path, consumer, config):
        if chip.held & set(config):
            raise OSError(16, "Device or resource busy")
        for number, level in config.items():
            chip.claim(number, level)
        return Request(config)

    gpiod.request_lines, gpiod.line = request_lines, line
    return {"gpiod": gpiod, "gpiod.line": line}


def fake_rpigpio(chip):
    package, gpio = types.ModuleType("RPi"), types.ModuleType("RPi.GPIO")
    gpio.BCM, gpio.OUT = 11, 0
    gpio.setwarnings = gpio.setmode = lambda _: None
    gpio.setup = lambda number, _, initial: chip.claim(number, initial)
    gpio.output = chip.set
    gpio.cleanup = lambda numbers: chip.held.difference_update(numbers)
    package.GPIO = gpio
    return {"RPi": package, "RPi.GPIO": gpio}


def fake_lgpio(chip):
    """A thread makes the pulses that are queued, as lgPthTx.c does; 0 pulses would have no end."""
    lgpio = types.ModuleType("lgpio")
    lgpio.error, lgpio.TX_PWM = type("error", (Exception,), {}), 0
    queue, lock = [], threading.Lock()

    def tx_pulse(_, line, on_us, off_us, offset, cycles):
        assert on_us > 0
        assert off_us > 0
        assert offset == 0
        assert cycles > 0, "0 is for ever"
        with lock:
            assert len(queue) < 10
            queue.append([line, (on_us + off_us) / 1e6, cycles])
            if len(queue) == 1:
                threading.Thread(target=make, daemon=True).start()
            return 10 - len(queue)

    def make():
        due = time.monotonic()
        while True:
            with lock:
                if not queue:
                    return
                entry = queue[0]
                chip.set(entry[0], 1)
                chip.set(entry[0], 0)
                entry[2] -= 1
            due += entry[1]
            time.sleep(max(0.0, due - time.monotonic()))
            if not entry[2]:
                with lock:
                    queue.pop(0)

    def claim(_, line, level):
        try:
            chip.claim(line, level)
        except OSError:
            raise lgpio.error("'GPIO busy'") from None
        return 0

    lgpio.gpiochip_open = lambda number: 0
    lgpio.gpiochip_close = lambda _: chip.held.clear()
    lgpio.gpio_claim_output = claim
    lgpio.gpio_write = lambda _, line, level: chip.set(line, level) or 0
    lgpio.tx_pulse, lgpio.tx_busy, lgpio.tx_room = tx_pulse, lambda *_: int(bool(queue)), lambda *_: 10 - len(queue)
    return {"lgpio": lgpio}


FAKES = {"gpiod": fake_gpiod, "rpigpio": fake_rpigpio, "lgpio": fake_lgpio}


class Bench:
    """A driver, and the motor that it drives."""

    def __init__(self, name, folder, monkeypatch):
        self.name, self.folder, self.chip = name, folder, None
        if name != "sim":
            self.chip = Chip()
            for module, fake in FAKES[name](self.chip).items():
                monkeypatch.setitem(sys.modules, module, fake)
            module = drivers.STEPPERS[name].partition(":")[0]
            monkeypatch.delitem(sys.modules, module, raising=False)
            importlib.import_module(module)
        self.cfg = PumpConfig(driver=name, priority=0)

    def open(self, **more):
        return drivers.open_stepper(self.cfg, PumpLines(name="water", step=STEP, dir=DIR, en=EN, **more), self.folder)

    @property
    def made(self):
        return self.chip.made if self.chip else read(self.folder / f"{PREFIX}water").made

    @property
    def signed(self):
        return self.chip.signed if self.chip else read(self.folder / f"{PREFIX}water").steps

    @property
    def enabled(self):
        return self.chip.level.get(EN, 1) == 0 if self.chip else read(self.folder / f"{PREFIX}water").enabled


STALL_LIMIT = "common.drivers.steppers.STALL_S"
PATIENT_S = 5.0  # instead: a busy machine keeps a test from running for longer than a real run may be


@pytest.fixture(params=DRIVERS)
def bench(request, tmp_path, monkeypatch):
    monkeypatch.setattr(STALL_LIMIT, PATIENT_S)  # before the drivers are imported anew, which take it along
    bench = Bench(request.param, tmp_path, monkeypatch)
    yield bench
    if request.param != "sim":  # what was imported with a library of the test's own must not stay
        sys.modules.pop(drivers.STEPPERS[request.param].partition(":")[0], None)


def test_every_shipped_driver_is_tested_here():
    assert set(DRIVERS) == set(drivers.STEPPERS)


def test_made_with_en_inactive_and_left_so(bench):
    with bench.open() as stepper:
        assert not bench.enabled
        assert stepper.max_hz >= 1
        count = [0]
        stepper.enable(True, count)
        assert bench.enabled
    assert not bench.enabled


def test_steps_are_counted_and_exact(bench):
    with bench.open() as stepper:
        count = [0]
        stepper.enable(True, count)
        for n, hz in ((1, 100), (7, 200), (20, 500), (13, 400)):
            stepper.train(n, hz)
        stepper.finish()
        assert (count[0], bench.made, bench.signed) == (41, 41, 41)
        stepper.release()
        assert not bench.enabled
        again = [0]
        stepper.enable(False, again)
        stepper.train(10, 500)
        stepper.finish()
        assert (again[0], bench.made, bench.signed) == (10, 51, 31)


def test_a_train_takes_its_time(bench):
    """Never faster than asked, whatever a machine does; how much slower is its own affair."""
    with bench.open() as stepper:
        stepper.enable(True, [0])
        begun = time.monotonic()
        for _ in range(10):
            stepper.train(10, 500)
        stepper.finish()
        assert time.monotonic() - begun >= 0.9 * 100 / 500


def test_release_from_another_thread_ends_a_train(bench):
    with bench.open() as stepper:
        count, released = [0], []

        def release():
            time.sleep(0.1)
            stepper.release()
            released.append(bench.made)

        thread = threading.Thread(target=release)
        stepper.enable(True, count)
        thread.start()
        while not released:
            stepper.train(2, 100)
        thread.join()
        stepper.finish()
        assert not bench.enabled
        assert bench.made == released[0], "a step after EN was released"
        # a driver with a queue of its own sends what is in it to its end, unseen by the motor
        assert 0 <= count[0] - bench.made <= (4 if bench.name == "lgpio" else 0)


def test_after_release_nothing_moves_and_nothing_hangs(bench):
    with bench.open() as stepper:
        stepper.enable(True, [0])
        stepper.release()
        stepper.release()
        for _ in range(5):
            stepper.train(100, 10)
        stepper.finish()
        assert bench.made == 0


def test_without_enable_nothing_moves(bench):
    with bench.open() as stepper:
        stepper.train(100, 10)
        stepper.finish()
        assert bench.made == 0


def test_no_steps_are_no_steps(bench):
    with bench.open() as stepper:
        count = [0]
        stepper.enable(True, count)
        stepper.train(0, 100)
        stepper.finish()
        assert (count[0], bench.made) == (0, 0)


def test_a_slow_step_does_not_keep_a_release_waiting(bench):
    with bench.open() as stepper:
        stepper.enable(True, [0])
        thread = threading.Thread(target=lambda: [stepper.train(1, 1) for _ in range(60)])
        thread.start()
        time.sleep(0.1)
        stepper.release()
        thread.join(5)
        assert not thread.is_alive()
        assert bench.made <= 2


def test_the_levels_of_en_and_dir_are_the_configurations(bench):
    with bench.open(en_active="high", dir_forward="low") as stepper:
        if bench.chip:
            assert (bench.chip.level[EN], bench.chip.level[DIR]) == (0, 0)
            stepper.enable(False, [0])
            # DIR stands before the motor is powered
            assert bench.chip.log[-2:] == [(DIR, 1), (EN, 1)]
            stepper.release()
            assert bench.chip.level[EN] == 0
        else:
            stepper.enable(False, [0])
            assert bench.enabled
            stepper.train(3, 500)
            assert bench.signed == -3


def test_two_do_not_get_the_same_motor(bench):
    with bench.open(), pytest.raises(DeviceMissing) as told:
        bench.open()
    assert "water" in str(told.value)
    assert "\n" not in str(told.value)
    bench.open().close()


def test_closing_twice_is_no_fault(bench):
    stepper = bench.open()
    stepper.close()
    stepper.close()


def test_a_process_that_was_away_does_not_go_on(bench, monkeypatch):
    """As after SIGSTOP and SIGCONT: the clock has jumped between two looks at it."""
    with bench.open() as stepper:
        count = [0]
        stepper.enable(True, count)
        stepper.train(2, 100)
        real, looks = time.monotonic_ns, [0]

        def jumped():
            looks[0] += 1
            return real() + (10**10 if looks[0] > 3 else 0)

        monkeypatch.setattr(time, "monotonic_ns", jumped)
        monkeypatch.setattr(time, "monotonic", lambda: jumped() / 1e9)

        def feed():
            for _ in range(5):
                stepper.train(10, 100)

        with pytest.raises(Stalled):
            feed()
        monkeypatch.undo()
        stepper.release()
        stepper.finish()
        assert count[0] < 50


def test_the_simulated_motor_keeps_10_khz(tmp_path, monkeypatch):
    monkeypatch.setattr(STALL_LIMIT, PATIENT_S)
    cfg = PumpConfig()
    with drivers.open_stepper(cfg, PumpLines(name="w", step=STEP, dir=DIR, en=EN), tmp_path) as stepper:
        count = [0]
        stepper.enable(True, count)
        for _ in range(25):
            stepper.train(200, 10_000)
        stepper.release()
    motor = read(tmp_path / f"{PREFIX}w")
    assert (motor.made, motor.edges, count[0], len(motor.times_ns)) == (5000, 5000, 5000, 5000)
    gaps = sorted(b - a for a, b in zip(motor.times_ns, motor.times_ns[1:], strict=False))
    # never faster than asked, however late the machine was
    assert gaps[0] >= 100_000
    assert gaps[len(gaps) // 2] == 100_000
    assert motor.ml == pytest.approx(5000 / 3000 * 0.99, rel=1e-6)


def test_a_simulated_motor_outlives_its_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(STALL_LIMIT, PATIENT_S)
    for expected in (5, 10):
        with drivers.open_stepper(PumpConfig(), PumpLines(name="w", step=1, dir=2, en=3), tmp_path) as stepper:
            stepper.enable(True, [0])
            stepper.train(5, 1000)
        assert read(tmp_path / f"{PREFIX}w").made == expected
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(ValueError, match="no simulated motor"):
        read(tmp_path / "x")
