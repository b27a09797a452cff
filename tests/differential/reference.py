"""A second decoder of upstream's messages: what upstream's protocol says of them, told as docs/events.md says.

Written to be obviously right, not fast: JSON as a tree, one function per family. Where the protocol leaves a choice, the
rule is that of docs/events.md. What cannot be known without our hash functions (natural keys, numbers of masked senders)
is given as what goes into them: equal here must mean equal there.
"""
import base64
import binascii
import calendar
import json
import re

RECEIVED_MS = 1790000000500
ROOM = 1000
INT64 = 1 << 63
MONEY_MAX = 10**12
UNAME, TEXT, MEDAL, NAME, ID, WORD = 128, 4096, 64, 128, 128, 64


class Broken(Exception):
    pass


# ---- JSON as upstream writes it: numbers keep their text, of a key that comes twice the first one counts ----

class Number:
    def __init__(self, text):
        self.text = text


def first_wins(pairs):
    out = {}
    for key, value in pairs:
        out.setdefault(key, value)
    return out


def parse(text):
    return json.loads(text, strict=False, object_pairs_hook=first_wins, parse_int=Number, parse_float=Number)


def maybe(text):
    """JSON inside a string."""
    try:
        return parse(text)
    except ValueError:
        return None


def opt(v):
    """An integer, also as text; None if it is none."""
    if isinstance(v, Number):
        mantissa, _, exponent = v.text.lower().partition("e")
        if exponent:
            whole, _, fraction = mantissa.partition(".")
            shift = int(exponent) - len(fraction)
            digits = int(whole + fraction)
            if shift < 0 and digits % 10**-shift:
                return None
            n = digits * 10**shift if shift >= 0 else digits // 10**-shift
        else:
            n = int(mantissa.split(".")[0])
    elif isinstance(v, str) and re.fullmatch(r"-?[0-9]+", v, re.A):
        n = int(v)
    else:
        return None
    return n if -INT64 <= n < INT64 else None


def num(v):
    return opt(v) or 0


def flag(v):
    if isinstance(v, Number):
        return bool(re.search("[1-9]", v.text.lower().partition("e")[0]))
    return v is True


def cut(s, limit):
    return s.encode()[:limit].decode(errors="ignore")


def text(v, limit=TEXT):
    if isinstance(v, Number):
        return v.text[:limit]
    if not isinstance(v, str):
        return ""
    return cut(re.sub("[\ud800-\udfff]", "\ufffd", v).replace("\0", ""), limit)


def obj(v):
    return v if isinstance(v, dict) else {}


def arr(v):
    return v if isinstance(v, list) else []


def at(v, i):
    return v[i] if isinstance(v, list) and i < len(v) else None


def clamp(v, top):
    return max(0, min(v, top))


def s_ms(seconds):
    return seconds * 1000 if 0 < seconds <= (INT64 - 1) // 1000 else 0


def ns_ms(ns):
    return ns // 1000000 if ns > 0 else 0


def money(v):
    return v if 0 < v <= MONEY_MAX else 0


def some(**members):
    """An object without what is empty or zero; "?" behind a name keeps it."""
    return {k.rstrip("_"): v for k, v in members.items() if k.endswith("_") or v not in (0, "", None, False, [], {})}


def clock_ms(s):
    m = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)", s, re.A)
    if not m:
        return 0
    y, mo, d, h, mi, sec = map(int, m.groups())
    if y < 1970 or not 1 <= mo <= 12 or not 1 <= d <= 31 or h > 23 or mi > 59 or sec > 60:
        return 0
    return s_ms(calendar.timegm((y, mo, 1, h, mi, sec)) + (d - 1) * 86400 - 8 * 3600)


def name_in(sentence):
    m = re.search("<%(.*?)%>", sentence, re.S)
    return m.group(1).strip(" \t\n\v\f\r") if m else ""


def after_name(sentence):
    m = re.search("<%.*?%>", sentence, re.S)
    return (sentence[m.end():] if m else sentence).strip(" \t\n\v\f\r")


def person(uid, name):
    return {"uid": uid, "name": name} if uid or name else None


# ---- senders ----

NO_MEDAL = {"name": "", "level": 0, "anchor": 0, "room": 0}


def uinfo_of(v):
    v = obj(v)
    m = obj(v.get("medal"))
    return {"uid": num(v.get("uid")), "name": text(obj(v.get("base")).get("name"), UNAME),
            "medal": {"name": text(m.get("name"), MEDAL), "level": num(m.get("level")), "anchor": num(m.get("ruid")),
                      "room": 0},
            "wealth": num(obj(v.get("wealth")).get("level")), "guard": num(obj(v.get("guard")).get("level"))}


def medal_info(v):
    v = obj(v)
    return {"name": text(v.get("medal_name"), MEDAL), "level": num(v.get("medal_level")), "anchor": num(v.get("target_id")),
            "room": num(v.get("anchor_roomid"))}


def worn(m):
    return m["level"] > 0 or m["name"] != ""


def merge_medal(new, old):
    if not worn(new):
        return old
    same = new["anchor"] == old["anchor"] if new["anchor"] else new["name"] == old["name"]
    return dict(new, room=old["room"], anchor=old["anchor"]) if same else new


def merge(s, u, old=NO_MEDAL):
    s = dict(s)
    if s["uid"] <= 0:
        s["uid"] = u["uid"]
    s["name"] = s["name"] or u["name"]
    s["wealth"] = s.get("wealth") or u["wealth"]
    s["medal"] = merge_medal(u["medal"], old)
    return s


CRC_OF_NOBODY = 0xF4DBDF21


