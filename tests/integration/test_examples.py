"""The examples of docs/api.md, line by line as they stand there, against a service like that of `./run --demo`."""
import os
import re
import subprocess

import harness
from harness import wait_for
from test_discovery import args_for
from test_upstream import web  # noqa: F401

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
# A stream goes on for ever: two seconds of it do. What is answered with an error ends the script; a token that is used within
# a second of another one's first use may have to be sent again.
BEFORE = """set -eu
curl() {
    local status=0 most=(--retry 5 --retry-delay 1 --retry-all-errors)
    [ "$1" != -N ] || most=(-m 2)
    command curl -sS --fail-with-body "${most[@]}" "$@" || status=$?
    [ "$status" -eq 0 ] || { [ "$status" -eq 28 ] && [ "$1" = -N ]; }
}
"""


def blocks():
    with open(os.path.join(ROOT, "docs/api.md"), encoding="utf-8") as f:
        found = re.findall(r"^```sh\n(.*?)^```", f.read(), re.S | re.M)
    return [re.sub(r"^(B|D)=.*\n", "", block, flags=re.M) for block in found]


def test_examples_work_as_they_stand(web, danmakud, database, postgres, tmp_path):  # noqa: F811
    s = web("--rooms", "120", "--rate", "200", "--full")
    d = danmakud(*args_for(s, "--discover", "top:10", "--connect-interval", "0"), record=False)
    wait_for("rooms on air", lambda: [r for r in d.json("/api/v1/rooms")["data"] if r["live"] and r["collection"]
                                      and r["collection"]["state"] == "connected" and r["collection"]["events"] > 20])
    wait_for("sessions", lambda: all(d.json(f"/api/v1/rooms/{r['room_id']}/sessions")["data"]
                                     for r in d.json("/api/v1/rooms")["data"] if r["live"]))
    program = tmp_path / "danmakud"  # the service has no private PostgreSQL here
    program.write_text(f"""#!/bin/bash
args=()
for a; do [ "$a" = --data-dir ] || [ "$a" = here ] || args+=("$a"); done
exec {harness.DANMAKUD} "${{args[@]}}" --database-url '{postgres.url(database)}'
""")
    program.chmod(0o755)
    found = blocks()
    assert len(found) >= 9
    for block in found:
        assert not re.search(r"\b20\d\d-\d\d-\d\d|\b\d{15,}\b", re.sub(r"#.*", "", block)), "a date or id that nobody else has:\n" + block
    script = BEFORE + "\n".join(found)
    p = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, timeout=4 * harness.TIMEOUT, cwd=tmp_path,
                       env={**{k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}, "B": d.base, "D": str(program), "DIR": "here", "TZ": "Asia/Shanghai"})
    assert p.returncode == 0, p.stdout[-2000:] + p.stderr[-2000:]
    for word in ("event: hello", "event: danmaku", "danmakud_events_published_total", '"columns"', "grafana"):
        assert word in p.stdout, word
