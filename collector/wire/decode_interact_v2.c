/* INTERACT_WORD_V2: the same in protobuf. */
#include "collector/wire/decode_interact_priv.h"
#include "collector/wire/decode_pb_priv.h"
#include "collector/wire/interact_v2.pb-c.h"

enum { INTERACT_TAIL_MAX = 256 };

enum decode_status decode_interact_v2(struct decoder *d, struct json *j)
{
    enum decode_status status;
    struct interact i;
    const struct pb_message m = pb_open(d, j, &status);
    if (status != DECODE_OK) {
        return status;
    }
    ProtobufCAllocator memory = m.memory;
    const Pb__Interact *p = pb__interact__unpack(&memory, m.len, m.bytes);
    if (!p) {
        return decode_broken(d, "not this protobuf");
    }
    if (p->uid == 0 && p->name.len == 0) {
        return decode_broken(d, "interaction without uid and name");
    }
    i = (struct interact){
        .uid = p->uid,
        .name = pb_str(d, p->name, EVENT_UNAME_MAX),
        .type = p->type,
        .timestamp = p->timestamp,
        .trigger_time = p->trigger_time,
        .guard = p->guard_level,
        .spread = pb_str(d, p->spread, DECODE_NAME_MAX),
    };
    if (p->tail) {
        i.tail.text = pb_str(d, p->tail->text, INTERACT_TAIL_MAX);
    }
    if (p->medal) {
        i.medal = (struct medal){
            .name = pb_str(d, p->medal->name, EVENT_MEDAL_MAX),
            .level = p->medal->level,
            .anchor_uid = p->medal->anchor_uid,
            .room_id = p->medal->room_id,
        };
    }
    pb_uinfo(d, p->uinfo, &i.uinfo);
    return interact_draft(d, &i);
}
