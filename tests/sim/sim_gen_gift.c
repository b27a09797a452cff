#include "tests/sim/sim_gen_priv.h"

#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

static const char GIFT[] =
    "{'cmd':'SEND_GIFT','danmu':{'area':0},'data':{'action':'投喂','bag_gift':null,"
    "'batch_combo_id':'$b','batch_combo_send':$B,'beatId':'0','benefits':null,'biz_source':'Live',"
    "'blind_gift':$x,'broadcast_id':0,'coin_type':'$t','combo_resources_id':1,'combo_send':$c,"
    "'combo_stay_time':5,'combo_total_coin':$C,'crit_prob':0,'demarcation':$S,'discount_price':$D,"
    "'dmscore':$R,'draw':0,'effect':0,'effect_block':$E,'effect_config':null,'face':'$F',"
    "'face_effect':{},'face_effect_id':0,'face_effect_type':0,'face_effect_v2':{'id':0,'type':0},"
    "'float_sc_resource_id':0,'giftId':$G,'giftName':'$n','giftType':$Y,"
    "'gift_info':{'effect_id':0,"
    "'gif':'https://i0.hdslb.com/bfs/live/5396725f058789056be3da27c66a570d1500c512.gif',"
    "'has_imaged_gift':0,"
    "'img_basic':'https://s1.hdslb.com/bfs/live/792e1ae4e92cc33fa323970c55464ff6240959f0.png',"
    "'webp':'https://i0.hdslb.com/bfs/live/0aa76c0b4ab72cc93a7e28012088fac1f53baf0d.webp'},"
    "'gift_tag':[$H],'gold':0,'group_medal':null,'guard_level':$l,'is_first':$r,"
    "'is_join_receiver':false,'is_naming':false,'is_special_batch':0,'magnification':1,"
    "'medal_info':$M,'name_color':'$m','num':$u,'original_gift_name':'','price':$p,'rcost':$L,"
    "'receive_user_info':{'uid':$q,'uname':'$Q'},'receiver_uinfo':{'base':{'face':'$y',"
    "'is_mystery':false,'name':'$Q','name_color':0,'name_color_str':'','official_info':{'desc':'',"
    "'role':0,'title':'','type':-1},'origin_info':{'face':'$y','name':'$Q'}},'uid':$q},'remain':0,"
    "'rnd':'$i','send_master':null,'sender_uinfo':{'base':{'face':'$F','is_mystery':false,"
    "'name':'$N','name_color':0,'name_color_str':'$m','official_info':{'desc':'','role':0,"
    "'title':'','type':-1},'origin_info':{'face':'$F','name':'$N'}},'medal':$e,'uid':$U},"
    "'silver':0,'super':0,'super_batch_gift_num':$h,'super_gift_num':$h,'svga_block':0,"
    "'switch':true,'tag_image':'','tid':'$i','timestamp':$s,'top_list':null,'total_coin':$T,"
    "'uid':$U,'uname':'$N','wealth_level':$w}$Z}";
static const char ACK[] = ",'msg_id':'$4:1000:1000','p_is_ack':true,'p_msg_type':1,'send_time':$5";
static const char BLIND[] =
    "{'blind_gift_config_id':144,'from':0,'gift_action':'爆出','gift_tip_price':$p,"
    "'original_gift_id':$0,'original_gift_name':'$1','original_gift_price':$2}";
static const char BATCH_SEND[] =
    "{'action':'投喂','batch_combo_id':'$b','batch_combo_num':1,'blind_gift':$x,'gift_id':$G,"
    "'gift_name':'$n','gift_num':$u,'send_master':null,'uid':$U,'uname':'$N'}";
static const char SEND[] =
    "{'action':'投喂','combo_id':'$k','combo_num':1,'gift_id':$G,'gift_name':'$n','gift_num':$u,"
    "'send_master':null,'uid':$U,'uname':'$N'}";
