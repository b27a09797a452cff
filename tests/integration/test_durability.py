"""Nothing that reached the spool is lost or doubled: schedules of faults, a full spool, two owners, a bad disk, damage."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
import requests

import harness
from harness import wait_for

FAULTS = os.path.join(os.path.dirname(__file__), "..", "faults")
sys.path.insert(0, FAULTS)

import service as faults_service  # noqa: E402
import spoolfile  # noqa: E402
import verify  # noqa: E402

SMALL = ("--spool-max-bytes", "1048576", "--spool-segment-bytes", "65536", "--ring-events", "1024", "--batch-rows", "500")
ID_EPOCH_MS = 1577836800000


@pytest.fixture
def own(postgres, database, tmp_path):
    """own("--rooms", ...) is danmakud with its data directory, not started yet; it may be killed."""
    made = []

    def make(*args, data="data", url=None):
        directory = tmp_path / f"own{len(made)}"
        directory.mkdir()
        (tmp_path / data).mkdir(exist_ok=True)
        s = faults_service.Service(str(directory), str(tmp_path / data), url or postgres.url(database), args,
                                   faults_service.Clock(str(directory)))
        made.append(s)
        return s

    yield make
    for s in made:
        if s.proc is not None:
            s.kill()
        for _, text in s.logs():
            assert "ERROR: AddressSanitizer" not in text and "runtime error:" not in text and "assertion failed" not in text, text


def run_schedules(*args):
    p = subprocess.run([os.path.join(FAULTS, "run"), "--build", harness.BUILD, "--seconds", "6", *args],
                       capture_output=True, text=True, check=False, timeout=900)
    print(p.stdout)
    assert p.returncode == 0, p.stdout + p.stderr
    assert " 0 failed" in p.stdout.splitlines()[-1]


def test_schedules_of_faults():
    run_schedules("--schedules", "9", "--seed", "4201", "--jobs", "3")


def test_a_random_schedule_of_faults():
    seed = os.environ.get("DM_SEED") or str(random.SystemRandom().randrange(10**9))
    run_schedules("--schedules", "1", "--seed", seed)


def gaps(rows):
    """room -> [(first id, last id, events)]"""
    out = defaultdict(list)
    for room, cause, first, last, n in rows("SELECT room_id, cause, first_id, last_id, n FROM coverage_span WHERE source = 1 "
                                            "ORDER BY 1, from_ms"):
        assert cause in ("overflow", "not_durable")
        out[room].append((first, last, n))
    return out


@pytest.mark.parametrize("policy", ["oldest", "newest"])
def test_database_away_until_the_spool_is_full(sim, own, rows, postgres, database, policy):
    """What is dropped is declared: for each room the exact interval and the exact number, nothing else."""
    s = sim("--rooms", "4", "--rate", "3000")
    d = own("--spool-overflow", policy, *SMALL, *s.args_for_rooms())
    d.start()
    d.wait_ready()
    live = faults_service.Live(d)
    wait_for("some rows", lambda: rows("SELECT count(*) FROM event")[0][0] > 100)
    wait_for("the live feed", lambda: live.events)
    postgres.stop(signal.SIGQUIT)
    try:
        wait_for("the spool to be full", lambda: d.metric("danmakud_spool_dropped_events_total") > 3000)
        assert 'danmakud_spool_state 1' in d.metrics()
        assert d.metric("danmakud_spool_bytes") <= 2 * 1048576  # what is being deleted is still on disk
        # Nothing is dropped any more when the writer goes on: what it has read just before may be declared, and stored then.
        s.pause()
        wait_for("the overflow to end", lambda: d.metric("danmakud_spool_bytes") <= 1100000 and d.metric("danmakud_spool_queued_bytes") == 0)
    finally:
        postgres.start()
    wait_for("everything written", lambda: d.metric("danmakud_unwritten_events") == 0
             and d.metric("danmakud_spool_state") == 0 and d.metric("danmakud_spool_bytes") < 300000)
    s.command("rate 300")
    s.resume()
    before = rows("SELECT count(*) FROM event")[0][0]
    wait_for("new events to be stored", lambda: rows("SELECT count(*) FROM event")[0][0] > before + 100)
    s.pause()
    for room in s.rooms:
        s.command(f"say {room} the last one")
    s.command("wait idle")
    wait_for("the last message of each room",
             lambda: rows("SELECT count(DISTINCT room_id) FROM event WHERE text = 'the last one'")[0][0] == len(s.rooms))
    dropped = int(d.metric("danmakud_events_lost_total"))
    # A disk that deletes too slowly has no room for some: then the ring was all there was of them, and an interval may
    # reach over one that was stored.
    exact = d.metric("danmakud_spool_nondurable_events_total") == 0
    wait_for("all gaps to be declared", lambda: sum(n or 0 for g in gaps(rows).values() for _, _, n in g) >= dropped)
    if exact:
        assert dropped == d.metric("danmakud_spool_dropped_events_total")
        assert {cause for cause, in rows("SELECT cause FROM coverage_span WHERE source = 1")} == {"overflow"}
    lapped = d.metric("danmakud_stream_lapped_total")
    live.close()
    stored = {i: (room, kind) for i, room, kind in rows("SELECT id, room_id, kind FROM event")}
    declared = gaps(rows)
    assert sum(n for g in declared.values() for _, _, n in g) == dropped
    for i, (room, _) in stored.items():
        assert not exact or not any(a <= i <= b for a, b, _ in declared[room]), "a stored event in an interval that is declared as missing"
    seen = live.bodies()
    missing = Counter()
    for i, body in seen.items():
        if i not in stored:
            assert any(a <= i <= b for a, b, _ in declared[body["room_id"]]), f"{i} is missing and not declared"
            missing[body["room_id"]] += 1
    if policy == "oldest":  # what is refused (newest) is never published
        told = Counter({room: sum(n for _, _, n in g) for room, g in declared.items()})
        assert not missing - told
        assert lapped > 0 or missing == told  # a client behind the ring has not seen them all
    else:
        assert not missing
    want, have = s.recorded(), Counter(rows(
        "SELECT room_id, kind, coalesce(text, ''), coalesce(uname, ''), coalesce(value_mcny, 0) FROM event "
        "WHERE kind IN (1, 3, 6, 14)"))
    assert have - want == Counter()
    revs = dict(rows("SELECT room_id, rev FROM room"))
    assert all(revs[room] > 0 for room, g in declared.items() if g), "what changes the past changes the validators"
    assert 0 < sum((want - have).values()) <= dropped
    d.stop()


@pytest.mark.parametrize("policy", ["oldest", "newest"])
def test_killed_with_a_full_spool_and_the_database_away(sim, own, rows, postgres, policy):
    s = sim("--rooms", "2", "--rate", "3000")
    d = own("--spool-overflow", policy, *SMALL, *s.args_for_rooms())
    d.start()
    d.wait_ready()
    live = faults_service.Live(d)
    wait_for("some rows", lambda: rows("SELECT count(*) FROM event")[0][0] > 100)
    wait_for("the live feed", lambda: live.events)
    postgres.stop(signal.SIGQUIT)
    try:
        wait_for("the spool to be full", lambda: d.metric("danmakud_spool_dropped_events_total") > 1000)
        d.kill()
        on_disk = spoolfile.event_ids(os.path.join(d.data_dir, "spool"))
        assert len(on_disk) > 1000
        d.start()
        s.pause()
    finally:
        postgres.start()
    d.wait_ready()
    wait_for("the spool to be written", lambda: d.metric("danmakud_unwritten_events") == 0)
    s.resume()
    before = rows("SELECT count(*) FROM event")[0][0]
    wait_for("new events to be stored", lambda: rows("SELECT count(*) FROM event")[0][0] > before + 100)
    s.pause()
    harness.all_written(d, s)
    live.close()
    stored = {i for i, in rows("SELECT id FROM event")}
    assert on_disk <= stored
    missing = [(body["room_id"], verify.ts_ms(i)) for i, body in live.bodies().items() if i not in stored]
    assert missing if policy == "oldest" else not missing

    def declared():
        c = verify.Coverage(rows(verify.LOST))
        return all(c.declares(room, ms) for room, ms in missing) and c.rows
    wait_for("coverage to tell of all that is missing", declared)
    d.stop()


def test_a_second_process_on_the_same_data(sim, own, rows, postgres, database):
    s = sim("--rooms", "2", "--rate", "200")
    first = own(*s.args_for_rooms())
    first.start()
    first.wait_ready()
    second = own(*s.args_for_rooms())
    second.start()
    assert second.proc.wait(harness.TIMEOUT) == 1
    second.proc = None
    text = dict(second.logs())[1]
    assert "another danmakud uses this data directory" in text and "in use by process" in text
    wait_for("the first to go on", lambda: first.metric("danmakud_rows_written_total") > 200)
    s.pause()
    harness.all_written(first, s)
    first.stop()


def test_a_second_process_with_the_same_node(sim, own, rows):
    """It waits, says why, and takes over when the first one ends; nothing is written twice."""
    s = sim("--rooms", "2", "--rate", "200")
    first = own(*s.args_for_rooms())
    first.start()
    first.wait_ready()
    wait_for("some rows", lambda: first.metric("danmakud_rows_written_total") > 100)
    second = own(*s.args_for_rooms(), data="other")
    second.start()
    wait_for("the second to say why it waits",
             lambda: "another running process uses this node number" in dict(second.logs())[1])
    assert second.base() is None
    first.kill()
    second.wait_ready()
    wait_for("the second to write", lambda: second.metric("danmakud_rows_written_total") > 100)
    s.pause()
    harness.all_written(second, s)
    have = Counter(rows("SELECT room_id, kind, coalesce(text, ''), coalesce(uname, ''), coalesce(value_mcny, 0) FROM event "
                        "WHERE kind IN (1, 3, 6, 14)"))
    assert have - s.recorded() == Counter(), "doubled or invented"
    assert len(rows("SELECT DISTINCT id FROM event")) == rows("SELECT count(*) FROM event")[0][0]
    second.stop()


def test_data_directory_that_cannot_be_used(sim, own, rows):
    """Loud, and the service goes on from memory."""
    s = sim("--rooms", "2", "--rate", "200")
    d = own(*s.args_for_rooms())
    with open(os.path.join(d.data_dir, "spool"), "w", encoding="ascii") as f:
        f.write("not a directory")
    d.start()
    d.wait_ready()
    wait_for("rows", lambda: d.metric("danmakud_rows_written_total") > 200)
    text = dict(d.logs())[1]
    assert "level=error" in text and "no spool: events are kept in memory only" in text
    s.pause()
    harness.all_written(d, s)
    have = Counter(rows("SELECT room_id, kind, coalesce(text, ''), coalesce(uname, ''), coalesce(value_mcny, 0) FROM event "
                        "WHERE kind IN (1, 3, 6, 14)"))
    assert have == s.recorded()
    d.stop()


def filled_spool(sim, own, rows, postgres):
    """A data directory with several segments of events that are in no database."""
    s = sim("--rooms", "3", "--rate", "2000")
    d = own("--spool-max-bytes", "16777216", "--spool-segment-bytes", "65536", *s.args_for_rooms())
    d.start()
    d.wait_ready()
    postgres.stop(signal.SIGQUIT)
    try:
        wait_for("segments", lambda: d.metric("danmakud_spool_segments") >= 4)
        d.kill()
    finally:
        postgres.start()
    s.pause()
    directory = os.path.join(d.data_dir, "spool")
    assert len(spoolfile.segments(directory)) >= 4
    return directory


def damage(directory, rng, how):
    """Damages one segment; the ids that stand in it behind the damage, and those that do not."""
    path = rng.choice(spoolfile.segments(directory))
    with open(path, "rb") as f:
        data = bytearray(f.read())
    at = rng.randrange(spoolfile.HEADER + 100, len(data))
    behind = {int.from_bytes(p[:8], "little") for _, end, kind, p in spoolfile.records(data) if kind == 1 and end > at}
    everything = spoolfile.event_ids(directory)
    if how == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[at:]
    else:
        data[at:] = bytes(len(data) - at)
    with open(path, "wb") as f:
        f.write(data)
    return behind, everything - behind


def test_damaged_spool(sim, own, rows, postgres, tmp_path):
    """Everything before the damage and in other segments is recovered, exactly once; the damage is counted."""
    source = filled_spool(sim, own, rows, postgres)
    seed = int(os.environ.get("DM_SEED") or random.SystemRandom().randrange(10**9))
    print("seed", seed)
    rng = random.Random(seed)
    for how in ("flip", "flip", "cut", "zeros"):
        name = f"dmg{os.getpid()}_{rng.randrange(1 << 30)}"
        postgres.create(name)
        data = tmp_path / name
        shutil.copytree(source, data / "spool")
        behind, kept = damage(str(data / "spool"), rng, how)
        d = own(data=name, url=postgres.url(name))
        d.start()
        d.wait_ready()
        wait_for("what is left to be written", lambda: d.metric("danmakud_unwritten_events") == 0)
        with postgres.connect(name) as c:
            stored = [r[0] for r in c.execute("SELECT id FROM event").fetchall()]
        assert len(stored) == len(set(stored))
        assert kept <= set(stored), f"{how}: lost {len(kept - set(stored))} undamaged events"
        assert set(stored) <= kept | behind
        if behind - set(stored):
            counted = d.metric("danmakud_spool_torn_bytes_total") + d.metric("danmakud_spool_bad_bytes_total")
            assert counted > 0 or how == "cut", "the damage is not counted"
        d.stop()
        postgres.drop(name)


def test_catches_up_while_events_go_on(sim, own, rows, postgres):
    """From the spool into the ring, without chasing the ring's end for ever."""
    s = sim("--rooms", "4", "--rate", "400", "--steady")
    d = own("--ring-events", "1024", "--batch-age", "500ms", *s.args_for_rooms())
    d.start()
    d.wait_ready()
    wait_for("some rows", lambda: rows("SELECT count(*) FROM event")[0][0] > 100)
    postgres.stop(signal.SIGQUIT)
    try:
        wait_for("the ring to be lapped", lambda: d.metric("danmakud_ring_evicted_total") > 1500)
    finally:
        postgres.start()
    wait_for("the writer to be in the ring again", lambda: d.metric("danmakud_unwritten_events") < 1000)
    s.pause()
    harness.all_written(d, s)
    assert rows("SELECT count(*) FROM event")[0][0] >= s.n_recorded()
    d.stop()


