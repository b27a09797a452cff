"""What nobody understands: counted by name with its shape, kept, and told to who may know."""
import json
import re

import harness
from harness import wait_for
from test_cli import cli

ROOM = 1001


def admin(postgres, database, scopes="read,stream,admin"):
    """Headers of a fresh token. Made before the service starts: it reads the table at start."""
    r = cli("token", "add", f"t{scopes}".replace(",", "_"), f"--scopes={scopes}", "--database-url", postgres.url(database))
    assert r.returncode == 0, r.stderr
    return {"Authorization": "Bearer " + re.search(r"dmk_[A-Za-z0-9_-]+", r.stdout).group(0)}


def emit(s, message, room=ROOM):
    s.command(f"emit {room} " + json.dumps(message))


def commands(d, auth):
    r = d.get("/api/v1/admin/unknown-commands", headers=auth)
    assert r.status_code == 200, r.text
    return {c["cmd"]: c for c in r.json()["data"]}


def metric(d, auth, name):
    """Of one without labels, or summed over them."""
    total = 0.0
    for line in d.get("/metrics", headers=auth).text.splitlines():
        if line.startswith(name) and line[len(name)] in " {":
            total += float(line.rsplit(" ", 1)[1])
    return total


def quiet_sim(sim):
    """One room in which nothing is said but what a test emits."""
    s = sim("--rooms", "1")
    s.command("pause")
    return s


def test_counted_with_their_shape_over_restarts(sim, danmakud, database, postgres):
    s = quiet_sim(sim)
    auth = admin(postgres, database)
    d = danmakud(*s.args_for_rooms())
    s.command("wait ready 1")
    emit(s, {"cmd": "NEVER_SEEN", "data": {"uid": 4711, "name": "secret name"}})
    emit(s, {"cmd": "NEVER_SEEN:3:2", "data": {"uid": 4712, "list": [{"a": 1.5}], "4711": True}})
    emit(s, {"cmd": "SEND_GIFT", "data": "no gift"})
    emit(s, {"no": "cmd"})
    wait_for("four messages", lambda: metric(d, auth, "danmakud_messages_total") >= 4)
    assert d.stop() == 0
    d = danmakud(*s.args_for_rooms())
    seen = commands(d, auth)
    assert set(seen) == {"NEVER_SEEN", "SEND_GIFT", ""}
    assert seen["NEVER_SEEN"]["unknown"] == 2 and seen["NEVER_SEEN"]["broken"] == 0
    assert seen["NEVER_SEEN"]["shape"] == {"cmd": "string", "data": {
        "uid": "number", "list": [{"a": "number"}], "*": "boolean"}}
    assert seen["NEVER_SEEN"]["first_seen_ms"] <= seen["NEVER_SEEN"]["last_seen_ms"]
    assert seen["NEVER_SEEN"]["reason"] is None
    assert seen["SEND_GIFT"]["broken"] == 1 and seen["SEND_GIFT"]["unknown"] == 0 and seen["SEND_GIFT"]["reason"]
    assert seen[""]["unknown"] == 1
    text = json.dumps(seen)
    assert "4711" not in text and "secret" not in text
    s.command("wait ready 1")
    emit(s, {"cmd": "NEVER_SEEN"})
    wait_for("one more", lambda: commands(d, auth)["NEVER_SEEN"]["unknown"] == 3)
    assert commands(d, auth)["NEVER_SEEN"]["shape"]["data"]["list"]  # the poorer one does not replace it


def test_who_may_know(sim, danmakud, database, postgres):
    auth = admin(postgres, database)
    reader = admin(postgres, database, "read")
    d = danmakud()
    path = "/api/v1/admin/unknown-commands"
    assert d.get(path).status_code == 401
    assert d.get(path, headers=reader).status_code == 403
    assert d.get(path, headers=auth, params={"x": "1"}).status_code == 400
    r = d.get(path, headers=auth)
    assert r.status_code == 200 and r.json() == {"data": []}
    assert d.get(path, headers={**auth, "If-None-Match": r.headers["ETag"]}).status_code == 304
    postgres.stop()
    wait_for("the database is missed", lambda: d.get(path, headers=auth).status_code == 503)
    postgres.start()


def test_counts_wait_for_the_database(sim, danmakud, database, postgres):
    s = quiet_sim(sim)
    auth = admin(postgres, database)
    d = danmakud(*s.args_for_rooms())
    s.command("wait ready 1")
    postgres.stop(harness.signal.SIGQUIT)
    emit(s, {"cmd": "WHILE_AWAY"})
    wait_for("the message", lambda: metric(d, auth, "danmakud_messages_total") >= 1)
    postgres.start()
    wait_for("its count", lambda: d.get("/readyz").status_code == 200 and "WHILE_AWAY" in commands(d, auth))
    assert commands(d, auth)["WHILE_AWAY"]["unknown"] == 1
