#!/usr/bin/env bash
# `make install`. As a user: the environment .venv and the file .env in this checkout. As root: services.
#   WHEELS=DIR        Python packages come from this folder, and nothing from a network
#   PYTHON=FILE       the Python to build on; default: the one of before, else the system's, 3.11 to 3.13
#   INFLUX_CLI=1      the command `influx` too, by apt; or INFLUX_CLI=FILE.tar.gz INFLUX_CLI_SHA256=SUM
# Run it as often as you like: configuration and data stay as they are, what did not change is not restarted, and what
# was stopped is not started. What goes where: docs/install.md.
set -euo pipefail
umask 022 # by default sudo adds the user's, and the daemons have to read what is made here
cd "$(dirname "$0")/.."
shopt -s nullglob

readonly OPT=/opt/rigbus VENV=/opt/rigbus/venv ETC=/etc/rigbus LINK=/usr/local/bin/rigbus
renewed=""

say() { echo "install: $*"; }
fail() {
    echo "install: $*" >&2
    exit 1
}

# shellcheck source-path=SCRIPTDIR source=packages.sh
. scripts/packages.sh

# What the environment was made with goes on: another would throw it away. After an upgrade of the distribution that is
# the new python3, as it is a link. Then the system's: apt's modules fit no other, and the daemons may not read what is
# in somebody's home. One that was named, and no other.
find_python() {
    local candidate before candidates
    before=$(readlink -f "$VENV/bin/python" || true)
    candidates=("$before" /usr/bin/python3 /usr/bin/python3.1[321] python3 python3.13 python3.12 python3.11)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
pip() { "$VENV/bin/python" -m pip --disable-pip-version-check "$@"; }

# Told before the change, and kept until what runs was restarted: an installation that is cut short is not done.
change() {
    mkdir -p "$OPT"
    touch "$OPT/changed"
}

# put MODE GROUP FILE TARGET: copies what differs, and notes that something did.
put() {
    if ! cmp -s "$3" "$4"; then
        change
        install -D -m "$1" "$3" "$4"
    fi
    chown "root:$2" "$4"
    chmod "$1" "$4"
}

environment() {
    local base version options=()
    base=$(find_python) || fail "no Python 3.11, 3.12 or 3.13: ${PYTHON:-none here, PYTHON=/path/to/python3.11 names one}"
    "$base" -c 'import ensurepip, venv' 2>/dev/null || fail "$base has no venv module (Debian: apt install python3-venv)"
    # The mark is written last: without it the environment is a part of one. After an upgrade of the distribution its
    # python is the new one, and its libraries are those of the old one.
    version=$(version_of "$base")
    if [ "$(cat "$VENV/made" 2>/dev/null)" != "$version" ] || [ "$(version_of "$VENV/bin/python")" != "$version" ]; then
        say "making $VENV with $base"
        if gpio_from_apt; then options=(--system-site-packages); fi
        rm -rf "$VENV" "$OPT/installed"
        mkdir -p "$OPT"
        chmod 755 "$OPT"
        "$base" -m venv "${options[@]}" "$VENV"
        echo "$version" >"$VENV/made"
    fi
}

wheel() {
    local build tools wheel earlier
    build=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$build'" EXIT
    say "installing rigbus and what it needs into $VENV (minutes on a small Pi)"
    tools=$(sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml)
    pip install -q "$tools"
    pip wheel -q --no-deps --no-build-isolation -w "$build" .
    wheel=$(echo "$build"/rigbus-*.whl)
    earlier=("$VENV"/lib/python3*/site-packages/rigbus-*.dist-info)
    # first what it needs: a daemon that runs imports some of rigbus late, and old and new lie mixed for seconds only
    pip install -q -c constraints.txt "${wheel}[web,influx,plot]"
    if [ ${#earlier[@]} -gt 0 ]; then pip install -q --no-deps --force-reinstall "$wheel"; fi
}

# optional EXTRA MODULE WITHOUT: what a machine may lack the wheels for. Never compiled here; tried again where it is missing.
optional() {
    if [ -z "$renewed" ] && "$VENV/bin/python" -c "import $2" 2>/dev/null; then return; fi
    pip install -q --retries 1 -c constraints.txt --only-binary pyarrow,lgpio,gpiod,cyclonedds "rigbus[$1]" 2>/dev/null ||
        "$VENV/bin/python" -c "import $2" 2>/dev/null || say "no wheel of $2 for this machine: $3"
}

application() {
    local sum
    sum=$(find common daemons pyproject.toml constraints.txt -type f ! -path '*/__pycache__/*' -print0 | sort -z |
        xargs -0 sha256sum | sha256sum)
    if [ "$sum" != "$(cat "$OPT/installed" 2>/dev/null)" ]; then
        change
        renewed=yes
        rm -f "$OPT/installed" # else the checkout of before would be taken for installed if this one is cut short
        wheel
        sync -f "$OPT"
        echo "$sum" >"$OPT/installed"
    fi
    optional export pyarrow "no Parquet files"
    optional rpi gpiod "GPIO by what else there is (docs/raspberry-pi.md)"
    optional dds cyclonedds "no robot arm, or by scripts/install-cyclonedds.sh $VENV/bin/python"
    if [ -e "$LINK" ] && [ "$(readlink "$LINK")" != "$VENV/bin/rigbus" ]; then
        say "$LINK is somebody else's: it stays, and rigbus is $VENV/bin/rigbus"
    else
        mkdir -p "${LINK%/*}"
        ln -sfn "$VENV/bin/rigbus" "$LINK"
    fi
}

users() {
    put 644 root systemd/sysusers.d/rigbus.conf /etc/sysusers.d/rigbus.conf
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers /etc/sysusers.d/rigbus.conf
        return
    fi
    local group
    for group in rigbus gpio i2c; do
        getent group "$group" >/dev/null || groupadd --system "$group"
    done
    getent passwd rigbus >/dev/null ||
        useradd --system --gid rigbus --home-dir /var/lib/rigbus --no-create-home --shell /usr/sbin/nologin rigbus
}

# Never overwritten. The first time the devices are those that this machine has: nothing in a record is simulated.
configuration() {
    local example shipped=$OPT/rigbus.toml.shipped
    install -d -m 750 -o root -g rigbus "$ETC"
    install -d -m 2750 -o root -g rigbus "$ETC/conf.d" # an example that root copies is for the group, too
    if [ ! -e "$ETC/rigbus.toml" ]; then
        if [ ! -e "$ETC/conf.d/00-devices.toml" ]; then
            # whole or not there: half of it would leave simulated devices on
            scripts/devices.sh >"$OPT/00-devices.toml"
            install -m 640 -o root -g rigbus "$OPT/00-devices.toml" "$ETC/conf.d/.00-devices.toml"
            mv "$ETC/conf.d/.00-devices.toml" "$ETC/conf.d/00-devices.toml"
            rm "$OPT/00-devices.toml"
        fi
        install -m 640 -o root -g rigbus config/rigbus.toml "$ETC/.rigbus.toml"
        mv "$ETC/.rigbus.toml" "$ETC/rigbus.toml"
    elif cmp -s config/rigbus.toml "$ETC/rigbus.toml"; then
        rm -f "$ETC/rigbus.toml.new"
    elif ! cmp -s config/rigbus.toml "$shipped"; then
        install -m 640 -o root -g rigbus config/rigbus.toml "$ETC/rigbus.toml.new"
        say "$ETC/rigbus.toml is yours and stays; the one of this version lies beside it: rigbus.toml.new"
    fi
    install -m 644 config/rigbus.toml "$shipped"
    for example in config/conf.d/*.example; do
        cmp -s "$example" "$ETC/conf.d/${example##*/}" || install -m 640 -o root -g rigbus "$example" "$ETC/conf.d/"
    done
    if [ ! -e "$ETC/.env" ]; then
        install -m 600 /dev/null "$ETC/.env"
        sed 's/^\([A-Z]\)/# \1/' .env.example >"$ETC/.env"
    fi
}

units() {
    local file unit
    for file in systemd/*.service systemd/*.target systemd/*.slice; do
        put 644 root "$file" "/etc/systemd/system/${file##*/}"
    done
    put 644 root systemd/tmpfiles.d/rigbus.conf /etc/tmpfiles.d/rigbus.conf
    for file in systemd/udev/*.rules; do
        put 644 root "$file" "/etc/udev/rules.d/${file##*/}"
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        if ! { udevadm control --reload && udevadm trigger --subsystem-match=gpio --subsystem-match=i2c-dev; } 2>/dev/null; then
            say "no udev here: who may use GPIO lines and I2C buses is up to you"
        fi
    fi
    systemd-tmpfiles --create /etc/tmpfiles.d/rigbus.conf
    # once each: one that was disabled since then stays so
    touch "$OPT/enabled"
    for file in systemd/*.target systemd/*.service; do
        unit=${file##*/}
        if ! grep -qx "$unit" "$OPT/enabled"; then
            systemctl -q enable "$unit"
            echo "$unit" >>"$OPT/enabled"
        fi
    done
}

