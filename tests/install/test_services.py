"""The services that `make install` leaves, under a real systemd: started, watched, locked down, stopped, killed.

The rig is the shipped one, on simulated devices; those of a kernel are in tests/lab.
"""

import json
import os
import random
import re
import time

import pytest
from booted import Booted, missing
from services import ALL, RIGBUS, Services

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]
KILLS_S = float(os.environ.get("RIGBUS_KILLS_S", "60"))
PYTHON = "/opt/rigbus/venv/bin/python"
SHIPPED = "/src/config/rigbus.toml"
OWN = "/etc/rigbus/conf.d/own.toml"
STATUS = {
    "bus": "forwards for .*sink.*",
    "sink": "storing, [0-9]+ frames, .*",
    "pulse": "import [0-9]+, export [0-9]+, generate [0-9]+, 0 lost, journal [0-9.]+ MB",
    "highspeed": "[78][0-9.]+ Hz, driver sim, .*lost, journal [0-9.]+ MB",
    "thermostat": "bench [0-9.]+ °C .*lost, journal [0-9.]+ MB",
    "pump": "idle, 0 lost, journal [0-9.]+ MB",
    "dds": "angles come, 0 lost, journal [0-9.]+ MB",
    "gateway": r"http://127.0.0.1:8000, 0 viewers, 0 lost, journal [0-9.]+ MB",
}
NO_NETWORK = {"bus", "pulse", "highspeed", "pump"}
RIGHTS = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
ASK = """
import sys, urllib.error, urllib.request
headers = {"Authorization": sys.argv[1]} if sys.argv[1:] else {}
try:
    print(urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8000/api/status", headers=headers)).status)
except urllib.error.HTTPError as e:
    print(e.code)
"""


@pytest.fixture
def services(installed):
    if why := missing():
        pytest.skip(why)
    # the shipped configuration as it is: every daemon, each on its simulated device
    installed.sh(
        "rm /etc/rigbus/conf.d/00-devices.toml && rm -rf /home/* && mkdir -p /home/pi && echo s > /home/pi/secret"
    )
    booted = Booted(installed)
    try:
        yield Services(booted, installed.upper)
    finally:
        booted.close()


def simulators(services: Services) -> None:
    services.booted.sh("install -d -m 2770 -o rigbus -g rigbus /var/lib/rigbus")  # else by the first unit that starts
    for name in ("thermostat", "arm"):
        command = f"{PYTHON} -m common.sims.{name} --config /etc/rigbus/rigbus.toml"
        services.booted.sh(f"systemd-run -q --uid=rigbus --gid=rigbus --unit=sim-{name} {command}")


def settled(services: Services) -> None:
    for name, status in STATUS.items():
        services.until(name, "StatusText", status)


def nothing_lost(services: Services) -> None:
    code, audit = services.audit()
    lost = {row["stream"]: row["lost"] for row in audit["streams"] if row["lost"]}
    assert (code, lost) == (0, {}), audit


def test_all_are_ready_and_say_what_they_do(services, figure):
    simulators(services)
    began = time.monotonic()
    services.start()
    took_s = time.monotonic() - began
    shown = services.booted.run("systemctl is-active " + " ".join(f"rigbus-{name}" for name in ALL)).stdout
    assert shown.split() == ["active"] * len(ALL)
    settled(services)
    figure(f"all active after {took_s:.1f} s")
    services.booted.sh("mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized")
    findings = services.booted.run(f"{RIGBUS} doctor")
    assert findings.returncode == 0, findings.stdout
    assert "✗" not in findings.stdout
    services.stop()
    for name in ALL:
        assert (services.show(name, "NRestarts"), services.show(name, "Result")) == ("0", "success"), name
    nothing_lost(services)
    assert not re.search("timed out|SIGKILL", services.booted.sh("journalctl -q --no-pager -o cat -u 'rigbus-*'"))


