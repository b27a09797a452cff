"""Messages of every family: whole ones as upstream sends them, and what becomes of them when parts are dropped, of
another type, in another order or there twice. Everything follows from the seed.

A message is built of plain values; objects are lists of pairs (class Obj), so that a key can come twice. dumps() writes it.
"""
import json
import re

import pb

S, MS = 1790000000, 1790000000123


class Obj(list):
    """[[key, value], ...]"""

    def __add__(self, other):
        return Obj(list(self) + list(other))

    def __iadd__(self, other):
        return self + other


class Token(str):
    """A number as it stands."""


class Inner:
    """JSON that stands in a string."""

    def __init__(self, value):
        self.value = value


class Pb:
    """Protobuf that stands in a string, in base64: a list of [number, value]."""

    def __init__(self, fields):
        self.fields = fields


def o(**members):
    return Obj([k.rstrip("_"), v] for k, v in members.items())


def quote(s):
    """What is no character can only stand as an escape."""
    return re.sub("[\ud800-\udfff]", lambda m: f"\\u{ord(m.group()):04x}", json.dumps(s, ensure_ascii=False))


def dumps(v):
    if isinstance(v, Obj):
        return "{" + ",".join(quote(k) + ":" + dumps(x) for k, x in v) + "}"
    if isinstance(v, list):
        return "[" + ",".join(map(dumps, v)) + "]"
    if isinstance(v, Token):
        return str(v)
    if isinstance(v, Inner):
        return quote(dumps(v.value))
    if isinstance(v, Pb):
        return json.dumps(pb.encode64(v.fields))
    return quote(v) if isinstance(v, str) else json.dumps(v)


# ---- values ----

NAMES = ["石头剪子布", "纸飞机_0417", "a", "x***", "名字很长" * 12, "b\u0000c", "🐟", "", "测***", "O'Neil \"q\""]
WORDS = ["你好", "前排", "2333", "[doge]哈", "多行\n文字", "<b>", "\ud83d", "长" * 50, "", "\\u0041"]


