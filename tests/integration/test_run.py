"""./run: what starts with it stops with it. The build is left out: the programs under test are put where it would be."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

import pytest
import requests

import harness
from harness import wait_for

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


@pytest.fixture
def tree():
    """A directory with ./run and the programs, and who runs it: never root, who would install things."""
    d = tempfile.mkdtemp(prefix="dmrun", dir="/tmp")
    for path, program in (("b/server/app", harness.DANMAKUD), ("b/tests/sim", harness.SIM)):
        os.makedirs(f"{d}/{path}")
        shutil.copy(program, f"{d}/{path}")
    shutil.copy(f"{ROOT}/run", d)
    os.mkdir(f"{d}/bin")
    with open(f"{d}/bin/cmake", "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n")
    os.chmod(f"{d}/bin/cmake", 0o755)
    who = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", d], check=True)
    yield d, who
    shutil.rmtree(d, ignore_errors=True)


def processes_of(d):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if d.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def test_run_refuses_what_is_no_port(tree):
    d, who = tree
    for port in ("99999", "-1", "http"):
        p = subprocess.run([f"{d}/run", "--no-install", "--build-dir", "b", "--port", port], capture_output=True, text=True, cwd=d,
                           timeout=harness.TIMEOUT, **who)
        assert (p.returncode, "0 to 65535" in p.stderr) == (2, True), p.stderr


def test_run_finds_a_file_named_from_here(tree):
    """The configuration is read, and its problems told with its full name."""
    d, who = tree
    with open(f"{d}/my.ini", "w", encoding="ascii") as f:
        f.write("rooms = none\n")
    os.mkdir(f"{d}/elsewhere")
    env = {"PATH": f"{d}/bin:{os.environ['PATH']}", "HOME": d}
    for argument in (["--config", "../my.ini"], ["--config=../my.ini"]):
        p = subprocess.run(["../run", "--no-install", "--build-dir", f"{d}/b", "--data-dir", f"{d}/data", "--", *argument],
                           capture_output=True, text=True, cwd=f"{d}/elsewhere", timeout=harness.TIMEOUT, env=env, **who)
        assert p.returncode == 2 and f"{d}/my.ini:1: rooms: none" in p.stderr, p.stderr


def assert_found_by_itself(base):
    """The demo's rooms: nobody configured them."""
    def covered():
        rooms = requests.get(f"{base}/api/v1/rooms", timeout=harness.TIMEOUT).json()["data"]
        return [r for r in rooms if r["coverage"] and r["coverage"]["state"] == "ok"]
    rooms = wait_for("a room to be covered", covered)
    assert all(r["origin"] == "discovery" and r["rank"] and r["title"] for r in rooms), rooms


@pytest.mark.parametrize("how", ["ctrl_c", "terminal_closed"])
def test_run_stops_all_of_it(tree, how):
    d, who = tree
    env = {"PATH": f"{d}/bin:{os.environ['PATH']}", "HOME": d}
    with open(f"{d}/out", "wb") as out, open(f"{d}/err", "wb") as err:
        p = subprocess.Popen([f"{d}/run", "--demo", "--port", "0", "--no-install", "--build-dir", "b", "--data-dir", f"{d}/data"],
                             stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env, start_new_session=True, cwd=d, **who)

    def text(name):
        with open(f"{d}/{name}", encoding="utf-8", errors="replace") as f:
            return f.read()

    try:
        wait_for("ready", lambda: "danmakud ready: " in text("out") or p.poll() is not None)
        wait_for("a room", lambda: 'msg="live"' in text("err") or p.poll() is not None)
        assert p.poll() is None, text("err")
        assert_found_by_itself(text("out").split("danmakud ready: ")[1].split()[0])
        os.killpg(p.pid, signal.SIGINT if how == "ctrl_c" else signal.SIGHUP)  # as a terminal does
        assert p.wait(harness.TIMEOUT) == 0, text("err")
        assert "second signal" not in text("err")
        assert processes_of(f"{d}/") == []
    finally:
        for pid in processes_of(f"{d}/"):
            os.kill(pid, signal.SIGKILL)