def user_of(s):
    """(user as it is shown, the medal's room for the kind's object)"""
    crc = s.get("crc")
    if s["uid"] > 0:
        uid = s["uid"]
    elif crc is not None and crc != CRC_OF_NOBODY:
        uid = ("crc", crc)
    else:
        uid = ("name", s["name"]) if s["name"] else None
    if uid is None and not s["name"]:
        return None
    m = s.get("medal", NO_MEDAL)
    medal = None
    if worn(m) and (clamp(m["level"], 32767) or m["name"]):
        medal = {"name": m["name"] or None, "level": clamp(m["level"], 32767), "anchor_uid": max(0, m["anchor"]) or None,
                 "room_id": m["room"] if m["room"] > 0 else None}
    guard = s.get("guard", 0)
    return {"uid": uid, "name": s["name"] or None, "masked": s["uid"] <= 0, "guard_level": guard if 1 <= guard <= 3 else 0,
            "admin": s.get("admin", False), "wealth_level": clamp(s.get("wealth", 0), 32767), "medal": medal}


HAS_TEXT = ("danmaku", "mirror", "superchat")


def event(kind, members, key=None, sent_ms=0, user=None, said="", value=0):
    off = sent_ms - RECEIVED_MS
    shown = sent_ms if sent_ms and -(1 << 31) <= off < 1 << 31 else None
    return {"key": None if key is None else (kind,) + tuple(key),
            "event": {"sent_ms": shown, "kind": kind, "user": user, "text": said if kind in HAS_TEXT else said or None,
                      "value_mcny": value, kind: members}}


def item(v):
    return v or None


def count(v):
    return clamp(v, (1 << 31) - 1) or None


# ---- protobuf: {number: type}, a type is int, bytes, another table, or [table] for a repeated one ----

LEVEL = {1: int}
UINFO = {1: int, 2: {1: bytes}, 3: {1: bytes, 2: int, 10: int}, 4: LEVEL, 6: LEVEL}


def read_varint(b, i):
    value = shift = 0
    while True:
        if i >= len(b) or shift > 63:
            raise Broken("varint")
        value |= (b[i] & 0x7F) << shift
        shift += 7
        i += 1
        if not b[i - 1] & 0x80:
            return value & (1 << 64) - 1, i


def pb_merge(table, early, late):
    for n, v in early.items():
        if isinstance(table[n], dict) and n in late:
            pb_merge(table[n], v, late[n])
        elif n not in late or late[n] == b"":
            late[n] = v


def pb_parse(b, table):
    out = {}
    i = 0
    while i < len(b):
        tag, i = read_varint(b, i)
        n, wire = tag >> 3, tag & 7
        if wire == 0:
            value, i = read_varint(b, i)
        elif wire == 2:
            size, i = read_varint(b, i)
            value, i = b[i:i + size], i + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, i = b[i:i + size], i + size
        else:
            raise Broken("wire type")
        if i > len(b):
            raise Broken("cut")
        kind = table.get(n)
        if kind is None:
            continue
        if wire != (0 if kind is int else 2):
            raise Broken("another type")
        if kind is int:
            out[n] = value - (1 << 64) if value >> 63 else value
        elif kind is bytes:
            out[n] = value
        elif isinstance(kind, list):
            out.setdefault(n, []).append(pb_parse(value, kind[0]))
        else:
            late = pb_parse(value, kind)
            if n in out:
                pb_merge(kind, out[n], late)
            out[n] = late
    return out


def pb_text(b, limit):
    return cut((b or b"").decode(errors="replace").replace("\0", ""), limit)


def pb_uinfo(u):
    u = u or {}
    m = u.get(3, {})
    return {"uid": u.get(1, 0), "name": pb_text(u.get(2, {}).get(1), UNAME),
            "medal": {"name": pb_text(m.get(1), MEDAL), "level": m.get(2, 0), "anchor": m.get(10, 0), "room": 0},
            "wealth": u.get(4, {}).get(1, 0), "guard": u.get(6, {}).get(1, 0)}


def pb_of(m, table):
    pb = obj(m.get("data")).get("pb")
    if not isinstance(pb, str) or not pb:
        raise Broken("no pb")
    if "=" in pb and len(pb) % 4:
        raise Broken("padding")
    digits = pb[:-2].replace("=", "!") + pb[-2:]
    digits = digits[:-2] + digits[-2:].rstrip("=") if len(digits) > 1 else digits.rstrip("=")
    if not re.fullmatch("[A-Za-z0-9+/]*", digits) or len(digits) % 4 == 1:
        raise Broken("no base64")
    try:
        return pb_parse(base64.b64decode(digits + "=" * (-len(digits) % 4)), table)
    except binascii.Error as e:
        raise Broken("no base64") from e


# ---- chat ----

def fifth(array):
    """The fifth element of a JSON array that may be cut off behind it; None if there is none."""
    decoder = json.JSONDecoder(strict=False)
    i, value = 1, None
    try:
        for _ in range(5):
            value, i = decoder.raw_decode(array, i)
            if array[i] not in ",]":
                return None
            i += 1
    except (ValueError, IndexError):
        return None
    return value if array[:1] == "[" else None


def filled(v, limit):
    """As text, but 0 stands for nothing."""
    return "" if isinstance(v, Number) and v.text == "0" else text(v, limit)


