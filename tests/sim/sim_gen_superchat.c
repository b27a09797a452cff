#include "tests/sim/sim_gen_priv.h"

#include "server/core/attr.h"

/* The sender in the new form. */
#define UINFO                                                                                      \
    "{'base':{'face':'$F','is_mystery':false,'name':'$N','name_color':0,'name_color_str':'$n',"    \
    "'official_info':{'desc':'','role':0,'title':'','type':-1},'origin_info':{'face':'$F',"        \
    "'name':'$N'},'risk_ctrl_info':null},'guard':{'expired_str':'$x','level':$G},"                 \
    "'guard_leader':null,'medal':$m,'title':{'old_title_css_id':'','title_css_id':''},"            \
    "'uhead_frame':null,'uid':$U,'wealth':null}"

static const char SUPERCHAT[] =
    "{'cmd':'SUPER_CHAT_MESSAGE','data':{'background_bottom_color':'$B',"
    "'background_color':'#EDF5FF','background_color_end':'#405D85',"
    "'background_color_start':'#3171D2','background_icon':'','background_image':'',"
    "'background_price_color':'#7497CD','color_point':0.7,'dmscore':$R,'end_time':$E,"
    "'gift':{'gift_id':12000,'gift_name':'醒目留言','num':1},'group_medal':{'is_lighted':0,"
    "'medal_id':0,'name':''},'id':$i,'is_mystery':false,'is_ranked':0,'is_send_audit':$A,"
    "'medal_info':$M,'message':'$T','message_font_color':'#A3F6FF','message_trans':'','price':$p,"
    "'rate':1000,'start_time':$s,'time':$D,'token':'$H','trans_mark':0,'ts':$s,'uid':$U,'uinfo'"
    ":" UINFO
    ",'user_info':{'face':'$F','face_frame':'','guard_level':$G,'is_main_vip':$v,'is_svip':0,"
    "'is_vip':0,'level_color':'#969696','manager':$0,'name_color':'$n','title':'','uname':'$N',"
    "'user_level':$l}},'is_report':true,'msg_id':'$4:1000:1000','p_is_ack':true,'p_msg_type':1,"
    "'send_time':$5}";
static const char JPN[] =
    "{'cmd':'SUPER_CHAT_MESSAGE_JPN','data':{'id':$i,'uid':$U,'price':$p,'rate':1000,"
    "'message':'$T','message_jpn':'ありがとうございます','is_ranked':0,'background_image':'',"
    "'background_color':'#EDF5FF','background_icon':'','background_price_color':'#7497CD',"
    "'background_bottom_color':'$B','ts':$s,'token':'$H','medal_info':$M,"
    "'user_info':{'uname':'$N','face':'$F','face_frame':'','name_color':'$n','guard_level':$G,"
    "'user_level':$l,'level_color':'#969696','is_vip':0,'is_svip':0,'is_main_vip':$v,'title':'',"
    "'manager':$0},'time':$D,'start_time':$s,'end_time':$E,'gift':{'num':1,'gift_id':12000,"
    "'gift_name':'醒目留言'},'group_medal':{'medal_id':0,'name':'','is_lighted':0},"
    "'is_mystery':false,'uinfo':" UINFO "}}";
static const char MEDAL[] =
    "{'anchor_roomid':$j,'anchor_uname':'$g','guard_level':$K,'icon_id':0,'is_lighted':$I,"
    "'medal_color':'$c','medal_color_border':$O,'medal_color_end':$X,'medal_color_start':$W,"
    "'medal_level':$d,'medal_name':'$f','special':'','target_id':$a}";

struct tier {
    int price; /* CNY, at least */
    int seconds;
    int weight;
    const char *color;
};
static const struct tier TIERS[] = {
    {30, 60, 70, "#2A60B2"},   {50, 120, 16, "#427D9E"},   {100, 300, 9, "#E2B52B"},
    {500, 1800, 3, "#E09443"}, {1000, 3600, 1, "#E54D4D"}, {2000, 7200, 1, "#AB1A32"},
};

const char *sim_tpl_superchat(enum sim_tpl_id id)
{
    return id == SIM_T_SUPERCHAT         ? SUPERCHAT
           : id == SIM_T_SUPERCHAT_JPN   ? JPN
           : id == SIM_T_SUPERCHAT_MEDAL ? MEDAL
                                         : NULL;
}

