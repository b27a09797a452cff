#include "tests/sim/sim_gen_priv.h"

#include <stdio.h>

#include "server/core/attr.h"

/* The modern shape: 18 elements in info[0], 16 to 18 in info. */
static const char DANMU[] =
    "{'cmd':'$C','dm_v2':'','info':[[0,$M,25,$c,$S,$D,0,'$H',0,0,$B,'$b',$y,$E,'{}',"
    "{'extra':'{`send_from_me`:false,`master_player_hidden`:false,`mode`:0,`color`:$c,"
    "`dm_type`:$y,`font_size`:25,`player_mode`:$M,`show_player_type`:0,`content`:`%T`,"
    "`user_hash`:`$h`,`emoticon_unique`:`%e`,`bulge_display`:$y,`recommend_score`:$R,`dm_score`:0,"
    "`chronos_force_display`:0,`main_state_dm_color`:``,`objective_state_dm_color`:``,"
    "`direction`:0,`pk_direction`:0,`quartet_direction`:0,`anniversary_crowd`:0,"
    "`yeah_space_type`:``,`yeah_space_url`:``,`jump_to_url`:``,`space_type`:``,`space_url`:``,"
    "`animation`:{},`emots`:$x,`is_audited`:false,`id_str`:`$i`,`icon`:null,`show_reply`:true,"
    "`reply_mid`:$p,`reply_uname`:`%P`,`reply_uname_color`:`$Q`,`reply_is_mystery`:false,"
    "`reply_type_enum`:$t,`hit_combo`:0,`esports_jump_url`:``,`is_mirror`:false,"
    "`is_collaboration_member`:false,`card`:{`card_type`:0,`oid_str`:``,`oid_str_1`:``,"
    "`origin_oid_str`:``,`share_id`:``,`share_origin`:``,`from`:``,`card_content`:null},"
    "`voice`:null,`background_type`:0}','mode':0,'show_player_type':0,'user':{'base':{'face':'$F',"
    "'is_mystery':false,'name':'$N','name_color':0,'name_color_str':'','official_info':{'desc':'',"
    "'role':0,'title':'','type':-1},'origin_info':{'face':'$F','name':'$N'},"
    "'risk_ctrl_info':null},'guard':null,'guard_leader':{'is_guard_leader':false},'medal':$m,"
    "'title':{'old_title_css_id':'','title_css_id':''},'uhead_frame':null,'uid':$U,"
    "'wealth':null}},{'activity_identity':'','activity_source':0,'not_show':0},$v],'$T',[$U,'$N',"
    "$A,0,0,10000,1,'$n'],$L,[$l,0,$k,$5,$r],['',''],0,$G,null,{'ct':'$Y','ts':$s},0,0,null,"
    "null,0,$q$Z]}";
static const char MEDAL[] = "[$d,'$f','$g',$j,$o,'',0,$O,$W,$X,$K,$I,$a]";
static const char STICKER[] =
    "{'bulge_display':1,'emoticon_unique':'$e','height':$0,'in_player_area':1,'is_dynamic':$1,"
    "'url':'https://i0.hdslb.com/bfs/live/78c8b16e61a0bac834d0639ee2874e8905a36f2f.png',"
    "'width':$0}";
static const char EMOTS[] =
    "{`$2`:{`count`:$3,`descript`:`$2`,`emoji`:`$2`,`emoticon_id`:$4,`emoticon_unique`:`emoji_$4`,"
    "`height`:20,"
    "`url`:`http://i0.hdslb.com/bfs/live/4428c84e694fbf4e0ef6c06e958d9352c3582740.png`,"
    "`width`:20}}";

const char *sim_tpl_danmaku(enum sim_tpl_id id)
{
    return id == SIM_T_DANMU           ? DANMU
           : id == SIM_T_DANMU_MEDAL   ? MEDAL
           : id == SIM_T_DANMU_STICKER ? STICKER
           : id == SIM_T_DANMU_EMOTS   ? EMOTS
           : id == SIM_T_DANMU_TAIL18  ? ",[$w],null"
           : id == SIM_T_DANMU_TAIL17  ? ",[$w]"
           : id == SIM_T_DANMU_TAIL16  ? ""
                                       : NULL;
}

/* 26 hex digits, the unix time in hex up to 150 s off, up to two digits more: 34 to 36 characters. The first 16 are a
 * bijection of (room, number) for one seed, so no two are equal. */
