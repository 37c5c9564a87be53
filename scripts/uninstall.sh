#!/usr/bin/env bash
# `make uninstall`, as root: stops the services and takes away what `make install` brought. Configuration, data and
# what still waits in /run/rigbus stay; PURGE=1 takes these too, and the user rigbus, for good.
set -euo pipefail
shopt -s nullglob

readonly OPT=/opt/rigbus UNITS=/etc/systemd/system LINK=/usr/local/bin/rigbus

say() { echo "uninstall: $*"; }

if [ "$(id -u)" != 0 ]; then
    echo "uninstall: services are taken away by root: sudo make uninstall; make clean removes .venv" >&2
    exit 1
fi

services=() # ours: there may be a rigbus-backup.service, which is the user's
for name in bus sink pulse highspeed thermostat pump dds gateway; do
    if [ -e "$UNITS/rigbus-$name.service" ]; then services+=("$UNITS/rigbus-$name.service"); fi
done
units=("${services[@]}" "$UNITS/rigbus.target" "$UNITS/rigbus.slice")
if [ -d /run/systemd/system ] && [ ${#services[@]} -gt 0 ]; then
    say "stopping"
    systemctl stop rigbus.target "${services[@]##*/}" 2>/dev/null || true
    if systemctl -q is-active "${services[@]##*/}"; then
        echo "uninstall: something does not stop: systemctl list-units 'rigbus-*'; nothing was taken away" >&2
        exit 1
    fi
fi
for unit in "${units[@]}"; do
    if [ -e "$unit" ]; then
        systemctl -q disable "${unit##*/}" 2>/dev/null || true
        rm -f "$unit"
    fi
done
rm -f /etc/sysusers.d/rigbus.conf /etc/tmpfiles.d/rigbus.conf /etc/udev/rules.d/60-rigbus.rules
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl reset-failed 'rigbus-*' 2>/dev/null || true
fi
if [ "$(readlink "$LINK" || true)" = "$OPT/venv/bin/rigbus" ]; then rm -f "$LINK"; fi
rm -rf "$OPT"

if [ "${PURGE:-}" = 1 ]; then
    rm -rf /etc/rigbus /var/lib/rigbus /run/rigbus
    for unit in "${units[@]}"; do rm -rf "$unit.d"; done
    if getent passwd rigbus >/dev/null; then userdel rigbus; fi
    if getent group rigbus >/dev/null; then groupdel rigbus; fi
    say "rigbus is gone, with its configuration and data"
else
    say "rigbus is gone; /etc/rigbus, /var/lib/rigbus and /run/rigbus are as they were (make uninstall PURGE=1 takes them too)"
fi
