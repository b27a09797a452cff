"""Sessions: what upstream tells of a live becomes one session, whatever is killed meanwhile."""
import json
import os
import subprocess

import harness
from harness import wait_for

KEY = "8800000000000000001"
PATHS = ["/api/v1/rooms/{room}/sessions", "/api/v1/rooms/{room}/audience", "/api/v1/sessions/12345"]


def live(key=KEY, live_time=None, room=0):
    m = {"cmd": "LIVE", "live_key": key, "sub_session_key": f"{key}sub_time:1", "live_platform": "pc", "roomid": room}
    if live_time:
        m["live_time"] = live_time
    return m


def preparing(n=1):
    return {"cmd": "PREPARING", "roomid": "1", "msg_id": f"m{n}", "send_time": 1790000000000 + n}


def room_change(title, area_id=1, area="one", n=1):
    return {"cmd": "ROOM_CHANGE", "msg_id": f"c{n}", "data": {"title": title, "area_id": area_id, "area_name": area, "parent_area_id": 9,
                                                             "parent_area_name": "games", "live_key": "0"}}


def problem(r):
    return r.status_code, r.json()["code"]


class World:
    def __init__(self, sim, danmakud, *args):
        self.sim = sim("--rooms", "3", "--rate", "1")
        self.sim.pause()
        self.room = self.sim.rooms[0]
        self.start = danmakud
        self.args = args
        self.d = None
        self.n = 0
        self.begin()

    def begin(self):
        self.d = self.start(*self.sim.args_for_rooms(), *self.args)
        wait_for("all rooms connected", lambda: self.d.metric("danmakud_rooms_connected") == 3)

    def emit(self, *messages, room=None):
        for m in messages:
            self.sim.command(f"emit {room or self.room} {json.dumps(m)}")

    def say(self, text):
        """An event after what was emitted: when it is the newest, the rest is there. Memory answers that."""
        self.sim.command(f"say {self.room} {text}")
        path = f"/api/v1/rooms/{self.room}/events"
        wait_for(f"danmaku {text}", lambda: [e["text"] for e in self.d.json(path, limit=1)["data"]] == [text])

    def events(self, **params):
        return self.d.json(f"/api/v1/rooms/{self.room}/events", limit=1000, **params)["data"]

    def sessions(self, **params):
        return self.d.json(f"/api/v1/rooms/{self.room}/sessions", **params)["data"]

    def wait(self, what, check):
        return wait_for(what, lambda: (lambda s: s if check(s) else None)(self.sessions()))


def open_session(s):
    return len(s) == 1 and s[0]["live"]


def test_a_live_with_title_changes_and_flapping(sim, danmakud, rows):
    w = World(sim, danmakud)
    w.emit(room_change("first title"), live(live_time=1790000000), live())
    w.wait("a session", open_session)
    w.say("in the live")
    wait_for("the room to be live", lambda: w.room in [r["room_id"] for r in w.d.json("/api/v1/rooms", live="true")["data"]])
    wait_for("the gauge", lambda: w.d.metric("danmakud_sessions_open") == 1)
    w.emit(room_change("second title", 2, "two", n=2))
    w.wait("the second title", lambda s: s[0]["title"] == "second title")
    w.emit(preparing(1))
    ended = w.wait("the end", lambda s: not s[0]["live"])[0]
    assert ended["end_cause"] == "preparing" and ended["duration_ms"] == ended["end_ms"] - ended["start_ms"]
    w.emit(live("8800000000000000002"))
    again = w.wait("the same session again", lambda s: s[0]["live"])
    assert [s["id"] for s in again] == [ended["id"]]
    w.emit(preparing(2))
    last = w.wait("the second end", lambda s: not s[0]["live"])[0]
    got = w.d.json(f"/api/v1/sessions/{last['id']}")["data"]
    assert [(g["title"], g["area"], g["live_key"]) for g in got["segments"]] == [
        ("first title", "one", KEY), ("second title", "two", KEY), ("second title", "two", "8800000000000000002")]
    assert got["segments"][0]["from_id"] == got["start_id"]
    harness.all_written(w.d)
    lives = w.events(kinds="live", order="asc")
    assert lives[0]["id"] == got["start_id"] and lives[-1]["id"] == got["end_id"]
    assert got["upstream_start_ms"] == 1790000000000
    assert rows("SELECT count(*) FROM session") == [(1,)]


