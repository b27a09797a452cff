#include "tests/sim/sim_gen_priv.h"

#include "server/core/attr.h"
#include "server/core/utf8.h"

/* People coming in, and what is sent to every room. */
static const char INTERACT[] =
    "{'cmd':'INTERACT_WORD','data':{'contribution':{'grade':0},'contribution_v2':{'grade':0,"
    "'rank_type':'','text':''},'core_user_type':0,'dmscore':$R$b,'identities':[$i],"
    "'is_mystery':false,'is_spread':0,'msg_type':$t,'privilege_type':$G,"
    "'relation_tail':{'tail_guide_text':'','tail_icon':'','tail_type':0},'roomid':$r,'score':$s,"
    "'spread_desc':'','spread_info':'','tail_icon':0,'tail_text':'','timestamp':$T,"
    "'trigger_time':$n,'uid':$U,'uinfo':{'base':{'face':'$F','is_mystery':false,'name':'$N',"
    "'name_color':0,'name_color_str':''},'guard':{'expired_str':'','level':$G},'uid':$U,"
    "'wealth':{'dm_icon_key':'','level':$w}},'uname':'$N','uname_color':''}}";
static const char INTERACT_MEDAL[] =
    ",'fans_medal':{'anchor_roomid':$j,'guard_level':$K,'icon_id':0,'is_lighted':$I,"
    "'medal_color':$o,'medal_color_border':$O,'medal_color_end':$X,'medal_color_start':$W,"
    "'medal_level':$d,'medal_name':'$f','score':$V,'special':'','target_id':$a}";
static const char ENTRY[] =
    "{'cmd':'ENTRY_EFFECT','data':{'id':$e,'uid':$U,'target_id':$q,'mock_effect':0,'face':'$F',"
    "'privilege_type':$G,'copy_writing':'$c<%$S%>$h','copy_color':'#F7F7F7',"
    "'highlight_color':'#FFFFFF','priority':1,'basemap_url':'','show_avatar':0,'effective_time':0,"
    "'web_basemap_url':'','web_effective_time':4,'web_effect_close':1,'web_close_time':900,"
    "'business':6,'copy_writing_v2':'$c<%$N%>$h','icon_list':[],'max_delay_time':7,"
    "'trigger_time':$n,'identities':1,'effect_silent_time':0,'effective_time_new':0,"
    "'web_dynamic_url_webp':'','web_dynamic_url_apng':'','mobile_dynamic_url_webp':'',"
    "'wealthy_info':{'uid':0,'level':$w,'level_total_score':0,'cur_score':0,"
    "'upgrade_need_score':0,'status':0,'dm_icon_key':''},'new_style':1,'is_mystery':false,"
    "'uinfo':{'uid':$U,'base':{'name':'$N','face':'$F','name_color':0,'is_mystery':false,"
    "'risk_ctrl_info':null,'origin_info':null,'official_info':null,'name_color_str':''},"
    "'medal':$m,'wealth':{'level':$w,'dm_icon_key':''},'title':null,'guard':{'level':$G,"
    "'expired_str':''},'uhead_frame':null,'guard_leader':null},'full_cartoon_id':1800,"
    "'priority_level':0,'wealth_style_info':{'url':''}}}";
static const char NOTICE[] =
    "{'cmd':'NOTICE_MSG','id':804,'name':'人气榜第一名','full':{'head_icon':'','tail_icon':'',"
    "'head_icon_fa':'','tail_icon_fa':'','head_icon_fan':1,'tail_icon_fan':4,"
    "'background':'#FFE6BD','color':'#9D5412','highlight':'#FF6933','time':20},"
    "'half':{'head_icon':'','tail_icon':'','background':'#FFE6BD','color':'#9D5412',"
    "'highlight':'#FF6933','time':0},'side':{'head_icon':'','background':'','color':'',"
    "'highlight':'','border':''},'roomid':$r,'real_roomid':$r,"
    "'msg_common':'恭喜主播<%$N%>荣登人气榜第<%$n%>名！',"
    "'msg_self':'恭喜主播<%$N%>荣登人气榜第<%$n%>名！',"
    "'link_url':'https://live.bilibili.com/$r?from=28003','msg_type':1,'shield_uid':-1,"
    "'business_id':'','scatter':{'min':0,'max':0},'marquee_id':'','notice_type':0}";
static const char LOGIN[] =
    "{'cmd':'LOG_IN_NOTICE','data':{'notice_msg':'为保护用户隐私，未登录无法查看他人昵称',"
    "'image_web':'http://i0.hdslb.com/bfs/dm/75e7c16b99208df259fe0a93354fd3440cbab412.png',"
    "'image_app':'http://i0.hdslb.com/bfs/dm/b632f7dcd3acf47deffb5f9ccc9546ae97a3415b.png'}}";

const char *sim_tpl_visit(enum sim_tpl_id id)
{
    return id == SIM_T_INTERACT         ? INTERACT
           : id == SIM_T_INTERACT_MEDAL ? INTERACT_MEDAL
           : id == SIM_T_ENTRY          ? ENTRY
           : id == SIM_T_NOTICE         ? NOTICE
           : id == SIM_T_LOGIN          ? LOGIN
                                        : NULL;
}

void sim_draw_visit(struct sim_gen *g, struct sim_msg *m)
{
    sim_msg_begin(g, m, m->family, true);
    m->u.count.n = rng_below(&g->rng, 20) == 0 ? rng_between(&g->rng, 2, 3) : 1;
    if (g->world->full && m->family == SIM_F_INTERACT && rng_below(&g->rng, 4) > 0) {
        m->family = SIM_F_INTERACT2;
    }
}

