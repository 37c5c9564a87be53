"""Parts of `make install`: devices by what is there, InfluxDB's command line by its checksum, and as a user."""

import hashlib
import io
import tarfile
import tomllib

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]
STUB = "/stub"
PI4 = "gpiochip0 [pinctrl-bcm2711] (58 lines)\ngpiochip1 [raspberrypi-exp-gpio] (8 lines)"
PI5 = "gpiochip0 [gpio-brcmstb@107d508500] (32 lines)\ngpiochip4 [pinctrl-rp1] (54 lines)"
PC = "gpiochip0 [INT34C6:00] (463 lines)"


@pytest.fixture
def devices(bare, tmp_path):
    """devices(gpiodetect's words (None: it is not there), {address: identity}) → what devices.sh prints, as TOML."""

    machine = bare.copy(tmp_path / "machine")

    def run(chips="", answers=None, python="exit 0"):
        told = "exit 127" if chips is None else f"cat <<END\n{chips}\nEND"
        machine.put(f"{STUB}/gpiodetect", f"#!/bin/sh\n{told}\n", 0o755)
        cases = "".join(f'"-y 1 {address}"*) echo {identity};; ' for address, identity in (answers or {}).items())
        machine.put(f"{STUB}/i2cget", f'#!/bin/sh\ncase "$*" in {cases}*) exit 1;; esac\n', 0o755)
        machine.put("/opt/rigbus/venv/bin/python", f"#!/bin/sh\n{python}\n", 0o755)
        # /dev is the host's: only whether a file i2c-1 is there matters, as i2cget answers for it
        said = machine.sh(
            "mount -t tmpfs t /dev && touch /dev/i2c-1 && mknod -m 666 /dev/null c 1 3 && /src/scripts/devices.sh",
            first_in_path=STUB,
        )
        return said, tomllib.loads(said)

    return run


@pytest.mark.parametrize(("chips", "chip"), [(PI4, "/dev/gpiochip0"), (PI5, "/dev/gpiochip4")])
def test_the_meters_are_on_the_pis_own_chip(devices, chips, chip):
    said, found = devices(chips)
    assert found["pulse"] == {"driver": "gpiod", "chip": chip}
    assert f"# meters: lines 20, 26 and 21 of {chip}" in said


def test_without_gpiod_it_is_rpigpio_and_without_that_none(devices):
    _, found = devices(PI4, python='[ "$2" != "import gpiod" ]')
    assert found["pulse"]["driver"] == "rpigpio"
    _, found = devices(PI4, python="exit 1")
    assert found["pulse"] == {"enabled": False}


@pytest.mark.parametrize("chips", [PC, "", None])
def test_on_a_pc_nothing_is_switched_on(devices, chips):
    _, found = devices(chips)
    assert [found[name] for name in ("pulse", "highspeed", "thermostat", "pump", "dds")] == [{"enabled": False}] * 5
    assert found["sim"] == {"thermostat": False, "arm": False}


@pytest.mark.parametrize(
    ("answers", "highspeed"),
    [
        ({"0x68 0x75": "0x68"}, {"driver": "mpu6050"}),
        ({"0x53 0x00": "0xe5"}, {"driver": "adxl345"}),
        ({"0x68 0x75": "0x13"}, {"enabled": False}),  # a clock chip has this address too
        ({}, {"enabled": False}),
    ],
)
def test_a_sensor_is_known_by_its_identity(devices, answers, highspeed):
    _, found = devices(PI4, answers)
    assert found["highspeed"] == highspeed


def archive(name, text):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(text), 0o755
        tar.addfile(info, io.BytesIO(text))
    return packed.getvalue()


@pytest.mark.parametrize("right", [True, False])
def test_the_influx_command_is_taken_only_with_its_checksum(installed, right):
    packed = archive("influxdb2-client-2.7.5-linux-amd64/influx", b"#!/bin/sh\necho Influx CLI\n")
    (installed.upper / "influx.tar.gz").write_bytes(packed)
    checksum = hashlib.sha256(packed).hexdigest() if right else "0" * 64
    installed.sh("rm -f /usr/bin/influx /usr/local/bin/influx")
    done = installed.run(
        f"cd /src && make install WHEELS=/wheels INFLUX_CLI=/influx.tar.gz INFLUX_CLI_SHA256={checksum}"
    )
    assert (done.returncode == 0) is right, done.stdout
    assert installed.run("influx").returncode == (0 if right else 127)
    assert ("does not have the checksum" in done.stdout) is not right


def test_as_a_user_it_makes_an_environment_and_a_secret_file(bare, tmp_path):
    machine = bare.copy(tmp_path / "user")
    machine.sh("useradd --create-home someone && cp -r /src /home/someone/rigbus && chown -R someone: /home/someone")
    as_user = "setpriv --reuid someone --regid someone --clear-groups env HOME=/home/someone bash -c"
    install = f"{as_user} 'cd ~/rigbus && make install WHEELS=/wheels PYTHON=/usr/bin/python3'"
    said = machine.sh(install)
    assert machine.stat("/home/someone/rigbus/.env") == "someone:someone 600"
    assert machine.sh("cmp /src/.env.example /home/someone/rigbus/.env") == ""
    assert "make run" in said
    machine.sh(f"{as_user} 'cd ~/rigbus && .venv/bin/rigbus config check && .venv/bin/python -c \"import fastapi\"'")
    machine.sh("echo INFLUX_TOKEN=secret >> /home/someone/rigbus/.env")
    again = machine.sh(install)
    assert machine.sh("tail -1 /home/someone/rigbus/.env") == "INFLUX_TOKEN=secret\n"
    assert "secret" not in again
    refused = machine.run(f"{as_user} 'cd ~/rigbus && make uninstall'")
    assert refused.returncode != 0
    assert "sudo make uninstall" in refused.stdout


@pytest.mark.parametrize("folder", ["/nowhere", "/with space"])
def test_a_folder_of_wheels_that_cannot_be_is_one_line(bare, tmp_path, folder):
    machine = bare.copy(tmp_path / "wrong")
    machine.sh("mkdir '/with space'")
    done = machine.run(f"cd /src && make install WHEELS='{folder}'")
    assert done.returncode != 0
    assert len([line for line in done.stdout.splitlines() if line.startswith("install:")]) == 1
    assert machine.run("test -e /opt/rigbus").returncode == 1