def test_a_quiet_minute_is_rolled_up(sim, own, rows):
    """Minutes end also when no event follows them, and get no event once they are rolled up, even if the clock goes back."""
    s = sim("--rooms", "2", "--rate", "200")
    d = own(*s.args_for_rooms())
    if not d.clock.usable:
        pytest.skip("no faketime for this build")
    d.start()
    d.wait_ready()
    wait_for("some rows", lambda: rows("SELECT count(*) FROM event")[0][0] > 100)
    s.pause()
    harness.all_written(d, s)
    d.clock.step(130)
    newest = rows("SELECT ((max(id) >> 22) + 1577836800000) / 60000 FROM event")[0][0]
    wait_for("the minute to be rolled up", lambda: rows("SELECT minute FROM rollup_mark")[0][0] > newest)
    closed = rows("SELECT minute FROM rollup_mark")[0][0]
    for life in range(2):
        d.clock.step(-60)
        if life == 1:
            d.kill()
            d.start()
            d.wait_ready()
        s.resume()
        before = rows("SELECT count(*) FROM event")[0][0]
        wait_for("new rows", lambda: rows("SELECT count(*) FROM event")[0][0] > before + 100)
        s.pause()
        harness.all_written(d, s)
        in_between = rows("SELECT count(*) FROM event WHERE id >> 22 > %s AND id >> 22 < %s",
                          (newest + 1) * 60000 - ID_EPOCH_MS, closed * 60000 - ID_EPOCH_MS)[0][0]
        assert in_between == 0, "an event in a minute that was rolled up already"
    assert rows("SELECT coalesce(sum(n_danmaku), 0) FROM room_minute WHERE minute < %s", closed)[0][0] == rows(
        "SELECT count(*) FROM event WHERE kind = 1 AND ((id >> 22) + 1577836800000) / 60000 < %s", closed)[0][0]
    d.stop()