static const struct tier *tier_of(int price)
{
    size_t i = ARRAY_LEN(TIERS);

    while (i > 1 && TIERS[i - 1].price > price) {
        i--;
    }
    return &TIERS[i - 1];
}

static int draw_price(struct sim_gen *g)
{
    uint64_t d = rng_below(&g->rng, 100);
    size_t i = 0;

    while (d >= (uint64_t)TIERS[i].weight) {
        d -= (uint64_t)TIERS[i++].weight;
    }
    return TIERS[i].price + (rng_below(&g->rng, 12) == 0 ? (int)rng_below(&g->rng, 9) : 0);
}

/* Sometimes sent twice with the same id, sometimes with a Japanese twin. */
void sim_draw_superchat(struct sim_gen *g, struct sim_msg *m)
{
    sim_msg_begin(g, m, SIM_F_SUPERCHAT, true);
    m->sent_ms -= m->sent_ms % 1000;
    m->u.superchat.price = draw_price(g);
    m->u.superchat.id = g->world->born_s % 10000000 * 100000000 +
                        (int64_t)g->n_superchats * SIM_ROOMS_MAX + g->index;
    g->n_superchats++;
    m->item = m->u.superchat.id;
    m->num = 1;
    m->value = (int64_t)m->u.superchat.price * 1000;
    sim_msg_set_key(m, "%lld", (long long)m->u.superchat.id);
    sim_msg_words(g, m, sim_words_superchat);
    if (rng_below(&g->rng, 5) == 0) {
        struct sim_msg twin = *m;

        twin.family = SIM_F_JPN;
        twin.kind = SIM_KIND_OTHER;
        sim_gen_later(g, &twin, (unsigned)rng_below(&g->rng, 3));
    }
    if (rng_below(&g->rng, 8) == 0) {
        struct sim_msg again = *m;

        again.dup = true;
        sim_gen_later(g, &again, (unsigned)rng_below(&g->rng, 9));
    }
}

static void render(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                   enum sim_tpl_id tpl, struct buf *out)
{
    const struct tier *tier = tier_of(m->u.superchat.price);
    struct sim_face face;
    struct sj_vals v;

    sj_clear(&v);
    sim_fill_user(&v, u, &face);
    sim_fill_medal(&v, u);
    sj_raw(&v, 'B', str_of(tier->color));
    sj_raw(&v, 'c', u->medal_level ? STR("#5c968e") : STR(""));
    sj_raw(&v, 'n', u->guard == 3 ? STR("#00D1F1") : u->guard ? STR("#E17AFF") : STR("#666666"));
    sj_raw(&v, 'x', u->guard ? STR("2027-12-31 23:59:59") : STR(""));
    sj_sub(&v, 'M', sim_tpl(g, SIM_T_SUPERCHAT_MEDAL));
    sj_raw(&v, 'm', STR("null"));
    if (u->medal_level > 0) {
        sj_sub(&v, 'm', sim_tpl(g, SIM_T_UINFO_MEDAL));
    }
    sj_int(&v, 'R', (int64_t)(m->salt % 1000));
    sj_int(&v, 'i', m->u.superchat.id);
    sj_int(&v, 'A', (int64_t)(m->salt >> 10 & 1));
    sj_text(&v, 'T', sim_msg_text(m));
    sj_int(&v, 'p', m->u.superchat.price);
    sj_int(&v, 's', m->sent_ms / 1000);
    sj_int(&v, 'E', m->sent_ms / 1000 + tier->seconds);
    sj_int(&v, 'D', tier->seconds - (tpl == SIM_T_SUPERCHAT_JPN));
    sj_hex_upper(&v, 'H', (uint32_t)(m->salt >> 32));
    sj_int(&v, 'G', u->guard);
    sj_int(&v, 'v', (int64_t)(m->salt >> 11 & 1));
    sj_int(&v, '0', u->admin);
    sj_int(&v, 'l', u->level);
    sj_int(&v, '4', (int64_t)(m->salt >> 10));
    sj_int(&v, '5', m->now_ms);
    sj_render(sim_tpl(g, tpl), &v, out);
}

void sim_render_superchat(const struct sim_gen *g, const struct sim_msg *m,
                          const struct sim_user *u, struct buf *out)
{
    render(g, m, u, SIM_T_SUPERCHAT, out);
}

void sim_render_jpn(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                    struct buf *out)
{
    render(g, m, u, SIM_T_SUPERCHAT_JPN, out);
}