def chat(m, kind):
    info = m.get("info")
    said = at(info, 1)
    if not isinstance(said, (str, Number)):
        raise Broken("info[1]")
    said = text(said)
    meta, user, medal = arr(at(info, 0)), arr(at(info, 2)), arr(at(info, 3))
    props = obj(at(meta, 15))
    extra = props.get("extra")
    extra = obj(maybe(extra)) if isinstance(extra, str) else {}
    mode = num(at(meta, 1))
    mode = clamp(mode, 32767) if mode > 0 else 1
    color = opt(at(meta, 3))
    sent = num(at(meta, 4))
    crc_hex = text(at(meta, 7), ID)
    id_str = filled(extra.get("id_str"), ID)
    s = {"uid": num(at(user, 0)), "name": text(at(user, 1), UNAME), "admin": flag(at(user, 2)), "guard": num(at(info, 7)),
         "wealth": num(at(arr(at(info, 16)), 0))}
    s["medal"] = merge_medal(uinfo_of(props.get("user"))["medal"],
                             {"level": num(at(medal, 0)), "name": text(at(medal, 1), MEDAL), "room": num(at(medal, 3)),
                              "anchor": num(at(medal, 12))})
    if re.fullmatch("[0-9a-f]{1,8}", crc_hex):
        s["crc"] = int(crc_hex, 16)
    elif 0 < num(extra.get("user_hash")) < 1 << 32:
        s["crc"] = num(extra.get("user_hash"))
    size, emoticon, voice = num(at(meta, 2)), obj(at(meta, 13)), obj(at(meta, 14))
    members = some(font_size=size if size != 25 else 0, type=num(at(meta, 9)))
    picture = text(emoticon.get("emoticon_unique"), ID) or filled(extra.get("emoticon_unique"), ID)
    if picture:
        url = text(emoticon.get("url"), 256)
        members["emoticon"] = {"id": picture}
        if url:
            members["emoticon"].update(url=url, width=num(emoticon.get("width")), height=num(emoticon.get("height")))
    if text(voice.get("voice_url"), 256):
        members["voice"] = {"url": text(voice.get("voice_url"), 256), "format": text(voice.get("file_format"), ID),
                            "seconds": num(voice.get("file_duration")), "text": text(voice.get("text"), 1024),
                            "id": text(voice.get("file_id"), ID)}
    emots = [text(k, 64) for k in obj(extra.get("emots"))][:32]
    members.update(some(emots=emots, reply=person(num(extra.get("reply_mid")), filled(extra.get("reply_uname"), UNAME))))
    key = ("id", id_str) if id_str else ("parts", crc_hex, sent, num(at(meta, 5)), text(obj(at(info, 9)).get("ct"), ID), said)
    if mode == 7:
        words = fifth(said)
        words = text(words) if isinstance(words, str) else ""
        if words:
            members["positioned"] = said
            said = words
    members.update(mode=mode, color=color if color is not None and 0 <= color <= 0xFFFFFF else 0xFFFFFF)
    return [event(kind, members, key, sent, user_of(s), said)]


# ---- gifts and combos ----

def gift_event(g, s):
    if not g["id"] and not g["name"]:
        raise Broken("gift")
    members = some(gift_name=g["name"], price=g["price"], discount_price=g["discount"] if g["discount"] != g["price"] else 0,
                   action=g["action"] if g["action"] != "投喂" else "", combo_id=g["combo_id"], combo_num=g["combo_num"],
                   to=g["to"] if g["to"] and g["to"]["uid"] else None, bag=g["bag"])
    if g["blind"] and g["blind"]["gift_id"]:
        members["blind"] = dict(g["blind"])
        if -INT64 <= g["price"] * g["num"] < INT64:
            members["blind"]["revealed"] = g["price"] * g["num"]
    members.update(gift_id=item(g["id"]), num=count(g["num"]), coin="silver" if g["coin"] == "silver" else "gold")
    key = ("tid", g["tid"]) if g["tid"] else ("parts", g["rnd"], g["uid"], g["id"], g["time"])
    value = money(g["total"]) if g["coin"] == "gold" else 0
    return event("gift", members, key, s_ms(g["time"]), user_of(s), value=value)


def gift(m):
    d = obj(m.get("data"))
    blind, to = obj(d.get("blind_gift")), obj(d.get("receive_user_info"))
    g = {"uid": num(d.get("uid")), "id": num(d.get("giftId")), "name": text(d.get("giftName"), NAME), "num": num(d.get("num")),
         "price": num(d.get("price")), "discount": num(d.get("discount_price")), "total": num(d.get("total_coin")),
         "coin": text(d.get("coin_type"), 32), "action": text(d.get("action"), 32), "time": num(d.get("timestamp")),
         "tid": text(d.get("tid"), ID), "rnd": text(d.get("rnd"), ID), "combo_id": text(d.get("batch_combo_id"), ID),
         "combo_num": num(d.get("super_batch_gift_num")), "bag": isinstance(d.get("bag_gift"), dict),
         "blind": {"gift_id": num(blind.get("original_gift_id")), "gift_name": text(blind.get("original_gift_name"), NAME),
                   "price": num(blind.get("original_gift_price"))},
         "to": {"uid": num(to.get("uid")), "name": text(to.get("uname"), UNAME)}}
    s = merge({"uid": g["uid"], "name": text(d.get("uname"), UNAME), "guard": num(d.get("guard_level")),
               "wealth": num(d.get("wealth_level"))}, uinfo_of(d.get("sender_uinfo")), medal_info(d.get("medal_info")))
    return [gift_event(g, s)]


GIFT_ITEM = {1: int, 2: bytes, 3: int, 5: int, 6: int, 7: int, 8: bytes, 9: bytes, 10: int, 11: int, 12: bytes, 18: bytes,
             29: {1: bytes, 2: int}, 31: {}, 33: UINFO}
GIFTS = {1: int, 2: bytes, 5: int, 8: {1: int, 4: int, 5: int, 6: bytes}, 9: {2: int, 3: bytes, 6: int}, 10: [GIFT_ITEM],
         13: LEVEL, 15: UINFO}


def gift_v2(m):
    p = pb_of(m, GIFTS)
    med, blind = p.get(8, {}), p.get(9, {})
    old = {"anchor": med.get(1, 0), "room": med.get(4, 0), "level": med.get(5, 0), "name": pb_text(med.get(6), MEDAL)}
    s = merge({"uid": p.get(1, 0), "name": pb_text(p.get(2), UNAME), "guard": p.get(5, 0), "wealth": p.get(13, {}).get(1, 0)},
              pb_uinfo(p.get(15)), old)
    out = []
    for it in p.get(10, []):
        if not it.get(1) and not it.get(2):
            continue
        to, to_new = it.get(29, {}), pb_uinfo(it.get(33))
        if to.get(2):
            receiver = {"uid": to[2], "name": pb_text(to.get(1), UNAME)}
        else:
            receiver = {"uid": to_new["uid"], "name": to_new["name"]}
        out.append(gift_event(
            {"uid": p.get(1, 0), "id": it.get(1, 0), "name": pb_text(it.get(2), NAME), "num": it.get(3, 0), "price": it.get(5, 0),
             "discount": it.get(6, 0), "total": it.get(7, 0), "coin": pb_text(it.get(8), 32), "tid": pb_text(it.get(9), ID),
             "time": it.get(10, 0), "combo_num": it.get(11, 0), "combo_id": pb_text(it.get(12), ID),
             "action": pb_text(it.get(18), 32), "rnd": "", "bag": 31 in it, "to": receiver,
             "blind": {"gift_id": blind.get(2, 0), "gift_name": pb_text(blind.get(3), NAME), "price": blind.get(6, 0)}}, s))
    if not out:
        raise Broken("no gift")
    return out


