#include "tests/sim/sim_gen_priv.h"

#include <stdio.h>

#include "server/core/attr.h"

/* Guards in their three forms, and red packets in their two: one purchase each. */
static const char BUY[] =
    "{'cmd':'GUARD_BUY','data':{'uid':$U,'username':'$N','guard_level':$k,'num':1,'price':$l,"
    "'gift_id':$G,'gift_name':'$r','start_time':$s,'end_time':$s}}";
static const char TOAST[] =
    "{'cmd':'USER_TOAST_MSG','data':{'anchor_show':true,'color':'#00D1F1','dmscore':204,"
    "'effect_id':397,'end_time':$s,'face_effect_id':44,'gift_id':$G,'group_name':'',"
    "'group_op_type':0,'group_role_name':'','guard_level':$k,'is_group':0,'is_show':0,'num':1,"
    "'op_type':$o,'payflow_id':'$i','price':$p,'role_name':'$r','room_effect_id':590,'source':0,"
    "'start_time':$s,'svga_block':0,'target_guard_count':$c,'toast_msg':'<%$N%> $t','uid':$U,"
    "'unit':'月','user_show':true,'username':'$N'},'msg_id':'$4:1000:1000','p_is_ack':true,"
    "'p_msg_type':1,'send_time':$5}";
static const char TOAST2[] =
    "{'cmd':'USER_TOAST_MSG_V2','data':{'sender_uinfo':{'uid':$U,'base':{'name':'$N',"
    "'face':'$F'}},'receiver_uinfo':{'uid':$q,'base':{'name':'$Q','face':''}},"
    "'guard_info':{'guard_level':$k,'role_name':'$r','room_guard_count':$c,'op_type':$o,"
    "'start_time':$s,'end_time':$E},'group_guard_info':null,'pay_info':{'payflow_id':'$i',"
    "'price':$p,'num':1,'unit':'月'},'gift_info':{'gift_id':$G},'effect_info':{'effect_id':5846},"
    "'toast_msg':'<%$N%> $t','option':{'anchor_show':true,'user_show':true,'is_group':0,"
    "'is_show':0,'source':$v,'svga_block':0,'color':'#00D1F1'}},'msg_id':'$4:1000:1000',"
    "'p_is_ack':true,'p_msg_type':1,'send_time':$5}";
static const char PACKET[] =
    "{'cmd':'$C','data':{'lot_id':$i,'start_time':$s,'current_time':$s,'wait_num':0,"
    "'wait_num_v2':0,'uname':'$N','uid':$U,'action':'送出','num':1,'gift_name':'红包',"
    "'gift_id':13000,'price':$p,'name_color':'','medal_info':$M,'wealth_level':$w,"
    "'group_medal':null,'is_mystery':false,'sender_info':{'uid':$U,'base':{'name':'$N',"
    "'face':'$F','name_color':0,'is_mystery':false,'risk_ctrl_info':null,'origin_info':{"
    "'name':'$N','face':'$F'},'official_info':{'role':0,'title':'','desc':'','type':-1},"
    "'name_color_str':''},'medal':null,'wealth':{'level':$w,'dm_icon_key':''},'title':null,"
    "'guard':{'level':$g,'expired_str':''},'uhead_frame':null,'guard_leader':null},"
    "'gift_icon':'','rp_type':0}}";
static const char PACKET_START[] =
    "{'cmd':'$C','data':{'lot_id':$i,'sender_uid':$U,'sender_name':'$N','sender_face':'$F',"
    "'join_requirement':1,'danmu':'老板大气！点点红包抽礼物','current_time':$s,'start_time':$s,"
    "'end_time':$E,'last_time':180,'remove_time':$E,'replace_time':$E,'lot_status':1,"
    "'user_status':2,'awards':[{'gift_id':31036,'gift_name':'小花花','gift_pic':'','num':5}],"
    "'lot_config_id':188,'total_price':$T,'wait_num':0,'wait_num_v2':0,'is_mystery':false,"
    "'rp_type':0,'sender_uinfo':{'uid':$U,'base':{'name':'$N','face':'$F'}}}}";