def test_kill_in_the_middle_of_a_live(sim, danmakud, rows):
    w = World(sim, danmakud)
    w.emit(room_change("title"), live(live_time=1790000000))
    first = w.wait("a session", open_session)[0]
    w.d.kill()
    w.begin()
    assert [s["id"] for s in w.sessions()] == [first["id"]] and w.sessions()[0]["live"]
    w.emit(room_change("later", n=2))
    w.wait("the title after the restart", lambda s: s[0]["title"] == "later")
    w.d.kill()
    w.begin()
    w.emit(preparing())
    last = w.wait("the end", lambda s: not s[0]["live"])
    assert [s["id"] for s in last] == [first["id"]]
    assert rows("SELECT title FROM session_segment ORDER BY from_id") == [("title",), ("later",)]


def test_another_node_takes_over(sim, danmakud, rows):
    """The node of a process is changed while a room is live: its session goes on."""
    w = World(sim, danmakud)
    w.emit(room_change("title"), live(live_time=1790000000))
    first = w.wait("a session", open_session)[0]
    w.d.stop()
    w.args = ("--node", "3")
    w.begin()
    assert [s["id"] for s in w.sessions()] == [first["id"]] and w.sessions()[0]["live"]
    w.emit(preparing())
    w.wait("the end", lambda s: [x["id"] for x in s] == [first["id"]] and not s[0]["live"])
    assert rows("SELECT count(*) FROM session") == [(1,)]


def test_what_a_process_that_is_gone_left_open_is_ended(sim, danmakud, rows, tmp_path):
    """It never comes back, and nobody collects its room: another one sees to it."""
    w = World(sim, danmakud, "--node", "7")
    w.emit(room_change("title"), live(live_time=1790000000))
    first = w.wait("a session", open_session)[0]
    wait_for("the session in the table", lambda: rows("SELECT count(*) FROM session") == [(1,)])
    w.d.kill()
    other = danmakud("--discover=", "--upstream-hosts", "127.0.0.1:1", "--data-dir", str(tmp_path / "elsewhere"), "--node", "3", "--session-abandoned", "1s")
    path = f"/api/v1/sessions/{first['id']}"
    ended = wait_for("its end", lambda: (lambda s: s if not s["live"] else None)(other.json(path)["data"]))
    alive_ms = rows("SELECT alive_ms FROM writer_mark WHERE node = 7")[0][0]
    assert ended["end_cause"] == "abandoned" and ended["end_ms"] == max(alive_ms, ended["start_ms"])
    assert other.metric("danmakud_sessions_abandoned_total") == 1


def test_a_live_that_begins_while_the_database_is_away_survives_kill(sim, danmakud, postgres, rows):
    w = World(sim, danmakud)
    w.emit(room_change("before"))
    w.say("everything is there")
    postgres.stop()
    wait_for("the database is gone", lambda: w.d.get("/readyz").status_code == 503)
    w.emit(live(live_time=1790000000), room_change("while away", n=2))
    w.say("published, so in the spool")
    w.d.kill()
    postgres.start()
    w.begin()
    got = w.wait("the session", open_session)[0]
    assert got["title"] == "while away"
    begun = w.events(kinds="live")[0]
    assert got["id"] == got["start_id"] == begun["id"]
    segments = w.d.json(f"/api/v1/sessions/{got['id']}")["data"]["segments"]
    assert [g["title"] for g in segments] == ["before", "while away"] or [g["title"] for g in segments] == [None, "while away"] \
        or [g["title"] for g in segments] == ["while away"]
    w.emit(preparing())
    w.wait("the end", lambda s: not s[0]["live"])
    assert rows("SELECT count(*) FROM session") == [(1,)]


