/* tests/sim/sim_pb.h - protocol buffers by hand: fields into a buf, and base64 of it.
 *
 * A field of value 0, "" or nothing is left out, as proto3 does; where one must be there all the same, say so by _always.
 *
 * Threading:  one user at a time.
 */
#pragma once

#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/str.h"

void sim_pb_int(struct buf *b, unsigned field, int64_t v); /* varint; negative: ten bytes */
void sim_pb_always(struct buf *b, unsigned field, int64_t v);
void sim_pb_str(struct buf *b, unsigned field, struct str s); /* also bytes and packed numbers */
void sim_pb_msg(struct buf *b, unsigned field, const struct buf *sub); /* also an empty one */
void sim_pb_float(struct buf *b, unsigned field, float v);             /* fixed32 */
void sim_pb_base64(struct buf *out, struct str bytes);
