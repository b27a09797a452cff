"""openapi.yaml is kept: every operation is made to answer with every status it documents, then all traffic that was
recorded in this session is validated. Runs last, by its name."""
import os
import subprocess

import pytest

import harness
from harness import wait_for

recorder = pytest.importorskip("recorder")
import validate  # noqa: E402

READ = ["/api/v1/rooms", "/api/v1/rooms/{room}", "/api/v1/rooms/{room}/events", "/api/v1/rooms/{room}/stats",
        "/api/v1/rooms/{room}/coverage?from=1790000000000&to=1790000060000", "/api/v1/events", "/api/v1/events/{id}", "/api/v1/stats", "/api/v1/capabilities", "/metrics"]
STREAM = "/api/v1/events/stream"
TICKETS = "/api/v1/stream-tickets"
OPEN = ["/livez", "/readyz", "/openapi.yaml"]
PAGE = ["/", "/assets/app.js", "/assets/app.css", "/assets/icon.svg", "/favicon.ico"]


def code_of(r, status):
    assert r.status_code == status, f"{r.request.url}: {r.status_code} {r.text[:300]}"
    return r.json()["code"]


def token_add(url, *args):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
    run = subprocess.run([harness.DANMAKUD, "token", "add", *args, "--database-url", url], capture_output=True, text=True,
                         timeout=harness.TIMEOUT, env=env)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture
def service(sim, danmakud):
    """A running danmakud with some events, its simulator, and an id."""
    s = sim("--rooms", "2", "--rate", "200", "--count", "600")
    d = danmakud("--ring-events", "1024", *s.args_for_rooms())
    wait_for("events", lambda: d.metric("danmakud_events_published_total") >= 600)
    ident = d.json("/api/v1/events", limit=1)["data"][0]["id"]
    return d, s.rooms[0], ident


def unchanged(d, path):
    """Asked twice in a row; what is told about a room may change in between."""
    tag = d.get(path).headers["ETag"]
    return d.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_what_works(service):
    d, room, ident = service
    for path in READ + OPEN + PAGE:
        path = path.format(room=room, id=ident)
        r = d.get(path)
        assert r.status_code == 200, path
        if "ETag" in r.headers:
            wait_for(f"304 of {path}", lambda: unchanged(d, path))
        assert d.session.head(path).status_code == 200
    events = d.session.sse(STREAM + "?backlog=20", count=21)
    assert [e for e, _, _ in events][0] == "hello" and len(events) >= 21
    reset = d.session.sse(STREAM, count=2, headers={"Last-Event-ID": str(2**62)})
    assert [e for e, _, _ in reset] == ["hello", "reset"]
    assert d.session.post(TICKETS).status_code == 201
    page = d.json("/api/v1/events", limit=5)
    assert d.json("/api/v1/events", limit=5, cursor=page["page"]["next"])["page"]["prev"]
    assert d.json("/api/v1/stats", since="1h")["data"]["series"]["rows"]


