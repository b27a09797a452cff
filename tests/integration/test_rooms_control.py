"""Rooms added, paused, pinned, grouped and removed over HTTP while others run; what is kept over restarts."""
import signal

import pytest

import harness
from harness import wait_for
from test_unknown import admin

PATH = "/api/v1/rooms"


def room(d, auth, number):
    r = d.get(f"{PATH}/{number}", headers=auth)
    assert r.status_code == 200, r.text
    return r.json()["data"]


def send(d, auth, method, path, body=None, **kw):
    """Recorded; JSON in, JSON out."""
    return d.session.request(method, path, json=body, headers=auth, timeout=harness.TIMEOUT, **kw)


def is_live(d, auth, number):
    collection = room(d, auth, number)["collection"]
    return collection is not None and collection["state"] == "connected"


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] == code, body
    return body


@pytest.fixture
def service(sim, danmakud, postgres, database):
    """Ten rooms upstream, the first five of them configured."""
    s = sim("--rooms", "10", "--rate", "100")
    auth = admin(postgres, database)
    configured = ",".join(str(r) for r in s.rooms[:5])

    def start(*args):
        return danmakud("--upstream-hosts", s.hosts[0], "--rooms", configured, *args)

    return s, auth, start


def test_added_paused_pinned_removed_while_others_run(service, rows):
    s, auth, start = service
    d = start()
    for r in s.rooms[:5]:
        wait_for(f"room {r}", lambda r=r: is_live(d, auth, r))
    before = room(d, auth, s.rooms[0])["collection"]["connects"]
    new = s.rooms[7]

    answer = send(d, auth, "POST", PATH, {"room": new, "groups": ["esports", "晚间"]})
    assert answer.status_code == 201 and answer.headers["Location"] == f"{PATH}/{new}"
    data = answer.json()["data"]
    assert data["origin"] == "api" and data["state"] == "active" and data["groups"] == ["esports", "晚间"]
    assert rows(f"SELECT origin, state, by_api, groups FROM room WHERE room_id = {new}") == [
        ("api", "active", True, ["esports", "晚间"])]
    wait_for("the new room", lambda: is_live(d, auth, new))
    wait_for("its events", lambda: d.get(f"{PATH}/{new}/events", headers=auth).json()["data"])
    assert send(d, auth, "POST", PATH, {"room": new}).status_code == 200
    assert room(d, auth, new)["groups"] == ["esports", "晚间"]
    assert room(d, auth, new)["not_connected"] is None

    paused = send(d, auth, "PATCH", f"{PATH}/{new}", {"paused": True, "pinned": True})
    assert paused.status_code == 200 and paused.json()["data"]["state"] == "paused"
    wait_for("it to be left", lambda: room(d, auth, new)["collection"] is None)
    assert room(d, auth, new)["not_connected"] == "paused" and room(d, auth, new)["pinned"]
    wait_for("the reason", lambda: f'room={new} msg="room paused by request' in d.log_text())
    assert "room removed" not in d.log_text()
    assert send(d, auth, "PATCH", f"{PATH}/{new}", {"paused": False}).status_code == 200
    wait_for("it to come back", lambda: is_live(d, auth, new))

    gone = send(d, auth, "DELETE", f"{PATH}/{new}")
    assert gone.status_code == 200 and gone.json()["data"]["state"] == "removed"
    wait_for("it to be left", lambda: room(d, auth, new)["collection"] is None)
    assert d.get(f"{PATH}/{new}/events", headers=auth).json()["data"], "its events stay"
    assert rows(f"SELECT state, by_api, pinned FROM room WHERE room_id = {new}") == [("removed", False, False)]
    problem(send(d, auth, "PATCH", f"{PATH}/{new}", {"pinned": True}), 409, "room_removed")
    assert send(d, auth, "POST", PATH, {"room": new}).status_code == 201

    assert room(d, auth, s.rooms[0])["collection"]["connects"] == before, "the others were left alone"
    assert [room(d, auth, r)["collection"]["state"] for r in s.rooms[:5]] == ["connected"] * 5


