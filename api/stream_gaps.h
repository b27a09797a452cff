/* api/stream_gaps.h - event: gap of live streams: what goes missing and what went missing, without an id.
 *
 * Gaps that begin or end are kept, as frames, in a small ring; a stream is a cursor into it and passes over rooms it does not
 * follow. A stream that resumes is first told the gaps after the id it resumes from: from memory, else from the database,
 * for which it waits if need be (data and heartbeats go on meanwhile): after a restart every stream has to ask, so they
 * stand in a line and ask a few at a time. Who fails stands in line again after a while.
 *
 * Threading:  loop thread only.
 * Ownership:  the line is gone after all streams.
 * Limits:     STREAM_GAPS_KEPT gaps; a stream that falls further behind misses the older ones, which is counted.
 *             LEDGER_GAPS_MAX on resume, the last one says `truncated`. HUB_RESUMES_MAX questions under way, those of
 *             streams that have left included. While the database is away or takes no question the line rests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/query/spans.h"

struct api;
struct frame;
struct gap_log;
struct resume_line;
struct rng;
struct stream;

enum { STREAM_GAPS_KEPT = 1024, STREAM_GAPS_SCAN = 64 };

struct gap_log *gap_log_new(void);
void gap_log_free(struct gap_log *g); /* NULL is fine */
uint64_t gap_log_head(const struct gap_log *g);
/* span: began (to_ms SPAN_OPEN) or is over. NULL: out of memory, or it is none that streams hear of. Returns whether it is in. */
bool gap_log_add(struct gap_log *g, const struct span *span);

struct resume_line *resume_line_new(struct api *a, struct rng *rng);
void resume_line_free(struct resume_line *line); /* NULL is fine */

/* Of a stream: begins the telling of what it missed. */
void stream_gaps_resume(struct stream *s, int64_t resume_id);
/* The next frame to send, a reference for the caller; NULL: none now. */
struct frame *stream_gaps_next(struct stream *s);
/* Passes over gaps of rooms it does not follow. True: there is one to tell, or more than STREAM_GAPS_SCAN to look at, which
 * the stream then does when it is pulled. */
bool stream_gaps_scan(struct stream *s);
void stream_gaps_deinit(struct stream *s);
