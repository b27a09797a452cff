"""Messages kept as they came: which, with which id, through what, and for how long."""
import base64
import json
import os
import sys

import harness
from harness import wait_for
from test_unknown import admin, commands, emit, quiet_sim

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "faults"))
import spoolfile  # noqa: E402

ROOM = 1001
UNKNOWN = {"cmd": "NEVER_SEEN", "data": {"uid": 4711}}
BROKEN = {"cmd": "SEND_GIFT", "data": "no gift"}


def stored(d, n):
    wait_for(f"{n} kept messages", lambda: d.metric("danmakud_raw_stored_total") >= n)


def kept(rows):
    return rows("SELECT c.cmd, r.reason, r.dict, length(r.body), r.id FROM raw_event r LEFT JOIN command c USING (cmd_id) ORDER BY r.id")


def test_unknown_and_broken_by_default(sim, danmakud, rows, database, postgres):
    s = quiet_sim(sim)
    d = danmakud(*s.args_for_rooms())
    s.command("wait ready 1")
    emit(s, UNKNOWN)
    emit(s, BROKEN)
    s.command(f"say {ROOM} hello")
    stored(d, 2)
    wait_for("the danmaku", lambda: d.metric("danmakud_rows_written_total") >= 1)
    got = kept(rows)
    assert [r[0] for r in got] == ["NEVER_SEEN", "SEND_GIFT"]
    assert got[0][1] == "unknown" and got[1][1] not in ("unknown", "kept")
    assert all(r[2] == 1 and 0 < r[3] < 100 for r in got)
    assert d.stop() == 0
    auth = admin(postgres, database)
    d = danmakud()
    assert commands(d, auth)["NEVER_SEEN"]["raw_kept"] is True


def test_all_share_the_message_id_with_their_events(sim, danmakud, rows):
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    for i in range(3):
        s.command(f"say {ROOM} hello {i}")
    emit(s, UNKNOWN)
    s.command(f"say {ROOM} hello again")
    stored(d, 5)
    wait_for("the danmaku", lambda: d.metric("danmakud_events_published_total") >= 4)
    harness.all_written(d)
    got = {r[4]: r[1] for r in kept(rows)}
    events = [r[0] for r in rows("SELECT id FROM event WHERE kind = 1")]
    assert len(events) == 4 and all(got[i] == "kept" for i in events)
    alone = [i for i, reason in got.items() if reason == "unknown"]
    assert len(alone) == 1 and alone[0] not in events
    assert rows("SELECT count(*) FROM raw_event r JOIN event e USING (room_id, id) WHERE r.actor = e.actor") == [(4,)]


def test_off_keeps_nothing(sim, danmakud, rows):
    s = quiet_sim(sim)
    d = danmakud("--raw", "off", *s.args_for_rooms())
    s.command("wait ready 1")
    emit(s, UNKNOWN)
    wait_for("the message", lambda: d.metric("danmakud_messages_total") >= 1)
    assert d.metric("danmakud_raw_messages_total") == 0
    assert d.stop() == 0
    assert kept(rows) == []


def test_survives_kill_and_database_away(sim, danmakud, rows, postgres, tmp_path):
    s = quiet_sim(sim)
    d = danmakud(*s.args_for_rooms())
    s.command("wait ready 1")
    emit(s, UNKNOWN)
    stored(d, 1)
    first = kept(rows)[0][4]
    postgres.stop(harness.signal.SIGQUIT)
    for i in range(50):
        emit(s, {"cmd": "WHILE_AWAY", "data": {"n": i}})
    wait_for("all of them", lambda: d.metric("danmakud_raw_messages_total") == 51)
    wait_for("all of them on disk", lambda: len([i for i in spoolfile.event_ids(str(tmp_path / "raw")) if i > first]) == 50)
    d.kill()
    postgres.start()
    d = danmakud(*s.args_for_rooms())
    wait_for("them in the database", lambda: len(kept(rows)) == 51)
    assert [r[0] for r in kept(rows)] == ["NEVER_SEEN"] + 50 * ["WHILE_AWAY"]
    assert d.metric("danmakud_raw_dropped_total") == 0


