"""What happens to those who still ask while danmakud stops."""
import shutil
import signal

import requests

import harness
from harness import wait_for


def test_requests_while_the_writer_drains(sim, danmakud, postgres):
    s = sim("--rooms", "2", "--rate", "100")
    d = danmakud("--shutdown-deadline", "6s", *s.args_for_rooms(), record=False)
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 10)
    client = requests.Session()
    assert client.get(d.base + "/livez", timeout=harness.TIMEOUT).status_code == 200
    postgres.hang()
    answers = []
    try:
        d.signal(signal.SIGTERM)
        wait_for("the stop to begin", lambda: 'msg="stopping"' in d.log_text() or 'msg=stopping' in d.log_text())
        while d.running():
            for path in ("/readyz", "/metrics", f"/api/v1/rooms/{s.rooms[0]}/events?limit=3",
                         "/api/v1/rooms/99/events?limit=3"):
                try:
                    answers.append(client.get(d.base + path, timeout=3).status_code)
                except requests.RequestException:
                    pass
    finally:
        postgres.unhang()
    assert d.proc.wait(harness.TIMEOUT) == 0, d.tail()
    assert 503 in answers
    assert set(answers) <= {200, 404, 503}


def test_gaps_that_could_not_be_stored_yet(sim, danmakud, postgres, rows):
    s = sim("--rooms", "2", "--rate", "20000")
    small = ("--spool-max-bytes", "1M", "--spool-segment-bytes", "64k", "--shutdown-deadline", "1s",
             *s.args_for_rooms())
    d = danmakud(*small, record=False)
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 10)
    postgres.stop(signal.SIGQUIT)
    wait_for("events to be lost", lambda: d.metric("danmakud_events_lost_total") > 0)
    s.pause()
    assert d.stop() == 0, d.tail()
    postgres.start()
    d = danmakud(*small, record=False)
    wait_for("the gaps of both rooms", lambda: len(rows("SELECT DISTINCT room_id FROM coverage WHERE cause = 'overflow'")) == 2)


def test_events_that_are_nowhere_fail_the_stop(sim, danmakud, postgres, tmp_path):
    s = sim("--rooms", "2", "--rate", "20000")
    d = danmakud("--spool-segment-bytes", "64k", "--shutdown-deadline", "1s", *s.args_for_rooms(), record=False)
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 10)
    postgres.stop(signal.SIGQUIT)
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").write_text("no directory")
    wait_for("the spool to be degraded", lambda: "degraded" in d.log_text() or "mod=spool" in d.log_text())
    s.pause()
    assert d.stop() == 1, d.tail()
    assert "neither in the database nor in the spool" in d.log_text()