def test_kept_over_a_restart(service):
    s, auth, start = service
    d = start()
    assert send(d, auth, "POST", PATH, {"room": s.rooms[6], "pinned": True}).status_code == 201
    assert send(d, auth, "POST", PATH, {"room": s.rooms[7], "paused": True}).status_code == 201
    assert send(d, auth, "POST", PATH, {"room": s.rooms[8]}).status_code == 201
    assert send(d, auth, "DELETE", f"{PATH}/{s.rooms[8]}").status_code == 200
    assert send(d, auth, "PATCH", f"{PATH}/{s.rooms[0]}", {"paused": True, "groups": ["g"]}).status_code == 200
    d.kill()
    d = start()
    wait_for("the room of the API", lambda: is_live(d, auth, s.rooms[6]))
    kept = {r["room_id"]: r for r in d.get(PATH, headers=auth).json()["data"]}
    assert kept[s.rooms[6]]["pinned"] and kept[s.rooms[6]]["origin"] == "api"
    assert kept[s.rooms[7]]["state"] == "paused" and kept[s.rooms[7]]["collection"] is None
    assert kept[s.rooms[8]]["state"] == "removed" and kept[s.rooms[8]]["collection"] is None
    assert kept[s.rooms[0]]["state"] == "paused" and kept[s.rooms[0]]["groups"] == ["g"]
    assert kept[s.rooms[0]]["origin"] == "config"


def test_the_whole_list(service, rows):
    s, auth, start = service
    d = start()
    want = s.rooms[5:8]
    answer = send(d, auth, "PUT", PATH, {"rooms": want})
    assert answer.status_code == 200 and answer.json()["data"] == {"added": 3, "removed": 0}
    for r in want:
        wait_for(f"room {r}", lambda r=r: is_live(d, auth, r))
    connects = [room(d, auth, r)["collection"]["connects"] for r in want]
    again = send(d, auth, "PUT", PATH, {"rooms": want})
    assert again.status_code == 200 and again.json()["data"] == {"added": 0, "removed": 0}
    # A room that the configuration names as well stays when the list is emptied.
    answer = send(d, auth, "PUT", PATH, {"rooms": want[:2] + [s.rooms[0], s.rooms[9]]})
    assert answer.json()["data"] == {"added": 1, "removed": 1}
    wait_for("the one that was taken out", lambda: room(d, auth, want[2])["state"] == "left")
    assert [room(d, auth, r)["collection"]["connects"] for r in want[:2]] == connects[:2]
    assert send(d, auth, "PUT", PATH, {"rooms": []}).json()["data"] == {"added": 0, "removed": 3}
    assert room(d, auth, s.rooms[0])["state"] == "active"
    assert rows("SELECT count(*) FROM room WHERE by_api")[0][0] == 0


def test_what_is_refused(service, postgres, database):
    s, auth, start = service
    reader = admin(postgres, database, "read")
    d = start()
    listed = d.get(PATH, headers=auth).json()
    one = f"{PATH}/{s.rooms[0]}"
    for method, path, body in (("POST", PATH, {"room": 1}), ("PUT", PATH, {"rooms": []}),
                               ("PATCH", one, {"paused": True}), ("DELETE", one, None)):
        assert send(d, {}, method, path, body).status_code == 401
        problem(send(d, reader, method, path, body), 403, "forbidden")
    for method, path in (("POST", PATH), ("PUT", PATH), ("PATCH", one)):
        problem(send(d, auth, method, path, {"nonsense": 1, "paused": 3}), 400, "unknown_field")
        answer = d.session.request(method, path, data="{", headers={**auth, "Content-Type": "application/json"})
        problem(answer, 400, "invalid_json")
        problem(d.session.request(method, path, data="{}", headers=auth), 415, "unsupported_media_type")
        problem(send(d, auth, method, path, {"x": "y" * 70000}), 413, "body_too_large")
    many = problem(send(d, auth, "POST", PATH, {"room": "6", "pinned": 1, "groups": ["a,b"], "more": None}), 400,
                   "invalid_field")
    assert {(e["param"], e["code"]) for e in many["errors"]} == {
        ("room", "invalid_field"), ("pinned", "invalid_field"), ("groups", "invalid_field"), ("more", "unknown_field")}
    problem(send(d, auth, "PUT", PATH, {"rooms": list(range(1, 1002))}), 400, "too_many_rooms")
    problem(send(d, auth, "DELETE", f"{PATH}/abc"), 400, "invalid_parameter")
    problem(send(d, auth, "PATCH", f"{PATH}/424242", {"paused": True}), 404, "room_not_found")
    problem(send(d, auth, "DELETE", f"{PATH}/424242"), 404, "room_not_found")
    assert "rooms" in problem(send(d, auth, "DELETE", one), 409, "room_configured")["detail"]
    stable = ("room_id", "origin", "state", "pinned", "groups")
    assert [[r[k] for k in stable] for r in d.get(PATH, headers=auth).json()["data"]] == [
        [r[k] for k in stable] for r in listed["data"]]


