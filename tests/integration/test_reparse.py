"""What was kept is decoded again: a release that knows more adds what was missing, once, with the ids it would have had.

A command that this release has learned is imitated by taking its events out of the database."""
import re
import time

import harness
from harness import wait_for
from test_cli import cli
from test_unknown import emit, quiet_sim

COLUMNS = ("room_id, id, nkey, actor, value_mcny, item_id, medal_uid, sent_off_ms, color, num, kind, flags & ~32, guard, medal_lv, mode, "
           "wealth, uname, text, medal, extra::text")
LATE = str(int((time.time() + 3600) * 1000))


def reparse(postgres, database, *args, to=LATE):
    r = cli("reparse", "--database-url", postgres.url(database), "--to", to, *args)
    assert r.returncode == 0, r.stderr + r.stdout
    return r.stdout


def tally(out, name):
    """messages, events, added of a line."""
    return tuple(int(n) for n in re.search(rf"^{name}: (\d+) messages, (\d+) events, (\d+) added", out, re.M).groups())


def everything(rows):
    return rows(f"SELECT {COLUMNS} FROM event ORDER BY room_id, id")


def written(d, n):
    """The n messages that it was sent."""
    wait_for(f"{n} messages", lambda: d.metric("danmakud_messages_total") >= n)
    harness.all_written(d)
    wait_for("what is kept in the database", lambda: d.metric("danmakud_raw_stored_total") == d.metric("danmakud_raw_messages_total"))


def test_brings_back_what_is_missing_and_only_once(sim, danmakud, rows, database, postgres):
    s = sim("--rooms", "3", "--rate", "400", "--count", "1500")
    d = danmakud("--raw", "all", *s.args_for_rooms())
    wait_for("1500 events", s.done)
    s.pause()
    harness.all_read(d, s)
    written(d, 1500)
    assert d.stop() == 0
    before = everything(rows)
    kinds = dict(rows("SELECT kind, count(*) FROM event GROUP BY 1"))
    assert kinds[1] > 500 and kinds[3] > 20 and kinds[6] > 3
    # nothing is missing: nothing is added
    out = reparse(postgres, database)
    assert tally(out, "in all")[0] > 1500 and tally(out, "in all")[2] == 0
    assert everything(rows) == before and rows("SELECT count(*) FROM event WHERE flags & 32 <> 0") == [(0,)]
    rows("DELETE FROM event WHERE kind IN (3, 6) OR (kind = 1 AND mod(id, 3) = 0) RETURNING 1")
    left = everything(rows)
    out = reparse(postgres, database, "--dry-run")
    assert tally(out, "would be in all")[2] == len(before) - len(left)
    assert everything(rows) == left and rows("SELECT count(*) FROM minute_dirty") == [(0,)]
    out = reparse(postgres, database, "--cmd", "SEND_GIFT")
    assert tally(out, "SEND_GIFT")[2] == tally(out, "in all")[2] == kinds[3]
    assert rows("SELECT count(*) FROM event WHERE kind = 6") == [(0,)]
    out = reparse(postgres, database)
    assert tally(out, "in all")[2] == len(before) - len(left) - kinds[3]
    assert everything(rows) == before
    assert rows("SELECT count(*) FROM event WHERE flags & 32 <> 0") == [(len(before) - len(left),)]
    assert tally(reparse(postgres, database), "in all")[2] == 0
    assert everything(rows) == before


