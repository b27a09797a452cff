/* tests/sim/sim_words.h - what simulated viewers say, are called, and give.
 *
 * Threading:  immutable.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/core/buf.h"
#include "server/core/rng.h"

/* One danmaku's text: a stock phrase, a laugh, a sentence, an emoticon; 1 to 40 characters. Appends to out. */
void sim_words_chat(struct rng *rng, struct buf *out);
/* A super chat's message: longer, a request or thanks. */
void sim_words_superchat(struct rng *rng, struct buf *out);
/* A room's title. */
void sim_words_title(struct rng *rng, struct buf *out);
/* A viewer's or anchor's name. hash: 64 independent bits. */
void sim_words_name(uint64_t hash, struct buf *out);
const char *sim_words_medal(uint64_t hash); /* name of a fan medal, 2-3 characters */

/* Emoticons written inside the text, [dog] and the like. */
struct sim_emot {
    const char *name;
    int id;
};
const struct sim_emot *sim_words_emots(size_t *ret_n);

/* Big pictures sent as a whole danmaku (dm_type 1). */
struct sim_sticker {
    const char *text;
    const char *unique; /* "official_147"; starting with "room_" it is completed with the room id */
    int size;
    int dynamic;
};
const struct sim_sticker *sim_words_stickers(size_t *ret_n);

struct sim_gift {
    int id;
    const char *name;
    int price;  /* gold, or silver's nominal price */
    int weight; /* how often */
    int silver; /* free */
    int box;    /* price of the blind box that reveals this gift, 0: bought as it is */
    int box_id;
    const char *box_name;
};
const struct sim_gift *sim_words_gifts(size_t *ret_n);

struct sim_area {
    int id;
    int parent_id;
    const char *name;
    const char *parent_name;
};
const struct sim_area *sim_words_areas(size_t *ret_n);
