#include "collector/wire/pack.h"

#include <zstd.h>

#include "collector/wire/pack_dict.h"
#include "server/core/assert.h"
#include "server/core/mem.h"

enum { LEVEL = 1 };

/* By number. */
static const struct str *const dicts[] = {[1] = &pack_dict_1};
static_assert(PACK_DICT == ARRAY_LEN(dicts) - 1, "the newest is used");

struct packer {
    ZSTD_CCtx *deflate; /* owned, as those below; made when first needed */
    ZSTD_DCtx *inflate;
    ZSTD_CDict *with;                   /* PACK_DICT */
    ZSTD_DDict *from[ARRAY_LEN(dicts)]; /* by number */
};

struct packer *packer_new(void)
{
    return mem_new(struct packer);
}

void packer_free(struct packer *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(p->from); i++) {
        ZSTD_freeDDict(p->from[i]);
    }
    ZSTD_freeCDict(p->with);
    ZSTD_freeCCtx(p->deflate);
    ZSTD_freeDCtx(p->inflate);
    mem_free(p);
}

enum err_code pack(struct packer *p, struct str message, struct buf *out, struct err *err)
{
    if (message.len > PACK_PLAIN_MAX) {
        return err_set(err, ERR_TOO_BIG, "a message of %zu bytes", message.len);
    }
    if (p->deflate == NULL) {
        p->deflate = ZSTD_createCCtx();
    }
    if (p->with == NULL) {
        p->with = ZSTD_createCDict(dicts[PACK_DICT]->ptr, dicts[PACK_DICT]->len, LEVEL);
    }
    const size_t room = ZSTD_compressBound(message.len);
    char *to = p->deflate != NULL && p->with != NULL ? buf_reserve(out, room) : NULL;
    if (to == NULL) {
        return err_set(err, ERR_NOMEM, "no memory to pack a message of %zu bytes", message.len);
    }
    const size_t n =
        ZSTD_compress_usingCDict(p->deflate, to, room, message.ptr, message.len, p->with);
    if (ZSTD_isError(n)) {
        return err_set(err, ERR_NOMEM, "zstd: %s", ZSTD_getErrorName(n));
    }
    buf_commit(out, n);
    return ERR_OK;
}

static ZSTD_DDict *dict_of(struct packer *p, int64_t dict)
{
    if (p->from[dict] == NULL) {
        p->from[dict] = ZSTD_createDDict(dicts[dict]->ptr, dicts[dict]->len);
    }
    return p->from[dict];
}

enum err_code unpack(struct packer *p, int64_t dict, struct str packed, struct buf *out,
                     struct err *err)
{
    if (dict < 0 || dict >= (int64_t)ARRAY_LEN(dicts)) {
        return err_set(err, ERR_INVALID, "packed with dictionary %lld, which is not known here",
                       (long long)dict);
    }
    const unsigned long long n = ZSTD_getFrameContentSize(packed.ptr, packed.len);
    if (n == ZSTD_CONTENTSIZE_ERROR || n == ZSTD_CONTENTSIZE_UNKNOWN) {
        return err_set(err, ERR_CORRUPT, "no packed message");
    }
    if (n > PACK_PLAIN_MAX) {
        return err_set(err, ERR_TOO_BIG, "a message of %llu bytes", n);
    }
    if (p->inflate == NULL) {
        p->inflate = ZSTD_createDCtx();
    }
    ZSTD_DDict *from = dict == PACK_PLAIN ? NULL : dict_of(p, dict);
    char *to = p->inflate != NULL && (from != NULL || dict == PACK_PLAIN)
                   ? buf_reserve(out, (size_t)n + 1)
                   : NULL;
    if (to == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a message of %llu bytes", n);
    }
    const size_t got =
        ZSTD_decompress_usingDDict(p->inflate, to, (size_t)n, packed.ptr, packed.len, from);
    if (ZSTD_isError(got)) {
        return err_set(err, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(got));
    }
    buf_commit(out, got);
    return ERR_OK;
}
