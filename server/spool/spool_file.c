#include "server/spool/spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

enum { BLOCK_BYTES = 256 << 10 };
static_assert((int)BLOCK_BYTES >= 2 * (SPOOL_RECORD_MAX + SPOOL_RECORD_HEAD_BYTES),
              "a block holds any record");

static const char suffix[] = ".seg";

void spool_name_format(uint64_t number, char out[static SPOOL_NAME_BYTES])
{
    (void)snprintf(out, SPOOL_NAME_BYTES, "%016llx%s", (unsigned long long)number, suffix);
}

bool spool_name_parse(const char *name, uint64_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        const char *d = name[i] != '\0' ? strchr(digits, name[i]) : NULL;
        if (d == NULL) {
            return false;
        }
        v = v << 4 | (uint64_t)(d - digits);
    }
    if (strcmp(name + 16, suffix) != 0 ||
        v > INT64_MAX) { /* we make none that is larger than an id */
        return false;
    }
    *ret = v;
    return true;
}

static int open_flags(int dirfd, uint64_t name, int flags, int *ret_fd)
{
    char path[SPOOL_NAME_BYTES];
    spool_name_format(name, path);
    int fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    *ret_fd = fd;
    return 0;
}

int spool_file_create(int dirfd, uint64_t name, int *ret_fd)
{
    return open_flags(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, ret_fd);
}

int spool_file_open(int dirfd, uint64_t name, bool write, int *ret_fd)
{
    return open_flags(dirfd, name, write ? O_RDWR : O_RDONLY, ret_fd);
}

int spool_file_remove(int dirfd, uint64_t name)
{
    char path[SPOOL_NAME_BYTES];
    spool_name_format(name, path);
    return unlinkat(dirfd, path, 0) == 0 || errno == ENOENT ? 0 : errno;
}

int spool_file_write(int fd, uint64_t at, struct str bytes, size_t *ret_done)
{
    size_t done = 0;
    int sys = 0;
    while (done < bytes.len && sys == 0) {
        ssize_t n = pwrite(fd, bytes.ptr + done, bytes.len - done, (off_t)(at + done));
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            sys = ENOSPC; /* nothing written and no reason given: there is no room */
        } else if (errno != EINTR) {
            sys = errno;
        }
    }
    *ret_done = done;
    return sys;
}

void spool_walk_init(struct spool_walk *w, int fd, uint64_t from, uint64_t end)
{
    *w = (struct spool_walk){.fd = fd, .at = from, .end = end > from ? end : from};
    w->block = mem_zero_or_abort(1, BLOCK_BYTES);
}

void spool_walk_deinit(struct spool_walk *w)
{
    mem_free(w->block);
    w->block = NULL;
}

/* More bytes behind those in the block; false: there are none, or they cannot be read. */
static bool fill(struct spool_walk *w)
{
    uint64_t next = w->at + w->have;
    size_t room = BLOCK_BYTES - w->have;
    ssize_t n;
    if (next >= w->end) {
        return false;
    }
    if (w->have > 0 && w->from > 0) {
        memmove(w->block, w->block + w->from, w->have);
    }
    w->from = 0;
    if (room > w->end - next) {
        room = (size_t)(w->end - next);
    }
    do {
        n = pread(w->fd, w->block + w->have, room, (off_t)next);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        w->sys = errno;
    }
    w->have += n > 0 ? (size_t)n : 0;
    return n > 0;
}

enum err_code spool_walk_next(struct spool_walk *w, struct spool_record *ret)
{
    for (;;) {
        size_t used = 0;
        enum err_code code =
            spool_record_get((struct str){w->block + w->from, w->have}, &used, ret);
        if (code == ERR_OK || code == ERR_INVALID) {
            w->from += used;
            w->have -= used;
            w->at += used;
            if (code == ERR_OK) {
                return ERR_OK;
            }
            w->skipped += used;
        } else if (code != ERR_RETRY) {
            return ERR_CORRUPT;
        } else if (!fill(w)) {
            if (w->sys != 0) {
                return ERR_IO;
            }
            return w->have == 0 && w->at == w->end ? ERR_NOT_FOUND : ERR_CORRUPT;
        }
    }
}
