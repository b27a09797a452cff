/* server/app/app_file.h - a small file of data_dir that is read once, at a start, and then only written anew, as a whole.
 *
 * A write goes to NAME.new, in the thread pool, and is renamed over the file: who reads it finds the old text or the new one.
 *
 * Threading:  loop thread only; app_file_read and the functions that end in _now block: before the loop runs, or after.
 * Ownership:  app_file_write takes the text.
 * Limits:     app_file_read's max; one write or removal at a time (busy).
 * Errors:     told by done, as an errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/core/attr.h"
#include "server/core/buf.h"
#include "server/loop/loop.h"

struct app_file {
    struct loop *loop; /* borrowed */
    char *path;        /* owned, as what follows */
    char *path_new;
    struct buf text; /* being written */
    uv_work_t work;
    bool sync; /* a power loss must not leave an empty one: to the disk before the name changes */
    bool busy;
    bool there; /* there is a file, as far as is known */
    int sys;
    void (*done)(void *ctx, int sys); /* of app_file_write; 0: it is there */
    void *ctx;
};

void app_file_init(struct app_file *f, struct loop *loop, const char *dir, const char *name);
void app_file_deinit(struct app_file *f); /* the loop is over */
/* The whole text, to be freed by mem_free; NULL: there is none. *ret_ok: and all of it was read. */
char *app_file_read(struct app_file *f, size_t max, size_t *ret_len, bool *ret_ok);
void app_file_write(struct app_file *f, struct buf *take);
void app_file_remove(struct app_file *f);
int app_file_write_now(struct app_file *f, struct buf *take); /* an errno, or 0 */
void app_file_remove_now(struct app_file *f);