def test_lists_and_figures_have_it_the_live_feed_not(sim, danmakud, rows, database, postgres):
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    room = s.rooms[0]
    for i in range(20):
        s.command(f"say {room} text {i}")
    written(d, 20)
    assert d.stop() == 0
    rows("DELETE FROM event WHERE text ~ '[02468]$' RETURNING 1")
    # its minutes are counted already, with nothing in them
    rows("UPDATE rollup_mark SET minute = (SELECT ((max(id) >> 22) + 1577836800000) / 60000 + 1 FROM event) RETURNING 1")
    rows("DELETE FROM room_minute RETURNING 1")
    d = danmakud(*s.args_for_rooms())
    texts = [e["text"] for e in d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku")["data"]]
    assert texts == [f"text {i}" for i in range(19, 0, -2)]
    live = harness.Stream(d.base, f"?rooms={room}", count=1)
    reparse(postgres, database, "--cmd", "DANMU_MSG")
    wait_for("all in the list", lambda: len(d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku")["data"]) == 20)
    listed = d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku")["data"]
    assert [e["text"] for e in listed] == [f"text {i}" for i in range(19, -1, -1)]
    one = next(e for e in listed if e["text"] == "text 4")
    assert d.json(f"/api/v1/events/{one['id']}")["data"] == one
    up = d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku", order="asc")["data"]
    assert up == listed[::-1]
    wait_for("its minutes", lambda: rows("SELECT sum(n_danmaku) FROM room_minute") == [(20,)])
    assert rows("SELECT count(*) FROM minute_dirty") == [(0,)]
    assert rows("SELECT rev FROM room WHERE room_id = %s", room) == [(1,)]
    s.command("wait ready 1")
    s.command(f"say {room} now")
    live.join(harness.TIMEOUT)
    assert [e[2]["text"] for e in live.events] == ["now"]
    newest = d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku", limit=2)["data"]
    assert [e["text"] for e in newest] == ["now", "text 19"]
    # after a restart the ring does not have them either
    assert d.stop() == 0
    d = danmakud(*s.args_for_rooms())
    assert len(d.json(f"/api/v1/rooms/{room}/events", kinds="danmaku")["data"]) == 21
    live = harness.Stream(d.base, f"?rooms={room}&kinds=danmaku", last_event_id=int(one["id"]) - 1, count=9)
    live.join(harness.TIMEOUT)
    assert [e[2]["text"] for e in live.events] == [f"text {i}" for i in range(5, 20, 2)] + ["now"]
    # nor does who resumes from the database get them
    live = harness.Stream(d.base, f"?rooms={room}&kinds=danmaku", last_event_id=int(listed[-1]["id"]) - 1, count=11)
    live.join(harness.TIMEOUT)
    assert [e[2]["text"] for e in live.events] == [f"text {i}" for i in range(1, 20, 2)] + ["now"]
    assert d.metric("danmakud_stream_pages_total") >= 1


def test_what_was_said_about_others(sim, danmakud, rows, database, postgres):
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE", "data": {"id": 77, "price": 30, "message": "hi", "uid": 5, "user_info": {"uname": "a"}}})
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": [77]}})
    written(d, 2)
    wait_for("both", lambda: rows("SELECT count(*) FROM event") == [(2,)])
    assert d.stop() == 0
    amends = rows("SELECT * FROM amend ORDER BY 1, 2")
    assert len(amends) == 1
    rows("DELETE FROM event WHERE kind = 7 RETURNING 1")
    rows("DELETE FROM amend RETURNING 1")
    reparse(postgres, database)
    assert rows("SELECT * FROM amend ORDER BY 1, 2") == amends
    reparse(postgres, database)
    assert rows("SELECT * FROM amend ORDER BY 1, 2") == amends


def test_messages_of_many_events(sim, danmakud, rows, database, postgres):
    """The i-th event of a message has the id of the message + i, past 16 and behind repeats too: live and decoded again."""
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": [3, 20]}})
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": list(range(1, 101))}})
    s.command(f"say {s.rooms[0]} behind it")
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": list(range(1000, 1300))}})
    written(d, 4)
    wait_for("all of them", lambda: rows("SELECT count(*) FROM event") == [(2 + 98 + 1 + 256,)])
    assert d.metric("danmakud_messages_long_total") == 2 and d.metric("danmakud_parts_left_out_total") == 44
    assert d.stop() == 0
    raw = [i for i, in rows("SELECT id FROM raw_event ORDER BY id")]
    assert rows("SELECT DISTINCT places FROM raw_event") == [(256,)]
    ids = dict(rows("SELECT item_id, id FROM event WHERE kind = 7"))
    assert ids[3] == raw[0] and ids[20] == raw[0] + 1
    assert all(ids[i] == raw[1] + i - 1 for i in range(1, 101) if i not in (3, 20))
    assert all(ids[1000 + i] == raw[3] + i for i in range(256))
    assert rows("SELECT id FROM event WHERE kind = 1") == [(raw[2],)] and raw[2] > raw[1] + 255
    before = everything(rows)
    rows("DELETE FROM event RETURNING 1")
    assert tally(reparse(postgres, database), "in all") == (4, 359, 357)
    assert everything(rows) == before
    assert tally(reparse(postgres, database), "in all")[2] == 0
    # an older release kept 16 ids free: the others may be those of another message
    rows("DELETE FROM event RETURNING 1")
    rows("UPDATE raw_event SET places = NULL RETURNING 1")
    out = reparse(postgres, database)
    assert "past the most of a message" in out and tally(out, "in all")[2] == 2 + 15 + 1 + 16
    assert tally(reparse(postgres, database), "in all")[2] == 0


def test_messages_behind_the_last_written_event(sim, danmakud, rows, database, postgres):
    """The writer's mark stands still while nothing is written; what was kept meanwhile is not left alone for ever."""
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    s.command(f"say {s.rooms[0]} hello")
    written(d, 1)
    emit(s, {"cmd": "WIDGET_BANNER", "data": {}})
    wait_for("both", lambda: rows("SELECT count(*) FROM raw_event WHERE reason = 'kept'") == [(2,)])
    wait_for("its turn", lambda: rows("SELECT complete_id >= (SELECT max(id) FROM raw_event) FROM writer_mark") == [(True,)])
    assert rows("SELECT last_id < (SELECT max(id) FROM raw_event) FROM writer_mark") == [(True,)]
    assert tally(reparse(postgres, database), "in all") == (2, 1, 0)
    # a release that knows more makes an event of it
    s.command(f"say {s.rooms[0]} another")
    wait_for("it", lambda: rows("SELECT count(*) FROM event") == [(2,)])
    assert d.stop() == 0


def test_what_was_said_before_about_what_is_added(sim, danmakud, rows, database, postgres):
    """The recall or deletion is stored, its target is not yet: the target is amended as it is added, once."""
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    for n in (77, 78):
        emit(s, {"cmd": "SUPER_CHAT_MESSAGE", "data": {"id": n, "price": 30, "message": "hi", "uid": 5, "user_info": {"uname": "a"}}})
    s.command(f"say {s.rooms[0]} one")
    s.command(f"say {s.rooms[0]} two")
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_JPN", "data": {"id": "77", "uid": "5", "price": 30, "message": "hi", "message_jpn": "yo",
                                                       "user_info": {"uname": "a"}}})
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": [77]}})
    emit(s, {"cmd": "RECALL_DANMU_MSG", "data": {"recall_type": 3, "target_id": 0}})
    s.command(f"say {s.rooms[0]} later")
    written(d, 8)
    wait_for("all of it", lambda: rows("SELECT count(*) FROM event WHERE kind IN (1, 6, 7, 17, 19)") == [(8,)])
    assert d.stop() == 0
    amends = rows("SELECT room_id, target_id, by_id, what, data::text FROM amend ORDER BY 1, 2, 3")
    assert sorted(a[3] for a in amends) == ["deleted", "recalled", "recalled", "translated"]
    rows("DELETE FROM event WHERE kind IN (1, 6) RETURNING 1")
    rows("DELETE FROM amend RETURNING 1")
    assert tally(reparse(postgres, database, "--cmd", "SUPER_CHAT_MESSAGE"), "in all")[2] == 2
    again = "SELECT room_id, target_id, by_id, what, data::text FROM amend ORDER BY 1, 2, 3"
    assert rows(again) == [a for a in amends if a[3] != "recalled"]
    assert tally(reparse(postgres, database, "--cmd", "DANMU_MSG", "--dry-run"), "would be in all")[2] == 3
    assert len(rows(again)) == 2
    assert tally(reparse(postgres, database, "--cmd", "DANMU_MSG"), "in all")[2] == 3
    assert rows(again) == amends
    reparse(postgres, database)
    assert rows(again) == amends


