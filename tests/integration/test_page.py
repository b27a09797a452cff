"""The page, in a real browser."""
import json
import re
import socket
import tempfile

import pytest

from harness import wait_for
from test_cli import cli

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    with tempfile.TemporaryDirectory() as profile:
        for a in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                  "disable-component-update", "disable-sync", "disable-dev-shm-usage", "window-size=1200,900",
                  f"user-data-dir={profile}"):
            options.add_argument("--" + a)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        b = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        yield b
        b.quit()


def texts(browser, css):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", css)


def requested(browser):
    """Addresses the browser asked for."""
    out = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            out.append(message["params"]["request"]["url"])
    return out


def test_rooms_and_live_tail_and_reconnect(sim, danmakud, browser):
    s = sim("--rooms", "3", "--rate", "30")
    d = danmakud(*s.args_for_rooms(), record=False)
    browser.get(d.base)
    wait_for("the rooms", lambda: texts(browser, "#rooms td:first-child") == [str(r) for r in s.rooms])
    wait_for("a live tail", lambda: len(texts(browser, "#events li")) > 40)
    assert texts(browser, "#health .text") == ["ready"]
    assert not browser.find_element(By.ID, "login").is_displayed()
    assert not browser.find_element(By.ID, "problem").is_displayed()
    assert [u for u in requested(browser) if not u.startswith((d.base, "data:", "chrome:"))] == []
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []

    # One room only.
    browser.execute_script("const r = document.getElementById('room'); r.value = arguments[0]; "
                           "r.dispatchEvent(new Event('change'))", str(s.rooms[1]))
    wait_for("events of one room",
             lambda: len(texts(browser, "#events li")) > 5 and set(texts(browser, "#events .room")) == {str(s.rooms[1])})

    # The service restarts on the same address: the page says so, then goes on by itself.
    port = d.base.rsplit(":", 1)[1]
    assert d.stop() == 0
    wait_for("the page to notice", lambda: "disconnected" in texts(browser, "#link")[0])
    again = danmakud("--listen", f"127.0.0.1:{port}", *s.args_for_rooms(), record=False)
    wait_for("the page to reconnect", lambda: texts(browser, "#link") == ["connected"])
    before = len(texts(browser, "#events li"))
    wait_for("more events", lambda: len(texts(browser, "#events li")) > before)
    assert again.running()


def test_a_service_without_a_network_says_why(danmakud, browser):
    """Nothing listens where upstream should be: neither for the list of rooms, nor for a room that is known."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        there = ("--upstream-url", url, "--upstream-api-url", url, "--upstream-www-url", url)
        d = danmakud(*there, "--discover", "top:5", record=False)
        failing = wait_for("the failure", lambda: (lambda a: a["upstream"]["state"] == "failing" and a)(d.json("/api/v1/rooms")))
        assert failing["data"] == [] and failing["upstream"]["last_error"]["at_ms"] > 0
        browser.get(d.base)
        wait_for("the page to say so", lambda: "Upstream cannot be asked" in texts(browser, "#problem")[0])
        assert failing["upstream"]["last_error"]["message"].split(":")[0] in texts(browser, "#problem")[0]
        assert not browser.find_element(By.ID, "no-rooms").is_displayed()
        assert d.stop() == 0


def test_a_number_that_upstream_was_asked_about_in_vain_says_so(danmakud):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        d = danmakud("--upstream-url", url, "--upstream-api-url", url, "--upstream-www-url", url, "--rooms", "7", record=False)
        room = wait_for("the error", lambda: (lambda r: r["last_error"] and r)(d.json("/api/v1/rooms/7")["data"]))
        assert room["collection"] is None and room["not_connected"] == room["last_error"]["code"] == "upstream_unavailable", room
        assert "could not be asked what this number means: " in room["last_error"]["message"] and room["last_error"]["at_ms"] > 0
        assert d.stop() == 0


def test_a_room_that_cannot_be_connected_says_why(danmakud, browser):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        d = danmakud("--upstream-hosts", host, "--rooms", "1001", record=False)
        room = wait_for("the error", lambda: (lambda r: r["last_error"] and r)(d.json("/api/v1/rooms/1001")["data"]))
        assert room["last_error"]["code"] == "connect" and "refused" in room["last_error"]["message"], room
        assert room["last_error"]["at_ms"] > 0 and d.json("/api/v1/rooms")["upstream"] is None
        browser.get(d.base)
        wait_for("the page to say so", lambda: any("refused" in t for t in texts(browser, "#rooms .why")))
        assert d.stop() == 0


def test_a_token_is_asked_for(sim, danmakud, database, postgres, browser):
    url = postgres.url(database)
    assert cli("migrate", "--database-url", url).returncode == 0
    token = re.search(r"dmk_[A-Za-z0-9_-]+", cli("token", "add", "page", "--database-url", url).stdout).group(0)
    s = sim("--rooms", "2", "--rate", "20")
    d = danmakud(*s.args_for_rooms(), record=False)
    browser.get(d.base)
    wait_for("the form", lambda: browser.find_element(By.ID, "login").is_displayed())
    browser.find_element(By.ID, "token").send_keys(token)
    browser.find_element(By.CSS_SELECTOR, "#login button").click()
    wait_for("a live tail", lambda: len(texts(browser, "#events li")) > 10)
    assert not browser.find_element(By.ID, "login").is_displayed()
    assert token not in " ".join(requested(browser)), "a long-lived token never stands in an address"
