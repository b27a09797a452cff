#!/usr/bin/python3
"""Writes frames of generated chat messages: generate.py FOLDER [SEED].

FOLDER/{plain,zlib,brotli}_{1,5,20}: packets as they come over the wire, one after another; the number is how many
messages a frame holds. The messages have the shape and the size (2.3 kB on average) of real ones; names, texts and
numbers are invented. Every file holds the same messages.
"""
import json
import random
import struct
import sys
import zlib

import brotli

MESSAGES = 4000
WORDS = ("今天 播什么 前排 围观 哈哈哈 主播 晚上好 来了 这把 稳了 太强了 下饭 名场面 笑死 没看懂 什么情况 再来一次 等一下 "
         "好听 歌单 求歌名 泪目 加油 冲冲冲 别走 打卡 第一次 见 居然 真的 可以 有点 东西 离谱 草 问号 这也行 学到了").split()
NAME = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏云腾致雨露结为霜"
COLORS = [16777215] * 6 + [14893055, 5566168, 16738408, 65532]


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def hexa(rng, n):
    return "%0*x" % (n, rng.getrandbits(4 * n))


def face(rng):
    return "https://i%d.hdslb.com/bfs/face/%s.jpg" % (rng.randrange(3), hexa(rng, 40))


def name(rng):
    return "".join(rng.choice(NAME) for _ in range(rng.randrange(2, 7))) + rng.choice(["", "_%d" % rng.randrange(10000)])


def medal(rng):
    color = rng.choice([398668, 1725515, 9272486, 12478086])
    ruid, level, title = rng.randrange(10**5, 10**10), rng.randrange(1, 33), name(rng)[:3]
    new = {"color": color, "color_border": color, "color_end": color, "color_start": color, "guard_icon": "",
           "guard_level": 0, "honor_icon": "", "id": rng.randrange(10**6), "is_light": 1, "level": level, "name": title,
           "ruid": ruid, "score": rng.randrange(10**8), "typ": 0, "user_receive_count": 0,
           "v2_medal_color_border": "#596FE099", "v2_medal_color_end": "#596FE099", "v2_medal_color_level": "#000B7099",
           "v2_medal_color_start": "#596FE099", "v2_medal_color_text": "#FFFFFFFF"}
    return new, [level, title, name(rng), rng.randrange(10**3, 10**8), color, "", 0, color, color, color, 0, 1, ruid]


def extra(rng, text, uid, mode, color, t):
    return {"send_from_me": False, "master_player_hidden": False, "mode": 0, "color": color, "dm_type": 0, "font_size": 25,
            "player_mode": mode, "show_player_type": 0, "content": text, "user_hash": str(zlib.crc32(str(uid).encode())),
            "emoticon_unique": "", "bulge_display": 0, "recommend_score": rng.randrange(10), "dm_score": 0,
            "chronos_force_display": 0, "main_state_dm_color": "", "objective_state_dm_color": "", "direction": 0,
            "pk_direction": 0, "quartet_direction": 0, "anniversary_crowd": 0, "yeah_space_type": "", "yeah_space_url": "",
            "jump_to_url": "", "space_type": "", "space_url": "", "animation": {}, "emots": None, "is_audited": False,
            "id_str": hexa(rng, 26) + "%08x" % (t // 1000) + "%d" % rng.randrange(100), "icon": None, "show_reply": True,
            "reply_mid": 0, "reply_uname": "", "reply_uname_color": "", "reply_is_mystery": False, "reply_type_enum": 0,
            "hit_combo": 0, "esports_jump_url": "", "is_mirror": False, "is_collaboration_member": False,
            "card": {"card_type": 0, "oid_str": "", "oid_str_1": "", "origin_oid_str": "", "share_id": "", "share_origin": "",
                     "from": "", "card_content": None}, "voice": None, "background_type": 0}


def message(rng, t):
    uid = rng.choice([rng.randrange(10**5, 10**10), rng.randrange(10**15, 4 * 10**15)])
    text = "".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 6)))
    mode, color, sender, link = rng.choice([1, 1, 1, 4]), rng.choice(COLORS), name(rng), face(rng)
    worn, old = medal(rng) if rng.random() < 0.7 else (None, [])
    user = {"base": {"face": link, "is_mystery": False, "name": sender, "name_color": 0, "name_color_str": "",
                     "official_info": {"desc": "", "role": 0, "title": "", "type": -1},
                     "origin_info": {"face": link, "name": sender}, "risk_ctrl_info": None},
            "guard": None, "guard_leader": {"is_guard_leader": False}, "medal": worn,
            "title": {"old_title_css_id": "", "title_css_id": ""}, "uhead_frame": None, "uid": uid, "wealth": None}
    return {"cmd": "DANMU_MSG", "dm_v2": "", "info": [
        [0, mode, 25, color, t, rng.randrange(-2**31, 2**31), 0, "%x" % zlib.crc32(str(uid).encode()), 0, 0, 0, "", 0, "{}",
         "{}", {"extra": dumps(extra(rng, text, uid, mode, color, t)), "mode": 0, "show_player_type": 0, "user": user},
         {"activity_identity": "", "activity_source": 0, "not_show": 0}, 0],
        text, [uid, sender, int(rng.random() < 0.02), 0, 0, 10000, 1, ""], old, [rng.randrange(60), 0, 9868950, ">50000", 0],
        ["", ""], 0, rng.choice([0] * 9 + [3]), None, {"ct": hexa(rng, 8).upper(), "ts": t // 1000}, 0, 0, None, None, 0,
        rng.randrange(1000), [rng.randrange(50)], None]}


def packet(ver, body):
    return struct.pack(">IHHII", 16 + len(body), 16, ver, 5, 0) + body


def main():
    folder, rng = sys.argv[1], random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    t, plain = 1790000000000, []
    for _ in range(MESSAGES):
        t += rng.randrange(1, 400)
        plain.append(packet(0, dumps(message(rng, t)).encode()))
    for per in (1, 5, 20):
        frames = [b"".join(plain[i:i + per]) for i in range(0, MESSAGES, per)]
        # Quality 5 and level 6 are what servers use for answers made on the fly.
        kinds = {"plain": frames, "zlib": [packet(2, zlib.compress(f, 6)) for f in frames],
                 "brotli": [packet(3, brotli.compress(f, quality=5)) for f in frames]}
        for kind, packets in kinds.items():
            with open("%s/%s_%d" % (folder, kind, per), "wb") as out:
                out.write(b"".join(packets))
    print("%d messages of %d bytes on average" % (MESSAGES, sum(map(len, plain)) / MESSAGES - 16))


main()
