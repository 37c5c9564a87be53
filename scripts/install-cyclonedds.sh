#!/bin/sh
# Installs cyclonedds for Python where PyPI has no wheel: on a Raspberry Pi, against Debian's CycloneDDS.
# Usage: scripts/install-cyclonedds.sh [PYTHON], by default .venv/bin/python of this checkout.
#
# 0.10.5 is the newest version that builds against the CycloneDDS 0.10.2 of Debian 12 and Raspberry Pi OS; it speaks
# with 11.x. The build takes about ten seconds on a PC, a few minutes on a small Pi.
set -eu

version=0.10.5
here=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-$here/.venv/bin/python}

fail() {
    echo "install-cyclonedds: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "no $python: run make setup first, or name a Python"

missing=""
for package in cyclonedds-dev gcc libc6-dev; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
header=$("$python" -c 'import os, sysconfig; p = sysconfig.get_path("include"); print(os.path.exists(p + "/Python.h"))')
[ "$header" = True ] || missing="$missing python3-dev"
if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || fail "first: sudo apt-get install --no-install-recommends$missing"
    apt-get update -qq || fail "apt-get update failed"
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing || fail "apt-get failed"
fi

# its build looks for CycloneDDS in one place, and Debian keeps libraries in a folder of the architecture's own
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
triplet=$(gcc -print-multiarch)
ln -s /usr/include "$home/include"
ln -s /usr/bin "$home/bin"
ln -s "/usr/lib/$triplet" "$home/lib"

CYCLONEDDS_HOME=$home "$python" -m pip install --no-binary cyclonedds "cyclonedds==$version" ||
    fail "cyclonedds $version could not be built, see above"
"$python" -c 'import cyclonedds.domain' || fail "cyclonedds $version is installed, but cannot be imported"
echo "cyclonedds $version is installed for $python"
