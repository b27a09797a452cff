#include "tests/sim/sim_replay.h"

#include <errno.h>
#include <stdio.h>

#include "server/core/json_read.h"
#include "server/core/mem.h"

enum { BLOCK_BYTES = 64 * 1024 };

struct item {
    uint32_t file;
    size_t from;
    size_t len;
};

struct sim_replay {
    struct buf *files; /* owned */
    size_t n_files;
    struct item *items; /* owned */
    size_t n;
    size_t cap;
};

static enum err_code read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "rbe");
    size_t n = 1;

    if (!f) {
        return err_set_sys(err, ERR_IO, errno, "%s", path);
    }
    while (n > 0) {
        char *to = buf_reserve(out, BLOCK_BYTES);

        if (!to) {
            break;
        }
        n = fread(to, 1, BLOCK_BYTES, f);
        buf_commit(out, n);
    }
    (void)fclose(f);
    return buf_ok(out) ? ERR_OK : err_set(err, ERR_TOO_BIG, "%s: too big", path);
}

static void add(struct sim_replay *r, uint32_t file, struct str text)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 256;
        struct item *more = mem_new_array(struct item, cap);

        if (r->n > 0) {
            memcpy(more, r->items, r->n * sizeof(*more));
        }
        mem_free(r->items);
        r->items = more;
        r->cap = cap;
    }
    r->items[r->n++] = (struct item){
        .file = file, .from = (size_t)(text.ptr - r->files[file].data), .len = text.len};
}

static bool add_array(struct sim_replay *r, uint32_t file, struct str text)
{
    struct json j;
    struct str one;

    json_init(&j, text);
    if (!json_enter_array(&j)) {
        return false;
    }
    while (json_next_elem(&j)) {
        if (json_raw(&j, &one)) {
            add(r, file, one);
        }
    }
    return json_error(&j) == JSON_ERR_NONE;
}

/* One message per line; or the whole file is one message. */
static bool add_lines(struct sim_replay *r, uint32_t file, struct str text)
{
    struct str line;
    struct json j;

    json_init(&j, text);
    json_skip(&j);
    if (json_at_end(&j)) {
        add(r, file, text);
        return true;
    }
    while (text.len > 0 && str_split(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.len > 0) {
            json_init(&j, line);
            json_skip(&j);
            if (!json_at_end(&j)) {
                return false;
            }
            add(r, file, line);
        }
    }
    return true;
}

enum err_code sim_replay_load(const char *const *files, size_t n, struct sim_replay **ret,
                              struct err *err)
{
    struct sim_replay *r = mem_new(struct sim_replay);
    enum err_code rc = ERR_OK;

    r->files = mem_new_array(struct buf, n);
    for (; r->n_files < n && rc == ERR_OK; r->n_files++) {
        struct buf *b = &r->files[r->n_files];
        struct str text;
        bool ok;

        buf_init(b, SIM_REPLAY_FILE_MAX);
        rc = read_file(files[r->n_files], b, err);
        text = str_trim(buf_str(b));
        ok = text.len > 0 && text.ptr[0] == '[' ? add_array(r, (uint32_t)r->n_files, text)
                                                : add_lines(r, (uint32_t)r->n_files, text);
        if (rc == ERR_OK && !ok) {
            rc = err_set(err, ERR_INVALID, "%s: neither a JSON array nor lines of JSON",
                         files[r->n_files]);
        }
    }
    if (rc != ERR_OK) {
        sim_replay_free(r);
        return rc;
    }
    *ret = r;
    return ERR_OK;
}

void sim_replay_free(struct sim_replay *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->n_files; i++) {
        buf_deinit(&r->files[i]);
    }
    mem_free(r->files);
    mem_free(r->items);
    mem_free(r);
}

size_t sim_replay_n(const struct sim_replay *r)
{
    return r->n;
}

struct str sim_replay_at(const struct sim_replay *r, size_t i)
{
    const struct item *it = &r->items[i];

    return (struct str){r->files[it->file].data + it->from, it->len};
}

/* --- what a message is about --- */

static void take_name(struct json *j, struct sim_user *u)
{
    struct str s;

    if (json_str(j, u->name, SIM_NAME_MAX, &s)) {
        u->name_len = (uint32_t)s.len;
    }
}

static void take_key(struct json *j, struct sim_msg *m)
{
    struct str s;

    if (json_str(j, m->key, SIM_KEY_MAX, &s)) {
        m->key_len = (uint32_t)s.len;
    }
}

static void take_text(struct json *j, struct sim_msg *m)
{
    struct str s;

    if (json_str(j, m->text, SIM_TEXT_MAX, &s)) {
        m->text_len = (uint32_t)s.len;
    }
}

static void describe_extra(struct str extra, struct sim_msg *m)
{
    struct json j;
    struct str key;

    json_init(&j, extra);
    if (json_enter_object(&j)) {
        while (json_next_key(&j, &key)) {
            if (str_eq(key, STR("id_str"))) {
                take_key(&j, m);
            }
        }
    }
}

static void describe_info0(struct json *j, struct sim_msg *m)
{
    char extra[16 * 1024];
    struct str key;
    struct str text;

    if (!json_enter_array(j)) {
        return;
    }
    for (int i = 0; json_next_elem(j); i++) {
        if (i == 4) {
            (void)json_int(j, &m->sent_ms);
        } else if (i == 15 && json_enter_object(j)) {
            while (json_next_key(j, &key)) {
                if (str_eq(key, STR("extra")) && json_str(j, extra, sizeof(extra), &text)) {
                    describe_extra(text, m);
                }
            }
        }
    }
}

