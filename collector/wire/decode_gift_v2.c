/* SEND_GIFT_V2: several gifts of one sender in protobuf, an event each. A gift has the same key in both forms. */
#include "collector/wire/decode_gift_priv.h"
#include "collector/wire/decode_pb_priv.h"
#include "collector/wire/gift_v2.pb-c.h"

/* What all gifts of the message share. */
static void read_sender(struct decoder *d, const Pb__Gifts *p, struct gift *g)
{
    g->uid = p->uid;
    g->uname = pb_str(d, p->name, EVENT_UNAME_MAX);
    g->guard_level = p->guard_level;
    g->wealth_level = p->wealth ? p->wealth->level : 0;
    if (p->medal) {
        g->medal = (struct medal){
            .name = pb_str(d, p->medal->name, EVENT_MEDAL_MAX),
            .level = p->medal->level,
            .anchor_uid = p->medal->anchor_uid,
            .room_id = p->medal->room_id,
        };
    }
    if (p->blind) {
        g->blind = (struct gift_blind){
            .id = p->blind->gift_id,
            .name = pb_str(d, p->blind->gift_name, GIFT_NAME_MAX),
            .price = p->blind->price,
        };
    }
    pb_uinfo(d, p->uinfo, &g->uinfo);
}

static void read_to(struct decoder *d, const Pb__GiftItem *item, struct gift_to *ret)
{
    if (item->to && item->to->uid != 0) {
        ret->uid = item->to->uid;
        ret->name = pb_str(d, item->to->name, EVENT_UNAME_MAX);
    } else if (item->to_uinfo) {
        struct uinfo u;
        pb_uinfo(d, item->to_uinfo, &u);
        ret->uid = u.uid;
        ret->name = u.base.name;
    }
}

static void read_item(struct decoder *d, const Pb__GiftItem *item, struct gift *g)
{
    g->id = item->gift_id;
    g->name = pb_str(d, item->gift_name, GIFT_NAME_MAX);
    g->num = item->num;
    g->price = item->price;
    g->discount_price = item->discount_price;
    g->total_coin = item->total_coin;
    g->coin_type = pb_str(d, item->coin_type, GIFT_WORD_MAX);
    g->action = pb_str(d, item->action, GIFT_WORD_MAX);
    g->timestamp = item->timestamp;
    g->tid = pb_str(d, item->tid, GIFT_ID_MAX);
    g->combo_id = pb_str(d, item->combo_id, GIFT_ID_MAX);
    g->combo_num = item->combo_num;
    g->bag = item->bag ? STR("{}") : STR_NULL;
    read_to(d, item, &g->to);
}

enum decode_status decode_gift_v2(struct decoder *d, struct json *j)
{
    enum decode_status status;
    struct gift shared = {0};
    const struct pb_message m = pb_open(d, j, &status);
    if (status != DECODE_OK) {
        return status;
    }
    ProtobufCAllocator memory = m.memory;
    const Pb__Gifts *p = pb__gifts__unpack(&memory, m.len, m.bytes);
    if (!p) {
        return decode_broken(d, "not this protobuf");
    }
    read_sender(d, p, &shared);
    for (size_t i = 0; i < p->n_items; i++) {
        struct gift g = shared;
        if (p->items[i]->gift_id == 0 && p->items[i]->gift_name.len == 0) {
            d->n_left_out++;
            continue;
        }
        read_item(d, p->items[i], &g);
        (void)gift_draft(d, &g);
    }
    return d->n > 0 ? DECODE_OK : decode_broken(d, "no gift with an id or a name");
}
