/* The commands whose data is a protocol buffer in base64. */
#include "tests/sim/sim_gen_priv.h"

#include <stdio.h>

#include "tests/sim/sim_pb.h"

enum { PB_MAX = 8192 };

static void put_message(const char *cmd, int64_t dmscore, const struct buf *pb, struct buf *out)
{
    buf_printf(out, "{\"cmd\":\"%s\",\"data\":{\"dmscore\":%lld,\"pb\":\"", cmd,
               (long long)dmscore);
    sim_pb_base64(out, buf_str(pb));
    buf_put(out, STR("\"}}"));
}

static void put_base(struct buf *to, struct str name, uint64_t face_of)
{
    struct sim_face face;
    struct buf base;
    struct buf sub;

    sim_fill_face(face_of, &face);
    buf_init(&base, PB_MAX);
    buf_init(&sub, PB_MAX);
    sim_pb_str(&base, 1, name);
    sim_pb_str(&base, 2, str_of(face.url));
    sim_pb_str(&sub, 1, name);
    sim_pb_str(&sub, 2, str_of(face.url));
    sim_pb_msg(&base, 6, &sub);
    buf_clear(&sub);
    sim_pb_always(&sub, 4, -1);
    sim_pb_msg(&base, 7, &sub);
    sim_pb_msg(to, 2, &base);
    buf_deinit(&sub);
    buf_deinit(&base);
}

/* The sender, in field `field` of to. */
static void put_uinfo(struct buf *to, unsigned field, const struct sim_user *u)
{
    struct buf uinfo;
    struct buf sub;

    buf_init(&uinfo, PB_MAX);
    buf_init(&sub, PB_MAX);
    sim_pb_int(&uinfo, 1, u->uid);
    put_base(&uinfo, sim_user_name(u), u->hash);
    if (u->medal_level > 0) {
        sim_pb_str(&sub, 1, str_of(u->medal));
        sim_pb_int(&sub, 2, u->medal_level);
        sim_pb_int(&sub, 6, 6067854);
        sim_pb_int(&sub, 9, u->hash % 8 > 0);
        sim_pb_int(&sub, 10, u->medal_uid);
        sim_pb_int(&sub, 11, u->medal_here ? u->guard : 0);
        sim_pb_msg(&uinfo, 3, &sub);
        buf_clear(&sub);
    }
    sim_pb_int(&sub, 1, u->wealth);
    sim_pb_msg(&uinfo, 4, &sub);
    buf_clear(&sub);
    sim_pb_int(&sub, 1, u->guard);
    sim_pb_msg(&uinfo, 6, &sub);
    sim_pb_msg(to, field, &uinfo);
    buf_deinit(&sub);
    buf_deinit(&uinfo);
}

/* --- SEND_GIFT_V2 --- */

/* The old form of a medal. */
static void put_gift_medal(struct buf *to, const struct sim_user *u)
{
    struct buf b;

    buf_init(&b, PB_MAX);
    if (u->medal_level > 0) {
        sim_pb_int(&b, 1, u->medal_uid);
        sim_pb_int(&b, 5, u->medal_level);
        sim_pb_str(&b, 6, str_of(u->medal));
        sim_pb_int(&b, 7, 6067854);
        sim_pb_int(&b, 11, u->hash % 8 > 0);
        sim_pb_int(&b, 12, u->medal_here ? u->guard : 0);
    }
    sim_pb_msg(to, 8, &b);
    buf_deinit(&b);
}

static void put_blind(struct buf *to, const struct sim_gift *gift)
{
    struct buf b;

    if (!gift->box) {
        return;
    }
    buf_init(&b, PB_MAX);
    sim_pb_int(&b, 1, 144);
    sim_pb_int(&b, 2, gift->box_id);
    sim_pb_str(&b, 3, str_of(gift->box_name));
    sim_pb_str(&b, 5, STR("爆出"));
    sim_pb_int(&b, 6, gift->box);
    sim_pb_int(&b, 7, gift->price);
    sim_pb_msg(to, 9, &b);
    buf_deinit(&b);
}

struct item {
    const struct sim_gift *gift;
    int64_t num;
    int64_t value;
    struct str tid;
    struct str combo;
    int64_t combo_num;
    int64_t combo_coin;
};

