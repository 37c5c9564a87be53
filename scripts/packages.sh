#!/usr/bin/env bash
# Sourced by install.sh: which packages a distribution must bring, and how they are got. The environment needs venv;
# gpiod and i2c-tools are the tools that `rigbus doctor` names.

is_arm() { case "$(uname -m)" in aarch64 | arm*) true ;; *) false ;; esac; }

package_manager() {
    local name
    for name in apt-get dnf yum pacman; do
        if command -v "$name" >/dev/null; then
            echo "$name"
            return
        fi
    done
    echo none
}

# lgpio has no wheel for Python 3.13: there it comes from apt, and the environment sees the system's modules.
gpio_from_apt() {
    is_arm && [ "$(package_manager)" = apt-get ] &&
        "$(find_python || echo false)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null
}

packages() {
    case "$1" in
    apt-get) echo python3-venv gpiod i2c-tools ;;
    dnf | yum) echo libgpiod-utils i2c-tools ;;
    pacman) echo python libgpiod i2c-tools ;;
    esac
    # where the system's Python is older than 3.11
    case "$1" in dnf | yum) find_python >/dev/null || echo python3.12 ;; esac
    if [ "$1" = apt-get ] && gpio_from_apt; then echo python3-lgpio python3-rpi-lgpio; fi
    # pyzmq, msgpack and others have no ARMv7 wheels: these build them. The kernel may be of 64 bit all the same.
    if [ "$1" = apt-get ] && [ "$(dpkg --print-architecture)" = armhf ]; then
        echo build-essential python3-dev cmake ninja-build libzmq3-dev
    fi
}

is_installed() {
    case "$1" in
    apt-get) dpkg-query -W -f '${Status}' "$2" 2>/dev/null | grep -q 'ok installed' ;;
    dnf | yum) rpm -q "$2" >/dev/null 2>&1 ;;
    pacman) pacman -Q "$2" >/dev/null 2>&1 ;;
    esac
}

get_packages() {
    local manager=$1
    shift
    case "$manager" in
    apt-get) apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" ;;
    dnf | yum) "$manager" install -y -q "$@" ;;
    pacman) pacman -S --needed --noconfirm --quiet "$@" ;;
    esac
}

# Gets what is missing; where all is there nothing is asked of a network. What cannot be had is said, no more: whether
# it goes on without shows at the next step.
system_packages() {
    local manager package missing=()
    manager=$(package_manager)
    if [ "$manager" = none ]; then
        say "no apt-get, dnf, yum or pacman here: see to Python 3.11 to 3.13 with venv, gpiod and i2c-tools yourself"
        return
    fi
    for package in $(packages "$manager"); do
        is_installed "$manager" "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "by $manager: ${missing[*]}"
    if get_packages "$manager" "${missing[@]}" >/dev/null; then return; fi
    for package in "${missing[@]}"; do # one that this distribution does not have keeps away no other
        get_packages "$manager" "$package" >/dev/null 2>&1 || say "$manager did not get $package; going on without"
    done
}
