"""`make install` as root on a machine that had nothing: what is where, whose, and what further runs leave alone."""

import json
import tomllib

import pytest
from install_machine import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]
AGAIN = "cd /src && make install WHEELS=/wheels"
RIGBUS = "/opt/rigbus/venv/bin/rigbus"
AS_THE_SERVICES = "setpriv --reuid=rigbus --regid=rigbus --init-groups"
DATA = "/var/lib/rigbus/rigbus.db"
UNITS = sorted(file.name for file in (CHECKOUT / "systemd").glob("*.*") if file.is_file())
LISTED = 'case "$*" in *list-units*) echo "rigbus-sink.service x"; echo "rigbus-pump.service x" ;; esac'
# where all that it makes lies, with times and contents
STATE = (
    "find /etc/rigbus /etc/systemd/system /etc/sysusers.d /etc/tmpfiles.d /etc/udev/rules.d /usr/local/bin"
    " /opt/rigbus/venv/lib -type f -not -name '*.pyc' -printf '%p %u:%g %m %T@\\n' -o -type l -printf '%p %l\\n' | sort"
)


def test_everything_is_where_it_belongs(installed):
    assert installed.stat("/etc/rigbus") == "root:rigbus 750"
    assert installed.stat("/etc/rigbus/conf.d") == "root:rigbus 2750"
    assert installed.stat("/etc/rigbus/rigbus.toml") == "root:rigbus 640"
    assert installed.stat("/etc/rigbus/conf.d/00-devices.toml") == "root:rigbus 640"
    assert installed.stat("/etc/rigbus/.env") == "root:root 600"
    assert installed.stat("/run/rigbus") == "rigbus:rigbus 2770"
    assert installed.sh("readlink /usr/local/bin/rigbus").strip() == RIGBUS
    for unit in UNITS:
        assert installed.stat(f"/etc/systemd/system/{unit}") == "root:root 644"
    assert installed.sh("id -un rigbus; getent group rigbus gpio i2c | cut -d: -f1").split()[1:] == [
        "rigbus",
        "gpio",
        "i2c",
    ]


def test_units_start_at_boot_and_nothing_was_started(installed):
    wanted = [unit for unit in UNITS if unit.endswith((".service", ".target"))]
    states = installed.sh(f"systemctl is-enabled {' '.join(wanted)}").split()
    assert states == ["enabled"] * len(wanted)
    assert "systemctl start rigbus.target" in installed.said
    assert installed.run("test -e /var/lib/rigbus/rigbus.db").returncode == 1


def test_the_daemons_are_those_of_this_checkout_and_run_from_its_environment(installed):
    where = "import common, daemons.sink; print(common.__file__, daemons.__path__[0])"
    found = installed.sh(f"cd / && /opt/rigbus/venv/bin/python -c '{where}'").split()
    assert all(path.startswith("/opt/rigbus/venv/lib/") for path in found)
    assert installed.run(f"cd / && {RIGBUS} config check").stdout.splitlines() == [
        "/etc/rigbus/rigbus.toml",
        "/etc/rigbus/conf.d/00-devices.toml",
        "ok",
    ]


def test_nothing_simulated_gets_into_its_record(installed):
    shown = json.loads(installed.sh(f"cd / && {RIGBUS} config show --json"))["config"]
    on = [name for name in ("pulse", "highspeed", "thermostat", "pump", "dds") if shown[name]["enabled"]]
    assert [name for name in on if shown[name].get("driver") == "sim"] == []
    assert not shown["sim"]["thermostat"]
    assert not shown["sim"]["arm"]


def test_an_example_that_is_copied_switches_its_device_on(installed):
    installed.sh("cd /etc/rigbus/conf.d && cp pumps-lgpio.toml.example pumps.toml")
    shown = tomllib.loads(installed.sh(f"cd / && {AS_THE_SERVICES} {RIGBUS} config show"))
    assert (shown["pump"]["enabled"], shown["pump"]["driver"]) == (True, "lgpio")