class Maker:
    def __init__(self, rng):
        self.r = rng

    def pick(self, *values):
        return self.r.choice(values)

    def uid(self):
        return self.pick(410023, 3546000000000101, 7, 0, self.r.randrange(1, 10**16))

    def name(self):
        return self.r.choice(NAMES)

    def word(self):
        return self.r.choice(WORDS)

    def small(self, top=60):
        return self.r.randrange(0, top + 1)

    def price(self):
        return self.pick(0, 100, 1000, 19800, 198000, self.r.randrange(0, 10**7))

    def time(self):
        return S + self.r.randrange(0, 1000)

    def digits(self, n):
        return "".join(self.r.choice("123456789") for _ in range(n))

    def maybe(self, value, other=None):
        return value if self.r.random() < 0.7 else other

    # ---- parts ----

    def medal_new(self):
        return o(name=self.pick("星河", "新牌", ""), level=self.small(40), ruid=self.pick(880011, 111222, 0), score=1, is_light=1)

    def medal_old(self):
        return o(medal_name=self.pick("星河", "新牌", ""), medal_level=self.small(40), target_id=self.pick(880011, 111222, 0),
                 anchor_roomid=self.pick(0, 1000, 2233001), medal_color=self.pick(1725515, "#1a544b"))

    def uinfo(self):
        return o(uid=self.uid(), base=o(name=self.name(), face="f", is_mystery=False), medal=self.maybe(self.medal_new()),
                 wealth=self.maybe(o(level=self.small(), dm_icon_key="")), guard=self.maybe(o(level=self.small(4), expired_str="")))

    def pb_uinfo(self):
        fields = [[1, self.uid()], [2, [[1, self.name()], [2, "face"], [7, [[4, -1]]]]]]
        if self.r.random() < 0.6:
            fields.append([3, [[1, self.pick("星河", "新牌")], [2, self.small(40)], [3, 1], [10, self.pick(880011, 111222)], [12, 5]]])
        if self.r.random() < 0.6:
            fields += [[4, [[1, self.small()], [2, "k"]]], [6, [[1, self.small(4)], [2, "2026-01-01 00:00:00"]]]]
        return fields

    def envelope(self):
        out = o()
        if self.r.random() < 0.4:
            out += o(msg_id=self.digits(17) + ":1:1000", p_is_ack=True, send_time=MS + self.small(999))
        return out

    def message(self, cmd, data):
        return o(cmd=cmd, data=data) + self.envelope()

    # ---- families ----

    def chat(self):
        extra = o(send_from_me=False, mode=0, content=self.word(), user_hash=self.digits(9), emoticon_unique=self.maybe("", "official_1"),
                  emots=self.pick(None, o(**{"[dog]": o(emoji="[dog]")}), o()), id_str=self.pick("", self.digits(34), "5d0b" + self.digits(8)),
                  reply_mid=self.pick(0, 0, self.uid()), reply_uname=self.pick("", "", self.name()), is_mirror=True)
        mode = self.pick(1, 1, 4, 5, 7)
        said = self.word()
        if mode == 7:
            said = Inner(["0", "0", "1-1", "4.5", self.word(), 0])
        meta = [0, mode, self.pick(25, 25, 18), self.pick(16777215, 5566168, 0), MS, self.pick(77, -5, 2**60 + 1), 0,
                self.pick("1b2fc15b", "f4dbdf21", "", "XYZ"), 0, self.pick(0, 0, 2), 0, "", self.small(2),
                self.pick("{}", o(emoticon_unique="upower_1", url="https://img.example/e.png", width=162, height=60)),
                self.pick("{}", o(voice_url="https://img.example/v", file_format="wav", text=self.word(), file_duration=3, file_id="i")),
                o(extra=Inner(extra), mode=0, show_player_type=0, user=self.uinfo()), o(activity_identity=""), 0]
        medal = self.pick([], [self.small(40), "星河", "主播", self.pick(0, 1000, 2233001), 1, "", 0, 1, 1, 1, 0, 1, 880011])
        info = [meta, said, [self.uid(), self.name(), self.small(1), 0, 0, 10000, 1, ""], medal, [0, 0, 9868950, ">50000", 0], ["", ""], 0,
                self.small(3), None, o(ts=S, ct="5814F6B0"), 0, 0, None, None, 0, 208, [self.small()], None]
        return o(cmd=self.pick("DANMU_MSG", "DANMU_MSG", "DANMU_MSG_MIRROR", "DANMU_MSG:4:0:2:2:2:0"), dm_v2="", info=info)

    def gift(self):
        price = self.price()
        blind = o(blind_gift_config_id=1, original_gift_id=35206, original_gift_name="幸运盲盒", original_gift_price=5000)
        return self.message("SEND_GIFT", o(
            uid=self.uid(), uname=self.name(), giftId=self.pick(31036, 1), giftName="小花花", num=self.small(), price=price,
            discount_price=self.pick(price, 0, 50), total_coin=self.price(), coin_type=self.pick("gold", "gold", "silver"),
            action=self.pick("投喂", "赠送"), timestamp=self.time(), tid=self.pick("", self.digits(19)), rnd=self.digits(10),
            guard_level=self.small(4), wealth_level=self.small(), batch_combo_id=self.pick("", "batch:gift:" + self.digits(6)),
            super_batch_gift_num=self.small(), combo_total_coin=self.price(), blind_gift=self.pick(None, None, blind),
            medal_info=self.medal_old(), sender_uinfo=self.uinfo(), receive_user_info=o(uid=self.pick(0, 990012), uname="主播甲"),
            bag_gift=self.pick(None, o(show_price=1))))

    def gift_v2(self):
        fields = [[1, self.uid()], [2, self.name()], [3, "face"], [5, self.small(4)],
                  [8, [[1, 880011], [4, self.pick(0, 1000)], [5, self.small(40)], [6, self.pick("星河", "新牌", "")]]]]
        if self.r.random() < 0.3:
            fields.append([9, [[1, 161], [2, 35461], [3, "羁绊宝盒"], [6, 33000]]])
        for _ in range(self.pick(1, 1, 2, 3, 0)):
            item = [[1, self.pick(35464, 31036)], [2, "甜蜜契约"], [3, self.small()], [5, self.price()], [6, self.price()], [7, self.price()],
                    [8, self.pick("gold", "gold", "silver")], [9, self.pick("", self.digits(19))], [10, self.time()], [11, self.small()],
                    [12, self.digits(8)], [16, pb.Fixed32(0x3F800000)], [18, self.pick("投喂", "赠送")]]
            if self.r.random() < 0.6:
                item.append([29, [[1, "主播甲"], [2, self.pick(990012, 0)]]])
            if self.r.random() < 0.3:
                item += [[31, [[1, 1]]], [33, self.pb_uinfo()]]
            fields.append([10, item])
        fields += [[11, 1], [13, [[1, self.small()]]], [15, self.pb_uinfo()]]
        return self.message("SEND_GIFT_V2", o(dmscore=140, pb=Pb(fields)))

    def combo(self):
        return self.message(self.pick("COMBO_SEND", "COMBO_SEND", "COMBO_END"), o(
            uid=self.uid(), uname=self.name(), gift_id=31036, gift_name="小花花", total_num=self.small(), batch_combo_num=self.small(),
            combo_num=self.small(), combo_total_coin=self.price(), price=self.price(), coin_type=self.pick("gold", "silver"),
            combo_id="gift:" + self.digits(4), batch_combo_id=self.pick("", "batch:" + self.digits(4)), action=self.pick("投喂", "赠送"),
            start_time=self.time(), end_time=self.time(), guard_level=self.small(4), wealth_level=self.small(), ruid=990012,
            r_uname="主播甲", receive_user_info=self.maybe(o(uid=990012, uname="主播甲")), medal_info=self.medal_old(),
            sender_uinfo=self.uinfo()))

    def guard(self):
        cmd = self.pick("GUARD_BUY", "USER_TOAST_MSG", "USER_TOAST_MSG_V2")
        start, payflow, price = self.time(), self.pick("", self.digits(25)), self.pick(138000, 198000, 19998000)
        toast = self.pick("<%名%> 在主播的直播间开通了舰长", "自动续费了舰长", "<%a%><%b%> x ")
        if cmd != "USER_TOAST_MSG_V2":
            return self.message(cmd, o(
                uid=self.uid(), username=self.name(), guard_level=self.pick(1, 2, 3, 3), num=self.small(3), unit=self.pick("月", "*3天"),
                price=price, payflow_id=payflow, start_time=start, end_time=self.pick(start, start + 9), gift_id=10003, gift_name="舰长",
                role_name="舰长", op_type=self.small(3), target_guard_count=self.small(), toast_msg=toast))
        return self.message(cmd, o(
            sender_uinfo=self.uinfo(), receiver_uinfo=self.uinfo(),
            guard_info=o(guard_level=self.pick(1, 2, 3, 3), role_name="舰长", room_guard_count=self.small(), op_type=self.small(3),
                         start_time=start, end_time=self.pick(start, start + 9)),
            pay_info=o(payflow_id=payflow, price=price, num=1, unit="月"), gift_info=o(gift_id=10003),
            option=o(source=self.pick(0, 0, 2), color="#00D1F1"), toast_msg=toast))

    def superchat(self):
        cmd = self.pick("SUPER_CHAT_MESSAGE", "SUPER_CHAT_MESSAGE", "SUPER_CHAT_MESSAGE_JPN")
        return self.message(cmd, o(
            id=self.pick(self.small(9) + 15000000, self.digits(7)), uid=self.uid(), price=self.pick(30, 50, 2000), rate=self.pick(1000, 0),
            message=self.word(), message_trans=self.word(), message_jpn=self.word(), start_time=self.time(), end_time=self.time(), time=60,
            ts=self.time(), background_bottom_color="#2A60B2", user_info=o(uname=self.name(), guard_level=self.small(4), manager=self.small(1)),
            medal_info=self.maybe(self.medal_old()), uinfo=self.maybe(self.uinfo())))

    def amend(self):
        if self.r.random() < 0.5:
            return self.message("SUPER_CHAT_MESSAGE_DELETE", o(ids=[self.pick(15000000 + self.small(), self.digits(8), 0) for _ in range(self.small(4))]))
        return self.message("RECALL_DANMU_MSG", o(recall_type=self.pick(1, 2, 3, 4), target_id=self.pick(0, self.uid())))

    def interact(self):
        return self.message("INTERACT_WORD", o(
            uid=self.uid(), uname=self.name(), msg_type=self.pick(1, 2, 3, 4, 5, 6), roomid=1000, timestamp=self.time(), score=MS,
            trigger_time=self.pick(0, MS * 1000000 + self.small()), privilege_type=self.small(4), spread_desc=self.maybe("", "推广"),
            relation_tail=self.maybe(o(tail_guide_text=self.word())), fans_medal=self.maybe(self.medal_old()), uinfo=self.maybe(self.uinfo())))

    def interact_v2(self):
        fields = [[1, self.uid()], [2, self.name()], [4, bytes([3, 1])], [5, self.small(6)], [6, 1000], [7, self.time()], [8, MS],
                  [9, [[1, 880011], [2, self.small(40)], [3, "星河"], [12, self.pick(0, 1000, 5)], [13, 7]]],
                  [13, self.maybe("", "推广")], [15, self.pick(0, MS * 1000000 + self.small())], [16, self.small(4)],
                  [22, self.pb_uinfo()], [23, [[1, "icon"], [2, self.word().replace("\ud83d", "?")], [3, 4]]]]
        return self.message("INTERACT_WORD_V2", o(dmscore=3, pb=Pb(fields)))

    def visit(self):
        if self.r.random() < 0.4:
            return self.message("LIKE_INFO_V3_CLICK", o(
                uid=self.uid(), uname=self.name(), like_text=self.pick("为主播点赞了", self.word()), fans_medal=self.medal_old(), uinfo=self.uinfo()))
        return self.message(self.pick("ENTRY_EFFECT", "ENTRY_EFFECT_MUST_RECEIVE"), o(
            id=382, uid=self.uid(), privilege_type=self.small(4), copy_writing="欢迎 <%" + self.name() + "...%> 来了",
            copy_writing_v2=self.maybe("欢迎 <^icon^> <% " + self.name() + " %> 进入", ""), trigger_time=self.pick(0, MS * 1000000 + self.small()),
            wealthy_info=self.maybe(o(level=self.small())), uinfo=self.maybe(self.uinfo())))

    def audience(self):
        cmd, key = self.pick(
            ("WATCHED_CHANGE", "num"), ("ONLINE_RANK_COUNT", "count"), ("LIKE_INFO_V3_UPDATE", "click_count"),
            ("ROOM_REAL_TIME_MESSAGE_UPDATE", "fans"), ("POPULARITY_CHANGE", "popularity"), ("POPULARITY_CHANGE", "num"),
            ("COLLABORATION_LIVE_WATCHED", "num"), ("POPULAR_RANK_CHANGED", "rank"), ("RANK_CHANGED", "rank"),
            ("RANK_CHANGED_V2", "rank"), ("AREA_RANK_CHANGED", "rank"), ("HOT_RANK_CHANGED_V2", "rank"), ("HOT_RANK_SETTLEMENT", "rank"))
        return self.message(cmd, o(**{key: self.price()}) + self.maybe(o(online_count=self.price(), fans_club=self.small()), o())
                            + self.maybe(o(timestamp=self.time(), rank_name=self.pick("", "手游航海"), area_name="虚拟", rank_name_by_type="热门榜"), o()))

    def rank(self):
        kind = self.small(2)
        if kind == 0:
            users = [o(uid=self.uid(), uname=self.name(), score=self.pick("20", 7, "x"), rank=i, guard_level=self.small(3)) for i in range(self.small(5))]
            return self.message("ONLINE_RANK_V2", o(rank_type="gold-rank") + o(**{self.pick("list", "online_list"): users}))
        if kind == 1:
            return self.message("ONLINE_RANK_TOP3", o(list=[o(msg="恭喜 <%" + self.name() + "%> 成为高能用户", rank=self.small(3))]))
        fields = [[1, "online_rank"]]
        for i in range(self.small(4)):
            fields.append([self.pick(2, 3), [[1, self.uid()], [2, "face"], [3, self.pick("12", "0", "x")], [4, self.name()], [5, i], [6, self.small(3)], [8, self.pb_uinfo()]]])
        return self.message("ONLINE_RANK_V3", o(pb=Pb(fields)))

    def live(self):
        if self.r.random() < 0.5:
            return o(cmd="LIVE", live_key=self.pick("", self.digits(18)), live_platform="pc_link", live_model=0, roomid=1000,
                     live_time=self.pick(0, self.time())) + self.envelope()
        return o(cmd="PREPARING", roomid="1000", round=self.pick(0, 1)) + self.envelope()

    def state(self):
        area = o(title=self.word(), area_id=self.small(400), parent_area_id=9, area_name=" 科技 ", parent_area_name="知识", live_key=self.pick("0", self.digits(18)))
        return self.pick(
            o(cmd="WARNING", msg=self.word(), roomid=1000) + self.envelope(),
            o(cmd="CUT_OFF", msg=self.word(), roomid=1000) + self.envelope(),
            o(cmd="ROOM_LOCK", expire=self.pick("2026-10-01 08:00:00", "2024-02-30 23:59:60", "0000-00-00 00:00:00", "2026-1-1"), roomid=1000),
            self.message("CUT_OFF_V2", o(cut_off_scene=1, timestamp=self.pick(0, self.time()), cut_off_data=o(
                cut_off_title=self.word(), cut_off_message_list=[o(type=1, label=self.word(), content=self.word()) for _ in range(self.small(3))]))),
            self.message("ROOM_CHANGE", area),
            self.message("ROOM_SILENT_ON", o(type=self.pick("member", "medal", "level"), level=self.small(20), second=self.pick(-1, self.time()))),
            self.message("ROOM_SILENT_OFF", o(type="", level=0, second=0)),
            o(uid="410023", uname=self.name()) + self.message("ROOM_BLOCK_MSG", o(
                uid=self.uid(), uname=self.name(), operator=self.small(3), block_expired=self.pick(0, self.time(), 2145888000), vaild_period="1小时")),
            o(cmd="ROOM_ADMINS", uids=[self.pick(self.uid(), str(self.uid())) for _ in range(self.small(5))]),
            o(cmd=self.pick("room_admin_entrance", "ROOM_ADMIN_REVOKE"), msg=self.word(), uid=self.uid()),
            self.message(self.pick("REENTER_LIVE_ROOM", "REENTER_LIVE_ROOM_V2"), o(room_id=1000, request_random_sec_range=10, reason=self.small(3))))

    def redpacket(self):
        lot, form = self.pick(0, 27000000 + self.small()), self.pick("", "V2_")
        kind = self.small(2)
        if kind == 0:
            return self.message(f"POPULARITY_RED_POCKET_{form}NEW", o(
                lot_id=lot, uid=self.uid(), uname=self.name(), action="送出", num=1, gift_name="红包", gift_id=13000,
                price=self.pick(20, 100, 520, 0), start_time=self.time(), current_time=self.maybe(self.time()), rp_type=self.small(5),
                medal_info=self.medal_old(), wealth_level=self.small(), sender_info=self.maybe(self.uinfo())))
        if kind == 1:
            return self.message(f"POPULARITY_RED_POCKET_{form}START", o(
                lot_id=lot, sender_uid=self.uid(), sender_name=self.name(), join_requirement=1, danmu=self.word(), current_time=self.maybe(self.time()),
                start_time=self.time(), end_time=self.time(), total_price=self.price(), rp_type=0, sender_uinfo=self.maybe(self.uinfo()),
                awards=[o(gift_id=34758, gift_name="棒棒糖", gift_pic="", num=self.small()) for _ in range(self.small(3))]))
        winner = [self.uid(), self.name(), 14357970, 34758, False, None, S, 990012]
        return self.message(f"POPULARITY_RED_POCKET_{form}WINNER_LIST", o(
            lot_id=lot, total_num=15, award_num=self.maybe(13), timestamp=self.maybe(self.time()),
            winner_info=[self.pick(list(winner), winner[:4], o(uid=self.uid(), name=self.name(), award_id="34003")) for _ in range(self.small(4))],
            awards=o(**{"34758": o(award_type=1, award_name="棒棒糖", award_price=200), "34003": o(award_name="人气票", award_price=100)})))

    def lottery(self):
        lot = 14000000 + self.small()
        return self.message(*self.pick(
            ("ANCHOR_LOT_START", o(id=lot, award_name="情书", award_num=1, award_price_text="价值52电池", danmu=self.word(), gift_id=self.pick(0, 31164),
                                   gift_name="灯牌", gift_num=1, gift_price=1000, require_type=self.small(3), require_value=self.small(20),
                                   require_text="关注主播", current_time=self.maybe(self.time()), time=self.maybe(899), status=1)),
            ("ANCHOR_LOT_END", o(id=lot)),
            ("ANCHOR_LOT_CHECKSTATUS", o(id=lot, status=self.small(5), uid=990012, reject_reason=self.word())),
            ("ANCHOR_LOT_AWARD", o(id=lot, award_name="情书", award_num=2, award_users=[
                o(uid=self.uid(), uname=self.name(), num=self.small(3), level=1) for _ in range(self.small(4))]))))

    def notice(self):
        inner = o(question=self.pick("", "投票"), suffix_text="人分享了直播间", cnt=self.small(), options=self.maybe([o(idx=1, desc=self.word(), cnt=self.small())]),
                  combo=self.maybe([o(id=1, content=self.word(), cnt=self.small())]))
        return self.message(*self.pick(
            ("LOG_IN_NOTICE", o(notice_msg=self.word())),
            ("DANMU_AGGREGATION", o(activity_identity=self.digits(8), activity_source=1, aggregation_num=self.small(), msg=self.word(), timestamp=self.time())),
            ("COMMON_NOTICE_DANMAKU", o(content_segments=[o(type=1, text=self.word()) for _ in range(self.small(3))], terminals=[1, "2", 3])),
            ("DM_INTERACTION", o(id=self.small(9), status=4, type=self.pick(101, 102, 105), data=self.pick(inner, Inner(inner))))))

    def silent(self):
        return self.message(self.pick("STOP_LIVE_ROOM_LIST", "NOTICE_MSG", "PK_INFO", "WIDGET_NEW", "SYS_MSG", "NOT_KNOWN", "", "LIVE_OPEN_PLATFORM_DM"), o(a=1))