def combo(m):
    d = obj(m.get("data"))
    gift_id, name = num(d.get("gift_id")), text(d.get("gift_name"), NAME)
    if not gift_id and not name:
        raise Broken("combo")
    to = obj(d.get("receive_user_info"))
    cid = text(d.get("batch_combo_id"), ID) or text(d.get("combo_id"), ID)
    total = num(d.get("total_num"))
    if total <= 0:
        total = num(d.get("batch_combo_num"))
    if total <= 0:
        total = num(d.get("combo_num"))
    start, end, coins = num(d.get("start_time")), num(d.get("end_time")), num(d.get("combo_total_coin"))
    uname = text(d.get("uname"), UNAME)
    s = merge({"uid": num(d.get("uid")), "name": uname, "guard": num(d.get("guard_level")), "wealth": num(d.get("wealth_level"))},
              uinfo_of(d.get("sender_uinfo")), medal_info(d.get("medal_info")))
    action = text(d.get("action"), WORD)
    members = some(gift_name=name, price=num(d.get("price")), total_coin=coins, coin=text(d.get("coin_type"), WORD),
                   action=action if action != "投喂" else "", combo_id=cid, start_ms=s_ms(start), end_ms=s_ms(end),
                   to=person(num(to.get("uid")) or num(d.get("ruid")), text(to.get("uname"), UNAME) or text(d.get("r_uname"), UNAME)))
    members.update(gift_id=item(gift_id), num=count(total))
    key = None
    if cid:
        key = ("id", cid, total, coins)
    elif end:
        key = ("parts", total, coins, uname, gift_id, start, end)
    return [event("combo", members, key, s_ms(end) or max(0, num(m.get("send_time"))), user_of(s))]


# ---- guards ----

def guard_event(g, source, to, m):
    if not 1 <= g["level"] <= 3:
        raise Broken("level")
    members = some(source=source, payflow_id=g["payflow"], start_ms=s_ms(g["start"]),
                   end_ms=s_ms(g["end"]) if g["end"] != g["start"] else 0, price=g["price"], unit=g["unit"], role=g["role"],
                   op_type=g["op"], room_guards=g["guards"], to=to, toast=after_name(g["toast"]))
    members.update(level=g["level"], num=count(g["num"]))
    key = None
    if g["payflow"]:
        key = ("payflow", g["payflow"])
    elif g["start"]:
        key = ("parts", g["uid"], "" if g["uid"] > 0 else g["name"], g["level"], g["start"], max(1, g["num"]))
    user = user_of({"uid": g["uid"], "name": g["name"], "guard": g["level"]})
    return [event("guard", members, key, s_ms(g["start"]) or max(0, num(m.get("send_time"))), user, value=money(g["price"]))]


def guard_old(m, source):
    d = obj(m.get("data"))
    g = {"uid": num(d.get("uid")), "name": text(d.get("username"), UNAME), "level": num(d.get("guard_level")),
         "num": num(d.get("num")), "unit": text(d.get("unit"), WORD), "price": num(d.get("price")),
         "payflow": text(d.get("payflow_id"), ID), "start": num(d.get("start_time")), "end": num(d.get("end_time")),
         "role": text(d.get("role_name"), NAME) or text(d.get("gift_name"), NAME), "op": num(d.get("op_type")),
         "guards": num(d.get("target_guard_count")), "toast": text(d.get("toast_msg"), 512)}
    return guard_event(g, source, None, m)


def toast_v2(m):
    d = obj(m.get("data"))
    if num(obj(d.get("option")).get("source")) == 2:
        return []
    sender, to = uinfo_of(d.get("sender_uinfo")), uinfo_of(d.get("receiver_uinfo"))
    info, pay = obj(d.get("guard_info")), obj(d.get("pay_info"))
    g = {"uid": sender["uid"], "name": sender["name"], "level": num(info.get("guard_level")), "num": num(pay.get("num")),
         "unit": text(pay.get("unit"), WORD), "price": num(pay.get("price")), "payflow": text(pay.get("payflow_id"), ID),
         "start": num(info.get("start_time")), "end": num(info.get("end_time")), "role": text(info.get("role_name"), NAME),
         "op": num(info.get("op_type")), "guards": num(info.get("room_guard_count")), "toast": text(d.get("toast_msg"), 512)}
    return guard_event(g, "toast_v2", person(to["uid"], to["name"]), m)


# ---- super chats and what changes earlier messages ----

def superchat_sender(d):
    user = obj(d.get("user_info"))
    return merge({"uid": num(d.get("uid")), "name": text(user.get("uname"), UNAME), "guard": num(user.get("guard_level")),
                  "admin": flag(user.get("manager"))}, uinfo_of(d.get("uinfo")), medal_info(d.get("medal_info")))


def superchat(m):
    d = obj(m.get("data"))
    sc, price, rate = num(d.get("id")), num(d.get("price")), num(d.get("rate"))
    if not sc and not price:
        raise Broken("super chat")
    start, said, ts = num(d.get("start_time")), text(d.get("message")), num(d.get("ts"))
    members = some(price_cny=price, seconds=num(d.get("time")), start_ms=s_ms(start), end_ms=s_ms(num(d.get("end_time"))),
                   color=text(d.get("background_bottom_color"), 16), translation=text(d.get("message_trans"), 1024))
    members["superchat_id"] = item(sc)
    key = ("id", sc) if sc else ("parts", num(d.get("uid")), start, price, said)
    return [event("superchat", members, key, s_ms(ts if ts > 0 else start), user_of(superchat_sender(d)), said,
                  money(price * (rate if rate > 0 else 1000)))]


