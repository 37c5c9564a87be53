"""The units under a real systemd: ready, watched, limited, locked down, and nothing lost by stopping any of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Report
from .rig import counting
from .units import ALL, Units
from .vm import Guest, GuestError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

STATUS = {
    "bus": "forwards for .*sink.*",
    "sink": "storing, [0-9]+ frames, .*",
    "pulse": "import [0-9]+, 0 lost, journal [0-9.]+ MB",
    "highspeed": "10[0-9.]+ Hz, driver mpu6050, .*lost, journal [0-9.]+ MB",
    "thermostat": "away refused, .*lost, journal [0-9.]+ MB",
    "pump": "idle, 0 lost, journal [0-9.]+ MB",
    "dds": "no angles, 0 lost, journal [0-9.]+ MB",
    "gateway": r"http://127.0.0.1:8000, 0 viewers, 0 lost, journal [0-9.]+ MB",
}
NO_NETWORK = {"bus", "pulse", "highspeed", "pump"}
DEVICES = {"pulse": "/dev/gpiochip0", "pump": "/dev/gpiochip0", "highspeed": "/dev/i2c-1"}
ASK = """
import sys, urllib.request, urllib.error
headers = {"Authorization": sys.argv[1]} if sys.argv[1:] else {}
request = urllib.request.Request("http://127.0.0.1:8000/api/status", headers=headers)
try:
    print(urllib.request.urlopen(request, timeout=60).status)
except urllib.error.HTTPError as e:
    print(e.code)
"""


@pytest.fixture
def guest(lab: Path) -> Iterator[Guest]:
    with counting(lab, "installed") as guest:
        yield guest


@pytest.fixture
def units(guest: Guest) -> Units:
    return Units(guest)


def test_all_of_them_ready_watched_and_locked_down(units: Units, guest: Guest, tmp_path: Path, report: Report) -> None:
    units.configure("pulse", "highspeed", "thermostat", "pump", "dds", "gateway")
    guest.put("/etc/rigbus/.env", "RIGBUS_READ_TOKEN=lab-token\n", 0o600)
    guest.sh("mkdir -p /home/pi && echo secret > /home/pi/secret && chmod -R a+rX /home/pi")
    guest.put("/opt/lab/ask.py", ASK)
    began = float(guest.sh("cut -d' ' -f1 /proc/uptime"))
    units.systemctl("start rigbus.target")
    for name in ALL:
        units.until(name, "ActiveState", "active")
    took = float(guest.sh("cut -d' ' -f1 /proc/uptime")) - began
    for name, status in STATUS.items():
        units.until(name, "StatusText", status)
    units.toggle(40)
    units.wait_pulses(40)
    units.wait_rows("select coalesce(sum(n), 0) from sample_chunks", 200)

    for name in ALL:
        _look_at(units, guest, name)
    # the gateway has the token, whose file only root may read
    assert guest.sh("python3 -SE /opt/lab/ask.py", 120).split()[-1] == "401"
    assert guest.sh("python3 -SE /opt/lab/ask.py 'Bearer lab-token'", 120).split()[-1] == "200"
    journal = guest.sh("cat /sys/fs/cgroup/rigbus.slice/rigbus-pulse.service/memory.stat | grep ^shmem\\ ")
    assert int(journal.split()[1]) >= 4 << 20, "the journal in memory is none of the unit's memory"

    # not configured any more: it rests, and nothing has failed
    units.configure("pulse", "highspeed", "thermostat", "pump", "gateway")
    units.systemctl("restart rigbus-dds")
    assert (units.show("dds", "ActiveState"), units.show("dds", "Result")) == ("inactive", "exec-condition")
    # a file that is wrong: refused by a reload, and the old one stays; a start fails at once, and is not tried again
    units.write("[pulse]\ndriver = 5\n")
    pid = units.pid("pulse")
    with pytest.raises(GuestError):
        units.systemctl("reload rigbus-pulse")
    units.until("pulse", "ActiveState", "active")
    assert units.pid("pulse") == pid
    units.systemctl("restart rigbus-thermostat", check=False)
    units.until("thermostat", "ActiveState", "failed")
    assert units.show("thermostat", "ExecMainStatus") == "78"
    assert "rigbus.toml:2: pulse.driver" in units.said("thermostat")
    assert units.show("thermostat", "NRestarts") == "0"

    units.stop()
    units.configure("pulse", "highspeed", "thermostat", "pump", "dds", "gateway")
    code, audit = units.audit()
    totals, kernel = units.totals(tmp_path), units.kernel_edges()
    report(active_after_s=round(took), kernel=kernel, stored=len(totals), audit_exit=code)
    assert totals == list(range(1, kernel + 1))
    assert code == 0, audit
    for name in ALL:
        assert units.show(name, "NRestarts") == "0", name


def _look_at(units: Units, guest: Guest, name: str) -> None:
    """One unit from within: its mounts, its cgroup's devices, its network, its privileges."""
    pid, cgroup = units.pid(name), f"/sys/fs/cgroup/rigbus.slice/rigbus-{name}.service"
    assert guest.sh(f"ps -o user= -p {pid}").strip() == "rigbus"
    rights = guest.sh(f"grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/{pid}/status").split()
    assert rights == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    # root, in the daemon's view of the file system
    within = f"nsenter -t {pid} -m --"
    assert "secret" not in guest.sh(f"{within} ls -A /home/pi /root 2>&1; true")
    assert guest.sh(f"{within} sh -c 'echo x > /etc/lab-x' 2>&1; true").count("Read-only")
    guest.sh(f"{within} sh -c ': > /var/lib/rigbus/lab-x && rm /var/lib/rigbus/lab-x'")
    user = f"{within} setpriv --reuid=rigbus --regid=rigbus --clear-groups"
    for secret in ("/etc/shadow", "/etc/rigbus/.env"):
        assert "denied" in guest.sh(f"{user} cat {secret} 2>&1; true")
    # root, in its cgroup: what the unit does not allow nobody in there can open
    for device in ("/dev/gpiochip0", "/dev/i2c-1", "/dev/vda"):
        opened = guest.sh(f"sh -c 'echo $$ > {cgroup}/cgroup.procs && exec 3<{device} && echo opened' 2>&1; true")
        assert ("opened" in opened) == (DEVICES.get(name) == device), (name, device, opened)
    own = guest.sh(f"readlink /proc/{pid}/ns/net") != guest.sh("readlink /proc/1/ns/net")
    assert own == (name in NO_NETWORK)