def test_what_the_services_cannot_read_stops_it_before_any_restart(installed):
    """As conf.d was before it had its group's bit, and a copy that was made then."""
    copy = "/etc/rigbus/conf.d/thermostats.toml"
    installed.sh(f"cd /etc/rigbus/conf.d && chmod g-s . && cp thermostats.toml.example {copy}")
    installed.put("/stub/systemctl", f'#!/bin/sh\necho "$@" >> /calls\n{LISTED}\n', 0o755)
    installed.sh("mkdir -p /run/systemd/system; echo '# new' >> /src/systemd/rigbus-pump.service")
    done = installed.run(AGAIN, first_in_path="/stub")
    assert done.returncode != 0
    told = [line for line in done.stdout.splitlines() if copy in line]
    assert len(told) == 1
    assert "chgrp rigbus FILE" in told[0]
    assert "Traceback" not in done.stdout
    assert "restart " not in installed.sh("cat /calls")
    assert installed.stat("/etc/rigbus/conf.d") == "root:rigbus 2750"
    installed.sh(f"chgrp rigbus {copy}")
    installed.sh(AGAIN, first_in_path="/stub")
    assert "restart rigbus-sink.service" in installed.sh("cat /calls")


def test_env_holds_every_name_and_no_value(installed):
    lines = installed.sh("cat /etc/rigbus/.env").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    assert "# INFLUX_TOKEN=" in lines


def test_a_second_time_nothing_changes(installed):
    installed.sh(f"install -D /dev/null {DATA}")
    before = installed.sh(STATE)
    said = installed.sh(AGAIN)
    assert installed.sh(STATE) == before
    assert "restarting" not in said


def test_an_upgrade_brings_the_new_and_keeps_what_is_yours(installed):
    installed.sh(f"install -D /dev/null {DATA}; echo mine >> {DATA}")
    installed.sh("sed -i 's/^commit_s = .*/commit_s = 2.0/' /etc/rigbus/rigbus.toml")
    installed.sh("echo INFLUX_TOKEN=secret >> /etc/rigbus/.env; rm /etc/rigbus/conf.d/00-devices.toml")
    installed.sh("systemctl -q disable rigbus-pump.service")
    installed.sh("echo '# newer' >> /src/config/rigbus.toml; echo '# newer' >> /src/systemd/rigbus-pump.service")
    installed.sh("echo 'NEWER = 1' >> /src/common/paths.py")
    said = installed.sh(AGAIN)
    assert "secret" not in said
    assert "rigbus.toml.new" in said
    assert installed.sh("tail -1 /etc/rigbus/rigbus.toml.new") == "# newer\n"
    assert "commit_s = 2.0" in installed.sh("cat /etc/rigbus/rigbus.toml")
    assert installed.sh("tail -1 /etc/rigbus/.env") == "INFLUX_TOKEN=secret\n"
    assert installed.run("test -e /etc/rigbus/conf.d/00-devices.toml").returncode == 1
    assert installed.sh(f"cat {DATA}") == "mine\n"
    assert installed.sh("tail -1 /etc/systemd/system/rigbus-pump.service") == "# newer\n"
    assert installed.run("systemctl is-enabled rigbus-pump.service").stdout == "disabled\n"
    assert installed.sh("/opt/rigbus/venv/bin/python -c 'import common.paths as p; print(p.NEWER)'") == "1\n"
    again = installed.sh(AGAIN)
    assert "rigbus.toml.new" not in again


def test_a_configuration_that_was_there_before_is_taken_as_it_is(installed):
    """It comes from another machine: what this one has does not matter."""
    installed.sh("rm /etc/rigbus/conf.d/00-devices.toml; printf '[gateway]\\nport = 8001\\n' > /etc/rigbus/rigbus.toml")
    installed.sh(AGAIN)
    assert installed.sh("ls /etc/rigbus/conf.d/*.toml || true").startswith("ls: cannot access")
    assert installed.sh("cat /etc/rigbus/rigbus.toml") == "[gateway]\nport = 8001\n"


