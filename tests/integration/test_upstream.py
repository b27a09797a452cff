"""The upstream's HTTP side: hosts and tokens over it, a ban, and nobody there."""
import gzip
import http.server
import os
import signal
import socket
import ssl
import threading

import brotli
import pytest
import requests

import harness
from harness import wait_for


@pytest.fixture
def web(sim, tmp_path):
    """A simulated site with danmaku hosts on tcp, ws and wss."""
    def start(*args):
        s = sim("--http", "0", "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--tls-dir", str(tmp_path / "tls"),
                "--http-strict", *args)
        words = dict(w.split("=", 1) for w in s.ready_line.split()[2:])
        s.site = words["http"]
        s.ca = words["ca"]
        return s
    return start


def args_for(s, rooms=None):
    return ("--upstream-url", s.site, "--upstream-api-url", s.site, "--upstream-www-url", s.site, "--upstream-rate", "60000",
            "--upstream-ca-file", s.ca, "--rooms", ",".join(str(r) for r in rooms or s.rooms), "--backoff-max", "200ms",
            "--max-rooms", "50")


def states(d):
    return {r["room_id"]: r["collection"]["state"] for r in d.json("/api/v1/rooms")["data"] if r["collection"]}


def asked(s, path=None):
    paths = s.stats()["http_paths"]
    return sum(n for p, n in paths.items() if path is None or p.endswith(path))


def test_rooms_connect_to_the_hosts_that_upstream_names(web, danmakud, tmp_path):
    s = web("--rooms", "5", "--rate", "50")
    d = danmakud(*args_for(s))
    wait_for("every room to be live", lambda: set(states(d).values()) == {"connected"})
    wait_for("events", lambda: d.metric("danmakud_events_published_total") > 20)
    begun = [e for e in s.lines() if e["t"] == "begin"]
    assert {e["room"] for e in begun} == set(s.rooms)
    assert s.stats()["auth_other_buvid"] == 0 and s.stats()["withheld"] == 0
    # One device id, kept; one key for all; a token for each room.
    assert asked(s, "/x/frontend/finger/spi") == 1 and asked(s, "/x/web-interface/nav") == 1
    assert asked(s, "/getDanmuInfo") == len(s.rooms)
    device = (tmp_path / "upstream_device_id").read_text().strip()
    assert len(device) == 46
    assert d.metric('danmakud_rooms_connected{transport="wss"}') == len(s.rooms)
    assert d.stop() == 0
    again = danmakud(*args_for(s))
    wait_for("every room to be live again", lambda: set(states(again).values()) == {"connected"})
    assert asked(s, "/x/frontend/finger/spi") == 1
    assert (tmp_path / "upstream_device_id").read_text().strip() == device


def test_a_device_id_that_cannot_be_written_holds_up_no_stop(web, danmakud, tmp_path):
    fifo = tmp_path / "upstream_device_id.new"
    os.mkfifo(fifo)  # whoever opens it for writing waits, as for a disk that hangs
    s = web("--rooms", "2", "--rate", "50")
    d = danmakud(*args_for(s), record=False)
    wait_for("events", lambda: d.metric("danmakud_events_published_total") > 20)
    d.signal(signal.SIGTERM)
    assert d.proc.wait(60) == 0, d.tail()
    assert "may not be on the disk" in d.log_text()


def test_after_a_ban_nothing_is_asked_and_live_rooms_go_on(web, danmakud, tmp_path):
    s = web("--rooms", "4", "--rate", "50")
    ini = tmp_path / "danmakud.ini"
    ini.write_text("rooms = 1001, 1002, 1003\n")
    args = list(args_for(s))
    del args[args.index("--rooms"):args.index("--rooms") + 2]
    d = danmakud("--config", str(ini), "--upstream-breaker", "10m", *args)
    wait_for("three live rooms", lambda: list(states(d).values()).count("connected") == 3)
    s.command("http-fault kind=code,code=-412,times=0")
    ini.write_text("rooms = 1001, 1002, 1003, 1004\n")
    d.signal(signal.SIGHUP)
    wait_for("the breaker to open", lambda: d.metric("danmakud_upstream_breaker") == 1)
    before = asked(s)
    published = d.metric("danmakud_events_published_total")
    # The fourth room asks again and again; nothing of it leaves.
    wait_for("more tries", lambda: d.metric('danmakud_upstream_calls_refused_total{cause="breaker"}') >= 10)
    wait_for("more events", lambda: d.metric("danmakud_events_published_total") > published + 20)
    assert asked(s) == before
    assert list(states(d).values()).count("connected") == 3
    assert d.json("/api/v1/rooms/1004")["data"]["not_connected"] == "upstream_unavailable"
    assert d.log_text().count("upstream refuses our HTTP requests") == 1
    assert d.metric('danmakud_upstream_breaker_opened_total') == 1
    assert d.get("/readyz").status_code == 200