def test_sessions_apart_paging_and_problems(sim, danmakud):
    w = World(sim, danmakud, "--session-merge", "0ms")
    for n in range(1, 6):
        w.emit(live(f"88000000000000000{n:02}"), preparing(n))
    s = w.wait("five sessions", lambda s: len(s) == 5 and not any(x["live"] for x in s))
    assert s == sorted(s, key=lambda x: -int(x["start_id"]))
    assert len({x["id"] for x in s}) == 5
    path = f"/api/v1/rooms/{w.room}/sessions"
    for order, want in (("desc", s), ("asc", s[::-1])):
        got, r = [], w.d.json(path, limit=2, order=order)
        while True:
            got += r["data"]
            if not r["page"]["has_more"]:
                break
            last = r
            r = w.d.json(path, limit=2, order=order, cursor=r["page"]["next"])
        assert got == want
        back = w.d.json(path, limit=2, order=order, cursor=r["page"]["prev"])
        assert back["data"] == last["data"]
    middle = s[2]
    assert middle in w.d.json(path, **{"from": middle["start_ms"], "to": middle["end_ms"] + 1})["data"]
    assert w.d.json(path, to=s[-1]["start_ms"])["data"] == []
    first = w.d.get(path)
    assert w.d.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    one = f"/api/v1/sessions/{middle['id']}"
    tag = w.d.get(one).headers["ETag"]
    assert w.d.get(one, headers={"If-None-Match": tag}).status_code == 304
    cursor = w.d.json(f"/api/v1/rooms/{w.room}/events", limit=1)["page"]["next"]
    for bad, status, code in ((f"{path}?cursor={cursor}", 400, "cursor_mismatch"), (f"{path}?kinds=live", 400, "unknown_parameter"),
                              ("/api/v1/rooms/999999/sessions", 404, "room_not_found"),
                              ("/api/v1/sessions/12345", 404, "session_not_found"),
                              ("/api/v1/sessions/x", 400, "invalid_parameter")):
        assert problem(w.d.get(bad)) == (status, code), bad


def test_what_is_missing_of_a_session(sim, danmakud, rows):
    """A session, a list of them and the figures say what of their time is known to be missing, and are other answers then."""
    w = World(sim, danmakud, "--session-merge", "0ms")
    w.emit(live("8800000000000000001"), preparing(1), live("8800000000000000002"))
    second, first = w.wait("two sessions", lambda s: len(s) == 2 and s[0]["live"])
    listed, one = f"/api/v1/rooms/{w.room}/sessions", f"/api/v1/sessions/{second['id']}"
    figures = f"/api/v1/rooms/{w.room}/audience"
    began = {"from": second["start_ms"]}
    nothing = {"complete": True, "pending": False, "gaps": [], "truncated": False}

    def missing(path, **params):
        return w.d.json(path, **params)["completeness"]

    asked = [(listed, {}), (listed, {"limit": 1}), (listed, began), (one, {})]
    tags = {}
    for path, params in asked:
        assert missing(path, **params) == nothing, (path, params)
        tags[path, str(params)] = w.d.get(path, params=params).headers["ETag"]
    w.sim.fault(f"kind=bad_auth,room={w.room},times=0")
    w.sim.command(f"reset {w.room}")
    wait_for("the gap", lambda: w.d.json(f"/api/v1/rooms/{w.room}")["data"]["coverage"]["state"] == "gap")
    for path, params in [*asked, (figures, {"since": "10m", "step": "10s"})]:
        c = missing(path, **params)
        assert (c["complete"], c["pending"], c["truncated"]) == (False, False, False)
        assert [(g["room_id"], g["to_ms"]) for g in c["gaps"]][-1] == (w.room, None), (path, params)
        if (path, str(params)) in tags:
            answer = w.d.get(path, params=params, headers={"If-None-Match": tags[path, str(params)]})
            assert answer.status_code == 200, "the gap makes it another answer"
    # The session before it is complete, also in a page that ends with it.
    assert missing(f"/api/v1/sessions/{first['id']}") == nothing
    assert missing(listed, order="asc", limit=1) == nothing
    page = w.d.json(listed, limit=1)
    assert missing(listed, limit=1, cursor=page["page"]["next"]) == nothing
    # Before the room was collected, nothing was: the figures of an hour say so.
    assert missing(figures)["gaps"][0]["cause"] == "not_collected"
    assert missing(listed, since="1h")["gaps"][0]["cause"] == "not_collected"


