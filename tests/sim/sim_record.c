#include "tests/sim/sim_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"

enum { BLOCK_BYTES = 256 * 1024, LIMIT_BYTES = 4 << 20 };

struct sim_record {
    int fd;
    bool failed;
    struct buf buf;
    uint64_t n_lines;
    uint64_t n_events;
    uint64_t n_dups;
};

enum err_code sim_record_open(const char *path, struct sim_record **ret, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    struct sim_record *r;

    if (fd < 0) {
        return err_set_sys(err, ERR_IO, errno, "%s", path);
    }
    r = mem_new(struct sim_record);
    r->fd = fd;
    buf_init(&r->buf, LIMIT_BYTES);
    *ret = r;
    return ERR_OK;
}

/* To the page cache: short, and the simulator has nothing better to do. */
void sim_record_flush(struct sim_record *r)
{
    size_t at = 0;

    if (!r) {
        return;
    }
    while (at < r->buf.len && !r->failed) {
        ssize_t n = write(r->fd, r->buf.data + at, r->buf.len - at);

        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            r->failed = true;
        }
    }
    r->failed = r->failed || !buf_ok(&r->buf);
    buf_clear(&r->buf);
}

static void end_line(struct sim_record *r)
{
    buf_put(&r->buf, STR("}\n"));
    r->n_lines++;
    if (r->buf.len >= BLOCK_BYTES) {
        sim_record_flush(r);
    }
}

static void begin_line(struct sim_record *r, const char *type, const struct sim_record_conn *c)
{
    buf_put(&r->buf, STR("{\"t\":\""));
    buf_put(&r->buf, str_of(type));
    buf_put(&r->buf, STR("\",\"conn\":"));
    buf_put_u64(&r->buf, c->conn);
    buf_put(&r->buf, STR(",\"room\":"));
    buf_put_i64(&r->buf, c->room_id);
    buf_put(&r->buf, STR(",\"at_ms\":"));
    buf_put_i64(&r->buf, c->at_ms);
}

void sim_record_event(struct sim_record *r, const struct sim_record_conn *c, uint64_t seq, bool dup,
                      struct str line)
{
    if (!r) {
        return;
    }
    begin_line(r, "event", c);
    buf_put(&r->buf, STR(",\"seq\":"));
    buf_put_u64(&r->buf, seq);
    buf_put(&r->buf, dup ? STR(",\"dup\":true,") : STR(",\"dup\":false,"));
    buf_put(&r->buf, str_sub(line, 1, line.len - 1)); /* without its braces */
    r->n_events += !dup;
    r->n_dups += dup;
    end_line(r);
}

void sim_record_begin(struct sim_record *r, const struct sim_record_conn *c, int64_t uid,
                      int64_t protover, bool masked)
{
    if (!r) {
        return;
    }
    begin_line(r, "begin", c);
    buf_printf(&r->buf, ",\"uid\":%lld,\"protover\":%lld,\"masked\":%s", (long long)uid,
               (long long)protover, masked ? "true" : "false");
    end_line(r);
}

void sim_record_ack(struct sim_record *r, const struct sim_record_conn *c, uint64_t acked_seq,
                    uint64_t sent_seq, const char *why)
{
    if (!r) {
        return;
    }
    begin_line(r, why ? "end" : "ack", c);
    buf_printf(&r->buf, ",\"acked_seq\":%llu,\"sent_seq\":%llu", (unsigned long long)acked_seq,
               (unsigned long long)sent_seq);
    if (why) {
        buf_printf(&r->buf, ",\"why\":\"%s\"", why);
    }
    end_line(r);
}

void sim_record_fault(struct sim_record *r, const struct sim_record_conn *c, const char *kind)
{
    if (!r) {
        return;
    }
    begin_line(r, "fault", c);
    buf_printf(&r->buf, ",\"kind\":\"%s\"", kind);
    end_line(r);
}

void sim_record_http(struct sim_record *r, int64_t at_ms, struct str object)
{
    if (!r) {
        return;
    }
    buf_printf(&r->buf, "{\"t\":\"http\",\"at_ms\":%lld,", (long long)at_ms);
    buf_put(&r->buf, str_sub(object, 1, object.len - 1)); /* without its braces */
    end_line(r);
}

bool sim_record_close(struct sim_record *r, int64_t at_ms)
{
    bool ok;

    if (!r) {
        return true;
    }
    buf_printf(&r->buf,
               "{\"t\":\"done\",\"at_ms\":%lld,\"events\":%llu,\"dups\":%llu,\"lines\":%llu",
               (long long)at_ms, (unsigned long long)r->n_events, (unsigned long long)r->n_dups,
               (unsigned long long)r->n_lines);
    end_line(r);
    sim_record_flush(r);
    ok = !r->failed;
    ok = close(r->fd) == 0 && ok;
    buf_deinit(&r->buf);
    mem_free(r);
    return ok;
}

static void put_members(const struct sim_msg *m, const struct sim_user *u, bool masked,
                        const char *hostile, struct buf *out)
{
    char hash[16];
    struct json_out w;

    (void)snprintf(hash, sizeof(hash), "%08x", (unsigned)hash_crc32(sim_msg_text(m)));
    jw_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "kind", str_of(sim_kind_name(m->kind)));
    jw_kstr(&w, "cmd", str_of(sim_gen_cmd(m)));
    jw_kstr(&w, "key", sim_msg_key(m));
    jw_ki64(&w, "uid", m->has_user ? u->uid : 0);
    jw_kstr(&w, "uname", m->has_user ? sim_user_name(u) : STR(""));
    jw_kbool(&w, "masked", masked && m->has_user);
    jw_kstr(&w, "text", sim_msg_text(m));
    jw_kstr(&w, "text_hash", str_of(hash));
    jw_ki64(&w, "sent_ms", m->sent_ms);
    jw_ki64(&w, "value", m->value);
    jw_ki64(&w, "value_mcny", m->value);
    jw_ki64(&w, "item", m->item);
    jw_ki64(&w, "num", m->num);
    if (m->kind == SIM_KIND_GIFT && m->u.gift.gift) { /* a replayed one has only its number */
        jw_kstr(&w, "item_name", str_of(m->u.gift.gift->name));
    }
    if (hostile) {
        jw_kstr(&w, "hostile", str_of(hostile));
    }
    jw_object_end(&w);
}

void sim_record_members(const struct sim_msg *m, bool masked, const char *hostile, struct buf *out)
{
    struct sim_user hidden;
    const struct sim_user *u = &m->user;

    if (m->kind == SIM_KIND_OTHER) {
        buf_put_c(out, '\n');
        return;
    }
    if (masked && m->has_user) {
        sim_user_mask(&m->user, &hidden);
        u = &hidden;
    }
    buf_put_c(out, m->dup ? '1' : '0');
    put_members(m, u, masked, hostile, out);
    if (m->kind == SIM_KIND_GIFT && m->u.gift.second) {
        struct sim_msg second = *m;

        second.u.gift.gift = m->u.gift.second;
        second.item = m->u.gift.second->id;
        second.num = m->u.gift.second_num;
        second.value = m->u.gift.second_value;
        second.key_len = (uint32_t)snprintf(second.key, sizeof(second.key), "%lld",
                                            (long long)m->u.gift.second_tid);
        buf_put_c(out, SIM_RECORD_AND);
        put_members(&second, u, masked, hostile, out);
    }
    buf_put_c(out, '\n');
}
