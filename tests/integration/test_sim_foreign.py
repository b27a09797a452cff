"""Client libraries that are not ours, pointed at the simulator: they connect, authenticate and receive.

They are not shipped. Skipped unless DANMAKUD_FOREIGN_CLIENTS names a directory outside the tree where
`npm install bilibili-live-ws bilibili-live-danmaku` was run; needs node.

    DANMAKUD_FOREIGN_CLIENTS=/tmp/clients DANMAKUD_BUILD=build/dev /usr/bin/python3 -m pytest tests/integration/test_sim_foreign.py
"""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import test_sim as base

sim_of = base.sim
WHERE = os.environ.get("DANMAKUD_FOREIGN_CLIENTS")
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "sim" / "foreign.cjs"


@pytest.mark.skipif(not WHERE or not shutil.which("node"), reason="DANMAKUD_FOREIGN_CLIENTS is not set, or no node")
@pytest.mark.parametrize("library, transport", [("bilibili-live-ws", "tcp"), ("bilibili-live-ws", "ws"),
                                                ("bilibili-live-ws", "wss"), ("bilibili-live-danmaku", "ws"),
                                                ("bilibili-live-danmaku", "wss")])
def test_connects_and_receives(sim_of, tmp_path, library, transport):
    # These libraries understand heartbeat replies of version 1 only.
    s = sim_of("--http", 0, "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--tls-dir", tmp_path / "tls", "--reply-ver", 1,
               "--full", "--rate", 200, "--rooms", 1)
    r = subprocess.run(["node", str(SCRIPT), library, transport, s.ready["http"], "1001", "300"], cwd=WHERE, timeout=300,
                       env={**os.environ, "NODE_EXTRA_CA_CERTS": s.ready["ca"]}, capture_output=True, text=True, check=False)
    seen = json.loads(r.stdout.splitlines()[-1])
    assert r.returncode == 0, seen
    assert seen["messages"] >= 300 and seen["heartbeats"] >= 1 and seen["commands"]["DANMU_MSG"] > 50
    assert s.stats()["auth_failed"] == s.stats()["auth_other_buvid"] == s.stats()["bad_packets"] == 0
