"""This machine's clock: ids are times, so a start waits while it is far off upstream's; afterwards it is only told."""
import socket

import pytest

from harness import wait_for
from test_durability import own  # noqa: F401
from test_upstream import args_for, asked, states, web  # noqa: F401

OFF = "differ too much"


def log_of(service):
    with open(service.log_path(), encoding="utf-8", errors="replace") as f:
        return f.read()


@pytest.mark.parametrize("ms", (600000, -600000))
def test_a_start_waits_while_it_is_wrong(web, own, ms):  # noqa: F811
    s = web("--rooms", "2", "--rate", "50", "--http-fault", f"kind=date,ms={ms},times=0")
    d = own(*args_for(s))
    d.start()
    wait_for("it to say so", lambda: OFF in log_of(d) and "not starting yet" in log_of(d))
    assert s.stats()["ready"] == 0 and asked(s, "/getDanmuInfo") == 0
    asks = asked(s)
    wait_for("it to ask again", lambda: asked(s) > asks)
    assert s.stats()["ready"] == 0
    s.command("http-fault clear")
    d.wait_ready()
    wait_for("events", lambda: d.metric("danmakud_events_published_total") > 10)
    assert abs(d.metric("danmakud_upstream_clock_ahead_seconds")) < 60
    d.stop()


def test_the_first_answer_decides_if_nobody_answered_at_the_start(web, danmakud):  # noqa: F811
    s = web("--rooms", "2", "--rate", "50", "--http-fault", "kind=hang,times=6", "--http-fault", "kind=date,ms=900000,times=0")
    d = danmakud("--upstream-timeout", "1s", *args_for(s))
    assert "is not compared" in d.log_text()
    wait_for("it to say so", lambda: OFF in d.log_text())
    asks = asked(s)
    wait_for("more tries", lambda: asked(s) > asks + 2)
    assert s.stats()["ready"] == 0 and set(states(d).values()) != {"connected"}
    assert d.json("/api/v1/rooms/1001")["data"]["not_connected"] == "upstream_unavailable"
    assert d.log_text().count(OFF) == 1
    s.command("http-fault clear")
    wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})
    # while it runs a difference is told, and nothing stops
    s.command("http-fault kind=date,ms=-900000,times=0")
    s.command("expire-tokens")
    s.command("reset *")
    wait_for("it to be told", lambda: d.metric("danmakud_upstream_clock_ahead_seconds") < -800)
    wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})
    assert "connected rooms go on" in d.log_text()


def test_nobody_there_does_not_hold_up_a_start(danmakud):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        d = danmakud("--upstream-url", nowhere, "--upstream-api-url", nowhere, "--upstream-www-url", nowhere, "--rooms", "1")
        assert d.log_text().count("is not compared") == 1
        assert d.stop() == 0


def test_a_jump_is_told(sim, own):  # noqa: F811
    s = sim("--rooms", "1", "--rate", "50")
    d = own(*s.args_for_rooms())
    if not d.clock.usable:
        pytest.skip("no faketime for this build")
    d.start()
    d.wait_ready()
    wait_for("events", lambda: d.metric("danmakud_events_published_total") > 10)
    assert d.metric("danmakud_clock_jumps_total") == 0
    d.clock.step(30)
    wait_for("it to be told", lambda: d.metric("danmakud_clock_jumps_total") == 1)
    assert "clock has jumped" in log_of(d)
    d.stop()
