"""Rooms that discovery finds in the upstream's lists, and numbers that upstream is asked about."""
import signal

import pytest
import requests

from harness import wait_for
from test_rooms_control import problem, room, send
from test_unknown import admin
from test_upstream import asked, web  # noqa: F401 (a fixture)

PATH = "/api/v1/rooms"
QUICK = ("--discover-interval", "300ms", "--upstream-rate", "60000", "--upstream-burst", "1000", "--backoff-max", "200ms")


def args_for(s, *more):
    return ("--upstream-url", s.site, "--upstream-api-url", s.site, "--upstream-www-url", s.site, "--upstream-ca-file", s.ca,
            *QUICK, *more)


@pytest.fixture
def auth(postgres, database):
    return admin(postgres, database)


def metric(d, auth, name):
    total = 0.0
    for line in d.session.session.get(d.base + "/metrics", headers=auth).text.splitlines():
        if line.startswith(name) and line[len(name)] in " {":
            total += float(line.rsplit(" ", 1)[1])
    return total


def found(d, auth):
    """{room: its answer} of those that are collected."""
    answer = d.get(PATH, headers=auth)
    assert answer.status_code == 200, answer.text
    return {r["room_id"]: r for r in answer.json()["data"] if r["collection"] is not None}


def runs(d, auth, n):
    """n whole looks at the lists from now on."""
    at = metric(d, auth, "danmakud_discover_runs_total")
    wait_for(f"{n} looks at the lists", lambda: metric(d, auth, "danmakud_discover_runs_total") >= at + n + 1)


def listed(s, n):
    """The upstream's own first n, by its page."""
    answer = requests.get(f"{s.site}/room/v3/area/getRoomList", params={
        "platform": "web", "parent_area_id": 0, "cate_id": 0, "area_id": 0, "sort_type": "online", "page": 1,
        "page_size": 99, "tag_version": 1}, headers={"User-Agent": "Mozilla/5.0", "Referer": "https://www.bilibili.com/"})
    return [r["roomid"] for r in answer.json()["data"]["list"]][:n]


def test_top_rooms_are_found_and_connected(web, danmakud, auth, rows):  # noqa: F811
    s = web("--rooms", "30", "--rate", "100")
    d = danmakud(*args_for(s, "--discover", "top:10"))
    wait_for("ten rooms to be live", lambda: sum(r["collection"]["state"] == "connected" for r in found(d, auth).values()) >= 10)
    rooms = found(d, auth)
    assert set(listed(s, 5)) <= set(rooms)
    for r in rooms.values():
        assert r["origin"] == "discovery" and r["state"] == "active" and r["rank"] >= 1 and r["live"] is True
        assert r["title"] and r["uname"] and r["area"] and r["not_connected"] is None
        assert r["collection"]["transport"] == "wss"
    wait_for("their rows", lambda: rows("SELECT count(*) FROM room WHERE origin = 'discovery' AND live")[0][0] >= 10)

    # A room that comes to the top is connected, a pinned one stays for ever, a removed one is not found again.
    last = listed(s, 30)[-1]
    assert last not in found(d, auth)
    s.command(f"rank {last} 1")
    wait_for("the risen room", lambda: found(d, auth).get(last, {}).get("collection", {}).get("state") == "connected")
    top = listed(s, 3)
    assert send(d, auth, "DELETE", f"{PATH}/{top[1]}").status_code == 200
    runs(d, auth, 2)
    assert room(d, auth, top[1])["state"] == "removed" and top[1] not in found(d, auth)
    assert f'room={top[1]} msg="room removed by request' in d.log_text()
    d.signal(signal.SIGUSR1)
    wait_for("the dump", lambda: "collected rooms by origin" in d.log_text())


def test_a_live_begins_and_ends(web, danmakud, auth):  # noqa: F811
    s = web("--rooms", "8", "--rate", "50")
    off, pinned = s.rooms[2], s.rooms[3]
    s.command(f"offline {off}")
    d = danmakud(*args_for(s, "--discover", "top:100", "--discover-grace", "1s"))
    wait_for("seven rooms", lambda: len(found(d, auth)) == 7)
    assert off not in found(d, auth)
    s.command(f"live {off} on")
    wait_for("the room that begins", lambda: found(d, auth).get(off, {}).get("collection", {}).get("state") == "connected")
    assert send(d, auth, "PATCH", f"{PATH}/{pinned}", {"pinned": True}).status_code == 200
    s.command(f"offline {off}")
    s.command(f"offline {pinned}")
    wait_for("the room that ended, after its grace", lambda: room(d, auth, off)["state"] == "left")
    runs(d, auth, 1)
    assert room(d, auth, pinned)["state"] == "active" and pinned in found(d, auth)
    assert len(found(d, auth)) == 7


