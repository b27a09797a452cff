"""danmakud-sim's web side, looked at from outside: signatures made here, tokens used by a client of its own.

    DANMAKUD_BUILD=build/dev /usr/bin/python3 -m pytest tests/integration/test_sim_http.py
"""
import collections
import functools
import hashlib
import json
import socket
import ssl
import time
import urllib.parse

import pytest
import requests

import test_sim as base
import client as danmaku

sim_of = base.sim
USER_AGENT = danmaku.USER_AGENT
PLACES = (46, 47, 18, 2, 53, 8, 23, 32, 15, 50, 10, 31, 58, 3, 45, 35, 27, 43, 5, 49, 33, 9, 42, 19, 29, 28, 14, 39, 12, 38,
          41, 13)
BUVID = "54E5EFC1-3C8F-F690-2261-439E4F6A20A979439infoc"
SIGNED = "/xlive/web-room/v1/index/getDanmuInfo"


class Site:
    """What a browser does with the APIs; a new one has no cookies."""

    def __init__(self, url, cookie=None):
        self.url = url
        self.cookie = cookie

    def raw(self, path, query="", **kw):
        headers = {"User-Agent": USER_AGENT, "Referer": "https://live.bilibili.com/"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        return requests.request(kw.pop("method", "GET"), f"{self.url}{path}{'?' + query if query else ''}",
                                headers=headers, timeout=kw.pop("timeout", 120), **kw)

    def get(self, path, query=""):
        r = self.raw(path, query)
        assert r.status_code == 200 and r.headers["Content-Type"].startswith("application/json"), (path, r.text)
        return r.json()

    def data(self, path, query=""):
        answer = self.get(path, query)
        assert answer["code"] == 0, answer
        return answer["data"]

    def keys(self):
        wbi = self.get("/x/web-interface/nav")["data"]["wbi_img"]
        return [wbi[k].rsplit("/", 1)[1].split(".")[0] for k in ("img_url", "sub_url")]

    def sign(self, wts=None, **args):
        raw = "".join(self.keys())
        args["wts"] = str(int(time.time()) if wts is None else wts)
        quote = functools.partial(urllib.parse.quote, safe="-_.~")
        query = "&".join(f"{quote(k)}={quote(''.join(c for c in str(v) if c not in chr(33) + chr(39) + '()*'))}"
                         for k, v in sorted(args.items()))
        w_rid = hashlib.md5((query + "".join(raw[i] for i in PLACES)).encode()).hexdigest()
        return f"{query}&w_rid={w_rid}"

    def danmu_info(self, room):
        return self.get(SIGNED, self.sign(id=room, type=0, web_location="444.8"))


@pytest.fixture
def web(sim_of, tmp_path):
    def start(*args, rooms=8, **kw):
        s = sim_of("--http", 0, "--rooms", rooms, "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--tls-dir", tmp_path / "tls",
                   *args, **kw)
        s.site = Site(s.ready["http"], f"buvid3={BUVID}")
        return s
    return start


def auth(s, room, token, uid=0, buvid=BUVID, host=None):
    return danmaku.Client(host or s.host, room, uid=uid, key=token, buvid=buvid, timeout=120)


# --- who asks ------------------------------------------------------------------------------------------------------


def test_nav_says_who_is_logged_in_and_always_gives_the_keys(web):
    s = web("--account", "abc%2C1:3537119140000001:阿伟")
    anonymous = s.site.get("/x/web-interface/nav")
    assert anonymous["code"] == -101 and anonymous["data"]["isLogin"] is False
    assert anonymous["data"]["wbi_img"]["img_url"].endswith("/7cd084941338484aae1ad9425b84077c.png")
    known = Site(s.site.url, "SESSDATA=abc%2C1; buvid3=x").get("/x/web-interface/nav")
    assert known["code"] == 0 and known["data"]["mid"] == 3537119140000001 and known["data"]["uname"] == "阿伟"
    assert Site(s.site.url, "SESSDATA=other").get("/x/web-interface/nav")["code"] == -101


def test_three_ways_to_a_device_id(web):
    s = web()
    r = s.site.raw("/")
    ids = [r.cookies["buvid3"], s.site.data("/x/frontend/finger/spi")["b_3"],
           s.site.data("/x/web-frontend/getbuvid")["buvid"]]
    assert len(set(ids)) == 3
    for i in ids:
        assert len(i) == 46 and i.endswith("infoc") and [len(p) for p in i.split("-")] == [8, 4, 4, 4, 22], i


# --- signature and token -------------------------------------------------------------------------------------------


def test_signature_is_checked(web):
    s = web()
    assert s.site.danmu_info(1001)["code"] == 0
    assert s.site.get(SIGNED, "id=1001&type=0")["code"] == -352
    signed = s.site.sign(id=1001, type=0)
    assert s.site.get(SIGNED, signed.replace("id=1001", "id=1002"))["code"] == -352
    assert s.site.get(SIGNED, s.site.sign(id=1001, type=0, wts=1700000000))["code"] == -352
    assert Site(s.site.url).danmu_info(1001)["code"] == -352, "no device id"
    odd = s.site.sign(id=1001, foo=")-_-( F**' 哔~!")
    assert s.site.get(SIGNED, odd)["code"] == 0
    old = s.site.sign(id=1001)
    s.do("rotate-keys")
    assert s.site.get(SIGNED, old)["code"] == -352
    assert s.site.danmu_info(1001)["code"] == 0


def test_token_lets_in_on_every_transport_of_the_list(web, tmp_path):
    s = web("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
    info = s.site.danmu_info(1003)["data"]
    assert 200 <= len(info["token"]) <= 260 and len(info["host_list"]) == 3
    for h in info["host_list"]:
        for host in (f"{h['host']}:{h['port']}", f"ws://{h['host']}:{h['ws_port']}/sub", f"wss://{h['host']}:{h['wss_port']}/sub"):
            c = danmaku.Client(host, 1003, key=info["token"], buvid=BUVID, ca=s.ready["ca"], timeout=120)
            assert c.frames[0][3] == danmaku.AUTH_REPLY
            c.close()
    conf = s.site.data("/room/v1/Danmu/getConf", "room_id=1003&platform=pc&player=web")
    auth(s, 1003, conf["token"], host=f"{conf['host']}:{conf['port']}").close()
    assert s.stats()["auth_failed"] == 0


def test_token_belongs_to_a_uid_and_a_room_and_a_device(web):
    s = web("--account", "me:4242:me")
    token = s.site.danmu_info(1001)["data"]["token"]
    mine = Site(s.site.url, f"SESSDATA=me; buvid3={BUVID}").danmu_info(1001)["data"]["token"]
    for room, uid, key in ((1002, 0, token), (1001, 4242, token), (1001, 0, mine)):
        with pytest.raises((EOFError, OSError, danmaku.ProtocolError)):
            auth(s, room, key, uid)
    assert s.stats()["auth_mismatch"] == 3
    for key in (token[:-1], "", "x" * 220):
        with pytest.raises(danmaku.AuthError):
            auth(s, 1001, key)
    auth(s, 1001, mine, 4242).close()
    assert s.stats()["auth_other_buvid"] == 0
    auth(s, 1001, token, buvid="another").close()
    assert s.stats()["auth_other_buvid"] == 1


def test_visits_are_withheld_from_other_devices_and_platforms(web):
    s = web("--rate", "200", "--mix", "danmaku=1,interact=3,entry=1")
    token = s.site.danmu_info(1001)["data"]["token"]

    def commands(**kw):
        c = danmaku.Client(s.host, 1001, key=token, timeout=120, **kw)
        seen = collections.Counter()
        for message in c:
            seen[message.get("cmd", "")] += 1
            if seen["DANMU_MSG"] >= 5:
                break
        c.close()
        return seen
    own = commands(buvid=BUVID)
    assert own["INTERACT_WORD"] > 0 and s.stats()["withheld"] == 0
    for kw in ({"buvid": ""}, {"buvid": "another"}, {"buvid": BUVID, "platform": "android"}):
        seen = commands(**kw)
        assert seen["DANMU_MSG"] >= 5 and "INTERACT_WORD" not in seen and "ENTRY_EFFECT" not in seen, seen
    assert s.stats()["withheld"] > 0 and s.stats()["auth_other_buvid"] == 2 and s.stats()["auth_failed"] == 0


def test_tokens_expire(web):
    s = web()
    token = s.site.danmu_info(1001)["data"]["token"]
    auth(s, 1001, token).close()
    s.do("expire-tokens")
    with pytest.raises(danmaku.AuthError):
        auth(s, 1001, token)
    assert s.stats()["auth_expired"] == 1
    auth(s, 1001, s.site.danmu_info(1001)["data"]["token"]).close()


def test_public_host_is_in_the_list_and_the_certificate(web):
    s = web("--public-host", "sim.example")
    info = s.site.danmu_info(1001)["data"]
    assert {h["host"] for h in info["host_list"]} == {"sim.example"}
    context = ssl.create_default_context(cafile=s.ready["ca"])
    port = info["host_list"][0]["wss_port"]
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, server_hostname="sim.example") as tls:
        assert ("DNS", "localhost") in tls.getpeercert()["subjectAltName"]


def test_https(web):
    s = web("--https")
    assert s.ready["http"].startswith("https://127.0.0.1:")
    get = functools.partial(requests.get, s.ready["http"] + "/x/web-interface/nav", timeout=120)
    assert get(verify=s.ready["ca"]).json()["code"] == -101
    with pytest.raises(requests.exceptions.SSLError):
        get()


def test_any_token(web):
    s = web("--any-token")
    auth(s, 1001, "").close()


# --- rooms ---------------------------------------------------------------------------------------------------------


def test_room_by_real_and_short_id(web):
    s = web(rooms=100)
    base_info = s.site.data("/xlive/web-room/v1/index/getRoomBaseInfo",
                            "req_biz=web_room_componet&room_ids=" + ",".join(str(i) for i in range(1001, 1101)))["by_room_ids"]
    assert len(base_info) == 100
    short = next(r for r in base_info.values() if r["short_id"])
    for i in (short["short_id"], short["room_id"]):
        info = s.site.data("/room/v1/Room/get_info", f"room_id={i}")
        init = s.site.data("/room/v1/Room/room_init", f"id={i}")
        play = s.site.data("/xlive/web-room/v2/index/getRoomPlayInfo", f"room_id={i}")
        assert {x["room_id"] for x in (info, init, play)} == {short["room_id"]}
        assert {x["uid"] for x in (info, init, play)} == {short["uid"]}
        assert info["title"] == short["title"] and info["area_id"] == short["area_id"]
    assert s.site.get("/room/v1/Room/get_info", "room_id=999999")["code"] == 1
    assert s.site.get("/room/v1/Room/room_init", "id=999999")["code"] == 60004
    assert s.site.data("/xlive/web-room/v1/index/getRoomBaseInfo", "room_ids=999999")["by_room_ids"] == {}


def test_status_by_uids(web):
    s = web()
    path = "/room/v1/Room/get_status_info_by_uids"
    two = s.site.data(path, "uids[]=600001001&uids%5B%5D=600001002&uids[]=5")
    assert sorted(two) == ["600001001", "600001002"] and two["600001002"]["room_id"] == 1002
    posted = s.site.raw(path, method="POST", json={"uids": [600001001]}).json()["data"]
    assert list(posted) == ["600001001"]
    assert s.site.data(path, "uids[]=5") == []
    s.do("offline 1001")
    off = s.site.data(path, "uids[]=600001001")["600001001"]
    assert off["live_status"] in (0, 2) and off["live_time"] == 0
    s.do("live 1001")
    on = s.site.data(path, "uids[]=600001001")["600001001"]
    assert on["live_status"] == 1 and abs(on["live_time"] - time.time()) < 60


def pages(s, size=50, **args):
    out = []
    for page in range(1, 20):
        query = urllib.parse.urlencode({"platform": "web", "parent_area_id": 0, "area_id": 0, "sort_type": "online",
                                        "page": page, "page_size": size, **args})
        one = s.site.data("/room/v3/area/getRoomList", query)
        if not one["list"]:
            return out, one["count"]
        out += one["list"]
    raise AssertionError("no end of pages")


def test_list_is_of_live_rooms_by_popularity(web):
    s = web(rooms=120)
    s.do("live *")
    rooms, count = pages(s)
    assert len(rooms) == count == 120
    assert [r["online"] for r in rooms] != []
    assert len({r["roomid"] for r in rooms}) >= 118, "two may have changed places between pages"
    s.do("offline 1050")
    assert pages(s)[1] == 119 and 1050 not in {r["roomid"] for r in pages(s)[0]}
    s.do("rank 1100 1")
    assert s.site.data("/room/v3/area/getRoomList", "page=1&page_size=1")["list"][0]["roomid"] == 1100
    area = rooms[0]["area_v2_id"]
    assert {r["area_id"] for r in pages(s, area_id=area)[0]} == {area}
    parent = rooms[0]["parent_id"]
    assert {r["parent_id"] for r in pages(s, parent_area_id=parent)[0]} == {parent}
    assert s.site.get("/room/v3/area/getRoomList", "page=1&page_size=100")["code"] == -400


def test_areas(web):
    s = web()
    areas = s.site.data("/room/v1/Area/getList")
    assert len({a["id"] for a in areas}) == len(areas) > 5
    for parent in areas:
        assert isinstance(parent["id"], int)
        assert all(a["parent_id"] == str(parent["id"]) and isinstance(a["id"], str) for a in parent["list"])
    assert s.site.data("/xlive/web-interface/v1/index/getWebAreaList", "source_id=2")["data"] == areas


def test_title_changes_are_told_and_shown(web):
    s = web("--rate", 0)
    token = s.site.danmu_info(1002)["data"]["token"]
    c = auth(s, 1002, token)
    s.do("title 1002 换个标题")
    for m in c:
        if m["cmd"] == "ROOM_CHANGE":
            break
    assert m["data"]["title"] == "换个标题"
    assert s.site.data("/room/v1/Room/get_info", "room_id=1002")["title"] == "换个标题"
    c.close()


def test_churn_changes_the_list(web):
    s = web("--churn", 60000, rooms=40)
    seen = set()
    for _ in range(200):
        seen.add(tuple(r["roomid"] for r in pages(s, 99)[0]))
        if len(seen) > 5:
            return
    raise AssertionError("the list never changes")


# --- what goes wrong -----------------------------------------------------------------------------------------------

NAV = "/x/web-interface/nav"


def test_fault_answers(web):
    s = web()
    for rule, check in (
            ("kind=ban", lambda r: r.status_code == 412 and "<html" in r.text),
            ("kind=code", lambda r: r.status_code == 200 and r.json()["code"] == -412),
            ("kind=code,code=-352", lambda r: r.json() == {"code": -352, "message": "-352", "ttl": 1}),
            ("kind=code,code=-799", lambda r: r.json()["code"] == -799),
            ("kind=voucher", lambda r: list(r.json()["data"]) == ["v_voucher"] and r.json()["code"] == 0),
            ("kind=status,code=502", lambda r: r.status_code == 502),
            ("kind=status", lambda r: r.status_code == 500),
            ("kind=empty", lambda r: r.json()["data"] == {}),
            ("kind=empty,what=array", lambda r: r.json()["data"] == []),
            ("kind=empty,what=null", lambda r: r.json()["data"] is None),
            ("kind=empty,what=missing", lambda r: "data" not in r.json()),
            ("kind=garbage", lambda r: r.status_code == 200 and r.content.endswith(b"not json")),
            ("kind=slow,ms=50", lambda r: r.json()["code"] == -101)):
        s.do(f"http-fault {rule}")
        assert check(s.site.raw(NAV)), rule
        assert s.site.get(NAV)["code"] == -101, "one time only"
    assert s.stats()["http_faults"] == 13


def test_fault_cut_and_hang(web):
    s = web()
    s.do("http-fault kind=cut")
    cut = s.site.raw(NAV)  # requests does not mind
    assert 0 < len(cut.content) < int(cut.headers["Content-Length"])
    s.do("http-fault kind=hang")
    with pytest.raises(requests.exceptions.ReadTimeout):
        s.site.raw(NAV, timeout=2)
    s.do("http-fault kind=hang,times=0")
    s.do("http-fault clear")
    assert s.site.get(NAV)["code"] == -101


def test_fault_names_a_path_and_lasts(web):
    s = web()
    s.do("http-fault kind=ban,path=Room/get_info,times=0")
    for _ in range(3):
        assert s.site.raw("/room/v1/Room/get_info", "room_id=1001").status_code == 412
        assert s.site.get(NAV)["code"] == -101
    s.do("http-fault clear")
    assert s.site.get("/room/v1/Room/get_info", "room_id=1001")["code"] == 0


def test_bad_rules_are_refused(web):
    s = web()
    for rule in ("path=x", "kind=nonsense", "kind=ban,times=-1", "kind=status,code=7"):
        s.control.write(f"http-fault {rule}\n")
        s.control.flush()
        assert s.control.readline().startswith("error"), rule


def test_limit(web):
    s = web("--http-limit", 0.001, "--http-burst", 3)
    assert [s.site.get(NAV)["code"] for _ in range(5)] == [-101, -101, -101, -799, -799]
    assert s.stats()["http_limited"] == 2


def test_strict_wants_a_browser(web):
    s = web("--http-strict")
    assert s.site.get(NAV)["code"] == -101
    assert requests.get(s.site.url + NAV, timeout=120).json()["code"] == -352
    with socket.create_connection(s.site.url.removeprefix("http://").split(":")) as raw:
        raw.sendall(f"GET {NAV} HTTP/1.1\r\nHost: x\r\nUser-Agent: {USER_AGENT}\r\nReferer: x\r\nCookie: a=1\r\nCookie: b=2\r\n"
                    "Connection: close\r\n\r\n".encode())
        text = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"-352" in text


def test_connections_of_one_address_are_limited(web):
    s = web("--conns-per-address", 2)
    token = s.site.danmu_info(1001)["data"]["token"]
    two = [auth(s, 1001, token) for _ in range(2)]
    with pytest.raises((EOFError, OSError, danmaku.ProtocolError, ssl.SSLError)):
        auth(s, 1001, token)
    assert s.stats()["over_limit"] == 1
    two.pop().close()
    while s.stats()["connections"] > 1:
        pass
    auth(s, 1001, token).close()


def test_record_and_stats_of_requests(web):
    s = web()
    s.site.get(NAV)
    s.site.danmu_info(1001)
    s.do("http-fault kind=ban")
    s.site.raw(NAV)
    s.site.raw("/nowhere")
    stats = s.stats()
    assert stats["http"] == 5 and stats["http_paths"] == {NAV: 3, SIGNED: 1, "/nowhere": 1}
    lines = [x for x in s.stop() if x["t"] == "http"]
    assert [(x["path"], x["status"], x["code"], x["fault"]) for x in lines] == [
        (NAV, 200, -101, ""), (NAV, 200, -101, ""), (SIGNED, 200, 0, ""), (NAV, 412, -412, "ban"), ("/nowhere", 404, 0, "")]
    assert all(x["buvid"] and not x["login"] for x in lines)


def test_stop_with_a_request_that_hangs(web):
    s = web()
    s.do("http-fault kind=hang")
    with socket.create_connection(s.site.url.removeprefix("http://").split(":")) as raw:
        raw.sendall(f"GET {NAV} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while s.stats()["http"] == 0:
            pass
        lines = s.stop()
    assert json.dumps(lines[-1]).startswith('{"t": "done"')
