#include "collector/wire/inflate.h"

#include <stdint.h>

#include <brotli/decode.h>
#include <libdeflate.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { INFLATE_FIRST_BYTES = 64 * 1024 };

struct inflate_out {
    uint8_t *data; /* owned */
    size_t cap;
};

struct inflate {
    struct libdeflate_decompressor *deflate; /* owned; made when the first zlib body comes */
    struct inflate_out out[INFLATE_LEVELS];
};

struct inflate *inflate_new(void)
{
    return mem_new(struct inflate);
}

void inflate_free(struct inflate *z)
{
    if (!z) {
        return;
    }
    libdeflate_free_decompressor(z->deflate);
    for (size_t i = 0; i < ARRAY_LEN(z->out); i++) {
        mem_free(z->out[i].data);
    }
    mem_free(z);
}

void inflate_trim(struct inflate *z)
{
    for (size_t i = 0; i < ARRAY_LEN(z->out); i++) {
        if (z->out[i].cap > INFLATE_KEEP_BYTES) {
            mem_free(z->out[i].data);
            z->out[i] = (struct inflate_out){0};
        }
    }
}

/* Doubles the buffer, at most to limit. What it holds stays. */
static enum err_code out_grow(struct inflate_out *out, size_t limit)
{
    size_t cap = out->cap ? out->cap * 2 : INFLATE_FIRST_BYTES;
    cap = cap < limit ? cap : limit;
    if (cap <= out->cap) {
        return ERR_TOO_BIG;
    }
    uint8_t *data = mem_realloc(out->data, cap);
    if (!data) {
        return ERR_NOMEM;
    }
    out->data = data;
    out->cap = cap;
    return ERR_OK;
}

static size_t out_room(const struct inflate_out *out, size_t limit)
{
    return out->cap < limit ? out->cap : limit;
}

static enum err_code run_zlib(struct inflate *z, struct inflate_out *out, struct str in,
                              size_t limit, size_t *ret_len)
{
    if (!z->deflate) {
        /* The setting is the library's, not ours, but it never changes once made. */
        libdeflate_set_memory_allocator(mem_alloc, mem_free);
        z->deflate = libdeflate_alloc_decompressor();
        if (!z->deflate) {
            return ERR_NOMEM;
        }
    }
    for (;;) {
        const enum libdeflate_result result = libdeflate_zlib_decompress(
            z->deflate, in.ptr, in.len, out->data, out_room(out, limit), ret_len);
        if (result == LIBDEFLATE_SUCCESS) {
            return ERR_OK;
        }
        if (result != LIBDEFLATE_INSUFFICIENT_SPACE) {
            return ERR_CORRUPT;
        }
        const enum err_code err = out_grow(out, limit);
        if (err != ERR_OK) {
            return err;
        }
    }
}

static void *brotli_alloc(void *opaque, size_t size)
{
    (void)opaque;
    return mem_alloc(size);
}

static void brotli_free(void *opaque, void *p)
{
    (void)opaque;
    mem_free(p);
}

static enum err_code brotli_error(const BrotliDecoderState *s)
{
    const int code = (int)BrotliDecoderGetErrorCode(s);
    const bool is_alloc = code <= (int)BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                          code >= (int)BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
    return is_alloc ? ERR_NOMEM : ERR_CORRUPT;
}

/* The streaming interface, because it goes on where it was after the buffer has grown; with a buffer that is large
 * enough it costs the same as the one-shot call. */
static enum err_code brotli_stream(BrotliDecoderState *s, struct inflate_out *out, struct str in,
                                   size_t limit, size_t *ret_len)
{
    const uint8_t *next_in = (const uint8_t *)in.ptr;
    size_t avail_in = in.len;
    size_t len = 0;
    for (;;) {
        const size_t room = out_room(out, limit) - len;
        uint8_t *next_out = out->data + len;
        size_t avail_out = room;
        const BrotliDecoderResult result =
            BrotliDecoderDecompressStream(s, &avail_in, &next_in, &avail_out, &next_out, NULL);
        len += room - avail_out;
        if (result == BROTLI_DECODER_RESULT_SUCCESS) {
            *ret_len = len;
            return ERR_OK;
        }
        if (result != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
            return result == BROTLI_DECODER_RESULT_ERROR ? brotli_error(s) : ERR_CORRUPT;
        }
        const enum err_code err = out_grow(out, limit);
        if (err != ERR_OK) {
            return err;
        }
    }
}

static enum err_code run_brotli(struct inflate_out *out, struct str in, size_t limit,
                                size_t *ret_len)
{
    BrotliDecoderState *s = BrotliDecoderCreateInstance(brotli_alloc, brotli_free, NULL);
    if (!s) {
        return ERR_NOMEM;
    }
    const enum err_code err = brotli_stream(s, out, in, limit, ret_len);
    BrotliDecoderDestroyInstance(s);
    return err;
}

enum err_code inflate_run(struct inflate *z, enum inflate_format format, unsigned level,
                          struct str in, size_t limit, struct str *ret)
{
    ASSERT(level < INFLATE_LEVELS);
    struct inflate_out *out = &z->out[level];
    size_t len = 0;
    enum err_code err = ERR_OK;
    if (in.len == 0) {
        return ERR_CORRUPT;
    }
    if (out_room(out, limit) == 0) {
        err = out_grow(out, limit);
    }
    if (err == ERR_OK) {
        err = format == INFLATE_ZLIB ? run_zlib(z, out, in, limit, &len)
                                     : run_brotli(out, in, limit, &len);
    }
    if (err == ERR_OK) {
        *ret = (struct str){(const char *)out->data, len};
    }
    return err;
}