static void set_id_str(struct sim_gen *g, struct sim_msg *m)
{
    const struct sim_world *w = g->world;
    uint64_t first = sim_mix(w->seed, (uint64_t)g->index << 40 | g->n_danmaku);
    uint64_t second = sim_mix((uint64_t)w->born_s, first);
    int64_t at = m->sent_ms / 1000 + rng_between(&g->rng, -150, 150);
    unsigned tail = (unsigned)rng_below(&g->rng, 100);
    unsigned form = (unsigned)rng_below(&g->rng, 10);

    if (form == 0) {
        sim_msg_set_key(m, "%016llx%010llx%08x", (unsigned long long)first,
                        (unsigned long long)(second >> 24), (unsigned)at);
    } else {
        sim_msg_set_key(m, "%016llx%010llx%08x%u", (unsigned long long)first,
                        (unsigned long long)(second >> 24), (unsigned)at,
                        form == 1 ? tail % 10 : tail);
    }
}

static void find_emot(struct sim_msg *m)
{
    size_t n;
    const struct sim_emot *emots = sim_words_emots(&n);

    m->u.danmaku.n_emot = 0;
    for (size_t i = 0; i < n && m->u.danmaku.n_emot == 0; i++) {
        struct str name = str_of(emots[i].name);
        struct str rest = sim_msg_text(m);

        while (rest.len >= name.len) {
            bool hit = str_starts(rest, name);

            m->u.danmaku.n_emot += hit;
            rest = str_sub(rest, hit ? name.len : 1, rest.len);
        }
        m->u.danmaku.emot = (int)i;
    }
}

static void draw_look(struct sim_gen *g, struct sim_msg *m)
{
    static const int32_t colors[] = {5566168, 65532, 9920249, 16772431, 14893055, 4546550};
    struct sim_msg_danmaku *d = &m->u.danmaku;
    bool guard = m->user.guard > 0;
    uint64_t r = rng_below(&g->rng, 100);

    d->mode = r < 3 || (guard && r < 20) ? 4 : r == 3 ? 5 : 1;
    d->color = r > 72 ? colors[rng_below(&g->rng, ARRAY_LEN(colors))] : guard ? 14893055 : 16777215;
    d->dmid = r % 2 ? m->sent_ms / 1000 - (int64_t)rng_below(&g->rng, 7200)
                    : rng_between(&g->rng, INT32_MIN, INT32_MAX);
    d->suffix = rng_below(&g->rng, 100) == 0;
    r = rng_below(&g->rng, 100);
    d->n_info = r < 3 ? 16 : r < 10 ? 17 : 18;
}

static void draw_reply(struct sim_gen *g, struct sim_msg *m)
{
    struct sim_user other;

    m->u.danmaku.reply_uid = 0;
    m->u.danmaku.reply_len = 0;
    if (rng_below(&g->rng, 25) == 0) {
        sim_user_make(&other, g->world->seed, rng_below(&g->rng, 100000), &g->anchor);
        m->u.danmaku.reply_uid = other.uid;
        m->u.danmaku.reply_len = other.name_len;
        memcpy(m->u.danmaku.reply_name, other.name, other.name_len);
    }
}

void sim_draw_danmaku(struct sim_gen *g, struct sim_msg *m)
{
    size_t n_stickers;
    const struct sim_sticker *stickers = sim_words_stickers(&n_stickers);

    sim_msg_begin(g, m, SIM_F_DANMAKU, true);
    m->sent_ms -= (int64_t)rng_below(&g->rng, 300);
    g->n_danmaku++;
    set_id_str(g, m);
    draw_look(g, m);
    draw_reply(g, m);
    if (rng_below(&g->rng, 100) < 6) {
        m->u.danmaku.sticker = (int)rng_below(&g->rng, n_stickers);
        m->u.danmaku.n_emot = 0;
        sim_msg_set_text(m, str_of(stickers[m->u.danmaku.sticker].text));
        return;
    }
    m->u.danmaku.sticker = -1;
    sim_msg_words(g, m, sim_words_chat);
    find_emot(m);
}

static void fill_sticker(struct sj_vals *v, const struct sim_gen *g, const struct sim_msg *m,
                         char unique[static 64])
{
    size_t n;
    const struct sim_sticker *s = &sim_words_stickers(&n)[m->u.danmaku.sticker];

    if (str_starts(str_of(s->unique), STR("room_"))) {
        (void)snprintf(unique, 64, "room_%lld_%s", (long long)g->anchor.room_id, s->unique + 5);
    } else {
        (void)snprintf(unique, 64, "%s", s->unique);
    }
    sj_text(v, 'e', str_of(unique));
    sj_int(v, 'y', 1);
    sj_int(v, '0', s->size);
    sj_int(v, '1', s->dynamic);
    sj_sub(v, 'E', sim_tpl(g, SIM_T_DANMU_STICKER));
}

