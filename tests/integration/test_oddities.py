"""What the site may come to be within a year: pages instead of answers, no hosts, IPv6 only, certificates past their time, clocks of
other places. What goes on with it must be seen, and end by itself."""
import datetime
import socket
import subprocess

import pytest
import requests

from harness import wait_for
from test_upstream import Front, args_for, asked, behind, front, states, web  # noqa: F401


def test_a_page_for_people_is_a_ban(web, danmakud):  # noqa: F811
    s = web("--rooms", "3", "--rate", "50")
    d = danmakud(*args_for(s), "--upstream-breaker", "1s", "--status-interval", "1s")
    wait_for("every room to be live", lambda: set(states(d).values()) == {"connected"})
    s.command("http-fault kind=status,code=200,times=0")  # HTML, whatever is asked
    wait_for("it to be told", lambda: "cause=page" in d.log_text())
    published = d.metric("danmakud_events_published_total")
    wait_for("events", lambda: d.metric("danmakud_events_published_total") > published + 20)
    assert set(states(d).values()) == {"connected"}
    s.command("http-fault clear")
    s.command("reset *")
    wait_for("every room to be live again", lambda: set(states(d).values()) == {"connected"} and d.metric("danmakud_upstream_breaker") == 0)


def test_no_hosts_in_the_answer(web, danmakud):  # noqa: F811
    s = web("--rooms", "1", "--http-fault", "kind=empty,path=getDanmuInfo,times=0")
    d = danmakud(*args_for(s))
    wait_for("the room to be live by the old address", lambda: states(d)[1001] == "connected")
    assert d.metric("danmakud_upstream_legacy_total") >= 1 and asked(s, "/getConf") >= 1
    s.command("http-fault kind=empty,path=getConf,times=0")
    s.command("expire-tokens")
    s.command("reset *")
    wait_for("it to wait", lambda: d.json("/api/v1/rooms/1001")["data"]["collection"]["last_close"] == "endpoint")
    s.command("http-fault clear")
    wait_for("the room to be live again", lambda: states(d)[1001] == "connected")


def test_ipv6_only(sim, danmakud, tmp_path):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    s = sim("--http", "[::1]:0", "--public-host", "::1", "--ws", "[::1]:0", "--wss", "[::1]:0", "--tls-dir", str(tmp_path / "tls"),
            "--rooms", "2", "--rate", "50")
    words = dict(w.split("=", 1) for w in s.ready_line.split()[2:])
    s.site, s.ca = words["http"], words["ca"]
    assert s.site.startswith("http://[::1]:")
    for transport in ("ws", "wss"):
        d = danmakud(*args_for(s), "--transport", transport)
        wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})
        assert d.metric(f'danmakud_rooms_connected{{transport="{transport}"}}') == 2
        assert d.stop() == 0


def test_a_certificate_past_its_time(web, danmakud, tmp_path):  # noqa: F811
    s = web("--rooms", "1")
    old = tmp_path / "old"
    old.mkdir()
    run = lambda *a: subprocess.run(["openssl", *a], check=True, capture_output=True, cwd=old)  # noqa: E731
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=old", "-days", "10")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (old / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext", "-days", "-1",
        "-out", "server.pem")
    f = Front(s.site, old, "127.0.0.1")
    try:
        args = behind(f"https://localhost:{f.server_address[1]}", s)
        args[args.index("--upstream-ca-file") + 1] = str(old / "ca.pem")
        d = danmakud(*args)
        wait_for("it to be told", lambda: "upstream cannot be reached" in d.log_text())
        assert "expired" in d.log_text() and f.how == []
        assert d.stop() == 0
    finally:
        f.shutdown()
        f.server_close()


def test_times_of_the_site_are_of_its_place(web, danmakud, rows):  # noqa: F811
    """Strings at UTC+8, whatever the zone of this machine and its daylight saving."""
    s = web("--rooms", "2")
    info = requests.get(s.site + "/room/v1/Room/get_info?room_id=1001", headers={
        "User-Agent": "Mozilla/5.0", "Referer": "https://live.bilibili.com/"}, timeout=60).json()["data"]
    there = datetime.timezone(datetime.timedelta(hours=8))
    since = datetime.datetime.strptime(info["live_time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=there)
    for zone in ("America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"):
        d = danmakud(*args_for(s), TZ=zone)
        said = wait_for("what the site says", lambda: rows("SELECT live_since_ms FROM room WHERE room_id = 1001 AND live_since_ms > 0"))
        assert said == [(int(since.timestamp() * 1000),)], (zone, info["live_time"])
        rows("UPDATE room SET live_since_ms = 0 RETURNING 1")
        assert d.stop() == 0