influx_cli() {
    if command -v influx >/dev/null; then return; fi
    if [ "$1" = 1 ]; then
        if [ "$(package_manager)" = apt-get ] && get_packages apt-get influxdb2-cli >/dev/null 2>&1; then return; fi
        fail "apt has no influxdb2-cli: get the archive from InfluxData, and give INFLUX_CLI=FILE.tar.gz INFLUX_CLI_SHA256=SUM"
    fi
    [ -n "${INFLUX_CLI_SHA256:-}" ] || fail "INFLUX_CLI=$1 needs INFLUX_CLI_SHA256, the checksum that its maker publishes"
    echo "$INFLUX_CLI_SHA256  $1" | sha256sum -c --quiet - >/dev/null 2>&1 || fail "$1 does not have the checksum INFLUX_CLI_SHA256"
    tar -xzf "$1" -C /usr/local/bin --no-same-owner --wildcards --no-anchored --transform 's#.*/##' influx ||
        fail "$1 holds no influx"
}

motor_runs() {
    "$VENV/bin/rigbus" ctl pump status --json --config "$ETC/rigbus.toml" 2>/dev/null |
        "$VENV/bin/python" -c 'import json, sys; sys.exit(not any(p["run"] for p in json.load(sys.stdin)["pumps"]))' 2>/dev/null
}

