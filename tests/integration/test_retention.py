"""What is older than its retention goes, in slices, and every answer about its time says so."""
import time

from harness import wait_for

DAY = 86400000
EPOCH = 1577836800000
ROOM = 1001
NOTHING = {"complete": True, "pending": False, "gaps": [], "truncated": False}


def fill(rows, today):
    """A room of the last eleven days, with something in every table."""
    rows("INSERT INTO room (room_id, origin, created_ms, rev) VALUES (%s, 'config', 1, 1) RETURNING 1", ROOM)
    rows("SELECT partition_make_day('event', d), partition_make_day('audience', d) FROM (SELECT (timestamp '1970-01-01' + "
         "(%s - n * 86400000::int8) * interval '1 ms')::date AS d FROM generate_series(0, 11) AS n) AS x", today)
    at = f"({today} - n * {DAY}::int8 + 3600000)"
    rows(f"INSERT INTO event (room_id, id, nkey, actor, kind, flags, text) SELECT {ROOM}, ({at} - {EPOCH}) << 22, n, 5, 1, 0, 'old' "
         "FROM generate_series(1, 11) AS n RETURNING 1")
    rows(f"INSERT INTO amend (room_id, target_id, by_id, what) SELECT {ROOM}, ({at} - {EPOCH}) << 22, ({at} - {EPOCH}) << 22, 'deleted' "
         "FROM generate_series(1, 11) AS n RETURNING 1")
    rows(f"INSERT INTO audience (room_id, at_ms, online) SELECT {ROOM}, {at}, n FROM generate_series(1, 11) AS n RETURNING 1")
    rows("INSERT INTO room_minute (room_id, minute, n_danmaku) SELECT %s, (%s / 60000)::int4 + n, 1 FROM generate_series(1, 6000) AS n "
         "RETURNING 1", ROOM, today - 10 * DAY)
    rows("INSERT INTO room_minute_kind (room_id, minute, kind, n) SELECT %s, (%s / 60000)::int4 + n, 10, 1 FROM generate_series(1, 6000) "
         "AS n RETURNING 1", ROOM, today - 10 * DAY)
    # The link: with a gap of one second each day. All but the first one may go.
    rows(f"INSERT INTO coverage_span (room_id, source, from_ms, to_ms, node, cause) SELECT {ROOM}, 0, {at} - 1000, {at}, 0, 'peer_reset' "
         "FROM generate_series(1, 11) AS n RETURNING 1")
    rows("INSERT INTO rollup_mark (minute) SELECT %s / 60000 ON CONFLICT (one) DO UPDATE SET minute = excluded.minute RETURNING 1", today)


def counts(rows):
    return {t: rows(f"SELECT count(*) FROM {t}")[0][0]
            for t in ("event", "amend", "audience", "room_minute", "room_minute_kind", "coverage_span")}


def test_old_things_go_and_answers_say_so(sim, danmakud, rows):
    args = ("--upstream-hosts", "127.0.0.1:1", "--discover=")
    d = danmakud(*args)
    today = int(time.time() * 1000) // DAY * DAY
    wait_for("the tables", lambda: rows("SELECT count(*) FROM rollup_mark") == [(1,)])
    assert d.stop() == 0
    fill(rows, today)
    before = counts(rows)
    assert before == {"event": 11, "amend": 11, "audience": 11, "room_minute": 6000, "room_minute_kind": 6000, "coverage_span": 11}

    def missing(path, **params):
        return d.json(path, **params)["completeness"]

    events, stats, audience, sessions = (f"/api/v1/rooms/{ROOM}/{x}" for x in ("events", "stats", "audience", "sessions"))
    old = {"from": today - 9 * DAY, "to": today - 9 * DAY + 1800000}
    # By default all of it is kept.
    d = danmakud(*args)
    wait_for("the first look", lambda: missing(events, **old) == NOTHING)
    assert all(missing(path, **old) == NOTHING for path in (events, stats, audience, sessions))
    tag = d.get(audience, params=old).headers["ETag"]
    assert d.stop() == 0
    assert counts(rows) == {**before, "coverage_span": 12} and rows("SELECT count(*) FROM kept") == [(0,)]
    before = counts(rows)

    d = danmakud(*args, "--event-retention", "5d", "--minute-retention", "9d", "--audience-retention", "7d")
    dropped = 'danmakud_retention_dropped_total{{what="{}"}}'.format
    wait_for("minutes to go", lambda: d.metric(dropped("minutes")) > 0)
    wait_for("events to go", lambda: counts(rows)["event"] == 5)
    wait_for("the last of it", lambda: counts(rows) == {**before, "event": 5, "amend": 5, "audience": 7, "room_minute": 4561,
                                                        "room_minute_kind": 4561})
    wait_for("it to be counted", lambda: d.metric(dropped("event_days")) == 6 and d.metric(dropped("audience_days")) == 4)
    assert d.metric(dropped("minutes")) == 2 * 1439 and d.metric(dropped("amends")) == 6
    assert dict(rows("SELECT what, (%s - from_ms) / %s FROM kept", today, DAY)) == {"events": 5, "minutes": 9, "audience": 7}

    def expired(path, days):
        c = missing(path, **{"from": today - 10 * DAY, "to": today - DAY})
        assert not c["complete"] and not c["pending"], (path, c)
        return [(g["from_ms"], g["to_ms"]) for g in c["gaps"] if g["cause"] == "expired"] == [(today - 10 * DAY, today - days * DAY)]
    assert expired(events, 5) and expired(stats, 9) and expired(audience, 7)
    assert missing(sessions, **old) == NOTHING, "sessions are kept, and what is missing of them is"
    assert missing("/api/v1/events", **old)["gaps"][0]["room_id"] is None
    assert d.get(audience, params=old, headers={"If-None-Match": tag}).status_code == 200
    assert missing(events, **{"from": today - 4 * DAY + 7200000, "to": today - 4 * DAY + 7300000}) == NOTHING
    # A minute whose events are gone keeps its counts, also when it is to be counted again.
    rows("INSERT INTO minute_dirty VALUES (%s, %s) RETURNING 1", ROOM, (today - 8 * DAY) // 60000)
    wait_for("it to be passed over", lambda: rows("SELECT count(*) FROM minute_dirty") == [(0,)])
    assert rows("SELECT n_danmaku FROM room_minute WHERE minute = %s", (today - 8 * DAY) // 60000) == [(1,)]
    assert d.stop() == 0

    # Kept for ever from now on: what is gone is still told.
    d = danmakud(*args, "--coverage-retention", "2d")
    wait_for("spans to go", lambda: d.metric(dropped("coverage_spans")) == 8)
    left = [x for x, in rows("SELECT (%s + 3600000 - from_ms) / %s FROM coverage_span WHERE cause = 'peer_reset' ORDER BY from_ms", today, DAY)]
    assert left == [11, 2, 1], "the first one says since when the room is collected"
    assert expired(sessions, 2) and expired(events, 2), "nobody knows what was missing of them"
    r = d.json(f"/api/v1/rooms/{ROOM}/coverage", **{"from": today - 4 * DAY, "to": today - DAY})["data"]
    assert [(i["cause"], i["to_ms"]) for i in r["intervals"] if i["state"] == "gap"][0] == ("expired", today - 2 * DAY)
    assert "not_collected" not in {i["cause"] for i in r["intervals"]}
