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
    assert 'need_restart="batch_rows, user_agent"' in line, line
    ini.write_text("rooms = 41\nupstream_hosts = 127.0.0.1:2\nbatch_rows = many\nlog_level = loud\n")
    d.signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "configuration not reloaded" in d.log_text())
    line = next(x for x in d.log_text().splitlines() if "configuration not reloaded" in x)
    told = line.split('problems="', 1)[1]
    assert ":3: batch_rows: " in told and f"; {ini}:4: log_level: " in told and "\\n" not in told, line
    assert told.endswith('none of debug|info|warn|error"'), line