def test_each_is_locked_into_what_it_needs(services):
    services.booted.put("/etc/rigbus/.env", "RIGBUS_READ_TOKEN=test-token\n", 0o600)
    services.booted.put("/opt/ask.py", ASK)
    services.start()
    for name in ALL:
        pid = services.pid(name)
        assert services.booted.sh(f"ps -o user= -p {pid}").strip() == "rigbus"
        status = services.booted.sh(f"cat /proc/{pid}/status")
        assert {key: re.search(rf"^{key}:\s+(\w+)$", status, re.M)[1] for key in RIGHTS} == RIGHTS
        # root, in the daemon's view of the file system
        within = f"nsenter -t {pid} -m --"
        assert "secret" not in services.booted.sh(f"{within} ls -A /home/pi /root 2>&1; true")
        assert "Read-only" in services.booted.sh(f"{within} sh -c 'echo x > /etc/x' 2>&1; true")
        services.booted.sh(f"{within} sh -c ': > /var/lib/rigbus/x && rm /var/lib/rigbus/x && : > /run/rigbus/x'")
        user = f"{within} setpriv --reuid=rigbus --regid=rigbus --clear-groups"
        for secret in ("/etc/shadow", "/etc/rigbus/.env"):
            assert "denied" in services.booted.sh(f"{user} cat {secret} 2>&1; true")
        own = services.booted.sh(f"readlink /proc/{pid}/ns/net") != services.booted.sh("readlink /proc/1/ns/net")
        assert own == (name in NO_NETWORK), name
    # the gateway has the token, whose file only root may read
    assert services.booted.sh(f"{PYTHON} /opt/ask.py").split() == ["401"]
    assert services.booted.sh(f"{PYTHON} /opt/ask.py 'Bearer test-token'").split() == ["200"]
    # where systemd gives it nothing, it does not take that for a rig without tokens
    services.drop_in("gateway", "LoadCredential=", "SetCredential=")
    services.booted.run("systemctl restart rigbus-gateway")
    services.until("gateway", "ActiveState", "failed")
    assert "/etc/rigbus/.env cannot be read" in services.said("gateway")
    assert "test-token" not in services.booted.sh("journalctl -q --no-pager; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_stop_and_restart_of_each_loses_nothing(services):
    """With frames that nobody has acknowledged: the sink is down and the bus, but for the one that is restarted."""
    simulators(services)
    services.start()
    settled(services)
    for name in ALL:
        for down in {"sink", "bus"} - {name}:
            services.systemctl(f"stop rigbus-{down}")
        time.sleep(1)
        services.systemctl(f"restart rigbus-{name}")
        time.sleep(0.5)
        services.start()
        settled(services)
    services.systemctl("restart rigbus.target")
    settled(services)
    services.stop()
    nothing_lost(services)
    for channel in ("import", "export", "generate"):
        totals = services.totals(channel)
        assert totals == list(range(1, len(totals) + 1))
        assert len(totals) > 10
    assert not re.search("timed out|SIGKILL", services.booted.sh("journalctl -q --no-pager -o cat -u 'rigbus-*'"))


def test_hung_looping_wrong_and_away(services):
    """Each in its turn; the others go on."""
    simulators(services)
    services.start()
    settled(services)
    steady = {name: services.pid(name) for name in ("bus", "sink")}
    hung = {name: services.pid(name) for name in ("pulse", "pump", "gateway")}
    for name in hung:
        services.systemctl(f"kill -s STOP rigbus-{name}")
    # meanwhile: one that ends at once, again and again
    services.drop_in("thermostat", "ExecCondition=", "ExecStart=", "ExecStart=/bin/false")
    services.booted.run("systemctl restart rigbus-thermostat")
    services.until("thermostat", "ActiveState", "failed")
    assert "Start request repeated too quickly" in services.said("thermostat")
    for name, pid in hung.items():
        services.until(name, "NRestarts", "[1-9]")
        services.until(name, "StatusText", STATUS[name].replace("0 lost", ".*lost"))
        assert services.pid(name) != pid
        assert "Watchdog timeout" in services.said(name)

    # not configured any more: it rests, and nothing has failed
    services.booted.put(OWN, "[dds]\nenabled = false\n")
    services.systemctl("restart rigbus-dds")
    assert (services.show("dds", "ActiveState"), services.show("dds", "Result")) == ("inactive", "exec-condition")
    # a file that is wrong: refused by a reload, and the old one stays; a start fails at once, and is not tried again
    services.booted.put(OWN, "[highspeed]\nrate_hz = 5000.0\n")
    pid = services.pid("highspeed")
    assert services.booted.run("systemctl reload rigbus-highspeed").returncode
    services.until("highspeed", "ActiveState", "active")
    assert services.pid("highspeed") == pid
    services.booted.until("journalctl -q RIGBUS_EVENT=config_refused | grep -q own.toml:2", what="it is logged")
    services.booted.run("systemctl restart rigbus-pump")
    services.until("pump", "ActiveState", "failed")
    assert (services.show("pump", "ExecMainStatus"), services.show("pump", "Result")) == ("78", "exit-code")
    assert "own.toml:2: highspeed.rate_hz" in services.said("pump")
    services.booted.sh(f"rm {OWN}")

    # a device that is not there: looked for again and again, and never given up
    services.booted.put(OWN, '[highspeed]\ndriver = "mpu6050"\n')
    services.systemctl("restart rigbus-highspeed")
    services.until("highspeed", "StatusText", ".*/dev/i2c-1.*")
    assert services.show("highspeed", "ActiveState") == "active"
    found = services.booted.run(f"{RIGBUS} doctor --json")
    assert found.returncode == 1, found.stdout
    wrong = {f["what"]: f["detail"] for f in json.loads(found.stdout)["findings"] if f["state"] == "missing"}
    assert "/dev/i2c-1" in wrong["highspeed"]
    services.booted.sh(f"rm {OWN}")

    assert {name: services.pid(name) for name in steady} == steady
    services.stop()
    code, audit = services.audit()
    assert code == 0, audit


@pytest.mark.timeout(KILLS_S + 600)
def test_kills_balance(services, figure):
    """RIGBUS_KILLS_S seconds: whoever is killed comes back by itself, and published = stored + accounted lost."""
    simulators(services)
    services.start()
    settled(services)
    rng = random.Random(6)
    end, kills = time.monotonic() + KILLS_S, 0
    while time.monotonic() < end:
        name = rng.choice(ALL)
        pid = services.pid(name)
        services.booted.sh(f"kill -KILL {pid}")
        kills += 1
        services.booted.until(f"p=$(systemctl show -P MainPID rigbus-{name}); [ $p -gt 0 ] && [ $p != {pid} ]")
        services.until(name, "ActiveState", "active")
        # fewer than 10 starts of one daemon in 300 s, as that is its start limit
        time.sleep(rng.uniform(0.0, 2.0 if KILLS_S < 120 else 20.0))
    for name, status in STATUS.items():
        services.until(name, "StatusText", status.replace("0 lost", ".*lost"))
    services.stop()
    code, audit = services.audit()
    published, stored, lost = (sum(row[key] for row in audit["streams"]) for key in ("published", "stored", "lost"))
    figure(f"{kills} kills, {published} frames published = {stored} stored + {lost} lost, audit {code}")
    assert code == 0, audit
    assert kills > KILLS_S / 30
    for channel in ("import", "export", "generate"):
        totals = services.totals(channel)
        assert totals == list(range(1, len(totals) + 1))
