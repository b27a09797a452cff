#!/usr/bin/python3
"""A setting that is read only where parts are made must not be marked as reloadable: SIGHUP would take it over, name it
nowhere and change nothing.

Looks at the text only: which functions read `config->key` or `c->key`. Exit 1 if there is a problem.
"""
import os
import re
import subprocess
import sys

from text import ROOT, functions, lines_of, strip

KEYS = "server/config/config_keys.def"
ROW = re.compile(r'^X\((\w+), .*?"(?:[^"\\]|\\.)*", ([01]), [01], "')
ONCE = re.compile(r"^(make_\w+|app_\w+_open|app_run)$")  # run at the start, and never again
# Keys that are also read where a part is made -> who compares and applies them later.
LATER = {
    "session_merge": ("server/app/app_sessions.c", "on_tick"),
    "upstream_hosts": ("server/app/app_upstream.c", "app_upstream_configure"),
    "upstream_ca_file": ("server/app/app_upstream.c", "app_upstream_configure"),
    "connect_interval": ("server/app/app_upstream.c", "app_upstream_configure"),
    "status_interval": ("server/app/app_sessions.c", "on_tick"),
}


def reads():
    """(key, file, function) of each place that reads a setting."""
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "server", "api"],
                           capture_output=True, text=True, check=True).stdout.split("\n")
    for path in files:
        if not path.endswith(".c") or path.startswith("server/config/") or not os.path.exists(os.path.join(ROOT, path)):
            continue
        code = strip("\n".join(lines_of(path))).split("\n")
        for name, start, n in functions(code):
            for key in re.findall(r"\b(?:c|config)->(\w+)", "\n".join(code[start:start + n])):
                yield key, path, name


def main():
    rows = [ROW.match(line) for line in lines_of(KEYS) if line.startswith("X(")]
    problems = [f"{KEYS}: a row that is not understood"] if None in rows else []
    places = set(reads())
    for row in rows:
        if row is None or row.group(2) == "0":
            continue
        key = row.group(1)
        mine = [(path, name) for k, path, name in places if k == key]
        if all(ONCE.match(name) for _, name in mine):
            problems.append(f"{key} is reloadable but read at the start only")
        elif key in LATER:
            if LATER[key] not in mine:
                problems.append(f"{key} is reloadable, but {LATER[key][1]} of {LATER[key][0]} does not read it")
        else:
            problems += [f"{key} is reloadable but {path}: {name} reads it once" for path, name in sorted(mine) if ONCE.match(name)]
    print("\n".join(problems))
    print(f"lint reload: {len(rows)} settings, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
