#include "collector/upstream/keep_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"
#include "server/loop/loop.h"

struct job {
    uv_work_t work;
    char *path, *tmp, *dir, *text; /* owned */
    struct err err;
    enum err_code code;
    keep_file_fn *done;
    void *ctx;
};

static enum err_code write_synced(const struct job *j, struct err *err)
{
    const int fd = open(j->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_sys(err, ERR_IO, errno, "open");
    }
    const size_t len = strlen(j->text);
    const bool ok = write(fd, j->text, len) == (ssize_t)len && fsync(fd) == 0;
    const int why = errno;
    if (close(fd) != 0 || !ok) {
        return err_set_sys(err, ERR_IO, ok ? errno : why, "write");
    }
    return ERR_OK;
}

static enum err_code replace(const struct job *j, struct err *err)
{
    const enum err_code rc = write_synced(j, err);
    if (rc != ERR_OK) {
        return rc;
    }
    if (rename(j->tmp, j->path) != 0) {
        return err_set_sys(err, ERR_IO, errno, "rename");
    }
    const int fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        (void)err_set_sys(err, ERR_IO, errno, "directory");
        if (fd >= 0) {
            (void)close(fd);
        }
        return ERR_IO;
    }
    (void)close(fd);
    return ERR_OK;
}

static void on_work(uv_work_t *work)
{
    struct job *j = work->data;
    j->code = replace(j, &j->err);
}

static void on_done(uv_work_t *work, int status)
{
    struct job *j = work->data;
    if (status < 0) {
        j->code = err_from_uv(&j->err, status, "write"); /* UNTESTED: nobody cancels it */
    }
    j->done(j->ctx, j->code, j->code == ERR_OK ? NULL : &j->err);
    mem_free(j->path);
    mem_free(j->tmp);
    mem_free(j->dir);
    mem_free(j->text);
    mem_free(j);
}

static char *join(struct str a, const char *b)
{
    const size_t len = a.len + strlen(b) + 1;
    char *text = mem_new_array(char, len);
    (void)snprintf(text, len, STR_FMT "%s", STR_ARG(a), b);
    return text;
}

/* Where the file lies; the path as it is has no folder: here. */
static char *folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? join((struct str){path, (size_t)(slash - path)}, "/") : join(STR("."), "");
}

void keep_file_write(struct loop *loop, const char *path, struct str text, keep_file_fn *done,
                     void *ctx)
{
    struct job *j = mem_new(struct job);
    j->work.data = j;
    j->path = join(str_of(path), "");
    j->tmp = join(str_of(path), ".new");
    j->dir = folder(path);
    j->text = join(text, "\n");
    j->done = done;
    j->ctx = ctx;
    const int rc = uv_queue_work(loop_uv(loop), &j->work, on_work, on_done);
    ASSERT(rc == 0);
}

/* A FIFO without a writer would block the loop for ever, a device have no end: neither is read. */
static enum err_code open_regular(const char *path, int *ret, struct err *err)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return err_set_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open");
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return err_set(err, ERR_IO, "it is not a regular file");
    }
    *ret = fd;
    return ERR_OK;
}

enum err_code keep_file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    struct buf text;
    int fd = -1;
    const enum err_code rc = open_regular(path, &fd, err);
    if (rc != ERR_OK) {
        return rc;
    }
    ssize_t n = 1;
    buf_init(&text, max + 1);
    while (n > 0 && text.len <= max) {
        char *at = buf_reserve(&text, max + 1 - text.len);
        n = at ? read(fd, at, max + 1 - text.len) : 0;
        buf_commit(&text, n > 0 ? (size_t)n : 0);
    }
    const int why = errno;
    (void)close(fd);
    if (n < 0 || text.len > max || !buf_ok(&text)) {
        const bool bad = n < 0;
        const bool big = text.len > max;
        buf_deinit(&text);
        return bad ? err_set_sys(err, ERR_IO, why, "read")
                   : err_set(err, big ? ERR_TOO_BIG : ERR_NOMEM, "longer than %zu bytes", max);
    }
    *out = text;
    return ERR_OK;
}
