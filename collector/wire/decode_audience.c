/* Figures of a room: one event per figure, {"figure":"watched","value":17903}. */
#include "collector/wire/decode_util_priv.h"

struct counters {
    struct decode_opt num;
    struct decode_opt count;
    struct decode_opt online_count;
    struct decode_opt click_count;
    struct decode_opt fans;
    struct decode_opt fans_club;
    struct decode_opt popularity;
    struct decode_opt rank;
    struct str rank_name;
    struct str rank_name_by_type;
    struct str area_name;
    int64_t timestamp;
};

static const struct decode_field counters_fields[] = {
    DECODE_KEY("num", OPT, struct counters, num),
    DECODE_KEY("count", OPT, struct counters, count),
    DECODE_KEY("online_count", OPT, struct counters, online_count),
    DECODE_KEY("click_count", OPT, struct counters, click_count),
    DECODE_KEY("fans", OPT, struct counters, fans),
    DECODE_KEY("fans_club", OPT, struct counters, fans_club),
    DECODE_KEY("popularity", OPT, struct counters, popularity),
    DECODE_KEY("rank", OPT, struct counters, rank),
    DECODE_KEY_STR("rank_name", struct counters, rank_name, DECODE_NAME_MAX),
    DECODE_KEY_STR("rank_name_by_type", struct counters, rank_name_by_type, DECODE_NAME_MAX),
    DECODE_KEY_STR("area_name", struct counters, area_name, DECODE_NAME_MAX),
    DECODE_KEY("timestamp", I64, struct counters, timestamp),
};
static const struct decode_shape counters_shape =
    DECODE_OBJECT_SHAPE(counters_fields, struct counters);

/* The first columns of the audience series are called as these. */
struct figure {
    struct str cmd;
    size_t at; /* of the number in struct counters */
    const char *name;
};
#define FIGURE(cmd_, member, name_)                                                                \
    {                                                                                              \
        .cmd = {cmd_, sizeof(cmd_) - 1}, .at = offsetof(struct counters, member), .name = (name_)  \
    }
static const struct figure figures[] = {
    FIGURE("WATCHED_CHANGE", num, "watched"),
    FIGURE("ONLINE_RANK_COUNT", count, "rank_users"),
    FIGURE("ONLINE_RANK_COUNT", online_count, "online"),
    FIGURE("LIKE_INFO_V3_UPDATE", click_count, "likes"),
    FIGURE("ROOM_REAL_TIME_MESSAGE_UPDATE", fans, "followers"),
    FIGURE("ROOM_REAL_TIME_MESSAGE_UPDATE", fans_club, "fans_club"),
    FIGURE("POPULARITY_CHANGE", popularity, "popularity"),
    FIGURE("COLLABORATION_LIVE_WATCHED", num, "joint_watched"),
    FIGURE("COLLABORATION_LIVE_POPULARITY", num, "joint_popularity"),
    FIGURE("COLLABORATION_LIVE_ONLINE", num, "joint_online"),
    FIGURE("POPULAR_RANK_CHANGED", rank, "popular_rank"),
    FIGURE("RANK_CHANGED", rank, "rank"),
    FIGURE("RANK_CHANGED_V2", rank, "rank"),
    FIGURE("AREA_RANK_CHANGED", rank, "area_rank"),
    FIGURE("HOT_RANK_CHANGED", rank, "hot_rank"),
    FIGURE("HOT_RANK_CHANGED_V2", rank, "hot_rank"),
    FIGURE("HOT_RANK_SETTLEMENT", rank, "hot_rank_settled"),
    FIGURE("HOT_RANK_SETTLEMENT_V2", rank, "hot_rank_settled"),
};
#undef FIGURE

static struct str rank_name(const struct counters *c)
{
    if (c->rank_name.len > 0) {
        return c->rank_name;
    }
    return c->rank_name_by_type.len > 0 ? c->rank_name_by_type : c->area_name;
}

static void figure_draft(struct decoder *d, const struct counters *c, const struct figure *f,
                         int64_t send_time)
{
    struct decode_opt n;
    struct extra x;
    memcpy(&n, (const char *)c + f->at, sizeof(n));
    struct event_draft *e = n.is_set ? decode_draft(d, EVENT_AUDIENCE) : NULL;
    if (!e) {
        return;
    }
    const int64_t at_ms = decode_s_to_ms(c->timestamp);
    e->sent_ms = at_ms != 0 ? at_ms : decode_clamp(send_time, INT64_MAX);
    extra_begin(&x, d);
    extra_str(&x, "figure", str_of(f->name));
    extra_number(&x, "value", n.value);
    extra_str(&x, "rank_name", rank_name(c));
    extra_end(&x, e);
}

/* Upstream's name for the number is not sure. */
static void find_popularity(struct counters *c)
{
    if (!c->popularity.is_set) {
        c->popularity = c->num.is_set ? c->num : c->count;
    }
}

/* A figure that stays as it is may be told again: there are no repeats. */
enum decode_status decode_audience(struct decoder *d, struct json *j)
{
    struct counters c;
    struct envelope env;
    if (!decode_data(d, j, &counters_shape, &c, &env)) {
        return decode_broken(d, "not JSON");
    }
    find_popularity(&c);
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        if (str_eq(figures[i].cmd, d->cmd)) {
            figure_draft(d, &c, &figures[i], env.send_time);
        }
    }
    return d->n > 0 ? DECODE_OK : decode_broken(d, "figure without a number");
}
