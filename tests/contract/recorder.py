"""Records HTTP traffic for validate.py: a client with the calls of requests.Session that tests use.

    client = Recorder("http://127.0.0.1:8080")
    client.get("/api/v1/rooms", params={"limit": 5})
    events = client.sse("/api/v1/events/stream?backlog=3", count=3)

Each exchange is one line of JSON in LOG: {method, path, query, status, headers, body | sse}. LOG is
$DANMAKUD_CONTRACT_LOG, or a file of this process that goes away with it.
"""
import atexit
import codecs
import json
import os
import tempfile
import threading
from urllib.parse import parse_qsl, urlsplit

import requests

LOG = os.environ.get("DANMAKUD_CONTRACT_LOG")
if not LOG:
    handle, LOG = tempfile.mkstemp(prefix="danmakud-traffic-", suffix=".jsonl")
    os.close(handle)
    atexit.register(os.unlink, LOG)
LOCK = threading.Lock()


def record(method, url, status, headers, body=None, sse=None):
    """url may be a path. Give body (text) or sse (text of a stream, cut anywhere)."""
    parts = urlsplit(url)
    entry = {"method": method, "path": parts.path, "query": parse_qsl(parts.query, keep_blank_values=True),
             "status": status, "headers": {k.lower(): v for k, v in headers.items()}}
    if sse is not None:
        entry["sse"] = sse
    else:
        entry["body"] = body or ""
    line = json.dumps(entry, ensure_ascii=False) + "\n"
    with LOCK, open(LOG, "a", encoding="utf-8") as f:
        f.write(line)


def parse_sse(text):
    """[(event, id or None, data)] of the whole blocks of a stream; comments and retry are left out."""
    events = []
    for block in text.split("\n\n")[:-1]:
        fields = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                fields.setdefault(name, []).append(value.removeprefix(" "))
        if "data" in fields:
            events.append((fields.get("event", ["message"])[0], fields.get("id", [None])[0], "\n".join(fields["data"])))
    return events


class Recorder:
    def __init__(self, base, session=None):
        self.base = base.rstrip("/")
        self.session = session or requests.Session()

    def request(self, method, path, **kw):
        """As requests; path is relative to the base. A streamed answer is not recorded: use sse()."""
        r = self.session.request(method, path if "://" in path else self.base + path, **kw)
        if not kw.get("stream"):
            record(r.request.method, r.request.url, r.status_code, r.headers, body=r.text)
        return r

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def head(self, path, **kw):
        return self.request("HEAD", path, **kw)

    def post(self, path, **kw):
        return self.request("POST", path, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)

    def options(self, path, **kw):
        return self.request("OPTIONS", path, **kw)

    def sse(self, path, count, timeout=180, **kw):
        """Reads a stream until `count` events with data came (control events count), then leaves. Their list; for an
        answer that is no stream, the answer."""
        with self.session.get(self.base + path, stream=True, timeout=timeout, **kw) as r:
            if r.status_code != 200 or not r.headers["Content-Type"].startswith("text/event-stream"):
                record("GET", r.request.url, r.status_code, r.headers, body=r.text)
                return r
            text, decoder = "", codecs.getincrementaldecoder("utf-8")()  # a chunk may end within a character
            for chunk in r.iter_content(chunk_size=None):
                text += decoder.decode(chunk)
                if len(parse_sse(text)) >= count:
                    break
            record("GET", r.request.url, r.status_code, r.headers, sse=text)
            return parse_sse(text)