def test_wrong_requests(service):
    d, room, ident = service
    for path in READ + OPEN + [STREAM]:
        r = d.get(path.format(room=room, id=ident), params={"nonsense": "1"})
        assert code_of(r, 400) == "unknown_parameter"
    assert code_of(d.session.post(TICKETS + "?x=1"), 400) == "unknown_parameter"
    for params, code in [({"limit": 0}, "invalid_parameter"), ({"limit": 1001}, "limit_too_large"),
                         ({"from": "1790000000"}, "bad_time"), ({"from": "yesterday"}, "bad_time"),
                         ({"from": 1700000000000, "to": 1790000000000}, "range_too_large"), ({"since": "40d"}, "range_too_large"),
                         ({"cursor": "x"}, "bad_cursor"), ({"kinds": "nothing"}, "invalid_parameter"),
                         ({"rooms": ",".join(map(str, range(1, 102)))}, "too_many_rooms")]:
        assert code_of(d.get("/api/v1/events", params=params), 400) == code
    cursor = d.json("/api/v1/events", limit=1)["page"]["next"]
    assert code_of(d.get("/api/v1/events", params={"cursor": cursor, "kinds": "gift"}), 400) == "cursor_mismatch"
    for path in ("/api/v1/rooms/999999999", "/api/v1/rooms/999999999/events", "/api/v1/rooms/999999999/stats",
                 "/api/v1/rooms/999999999/coverage",
                 "/api/v1/events?rooms=999999999", STREAM + "?rooms=999999999"):
        assert code_of(d.get(path), 404) == "room_not_found"
    assert code_of(d.get("/api/v1/events/5"), 404) == "event_not_found"
    assert code_of(d.get("/nothing"), 404) == "not_found"
    assert code_of(d.session.delete("/api/v1/events"), 405) == "method_not_allowed"
    assert d.session.options("/api/v1/events").status_code == 204
    assert code_of(d.session.post(TICKETS, data=b"x" * 200000), 413) == "body_too_large"
    for _ in range(300):
        r = d.session.post(TICKETS)
        if r.status_code != 201:
            break
    assert code_of(r, 429) == "too_many_tickets"


def test_tokens(service, postgres, database):
    d, room, ident = service
    reader = token_add(postgres.url(database), "reader", "--scopes=read,stream")
    useless = token_add(postgres.url(database), "useless", "--scopes=bulk")
    as_reader = {"Authorization": f"Bearer {reader}"}
    as_useless = {"Authorization": f"Bearer {useless}"}
    # A token that is not known makes the service look, at most once a second: from then on there are tokens.
    wait_for("the token to work", lambda: d.get("/api/v1/capabilities", headers=as_reader).status_code == 200)
    for path in READ + [STREAM]:
        path = path.format(room=room, id=ident)
        assert code_of(d.get(path), 401) == "unauthenticated"
        assert code_of(d.get(path, headers=as_useless), 403) == "forbidden"
    assert code_of(d.session.post(TICKETS), 401) == "unauthenticated"
    assert code_of(d.session.post(TICKETS, headers=as_useless), 403) == "forbidden"
    for path in OPEN + PAGE:
        assert d.get(path).status_code == 200
    ticket = d.session.post(TICKETS, headers=as_reader).json()["data"]["ticket"]
    assert d.session.sse(f"{STREAM}?ticket={ticket}", count=1)[0][0] == "hello"
    assert code_of(d.get(f"{STREAM}?ticket={ticket}"), 401) == "unauthenticated"


def test_database_away(sim, danmakud, postgres):
    s = sim("--rooms", "1", "--rate", "500", "--count", "3000")
    d = danmakud("--ring-events", "1024", "--max-streams", "1", *s.args_for_rooms())
    wait_for("3000 events", s.done)
    harness.all_written(d, s)
    oldest = d.json("/api/v1/events", order="asc", limit=1)["data"][0]["id"]
    room = s.rooms[0]
    live = harness.Stream(d.base)
    assert code_of(d.get(STREAM), 503) == "too_many_streams"
    live.close()
    postgres.stop()
    wait_for("503", lambda: d.get("/readyz").status_code == 503)
    for path in ("/api/v1/rooms/999999999", f"/api/v1/rooms/{room}/events?order=asc", "/api/v1/events?order=asc",
                 f"/api/v1/rooms/{room}/stats?since=2d", f"/api/v1/rooms/{room}/coverage", "/api/v1/stats?since=2d", f"/api/v1/events/{oldest}"):
        assert code_of(d.get(path), 503) == "database_unavailable", path
    assert d.json(f"/api/v1/rooms/{room}/events")["data"]
    assert d.json("/api/v1/rooms")["completeness"]["pending"]
    postgres.start()
    wait_for("ready", lambda: d.get("/readyz").status_code == 200)


def test_all_traffic_is_as_documented():
    assert os.path.getsize(recorder.LOG) > 0
    findings, n = validate.validate(validate.Spec(), [recorder.LOG], coverage=True)
    print(f"{n} exchanges")
    assert not findings, "\n".join(findings[:40])
