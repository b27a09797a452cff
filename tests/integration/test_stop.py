"""What happens to those who still ask while danmakud stops."""
import signal

import requests

from harness import wait_for


def test_requests_while_the_writer_drains(sim, danmakud, postgres):
    s = sim("--rooms", "2", "--rate", "100")
    d = danmakud("--shutdown-deadline", "3s", *s.args_for_rooms(), record=False)
    wait_for("some rows", lambda: d.metric("danmakud_rows_written_total") > 10)
    client = requests.Session()
    assert client.get(d.base + "/livez", timeout=5).status_code == 200
    postgres.hang()
    answers = []
    try:
        d.signal(signal.SIGTERM)
        wait_for("the stop to begin", lambda: 'msg="stopping"' in d.log_text() or 'msg=stopping' in d.log_text())
        while d.running():
            for path in ("/readyz", "/metrics", f"/api/v1/rooms/{s.rooms[0]}/events?limit=3",
                         "/api/v1/rooms/99/events?limit=3"):
                try:
                    answers.append(client.get(d.base + path, timeout=1).status_code)
                except requests.RequestException:
                    pass
    finally:
        postgres.unhang()
    assert d.proc.wait(30) == 0, d.tail()
    assert 503 in answers
    assert set(answers) <= {200, 404, 503}