static const struct {
    const char *name;
    int gift_id;
    int64_t list;
} ROLES[] = {
    {"", 0, 0}, {"总督", 10001, 19998000}, {"提督", 10002, 1998000}, {"舰长", 10003, 198000}};

const char *sim_tpl_guard(enum sim_tpl_id id)
{
    return id == SIM_T_GUARD_BUY      ? BUY
           : id == SIM_T_GUARD_TOAST  ? TOAST
           : id == SIM_T_GUARD_TOAST2 ? TOAST2
           : id == SIM_T_PACKET       ? PACKET
           : id == SIM_T_PACKET_START ? PACKET_START
                                      : NULL;
}

/* --- guards --- */

/* What upstream sends of one purchase; every message but one is a repeat of it. */
static void follow(struct sim_gen *g, const struct sim_msg *m, enum sim_family_id family,
                   int source, bool counts)
{
    struct sim_msg next = *m;

    next.family = family;
    next.kind = counts ? SIM_KIND_GUARD : SIM_KIND_OTHER;
    next.urgent = true;
    next.u.guard.source = source;
    sim_gen_later(g, &next, 0);
}

/* Seven of fifty are told by V2 alone, a few by GUARD_BUY alone (then its list price is all that is known). The first
 * message that has the paid price is the one that counts in the record. */
void sim_draw_guard(struct sim_gen *g, struct sim_msg *m)
{
    uint64_t d;
    uint64_t level;
    uint64_t form;

    sim_msg_begin(g, m, SIM_F_GUARD, true);
    d = rng_below(&g->rng, 4);
    level = rng_below(&g->rng, 200);
    form = rng_below(&g->rng, 100);
    m->sent_ms -= m->sent_ms % 1000;
    m->u.guard.level = level == 0 ? 1 : level < 9 ? 2 : 3;
    m->u.guard.list = ROLES[m->u.guard.level].list;
    m->u.guard.price = m->u.guard.level < 3 || d < 2 ? m->u.guard.list : d == 2 ? 168000 : 138000;
    m->u.guard.source = 0;
    m->item = m->u.guard.level;
    m->num = 1;
    m->value = m->u.guard.price;
    sim_msg_set_key(m, "25%010lld%05u%08u", (long long)(g->world->born_s % 10000000000),
                    (unsigned)(g->index % 100000), (unsigned)(g->n_guards++ % 100000000));
    if (form < 14) { /* V2 alone */
        m->family = SIM_F_TOAST2;
        return;
    }
    if (form < 22) { /* GUARD_BUY alone */
        m->value = m->u.guard.list;
        return;
    }
    m->kind = SIM_KIND_OTHER;
    follow(g, m, SIM_F_TOAST, 0, true);
    if (form >= 30) {
        follow(g, m, SIM_F_TOAST2, 0, false);
    }
    if (form >= 60) {
        follow(g, m, SIM_F_TOAST2, 2, false); /* to be ignored */
    }
}

static void fill_common(struct sj_vals *v, const struct sim_msg *m, const struct sim_user *u,
                        struct sim_face *face)
{
    sim_fill_user(v, u, face);
    sj_raw(v, 'i', sim_msg_key(m));
    sj_int(v, 's', m->sent_ms / 1000);
    sj_int(v, '4', (int64_t)(m->salt >> 10));
    sj_int(v, '5', m->now_ms);
}