def test_large_messages(sim, danmakud, rows):
    s = quiet_sim(sim)
    d = danmakud(*s.args_for_rooms())
    s.command("wait ready 1")
    noise = base64.b64encode(os.urandom(300000)).decode()
    for size in (10, 20000, 60000, 400000, 10):
        emit(s, {"cmd": f"SIZE_{size}", "data": noise[:size]})
    stored(d, 5)
    got = {r[0]: r[3] for r in kept(rows)}
    assert len(kept(rows)) == 5 and set(got) == {"SIZE_10", "SIZE_20000", "SIZE_60000", "SIZE_400000"}
    assert 15000 < got["SIZE_20000"] < 20000 and 45000 < got["SIZE_60000"] < 60000 and got["SIZE_400000"] is None
    assert d.metric("danmakud_raw_dropped_total") == 1


def test_a_full_spool_drops_the_oldest_and_says_so(sim, danmakud, rows, postgres):
    s = quiet_sim(sim)
    d = danmakud("--raw-max-bytes", "1M", "--spool-segment-bytes", "64k", *s.args_for_rooms())
    s.command("wait ready 1")
    postgres.stop(harness.signal.SIGQUIT)
    noise = base64.b64encode(os.urandom(30000 * 80)).decode()
    for i in range(80):
        emit(s, {"cmd": "LARGE", "n": i, "data": noise[i * 30000:(i + 1) * 30000]})
    wait_for("all of them", lambda: d.metric("danmakud_raw_messages_total") == 80)
    wait_for("the oldest to go", lambda: d.metric("danmakud_raw_dropped_total") > 0)
    assert d.metric("danmakud_events_lost_total") == 0
    postgres.start()
    wait_for("the newest", lambda: d.metric("danmakud_raw_spool_bytes") < 100000 and d.metric("danmakud_raw_stored_total") > 10)
    got = kept(rows)
    assert 10 < len(got) < 80 and all(15000 < r[3] < 30000 for r in got)  # whole ones only


def test_only_what_is_refused_is_left_out(sim, danmakud, rows, database, postgres):
    s = quiet_sim(sim)
    d = danmakud(*s.args_for_rooms())
    s.command("wait ready 1")
    with postgres.connect(database) as c:
        c.execute("ALTER TABLE raw_event ADD CHECK (length(body) < 20000)")
        c.execute("ALTER TABLE raw_event RENAME TO elsewhere")
        noise = base64.b64encode(os.urandom(60000)).decode()
        for i in range(40):
            emit(s, {"cmd": "BEFORE", "n": i})
        emit(s, {"cmd": "LARGE", "data": noise[:60000]})  # of several parts
        for i in range(40):
            emit(s, {"cmd": "AFTER", "n": i})
        wait_for("all of them", lambda: d.metric("danmakud_raw_messages_total") == 81)
        wait_for("it to wait", lambda: "kept messages wait for the database" in json.dumps(d.log_text()))
        c.execute("ALTER TABLE elsewhere RENAME TO raw_event")
    stored(d, 80)
    assert [r[0] for r in kept(rows)] == 40 * ["BEFORE"] + 40 * ["AFTER"]
    assert d.metric("danmakud_raw_dropped_total") == 1
    assert json.dumps(d.log_text()).count("refuses a kept message") == 1


def test_old_days_are_dropped(danmakud, rows):
    d = danmakud()
    wait_for("the days ahead", lambda: rows("SELECT count(*) FROM pg_inherits WHERE inhparent = 'raw_event'::regclass") == [(5,)])
    assert d.stop() == 0
    rows("SELECT partition_make_day('raw_event', (now() AT TIME ZONE 'UTC')::date - n) FROM generate_series(1, 20) AS n")
    rows("""INSERT INTO raw_event (room_id, id, reason) SELECT 1, (((extract(epoch FROM now())::int8 - n * 86400) * 1000)
            - 1577836800000) << 22, 'unknown' FROM generate_series(0, 20) AS n RETURNING id""")
    rows("INSERT INTO raw_event (room_id, id, reason) VALUES (1, 5, 'long ago') RETURNING id")
    d = danmakud("--raw-retention", "2d")
    # today, three ahead, the default one, and what of the last two days lies in three calendar days
    wait_for("old days to go", lambda: rows("SELECT count(*) FROM pg_inherits WHERE inhparent = 'raw_event'::regclass") == [(7,)])
    assert rows("SELECT count(*) FROM raw_event")[0][0] in (2, 3)
    assert d.stop() == 0
    assert json.dumps(d.log_text()).count("past raw_retention") == 1
