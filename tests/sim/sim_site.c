#include "tests/sim/sim_site.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "server/core/assert.h"
#include "server/core/hash.h"
#include "server/core/mem.h"
#include "tests/sim/sim_user.h"

enum {
    WTS_SLACK_S = 600,
    MIXIN_BYTES = 32,
    TOKEN_HEAD = 80, /* hex digits: room, uid, end, number, sum */
    TOKEN_MIN = 200,
    QUERY_MAX = 64 * 1024,
};

struct sim_site {
    uint64_t seed;
    struct sim_account accounts[SIM_ACCOUNTS_MAX];
    size_t n_accounts;
    int64_t token_ttl_ms;
    uint64_t keys;      /* how often they were rotated */
    uint64_t n_tokens;  /* given out */
    uint64_t good_from; /* tokens with a smaller number have expired */
};

static bool add_account(struct sim_site *s, const char *text)
{
    struct str rest = str_of(text);
    struct sim_account *a = &s->accounts[s->n_accounts];
    struct str uid = STR_NULL;

    if (s->n_accounts == SIM_ACCOUNTS_MAX || !str_split(&rest, ':', &a->sessdata) ||
        !str_split(&rest, ':', &uid) || !str_to_i64(uid, &a->uid) || a->uid <= 0) {
        return false;
    }
    a->name = rest;
    s->n_accounts++;
    return a->sessdata.len > 0;
}

enum err_code sim_site_new(const struct sim_site_opts *opts, struct sim_site **ret, struct err *err)
{
    struct sim_site *s = mem_new(struct sim_site);

    s->seed = sim_mix(opts->seed, UINT64_C(0x517e));
    s->token_ttl_ms = opts->token_ttl_ms;
    *ret = s;
    for (size_t i = 0; i < opts->n_accounts; i++) {
        if (!add_account(s, opts->accounts[i])) {
            return err_set(err, ERR_INVALID, "--account %s: not SESSDATA:UID:NAME",
                           opts->accounts[i]);
        }
    }
    return ERR_OK;
}

void sim_site_free(struct sim_site *s)
{
    mem_free(s);
}

const struct sim_account *sim_site_account(const struct sim_site *s, struct str sessdata)
{
    for (size_t i = 0; i < s->n_accounts; i++) {
        if (str_eq(s->accounts[i].sessdata, sessdata)) {
            return &s->accounts[i];
        }
    }
    return NULL;
}

/* --- signatures --- */

static void key_of(const struct sim_site *s, uint64_t which, char out[static SIM_WBI_KEY_BYTES])
{
    uint64_t a = sim_mix(s->seed + s->keys, which);

    (void)snprintf(out, SIM_WBI_KEY_BYTES, "%016llx%016llx", (unsigned long long)a,
                   (unsigned long long)sim_mix(a, which));
}

void sim_site_keys(const struct sim_site *s, char img[static SIM_WBI_KEY_BYTES],
                   char sub[static SIM_WBI_KEY_BYTES])
{
    if (s->keys == 0) { /* those of the published examples */
        (void)snprintf(img, SIM_WBI_KEY_BYTES, "7cd084941338484aae1ad9425b84077c");
        (void)snprintf(sub, SIM_WBI_KEY_BYTES, "4932caff0ff746eab6f01bf08b70ac45");
        return;
    }
    key_of(s, 1, img);
    key_of(s, 2, sub);
}

void sim_site_rotate_keys(struct sim_site *s)
{
    s->keys++;
}

static void mixin(const struct sim_site *s, char out[static MIXIN_BYTES])
{
    static const uint8_t places[MIXIN_BYTES] = {
        46, 47, 18, 2,  53, 8, 23, 32, 15, 50, 10, 31, 58, 3,  45, 35,
        27, 43, 5,  49, 33, 9, 42, 19, 29, 28, 14, 39, 12, 38, 41, 13,
    };
    char raw[2 * SIM_WBI_KEY_BYTES];

    sim_site_keys(s, raw, raw + SIM_WBI_KEY_BYTES - 1);
    for (int i = 0; i < MIXIN_BYTES; i++) {
        out[i] = raw[places[i]];
    }
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void put_encoded(struct buf *out, struct str s, bool is_value)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (is_value && memchr("!'()*", c, 5)) {
            continue;
        }
        if (is_unreserved(c)) {
            buf_put_c(out, c);
        } else {
            buf_printf(out, "%%%02X", (unsigned)(uint8_t)c);
        }
    }
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct sim_arg *)a)->key, ((const struct sim_arg *)b)->key);
}

static void md5_hex(struct str s, char out[static SIM_WBI_KEY_BYTES])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = EVP_Digest(s.ptr, s.len, sum, &len, EVP_md5(), NULL);

    ASSERT(ok == 1 && len == 16);
    for (unsigned i = 0; i < len; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
    }
}