static void render(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                   enum sim_tpl_id tpl, struct buf *out)
{
    const struct sim_msg_guard *guard = &m->u.guard;
    struct sim_face face;
    struct sj_vals v;

    sj_clear(&v);
    fill_common(&v, m, u, &face);
    sj_int(&v, 'k', guard->level);
    sj_int(&v, 'l', guard->list);
    sj_int(&v, 'p', guard->price);
    sj_int(&v, 'G', ROLES[guard->level].gift_id);
    sj_raw(&v, 'r', str_of(ROLES[guard->level].name));
    sj_int(&v, 'o', 1 + (int64_t)(m->salt % 2));
    sj_int(&v, 'c', g->fans / 500 + 1);
    sj_raw(&v, 't', STR("在主播的直播间开通了舰长，今天是TA陪伴主播的第1天"));
    sj_int(&v, 'q', g->anchor.uid);
    sj_text(&v, 'Q', (struct str){g->anchor.name, g->anchor.name_len});
    sj_int(&v, 'E', m->sent_ms / 1000 + 30 * 86400);
    sj_int(&v, 'v', guard->source);
    sj_render(sim_tpl(g, tpl), &v, out);
}

void sim_render_guard(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                      struct buf *out)
{
    render(g, m, u, SIM_T_GUARD_BUY, out);
}

void sim_render_toast(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                      struct buf *out)
{
    render(g, m, u, SIM_T_GUARD_TOAST, out);
}

void sim_render_toast2(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                       struct buf *out)
{
    render(g, m, u, SIM_T_GUARD_TOAST2, out);
}

/* --- red packets --- */

/* The newer form, often the older one too, then the draw begins: all of one lot_id. */
void sim_draw_packet(struct sim_gen *g, struct sim_msg *m)
{
    static const int batteries[] = {16, 20, 50, 100, 500};
    struct sim_msg next;

    sim_msg_begin(g, m, SIM_F_PACKET, true);
    m->sent_ms -= m->sent_ms % 1000;
    m->u.packet.battery = batteries[rng_below(&g->rng, ARRAY_LEN(batteries))];
    m->u.packet.lot_id = g->world->born_s % 10000000 * INT64_C(100000000) +
                         (int64_t)g->n_packets++ * SIM_ROOMS_MAX + g->index;
    m->item = m->u.packet.lot_id;
    m->num = 1;
    m->value = (int64_t)m->u.packet.battery * 100;
    sim_msg_set_key(m, "%lld", (long long)m->u.packet.lot_id);
    next = *m;
    if (rng_below(&g->rng, 2) == 0) {
        next.family = SIM_F_PACKET_OLD;
        next.dup = true;
        sim_gen_later(g, &next, (unsigned)rng_below(&g->rng, 3));
    }
    next.family = SIM_F_PACKET_START;
    next.kind = SIM_KIND_OTHER;
    sim_gen_later(g, &next, (unsigned)rng_below(&g->rng, 4));
}

void sim_render_packet(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                       struct buf *out)
{
    bool started = m->family == SIM_F_PACKET_START;
    struct sim_face face;
    struct sj_vals v;

    sj_clear(&v);
    fill_common(&v, m, u, &face);
    sim_fill_medal(&v, u);
    sj_raw(&v, 'C', str_of(sim_gen_cmd(m)));
    sj_sub(&v, 'M', sim_tpl(g, SIM_T_MEDAL_INFO));
    sj_int(&v, 'p', m->u.packet.battery);
    sj_int(&v, 'T', (int64_t)m->u.packet.battery * 100);
    sj_int(&v, 'w', u->wealth);
    sj_int(&v, 'g', u->guard);
    sj_int(&v, 'E', m->sent_ms / 1000 + 180);
    sj_render(sim_tpl(g, started ? SIM_T_PACKET_START : SIM_T_PACKET), &v, out);
}

void sim_render_packet_old(const struct sim_gen *g, const struct sim_msg *m,
                           const struct sim_user *u, struct buf *out)
{
    sim_render_packet(g, m, u, out);
}

void sim_render_packet_start(const struct sim_gen *g, const struct sim_msg *m,
                             const struct sim_user *u, struct buf *out)
{
    sim_render_packet(g, m, u, out);
}