FAMILIES = ("chat", "gift", "gift_v2", "combo", "guard", "superchat", "amend", "interact", "interact_v2", "visit", "audience", "rank",
            "live", "state", "redpacket", "lottery", "notice", "silent")

# ---- what happens to them ----

ODD = [None, True, False, 0, 1, -1, 3, "", "x", "17", "0", " 7", "+7", "007", [], Obj(), [1], Obj([["a", 1]]), 1.5, -0.5,
       Token("15e-1"), Token("1.5e1"), Token("1E2"), 2**53 + 1, 2**63 - 1, -2**63, 2**63, str(2**63 - 1), str(2**63), 1790000001, "1790000002",
       "中\u0000文", "\ud800", "\ud83d\ude00", "长" * 2000, "<%a%> b", "gold", "silver", "{}", "[]", "null", "{\"a\":1}", Token("-0"), Token("0.0")]
ODD_PB = [0, 1, -1, 2**63 - 1, 1790000001, b"", "x", "gold", b"\xff\xfe", b"a\x00b", [], [[1, 5]], [[1, "x"]], pb.Fixed32(7), pb.Fixed64(7)]


def places(v, out):
    """Every list that a change can be made to, with how to make it."""
    if isinstance(v, Pb):
        pb_places(v.fields, out)
    elif isinstance(v, Inner):
        places(v.value, out)
    elif isinstance(v, list):
        if v:
            out.append(("object" if isinstance(v, Obj) else "array", v))
        for x in v:
            places(x[1] if isinstance(v, Obj) else x, out)
    return out


