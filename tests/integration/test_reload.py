"""SIGHUP: the rooms of the configuration, whatever state the database is in."""
import signal

from harness import wait_for


def test_rooms_added_while_the_database_is_away(danmakud, postgres, rows, tmp_path):
    ini = tmp_path / "danmakud.ini"
    ini.write_text("rooms = 41\nupstream_hosts = 127.0.0.1:1\n")
    d = danmakud("--config", str(ini), "--query-timeout", "1s", record=False)
    wait_for("the room of the start", lambda: rows("SELECT room_id FROM room") == [(41,)])
    postgres.stop(signal.SIGQUIT)
    wait_for("/readyz to say so", lambda: d.get("/readyz").status_code == 503)
    ini.write_text("rooms = 41, 42\nupstream_hosts = 127.0.0.1:1\n")
    d.signal(signal.SIGHUP)
    wait_for("the failure to be told", lambda: "rooms are not noted in the database yet" in d.log_text())
    postgres.start()
    wait_for("both rooms", lambda: rows("SELECT room_id FROM room ORDER BY 1") == [(41,), (42,)])


def test_what_needs_a_restart_is_named(danmakud, tmp_path):
    ini = tmp_path / "danmakud.ini"
    ini.write_text("rooms = 41\nupstream_hosts = 127.0.0.1:1\n")
    d = danmakud("--config", str(ini), record=False)
    ini.write_text("rooms = 41\nupstream_hosts = 127.0.0.1:2\nbatch_rows = 7\nuser_agent = x\nmax_rooms = 9\n")
    d.signal(signal.SIGHUP)
    wait_for("the reload", lambda: "configuration reloaded" in d.log_text())
    line = next(x for x in d.log_text().splitlines() if "configuration reloaded" in x)
    assert "user_agent" in line and "batch_rows" in line
    assert "max_rooms" not in line and "upstream_hosts" not in line
