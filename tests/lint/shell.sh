#!/bin/sh
# Every shell script passes shellcheck.
set -eu
cd "$1"
git ls-files -co --exclude-standard | xargs -r ls 2>/dev/null | while read -r f; do
    head -c 20 "$f" 2>/dev/null | head -n 1 | grep -qE '^#!.*(/| )(ba)?sh' && echo "$f"
done | xargs shellcheck -x