def superchat_jpn(m):
    d = obj(m.get("data"))
    sc, jpn, ts = num(d.get("id")), text(d.get("message_jpn"), 1024), num(d.get("ts"))
    if not sc:
        raise Broken("id")
    if not jpn:
        return []
    return [event("notice", {"notice": "superchat_translation", "superchat_id": sc, "text_jpn": jpn}, ("jpn", sc),
                  s_ms(ts if ts > 0 else num(d.get("start_time"))), user_of(superchat_sender(d)))]


def superchat_delete(m):
    ids = [num(i) for i in arr(obj(m.get("data")).get("ids"))]
    out = [event("superchat_delete", {"superchat_id": i}, (i,), max(0, num(m.get("send_time")))) for i in ids if i]
    if not out:
        raise Broken("ids")
    return out


def envelope_key(m):
    msg_id = text(m.get("msg_id"), ID)
    return ("msg_id", msg_id) if msg_id else None


def recall(m):
    d = obj(m.get("data"))
    kind, target = num(d.get("recall_type")), num(d.get("target_id"))
    if not kind:
        raise Broken("type")
    key = ("one", target) if kind == 1 and target else envelope_key(m)
    members = some(scope={1: "danmaku", 2: "user", 3: "all"}.get(kind, "other"), type=kind, target_id=target if kind != 2 else 0)
    user = None
    if kind == 2 and target > 0:
        user = dict(user_of({"uid": target, "name": ""}))
    return [event("recall", members, key, max(0, num(m.get("send_time"))), user)]


# ---- people coming in ----

def interact_event(i):
    s = merge({"uid": i["uid"], "name": i["name"], "guard": i["guard"]}, i["uinfo"], i["medal"])
    if s["uid"] <= 0 and not s["name"]:
        raise Broken("ghost")
    s["guard"] = s["guard"] or i["uinfo"]["guard"]
    who = (s["uid"], "" if s["uid"] > 0 else s["name"])
    key = None
    if i["trigger"] > 0:
        key = who + (i["type"], i["trigger"])
    elif i["time"] > 0 and s["uid"] > 0:
        key = who + (i["type"], i["time"])
    members = some(spread=i["spread"], tail=i["tail"])
    members["type"] = clamp(i["type"], 32767)
    return [event("interact", members, key, ns_ms(i["trigger"]) if i["trigger"] > 0 else s_ms(i["time"]), user_of(s))]


def interact(m):
    d = obj(m.get("data"))
    return interact_event({
        "uid": num(d.get("uid")), "name": text(d.get("uname"), UNAME), "type": num(d.get("msg_type")),
        "time": num(d.get("timestamp")), "trigger": num(d.get("trigger_time")), "guard": num(d.get("privilege_type")),
        "spread": text(d.get("spread_desc"), NAME), "tail": text(obj(d.get("relation_tail")).get("tail_guide_text"), 256),
        "medal": medal_info(d.get("fans_medal")), "uinfo": uinfo_of(d.get("uinfo"))})


INTERACT = {1: int, 2: bytes, 5: int, 7: int, 9: {1: int, 2: int, 3: bytes, 12: int}, 13: bytes, 15: int, 16: int, 22: UINFO,
            23: {2: bytes}}


def interact_v2(m):
    p = pb_of(m, INTERACT)
    if not p.get(1) and not p.get(2):
        raise Broken("ghost")
    med = p.get(9, {})
    return interact_event({
        "uid": p.get(1, 0), "name": pb_text(p.get(2), UNAME), "type": p.get(5, 0), "time": p.get(7, 0), "trigger": p.get(15, 0),
        "guard": p.get(16, 0), "spread": pb_text(p.get(13), NAME), "tail": pb_text(p.get(23, {}).get(2), 256),
        "medal": {"anchor": med.get(1, 0), "level": med.get(2, 0), "name": pb_text(med.get(3), MEDAL), "room": med.get(12, 0)},
        "uinfo": pb_uinfo(p.get(22))})


def like(m):
    d = obj(m.get("data"))
    u = uinfo_of(d.get("uinfo"))
    s = merge({"uid": num(d.get("uid")), "name": text(d.get("uname"), UNAME), "guard": u["guard"]}, u,
              medal_info(d.get("fans_medal")))
    if s["uid"] <= 0 and not s["name"]:
        raise Broken("nobody")
    words = text(d.get("like_text"), NAME)
    return [event("like", some(words=words if words != "为主播点赞了" else ""), None, max(0, num(m.get("send_time"))), user_of(s))]


def entry(m):
    d = obj(m.get("data"))
    u = uinfo_of(d.get("uinfo"))
    name = u["name"] or cut(name_in(text(d.get("copy_writing_v2"), 512)) or name_in(text(d.get("copy_writing"), 512)), UNAME)
    s = merge({"uid": num(d.get("uid")), "name": name, "guard": num(d.get("privilege_type")),
               "wealth": num(obj(d.get("wealthy_info")).get("level"))}, u)
    if s["uid"] <= 0 and not s["name"]:
        raise Broken("nobody")
    trigger = num(d.get("trigger_time"))
    key = (s["uid"], "" if s["uid"] > 0 else s["name"], trigger) if trigger > 0 else None
    return [event("entry", some(effect_id=num(d.get("id"))), key, ns_ms(trigger), user_of(s))]


# ---- figures ----

