/* tests/support/frames.h - makes frames as upstream does, and records what a packet stream makes of them.
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stdint.h>

#include "collector/wire/packet.h"
#include "server/core/buf.h"
#include "server/core/str.h"

/* Appends a packet with any version and operation. */
void frames_put(struct buf *out, uint16_t ver, uint32_t op, struct str body);
/* Appends a header that says what it likes. */
void frames_put_head(struct buf *out, uint32_t packet_len, uint16_t header_len, uint16_t ver,
                     uint32_t op);
void frames_zlib(struct buf *out, struct str plain);   /* appends the compressed form */
void frames_brotli(struct buf *out, struct str plain); /* quality 5, as servers do */
/* Appends one op 5 packet whose body is `packets`, compressed by ver. */
void frames_put_frame(struct buf *out, enum packet_ver ver, struct str packets);

/* Writes one line per call of the sink: "message <text>", "popularity <n>", "auth <text>", "fault <label>". */
struct packet_sink frames_recorder(struct buf *log);
