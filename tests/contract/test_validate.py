#!/usr/bin/python3
"""The validator itself is tested: each planted fault must be found, and the good records must pass."""
import copy
import json
import sys

import validate

EVENT = {"id": "889876960509952016", "room_id": 6, "ts": "2026-09-21T14:13:20.500Z", "ts_ms": 1790000000500,
         "sent_ms": None, "kind": "danmaku", "user": None, "text": "x", "value_mcny": 0,
         "danmaku": {"mode": 1, "color": 5, "more": True}}
LIST = {"data": [EVENT], "page": {"next": None, "prev": "abc", "has_more": False},
        "completeness": {"complete": True, "pending": False, "gaps": [], "truncated": False}}
HELLO = {"server": "danmakud/1", "head_id": None, "resumed_from": None, "complete": True, "replayable_kinds": ["gift"],
         "heartbeat_s": 15}
PROBLEM = {"type": "urn:danmakud:problem:room_not_found", "title": "t", "status": 404, "instance": "r1",
           "code": "room_not_found"}
HEADERS = {"content-type": "application/json", "x-request-id": "r1", "cache-control": "no-cache"}


def answer(body, **changes):
    r = {"method": "GET", "path": "/api/v1/events", "query": [], "status": 200, "headers": dict(HEADERS),
         "body": json.dumps(body)}
    r.update(changes)
    return r


def problem(body, **changes):
    headers = {"content-type": "application/problem+json", "x-request-id": "r1"}
    return answer(body, status=404, headers=headers, path="/api/v1/rooms/6/events", **changes)


def stream(*blocks):
    text = "retry: 3000\n\n: hi\n\n" + "".join(blocks)
    return answer(None, path="/api/v1/events/stream", sse=text,
                  headers={**HEADERS, "content-type": "text/event-stream; charset=utf-8"})


def block(event, data, ident=None):
    return (f"id: {ident}\n" if ident else "") + f"event: {event}\ndata: {json.dumps(data)}\n\n"


def changed(value, path, new):
    value = copy.deepcopy(value)
    node = value
    for key in path[:-1]:
        node = node[key]
    if new is KeyError:
        del node[path[-1]]
    else:
        node[path[-1]] = new
    return value


def cases():
    hello, event = block("hello", HELLO), block("danmaku", EVENT, EVENT["id"])
    yield None, answer(LIST)
    yield None, problem(PROBLEM)
    yield None, stream(hello, event, "event: danmaku\ndata: {\"cut")
    yield None, answer(None, method="HEAD") | {"body": ""}
    yield None, answer(PROBLEM, path="/nothing", status=404, headers={**HEADERS, "content-type": "application/problem+json"})
    yield "not of type 'string'", answer(changed(LIST, ["data", 0, "id"], 5))
    yield "is a required property", answer(changed(LIST, ["data", 0, "sent_ms"], KeyError))
    yield "Additional properties", answer(changed(LIST, ["data", 0, "extra"], 5))
    yield "Additional properties", answer(changed(LIST, ["page", "extra"], 5))
    yield "", answer(changed(LIST, ["data", 0, "kind"], "danmuku"))
    yield "", answer(changed(LIST, ["data", 0, "danmaku"], KeyError))
    yield "is not of type 'boolean'", answer(changed(LIST, ["completeness", "pending"], "no"))
    yield "is a required property", answer(changed(LIST, ["data", 0, "user"], {"uid": 5}))
    yield "media type", answer(LIST, headers={**HEADERS, "content-type": "text/html"})
    yield "header Cache-Control is missing", answer(LIST, headers={k: HEADERS[k] for k in ("content-type", "x-request-id")})
    yield "no X-Request-Id", answer(LIST, headers={k: HEADERS[k] for k in ("content-type", "cache-control")})
    yield "is not documented", answer(LIST, status=206)
    yield "no such operation", answer(LIST, path="/api/v1/nothing")
    yield "no such operation", answer(LIST, method="PUT")
    yield "body:", answer(LIST) | {"body": "{"}
    yield "is not one of", problem(changed(PROBLEM, ["code"], "oops"))
    yield "problem says", problem(changed(PROBLEM, ["status"], 400))
    yield "instance is not", problem(changed(PROBLEM, ["instance"], "r2"))
    yield "media type", problem(PROBLEM) | {"headers": HEADERS}
    yield "does not begin with hello", stream(event)
    yield "after", stream(hello, event, event)
    yield "do not agree", stream(hello, block("gift", EVENT, EVENT["id"]))
    yield "do not agree", stream(hello, block("danmaku", EVENT))
    yield "a control event with an id", stream(block("hello", HELLO, "5"))
    yield "is a required property", stream(block("hello", changed(HELLO, ["complete"], KeyError)))
    yield "no field", stream(hello, "dat: 5\n\n")
    yield "Allow", answer(PROBLEM, method="PUT", status=405, headers={**HEADERS, "content-type": "application/problem+json"})


def main():
    spec = validate.Spec()
    failed = 0
    for number, (want, record) in enumerate(cases()):
        found = validate.check_record(spec, record, set())
        if want is None and found or want is not None and not any(want in f for f in found):
            print(f"case {number}: wanted {want!r}, found {found}")
            failed += 1
    seen = set()
    validate.check_record(spec, answer(LIST), seen)
    if not any("never seen: listEvents 400" in f for f in validate.check_coverage(spec, seen)):
        print("coverage: an operation that was never hit is not missed")
        failed += 1
    if any("listEvents 200" in f for f in validate.check_coverage(spec, seen)):
        print("coverage: what was hit is missed")
        failed += 1
    n = len(list(cases()))
    print(f"test_validate: {n} cases, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