def test_away(sim, danmakud, postgres):
    w = World(sim, danmakud)
    postgres.stop()
    wait_for("the database is gone", lambda: w.d.get("/readyz").status_code == 503)
    for path in PATHS:
        assert problem(w.d.get(path.format(room=w.room))) == (503, "database_unavailable")
    postgres.start()
    wait_for("the database is back", lambda: w.d.get("/readyz").status_code == 200)




def test_tokens(sim, danmakud, postgres, database):
    w = World(sim, danmakud)
    env = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
    run = subprocess.run([harness.DANMAKUD, "token", "add", "useless", "--scopes=bulk", "--database-url", postgres.url(database)],
                         capture_output=True, text=True, timeout=harness.TIMEOUT, env=env, check=True)
    head = {"Authorization": f"Bearer {run.stdout.strip()}"}
    wait_for("the token to be known", lambda: w.d.get("/api/v1/capabilities", headers=head).status_code == 403)
    for path in PATHS:
        path = path.format(room=w.room)
        assert problem(w.d.get(path)) == (401, "unauthenticated")
        assert problem(w.d.get(path, headers=head)) == (403, "forbidden")


def figures(d, room, **params):
    r = d.json(f"/api/v1/rooms/{room}/audience", **params)["data"]
    return r, [dict(zip(r["columns"], row)) for row in r["rows"]]


def test_audience(sim, danmakud, rows):
    w = World(sim, danmakud)
    w.emit(live(live_time=1790000000),
           {"cmd": "ONLINE_RANK_COUNT", "data": {"count": 12, "count_text": "12", "online_count": 340, "online_count_text": "340"}},
           {"cmd": "WATCHED_CHANGE", "data": {"num": 5678, "text_small": "5678", "text_large": "5678"}},
           {"cmd": "LIKE_INFO_V3_UPDATE", "data": {"click_count": 91}},
           {"cmd": "ROOM_REAL_TIME_MESSAGE_UPDATE", "data": {"roomid": w.room, "fans": 1234567, "red_notice": -1, "fans_club": 89}})
    want = {"online": 340, "rank_users": 12, "watched": 5678, "likes": 91, "followers": 1234567, "fans_club": 89}

    def newest():
        last = figures(w.d, w.room, step="10s")[1][-1]
        return {k: last[k] for k in want} == want and last

    last = wait_for("the figures", newest)
    assert last["popularity"] is None or last["popularity"] > 1
    series, all_rows = figures(w.d, w.room)
    assert series["step_ms"] == 60000 and len(all_rows) in (60, 61)
    assert [r["ts_ms"] for r in all_rows] == list(range(series["from_ms"], series["to_ms"], 60000))
    assert all(all_rows[0][k] is None for k in want)
    assert rows("SELECT count(*) FROM audience_default") == [(0,)]
    assert rows("SELECT count(*) <= 4 FROM audience WHERE room_id = %s", w.room) == [(True,)]
    path = f"/api/v1/rooms/{w.room}/audience"
    past = {"from": series["from_ms"], "to": series["from_ms"] + 600000}
    tag = w.d.get(path, params=past).headers["ETag"]
    assert w.d.get(path, params=past, headers={"If-None-Match": tag}).status_code == 304
    for bad, code in (("step=5s", "invalid_parameter"), ("since=31d&step=10s", "range_too_large"), ("step=x", "bad_time"),
                      ("kinds=live", "unknown_parameter")):
        assert problem(w.d.get(f"{path}?{bad}")) == (400, code), bad
    assert problem(w.d.get("/api/v1/rooms/999999/audience")) == (404, "room_not_found")


