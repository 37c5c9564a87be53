#!/usr/bin/env bash
# `make deploy HOST=pi.local [USER=pi]`: copies this checkout (what git has of it) to ~/rigbus there by rsync over ssh,
# then runs `sudo make install` in it. It shows first what would change, and asks; YES=1 does not ask.
#   WHEELS=DIR   wheels for that machine's Python go along, to ~/rigbus-wheels, and it needs no network
# Of what is in ~/rigbus there and not in git only .git, .venv, var, .env and config/conf.d/*.toml stay.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "deploy: $*" >&2
    exit 1
}

[ -n "${HOST:-}" ] || fail "to which machine? make deploy HOST=pi.local USER=pi"
target=${USER:+$USER@}$HOST
case "$target" in
-* | *[!A-Za-z0-9@._-]*) fail "HOST=$HOST USER=${USER:-}: no name of a machine and a user" ;;
esac
for tool in git rsync ssh; do
    command -v "$tool" >/dev/null || fail "$tool is needed on this machine"
done
if [ -n "${WHEELS:-}" ]; then [ -d "$WHEELS" ] || fail "WHEELS=$WHEELS is no folder"; fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/rigbus"
# what git has, as it is on the disk now: edited files too, deleted ones not
git ls-files -z >"$stage/files" || fail "git cannot list the files of this checkout"
[ -s "$stage/files" ] || fail "git has no files here"
while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done <"$stage/files" | rsync -a --from0 --files-from=- ./ "$stage/rigbus/"

copy() {
    rsync -rlpcz --delete --exclude=/.git --exclude=/.venv --exclude=/var --exclude=/.env --exclude='/config/conf.d/*.toml' \
        --itemize-changes "$@" "$stage/rigbus/" "$target:rigbus/"
}

changes=$(copy --dry-run) || fail "rsync does not reach $target (rsync must be installed there too)"
if [ -n "$changes" ]; then
    echo "on $target, in ~/rigbus:"
    printf '%s\n' "$changes"
else
    echo "rigbus on $target is as it is here"
fi
if [ "${YES:-}" != 1 ]; then
    [ -t 0 ] || fail "nothing was changed; YES=1 goes on without asking"
    read -r -p "Copy that, and run sudo make install there? [y/N] " answer
    case "$answer" in y | Y | yes) ;; *) fail "nothing was changed" ;; esac
fi
copy >/dev/null
install="cd rigbus && sudo make install"
if [ -n "${WHEELS:-}" ]; then
    rsync -rt --delete "$WHEELS/" "$target:rigbus-wheels/"
    install+=" WHEELS=../rigbus-wheels"
fi
if [ -t 0 ]; then
    ssh -t "$target" "$install" # a terminal, for sudo's password
else
    # shellcheck disable=SC2029  # its text is the same on both sides
    ssh "$target" "$install"
fi