FIGURES = {
    "WATCHED_CHANGE": [("num", "watched")],
    "ONLINE_RANK_COUNT": [("count", "rank_users"), ("online_count", "online")],
    "LIKE_INFO_V3_UPDATE": [("click_count", "likes")],
    "ROOM_REAL_TIME_MESSAGE_UPDATE": [("fans", "followers"), ("fans_club", "fans_club")],
    "POPULARITY_CHANGE": [(("popularity", "num", "count"), "popularity")],
    "COLLABORATION_LIVE_WATCHED": [("num", "joint_watched")],
    "COLLABORATION_LIVE_POPULARITY": [("num", "joint_popularity")],
    "COLLABORATION_LIVE_ONLINE": [("num", "joint_online")],
    "POPULAR_RANK_CHANGED": [("rank", "popular_rank")],
    "RANK_CHANGED": [("rank", "rank")],
    "RANK_CHANGED_V2": [("rank", "rank")],
    "AREA_RANK_CHANGED": [("rank", "area_rank")],
    "HOT_RANK_CHANGED": [("rank", "hot_rank")],
    "HOT_RANK_CHANGED_V2": [("rank", "hot_rank")],
    "HOT_RANK_SETTLEMENT": [("rank", "hot_rank_settled")],
    "HOT_RANK_SETTLEMENT_V2": [("rank", "hot_rank_settled")],
}


def audience(m):
    d = obj(m.get("data"))
    out = []
    for keys, figure in FIGURES[cmd_of(m)]:
        values = [opt(d.get(k)) for k in (keys if isinstance(keys, tuple) else (keys,))]
        values = [v for v in values if v is not None]
        if values:
            name = next((n for k in ("rank_name", "rank_name_by_type", "area_name") if (n := text(d.get(k), NAME))), "")
            out.append(event("audience", some(figure=figure, value_=values[0], rank_name=name), None,
                             s_ms(num(d.get("timestamp"))) or max(0, num(m.get("send_time")))))
    if not out:
        raise Broken("no number")
    return out


def top_event(m, n, rank_type, users):
    shown = [some(uid_=u[0], name_=u[1], rank_=u[3], score=u[2], guard_level=u[4]) for u in users if u[0] or u[1]]
    return [event("audience", some(figure="top", value_=n, rank_type=rank_type, users=shown), None, max(0, num(m.get("send_time"))))]


def rank(m):
    d = obj(m.get("data"))
    users = d.get("online_list") if isinstance(d.get("online_list"), list) else d.get("list")
    if not isinstance(users, list):
        raise Broken("list")
    rows = []
    for u in map(obj, users):
        name = text(u.get("uname"), UNAME) or cut(name_in(text(u.get("msg"), 512)), UNAME)
        rows.append((num(u.get("uid")), name, num(u.get("score")), num(u.get("rank")), num(u.get("guard_level"))))
    return top_event(m, len(users), text(d.get("rank_type"), WORD), rows)


RANK_USER = {1: int, 3: bytes, 4: bytes, 5: int, 6: int}


def rank_v3(m):
    p = pb_of(m, {1: bytes, 2: [RANK_USER], 3: [RANK_USER]})
    users = p.get(3) or p.get(2, [])
    rows = [(u.get(1, 0), pb_text(u.get(4), UNAME), num(u.get(3, b"").decode(errors="replace")), u.get(5, 0), u.get(6, 0)) for u in users]
    return top_event(m, len(users), pb_text(p.get(1), WORD), rows)


# ---- the room ----

def live(m):
    start = s_ms(num(m.get("live_time")))
    key, sent = text(m.get("live_key"), ID), start or max(0, num(m.get("send_time")))
    what = ("start", key) if key else ("start at", sent) if sent else None
    return [event("live", some(state="start", live_key=key, start_ms=start, platform=text(m.get("live_platform"), WORD)), what, sent)]


def preparing(m):
    sent, msg_id = max(0, num(m.get("send_time"))), text(m.get("msg_id"), ID)
    what = ("end", msg_id) if msg_id else ("end at", sent) if sent else None
    return [event("live", some(state="end", round=flag(m.get("round"))), what, sent)]


def staff(m, action):
    return [event("warning", some(action=action, until_ms=clock_ms(text(m.get("expire"), WORD))), envelope_key(m),
                  max(0, num(m.get("send_time"))), None, text(m.get("msg"), 1024))]


def cut_off_v2(m):
    d = obj(m.get("data"))
    details, ts, scene = obj(d.get("cut_off_data")), num(d.get("timestamp")), num(d.get("cut_off_scene"))
    parts = [{"label": text(p.get("label"), NAME), "content": text(p.get("content"), 1024)}
             for p in map(obj, arr(details.get("cut_off_message_list")))]
    return [event("warning", some(action="cut_off", scene=scene, messages=parts),
                  ("cut_off", ts, scene) if ts > 0 else envelope_key(m), s_ms(ts) if ts > 0 else max(0, num(m.get("send_time"))),
                  None, text(details.get("cut_off_title"), 1024))]


def room_event(m, **members):
    return [event("room", some(**members), envelope_key(m), max(0, num(m.get("send_time"))))]


def room_change(m):
    d = obj(m.get("data"))
    title, area, live_key = text(d.get("title"), 1024), num(d.get("area_id")), text(d.get("live_key"), ID)
    if not title and not area:
        raise Broken("nothing")
    blanks = " \t\n\v\f\r"
    return room_event(m, change="info", title=title, area_id=area, area=text(d.get("area_name"), NAME).strip(blanks),
                      parent_area_id=num(d.get("parent_area_id")),
                      parent_area=text(d.get("parent_area_name"), NAME).strip(blanks), live_key=live_key if live_key != "0" else "")


def silence(m, change):
    d = obj(m.get("data"))
    until = num(d.get("second"))
    return room_event(m, change=change, who=text(d.get("type"), WORD), level=num(d.get("level")), until_ms=s_ms(until),
                      forever=until < 0)


def block(m):
    d = obj(m.get("data"))
    uid = num(d.get("uid"))
    uid = uid if uid > 0 else num(m.get("uid"))
    name = text(d.get("uname"), UNAME) or text(m.get("uname"), UNAME)
    if uid <= 0 and not name:
        raise Broken("nobody")
    until = num(d.get("block_expired"))
    forever = until >= 2145888000
    return [event("block", some(by={1: "admin", 2: "anchor"}.get(num(d.get("operator")), ""), until_ms=0 if forever else s_ms(until),
                                forever=forever, period=text(d.get("vaild_period"), WORD)),
                  envelope_key(m), max(0, num(m.get("send_time"))), user_of({"uid": uid, "name": name}))]