def test_after_the_cool_down_one_request_tries(web, danmakud):
    s = web("--rooms", "3", "--http-fault", "kind=ban,path=getDanmuInfo,times=1")
    d = danmakud(*args_for(s), "--upstream-breaker", "1s")
    wait_for("every room to be live", lambda: set(states(d).values()) == {"connected"})
    log = d.log_text()
    assert log.count("upstream refuses our HTTP requests") == 1 and "cause=http_412" in log
    assert log.count("upstream takes our HTTP requests again") == 1
    assert d.metric("danmakud_upstream_breaker") == 0


def test_suspicion_is_met_with_a_new_key_and_device_once(web, danmakud):
    s = web("--rooms", "1", "--http-fault", "kind=code,code=-352,path=getDanmuInfo,times=1")
    d = danmakud(*args_for(s))
    wait_for("the room to be live", lambda: set(states(d).values()) == {"connected"})
    assert asked(s, "/x/frontend/finger/spi") == 2 and asked(s, "/x/web-interface/nav") == 2
    assert asked(s, "/getDanmuInfo") == 2
    assert d.metric("danmakud_upstream_breaker_opened_total") == 0


def test_a_token_that_expired_is_asked_for_anew(web, danmakud):
    s = web("--rooms", "2")
    d = danmakud(*args_for(s))
    wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})
    s.command("expire-tokens")
    s.command("reset *")
    wait_for("new tokens", lambda: asked(s, "/getDanmuInfo") >= 4)
    wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})


def test_without_a_network_it_says_so_once_and_serves(danmakud):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        d = danmakud("--upstream-url", nowhere, "--upstream-api-url", nowhere, "--upstream-www-url", nowhere,
                     "--upstream-rate", "60000", "--rooms", "1,2,3", "--backoff-max", "200ms")
        wait_for("it to be told", lambda: "upstream cannot be reached" in d.log_text())
        wait_for("more tries", lambda: d.metric("danmakud_upstream_requests_total") > 12)
        assert d.log_text().count("upstream cannot be reached") == 1
        assert "not connected" not in d.log_text()
        assert d.get("/readyz").status_code == 200
        assert d.json("/api/v1/rooms/1")["data"]["not_connected"] == "upstream_unavailable"
        assert d.stop() == 0


# --- tls, compression ----------------------------------------------------------------------------------------------


class Front(http.server.ThreadingHTTPServer):
    """The simulated site behind https, compressing what it says; `how` counts what clients could unpack."""
    daemon_threads = True

    def __init__(self, site, tls_dir, address):
        super().__init__((address, 0), FrontHandler)
        self.site = site
        self.how = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls_dir / "server.pem", tls_dir / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that does not trust us ends the handshake


class FrontHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        keep = {k: v for k, v in self.headers.items() if k.lower() in ("user-agent", "referer", "cookie")}
        r = requests.get(self.server.site + self.path, headers=keep, timeout=harness.TIMEOUT)
        accepted = self.headers.get("Accept-Encoding", "")
        how = ("br", "gzip")[len(self.server.how) % 2]
        assert how in accepted, accepted
        self.server.how.append(how)
        body = brotli.compress(r.content) if how == "br" else gzip.compress(r.content)
        self.send_response(r.status_code)
        self.send_header("Content-Encoding", how)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def front(tmp_path):
    started = []

    def start(s, address="127.0.0.1", name="localhost"):
        f = Front(s.site, tmp_path / "tls", address)
        started.append(f)
        return f, f"https://{name}:{f.server_address[1]}"
    yield start
    for f in started:
        f.shutdown()
        f.server_close()


def behind(url, s):
    args = list(args_for(s))
    for key in ("--upstream-url", "--upstream-api-url", "--upstream-www-url"):
        args[args.index(key) + 1] = url
    return args


def test_https_and_compressed_answers(web, danmakud, front):
    s = web("--rooms", "2")
    f, url = front(s)
    d = danmakud(*behind(url, s))
    wait_for("both rooms to be live", lambda: set(states(d).values()) == {"connected"})
    assert set(f.how) == {"br", "gzip"}


def test_a_certificate_nobody_vouches_for_is_refused(web, danmakud, front):
    s = web("--rooms", "1")
    f, url = front(s)
    args = behind(url, s)
    del args[args.index("--upstream-ca-file"):args.index("--upstream-ca-file") + 2]
    d = danmakud(*args)
    wait_for("it to be told", lambda: "upstream cannot be reached" in d.log_text())
    assert "certificate" in d.log_text()
    assert f.how == [] and asked(s) == 0
    assert d.stop() == 0


def test_a_certificate_for_another_name_is_refused(web, danmakud, front):
    s = web("--rooms", "1")
    f, url = front(s, address="127.0.0.2", name="127.0.0.2")
    d = danmakud(*behind(url, s))
    wait_for("it to be told", lambda: "upstream cannot be reached" in d.log_text())
    assert "certificate subject name" in d.log_text()
    assert f.how == [] and asked(s) == 0