def test_lists_by_group_state_and_live(service, rows):
    s, auth, start = service
    d = start()
    a, b, c = s.rooms[:3]
    for r, groups in ((a, ["x"]), (b, ["x", "y"]), (c, ["y"])):
        assert send(d, auth, "PATCH", f"{PATH}/{r}", {"groups": groups}).status_code == 200
    assert send(d, auth, "PATCH", f"{PATH}/{b}", {"paused": True}).status_code == 200

    def ids(**query):
        answer = d.get(PATH, params=query, headers=auth)
        assert answer.status_code == 200, answer.text
        return [r["room_id"] for r in answer.json()["data"]]

    assert ids(group="x") == [a, b] and ids(group="y") == [b, c] and ids(group="z") == []
    assert ids(state="paused") == [b] and ids(state="active", group="x") == [a]
    assert ids(live="true") == []
    page = d.get(PATH, params={"group": "x", "limit": 1}, headers=auth).json()
    assert page["page"]["has_more"]
    cursor = page["page"]["next"]
    assert ids(group="x", limit=1, cursor=cursor) == [b]
    assert d.get(PATH, params={"group": "y", "cursor": cursor}, headers=auth).json()["code"] == "cursor_mismatch"
    problem(d.get(PATH, params={"state": "asleep"}, headers=auth), 400, "invalid_parameter")
    problem(d.get(PATH, params={"live": "maybe"}, headers=auth), 400, "invalid_parameter")
    assert send(d, auth, "PATCH", f"{PATH}/{c}", {"groups": []}).json()["data"]["groups"] == []
    assert rows(f"SELECT groups FROM room WHERE room_id = {b}") == [(["x", "y"],)]


def test_the_cap_and_what_is_pinned(service):
    s, auth, start = service
    d = start("--max-rooms", "5")
    for r in s.rooms[:5]:
        wait_for(f"room {r}", lambda r=r: is_live(d, auth, r))
    late = s.rooms[9]
    assert send(d, auth, "POST", PATH, {"room": late}).status_code == 201
    assert room(d, auth, late)["not_connected"] == "max_rooms"
    assert send(d, auth, "PATCH", f"{PATH}/{late}", {"pinned": True}).status_code == 200
    wait_for("the pinned room", lambda: is_live(d, auth, late))
    out = [r for r in s.rooms[:5] if room(d, auth, r)["not_connected"] == "max_rooms"]
    assert len(out) == 1
    assert d.get("/metrics", headers=auth).text.count("danmakud_fleet_waiting 1") == 1
    assert send(d, auth, "DELETE", f"{PATH}/{late}").status_code == 200
    wait_for("its place to be taken again", lambda: is_live(d, auth, out[0]))


def test_the_database_away(service, postgres):
    s, auth, start = service
    d = start("--query-timeout", "1s")
    assert send(d, auth, "POST", PATH, {"room": s.rooms[6]}).status_code == 201
    wait_for("the room", lambda: is_live(d, auth, s.rooms[6]))
    postgres.stop(signal.SIGQUIT)
    wait_for("/readyz to say so", lambda: d.get("/readyz").status_code == 503)
    one = f"{PATH}/{s.rooms[6]}"
    for method, path, body in (("POST", PATH, {"room": s.rooms[7]}), ("PUT", PATH, {"rooms": []}),
                               ("PATCH", one, {"paused": True}), ("DELETE", one, None)):
        problem(send(d, auth, method, path, body), 503, "database_unavailable")
    assert room(d, auth, s.rooms[6])["state"] == "active" and is_live(d, auth, s.rooms[6])
    postgres.start()
    wait_for("the database", lambda: d.get("/readyz").status_code == 200)
    assert send(d, auth, "POST", PATH, {"room": s.rooms[7]}).status_code == 201


def test_reload_changes_the_rooms_and_the_cap(service, tmp_path, danmakud, postgres, database):
    s, auth, _ = service
    ini = tmp_path / "danmakud.ini"
    text = f"upstream_hosts = {s.hosts[0]}\n"
    ini.write_text(text + f"rooms = {s.rooms[0]}, {s.rooms[1]}\n")
    d = danmakud("--config", str(ini))
    for r in s.rooms[:2]:
        wait_for(f"room {r}", lambda r=r: is_live(d, auth, r))
    assert send(d, auth, "POST", PATH, {"room": s.rooms[1]}).status_code == 200
    ini.write_text(text + f"rooms = {s.rooms[2]}\nmax_rooms = 1\n")
    d.signal(signal.SIGHUP)
    wait_for("the room that left the file", lambda: room(d, auth, s.rooms[0])["state"] == "left")
    kept = room(d, auth, s.rooms[1])
    assert kept["origin"] == "api" and kept["state"] == "active", "it was asked for over HTTP, too"
    wait_for("the cap", lambda: sum(room(d, auth, r)["collection"] is not None for r in s.rooms[1:3]) == 1)