def admin(m, change):
    if num(m.get("uid")) <= 0:
        raise Broken("uid")
    return [event("room", {"change": change}, None, 0, user_of({"uid": num(m.get("uid")), "name": ""}), text(m.get("msg"), 1024))]


def admins(m):
    if not isinstance(m.get("uids"), list):
        raise Broken("uids")
    people = [{"uid": num(u), "name": ""} for u in m["uids"] if num(u)]
    return [event("room", some(change="admins", admins=people))]


def reenter(m):
    d = obj(m.get("data"))
    return room_event(m, change="reenter", reason=num(d.get("reason")), within_seconds=num(d.get("request_random_sec_range")))


# ---- red packets, lotteries, notices ----

def packet(m, state, d, members, sent, user=None, value=0, n=0):
    lot = num(d.get("lot_id"))
    members = dict(members, state=state, lot_id=item(lot), num=count(n))
    return [event("redpacket", members, (state, lot) if lot else None, sent, user, value=value)]


def packet_new(m):
    d = obj(m.get("data"))
    price, now, start = num(d.get("price")), num(d.get("current_time")), num(d.get("start_time"))
    if not num(d.get("lot_id")) and not price:
        raise Broken("packet")
    u = uinfo_of(d.get("sender_info"))
    s = merge({"uid": num(d.get("uid")), "name": text(d.get("uname"), UNAME), "wealth": num(d.get("wealth_level"))}, u,
              medal_info(d.get("medal_info")))
    s["guard"] = u["guard"]
    return packet(m, "new", d, some(price_battery=price, gift_id=num(d.get("gift_id")), gift_name=text(d.get("gift_name"), NAME),
                                    start_ms=s_ms(start), type=num(d.get("rp_type"))),
                  s_ms(now if now > 0 else start), user_of(s), money(price * 100), num(d.get("num")))


def awards_of(v):
    rows, seen = [], set()
    for key, a in v.items() if isinstance(v, dict) else [(None, a) for a in arr(v)]:
        a = obj(a)
        gift_id, name = num(a.get("gift_id")), text(a.get("gift_name"), NAME) or text(a.get("award_name"), NAME)
        if opt(key) is not None:
            gift_id = opt(key)
            if gift_id in seen:
                continue
            seen.add(gift_id)
        if gift_id or name:
            rows.append(some(gift_id_=gift_id, gift_name_=name, price=num(a.get("award_price")), num=num(a.get("num"))))
    return rows


def packet_start(m):
    d = obj(m.get("data"))
    if not num(d.get("lot_id")):
        raise Broken("packet")
    now, start = num(d.get("current_time")), num(d.get("start_time"))
    u = uinfo_of(d.get("sender_uinfo"))
    s = merge({"uid": num(d.get("sender_uid")), "name": text(d.get("sender_name"), UNAME)}, u)
    s["guard"] = u["guard"]
    return packet(m, "start", d, some(total_price=num(d.get("total_price")), join_type=num(d.get("join_requirement")),
                                      join_text=text(d.get("danmu"), 256), start_ms=s_ms(start),
                                      end_ms=s_ms(num(d.get("end_time"))), type=num(d.get("rp_type")),
                                      awards=awards_of(d.get("awards"))),
                  s_ms(now if now > 0 else start), user_of(s))


def packet_winners(m):
    d = obj(m.get("data"))
    if not num(d.get("lot_id")):
        raise Broken("packet")
    winners = []
    for w in arr(d.get("winner_info")):
        if isinstance(w, list):
            row = (num(at(w, 0)), text(at(w, 1), UNAME), num(at(w, 3)))
        else:
            row = (num(obj(w).get("uid")), text(obj(w).get("name"), UNAME), num(obj(w).get("award_id")))
        if row[0] or row[1]:
            winners.append({"uid": row[0], "name": row[1], "gift_id": row[2]})
    ts = num(d.get("timestamp"))
    return packet(m, "winners", d, some(total_num=num(d.get("total_num")), award_num=num(d.get("award_num")),
                                        awards=awards_of(d.get("awards")), winners=winners),
                  s_ms(ts) if ts > 0 else max(0, num(m.get("send_time"))))


def lottery(m, state):
    d = obj(m.get("data"))
    lot = num(d.get("id"))
    if not lot:
        raise Broken("id")
    now, seconds, status = num(d.get("current_time")), num(d.get("time")), num(d.get("status"))
    end = now + seconds if now > 0 and seconds > 0 and now + seconds < INT64 else 0
    gift_id = num(d.get("gift_id"))
    join = {"gift_id": gift_id, "gift_name": text(d.get("gift_name"), NAME), "num": num(d.get("gift_num")),
            "price": num(d.get("gift_price"))} if gift_id else None
    winners = [some(uid_=num(u.get("uid")), name_=text(u.get("uname"), UNAME), num=num(u.get("num")))
               for u in map(obj, arr(d.get("award_users"))) if num(u.get("uid")) or text(u.get("uname"), UNAME)]
    members = some(state=state, award=text(d.get("award_name"), NAME), award_price=text(d.get("award_price_text"), WORD),
                   join_text=text(d.get("danmu"), 512), join_gift=join, require_type=num(d.get("require_type")),
                   require_value=num(d.get("require_value")), require_text=text(d.get("require_text"), 512), end_ms=s_ms(end),
                   status=status, reason=text(d.get("reject_reason"), 512), winners=winners)
    members.update(lot_id=lot, num=count(num(d.get("award_num"))))
    return [event("lottery", members, (state, lot, status if state == "check" else 0),
                  s_ms(now) if now > 0 else max(0, num(m.get("send_time"))))]


def notice(said, sent, **members):
    return [event("notice", some(**members), None, sent, None, said)]


def log_in(m):
    return notice(text(obj(m.get("data")).get("notice_msg"), 1024), max(0, num(m.get("send_time"))), notice="log_in")