static void put_item(struct buf *to, const struct sim_gen *g, const struct sim_msg *m,
                     const struct item *it)
{
    struct buf b;
    struct buf sub;

    buf_init(&b, PB_MAX);
    buf_init(&sub, PB_MAX);
    sim_pb_int(&b, 1, it->gift->id);
    sim_pb_str(&b, 2, str_of(it->gift->name));
    sim_pb_int(&b, 3, it->num);
    sim_pb_int(&b, 4, it->gift->price < 1000 ? 1 : 2);
    sim_pb_int(&b, 5, it->gift->price);
    sim_pb_int(&b, 6, it->gift->silver ? 0 : it->gift->price);
    sim_pb_int(&b, 7, it->gift->silver ? it->num * it->gift->price : it->value);
    sim_pb_str(&b, 8, it->gift->silver ? STR("silver") : STR("gold"));
    sim_pb_str(&b, 9, it->tid);
    sim_pb_int(&b, 10, m->sent_ms / 1000);
    sim_pb_int(&b, 11, it->combo_num);
    sim_pb_str(&b, 12, it->combo);
    sim_pb_int(&b, 13, 1);
    sim_pb_int(&b, 14, it->combo_coin);
    sim_pb_int(&b, 15, 5);
    sim_pb_float(&b, 16, 1);
    sim_pb_str(&b, 18, STR("投喂"));
    sim_pb_str(&sub, 1, (struct str){g->anchor.name, g->anchor.name_len});
    sim_pb_int(&sub, 2, g->anchor.uid);
    sim_pb_msg(&b, 29, &sub);
    if (it->gift->id == 31738) {
        sim_pb_str(&b, 32, STR("\xb1\x09")); /* 1201, packed */
    }
    sim_pb_msg(to, 10, &b);
    buf_deinit(&sub);
    buf_deinit(&b);
}

static void put_items(struct buf *to, const struct sim_gen *g, const struct sim_msg *m,
                      const struct sim_user *u)
{
    const struct sim_msg_gift *gift = &m->u.gift;
    char batch[SIM_COMBO_ID_MAX];
    char tid[24];
    struct item it = {.gift = gift->gift,
                      .num = m->num,
                      .value = m->value,
                      .tid = sim_msg_key(m),
                      .combo_num = gift->id_tail[0] ? gift->combo_num : 0,
                      .combo_coin = gift->combo_coin};

    sim_gift_combo_id(g, m, u, "batch:gift:combo_id", batch);
    it.combo = str_of(batch);
    put_item(to, g, m, &it);
    if (gift->second) {
        (void)snprintf(tid, sizeof(tid), "%lld", (long long)gift->second_tid);
        it = (struct item){.gift = gift->second,
                           .num = gift->second_num,
                           .value = gift->second_value,
                           .tid = str_of(tid),
                           .combo_coin = gift->second_num * gift->second->price};
        put_item(to, g, m, &it);
    }
}

void sim_render_gift2(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                      struct buf *out)
{
    struct sim_face face;
    struct buf b;
    struct buf sub;

    buf_init(&b, PB_MAX);
    buf_init(&sub, PB_MAX);
    sim_fill_face(u->hash, &face);
    sim_pb_int(&b, 1, u->uid);
    sim_pb_str(&b, 2, sim_user_name(u));
    sim_pb_str(&b, 3, str_of(face.url));
    sim_pb_str(&b, 4, u->guard ? STR("#00D1F1") : STR(""));
    sim_pb_int(&b, 5, u->guard);
    put_gift_medal(&b, u);
    put_blind(&b, m->u.gift.gift);
    put_items(&b, g, m, u);
    sim_pb_int(&b, 11, 1);
    sim_pb_int(&sub, 1, u->wealth);
    sim_pb_msg(&b, 13, &sub);
    put_uinfo(&b, 15, u);
    put_message("SEND_GIFT_V2", (int64_t)(m->salt % 900), &b, out);
    buf_deinit(&sub);
    buf_deinit(&b);
}

/* --- INTERACT_WORD_V2 --- */

static void put_visit_medal(struct buf *to, const struct sim_gen *g, const struct sim_user *u)
{
    struct buf b;

    buf_init(&b, PB_MAX);
    if (u->medal_level > 0) {
        sim_pb_int(&b, 1, u->medal_uid);
        sim_pb_int(&b, 2, u->medal_level);
        sim_pb_str(&b, 3, str_of(u->medal));
        sim_pb_int(&b, 4, 6067854);
        sim_pb_int(&b, 8, u->hash % 8 > 0);
        sim_pb_int(&b, 9, u->medal_here ? u->guard : 0);
        sim_pb_int(&b, 12, u->uid ? g->anchor.room_id : 0);
        sim_pb_int(&b, 13, (int64_t)u->medal_level * u->medal_level * 137);
    }
    sim_pb_msg(to, 9, &b);
    buf_deinit(&b);
}

void sim_render_interact2(const struct sim_gen *g, const struct sim_msg *m,
                          const struct sim_user *u, struct buf *out)
{
    struct buf b;

    buf_init(&b, PB_MAX);
    sim_pb_int(&b, 1, u->uid);
    sim_pb_str(&b, 2, sim_user_name(u));
    sim_pb_str(&b, 4, u->medal_here ? STR("\x03\x01") : STR("\x01"));
    sim_pb_int(&b, 5, m->u.count.n);
    sim_pb_int(&b, 6, g->anchor.room_id);
    sim_pb_int(&b, 7, m->now_ms / 1000);
    sim_pb_int(&b, 8, m->now_ms + (int64_t)u->medal_level * 100000);
    put_visit_medal(&b, g, u);
    sim_pb_int(&b, 15, m->now_ms * 1000000 + (int64_t)(m->salt >> 10) % 1000000);
    sim_pb_int(&b, 16, u->guard);
    put_uinfo(&b, 22, u);
    put_message("INTERACT_WORD_V2", (int64_t)(m->salt % 100), &b, out);
    buf_deinit(&b);
}