static void describe_danmaku(struct json *j, struct sim_msg *m)
{
    if (!json_enter_array(j)) {
        return;
    }
    for (int i = 0; json_next_elem(j); i++) {
        if (i == 0) {
            describe_info0(j, m);
        } else if (i == 1) {
            take_text(j, m);
        } else if (i == 2 && json_enter_array(j)) {
            for (int k = 0; json_next_elem(j); k++) {
                if (k == 0) {
                    (void)json_int(j, &m->user.uid);
                } else if (k == 1) {
                    take_name(j, &m->user);
                }
            }
        }
    }
}

struct amounts {
    int64_t total_coin;
    int64_t price;
    int64_t timestamp;
    bool gold;
};

static void describe_user_info(struct json *j, struct sim_msg *m)
{
    struct str key;

    if (json_enter_object(j)) {
        while (json_next_key(j, &key)) {
            if (str_eq(key, STR("uname"))) {
                take_name(j, &m->user);
            }
        }
    }
}

static void describe_field(struct json *j, struct str key, struct sim_msg *m, struct amounts *a)
{
    bool gift = m->kind == SIM_KIND_GIFT;
    struct str s;

    if (str_eq(key, STR("uid"))) {
        (void)json_int(j, &m->user.uid);
    } else if (str_eq(key, STR("uname"))) {
        take_name(j, &m->user);
    } else if (str_eq(key, STR("user_info"))) {
        describe_user_info(j, m);
    } else if (str_eq(key, gift ? STR("tid") : STR("id"))) {
        take_key(j, m);
    } else if (str_eq(key, STR("message"))) {
        take_text(j, m);
    } else if (str_eq(key, STR("giftId"))) {
        (void)json_int(j, &m->item);
    } else if (str_eq(key, STR("num"))) {
        (void)json_int(j, &m->num);
    } else if (str_eq(key, STR("price"))) {
        (void)json_int(j, &a->price);
    } else if (str_eq(key, STR("total_coin"))) {
        (void)json_int(j, &a->total_coin);
    } else if (str_eq(key, gift ? STR("timestamp") : STR("start_time"))) {
        (void)json_int(j, &a->timestamp);
    } else if (str_eq(key, STR("coin_type")) && json_str_raw(j, &s)) {
        a->gold = str_eq(s, STR("gold"));
    }
}

static void describe_data(struct json *j, struct sim_msg *m)
{
    struct amounts a = {0};
    struct str key;

    if (!json_enter_object(j)) {
        return;
    }
    while (json_next_key(j, &key)) {
        describe_field(j, key, m, &a);
    }
    m->sent_ms = a.timestamp * 1000;
    if (m->kind == SIM_KIND_GIFT) {
        m->value = a.gold ? a.total_coin : 0;
    } else {
        (void)str_to_i64(sim_msg_key(m), &m->item);
        m->value = a.price * 1000;
        m->num = 1;
    }
}

static enum sim_family_id family_of(struct str cmd)
{
    struct str name = cmd;

    (void)str_split(&cmd, ':', &name);
    return str_eq(name, STR("DANMU_MSG"))            ? SIM_F_DANMAKU
           : str_eq(name, STR("SEND_GIFT"))          ? SIM_F_GIFT
           : str_eq(name, STR("SUPER_CHAT_MESSAGE")) ? SIM_F_SUPERCHAT
           : str_eq(name, STR("LIVE"))               ? SIM_F_LIVE
           : str_eq(name, STR("PREPARING"))          ? SIM_F_PREPARING
                                                     : SIM_F_UNKNOWN;
}

static enum sim_family_id find_cmd(struct str json)
{
    enum sim_family_id ret = SIM_F_UNKNOWN;
    struct json j;
    struct str key;
    struct str cmd;

    json_init(&j, json);
    if (json_enter_object(&j)) {
        while (json_next_key(&j, &key)) {
            if (str_eq(key, STR("cmd")) && json_str_raw(&j, &cmd)) {
                ret = family_of(cmd);
            }
        }
    }
    return ret;
}

void sim_replay_describe(struct str json, struct sim_msg *m)
{
    static const enum sim_kind kinds[SIM_FAMILIES] = {[SIM_F_DANMAKU] = SIM_KIND_DANMAKU,
                                                      [SIM_F_GIFT] = SIM_KIND_GIFT,
                                                      [SIM_F_SUPERCHAT] = SIM_KIND_SUPERCHAT,
                                                      [SIM_F_LIVE] = SIM_KIND_LIVE,
                                                      [SIM_F_PREPARING] = SIM_KIND_LIVE};
    struct json j;
    struct str key;
    int64_t live_time = 0;

    *m = (struct sim_msg){.family = find_cmd(json), .has_user = true};
    m->kind = kinds[m->family];
    json_init(&j, json);
    if (m->kind == SIM_KIND_OTHER || !json_enter_object(&j)) {
        return;
    }
    while (json_next_key(&j, &key)) {
        if (m->kind == SIM_KIND_DANMAKU && str_eq(key, STR("info"))) {
            describe_danmaku(&j, m);
        } else if ((m->kind == SIM_KIND_GIFT || m->kind == SIM_KIND_SUPERCHAT) &&
                   str_eq(key, STR("data"))) {
            describe_data(&j, m);
        } else if (m->kind == SIM_KIND_LIVE &&
                   str_eq(key, m->family == SIM_F_LIVE ? STR("live_key") : STR("msg_id"))) {
            take_key(&j, m);
        } else if (m->kind == SIM_KIND_LIVE && str_eq(key, STR("live_time"))) {
            (void)json_int(&j, &live_time);
            m->sent_ms = live_time * 1000;
        }
    }
    m->has_user = m->kind != SIM_KIND_LIVE;
}