@pytest.mark.slow
def test_hung_looping_greedy_and_away(units: Units, guest: Guest, tmp_path: Path, report: Report) -> None:
    """Each in its turn; the others go on, and what is recorded is whole."""
    units.configure("pulse", "highspeed", "thermostat")
    guest.sh("rm -f /etc/rigbus/.env")  # units that want it start without
    units.systemctl("start rigbus.target")
    for name in ("bus", "sink", "pulse", "highspeed", "thermostat"):
        units.until(name, "ActiveState", "active")
    steady = {name: units.pid(name) for name in ("bus", "sink")}
    units.toggle(20)
    units.wait_pulses(20)

    # hung: the watchdog ends it
    before = units.pid("pulse")
    units.systemctl("kill -s STOP rigbus-pulse")
    units.until("pulse", "NRestarts", "[1-9]", 180)
    units.until("pulse", "StatusText", "import 20, .*")
    assert units.pid("pulse") != before
    assert "Watchdog timeout" in units.said("pulse")
    units.toggle(20)
    units.wait_pulses(40)

    # its memory: that daemon alone dies
    units.systemctl("set-property --runtime rigbus-highspeed MemoryMax=12M")
    units.until("highspeed", "NRestarts", "[1-9][0-9]*")
    killed = units.show("highspeed", "Result")
    units.systemctl("set-property --runtime rigbus-highspeed MemoryMax=128M")
    assert "oom-kill" in units.said("highspeed") or killed == "oom-kill"
    units.until("highspeed", "StatusText", "10[0-9.]+ Hz.*")

    # a device that is not there at the start: tried again, never given up
    guest.sh("echo N > /sys/kernel/debug/i2c-pi/0x68/present")
    units.systemctl("restart rigbus-highspeed")
    units.until("highspeed", "StatusText", ".*0x68.*")
    assert units.show("highspeed", "ActiveState") == "active"
    units.until("highspeed", "NRestarts", "[1-9][0-9]*", 120)
    units.until("highspeed", "StatusText", ".*0x68.*")
    units.plug_in()
    units.until("highspeed", "StatusText", "10[0-9.]+ Hz.*", 180)

    # a daemon that ends at once, again and again
    units.change("thermostat", "ExecCondition=", "ExecStart=", "ExecStart=/bin/false")
    units.systemctl("restart rigbus-thermostat", check=False)
    units.until("thermostat", "ActiveState", "failed")
    assert "Start request repeated too quickly" in units.said("thermostat")

    assert {name: units.pid(name) for name in steady} == steady
    units.toggle(20)
    units.wait_pulses(60)
    units.stop()
    code, audit = units.audit()
    totals, kernel = units.totals(tmp_path), units.kernel_edges()
    report(kernel=kernel, stored=len(totals), audit_exit=code)
    assert totals == list(range(1, kernel + 1))
    assert code == 0, audit


@pytest.mark.slow
def test_stop_and_restart_of_each_loses_nothing(units: Units, guest: Guest, tmp_path: Path, report: Report) -> None:
    """With frames that nobody has acknowledged: the sink is down, or the bus, or the daemon itself is restarted."""
    units.configure("pulse", "highspeed", "pump")
    units.systemctl("start rigbus.target")
    running = ("bus", "sink", "pulse", "highspeed", "pump")
    for name in running:
        units.until(name, "ActiveState", "active")
    units.until("pulse", "StatusText", "import [0-9]+, .*")
    pulses = 0
    for name in running:
        others = [other for other in ("sink", "bus") if other != name]
        for down in others:
            units.systemctl(f"stop rigbus-{down}")
        if name not in ("bus", "sink"):
            pulses += 20
            units.toggle(20)  # in the journal, with nobody to take it
            units.systemctl(f"restart rigbus-{name}")
        else:
            units.systemctl(f"stop rigbus-{name}")
            pulses += 20
            units.toggle(20)
        units.systemctl("start rigbus.target")
        units.until("pulse", "StatusText", f"import {pulses}, .*")
        units.wait_pulses(pulses)
    units.systemctl("restart rigbus.target")
    units.until("pulse", "StatusText", f"import {pulses}, .*")
    units.toggle(20)
    units.wait_pulses(pulses + 20)
    units.stop()
    code, audit = units.audit()
    totals, kernel = units.totals(tmp_path), units.kernel_edges()
    lost = sum(stream["lost"] for stream in audit["streams"])
    report(kernel=kernel, stored=len(totals), frames_lost=lost, audit_exit=code)
    assert totals == list(range(1, kernel + 1))
    assert (code, lost) == (0, 0), audit
    stopped = guest.sh("journalctl -q --no-pager -o cat -u 'rigbus-*'")
    assert not re.search("timed out|SIGKILL", stopped)
