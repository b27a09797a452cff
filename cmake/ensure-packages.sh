#!/bin/sh
# ensure-packages.sh SECTION...: installs what cmake/packages.txt lists there and is not installed yet. Idempotent.
# A package that provides no daemon of its own is all we install: PostgreSQL's own cluster is neither made nor started.
set -eu
here=$(dirname "$0")
want=
for section in "$@"; do
    want="$want $(awk -v s="[$section]" '/^#/ { next } /^\[/ { on = ($0 == s); next } on { print }' "$here/packages.txt" | tr '\n' ' ')"
done
missing=
for p in $want; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "these packages are missing and this is no Debian system:$missing" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "run as root, or install sudo; missing packages:$missing" >&2; exit 1; }
    sudo=sudo
fi
echo "installing:$missing" >&2
# postgresql-common would make and start a cluster on the public port; ours is private.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $sudo mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
log=$(mktemp)
# shellcheck disable=SC2086 # the list is meant to split
if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt could not install the packages above" >&2
    exit 1
fi
rm -f "$log"
