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


def run_once(tree, *args, **env):
    d, who = tree
    return subprocess.run([f"{d}/run", "--no-install", "--build-dir", f"{d}/b", "--port", "0", *args], capture_output=True, text=True,
                          cwd=d, timeout=harness.TIMEOUT, env={"PATH": f"{d}/bin:{os.environ['PATH']}", "HOME": d, **env}, **who)


def test_demo_takes_no_data_of_a_service_and_the_other_way_round(tree):
    d, who = tree
    for made, args, word in (("service/spool", ["--demo"], "a demo must not touch"), ("demo/demo-tls", [], "the data of a demo")):
        os.makedirs(f"{d}/{made}")
        p = run_once(tree, *args, "--data-dir", os.path.dirname(f"{d}/{made}"))
        assert p.returncode == 1 and word in p.stderr and "--data-dir" in p.stderr, p.stderr
        assert os.listdir(os.path.dirname(f"{d}/{made}")) == [os.path.basename(made)]


def test_demo_takes_no_database_from_the_environment(tree):
    """Nothing listens there, and the configuration is not even looked at: the bad number would be told."""
    d, who = tree
    p = run_once(tree, "--demo", "--data-dir", f"{d}/data", "--", "--rooms", "none", DANMAKUD_DATABASE_URL="postgresql://127.0.0.1:1/x",
                 DANMAKUD_MAX_ROOMS="many")
    assert p.returncode == 2 and "does not use DANMAKUD_DATABASE_URL" in p.stderr and "--rooms: none" in p.stderr, p.stderr
    assert "DANMAKUD_MAX_ROOMS: " not in p.stderr, p.stderr


def test_programs_of_another_directory_are_left_alone(tree):
    """Each data directory has its own copies; a program of it that runs is not replaced, whether or not it locks its data."""
    d, who = tree
    config = ["--", "--rooms", "none"]  # it ends at once
    assert run_once(tree, "--data-dir", f"{d}/one", *config).returncode == 2
    before = os.stat(f"{d}/one/bin/danmakud")
    assert run_once(tree, "--demo", "--data-dir", f"{d}/two", *config).returncode == 2
    assert os.stat(f"{d}/one/bin/danmakud").st_ino == before.st_ino
    with subprocess.Popen([f"{d}/one/bin/danmakud", "decode", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **who) as p:
        refused = run_once(tree, "--data-dir", f"{d}/one", *config)
        assert refused.returncode == 1 and f"a danmakud runs on {d}/one already" in refused.stderr, refused.stderr
        p.stdin.close()
    assert os.stat(f"{d}/one/bin/danmakud").st_ino == before.st_ino
    assert run_once(tree, "--data-dir", f"{d}/one", *config).returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="what root does")
def test_root_touches_no_installed_programs(tree):
    """In a file system of its own: a service's programs and data stay as they are, whatever the demo does."""
    d, _ = tree
    user = subprocess.run(["id", "danmakud"], capture_output=True, check=False)
    unshare = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    if user.returncode != 0 or unshare.returncode != 0:
        pytest.skip("no user danmakud, or no mounts")
    script = f"""set -e
mount -t tmpfs none /usr/local; mount -t tmpfs none /var/lib
mkdir -p /var/lib/danmakud/bin /var/lib/danmakud/spool; echo mine >/var/lib/danmakud/bin/danmakud
{d}/run --demo --no-install --build-dir {d}/b --port 0 -- --rooms none || [ $? = 2 ]
cat /var/lib/danmakud/bin/danmakud; find /var/lib/danmakud /usr/local/lib/danmakud -type f | sort -r; ls -d /var/lib/danmakud-demo/bin || true
stat -c %U /usr/local/lib/danmakud/var-lib-danmakud-demo
exec 8>/var/lib/danmakud/spool/LOCK; flock 8
{d}/run --no-install --build-dir {d}/b --port 0 -- --rooms none || echo status $?
"""
    p = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, cwd=d, timeout=harness.TIMEOUT,
                       env={"PATH": f"{d}/bin:{os.environ['PATH']}", "HOME": d})
    assert p.stdout.split() == ["mine", "/var/lib/danmakud/bin/danmakud", "/usr/local/lib/danmakud/var-lib-danmakud-demo/danmakud-sim",
                                "/usr/local/lib/danmakud/var-lib-danmakud-demo/danmakud", "root", "status", "1"], p.stdout + p.stderr
    assert "a danmakud runs on /var/lib/danmakud already" in p.stderr, p.stderr


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
        wait_for("a room", lambda: 'msg="connected"' in text("err") or p.poll() is not None)
        assert p.poll() is None, text("err")
        assert_found_by_itself(text("out").split("danmakud ready: ")[1].split()[0])
        second = run_once(tree, "--demo", "--data-dir", f"{d}/data")
        assert second.returncode == 1 and "stop it first" in second.stderr, second.stderr
        os.killpg(p.pid, signal.SIGINT if how == "ctrl_c" else signal.SIGHUP)  # as a terminal does
        assert p.wait(harness.TIMEOUT) == 0, text("err")
        assert "second signal" not in text("err")
        assert processes_of(f"{d}/") == []
    finally:
        for pid in processes_of(f"{d}/"):
            os.kill(pid, signal.SIGKILL)
