#include "tests/sim/sim_fault.h"

#include "server/core/bytes.h"
#include "server/core/hash.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "tests/sim/sim_ws.h"

static const struct {
    const char *name;
    enum sim_fault_class class;
} KINDS[SIM_FAULT_KINDS] = {
#define X(id, text, c, doc) [SIM_FAULT_KIND_##id] = {.name = #text, .class = SIM_FAULT_##c},
#include "tests/sim/sim_fault_kinds.def"
#undef X
};

const char *sim_fault_name(enum sim_fault_kind kind)
{
    return KINDS[kind].name;
}

enum sim_fault_class sim_fault_class(enum sim_fault_kind kind)
{
    return KINDS[kind].class;
}

static bool parse_kind(struct str value, enum sim_fault_kind *ret)
{
    for (int i = 0; i < SIM_FAULT_KINDS; i++) {
        if (str_eq(value, str_of(KINDS[i].name))) {
            *ret = (enum sim_fault_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse_number(struct sim_fault *f, struct str key, struct str value)
{
    const struct {
        const char *name;
        int64_t *at;
        int64_t max;
    } numbers[] = {
        {"room", &f->room, INT64_MAX},        {"host", &f->host, 1000},
        {"after", &f->after, INT64_MAX},      {"after_ms", &f->after_ms, INT32_MAX},
        {"every", &f->every, INT64_MAX},      {"times", &f->times, INT64_MAX},
        {"chance", &f->chance, 100},          {"for_ms", &f->for_ms, INT32_MAX},
        {"size", &f->size, INT64_C(1) << 32},
    };
    int64_t n;

    if (!str_to_i64(value, &n)) {
        return false;
    }
    if (str_eq(key, STR("code"))) {
        f->code = n;
        return true;
    }
    if (str_eq(key, STR("silent"))) {
        f->silent = n != 0;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (str_eq(key, str_of(numbers[i].name)) && n >= 0 && n <= numbers[i].max) {
            *numbers[i].at = n;
            return true;
        }
    }
    return false;
}

static bool parse_pair(struct sim_fault *f, struct str key, struct str value)
{
    if (str_eq(key, STR("kind"))) {
        return parse_kind(value, &f->kind);
    }
    if (str_eq(key, STR("what"))) {
        if (value.len >= sizeof(f->what)) {
            return false;
        }
        memcpy(f->what, value.ptr, value.len);
        f->what[value.len] = '\0';
        return true;
    }
    if (str_eq(value, STR("*"))) {
        return str_eq(key, STR("room")) || str_eq(key, STR("host"));
    }
    return parse_number(f, key, value);
}

enum err_code sim_fault_parse(struct str rule, struct sim_fault *ret, struct err *err)
{
    struct sim_fault f = {
        .kind = SIM_FAULT_KINDS, .host = -1, .times = 1, .chance = 100, .code = -101};
    struct str pair;

    while (str_split(&rule, ',', &pair)) {
        struct str value = pair;
        struct str key;

        if (!str_split(&value, '=', &key) || !parse_pair(&f, key, value)) {
            return err_set(err, ERR_INVALID, "fault: bad part \"" STR_FMT "\"", STR_ARG(pair));
        }
    }
    if (f.kind == SIM_FAULT_KINDS) {
        return err_set(err, ERR_INVALID, "fault: no kind");
    }
    *ret = f;
    return ERR_OK;
}

static void put_bytes(struct buf *out, const void *p, size_t n)
{
    buf_put(out, (struct str){p, n});
}

/* Bytes that cannot begin a packet: header_len is not what it should be. */
static void garbage(size_t n, struct rng *rng, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char c = (char)rng_u64(rng);

        buf_put_c(out, i == 0 || i == 4 ? (char)0xff : c);
    }
}

static void lying_head(const char *what, struct buf *out)
{
    struct sim_head h = {.packet_len = 0x7fffffff, .head_len = 16, .op = SIM_OP_MESSAGE};
    uint8_t bytes[SIM_HEAD_BYTES];

    if (str_eq(str_of(what), STR("zero"))) {
        h.packet_len = 0;
    } else if (str_eq(str_of(what), STR("short"))) {
        h.packet_len = 15;
    } else if (str_eq(str_of(what), STR("head"))) {
        h.packet_len = 40;
        h.head_len = 100;
    }
    sim_head_put(bytes, &h);
    put_bytes(out, bytes, sizeof(bytes));
    buf_put(out, STR("{\"cmd\":\"LENGTH\",\"data\":{\"is\":\"a lie\"}}"));
}

/* A frame around a body that is compressed already. */
static void put_packed(enum sim_ver ver, const struct buf *body, struct buf *out)
{
    sim_packet_put(out, ver, SIM_OP_MESSAGE, 0, buf_str(body));
}

static enum sim_ver packed_ver(enum sim_ver ver)
{
    return ver == SIM_VER_BROTLI ? SIM_VER_BROTLI : SIM_VER_ZLIB;
}

/* One huge packet of blanks: well-formed, if anybody inflates it. */
static void bomb(size_t n, enum sim_ver ver, struct buf *out)
{
    uint8_t head[SIM_HEAD_BYTES];
    struct buf body;

    buf_init(&body, SIM_FAULT_BYTES_MAX);
    sim_head_put(head, &(struct sim_head){.packet_len = (uint32_t)(n + SIM_HEAD_BYTES),
                                          .head_len = SIM_HEAD_BYTES,
                                          .op = SIM_OP_MESSAGE});
    sim_compress_run(packed_ver(ver), (struct str){(const char *)head, sizeof(head)}, ' ', n,
                     &body);
    put_packed(packed_ver(ver), &body, out);
    buf_deinit(&body);
}

static void swarm(size_t n, enum sim_ver ver, struct sim_packer *p, struct buf *out)
{
    struct buf run;

    buf_init(&run, SIM_FAULT_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        sim_packet_put(&run, SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, STR("{}"));
    }
    sim_frame_put(p, packed_ver(ver), buf_str(&run), out);
    buf_deinit(&run);
}

static void nest(size_t n, enum sim_ver ver, struct sim_packer *p, struct buf *out)
{
    struct buf inner;
    struct buf outer;

    buf_init(&inner, SIM_FAULT_BYTES_MAX);
    buf_init(&outer, SIM_FAULT_BYTES_MAX);
    sim_packet_put(&inner, SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, STR("{\"cmd\":\"NESTED\"}"));
    for (size_t i = 0; i < n; i++) {
        struct buf swap = inner;

        buf_clear(&outer);
        sim_frame_put(p, packed_ver(ver), buf_str(&inner), &outer);
        inner = outer;
        outer = swap;
    }
    buf_put(out, buf_str(&inner));
    buf_deinit(&outer);
    buf_deinit(&inner);
}

static void inner_length(enum sim_ver ver, struct sim_packer *p, struct buf *out)
{
    struct buf run;

    buf_init(&run, 4096);
    sim_packet_put(&run, SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, STR("{\"cmd\":\"BEFORE_THE_LIE\"}"));
    lying_head("huge", &run);
    sim_frame_put(p, packed_ver(ver), buf_str(&run), out);
    buf_deinit(&run);
}

static void deep(size_t n, struct buf *out)
{
    size_t mark = sim_packet_begin(out);

    buf_put(out, STR("{\"cmd\":\"DANMU_MSG\",\"info\":"));
    for (size_t i = 0; i < n; i++) {
        buf_put_c(out, '[');
    }
    for (size_t i = 0; i < n; i++) {
        buf_put_c(out, ']');
    }
    buf_put_c(out, '}');
    sim_packet_end(out, mark);
}

static void put_all(const char *const *texts, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        sim_packet_put(out, SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, str_of(texts[i]));
    }
}

static void fixed_messages(enum sim_fault_kind kind, struct buf *out)
{
    static const char *const not_json[] = {"{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1",
                                           "hello",
                                           "{]",
                                           "{\"cmd\":\"SEND_GIFT\",\"data\":{\"uid\":01}} tail",
                                           "\"just text\"",
                                           "null",
                                           "{\"cmd\":"};
    static const char *const types[] = {
        "{\"cmd\":\"DANMU_MSG\",\"info\":null}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[]}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":{\"0\":[]}}",
        "{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25],{\"a\":1},[1,2],3,4]}",
        "{\"cmd\":\"SEND_GIFT\",\"data\":[]}",
        "{\"cmd\":\"SEND_GIFT\",\"data\":{\"uid\":{},\"num\":null,\"tid\":[]}}",
        "{\"cmd\":\"SUPER_CHAT_MESSAGE\",\"data\":\"x\"}",
        "{\"cmd\":5,\"data\":{}}",
        "{\"cmd\":null}",
        "[]",
    };

    if (kind == SIM_FAULT_KIND_NOT_JSON) {
        put_all(not_json, ARRAY_LEN(not_json), out);
    } else {
        put_all(types, ARRAY_LEN(types), out);
    }
}

static void control_packets(enum sim_fault_kind kind, struct buf *out)
{
    if (kind == SIM_FAULT_KIND_EMPTY) {
        sim_packet_put(out, SIM_VER_PLAIN, SIM_OP_MESSAGE, 0, STR(""));
        sim_packet_put(out, SIM_VER_ZLIB, SIM_OP_MESSAGE, 0, STR(""));
        sim_packet_put(out, SIM_VER_BROTLI, SIM_OP_MESSAGE, 0, STR(""));
        return;
    }
    for (uint32_t op = 9; op < 14; op++) {
        sim_packet_put(out, SIM_VER_CONTROL, (enum sim_op)op, 1, STR("{}"));
    }
    sim_packet_put(out, SIM_VER_CONTROL, (enum sim_op)99999, 1, STR("\xff\x00\x01"));
    sim_packet_put(out, (enum sim_ver)7, SIM_OP_MESSAGE, 0, STR("unknown version"));
}

static size_t size_or(const struct sim_fault *f, size_t normal)
{
    return f->size > 0 ? (size_t)f->size : normal;
}

bool sim_fault_is_frames(enum sim_fault_kind kind)
{
    return kind == SIM_FAULT_KIND_WS_PING || kind == SIM_FAULT_KIND_WS_TEXT ||
           kind == SIM_FAULT_KIND_WS_HUGE || kind == SIM_FAULT_KIND_WS_FRAME;
}

static void wrong_frame(const char *what, struct buf *out)
{
    struct str w = str_of(what);

    if (str_eq(w, STR("mask"))) {
        buf_put(out, STR("\x82\x82\1\2\3\4{}"));
    } else if (str_eq(w, STR("reserved"))) {
        sim_ws_put(out, SIM_WS_FIN | 0x40 | SIM_WS_BINARY, STR("{}"));
    } else if (str_eq(w, STR("continue"))) {
        sim_ws_put(out, SIM_WS_FIN | SIM_WS_CONTINUE, STR("{}"));
    } else if (str_eq(w, STR("ping"))) {
        sim_ws_put(out, SIM_WS_PING, STR("in pieces"));
    } else if (str_eq(w, STR("close"))) {
        sim_ws_put(out, SIM_WS_FIN | SIM_WS_CLOSE, STR("\3"));
    } else {
        sim_ws_put(out, SIM_WS_FIN | 3, STR("{}"));
    }
}

static void frames(const struct sim_fault *f, struct buf *out)
{
    if (f->kind == SIM_FAULT_KIND_WS_PING) {
        sim_ws_put(out, SIM_WS_FIN | SIM_WS_PING, STR("are you there"));
    } else if (f->kind == SIM_FAULT_KIND_WS_TEXT) {
        sim_ws_put(out, SIM_WS_FIN | SIM_WS_TEXT, STR("{\"cmd\":\"AS_TEXT\"}"));
    } else if (f->kind == SIM_FAULT_KIND_WS_FRAME) {
        wrong_frame(f->what, out);
    } else if (str_eq(str_of(f->what), STR("lie"))) {
        sim_ws_put_head(out, SIM_WS_FIN | SIM_WS_BINARY, UINT64_C(1) << 40);
        buf_put_c(out, ' ');
    } else {
        size_t n = size_or(f, 5 << 20);

        sim_ws_put_head(out, SIM_WS_FIN | SIM_WS_BINARY, n);
        for (size_t i = 0; i < n; i++) {
            buf_put_c(out, ' ');
        }
    }
}

void sim_fault_bytes(const struct sim_fault *f, enum sim_ver ver, struct rng *rng, struct buf *out)
{
    struct sim_packer *p = sim_packer_new(1, 1);

    if (f->kind == SIM_FAULT_KIND_GARBAGE) {
        garbage(size_or(f, 64), rng, out);
    } else if (f->kind == SIM_FAULT_KIND_LENGTH) {
        lying_head(f->what, out);
    } else if (f->kind == SIM_FAULT_KIND_BOMB) {
        bomb(size_or(f, 64 << 20), ver, out);
    } else if (f->kind == SIM_FAULT_KIND_SWARM) {
        swarm(size_or(f, 20000), ver, p, out);
    } else if (f->kind == SIM_FAULT_KIND_NEST) {
        nest(size_or(f, 10), ver, p, out);
    } else if (f->kind == SIM_FAULT_KIND_BAD_ZIP) {
        sim_packet_put(out, packed_ver(ver), SIM_OP_MESSAGE, 0,
                       STR("\x78\x01 not a stream \xff\xff"));
    } else if (f->kind == SIM_FAULT_KIND_INNER_LENGTH) {
        inner_length(ver, p, out);
    } else if (f->kind == SIM_FAULT_KIND_DEEP) {
        deep(size_or(f, 2000), out);
    } else if (sim_fault_is_frames(f->kind)) {
        frames(f, out);
    } else if (f->kind == SIM_FAULT_KIND_NOT_JSON || f->kind == SIM_FAULT_KIND_TYPES) {
        fixed_messages(f->kind, out);
    } else {
        control_packets(f->kind, out);
    }
    sim_packer_free(p);
}

bool sim_fault_is_text(enum sim_fault_kind kind)
{
    return kind == SIM_FAULT_KIND_BAD_UTF8 || kind == SIM_FAULT_KIND_NUL ||
           kind == SIM_FAULT_KIND_SURROGATE;
}

/* level 2: inside `extra`, which comes first in a message. */
static struct str spoil_of(enum sim_fault_kind kind, int level)
{
    if (kind == SIM_FAULT_KIND_NUL) {
        return level == 2 ? STR("\\\\u0000") : STR("\\u0000");
    }
    if (kind == SIM_FAULT_KIND_SURROGATE) {
        return level == 2 ? STR("\\\\ud83d") : STR("\\ud83d");
    }
    return STR("\xe4\xbd\xff");
}

void sim_fault_spoil(enum sim_fault_kind kind, struct str json, struct buf *out)
{
    int level = 2;
    size_t from = 0;

    for (size_t i = 0; i + strlen(SIM_FAULT_MARK) <= json.len; i++) {
        if (str_starts(str_sub(json, i, json.len), STR(SIM_FAULT_MARK))) {
            buf_put(out, str_sub(json, from, i));
            buf_put(out, spoil_of(kind, level));
            level = 1;
            from = i + strlen(SIM_FAULT_MARK);
        }
    }
    buf_put(out, str_sub(json, from, json.len));
}

void sim_fault_clean(enum sim_fault_kind kind, struct str text, struct buf *out)
{
    struct str mark = STR(SIM_FAULT_MARK);
    size_t at = 0;
    char *clean;
    bool changed;

    while (at + mark.len < text.len && !str_starts(str_sub(text, at, text.len), mark)) {
        at++;
    }
    buf_put(out, str_sub(text, 0, at));
    if (kind == SIM_FAULT_KIND_SURROGATE) {
        buf_put(out, STR("\xef\xbf\xbd"));
    } else if (kind == SIM_FAULT_KIND_BAD_UTF8) {
        struct str bad = spoil_of(kind, 1);

        clean = buf_reserve(out, UTF8_CLEAN_MAX(bad.len));
        if (clean) {
            buf_commit(out, utf8_clean(bad, clean, &changed));
        }
    }
    buf_put(out, str_sub(text, at + mark.len, text.len));
}