static const char COMBO[] =
    "{'cmd':'COMBO_SEND','data':{'action':'投喂','batch_combo_id':'$b','batch_combo_num':$h,"
    "'coin_type':'$t','combo_id':'$k','combo_num':$h,'combo_total_coin':$C,'dmscore':$R,"
    "'gift_id':$G,"
    "'gift_info':{'img_basic':'https://s1.hdslb.com/bfs/live/"
    "5126973892625f3a43a8290be6b625b5e54261a5.png',"
    "'webp':'https://i0.hdslb.com/bfs/live/28357ba4cd566418730ca29da2c552efa7e4a390.webp'},"
    "'gift_name':'$n','gift_num':0,'group_medal':null,'is_join_receiver':false,'is_naming':false,"
    "'is_show':1,'medal_info':$M,'name_color':'$m','r_uname':'$Q','receive_user_info':{'uid':$q,"
    "'uname':'$Q'},'receiver_uinfo':{'base':{'face':'$y','is_mystery':false,'name':'$Q',"
    "'name_color':0,'name_color_str':'','official_info':{'desc':'','role':0,'title':'','type':-1},"
    "'origin_info':{'face':'$y','name':'$Q'},'risk_ctrl_info':null},'guard':null,"
    "'guard_leader':null,'medal':null,'title':null,'uhead_frame':null,'uid':$q,'wealth':null},"
    "'ruid':$q,'send_master':null,'sender_uinfo':{'base':{'face':'$F','is_mystery':false,"
    "'name':'$N','name_color':0,'name_color_str':'$m','official_info':{'desc':'','role':0,"
    "'title':'','type':-1},'origin_info':{'face':'$F','name':'$N'},'risk_ctrl_info':null},"
    "'guard':null,'guard_leader':null,'medal':$e,'title':null,'uhead_frame':null,'uid':$U,"
    "'wealth':null},'total_num':$h,'uid':$U,'uname':'$N','wealth_level':$w}}";

const char *sim_tpl_gift(enum sim_tpl_id id)
{
    return id == SIM_T_GIFT              ? GIFT
           : id == SIM_T_GIFT_ACK        ? ACK
           : id == SIM_T_GIFT_BLIND      ? BLIND
           : id == SIM_T_GIFT_BATCH_SEND ? BATCH_SEND
           : id == SIM_T_GIFT_SEND       ? SEND
           : id == SIM_T_GIFT_COMBO      ? COMBO
                                         : NULL;
}

static const struct sim_gift *choose_gift(struct sim_gen *g)
{
    size_t n;
    const struct sim_gift *gifts = sim_words_gifts(&n);
    uint64_t total = 0;
    uint64_t d;
    size_t i = 0;

    for (size_t k = 0; k < n; k++) {
        total += (uint64_t)gifts[k].weight;
    }
    d = rng_below(&g->rng, total);
    while (d >= (uint64_t)gifts[i].weight) {
        d -= (uint64_t)gifts[i++].weight;
    }
    return &gifts[i];
}

/* "4" and 18 digits: start second, room, number in the room. */
static int64_t next_tid(struct sim_gen *g)
{
    g->n_gifts++;
    return INT64_C(4000000000000000000) + g->world->born_s % 10000000 * INT64_C(100000000000) +
           (int64_t)g->index * 1000000 + (int64_t)g->n_gifts;
}

static void begin_combo(struct sim_gen *g, const struct sim_msg *m)
{
    struct sim_combo *c = mem_new(struct sim_combo);
    uint64_t a = rng_u64(&g->rng);
    uint64_t b = rng_u64(&g->rng);

    c->hits_left = (int)rng_between(&g->rng, 1, 8);
    c->gift = m->u.gift.gift;
    c->user = m->user;
    c->uuid = a % 3 == 0;
    if (c->uuid) {
        (void)snprintf(c->id_tail, sizeof(c->id_tail), "%08x-%04x-4%03x-%04x-%012llx", (unsigned)a,
                       (unsigned)(a >> 32 & 0xffff), (unsigned)(a >> 48 & 0xfff),
                       (unsigned)(b & 0x3fff) | 0x8000, (unsigned long long)(b >> 16));
    } else {
        (void)snprintf(c->id_tail, sizeof(c->id_tail), "%d:%lld.%04u", c->gift->id,
                       (long long)(m->sent_ms / 1000), (unsigned)(b % 10000));
    }
    g->combo = c;
}

static void end_combo(struct sim_gen *g, const struct sim_msg *last)
{
    if (g->combo->hits > 1) {
        struct sim_msg end = *last;

        end.family = SIM_F_COMBO;
        end.kind = SIM_KIND_OTHER;
        end.key_len = 0;
        end.value = 0;
        sim_gen_later(g, &end, (unsigned)rng_below(&g->rng, 4));
    }
    mem_free(g->combo);
    g->combo = NULL;
}

