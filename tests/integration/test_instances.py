"""Two programs on one data directory, and commands beside a running service."""
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


@pytest.fixture
def place():
    """A data directory of the unprivileged user that the private PostgreSQL runs as."""
    d = tempfile.mkdtemp(prefix="dmi", dir="/tmp")
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(d, user.pw_uid, user.pw_gid)
    yield d
    shutil.rmtree(d, ignore_errors=True)


class Private(harness.Program):
    def __init__(self, logs, data_dir):
        super().__init__([harness.DANMAKUD, "run", "--data-dir", data_dir, "--listen", "127.0.0.1:0"], logs,
                         "danmakud ready: ", env=ENV)
        self.base = self.ready_line.split(": ", 1)[1]

    def ready(self):
        return requests.get(self.base + "/readyz", timeout=harness.TIMEOUT).status_code == 200


ENV = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}


def run(*args):
    return subprocess.run([harness.DANMAKUD, *args], capture_output=True, text=True, env=ENV, timeout=harness.TIMEOUT)


def postgres_runs(data_dir):
    pid = os.path.join(data_dir, "postgres", "postmaster.pid")
    return os.path.exists(pid)


def test_a_second_instance_and_commands_leave_the_first_alone(place, tmp_path):
    d = Private(str(tmp_path), place)
    try:
        assert d.ready()
        second = run("run", "--data-dir", place, "--listen", "127.0.0.1:0")
        assert second.returncode == 1 and "another danmakud uses this data directory" in second.stderr
        assert run("token", "list", "--data-dir", place).returncode == 0
        assert run("migrate", "--data-dir", place).returncode == 0
        assert postgres_runs(place)
        assert d.ready(), "the first instance keeps its database"
        if os.geteuid() == 0:
            owner = os.stat(os.path.join(place, "spool")).st_uid
            assert owner == pwd.getpwnam("nobody").pw_uid, "root steps down to the owner of the directory"
    finally:
        assert d.stop() == 0
    assert not postgres_runs(place)
    # A command on a stopped service starts the database for itself, and stops it again.
    assert run("token", "list", "--data-dir", place).returncode == 0
    wait_for("the database to be gone", lambda: not postgres_runs(place))


def test_a_private_server_that_dies_is_started_again(place, tmp_path):
    d = Private(str(tmp_path), place)
    try:
        assert d.ready()
        for n in (1, 2):
            with open(os.path.join(place, "postgres", "postmaster.pid"), encoding="ascii") as f:
                pid = int(f.readline())
            os.kill(pid, signal.SIGKILL)
            # Not by /readyz: who looks now and then may miss that it was away.
            for text in ("the private PostgreSQL has ended", "the private PostgreSQL runs again"):
                wait_for(f"danmakud to say: {text}", lambda text=text: d.log_text().count(text) == n)
            wait_for("the database to be back", d.ready)
        metrics = requests.get(d.base + "/metrics", timeout=harness.TIMEOUT).text
        assert "danmakud_private_postgres_restarts_total 2" in metrics
    finally:
        assert d.stop() == 0
    assert not postgres_runs(place)