def test_polling_finds_what_no_message_told(sim, danmakud, rows):
    s = sim("--rooms", "3", "--rate", "1", "--http", "0", "--any-token")
    s.pause()
    http = dict(w.split("=", 1) for w in s.ready_line.split()[2:])["http"]
    room, quiet = s.rooms[0], s.rooms[1]
    s.command(f"live {room} on")
    s.command(f"title {room} found by asking")
    s.command(f"offline {quiet}")
    args = [*s.args_for_rooms(), "--upstream-url", http, "--upstream-api-url", http, "--upstream-www-url", http,
            "--status-interval", "1s", "--upstream-rate", "6000", "--upstream-burst", "100"]
    d = danmakud(*args)
    path = f"/api/v1/rooms/{room}/sessions"

    def one(check):
        got = d.json(path)["data"]
        return len(got) == 1 and check(got[0]) and got[0]

    first = wait_for("the session", lambda: one(lambda x: x["live"]))
    assert first["title"] == "found by asking"
    assert abs(first["upstream_start_ms"] - first["start_ms"]) < 1000
    assert d.json(f"/api/v1/rooms/{quiet}/sessions")["data"] == []
    d.kill()
    s.command(f"offline {room}")
    d = danmakud(*args)
    last = wait_for("the end", lambda: one(lambda x: not x["live"]))
    assert last["id"] == first["id"] and last["end_cause"] == "poll"
    assert rows("SELECT count(*) FROM session WHERE room_id = %s", room) == [(1,)]
    s.command("http-fault kind=ban,times=0")  # while upstream bans us it is not asked
    wait_for("a failed poll", lambda: "which rooms are on air cannot be asked" in d.log_text())


def test_filters_of_events(sim, danmakud):
    w = World(sim, danmakud, "--ring-events", "1024")
    w.say("off one")
    w.emit(live())
    first = w.wait("a session", open_session)[0]
    w.say("live one")
    w.emit(preparing(1))
    w.wait("the end", lambda s: not s[0]["live"])
    w.say("off two")
    room = f"/api/v1/rooms/{w.room}/events"

    def texts(path, **params):
        return [e["text"] for e in w.d.json(path, kinds="danmaku", order="asc", **params)["data"] if "one" in e["text"] or "two" in e["text"]]

    def check():
        for path, more in ((room, {}), ("/api/v1/events", {}), ("/api/v1/events", {"rooms": w.room})):
            assert texts(path, offline="true", **more) == ["off one", "off two"]
            assert texts(path, offline="false", **more) == ["live one"]
            assert texts(path, session=first["id"], **more) == ["live one"]
            assert texts(path, session=first["id"], offline="true", **more) == []

    harness.all_written(w.d)
    check()
    every = w.d.json(room, session=first["id"], order="asc")["data"]
    assert every[0]["id"] == first["start_id"] and every[-1]["live"]["state"] == "end"
    page = w.d.json(room, session=first["id"], order="asc", limit=1)
    assert page["page"]["has_more"]
    assert w.d.json(room, session=first["id"], order="asc", limit=1, cursor=page["page"]["next"])["data"] == every[1:2]
    w.emit(live("8800000000000000009"))  # it goes on, and all of it is pushed out of memory
    w.wait("the same session", lambda s: s[0]["live"])
    w.sim.resume()
    w.sim.command("rate 5000")
    wait_for("other events", lambda: w.d.metric("danmakud_ring_evicted_total") > 100)
    w.sim.pause()
    harness.all_written(w.d)
    assert texts(room, session=first["id"], limit=5) == ["live one", "off two"]
    assert texts(room, offline="true", limit=1000)[:1] == ["off one"]
    cursor = page["page"]["next"]
    for bad, status, code in ((f"{room}?cursor={cursor}", 400, "cursor_mismatch"), (f"{room}?session=12345", 404, "session_not_found"),
                              (f"/api/v1/rooms/{w.sim.rooms[1]}/events?session={first['id']}", 404, "session_not_found"),
                              (f"{room}?offline=maybe", 400, "invalid_parameter"), (f"{room}?session=x", 400, "invalid_parameter")):
        assert problem(w.d.get(bad)) == (status, code), bad