static void fill_text(struct sj_vals *v, const struct sim_gen *g, const struct sim_msg *m,
                      char unique[static 64])
{
    size_t n;

    sj_text(v, 'T', sim_msg_text(m));
    sj_raw(v, 'x', STR("null"));
    if (m->u.danmaku.sticker >= 0) {
        fill_sticker(v, g, m, unique);
        return;
    }
    sj_raw(v, 'e', STR(""));
    sj_int(v, 'y', 0);
    sj_raw(v, 'E', STR("\"{}\""));
    if (m->u.danmaku.n_emot > 0) {
        const struct sim_emot *emot = &sim_words_emots(&n)[m->u.danmaku.emot];

        sj_raw(v, '2', str_of(emot->name));
        sj_int(v, '3', m->u.danmaku.n_emot);
        sj_int(v, '4', emot->id);
        sj_sub(v, 'x', sim_tpl(g, SIM_T_DANMU_EMOTS));
    }
}

static void fill_sender(struct sj_vals *v, const struct sim_gen *g, const struct sim_user *u,
                        struct sim_face *face)
{
    sim_fill_user(v, u, face);
    sim_fill_medal(v, u);
    if (u->medal_level > 0) {
        sj_sub(v, 'm', sim_tpl(g, SIM_T_UINFO_MEDAL));
        sj_sub(v, 'L', sim_tpl(g, SIM_T_DANMU_MEDAL));
    } else {
        sj_raw(v, 'm', STR("null"));
        sj_raw(v, 'L', STR("[]"));
    }
    sj_hex(v, 'H', u->crc);
    sj_int(v, 'h', u->crc);
    sj_int(v, 'A', u->admin);
    sj_int(v, 'G', u->guard);
    sj_raw(v, 'n', u->guard == 3 ? STR("#00D1F1") : u->guard ? STR("#E17AFF") : STR(""));
    sj_int(v, 'B', u->guard ? 5 : 0);
    sj_raw(v, 'b', u->guard ? STR("#1453BAFF,#4C2263A2,#3353BAFF") : STR(""));
    sj_int(v, 'v', u->guard ? 43 : 0);
    sj_int(v, 'l', u->level);
    sj_int(v, 'k', u->level < 20 ? 9868950 : 5805790);
    sj_int(v, 'w', u->wealth);
    sj_raw(v, '5', STR("\">50000\""));
    if (u->level > 35) {
        sj_int(v, '5', (int64_t)(u->hash % 50000)); /* a rank that is worth telling */
    }
}

void sim_render_danmaku(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                        struct buf *out)
{
    const struct sim_msg_danmaku *d = &m->u.danmaku;
    struct sim_face face;
    struct sj_vals v;
    char unique[64];

    sj_clear(&v);
    fill_sender(&v, g, u, &face);
    fill_text(&v, g, m, unique);
    sj_raw(&v, 'C', d->suffix ? STR("DANMU_MSG:4:0:2:2:2:0") : STR("DANMU_MSG"));
    sj_int(&v, 'M', d->mode);
    sj_int(&v, 'c', d->color);
    sj_int(&v, 'S', m->sent_ms);
    sj_int(&v, 's', m->sent_ms / 1000);
    sj_int(&v, 'D', d->dmid);
    sj_raw(&v, 'i', sim_msg_key(m));
    sj_int(&v, 'p', d->reply_uid);
    sj_text(&v, 'P', (struct str){d->reply_name, d->reply_len});
    sj_raw(&v, 'Q', d->reply_uid ? STR("#FB7299") : STR(""));
    sj_int(&v, 't', d->reply_uid ? 1 : 0);
    sj_int(&v, 'R', (int64_t)(m->salt % 9));
    sj_int(&v, 'r', (int64_t)(m->salt >> 8) % 40 == 0 ? 2 : 0);
    sj_int(&v, 'q', (int64_t)(m->salt >> 16 & 1023));
    sj_hex_upper(&v, 'Y', (uint32_t)(m->salt >> 32));
    sj_sub(&v, 'Z',
           sim_tpl(g, d->n_info == 18   ? SIM_T_DANMU_TAIL18
                      : d->n_info == 17 ? SIM_T_DANMU_TAIL17
                                        : SIM_T_DANMU_TAIL16));
    sj_render(sim_tpl(g, SIM_T_DANMU), &v, out);
}
