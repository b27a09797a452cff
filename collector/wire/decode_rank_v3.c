/* ONLINE_RANK_V3: the list of the best paying viewers in protobuf. */
#include "collector/wire/decode_pb_priv.h"
#include "collector/wire/decode_rank_priv.h"
#include "collector/wire/online_rank_v3.pb-c.h"

/* Upstream writes the number as text. */
static int64_t score_of(ProtobufCBinaryData s)
{
    int64_t v = 0;
    (void)str_to_i64((struct str){(const char *)s.data, s.len}, &v);
    return v;
}

enum decode_status decode_rank_v3(struct decoder *d, struct json *j)
{
    enum decode_status status;
    struct rank_list r;
    const struct pb_message m = pb_open(d, j, &status);
    if (status != DECODE_OK) {
        return status;
    }
    ProtobufCAllocator memory = m.memory;
    const Pb__OnlineRank *p = pb__online_rank__unpack(&memory, m.len, m.bytes);
    if (!p) {
        return decode_broken(d, "not this protobuf");
    }
    const bool is_online = p->n_online_list > 0;
    Pb__RankUser *const *list = is_online ? p->online_list : p->list;
    const size_t n = is_online ? p->n_online_list : p->n_list;
    bool has_room = true;
    rank_begin(&r, d, pb_str(d, p->rank_type, DECODE_WORD_MAX), (int64_t)n);
    for (size_t i = 0; i < n && has_room; i++) {
        const size_t used = d->used;
        const struct rank_user u = {
            .uid = list[i]->uid,
            .name = pb_str(d, list[i]->name, EVENT_UNAME_MAX),
            .score = score_of(list[i]->score),
            .rank = list[i]->rank,
            .guard_level = list[i]->guard_level,
        };
        has_room = rank_put(&r, &u);
        d->used = used;
    }
    rank_end(&r);
    if (r.e) {
        r.e->sent_ms = decode_clamp(m.env.send_time, INT64_MAX);
    }
    return DECODE_OK;
}