def test_kinds_that_were_only_counted(sim, danmakud, rows, database, postgres):
    """Counted when they came, stored now: they count once. And one that is only counted still says what it says about others."""
    s = quiet_sim(sim)
    kinds = "danmaku,superchat,gift,guard,redpacket"
    d = danmakud("--raw", "all", "--store-kinds", kinds, *s.args_for_rooms())
    s.command("wait ready 1")
    s.command(f"say {s.rooms[0]} one")
    emit(s, {"cmd": "RECALL_DANMU_MSG", "data": {"recall_type": 3, "target_id": 0}})
    emit(s, {"cmd": "WARNING", "msg": "careful", "roomid": s.rooms[0]})
    written(d, 3)
    wait_for("the counts", lambda: sorted(k for k, in rows("SELECT kind FROM room_minute_kind WHERE kind IN (17, 18)")) == [17, 18])
    assert d.stop() == 0
    amends = rows("SELECT * FROM amend ORDER BY 1, 2, 3")
    assert len(amends) == 1
    rows("DELETE FROM amend RETURNING 1")
    out = reparse(postgres, database, "--store-kinds", kinds)
    assert "of kinds that are only counted" in out and tally(out, "in all")[2] == 0
    assert rows("SELECT * FROM amend ORDER BY 1, 2, 3") == amends
    counted = dict(rows("SELECT kind, n FROM room_minute_kind"))
    out = reparse(postgres, database)
    assert tally(out, "RECALL_DANMU_MSG")[2] == 1 and tally(out, "WARNING")[2] == 1
    assert rows("SELECT kind FROM room_minute_kind WHERE kind IN (17, 18) AND n <> 0") == []
    assert counted[17] == counted[18] == 1
    assert tally(reparse(postgres, database), "in all")[2] == 0
    assert rows("SELECT * FROM amend ORDER BY 1, 2, 3") == amends


