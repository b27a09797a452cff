#include "tests/sim/sim_gen_priv.h"

#include <stdio.h>

#include "server/core/attr.h"

static const char UINFO_MEDAL[] =
    "{'color':$o,'color_border':$O,'color_end':$X,'color_start':$W,'guard_icon':'$J',"
    "'guard_level':$K,'honor_icon':'','id':$z,'is_light':$I,'level':$d,'name':'$f','ruid':$a,"
    "'score':$V,'typ':0,'user_receive_count':0,'v2_medal_color_border':'#596FE099',"
    "'v2_medal_color_end':'#596FE099','v2_medal_color_level':'#000B7099',"
    "'v2_medal_color_start':'#596FE099','v2_medal_color_text':'#FFFFFFFF'}";
/* The old form, of gifts and visits. */
static const char MEDAL_INFO[] =
    "{'anchor_roomid':0,'anchor_uname':'','guard_level':$K,'icon_id':0,'is_lighted':$I,"
    "'medal_color':$o,'medal_color_border':$O,'medal_color_end':$X,'medal_color_start':$W,"
    "'medal_level':$d,'medal_name':'$f','special':'','target_id':$a}";

const char *sim_tpl_common(enum sim_tpl_id id)
{
    return id == SIM_T_UINFO_MEDAL ? UINFO_MEDAL : id == SIM_T_MEDAL_INFO ? MEDAL_INFO : NULL;
}

void sim_fill_face(uint64_t hash, struct sim_face *face)
{
    (void)snprintf(face->url, sizeof(face->url),
                   "https://i%u.hdslb.com/bfs/face/%016llx%016llx%08x.jpg", (unsigned)(hash % 3),
                   (unsigned long long)sim_mix(hash, 11), (unsigned long long)sim_mix(hash, 12),
                   (unsigned)hash);
}

void sim_fill_user(struct sj_vals *v, const struct sim_user *u, struct sim_face *face)
{
    sim_fill_face(u->hash, face);
    sj_int(v, 'U', u->uid);
    sj_text(v, 'N', sim_user_name(u));
    sj_raw(v, 'F', str_of(face->url));
}

/* All zero and empty when none is worn. */
void sim_fill_medal(struct sj_vals *v, const struct sim_user *u)
{
    static const int colors[] = {6067854, 6126494, 9272486, 12478086, 13081892, 1725515, 398668};
    int guard = u->medal_here ? u->guard : 0;
    bool worn = u->medal_level > 0;
    int color = worn ? colors[(unsigned)(u->medal_level / 4) % ARRAY_LEN(colors)] : 0;

    sj_int(v, 'd', u->medal_level);
    sj_text(v, 'f', worn ? str_of(u->medal) : STR(""));
    sj_text(v, 'g', worn ? (struct str){u->medal_anchor, u->medal_anchor_len} : STR(""));
    sj_int(v, 'j', worn ? u->medal_room : 0);
    sj_int(v, 'a', worn ? u->medal_uid : 0);
    sj_int(v, 'o', color);
    sj_int(v, 'O', guard ? 6809855 : color);
    sj_int(v, 'W', color);
    sj_int(v, 'X', u->medal_level > 20 ? 6850801 : color);
    sj_int(v, 'K', guard);
    sj_int(v, 'I', worn && u->hash % 8 > 0);
    sj_raw(v, 'J',
           guard ? STR("https://i0.hdslb.com/bfs/live/143f5ec3003b4080d1b5f817a9efdca46d631945.png")
                 : STR(""));
    sj_int(v, 'V', (int64_t)u->medal_level * u->medal_level * 137);
    sj_int(v, 'z', worn ? u->medal_uid % 1000000 : 0);
}
