/* Messages of any JSON and of none: drafts that may be stored and shown, the same every time. */
#include "collector/wire/decode.h"

#include "collector/wire/embedded.h"
#include "server/core/buf.h"
#include "server/core/json_read.h"
#include "server/core/mem.h"
#include "server/core/utf8.h"
#include "tests/fuzz/decode_check.h"

/* What can stand between quotes, and of what nothing is changed but escapes. */
static bool is_clean(struct str raw)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '"' || raw.ptr[i] == '\0') {
            return false;
        }
        i += raw.ptr[i] == '\\';
    }
    return utf8_valid(raw);
}

/* The members of an object; false if it is not one, or anything is wrong with it on the way. */
static bool find_plainly(struct str text, struct embedded_want *want, size_t n)
{
    struct json j;
    struct str key, value;
    json_init(&j, text);
    if (!json_enter_object(&j)) {
        return false;
    }
    while (json_next_key(&j, &key) && json_raw(&j, &value)) {
        for (size_t i = 0; i < n; i++) {
            if (!want[i].value.ptr && str_eq(key, want[i].key)) {
                want[i].value = value;
            }
        }
    }
    return json_at_end(&j);
}

/* The members found in place are those found after resolving all escapes, where that gives JSON and cleans nothing. */
static void check_embedded(struct str raw)
{
    struct embedded_want want[] = {
        {.key = {"id_str", 6}}, {.key = {"a", 1}}, {.key = {"emots", 5}}};
    struct embedded_want plain_want[ARRAY_LEN(want)];
    memcpy(plain_want, want, sizeof(want));
    const size_t max = UTF8_CLEAN_MAX(raw.len) + 1;
    char *plain = mem_alloc(max);
    char *value = mem_alloc(max);
    ASSERT(plain && value);
    if (embedded_find(raw, want, ARRAY_LEN(want)) && is_clean(raw) &&
        find_plainly(json_unescape(raw, plain, max), plain_want, ARRAY_LEN(want))) {
        for (size_t i = 0; i < ARRAY_LEN(want); i++) {
            ASSERT((want[i].value.ptr == NULL) == (plain_want[i].value.ptr == NULL));
            ASSERT(str_eq(json_unescape(want[i].value, value, max), plain_want[i].value));
        }
    }
    mem_free(plain);
    mem_free(value);
}

static const char *const wraps[][2] = {
    {"", ""},
    {"{\"cmd\":\"DANMU_MSG\",\"info\":", "}"},
    {"{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,16777215,1,2,0,\"ab\",0,0,0,\"\",0,", "],\"t\"]}"},
    {"{\"cmd\":\"DANMU_MSG\",\"info\":[[0,1,25,16777215,1,2,0,\"ab\",0,0,0,\"\",0,{},{},{\"extra\":"
     "\"",
     "\"}],\"t\"]}"},
    {"{\"cmd\":\"SEND_GIFT\",\"data\":", "}"},
    {"{\"cmd\":\"SUPER_CHAT_MESSAGE\",\"data\":", "}"},
    {"{\"cmd\":\"LIVE\",\"live_key\":", "}"},
    {"{\"cmd\":\"PREPARING\",\"msg_id\":", "}"},
    {"{\"cmd\":\"DANMU_MSG_MIRROR\",\"info\":", "}"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_split(data, size);
    const char *const *wrap = wraps[fuzz_choose(&in, ARRAY_LEN(wraps))];
    struct decoder *d = decoder_new();
    struct buf message;
    buf_init(&message, DECODE_CHECK_MESSAGE_MAX);
    buf_put(&message, str_of(wrap[0]));
    buf_put(&message, in.subject);
    buf_put(&message, str_of(wrap[1]));
    decode_check(d, buf_str(&message));
    check_embedded(in.subject);
    buf_deinit(&message);
    decoder_free(d);
    return 0;
}