def test_a_configuration_that_is_wrong_stops_it_before_any_restart(installed):
    installed.put("/stub/systemctl", '#!/bin/sh\necho "$@" >> /calls\n', 0o755)
    installed.put("/etc/rigbus/conf.d/mine.toml", "[pulse]\nchanel = []\n")
    installed.sh("mkdir -p /run/systemd/system; echo '# new' >> /src/systemd/rigbus-pump.service; touch /calls")
    done = installed.run(AGAIN, first_in_path="/stub")
    assert done.returncode != 0
    assert "conf.d/mine.toml:2" in done.stdout
    assert "Traceback" not in done.stdout
    assert "restart " not in installed.sh("cat /calls")
    # once it is mended, what was brought before is not forgotten
    installed.put("/stub/systemctl", f'#!/bin/sh\necho "$@" >> /calls\n{LISTED}\n', 0o755)
    installed.sh("mkdir -p /run/systemd/system; rm /etc/rigbus/conf.d/mine.toml")
    installed.sh(AGAIN, first_in_path="/stub")
    assert "restart rigbus-sink.service" in installed.sh("cat /calls")
    installed.sh(": > /calls")
    installed.sh(AGAIN, first_in_path="/stub")
    assert "restart " not in installed.sh("cat /calls")


PUMPS = '{"ok": true, "pumps": [{"pump": "water", "run": %s}]}'


@pytest.mark.parametrize(
    ("run", "restarted"),
    [
        ("null", "restart rigbus-sink.service rigbus-pump.service"),
        ('{"action": "prime"}', "restart rigbus-sink.service"),
    ],
)
def test_what_runs_is_restarted_but_for_a_motor_that_runs(installed, run, restarted):
    """systemctl only writes down here, and the pump's daemon is an answer: the lab has the real ones."""
    installed.put("/stub/systemctl", f'#!/bin/sh\necho "$@" >> /calls\n{LISTED}\n', 0o755)
    installed.sh("mkdir -p /run/systemd/system; echo '# new' >> /src/systemd/rigbus-pump.service")
    other = 'exec /opt/rigbus/venv/bin/python -m common.cli.main "$@"'
    installed.put("/stub/rigbus", f"#!/bin/sh\n[ $1 = ctl ] || {other}\necho '{PUMPS % run}'\n", 0o755)
    installed.sh(f"ln -sf /stub/rigbus {RIGBUS}")
    # the wheel is the one that is there already, so that the link stays
    installed.sh(AGAIN, first_in_path="/stub")
    assert installed.sh("grep '^restart ' /calls").strip() == restarted


IN_STATES = """for unit in sink:active pulse:failed bus:inactive; do
    state=${unit#*:}
    case "$*" in *list-units*[=,]$state[,\\ ]*) echo "rigbus-${unit%:*}.service loaded $state x" ;; esac
done
case "$*" in "restart rigbus-pulse.service"|"-q $STOPPED"*) exit 1 ;; esac"""
TRIED_AGAIN = ["reset-failed rigbus-pulse.service", "restart rigbus-pulse.service"]


@pytest.mark.parametrize(
    ("stopped", "tried_again"), [("-", TRIED_AGAIN), ("is-active", []), ("is-enabled", [])],
    ids=["it runs", "the rig was stopped", "it was disabled"],
)  # fmt: skip
def test_what_has_failed_is_tried_again_and_what_was_stopped_is_not(installed, stopped, tried_again):
    """One that fails once more, as its device is missing, stops nothing."""
    installed.put("/stub/systemctl", f'#!/bin/sh\nSTOPPED={stopped}\necho "$@" >> /calls\n{IN_STATES}\n', 0o755)
    installed.sh("mkdir -p /run/systemd/system; echo '# new' >> /src/systemd/rigbus-pump.service")
    installed.sh(AGAIN, first_in_path="/stub")
    called = installed.sh("grep -E '^(reset-failed|restart) ' /calls").splitlines()
    assert called == [*tried_again, "restart rigbus-sink.service"]


def test_a_python_that_does_not_fit_is_named_and_no_other_is_taken(installed):
    done = installed.run(AGAIN.replace("make install", "make install PYTHON=/bin/false"))
    assert done.returncode != 0
    assert "install: no Python 3.11, 3.12 or 3.13: /bin/false" in done.stdout
    installed.sh(f"cd / && {RIGBUS} config check")


