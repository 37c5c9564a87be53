"""An MPU6050 on the kernel's I2C bus (/dev/i2c-1, i2c-pi-sim.c): all that it makes is stored or in the ledger.

The kernel's chip numbers its samples, so that the store alone tells what is missing, and where.
"""

import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from common.store import chunks

from .conftest import Report
from .rig import CONFIG, RIGBUS, RUN, START_S, UNIT
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

DATA = "/var/lib/rig"
CHIP = "/sys/kernel/debug/i2c-pi/0x68"
DB = f"sqlite3 -cmd '.timeout 5000' {DATA}/rigbus.db"
MADE_HZ = 808  # nominal 800: a chip's clock is off by about 1 %
NACK, TIMEOUT = 121, 110
TOML = """
node = "lab"
[highspeed]
driver = "mpu6050"
mode = "{mode}"
rate_hz = {rate_hz}
"""


@dataclass
class Row:
    """A ledger row of unit `sample`."""

    cause: str
    count: int | None
    from_ns: int
    to_ns: int


class Bench:
    """The chip on the guest's bus and the daemons, each a service that nobody restarts."""

    def __init__(self, guest: Guest, mode: str, rate_hz: float) -> None:
        self.guest = guest
        guest.put(CONFIG, TOML.format(mode=mode, rate_hz=rate_hz))
        guest.put("/etc/systemd/system/rig@.service", UNIT.replace("DATA", DATA))
        guest.sh(f"mkdir -p {RUN} {DATA} && systemctl daemon-reload")
        guest.sh("echo 400000 > /sys/module/i2c_pi_sim/parameters/hz")
        self.power_up()

    def power_up(self) -> None:
        """The registers as after power-on, and the chip on the bus."""
        self.guest.sh(
            f"head -c 256 /dev/zero > {CHIP}/regs; echo {MADE_HZ} > {CHIP}/fifo_hz"
            f" && printf '\\x68' | dd of={CHIP}/regs bs=1 seek={0x75} conv=notrunc status=none"
            f" && printf '\\x40' | dd of={CHIP}/regs bs=1 seek={0x6B} conv=notrunc status=none"
            f" && echo Y > {CHIP}/present"
        )

    def fail(self, number: int, times: int) -> None:
        """The next transfers end with this errno; 0: until another call."""
        self.guest.sh(f"echo {times} > {CHIP}/err_n; echo {number} > {CHIP}/err")

    def start(self) -> None:
        self.guest.sh("systemctl start rig@bus rig@sink rig@highspeed", START_S)
        self.guest.until(f"[ -s {DATA}/rigbus.db ]", START_S, "the sink has made the store")
        self.more(1)

    def more(self, n: int) -> None:
        """Until n samples more are stored."""
        count = "select coalesce(sum(n), 0) from sample_chunks"
        wanted = int(self.guest.sh(f"{DB} '{count}' 2>/dev/null || echo 0", check=False).split()[-1]) + n
        enough = f"[ \"$({DB} '{count}' 2>/dev/null || echo 0)\" -ge {wanted} ]"
        self.guest.until(enough, START_S, f"{wanted} samples are stored")

    def pid(self) -> str:
        return self.guest.sh("systemctl show -p MainPID --value rig@highspeed").strip()

    def stop(self) -> None:
        for daemon in ("highspeed", "sink", "bus"):
            self.guest.sh(f"systemctl stop rig@{daemon}", 90)

    def audit(self) -> int:
        return int(
            self.guest.sh(f"{RIGBUS} audit --config {CONFIG} --data {DATA} --run-dir {RUN} >&2; echo $?").split()[-1]
        )


class Stored:
    """The store, read on the host."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.numbers: list[int] = []
        self.rates: list[float] = []
        for n, axes, dtype, data, rate_hz in db.execute(
            "select n, 3, dtype, data, rate_hz from sample_chunks order by t_ns"
        ):
            x, y, z = np.asarray(chunks.decode(data, n, axes, dtype)).reshape(n, 3).T.astype(int)
            assert set(z) == {0x4000}, "not a whole sample of this chip"
            self.numbers += (x + (y << 15)).tolist()
            self.rates.append(rate_hz)
        query = "select cause, count, from_t_ns, to_t_ns from ledger where unit = 'sample' order by from_t_ns"
        self.lost = [Row(*row) for row in db.execute(query)]

    def of(self, cause: str) -> list[Row]:
        return [row for row in self.lost if row.cause == cause]

    def missing(self) -> int:
        return self.numbers[-1] - self.numbers[0] + 1 - len(self.numbers)

    def told(self) -> int:
        assert all(row.count is not None for row in self.lost)
        return sum(row.count or 0 for row in self.lost)


def stored(guest: Guest, tmp_path: Path) -> Stored:
    db = guest.get_sqlite(f"{DATA}/rigbus.db", tmp_path / "rigbus.db")
    try:
        return Stored(db)
    finally:
        db.close()


def test_every_sample_of_the_fifo_is_stored_or_told_as_lost(guest: Guest, tmp_path: Path, report: Report) -> None:
    bench = Bench(guest, "fifo", 800)
    bench.start()
    pid = bench.pid()
    bench.more(1600)
    bench.fail(NACK, 3)
    bench.more(800)
    bench.fail(TIMEOUT, 2)
    bench.more(800)
    bench.fail(TIMEOUT, 0)  # the bus locks up
    guest.sh("sleep 4")
    bench.fail(0, 0)
    bench.more(800)
    guest.sh(f"echo N > {CHIP}/present; sleep 3")  # gone, and back without power in between
    bench.power_up()
    bench.more(1600)
    assert bench.pid() == pid, "it was restarted"
    bench.stop()
    code, found = bench.audit(), stored(guest, tmp_path)
    report(
        stored=len(found.numbers),
        missing=found.missing(),
        told=found.told(),
        rows=", ".join(f"{row.cause} {row.count}" for row in found.lost),
        rate_hz=round(found.rates[-1], 2),
        audit_exit=code,
    )
    assert all(a < b for a, b in pairwise(found.numbers)), "doubled, or out of order"
    assert {"nack", "bus_timeout"} <= {row.cause for row in found.lost}
    assert max(row.count or 0 for row in found.of("bus_timeout")) > 3 * MADE_HZ
    assert max(row.count or 0 for row in found.of("nack")) > 2 * MADE_HZ
    # each loss is reckoned from the fitted rate; the emulated clock is a rough one
    assert found.told() == pytest.approx(found.missing(), rel=0.02, abs=3 * len(found.lost))
    assert found.rates[-1] == pytest.approx(MADE_HZ, rel=0.02)
    assert code == 0


def test_polled_what_fails_beyond_the_retries_is_counted(guest: Guest, tmp_path: Path, report: Report) -> None:
    bench = Bench(guest, "polled", 50)
    bench.start()
    bench.more(100)
    pid = bench.pid()
    bench.fail(NACK, 20)
    bench.more(100)
    bench.fail(TIMEOUT, 20)
    bench.more(100)
    assert bench.pid() == pid, "it was restarted"
    bench.stop()
    code, found = bench.audit(), stored(guest, tmp_path)
    report(
        stored=len(found.numbers),
        rows=", ".join(f"{row.cause} {row.count}" for row in found.lost),
        audit_exit=code,
    )
    assert all(a < b for a, b in pairwise(found.numbers)), "doubled, or out of order"
    for cause in ("nack", "bus_timeout"):
        rows = found.of(cause)
        assert rows, f"no {cause} was told"
        for row in rows:
            assert row.count
            assert row.count <= round((row.to_ns - row.from_ns) / 1e9 * 50) + 1
    assert code == 0
