#include "tests/sim/sim_gen_priv.h"

#include <stdio.h>

static const char LIVE[] =
    "{'cmd':'LIVE','live_key':'$k','voice_background':'','sub_session_key':'$ksub_time:$t',"
    "'live_platform':'pc_link','live_model':0,'roomid':$r,'live_time':$t,'special_types':[]}";
static const char LIVE_SECOND[] =
    "{'cmd':'LIVE','live_key':'$k','voice_background':'','sub_session_key':'$ksub_time:$t',"
    "'live_platform':'pc_link','live_model':0,'roomid':$r,'special_types':[]}";
static const char PREPARING[] =
    "{'cmd':'PREPARING','msg_id':'$i','p_is_ack':true,'p_msg_type':1,'roomid':'$r'$o,"
    "'send_time':$S}";
static const char WATCHED[] =
    "{'cmd':'WATCHED_CHANGE','data':{'num':$n,'text_small':'$s','text_large':'$s人看过'}}";
static const char RANK[] =
    "{'cmd':'ONLINE_RANK_COUNT','data':{'count':$n,'count_text':'$s','online_count':$n,"
    "'online_count_text':'$s'}}";
static const char LIKES[] = "{'cmd':'LIKE_INFO_V3_UPDATE','data':{'click_count':$n}}";
static const char FANS[] =
    "{'cmd':'ROOM_REAL_TIME_MESSAGE_UPDATE','data':{'roomid':$r,'fans':$n,'red_notice':-1,"
    "'fans_club':$m}}";

const char *sim_tpl_room(enum sim_tpl_id id)
{
    return id == SIM_T_LIVE          ? LIVE
           : id == SIM_T_LIVE_SECOND ? LIVE_SECOND
           : id == SIM_T_PREPARING   ? PREPARING
           : id == SIM_T_WATCHED     ? WATCHED
           : id == SIM_T_RANK        ? RANK
           : id == SIM_T_LIKES       ? LIKES
           : id == SIM_T_FANS        ? FANS
                                     : NULL;
}

void sim_gen_set_live_key(struct sim_gen *g)
{
    (void)snprintf(g->live_key, sizeof(g->live_key), "%lld",
                   (long long)(INT64_C(500000000000000000) +
                               g->world->born_s % 10000000 * INT64_C(10000000000) +
                               (int64_t)g->index * 100000 + g->n_lives));
}

/* Sent twice at the start: once with live_time, once without. */
void sim_draw_live(struct sim_gen *g, struct sim_msg *m)
{
    struct sim_msg second;

    sim_msg_begin(g, m, SIM_F_LIVE, false);
    g->live = true;
    g->round = false;
    g->n_lives++;
    g->live_time = m->sent_ms / 1000;
    g->watched = rng_between(&g->rng, 1, 50);
    g->likes = 0;
    sim_gen_set_live_key(g);
    m->u.room.second = false;
    m->u.room.live_time = g->live_time;
    memcpy(m->u.room.live_key, g->live_key, sizeof(g->live_key));
    m->sent_ms -= m->sent_ms % 1000;
    sim_msg_set_key(m, "%s", g->live_key);
    second = *m;
    second.dup = true;
    second.u.room.second = true;
    sim_gen_later(g, &second, (unsigned)rng_below(&g->rng, 3));
}

void sim_draw_preparing(struct sim_gen *g, struct sim_msg *m)
{
    sim_msg_begin(g, m, SIM_F_PREPARING, false);
    g->live = false;
    g->round = m->salt % 4 == 0;
    g->n_lives++;
    memcpy(m->u.room.live_key, g->live_key, sizeof(g->live_key));
    sim_msg_set_key(m, "%lld:1000:1000",
                    (long long)(INT64_C(90000000000000000) +
                                g->world->born_s % 10000000 * INT64_C(1000000000) +
                                (int64_t)g->index * 40000 + g->n_lives % 40000));
}

void sim_render_live(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                     struct buf *out)
{
    struct sj_vals v;

    (void)u;
    sj_clear(&v);
    sj_raw(&v, 'k', str_of(m->u.room.live_key));
    sj_int(&v, 't', m->u.room.live_time);
    sj_int(&v, 'r', g->anchor.room_id);
    sj_render(sim_tpl(g, m->u.room.second ? SIM_T_LIVE_SECOND : SIM_T_LIVE), &v, out);
}

void sim_render_preparing(const struct sim_gen *g, const struct sim_msg *m,
                          const struct sim_user *u, struct buf *out)
{
    struct sj_vals v;

    (void)u;
    sj_clear(&v);
    sj_raw(&v, 'i', sim_msg_key(m));
    sj_int(&v, 'r', g->anchor.room_id);
    sj_raw(&v, 'o', m->salt % 4 == 0 ? STR(",\"round\":1") : STR(""));
    sj_int(&v, 'S', m->sent_ms);
    sj_render(sim_tpl(g, SIM_T_PREPARING), &v, out);
}

void sim_draw_count(struct sim_gen *g, struct sim_msg *m)
{
    enum sim_family_id family = m->family;

    sim_msg_begin(g, m, family, false);
    if (family == SIM_F_WATCHED) {
        g->watched += (int64_t)rng_below(&g->rng, 30);
        m->u.count.n = g->watched;
    } else if (family == SIM_F_LIKES) {
        g->likes += (int64_t)rng_below(&g->rng, 60);
        m->u.count.n = g->likes;
    } else if (family == SIM_F_RANK) {
        g->online += rng_between(&g->rng, -g->online / 20 - 1, g->online / 20 + 2);
        g->online = g->online < 1 ? 1 : g->online;
        m->u.count.n = g->online;
    } else {
        g->fans += rng_between(&g->rng, -2, 5);
        m->u.count.n = g->fans;
        m->u.count.m = g->fans / 40;
    }
}

/* 17903 is shown as 1.7万, cut, not rounded. */
static struct str short_number(int64_t n, char out[static 32])
{
    int len = n < 10000 ? snprintf(out, 32, "%lld", (long long)n)
                        : snprintf(out, 32, "%lld.%lld万", (long long)(n / 10000),
                                   (long long)(n / 1000 % 10));

    return (struct str){out, (size_t)len};
}

static void render_count(const struct sim_gen *g, const struct sim_msg *m, enum sim_tpl_id tpl,
                         struct buf *out)
{
    struct sj_vals v;
    char text[32];

    sj_clear(&v);
    sj_int(&v, 'n', m->u.count.n);
    sj_int(&v, 'm', m->u.count.m);
    sj_int(&v, 'r', g->anchor.room_id);
    sj_raw(&v, 's', short_number(m->u.count.n, text));
    sj_render(sim_tpl(g, tpl), &v, out);
}

void sim_render_watched(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                        struct buf *out)
{
    (void)u;
    render_count(g, m, SIM_T_WATCHED, out);
}

void sim_render_rank(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                     struct buf *out)
{
    (void)u;
    render_count(g, m, SIM_T_RANK, out);
}

void sim_render_likes(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                      struct buf *out)
{
    (void)u;
    render_count(g, m, SIM_T_LIKES, out);
}

void sim_render_fans(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                     struct buf *out)
{
    (void)u;
    render_count(g, m, SIM_T_FANS, out);
}