bool sim_site_signed(const struct sim_site *s, const struct sim_arg *args, size_t n, int64_t now_ms)
{
    struct sim_arg sorted[SIM_ARGS_MAX];
    char sum[SIM_WBI_KEY_BYTES];
    char key[MIXIN_BYTES];
    struct str w_rid = STR_NULL;
    struct buf query;
    int64_t wts = 0;
    size_t k = 0;
    bool ok;

    for (size_t i = 0; i < n && i < SIM_ARGS_MAX; i++) {
        if (str_eq(args[i].key, STR("w_rid"))) {
            w_rid = args[i].value;
            continue;
        }
        if (str_eq(args[i].key, STR("wts")) && !str_to_i64(args[i].value, &wts)) {
            return false;
        }
        sorted[k++] = args[i];
    }
    if (w_rid.len == 0 || llabs(wts - now_ms / 1000) > WTS_SLACK_S) {
        return false;
    }
    qsort(sorted, k, sizeof(sorted[0]), by_key);
    buf_init(&query, QUERY_MAX);
    for (size_t i = 0; i < k; i++) {
        if (i > 0) {
            buf_put_c(&query, '&');
        }
        put_encoded(&query, sorted[i].key, false);
        buf_put_c(&query, '=');
        put_encoded(&query, sorted[i].value, true);
    }
    mixin(s, key);
    buf_put(&query, (struct str){key, MIXIN_BYTES});
    md5_hex(buf_str(&query), sum);
    ok = buf_ok(&query) && str_eq(w_rid, str_of(sum));
    buf_deinit(&query);
    return ok;
}

/* --- tokens --- */

static uint64_t sum_of(const struct sim_site *s, const uint64_t part[static 4])
{
    uint64_t sum = s->seed;

    for (int i = 0; i < 4; i++) {
        sum = sim_mix(sum, part[i]);
    }
    return sum;
}

static void put_token(const struct sim_site *s, const uint64_t part[static 4], struct buf *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t sum = sum_of(s, part);
    size_t tail = TOKEN_MIN - TOKEN_HEAD + sum % 61;

    for (uint64_t i = 0; i < 4; i++) {
        buf_printf(out, "%016llx", (unsigned long long)(part[i] ^ sim_mix(s->seed, i)));
    }
    buf_printf(out, "%016llx", (unsigned long long)sum);
    for (size_t i = 0; i < tail; i++) {
        buf_put_c(out, letters[sim_mix(sum, i) % 64]);
    }
}

void sim_site_token(struct sim_site *s, int64_t room_id, int64_t uid, struct str buvid,
                    int64_t now_ms, struct buf *out)
{
    const uint64_t part[4] = {(uint64_t)room_id, (uint64_t)uid,
                              s->token_ttl_ms > 0 ? (uint64_t)(now_ms + s->token_ttl_ms) : 0,
                              s->n_tokens++ << 32 | hash_crc32(buvid)};

    put_token(s, part, out);
}

static bool hex_16(struct str s, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = s.ptr[i];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                            : 16;

        if (d == 16) {
            return false;
        }
        *ret = *ret << 4 | d;
    }
    return true;
}

enum sim_token sim_site_check_token(const struct sim_site *s, struct str token, int64_t room_id,
                                    int64_t uid, int64_t now_ms)
{
    uint64_t part[4];
    struct buf again;
    bool same;

    if (token.len < TOKEN_MIN) {
        return SIM_TOKEN_BAD;
    }
    for (uint64_t i = 0; i < 4; i++) {
        if (!hex_16(str_sub(token, i * 16, i * 16 + 16), &part[i])) {
            return SIM_TOKEN_BAD;
        }
        part[i] ^= sim_mix(s->seed, i);
    }
    buf_init(&again, 1024);
    put_token(s, part, &again);
    same = str_eq(token, buf_str(&again)); /* whole: also one that was cut on its way is none */
    buf_deinit(&again);
    if (!same) {
        return SIM_TOKEN_BAD;
    }
    if (part[3] >> 32 < s->good_from || (part[2] > 0 && (int64_t)part[2] <= now_ms)) {
        return SIM_TOKEN_EXPIRED;
    }
    return (int64_t)part[0] == room_id && (int64_t)part[1] == uid ? SIM_TOKEN_OK : SIM_TOKEN_OTHER;
}

bool sim_site_same_device(const struct sim_site *s, struct str token, struct str buvid)
{
    uint64_t last;

    return token.len >= TOKEN_MIN && hex_16(str_sub(token, 48, 64), &last) &&
           ((last ^ sim_mix(s->seed, 3)) & UINT32_MAX) == hash_crc32(buvid);
}

void sim_site_expire_tokens(struct sim_site *s)
{
    s->good_from = s->n_tokens;
}
