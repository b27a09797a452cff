#!/usr/bin/python3
"""Who may include whom: the include table of ARCHITECTURE.md, enforced.

Prints every arrow that the table does not allow, and every third-party header outside its folder. Exit 1 if there is one.
"""
import os
import re
import subprocess
import sys

ROOT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CORE = "server/core"
LOOP = "server/loop"
EVENT, STATS, CONFIG = "server/event", "server/stats", "server/config"
FEED, SPOOL, DB, HTTP, CRYPTO = "server/feed", "server/spool", "server/db", "server/http", "server/crypto"

# folder -> folders it may include (itself always). The longest matching folder counts.
ALLOWED = {
    CORE: [],
    LOOP: [CORE],
    CRYPTO: [CORE],
    CONFIG: [CORE],
    STATS: [CORE],
    EVENT: [CORE],
    FEED: [CORE, EVENT, STATS],
    SPOOL: [CORE, LOOP, EVENT, STATS],
    DB: [CORE, LOOP, STATS],
    HTTP: [CORE, LOOP, STATS],
    "server/app": ["server", "collector", "api"],
    "collector/wire": [CORE, EVENT],
    "collector/net": [CORE, LOOP],
    "collector/upstream": [CORE, LOOP, STATS, CRYPTO],
    "collector/writer": [CORE, LOOP, EVENT, FEED, SPOOL, DB, STATS],
    "collector": [CORE, LOOP, EVENT, DB, STATS, CONFIG, CRYPTO, "collector/wire", "collector/net", "collector/upstream"],
    "api/encode": [CORE, EVENT],
    "api/query": [CORE, EVENT, CRYPTO, DB + "/db.h", "api/encode"],
    "api": ["server", "api"],
    "tests/sim": [CORE, LOOP],
    "tests": ["server", "collector", "api", "tests"],
}
NEVER = {"api": ["collector", "server/app"], "collector": ["api", "server/app", HTTP]}

# third-party header (prefix) -> folders that may include it; tests may include what they like but for the simulator.
CONFINED = {
    "microhttpd.h": [HTTP, "tests/sim"],
    "libpq-fe.h": [DB],
    "curl/": ["collector/upstream"],
    "wslay/": ["collector/net", "tests/sim"],
    "openssl/": ["collector/net", CRYPTO, "tests/sim"],
    "brotli/decode.h": ["collector/wire"],
    "libdeflate.h": ["collector/wire"],
    "protobuf-c/": ["collector/wire"],
    "zstd.h": ["collector/wire"],
    "ini.h": [CONFIG],
    "cjson/": ["collector/upstream", "api/handlers"],
    "systemd/": ["server/app"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def folder_of(path):
    best = None
    for folder in ALLOWED:
        if path.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def inside(path, allowed):
    return path == allowed or path.startswith(allowed.rstrip("/") + "/") or os.path.dirname(path) == allowed


def may_include(folder, target):
    if target.startswith(folder + "/"):
        return True
    for top, never in NEVER.items():
        if (folder == top or folder.startswith(top + "/")) and any(inside(target, n) for n in never):
            return False
    for allowed in ALLOWED[folder]:
        # A bare `collector` row never reaches further down than the rows it names.
        if allowed in ("server", "collector", "api", "tests"):
            if target.startswith(allowed + "/"):
                return True
        elif inside(target, allowed):
            return True
    return False


def check(path, problems):
    folder = folder_of(path)
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            kind, target = m.groups()
            where = f"{path}:{number}"
            if kind == '"':
                if "/" not in target:
                    problems.append(f'{where}: "{target}": includes are rooted at the repository')
                elif folder is None:
                    problems.append(f"{where}: {path} is in no folder of the table")
                elif not target.startswith(("server/", "collector/", "api/", "tests/")):
                    continue  # generated
                elif not may_include(folder, target):
                    problems.append(f"{where}: {folder} may not include {target}")
                if target.endswith("_priv.h") and not path.startswith("tests/unit/") \
                        and os.path.dirname(target) != os.path.dirname(path):
                    problems.append(f"{where}: {target} is private to its folder")
                continue
            for header, folders in CONFINED.items():
                if not target.startswith(header):
                    continue
                in_tests = path.startswith("tests/") and not path.startswith("tests/sim/")
                if not in_tests and not any(path.startswith(d + "/") for d in folders):
                    problems.append(f"{where}: <{target}> belongs to {', '.join(folders)} only")


def main():
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "*.c", "*.h", "*.def"],
                           capture_output=True, text=True, check=True).stdout.split()
    files = [f for f in files if os.path.exists(os.path.join(ROOT, f))]
    problems = []
    for path in files:
        check(path, problems)
    for p in problems:
        print(p)
    print(f"layers: {len(files)} files, {len(problems)} problems")
    return 1 if problems or not files else 0


sys.exit(main())
