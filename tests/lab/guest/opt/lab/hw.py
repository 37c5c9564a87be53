"""Simulated hardware: 54 GPIO lines labelled as the Pi's, and I2C bus 1, whose chips debugfs makes (i2c-pi-sim.c).

Leaves /run/lab/gpio/sim_gpioN/{pull,value}: write pull-up or pull-down to drive an input, read the level of an output.
"""

import os
import subprocess

MODULES = f"/lib/modules/{os.uname().release}/extra"
CHIP = "/sys/kernel/config/gpio-sim/pi"


def write(path: str, value: str) -> None:
    with open(path, "w") as f:
        f.write(value)


def read(path: str) -> str:
    with open(path) as f:
        return f.read().strip()


subprocess.run(["modprobe", "configfs"], check=True)
if not os.path.ismount("/sys/kernel/config"):
    subprocess.run(["mount", "-t", "configfs", "configfs", "/sys/kernel/config"], check=True)
subprocess.run(["insmod", f"{MODULES}/gpio-sim.ko"], check=True)
os.makedirs(f"{CHIP}/bank0")
write(f"{CHIP}/bank0/num_lines", "54")
write(f"{CHIP}/bank0/label", "pinctrl-bcm2711")
for i in range(28):
    os.mkdir(f"{CHIP}/bank0/line{i}")
    write(f"{CHIP}/bank0/line{i}/name", f"GPIO{i}")
write(f"{CHIP}/live", "1")
os.makedirs("/run/lab", exist_ok=True)
os.symlink(f"/sys/devices/platform/{read(CHIP + '/dev_name')}/{read(CHIP + '/bank0/chip_name')}", "/run/lab/gpio")
subprocess.run(["modprobe", "i2c-dev"], check=True)
subprocess.run(["insmod", f"{MODULES}/i2c-pi-sim.ko", "nr=1"], check=True)  # /dev/i2c-1, no chip present yet
