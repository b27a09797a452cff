#include "server/core/hash.h"

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

/* hash64, fixed for ever: the state takes in one 64-bit word after the other,
 *
 *      state = mix((state ^ word) + STEP)
 *
 * where mix is the output function of splitmix64 (a bijection in which each input bit moves each output bit with a
 * probability near one half). A number is one word. A string is STRING ^ length as one word, then its bytes in
 * little-endian words, the last one padded with zeros. The start is mix(domain + STEP); a result of 0 becomes STEP. */
#define STEP UINT64_C(0x9E3779B97F4A7C15)
#define STRING UINT64_C(0x5354520000000000) /* so that "" is not 0 */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static void take(struct hash64 *h, uint64_t word)
{
    h->state = mix((h->state ^ word) + STEP);
}

static uint64_t le_word(const char *p, size_t n)
{
    uint64_t w = 0;

    memcpy(&w, p, n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

void hash64_init(struct hash64 *h, uint64_t domain)
{
    h->state = mix(domain + STEP);
}

void hash64_str(struct hash64 *h, struct str s)
{
    size_t i = 0;

    take(h, STRING ^ s.len);
    for (; s.len - i >= 8; i += 8) {
        take(h, le_word(s.ptr + i, 8));
    }
    if (i < s.len) {
        take(h, le_word(s.ptr + i, s.len - i));
    }
}

void hash64_i64(struct hash64 *h, int64_t v)
{
    take(h, (uint64_t)v);
}

int64_t hash64_done(const struct hash64 *h)
{
    return (int64_t)(h->state ? h->state : STEP);
}

/* Both CRCs are reflected; a table of 16 serves four bits at a time. */
static const uint32_t crc32_nibble[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
static const uint32_t crc32c_nibble[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};

static uint32_t crc_nibbles(const uint32_t table[16], uint32_t crc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return crc;
}

uint32_t hash_crc32(struct str s)
{
    return ~crc_nibbles(crc32_nibble, UINT32_MAX, (const uint8_t *)s.ptr, s.len);
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_fast(uint32_t crc, const uint8_t *p,
                                                              size_t n)
{
    uint64_t c = crc;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w;

        memcpy(&w, p, sizeof(w));
        c = _mm_crc32_u64(c, w);
    }
    for (; n > 0; n--, p++) {
        c = _mm_crc32_u8((uint32_t)c, *p);
    }
    return (uint32_t)c;
}

static uint32_t crc32c_any(uint32_t crc, const uint8_t *p, size_t n)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_fast(crc, p, n)
                                            : crc_nibbles(crc32c_nibble, crc, p, n);
}
#else
static uint32_t crc32c_any(uint32_t crc, const uint8_t *p, size_t n)
{
    return crc_nibbles(crc32c_nibble, crc, p, n);
}
#endif

uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n)
{
    return ~crc32c_any(~crc, p, n);
}

uint32_t hash_crc32c_portable(uint32_t crc, const void *p, size_t n)
{
    return ~crc_nibbles(crc32c_nibble, ~crc, p, n);
}
