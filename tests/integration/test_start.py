"""A start over stored ids that are of the future: it says so and waits, it neither aborts nor dates events into the future."""
import os
import subprocess

import harness
import pytest
from harness import wait_for

AN_HOUR_ON = "((extract(epoch FROM now()) * 1000)::int8 - 1577836800000 + 3600000) << 22"


class Waiting:
    """A process that does not get ready."""

    def __init__(self, directory, url):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
        self.path = os.path.join(directory, "waiting.log")
        with open(self.path, "wb") as log:
            self.proc = subprocess.Popen([harness.DANMAKUD, "run", "--database-url", url, "--data-dir", directory, "--discover", "off",
                                          "--listen", "127.0.0.1:0"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def says(self, *texts):
        assert self.proc.poll() is None, self.text()
        return all(t in self.text() for t in texts)

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.proc.terminate()
        return self.proc.wait(harness.TIMEOUT)


@pytest.mark.parametrize("value", [str((1 << 63) - 1), AN_HOUR_ON], ids=["end_of_range", "an_hour"])
@pytest.mark.parametrize("table,column", [("writer_mark", "last_id"), ("session_mark", "upto_id")])
def test_a_mark_of_the_future(postgres, database, danmakud, tmp_path, table, column, value):
    d = danmakud()
    assert d.stop() == 0
    with postgres.connect(database) as c:
        c.execute("INSERT INTO session_mark (node, upto_id) SELECT node, 1 FROM writer_mark ON CONFLICT DO NOTHING")
        assert c.execute(f"UPDATE {table} SET {column} = {value}").rowcount == 1
    w = Waiting(str(tmp_path), postgres.url(database))
    try:
        wait_for("the reason", lambda: w.says("an id that is stored is of the future", table, "trying again"))
        assert "danmakud ready" not in w.text()
    finally:
        assert w.stop() == 0
    with postgres.connect(database) as c:
        c.execute(f"UPDATE {table} SET {column} = 1")
    assert danmakud().stop() == 0