def test_uninstall_takes_all_but_what_is_yours(installed):
    installed.sh(f"install -D /dev/null {DATA}")
    installed.put("/etc/systemd/system/rigbus-backup.service", "# the user's own\n")
    installed.sh("cd /src && make uninstall")
    installed.sh("rm /etc/systemd/system/rigbus-backup.service")
    left = installed.sh(
        "find / -xdev -name '*rigbus*' -not -path '/proc/*' -not -path '/src/*' -not -path '/wheels/*'"
        f" -not -path '{CHECKOUT}/*' -newer /src/Makefile 2>/dev/null || true"
    ).split()
    assert not [path for path in left if path.startswith(("/opt", "/etc/systemd", "/etc/udev", "/usr/local"))]
    for path in ("/etc/rigbus/rigbus.toml", "/etc/rigbus/.env", "/etc/rigbus/conf.d/00-devices.toml", DATA):
        installed.sh(f"test -e {path}")
    installed.sh("getent passwd rigbus")
    installed.sh("cd /src && make uninstall")  # once more: nothing is there, and that is fine


def test_purge_takes_that_too(installed):
    installed.sh(f"install -D /dev/null {DATA}")
    installed.sh("cd /src && make uninstall PURGE=1")
    assert installed.run("ls -d /etc/rigbus /var/lib/rigbus /run/rigbus /opt/rigbus 2>/dev/null").stdout == ""
    assert installed.run("getent passwd rigbus; getent group rigbus").stdout == ""


def test_after_an_uninstall_it_installs_again_on_the_same_data(installed):
    installed.sh(f"install -D /dev/null {DATA}; echo mine >> {DATA}; cd /src && make uninstall")
    installed.sh(AGAIN)
    assert installed.sh(f"cat {DATA}") == "mine\n"
    assert installed.sh("systemctl is-enabled rigbus.target") == "enabled\n"


def test_a_command_of_somebody_elses_stays(installed):
    installed.sh("rm /usr/local/bin/rigbus; echo theirs > /usr/local/bin/rigbus")
    assert "is somebody else's" in installed.sh(AGAIN)
    assert installed.sh("cat /usr/local/bin/rigbus") == "theirs\n"


OLDER = "ln -sfn /usr/bin/python3.9 /opt/rigbus/venv/bin/python3; ln -sfn python3 /opt/rigbus/venv/bin/python"


@pytest.mark.parametrize("breaks", [OLDER, "rm /opt/rigbus/venv/made"], ids=["its python is gone", "it was cut short"])
def test_an_environment_that_is_not_whole_is_made_anew(installed, breaks):
    installed.sh(breaks)
    said = installed.sh(AGAIN)
    assert "making /opt/rigbus/venv" in said
    installed.sh(f"cd / && {RIGBUS} config check")


def test_an_environment_stays_with_the_python_that_it_was_made_with(installed):
    """As after PYTHON=: the system's is of another version."""
    installed.sh("ln -sfn $(readlink -f /opt/rigbus/venv/bin/python) /opt/rigbus/venv/bin/python3; rm /usr/bin/python3")
    installed.put("/usr/bin/python3", '#!/bin/sh\ncase "$*" in *print*) echo another ;; esac\n', 0o755)
    assert "making" not in installed.sh(AGAIN)
    installed.sh(f"cd / && {RIGBUS} config check")


def test_after_an_upgrade_that_was_cut_short_the_checkout_of_before_is_installed(installed):
    installed.put("/stub/sync", "#!/bin/sh\nexit 1\n", 0o755)
    installed.sh("cp /src/common/paths.py /paths.py; echo 'NEWER = 1' >> /src/common/paths.py")
    assert installed.run(AGAIN, first_in_path="/stub").returncode != 0
    newer = "/opt/rigbus/venv/bin/python -c 'import common.paths as p; print(hasattr(p, \"NEWER\"))'"
    assert installed.sh(newer) == "True\n"
    installed.sh("cp /paths.py /src/common/paths.py")
    installed.sh(AGAIN)
    assert installed.sh(newer) == "False\n"
