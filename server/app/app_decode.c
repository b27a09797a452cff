/* `danmakud decode [--room N] [--at MS] FILE...|-`: messages or frames in, events out as NDJSON.
 *
 * What a file holds is told by its first byte: 0 begins the length of a packet (packets are shorter than 16 MB), anything
 * else is text: a JSON array of messages, or messages one after the other. The n-th message read, from 0, has the
 * message number n at the time --at, so the same input always gives the same ids. */
#include "server/app/app.h"

#include <stdio.h>

#include "api/encode/event_json.h"
#include "collector/registry.h"
#include "collector/wire/decode.h"
#include "collector/wire/packet.h"
#include "server/app/options.h"
#include "server/core/assert.h"
#include "server/core/buf.h"
#include "server/core/id.h"
#include "server/core/json_read.h"
#include "server/core/json_write.h"
#include "server/core/mem.h"
#include "server/event/event.h"

enum {
    READ_BYTES = 1 << 16,
    FLUSH_BYTES = 1 << 16,
    OUT_BYTES = 64 << 20, /* LIMIT: of one message's events */
    FILE_MAX = 1 << 29,   /* LIMIT: of one file */
    COMMANDS_MAX = 1024,
};

struct decode_run {
    struct decoder *decoder;
    struct registry *registry; /* counts by command */
    struct buf out;
    const char *file; /* of the message at hand */
    int64_t room_id;
    int64_t next_id; /* of the next message */
    uint64_t n_messages;
    uint64_t n_by_status[DECODE_BROKEN + 1];
    uint64_t n_by_kind[EVENT_KIND_END];
    uint64_t n_events;
    uint64_t n_left_out;
    uint64_t n_replies; /* packets that are no messages */
    uint64_t n_faults;
    bool failed; /* a file could not be read, or stdout not written */
};

static void flush(struct decode_run *run)
{
    if (run->out.len > 0 && fwrite(run->out.data, 1, run->out.len, stdout) != run->out.len) {
        run->failed = true;
    }
    buf_clear(&run->out);
}

static void put_event(struct decode_run *run, int64_t id, const struct event_draft *d)
{
    struct json_out w;
    struct event *e = event_new(id, d);
    if (e == NULL) {
        run->failed = true;
        return;
    }
    jw_init(&w, &run->out);
    event_json(&w, e);
    buf_put_c(&run->out, '\n');
    run->n_by_kind[e->kind]++;
    run->n_events++;
    event_unref(&e);
}

static void say_broken(struct decode_run *run, const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: message %llu: %s: %s\n", run->file,
                  (unsigned long long)run->n_messages, what, why);
}

static void on_message(void *ctx, struct str json)
{
    struct decode_run *run = ctx;
    struct decode_result res;
    int64_t id = run->next_id;
    decode_message(run->decoder, run->room_id, json, &res);
    registry_note(run->registry, res.cmd, res.status, 0);
    run->n_by_status[res.status]++;
    run->n_left_out += res.n_left_out;
    for (size_t i = 0; i < res.n; i++) {
        put_event(run, id + (int64_t)i, &res.drafts[i]);
    }
    if (res.status == DECODE_BROKEN) {
        char cmd[DECODE_CMD_MAX + 1];
        (void)snprintf(cmd, sizeof(cmd), STR_FMT, STR_ARG(res.cmd));
        say_broken(run, res.cmd.len > 0 ? cmd : "no command", res.reason);
    }
    run->n_messages++;
    /* More events than a message number has room for take the next numbers too. */
    run->next_id = id_message(id + (res.n > 0 ? (int64_t)res.n - 1 : 0)) + ID_EVENTS_PER_MESSAGE;
    if (run->out.len >= FLUSH_BYTES) {
        flush(run);
    }
}

static void broken(struct decode_run *run, const char *what, const char *why)
{
    say_broken(run, what, why);
    run->n_by_status[DECODE_BROKEN]++;
    run->n_messages++;
    run->next_id += ID_EVENTS_PER_MESSAGE;
}

/* ---- text ---- */

static void read_array(struct decode_run *run, struct str text)
{
    struct json j;
    struct str message;
    json_init(&j, text);
    bool ok = json_enter_array(&j);
    while (ok && json_next_elem(&j)) {
        if (json_raw(&j, &message)) {
            on_message(run, message);
        }
    }
    if (!ok || !json_at_end(&j)) {
        broken(run, "array", "not JSON");
    }
}

static struct str skip_blanks(struct str s)
{
    size_t i = 0;
    while (i < s.len &&
           (s.ptr[i] == ' ' || s.ptr[i] == '\t' || s.ptr[i] == '\n' || s.ptr[i] == '\r')) {
        i++;
    }
    return str_sub(s, i, s.len);
}

/* One value after the other; after one that is none, the next line. */
static void read_values(struct decode_run *run, struct str text)
{
    struct str rest = skip_blanks(text);
    while (rest.len > 0) {
        struct json j;
        struct str message;
        json_init(&j, rest);
        if (json_raw(&j, &message)) {
            on_message(run, message);
            rest = str_sub(rest, (size_t)(message.ptr + message.len - rest.ptr), rest.len);
        } else {
            struct str line;
            broken(run, "text", "not JSON");
            (void)str_split(&rest, '\n', &line);
        }
        rest = skip_blanks(rest);
    }
}

/* ---- frames ---- */

static void on_heartbeat_reply(void *ctx, int64_t popularity)
{
    (void)popularity;
    ((struct decode_run *)ctx)->n_replies++;
}

static void on_auth_reply(void *ctx, struct str body)
{
    (void)body;
    ((struct decode_run *)ctx)->n_replies++;
}

