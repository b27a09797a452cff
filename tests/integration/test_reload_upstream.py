"""SIGHUP and the upstream's settings: servers, hosts, certificates, cookies, pace. Connections that are fine stay."""
import os
import signal

import pytest

from harness import wait_for
from test_upstream import asked, front, states, web  # noqa: F401


def config(path, **keys):
    path.write_text("".join(f"{k} = {v}\n" for k, v in keys.items()))


def site(s, **more):
    return {"upstream_url": s.site, "upstream_api_url": s.site, "upstream_www_url": s.site, "upstream_rate": 60000,
            "upstream_ca_file": s.ca, "backoff_max": "200ms", "discover": "off", **more}


def connects(d, room):
    return next(r for r in d.json("/api/v1/rooms")["data"] if r["room_id"] == room)["collection"]["connects"]


@pytest.fixture
def run(danmakud, tmp_path):
    ini = tmp_path / "danmakud.ini"

    def start(**keys):
        config(ini, **keys)
        d = danmakud("--config", str(ini), record=False)

        def reload(**keys):
            before = d.log_text().count("configuration reloaded")
            config(ini, **keys)
            d.signal(signal.SIGHUP)
            wait_for("the reload", lambda: d.log_text().count("configuration reloaded") > before)
            return [x for x in d.log_text().splitlines() if "configuration reloaded" in x][-1]
        d.reload = reload
        return d
    return start


def test_from_hosts_by_hand_to_what_upstream_says(web, run):  # noqa: F811
    s = web("--rooms", "4", "--rate", "50", "--any-token", "--any-room")
    d = run(rooms="1001", upstream_hosts=s.hosts[0], backoff_max="200ms", discover="off")
    wait_for("the room to be live", lambda: states(d) == {1001: "connected"})
    assert asked(s) == 0
    line = d.reload(**site(s, rooms="1001, 1002", discover="top:3", discover_interval="200ms", status_interval="1s"))
    assert 'need_restart=""' in line or "need_restart" not in line
    wait_for("the others", lambda: list(states(d).values()).count("connected") >= 4)
    wait_for("what the site says of the first", lambda: d.json("/api/v1/rooms/1001")["data"]["title"])
    assert connects(d, 1001) == 1 and asked(s, "/getDanmuInfo") >= 3
    assert asked(s, "/getRoomBaseInfo") > 0
    # and back: nothing is asked any more
    d.reload(rooms="1001, 1002, 1003", upstream_hosts=s.hosts[0], backoff_max="200ms", discover="off")
    wait_for("the rooms of the file", lambda: set(states(d)) >= {1001, 1002, 1003})
    s.command("reset *")
    wait_for("them to be live by the host", lambda: all(states(d)[r] == "connected" for r in (1001, 1002, 1003)) and connects(d, 1001) == 2)
    assert d.metric('danmakud_rooms_connected{transport="tcp"}') >= 3


def test_other_servers(web, run, sim):  # noqa: F811
    one = web("--rooms", "2", "--rate", "50")
    two = web("--rooms", "2", "--rate", "50")
    d = run(**site(one, rooms="1001, 1002"))
    wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})
    one.command("http-fault kind=ban,times=0")
    d.reload(**site(two, rooms="1001, 1002"))
    assert set(states(d).values()) == {"connected"} and connects(d, 1001) == 1
    assert "other servers are asked" in d.log_text()
    one.command("expire-tokens")
    one.command("reset *")
    wait_for("both rooms to be live by the other", lambda: set(states(d).values()) == {"connected"} and two.stats()["ready"] == 2)


def test_pace_and_what_needs_a_restart(web, run):  # noqa: F811
    s = web("--rooms", "1")
    d = run(**site(s, rooms="1001"))
    line = d.reload(**site(s, rooms="1001", upstream_burst=9, upstream_timeout="3s", upstream_breaker="5m", connect_interval="1ms",
                           user_agent="Mozilla/5.0 other", transport="tcp"))
    assert "user_agent" in line and "transport" in line
    assert not any(k in line for k in ("upstream_burst", "upstream_timeout", "upstream_breaker", "connect_interval"))


def test_certificates(web, run, front, tmp_path):  # noqa: F811
    s = web("--rooms", "1")
    other = tmp_path / "other"
    os.mkdir(other)
    ca = other / "ca.pem"
    ca.write_bytes(open("/etc/ssl/certs/ca-certificates.crt", "rb").read())
    d = run(**site(s, rooms="1001", transport="wss", upstream_ca_file=ca))
    wait_for("it to be refused", lambda: "certificate" in d.log_text())
    assert states(d)[1001] != "connected"
    ca.write_bytes(open(s.ca, "rb").read())  # the same path: it is read again
    d.reload(**site(s, rooms="1001", transport="wss", upstream_ca_file=ca))
    wait_for("the room to be live", lambda: states(d)[1001] == "connected")
    assert d.metric('danmakud_rooms_connected{transport="wss"}') == 1
    # one that cannot be read: nothing changes
    before = d.log_text().count("not reloaded")
    config(tmp_path / "danmakud.ini", **site(s, rooms="1001", transport="wss", upstream_ca_file=tmp_path / "none"))
    d.signal(signal.SIGHUP)
    wait_for("it to be told", lambda: d.log_text().count("not reloaded") > before)
    assert states(d)[1001] == "connected"


def test_a_cookie_file_that_comes_goes_and_is_mended(web, run, tmp_path):  # noqa: F811
    s = web("--rooms", "1", "--rate", "50", "--account", "good:4242:me")
    jar = tmp_path / "jar"
    d = run(**site(s, rooms="1001"))
    wait_for("the room to be live", lambda: states(d)[1001] == "connected")

    def login(content, path=jar):
        if content is not None:
            jar.write_text(content)
            jar.chmod(0o600)
        d.reload(**site(s, rooms="1001", cookie_file=path))
        s.command("expire-tokens")
        s.command("reset *")
        wait_for("the room to be live again", lambda: states(d)[1001] == "connected")

    login(None)  # no such file
    assert d.log_text().count("cookie_file cannot be used, going on without a login") == 1
    wait_for("it to say so", lambda: d.metric("danmakud_upstream_login") == -1)
    login("no cookies at all")
    assert d.log_text().count("cookie_file cannot be used") == 2
    login("SESSDATA=good")
    wait_for("the login", lambda: d.metric("danmakud_upstream_login") == 1)
    assert "logged in" in d.log_text() and "good" not in d.log_text()
    login("SESSDATA=expired")
    wait_for("it to be refused", lambda: d.metric("danmakud_upstream_login") == -1)
    assert "does not take the login" in d.log_text()
    login("SESSDATA=good")
    wait_for("the login", lambda: d.metric("danmakud_upstream_login") == 1)
    jar.unlink()  # at run time: who is logged in stays so until the next SIGHUP
    os.mkfifo(jar)
    assert d.metric("danmakud_upstream_login") == 1
    login(None)
    assert "not a regular file" in d.log_text() and d.metric("danmakud_upstream_login") == -1
    login(None, path="")
    wait_for("anonymous again", lambda: d.metric("danmakud_upstream_login") == 0)
    assert d.metric("danmakud_events_published_total") > 0