def test_rank_101_does_not_flap(web, danmakud, auth):  # noqa: F811
    """Two rooms change places at the edge of list and cap, again and again."""
    s = web("--rooms", "20", "--rate", "20")
    d = danmakud(*args_for(s, "--discover", "top:10", "--max-rooms", "10", "--discover-grace", "1h"))
    wait_for("ten rooms", lambda: len(found(d, auth)) == 10)
    runs(d, auth, 2)
    before = (metric(d, auth, "danmakud_fleet_added_total"), metric(d, auth, "danmakud_fleet_dropped_total"))
    lists = set()
    for _ in range(8):
        s.command(f"rank {listed(s, 11)[10]} 10")  # 11 becomes 10, 10 becomes 11
        runs(d, auth, 1)
        lists.add(frozenset(listed(s, 10)))
    assert len(lists) > 1
    after = (metric(d, auth, "danmakud_fleet_added_total"), metric(d, auth, "danmakud_fleet_dropped_total"))
    assert after[1] - before[1] <= 1 and after[0] - before[0] <= 1, (before, after)
    # One that comes from far away does get a place, of the worst.
    last = listed(s, 99)[-1]
    if last in found(d, auth):
        last = listed(s, 99)[-2]
    s.command(f"rank {last} 2")
    wait_for("the risen room", lambda: last in found(d, auth))
    assert len(found(d, auth)) == 10


def test_what_was_found_stays_while_upstream_is_away(web, danmakud, auth):  # noqa: F811
    s = web("--rooms", "6", "--rate", "50")
    d = danmakud(*args_for(s, "--discover", "top:5", "--discover-grace", "0s"))
    wait_for("five rooms", lambda: len(found(d, auth)) == 5)
    had = set(found(d, auth))
    for rule in ("kind=empty,what=object", "kind=status,code=500", "kind=garbage"):
        s.command(f"http-fault {rule},path=getRoomList,times=0")
        failed = metric(d, auth, "danmakud_discover_failed_total")
        wait_for("a failure", lambda failed=failed: metric(d, auth, "danmakud_discover_failed_total") > failed)
        assert set(found(d, auth)) == had
        s.command("http-fault clear")
    s.command("http-fault kind=status,code=500,path=getRoomList,times=0")
    assert d.stop() == 0
    d = danmakud(*args_for(s, "--discover", "top:5", "--discover-grace", "1h"))
    wait_for("the same rooms", lambda: set(found(d, auth)) == had)
    assert d.stop() == 0
    d = danmakud(*args_for(s, "--discover", "off"))
    assert found(d, auth) == {}
    wait_for("their rows to say so", lambda: room(d, auth, min(had))["state"] == "left")
    assert "no room is to be collected" in d.log_text()


def test_areas_by_name_and_reload(web, danmakud, auth, tmp_path):  # noqa: F811
    s = web("--rooms", "40", "--rate", "20")
    ini = tmp_path / "danmakud.ini"
    areas = {}
    d = danmakud(*args_for(s, "--discover", "top:40", "--max-rooms", "200"))
    wait_for("all rooms", lambda: set(found(d, auth)) == set(listed(s, 99)))
    for r in found(d, auth).values():
        areas.setdefault((r["parent_area"], r["area"], r["parent_area_id"]), set()).add(r["room_id"])
    assert d.stop() == 0
    (parent, area, _), inside = max(areas.items(), key=lambda item: len(item[1]))
    other = next(p for p in areas if p[0] != parent)
    ini.write_text(f"discover = top:50@{parent}/{area}\n")
    d = danmakud("--config", str(ini), *args_for(s, "--discover-grace", "0s"))
    wait_for("the rooms of one area", lambda: set(found(d, auth)) == inside)
    ini.write_text(f"discover = top:50@{other[2]}, top:1@no such area\n")
    d.signal(signal.SIGHUP)
    want = {room for key, rooms in areas.items() if key[2] == other[2] for room in rooms}
    wait_for("the rooms of the other area", lambda: set(found(d, auth)) == want)
    assert "no such area" in d.log_text()