static void on_fault(void *ctx, enum packet_fault fault)
{
    static const char *const texts[] = {
#define X(name, label, text) text,
        PACKET_FAULT_TABLE(X)
#undef X
    };
    struct decode_run *run = ctx;
    if (fault ==
        PACKET_FAULT_OPERATION) { /* what a client sends: a record of both directions is fine */
        run->n_replies++;
        return;
    }
    say_broken(run, "frame", texts[fault]);
    run->n_faults++;
}

static void read_frames(struct decode_run *run, struct str bytes)
{
    const struct packet_sink sink = {
        .on_message = on_message,
        .on_heartbeat_reply = on_heartbeat_reply,
        .on_auth_reply = on_auth_reply,
        .on_fault = on_fault,
        .ctx = run,
    };
    struct packet_stream *stream = packet_stream_new(NULL);
    packet_message(stream, bytes, &sink, NULL);
    packet_stream_free(stream);
}

/* ---- files ---- */

static bool read_file(FILE *f, struct buf *out)
{
    for (;;) {
        char *at = buf_reserve(out, READ_BYTES);
        size_t n = at != NULL ? fread(at, 1, READ_BYTES, f) : 0;
        if (n == 0) {
            return buf_ok(out) && ferror(f) == 0;
        }
        buf_commit(out, n);
    }
}

static void decode_file(struct decode_run *run, const char *path)
{
    bool standard = str_eq(str_of(path), STR("-"));
    FILE *f = standard ? stdin : fopen(path, "rb");
    struct buf data;
    buf_init(&data, FILE_MAX);
    run->file = path;
    if (f == NULL || !read_file(f, &data)) {
        (void)fprintf(stderr, "%s: %s\n", path,
                      buf_ok(&data) ? "cannot be read" : "is longer than 512 MiB");
        run->failed = true;
    } else {
        struct str text = skip_blanks(buf_str(&data));
        if (data.len > 0 && data.data[0] == '\0') {
            read_frames(run, buf_str(&data));
        } else if (text.len > 0 && text.ptr[0] == '[') {
            read_array(run, text);
        } else {
            read_values(run, text);
        }
    }
    if (f != NULL && !standard) {
        (void)fclose(f);
    }
    buf_deinit(&data);
    flush(run);
}

static void put_counts(const struct decode_run *run)
{
    (void)fprintf(stderr,
                  "messages=%llu ok=%llu unknown=%llu broken=%llu frames_broken=%llu "
                  "other_packets=%llu left_out=%llu events=%llu\n",
                  (unsigned long long)run->n_messages,
                  (unsigned long long)run->n_by_status[DECODE_OK],
                  (unsigned long long)run->n_by_status[DECODE_UNKNOWN],
                  (unsigned long long)run->n_by_status[DECODE_BROKEN],
                  (unsigned long long)run->n_faults, (unsigned long long)run->n_replies,
                  (unsigned long long)run->n_left_out, (unsigned long long)run->n_events);
    for (unsigned kind = 0; kind < EVENT_KIND_END; kind++) {
        if (run->n_by_kind[kind] > 0) {
            (void)fprintf(stderr, "kind %s %llu\n", event_kind_name((enum event_kind)kind),
                          (unsigned long long)run->n_by_kind[kind]);
        }
    }
    for (size_t i = 0; i < registry_n(run->registry); i++) {
        const struct registry_entry *e = registry_at(run->registry, i);
        if (e->n[DECODE_UNKNOWN] > 0) {
            (void)fprintf(stderr, "unknown " STR_FMT " %llu\n", STR_ARG(e->cmd),
                          (unsigned long long)e->n[DECODE_UNKNOWN]);
        }
    }
}

/* --room N, --at MS, as two words or one. False: the word is none of them, or its value is none. */
static bool flag(const char *const *args, size_t n_args, size_t *i, const char *name, int64_t *ret)
{
    struct str word = str_of(args[*i]);
    struct str key = str_of(name);
    if (!str_starts(word, key)) {
        return false;
    }
    if (word.len > key.len && word.ptr[key.len] == '=') {
        return str_to_i64(str_sub(word, key.len + 1, word.len), ret) && *ret >= 0;
    }
    return word.len == key.len && *i + 1 < n_args && str_to_i64(str_of(args[++*i]), ret) &&
           *ret >= 0;
}

int app_decode(const char *const *args, size_t n_args)
{
    int64_t at_ms = ID_EPOCH_MS;
    size_t n_files = 0;
    const char **files = mem_new_array(const char *, n_args + 1);
    struct decode_run run = {.failed = false};
    bool usage = false;
    for (size_t i = 0; i < n_args && !usage; i++) {
        if (!str_starts(str_of(args[i]), STR("--"))) {
            files[n_files++] = args[i];
        } else if (!flag(args, n_args, &i, "--room", &run.room_id) &&
                   !flag(args, n_args, &i, "--at", &at_ms)) {
            usage = true;
        }
    }
    if (usage || n_files == 0) {
        mem_free(files);
        return options_usage(COMMAND_DECODE);
    }
    run.next_id = id_first_of_ms(at_ms);
    run.decoder = decoder_new();
    run.registry = registry_new(COMMANDS_MAX);
    buf_init(&run.out, OUT_BYTES);
    for (size_t i = 0; i < n_files; i++) {
        decode_file(&run, files[i]);
    }
    run.failed = fflush(stdout) != 0 || run.failed;
    put_counts(&run);
    buf_deinit(&run.out);
    registry_free(run.registry);
    decoder_free(run.decoder);
    mem_free(files);
    return run.failed || run.n_faults > 0 || run.n_by_status[DECODE_BROKEN] > 0 ? EXIT_FAILED
                                                                                : EXIT_OK;
}
