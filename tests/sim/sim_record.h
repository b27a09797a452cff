/* tests/sim/sim_record.h - the record of what was handed to whom, one JSON object per line (README.md says what they mean).
 *
 * Threading:  loop thread only.
 * Limits:     written in blocks; sim_record_flush makes a reader of the file see everything so far.
 * Errors:     a failed write is kept and reported by sim_record_close; the record is then useless.
 *             All functions take NULL: no record is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "tests/sim/sim_gen.h"

struct sim_record;

MUST_CHECK enum err_code sim_record_open(const char *path, struct sim_record **ret,
                                         struct err *err);

struct sim_record_conn {
    uint64_t conn;
    int64_t room_id;
    int64_t at_ms;
};
/* line: the object that sim_record_members wrote for the message. */
void sim_record_event(struct sim_record *r, const struct sim_record_conn *c, uint64_t seq, bool dup,
                      struct str line);
/* An authenticated connection begins. */
void sim_record_begin(struct sim_record *r, const struct sim_record_conn *c, int64_t uid,
                      int64_t protover, bool masked);
/* Lines up to acked_seq of lines up to sent_seq have been acknowledged by the client's kernel. why: NULL: asked for;
 * else the connection is closed, and this is final. */
void sim_record_ack(struct sim_record *r, const struct sim_record_conn *c, uint64_t acked_seq,
                    uint64_t sent_seq, const char *why);
/* A fault was played on a connection. */
void sim_record_fault(struct sim_record *r, const struct sim_record_conn *c, const char *kind);
/* A request to the web side; object: what there is to say of it. */
void sim_record_http(struct sim_record *r, int64_t at_ms, struct str object);
void sim_record_flush(struct sim_record *r);
/* The last line, with the counts; frees. false: something could not be written. */
MUST_CHECK bool sim_record_close(struct sim_record *r, int64_t at_ms);

/* What a message's line says about it: one character ('1': its key was sent before), then a JSON object, then \n. A
 * message of two events has two objects with SIM_RECORD_AND between them.
 * Only the \n for kinds that are not recorded. hostile: the fault that made the text, or NULL. */
enum { SIM_RECORD_AND = '\v' }; /* no byte of JSON */
void sim_record_members(const struct sim_msg *m, bool masked, const char *hostile, struct buf *out);