def test_numbers_are_looked_up(web, danmakud, auth, rows):  # noqa: F811
    s = web("--rooms", "60", "--rate", "50")
    shorts = {}
    for number in s.rooms:
        info = requests.get(f"{s.site}/room/v1/Room/get_info", params={"room_id": number}, headers={
            "User-Agent": "Mozilla/5.0", "Referer": "https://www.bilibili.com/"}).json()["data"]
        if info["short_id"]:
            shorts[info["short_id"]] = number
    assert len(shorts) >= 2
    (one, first), (two, second) = list(shorts.items())[:2]
    d = danmakud(*args_for(s, "--rooms", f"{one},99999999"))
    wait_for("the room of the short id", lambda: found(d, auth).get(first, {}).get("collection", {}).get("state") == "connected")
    assert room(d, auth, one)["room_id"] == first and room(d, auth, one)["short_id"] == one
    wait_for("the other to be refused", lambda: room(d, auth, 99999999)["not_connected"] == "not_found")

    added = send(d, auth, "POST", PATH, {"room": two})
    assert added.status_code == 201 and added.json()["data"]["room_id"] == second
    assert added.json()["data"]["title"] and added.headers["Location"] == f"{PATH}/{second}"
    assert send(d, auth, "PATCH", f"{PATH}/{two}", {"groups": ["x"]}).json()["data"]["room_id"] == second
    assert d.get(f"{PATH}/{two}/events", headers=auth).status_code == 200
    before = rows("SELECT room_id, state, by_api FROM room ORDER BY 1")
    problem(send(d, auth, "POST", PATH, {"room": 88888888}), 404, "room_not_found")
    gone = problem(send(d, auth, "PUT", PATH, {"rooms": [two, 88888888, s.rooms[0], 88888889]}), 404, "room_not_found")
    assert [e["reason"].split()[2] for e in gone["errors"]] == ["88888888,", "88888889,"]
    assert rows("SELECT room_id, state, by_api FROM room ORDER BY 1") == before
    answer = send(d, auth, "PUT", PATH, {"rooms": [two, s.rooms[0], s.rooms[1]]})
    assert answer.status_code == 200 and answer.json()["data"] == {"added": 2, "removed": 0}

    # Upstream bans us: what is not known cannot be added, what is known can.
    s.command("http-fault kind=ban,times=0")
    refused = send(d, auth, "POST", PATH, {"room": s.rooms[5]})
    problem(refused, 503, "upstream_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert send(d, auth, "DELETE", f"{PATH}/{two}").status_code == 200
    assert send(d, auth, "POST", PATH, {"room": two}).status_code == 201
    assert asked(s) > 0


def test_how_asking_upstream_goes(web, danmakud, auth, postgres, database):  # noqa: F811
    s = web("--rooms", "5", "--rate", "20")
    reader = admin(postgres, database, "read")
    d = danmakud(*args_for(s, "--discover", "top:3"))
    path = "/api/v1/admin/upstream"

    def now():
        answer = d.get(path, headers=auth)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    wait_for("rooms", lambda: len(found(d, auth)) >= 3)
    wait_for("the device id", lambda: now()["identity"]["device_id"])
    good = now()
    assert good["asked"] and good["breaker"] == {"state": "closed", "until_ms": None, "cause": ""}
    assert good["identity"]["uid"] is None and good["last_ok_ms"] and abs(good["clock_skew_ms"]) < 5000
    assert good["hosts"] and sum(h["requests"] for h in good["hosts"]) == good["requests"] and good["last_error"] is None
    s.command("http-fault kind=ban,times=0")
    wait_for("the breaker", lambda: now()["breaker"]["state"] == "open")
    bad = now()
    assert bad["breaker"]["cause"] == "http_412" and bad["breaker"]["until_ms"] > bad["last_error"]["at_ms"]
    assert bad["failed"] >= 1 and any(h["failed"] and h["last_failed_ms"] for h in bad["hosts"])
    assert len(found(d, auth)) >= 3
    assert d.get(path).status_code == 401
    problem(d.get(path, headers=reader), 403, "forbidden")
    problem(d.get(path, params={"x": 1}, headers=auth), 400, "unknown_parameter")