/* One more hit of the row that m belongs to. */
static void hit_combo(struct sim_gen *g, struct sim_msg *m)
{
    struct sim_combo *c = g->combo;
    struct sim_msg_gift *gift = &m->u.gift;

    gift->first = c->hits == 0;
    c->hits++;
    c->sum_num += m->num;
    c->sum_coin += m->num * c->gift->price;
    gift->combo_num = c->sum_num;
    gift->combo_coin = c->sum_coin;
    gift->uuid = c->uuid;
    memcpy(gift->id_tail, c->id_tail, sizeof(gift->id_tail));
    if (--c->hits_left < 0) {
        end_combo(g, m);
    }
}

/* Another gift out of the same box, or NULL. */
static const struct sim_gift *same_box(const struct sim_gift *gift)
{
    size_t n;
    const struct sim_gift *gifts = sim_words_gifts(&n);

    for (size_t i = 0; i < n; i++) {
        if (gifts[i].box_id == gift->box_id && gifts[i].id != gift->id) {
            return &gifts[i];
        }
    }
    return NULL;
}

/* A third of the gifts come in the old form, a third in the new one, a third in both (with the same tid). */
static void choose_form(struct sim_gen *g, struct sim_msg *m)
{
    struct sim_msg_gift *gift = &m->u.gift;
    uint64_t d = rng_below(&g->rng, 3);

    if (d == 0) {
        return;
    }
    if (d == 1) {
        struct sim_msg copy = *m;

        copy.family = SIM_F_GIFT2;
        copy.dup = true;
        sim_gen_later(g, &copy, (unsigned)rng_below(&g->rng, 4));
        return;
    }
    m->family = SIM_F_GIFT2;
    if (gift->gift->box && rng_below(&g->rng, 2) == 0 && (gift->second = same_box(gift->gift))) {
        gift->second_num = rng_between(&g->rng, 1, 5);
        gift->second_value = gift->second_num * gift->gift->box;
        gift->second_tid = next_tid(g);
    }
}

void sim_draw_gift(struct sim_gen *g, struct sim_msg *m)
{
    struct sim_msg_gift *gift = &m->u.gift;
    bool hit = g->combo && rng_below(&g->rng, 10) < 7;

    sim_msg_begin(g, m, SIM_F_GIFT, !hit);
    m->sent_ms -= m->sent_ms % 1000;
    m->has_user = true;
    gift->gift = hit ? g->combo->gift : choose_gift(g);
    gift->id_tail[0] = '\0';
    gift->first = true;
    gift->second = NULL;
    if (hit) {
        m->user = g->combo->user;
    }
    m->num = rng_below(&g->rng, 6) == 0 ? rng_between(&g->rng, 2, 10) : 1;
    m->item = gift->gift->id;
    gift->combo_num = m->num;
    gift->combo_coin = gift->gift->silver ? 0 : m->num * gift->gift->price;
    m->value =
        gift->gift->silver ? 0 : m->num * (gift->gift->box ? gift->gift->box : gift->gift->price);
    sim_msg_set_key(m, "%lld", (long long)next_tid(g));
    if (!hit && !g->combo && !gift->gift->silver && rng_below(&g->rng, 3) == 0) {
        begin_combo(g, m);
        hit = true;
    }
    if (hit) {
        hit_combo(g, m);
    }
    if (g->world->full) {
        choose_form(g, m);
    }
}

void sim_gift_combo_id(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                       const char *prefix, char out[static SIM_COMBO_ID_MAX])
{
    const struct sim_msg_gift *gift = &m->u.gift;

    if (!gift->id_tail[0]) {
        out[0] = '\0';
    } else if (gift->uuid) {
        (void)snprintf(out, SIM_COMBO_ID_MAX, "%s", gift->id_tail);
    } else if (u->uid == 0) {
        (void)snprintf(out, SIM_COMBO_ID_MAX, "%s:%016llx:%lld:%s", prefix,
                       (unsigned long long)u->hash, (long long)g->anchor.uid, gift->id_tail);
    } else {
        (void)snprintf(out, SIM_COMBO_ID_MAX, "%s:%lld:%lld:%s", prefix, (long long)u->uid,
                       (long long)g->anchor.uid, gift->id_tail);
    }
}

struct texts {
    char batch[SIM_COMBO_ID_MAX];
    char combo[SIM_COMBO_ID_MAX];
    struct sim_face face;
    struct sim_face anchor_face;
};

