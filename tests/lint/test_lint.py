#!/usr/bin/python3
"""The lint itself is tested: a tree with a planted fault must fail, with the right message."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = [
    ("layers.py", "api/x.c", '#include "collector/collector.h"\n', "api may not include collector/collector.h"),
    ("layers.py", "collector/wire/x.c", '#include "server/loop/loop.h"\n', "collector/wire may not include"),
    ("layers.py", "tests/sim/x.c", '#include "collector/wire/packet.h"\n', "tests/sim may not include"),
    ("layers.py", "api/x.c", "#include <libpq-fe.h>\n", "<libpq-fe.h> belongs to"),
    ("layers.py", "api/x.c", '#include "x.h"\n', "rooted at the repository"),
    ("text.py", "api/x.c", "int x;\n" * 700, "at most 600"),
    ("text.py", "api/x.c", "void f(void)\n{\n    free(p);\n}\n", "memory comes from mem_*"),
    ("text.py", "api/x.c", "void f(void)\n{\n    sleep(1);\n}\n", "blocks the loop"),
    ("text.py", "api/x.c", "void f(void)\n{\n" + "    g();\n" * 90 + "}\n", "f has 90 lines"),
    ("text.py", "api/x.h", "int x;\n", "no #pragma once"),
]


def run(script, path, text, more=None):
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["git", "init", "-q", d], check=True)
        for name, content in {path: text, **(more or {})}.items():
            os.makedirs(os.path.join(d, os.path.dirname(name)))
            with open(os.path.join(d, name), "w", encoding="utf-8") as f:
                f.write(content)
        return subprocess.run([sys.executable, os.path.join(HERE, script), d], capture_output=True, text=True)


failed = 0
for script, path, text, want in CASES:
    r = run(script, path, text)
    if r.returncode == 0 or want not in r.stdout:
        failed += 1
        print(f"FAIL {script} did not report {want!r}: {r.stdout}{r.stderr}")
for script in ("layers.py", "text.py"):
    r = run(script, "api/x.c", '#include "server/core/str.h"\nint x(void);\n')
    if r.returncode != 0:
        failed += 1
        print(f"FAIL {script} reports a clean tree: {r.stdout}{r.stderr}")
KEY = 'X(k, MS, 1, 0, 9, "time", 1, 0, "What.")\n'
for code, want in (("static void make_x(struct app *app)\n{\n    f(app->config->k);\n}\n", "read at the start only"),
                   ("void app_x_open(void)\n{\n    f(c->k);\n}\nvoid g(void)\n{\n    f(c->k);\n}\n", "app_x_open reads it once"),
                   ("void g(void)\n{\n    f(c->k);\n}\n", None)):
    r = run("reload.py", "server/app/x.c", code, {"server/config/config_keys.def": KEY})
    if r.returncode != (want is not None) or (want or " 0 problems") not in r.stdout:
        failed += 1
        print(f"FAIL reload.py did not report {want!r}: {r.stdout}{r.stderr}")
print(f"lint of lint: {len(CASES) + 5} cases, {failed} failed")
sys.exit(1 if failed else 0)