def test_only_that_time(sim, danmakud, rows, database, postgres):
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    for i in range(3):
        s.command(f"say {s.rooms[0]} text {i}")
        time.sleep(0.02)  # another ms each
    written(d, 3)
    assert d.stop() == 0
    at = [ms for ms, in rows("SELECT (id >> 22) + 1577836800000 FROM event ORDER BY id")]
    rows("DELETE FROM event RETURNING 1")
    assert tally(reparse(postgres, database, "--from", str(at[1]), to=str(at[2])), "in all") == (1, 1, 1)
    assert rows("SELECT text FROM event") == [("text 1",)]
    assert tally(reparse(postgres, database), "in all") == (3, 3, 2)


def test_what_the_writer_has_yet_to_write_is_left_to_it(sim, danmakud, rows, database, postgres):
    s = quiet_sim(sim)
    d = danmakud("--raw", "all", *s.args_for_rooms())
    s.command("wait ready 1")
    s.command(f"say {s.rooms[0]} text 0")
    emit(s, {"cmd": "SUPER_CHAT_MESSAGE_DELETE", "data": {"ids": [77, 78]}})
    s.command(f"say {s.rooms[0]} text 1")
    s.command(f"say {s.rooms[0]} text 2")
    written(d, 4)
    wait_for("all of them", lambda: rows("SELECT count(*) FROM event") == [(5,)])
    assert d.stop() == 0
    ids = [i for i, in rows("SELECT id FROM event ORDER BY id")]
    assert ids[2] == ids[1] + 1
    rows("DELETE FROM event RETURNING 1")
    # as if it had been stopped before the rest was in the database; the second message is there in part
    rows("UPDATE writer_mark SET last_id = %s RETURNING 1", ids[1])
    out = reparse(postgres, database)
    assert tally(out, "in all") == (2, 3, 2) and "1 left to the running service" in out
    assert rows("SELECT id FROM event ORDER BY id") == [(ids[0],), (ids[1],)]
    # what could not be read when it came is not the writer's: it has nothing of it
    rows("UPDATE raw_event SET reason = 'unknown' WHERE id = %s RETURNING 1", ids[4])
    assert tally(reparse(postgres, database), "in all") == (3, 4, 1)
    # and it has written them, but not all are there
    rows("UPDATE writer_mark SET last_id = %s RETURNING 1", ids[3])
    assert tally(reparse(postgres, database), "in all") == (4, 5, 2)
    assert [i for i, in rows("SELECT id FROM event ORDER BY id")] == ids


def test_usage(danmakud, database, postgres):
    assert "--dry-run" in cli("reparse", "--help").stdout
    danmakud()
    for args in (("--cmd",), ("--from", "yesterday"), ("--what",), ("x",)):
        assert cli("reparse", "--database-url", postgres.url(database), *args).returncode == 2, args
    r = cli("reparse", "--database-url", postgres.url(database), "--cmd", "NONE")
    assert r.returncode == 0 and "no message is kept" in r.stdout
