#!/usr/bin/env bash
# Prints conf.d/00-devices.toml for this machine: what was found is switched on with its real driver, the rest off.
# Only what is harmless is looked at: names of GPIO chips, and the identity registers of two sensors on I2C bus 1.
set -euo pipefail

python=/opt/rigbus/venv/bin/python

# A Pi's own lines: gpiochip0, on some kernels of the Pi 5 gpiochip4.
chip=$(gpiodetect 2>/dev/null | sed -n 's#^\(gpiochip[0-9]*\) \[\(pinctrl-bcm[0-9]*\|pinctrl-rp1\)\].*#/dev/\1 \2#p' | head -1) || true # there may be no gpiodetect
label=${chip#* }
chip=${chip% *}

edges=""
if [ -n "$chip" ]; then
    for pair in gpiod:gpiod RPi.GPIO:rpigpio; do
        if "$python" -c "import ${pair%:*}" 2>/dev/null; then
            edges=${pair#*:}
            break
        fi
    done
fi

identity() { i2cget -y 1 "$1" "$2" b 2>/dev/null || true; }
sensor=""
if [ -e /dev/i2c-1 ]; then
    if [ "$(identity 0x68 0x75)" = 0x68 ]; then sensor=mpu6050; fi
    if [ -z "$sensor" ] && [ "$(identity 0x53 0x00)" = 0xe5 ]; then sensor=adxl345; fi
fi

cat <<END
# Written once, when rigbus was installed here, from what this machine had. It is yours: nothing writes it again.
# rigbus.toml as shipped is on simulated devices; this file takes them out of the record. Files in conf.d are read in
# the order of their names, so that yours (meters.toml, thermostats.toml, ...) come after it and count.
#
END
if [ -n "$edges" ]; then
    echo "# meters: lines 20, 26 and 21 of $chip ($label)"
elif [ -n "$chip" ]; then
    echo "# meters: off; $chip ($label) is there, and no library for it (docs/raspberry-pi.md)"
elif [ -e /dev/gpiochip0 ] && ! command -v gpiodetect >/dev/null; then
    echo "# meters: off; not looked for, as gpiodetect is missing (package gpiod); conf.d/meters-gpiod.toml.example"
else
    echo "# meters: off; no GPIO lines of a Raspberry Pi here"
fi
if [ -n "$sensor" ]; then
    echo "# vibration: $sensor on /dev/i2c-1"
elif [ -e /dev/i2c-1 ] && ! command -v i2cget >/dev/null; then
    echo "# vibration: off; not looked for, as i2cget is missing (package i2c-tools); conf.d/vibration-mpu6050.toml.example"
else
    echo "# vibration: off; no MPU6050 or ADXL345 answered on /dev/i2c-1"
fi
cat <<'END'
# thermostats: off until their addresses are known: conf.d/thermostats.toml.example
# pumps: off until you have read docs/safety.md: conf.d/pumps-lgpio.toml.example
# robot arm: off until you have read docs/safety.md: conf.d/arm.toml.example
END
echo
echo "[pulse]"
if [ -n "$edges" ]; then printf 'driver = "%s"\nchip = "%s"\n' "$edges" "$chip"; else echo "enabled = false"; fi
echo
echo "[highspeed]"
if [ -n "$sensor" ]; then printf 'driver = "%s"\n' "$sensor"; else echo "enabled = false"; fi
cat <<'END'

[thermostat]
enabled = false

[pump]
enabled = false

[dds]
enabled = false

[sim]
thermostat = false
arm = false
END
