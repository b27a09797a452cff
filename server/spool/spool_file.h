/* server/spool/spool_file.h - segment files: names, blocking operations, walking over records.
 *
 * Blocking: called at startup and from libuv's thread pool, never on the loop.
 *
 * Threading:  any thread.
 * Errors:     functions that return int give 0 or an errno value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/attr.h"
#include "server/core/err.h"
#include "server/core/str.h"
#include "server/spool/spool_record.h"

enum { SPOOL_NAME_BYTES = 21 }; /* 16 hex digits, ".seg", NUL */

void spool_name_format(uint64_t number, char out[static SPOOL_NAME_BYTES]);
MUST_CHECK bool spool_name_parse(const char *name, uint64_t *ret);

/* A new file for writing; EEXIST if there is one. */
MUST_CHECK int spool_file_create(int dirfd, uint64_t name, int *ret_fd);
MUST_CHECK int spool_file_open(int dirfd, uint64_t name, bool write, int *ret_fd);
MUST_CHECK int spool_file_remove(int dirfd, uint64_t name); /* none there is fine */
/* All of bytes at offset at; when it fails, *ret_done bytes of it are there. */
MUST_CHECK int spool_file_write(int fd, uint64_t at, struct str bytes, size_t *ret_done);

/* Walks over the records of [from, end) of a file. from is SPOOL_HEADER_BYTES or the end of a record. */
struct spool_walk {
    int fd;           /* borrowed */
    uint64_t at;      /* offset of the next record */
    uint64_t end;     /* offset past the last */
    uint64_t skipped; /* bytes of records that are intact but not understood */
    int sys;          /* errno of the read that failed, 0: none */
    char *block;      /* owned */
    size_t from;      /* the bytes at `at` are at block + from ... */
    size_t have;      /* ... so many */
};

void spool_walk_init(struct spool_walk *w, int fd, uint64_t from, uint64_t end);
void spool_walk_deinit(struct spool_walk *w);
/* The next record; its strings stay valid until the next call. ERR_NOT_FOUND: that was all. ERR_CORRUPT: the bytes at
 * w->at are damaged, or the file ends within a record. ERR_IO: they cannot be read (w->sys). */
MUST_CHECK enum err_code spool_walk_next(struct spool_walk *w, struct spool_record *ret);