# What runs, or has failed in a rig that runs, and only if something changed. A motor that runs is not stopped for it.
restart() {
    local unit state running=() failed=()
    [ -d /run/systemd/system ] || return 0
    while read -r unit _ state _; do
        [ -e "systemd/$unit" ] || continue # rigbus-backup.service and such are the user's
        if [ "$unit" = rigbus-pump.service ] && motor_runs; then
            say "a motor runs: $unit goes on with what it was; when it rests: systemctl restart rigbus-pump"
        elif [ "$state" = failed ]; then
            # else somebody has stopped the rig, or this one
            if systemctl -q is-active rigbus.target && systemctl -q is-enabled "$unit"; then failed+=("$unit"); fi
        else
            running+=("$unit")
        fi
    done < <(systemctl list-units --plain --no-legend --state=active,activating,failed 'rigbus-*.service')
    if [ ${#failed[@]} -gt 0 ]; then
        say "had failed, trying again: ${failed[*]}"
        systemctl reset-failed "${failed[@]}" 2>/dev/null || true # what was started too often would be refused
        systemctl restart "${failed[@]}" || say "not all of them are well now: rigbus doctor"
    fi
    if [ ${#running[@]} -gt 0 ]; then
        say "restarting ${running[*]}"
        systemctl restart "${running[@]}" || fail "not all of them came back: rigbus doctor"
    fi
}

as_user() {
    make --no-print-directory .venv/.run .venv/.influx
    if [ -e /dev/gpiochip0 ]; then
        .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt --only-binary lgpio,gpiod \
            -e '.[rpi]' 2>/dev/null || say "no wheels for GPIO on this machine (docs/raspberry-pi.md)"
    fi
    if [ ! -e .env ]; then
        install -m 600 .env.example .env
        say ".env made from .env.example: InfluxDB's address and tokens go there, nowhere else"
    fi
    cat <<'END'
installed in this checkout: .venv and .env. Next:
  make run                       the rig on simulated devices, until Ctrl-C
  nano .env; make setup-influxdb; make verify
  sudo make install              services that start at boot
END
}

# As root, and as the services, who may read less.
check_configuration() {
    local wrong check=("$VENV/bin/rigbus" config check --config "$ETC/rigbus.toml")
    "${check[@]}" >/dev/null ||
        fail "the configuration has to be mended, see above; what runs was not restarted. Then: systemctl restart rigbus.target"
    wrong=$(cd / && setpriv --reuid=rigbus --regid=rigbus --init-groups "${check[@]}" 2>&1 >/dev/null) ||
        fail "as the user rigbus: ${wrong##*$'\n'}; what runs was not restarted. For a file: chgrp rigbus FILE; chmod g+r FILE"
}

as_root() {
    command -v systemctl >/dev/null || fail "rigbus is installed as systemd units, and there is no systemd here"
    [ -z "${INFLUX_CLI:-}" ] || influx_cli "$INFLUX_CLI"
    system_packages
    environment
    application
    users
    configuration
    units
    check_configuration
    sync
    if [ -e "$OPT/changed" ]; then restart; fi
    rm -f "$OPT/changed"
    echo "rigbus is installed in $OPT. Devices, from $ETC/conf.d:"
    sed -n -E "s/^# ((meters|vibration|thermostats|pumps|robot arm): .*)/  \1/p" "$ETC/conf.d/00-devices.toml" 2>/dev/null || true
    echo "Next:"
    if ! systemctl -q is-active rigbus.target 2>/dev/null; then
        echo "  sudo systemctl start rigbus.target     # nothing was started yet; from now on it starts at boot"
    fi
    echo "  sudo rigbus doctor                     # what is there, what is missing, what mends it"
    echo "  sudo usermod -aG rigbus ${SUDO_USER:-YOU}         # who may use rigbus without sudo, after a new login"
}

if [ -n "${WHEELS:-}" ]; then
    [ -d "$WHEELS" ] || fail "WHEELS=$WHEELS is no folder"
    case "$WHEELS" in *[[:space:]]*) fail "WHEELS=$WHEELS: pip takes no folder with a space in its name" ;; esac
    PIP_FIND_LINKS=$(realpath "$WHEELS")
    export PIP_NO_INDEX=1 PIP_FIND_LINKS
fi
export PIP_ROOT_USER_ACTION=ignore
if [ "$(id -u)" = 0 ]; then as_root; else as_user; fi