def aggregation(m):
    d = obj(m.get("data"))
    if not text(d.get("msg"), 1024):
        raise Broken("msg")
    return notice(text(d.get("msg"), 1024), s_ms(num(d.get("timestamp"))), notice="aggregation", count=num(d.get("aggregation_num")),
                  activity_id=text(d.get("activity_identity"), ID), activity_source=num(d.get("activity_source")))


def common(m):
    d = obj(m.get("data"))
    said = "".join(text(obj(s).get("text"), 1024) for s in arr(d.get("content_segments")))
    if not said:
        return []
    return notice(said, max(0, num(m.get("send_time"))), notice="common",
                  terminals=[opt(t) for t in arr(d.get("terminals")) if opt(t) is not None])


def choices(v):
    return [{"text": text(c.get("desc"), 1024) or text(c.get("content"), 1024), "count": num(c.get("cnt"))} for c in map(obj, arr(v))]


def interaction(m):
    d = obj(m.get("data"))
    if not num(d.get("id")) and not num(d.get("type")):
        raise Broken("interaction")
    inner = d.get("data")
    inner = obj(maybe(inner)) if isinstance(inner, str) else obj(inner)
    return notice(text(inner.get("question"), 1024) or text(inner.get("suffix_text"), 1024), max(0, num(m.get("send_time"))),
                  notice="interaction", interaction_id=num(d.get("id")), type=num(d.get("type")), status=num(d.get("status")),
                  count=num(inner.get("cnt")), options=choices(inner.get("options")), combo=choices(inner.get("combo")))


DECODERS = {
    "DANMU_MSG": lambda m: chat(m, "danmaku"), "DANMU_MSG_MIRROR": lambda m: chat(m, "mirror"),
    "SEND_GIFT": gift, "SEND_GIFT_V2": gift_v2, "COMBO_SEND": combo, "COMBO_END": combo,
    "GUARD_BUY": lambda m: guard_old(m, "guard_buy"), "USER_TOAST_MSG": lambda m: guard_old(m, "toast"), "USER_TOAST_MSG_V2": toast_v2,
    "SUPER_CHAT_MESSAGE": superchat, "SUPER_CHAT_MESSAGE_JPN": superchat_jpn, "SUPER_CHAT_MESSAGE_DELETE": superchat_delete,
    "RECALL_DANMU_MSG": recall, "INTERACT_WORD": interact, "INTERACT_WORD_V2": interact_v2, "LIKE_INFO_V3_CLICK": like,
    "ENTRY_EFFECT": entry, "ENTRY_EFFECT_MUST_RECEIVE": entry,
    **{cmd: audience for cmd in FIGURES}, "ONLINE_RANK_V2": rank, "ONLINE_RANK_TOP3": rank, "ONLINE_RANK_V3": rank_v3,
    "LIVE": live, "PREPARING": preparing, "WARNING": lambda m: staff(m, "warning"), "CUT_OFF": lambda m: staff(m, "cut_off"),
    "ROOM_LOCK": lambda m: staff(m, "lock"), "CUT_OFF_V2": cut_off_v2, "ROOM_CHANGE": room_change,
    "ROOM_SILENT_ON": lambda m: silence(m, "silent_on"), "ROOM_SILENT_OFF": lambda m: silence(m, "silent_off"),
    "ROOM_BLOCK_MSG": block, "ROOM_ADMINS": admins, "room_admin_entrance": lambda m: admin(m, "admin_added"),
    "ROOM_ADMIN_REVOKE": lambda m: admin(m, "admin_removed"), "REENTER_LIVE_ROOM": reenter, "REENTER_LIVE_ROOM_V2": reenter,
    "POPULARITY_RED_POCKET_NEW": packet_new, "POPULARITY_RED_POCKET_V2_NEW": packet_new,
    "POPULARITY_RED_POCKET_START": packet_start, "POPULARITY_RED_POCKET_V2_START": packet_start,
    "POPULARITY_RED_POCKET_WINNER_LIST": packet_winners, "POPULARITY_RED_POCKET_V2_WINNER_LIST": packet_winners,
    "ANCHOR_LOT_START": lambda m: lottery(m, "start"), "ANCHOR_LOT_END": lambda m: lottery(m, "end"),
    "ANCHOR_LOT_AWARD": lambda m: lottery(m, "award"), "ANCHOR_LOT_CHECKSTATUS": lambda m: lottery(m, "check"),
    "LOG_IN_NOTICE": log_in, "DANMU_AGGREGATION": aggregation, "COMMON_NOTICE_DANMAKU": common, "DM_INTERACTION": interaction,
}
SILENT = ("STOP_LIVE_ROOM_LIST", "NOTICE_MSG", "SYS_MSG", "SPECIAL_GIFT", "UNIVERSAL_EVENT_GIFT", "UNIVERSAL_EVENT_GIFT_V2",
          "GIFT_STAR_PROCESS", "SUPER_CHAT_ENTRANCE", "CHANGE_ROOM_INFO", "PLAYURL_RELOAD", "GUARD_HONOR_THOUSAND")
SILENT_FAMILIES = ("PK_", "WIDGET_", "ACTIVITY_", "SHOPPING_", "VOICE_", "MULTI_VOICE_", "PLAY_")


def cmd_of(m):
    cmd = m.get("cmd") if isinstance(m, dict) else None
    return text(cmd, 64).split(":")[0] if isinstance(cmd, str) else ""


def decode(message):
    """{"status": ok, unknown or broken, "events": [{"key": .., "event": ..}]}"""
    m = parse(message)
    cmd = cmd_of(m)
    if cmd in DECODERS:
        try:
            return {"status": "ok", "cmd": cmd, "events": DECODERS[cmd](m)}
        except Broken:
            return {"status": "broken", "cmd": cmd, "events": []}
    known = cmd in SILENT or cmd.startswith(SILENT_FAMILIES)
    return {"status": "ok" if known else "unknown", "cmd": cmd, "events": []}