static void fill_people(struct sj_vals *v, const struct sim_gen *g, const struct sim_user *u,
                        struct texts *t)
{
    sim_fill_user(v, u, &t->face);
    sim_fill_medal(v, u);
    sim_fill_face(sim_mix(g->world->seed, (uint64_t)g->anchor.uid), &t->anchor_face);
    sj_raw(v, 'y', str_of(t->anchor_face.url));
    sj_int(v, 'q', g->anchor.uid);
    sj_text(v, 'Q', (struct str){g->anchor.name, g->anchor.name_len});
    sj_sub(v, 'M', sim_tpl(g, SIM_T_MEDAL_INFO));
    if (u->medal_level > 0) {
        sj_sub(v, 'e', sim_tpl(g, SIM_T_UINFO_MEDAL));
    } else {
        sj_raw(v, 'e', STR("null"));
    }
    sj_raw(v, 'm', u->guard ? STR("#00D1F1") : STR(""));
    sj_int(v, 'l', u->guard);
    sj_int(v, 'w', u->wealth);
}

static void fill_gift(struct sj_vals *v, const struct sim_gen *g, const struct sim_msg *m,
                      const struct sim_user *u, struct texts *t)
{
    const struct sim_gift *gift = m->u.gift.gift;

    fill_people(v, g, u, t);
    sim_gift_combo_id(g, m, u, "batch:gift:combo_id", t->batch);
    sim_gift_combo_id(g, m, u, "gift:combo_id", t->combo);
    sj_raw(v, 'b', str_of(t->batch));
    sj_raw(v, 'k', str_of(t->combo));
    sj_raw(v, 't', gift->silver ? STR("silver") : STR("gold"));
    sj_int(v, 'G', gift->id);
    sj_text(v, 'n', str_of(gift->name));
    sj_int(v, 'u', m->num);
    sj_int(v, 'p', gift->price);
    sj_int(v, 'h', m->u.gift.id_tail[0] ? m->u.gift.combo_num : 0);
    sj_int(v, 'C', m->u.gift.combo_coin);
    sj_int(v, 'R', (int64_t)(m->salt % 900));
    sj_raw(v, 'x', STR("null"));
    if (gift->box) {
        sj_int(v, '0', gift->box_id);
        sj_raw(v, '1', str_of(gift->box_name));
        sj_int(v, '2', gift->box);
        sj_sub(v, 'x', sim_tpl(g, SIM_T_GIFT_BLIND));
    }
}

void sim_render_gift(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                     struct buf *out)
{
    const struct sim_gift *gift = m->u.gift.gift;
    bool combo_start = m->u.gift.first && m->u.gift.id_tail[0];
    struct sj_vals v;
    struct texts t;

    sj_clear(&v);
    fill_gift(&v, g, m, u, &t);
    sj_raw(&v, 'B', STR("null"));
    sj_raw(&v, 'c', STR("null"));
    if (combo_start) {
        sj_sub(&v, 'B', sim_tpl(g, SIM_T_GIFT_BATCH_SEND));
        sj_sub(&v, 'c', sim_tpl(g, SIM_T_GIFT_SEND));
    }
    sj_int(&v, 'T', gift->silver ? m->num * gift->price : m->value);
    sj_int(&v, 'D', gift->silver ? 0 : gift->price);
    sj_int(&v, 'S', gift->price < 1000 ? 1 : 2);
    sj_int(&v, 'E', gift->silver);
    sj_int(&v, 'Y', gift->silver ? 5 : 0);
    sj_raw(&v, 'H', gift->id == 31738 ? STR("1201") : STR(""));
    sj_raw(&v, 'r', m->u.gift.first ? STR("true") : STR("false"));
    sj_int(&v, 'L', (int64_t)(m->salt >> 20 & 0x3ffffff));
    sj_raw(&v, 'i', sim_msg_key(m));
    sj_int(&v, 's', m->sent_ms / 1000);
    sj_raw(&v, 'Z', STR(""));
    if (m->value >= 1000) {
        sj_int(&v, '4', (int64_t)(m->salt >> 10));
        sj_int(&v, '5', m->now_ms);
        sj_sub(&v, 'Z', sim_tpl(g, SIM_T_GIFT_ACK));
    }
    sj_render(sim_tpl(g, SIM_T_GIFT), &v, out);
}

void sim_render_combo(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                      struct buf *out)
{
    struct sj_vals v;
    struct texts t;

    sj_clear(&v);
    fill_gift(&v, g, m, u, &t);
    sj_render(sim_tpl(g, SIM_T_GIFT_COMBO), &v, out);
}
