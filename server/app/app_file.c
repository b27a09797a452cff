#include "server/app/app_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/core/assert.h"
#include "server/core/mem.h"

static char *path_of(const char *dir, const char *name, const char *suffix)
{
    size_t len = strlen(dir) + strlen(name) + strlen(suffix) + 2;
    char *path = mem_new_array(char, len);
    (void)snprintf(path, len, "%s/%s%s", dir, name, suffix);
    return path;
}

void app_file_init(struct app_file *f, struct loop *loop, const char *dir, const char *name)
{
    f->loop = loop;
    f->path = path_of(dir, name, "");
    f->path_new = path_of(dir, name, ".new");
    f->work.data = f;
}

void app_file_deinit(struct app_file *f)
{
    ASSERT(!f->busy);
    mem_free(f->path);
    mem_free(f->path_new);
}

char *app_file_read(struct app_file *f, size_t max, size_t *ret_len, bool *ret_ok)
{
    size_t len = 0;
    ssize_t n = 0;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    f->there = true;
    char *text = mem_new_array(char, max + 1);
    while (len < max && (n = read(fd, text + len, max - len)) > 0) {
        len += (size_t)n;
    }
    (void)close(fd);
    *ret_ok = n >= 0;
    *ret_len = len;
    return text;
}

/* In the thread pool, or when there is no loop. */
static void write_work(uv_work_t *work)
{
    struct app_file *f = work->data;
    size_t at = 0;
    f->sys = 0;
    errno = 0;
    int fd = open(f->path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (fd >= 0 && at < f->text.len) {
        ssize_t n = write(fd, f->text.data + at, f->text.len - at);
        if (n <= 0) {
            break;
        }
        at += (size_t)n;
    }
    bool written = fd >= 0 && at == f->text.len;
    if (written && f->sync) {
        written = fdatasync(fd) == 0; /* off the loop */
    }
    if (!written || rename(f->path_new, f->path) != 0) {
        f->sys = errno != 0 ? errno : EIO;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void remove_work(uv_work_t *work)
{
    struct app_file *f = work->data;
    f->sys = unlink(f->path) != 0 && errno != ENOENT ? errno : 0;
}

static void on_written(uv_work_t *work, int status)
{
    struct app_file *f = work->data;
    f->busy = false;
    buf_deinit(&f->text);
    f->sys = status != 0 ? -status : f->sys;
    f->there = f->there || f->sys == 0;
    if (f->done != NULL) {
        f->done(f->ctx, f->sys);
    }
}

static void on_removed(uv_work_t *work, int status)
{
    struct app_file *f = work->data;
    f->busy = false;
    f->there = status != 0 || f->sys != 0;
}

void app_file_write(struct app_file *f, struct buf *take)
{
    ASSERT(!f->busy);
    f->text = *take;
    *take = (struct buf){0};
    f->busy = true;
    const int status = uv_queue_work(loop_uv(f->loop), &f->work, write_work, on_written);
    if (status != 0) {
        on_written(&f->work, status);
    }
}

void app_file_remove(struct app_file *f)
{
    ASSERT(!f->busy);
    f->busy = uv_queue_work(loop_uv(f->loop), &f->work, remove_work, on_removed) == 0;
}

int app_file_write_now(struct app_file *f, struct buf *take)
{
    ASSERT(!f->busy);
    f->text = *take;
    *take = (struct buf){0};
    write_work(&f->work);
    buf_deinit(&f->text);
    return f->sys;
}

void app_file_remove_now(struct app_file *f)
{
    ASSERT(!f->busy);
    remove_work(&f->work);
}