void sim_draw_plain(struct sim_gen *g, struct sim_msg *m)
{
    sim_msg_begin(g, m, m->family, false);
}

void sim_render_interact(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                         struct buf *out)
{
    struct sim_face face;
    struct sj_vals v;

    sj_clear(&v);
    sim_fill_user(&v, u, &face);
    sim_fill_medal(&v, u);
    sj_raw(&v, 'b', STR(""));
    if (u->medal_level > 0) {
        sj_sub(&v, 'b', sim_tpl(g, SIM_T_INTERACT_MEDAL));
    }
    sj_raw(&v, 'i', u->medal_here ? STR("3,1") : STR("1"));
    sj_int(&v, 'R', (int64_t)(m->salt % 100));
    sj_int(&v, 't', m->u.count.n);
    sj_int(&v, 'G', u->guard);
    sj_int(&v, 'r', g->anchor.room_id);
    sj_int(&v, 's', m->now_ms + (int64_t)u->medal_level * 100000);
    sj_int(&v, 'T', m->now_ms / 1000);
    sj_int(&v, 'n', m->now_ms * 1000000 + (int64_t)(m->salt >> 10) % 1000000);
    sj_int(&v, 'w', u->wealth);
    sj_render(sim_tpl(g, SIM_T_INTERACT), &v, out);
}

void sim_render_entry(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                      struct buf *out)
{
    struct str name = sim_user_name(u);
    char shortened[16];
    struct str cut = utf8_cut(name, 10);
    struct sim_face face;
    struct sj_vals v;

    sj_clear(&v);
    sim_fill_user(&v, u, &face);
    memcpy(shortened, cut.ptr, cut.len);
    memcpy(shortened + cut.len, "...", 3);
    sim_fill_medal(&v, u);
    sj_raw(&v, 'm', STR("null"));
    if (u->medal_level > 0) {
        sj_sub(&v, 'm', sim_tpl(g, SIM_T_UINFO_MEDAL));
    }
    sj_text(&v, 'S', cut.len < name.len ? (struct str){shortened, cut.len + 3} : name);
    sj_raw(&v, 'c', u->guard == 3 ? STR("欢迎舰长 ") : u->guard ? STR("欢迎提督 ") : STR(""));
    sj_raw(&v, 'h', u->guard ? STR(" 进入直播间") : STR(" 来了"));
    sj_int(&v, 'e', 380 + (int64_t)(m->salt % 5));
    sj_int(&v, 'q', g->anchor.uid);
    sj_int(&v, 'G', u->guard);
    sj_int(&v, 'w', u->wealth);
    sj_int(&v, 'n', m->now_ms * 1000000 + (int64_t)(m->salt >> 10) % 1000000);
    sj_render(sim_tpl(g, SIM_T_ENTRY), &v, out);
}

void sim_render_stopped(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                        struct buf *out)
{
    unsigned n = 30 + (unsigned)(m->salt % 150);

    (void)g;
    (void)u;
    buf_put(out, STR("{\"cmd\":\"STOP_LIVE_ROOM_LIST\",\"data\":{\"room_id_list\":["));
    for (unsigned i = 0; i < n; i++) {
        buf_put_u64(out, 20000000 + sim_mix(m->salt, i) % 12000000);
        buf_put_c(out, i + 1 < n ? ',' : ']');
    }
    buf_put(out, STR("}}"));
}

void sim_render_notice(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                       struct buf *out)
{
    int64_t room_id = 20000000 + (int64_t)(m->salt % 12000000);
    struct sim_anchor other;
    struct sj_vals v;

    (void)u;
    sim_anchor_make(&other, g->world->seed, room_id);
    sj_clear(&v);
    sj_int(&v, 'r', room_id);
    sj_text(&v, 'N', (struct str){other.name, other.name_len});
    sj_int(&v, 'n', 1 + (int64_t)(m->salt >> 32 & 31));
    sj_render(sim_tpl(g, SIM_T_NOTICE), &v, out);
}

/* Commands that nobody documents, one without a name, one in a wrapper. */
void sim_render_unknown(const struct sim_gen *g, const struct sim_msg *m, const struct sim_user *u,
                        struct buf *out)
{
    static const char *const names[] = {"WIDGET_BANNER",     "DM_INTERACTION",  "ROOM_SKIN_MSG",
                                        "RECOMMEND_CARD",    "PLAY_TAG",        "TRADING_SCORE",
                                        "LIVE_PANEL_CHANGE", "SIM_NEW_IN_2027", "HOT_ROOM_NOTIFY"};
    unsigned d = (unsigned)(m->salt % 40);

    (void)u;
    if (d == 0) {
        buf_printf(out, "{\"mtime\":%lld,\"scatter\":[0,300]}", (long long)(m->now_ms / 1000));
    } else if (d == 1) {
        buf_printf(out, "{\"msg\":{\"cmd\":\"WRAPPED\",\"n\":%u}}", (unsigned)(m->salt >> 40));
    } else {
        buf_printf(out,
                   "{\"cmd\":\"%s\",\"data\":{\"id\":%llu,\"room_id\":%lld,\"timestamp\":%lld,"
                   "\"list\":[{\"a\":null},[],\"{}\",1.5e3,true],\"text\":\"\\u4f60\\u597d\"}}",
                   names[d % ARRAY_LEN(names)], (unsigned long long)(m->salt >> 16),
                   (long long)g->anchor.room_id, (long long)(m->now_ms / 1000));
    }
}
