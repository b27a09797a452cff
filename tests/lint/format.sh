#!/bin/sh
# Every C file is as clang-format 14 writes it.
set -eu
cd "$1"
git ls-files -co --exclude-standard '*.c' '*.h' | xargs -r ls 2>/dev/null | xargs clang-format --dry-run --Werror