def pb_places(fields, out):
    if fields:
        out.append(("pb", fields))
    for _, value in fields:
        if isinstance(value, list):
            pb_places(value, out)


def copy(v):
    """Parts may be shared between messages and within one."""
    if isinstance(v, Pb):
        return Pb(copy(v.fields))
    if isinstance(v, Inner):
        return Inner(copy(v.value))
    if isinstance(v, list):
        return type(v)(copy(x) for x in v)
    return v


def change(rng, how, place):
    i = rng.randrange(len(place))
    action = rng.randrange(5)
    if how == "object":
        if place[i][0] == "cmd":
            rng.shuffle(place)
        elif action == 0:
            del place[i]
        elif action == 1:
            place[i] = [place[i][0], copy(rng.choice(ODD))]
        elif action == 2:
            rng.shuffle(place)
        elif action == 3:
            place.insert(rng.randrange(len(place) + 1), [place[i][0], copy(rng.choice(ODD + [place[i][1]]))])
        else:
            place.append(["not_known", copy(rng.choice(ODD))])
    elif how == "array":
        if action == 0:
            del place[i:]
        elif action == 1:
            del place[i]
        elif action == 2:
            place.append(copy(rng.choice(ODD)))
        else:
            place[i] = copy(rng.choice(ODD))
    elif action == 0:
        del place[i]
    elif action == 1:
        place[i] = [place[i][0], copy(rng.choice(ODD_PB))]
    elif action == 2:
        rng.shuffle(place)
    elif action == 3:
        place.insert(rng.randrange(len(place) + 1), copy(place[i]) if rng.random() < 0.5 else [place[i][0], copy(rng.choice(ODD_PB))])
    else:
        place.append([rng.choice([50, 99, 536870911]), copy(rng.choice(ODD_PB))])


def messages(rng, family, n):
    """n lines of JSON."""
    maker = Maker(rng)
    for _ in range(n):
        message = copy(getattr(maker, family)())
        if rng.random() < 0.75:
            for _ in range(rng.choice((1, 1, 2, 3, 6))):
                where = places(message, [])
                if where:
                    change(rng, *rng.choice(where))
        yield dumps(message)
