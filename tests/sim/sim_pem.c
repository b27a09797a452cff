#include "tests/sim/sim_pem.h"

#include <errno.h>
#include <stdio.h>

enum { PEM_PATH_BYTES = 4096, PEM_BLOCK_BYTES = 4096 };

enum err_code sim_pem_read(const char *file, const char *dir, const char *name, struct buf *out,
                           struct err *err)
{
    char path[PEM_PATH_BYTES];
    FILE *f;
    size_t n = 1;

    if (dir) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
        file = path;
    }
    f = fopen(file, "re");
    if (!f) {
        return err_set_sys(err, ERR_IO, errno, "%s", file);
    }
    while (n > 0) {
        char *to = buf_reserve(out, PEM_BLOCK_BYTES);

        n = to ? fread(to, 1, PEM_BLOCK_BYTES, f) : 0;
        buf_commit(out, n);
    }
    (void)fclose(f);
    buf_put_c(out, '\0');
    return buf_ok(out) ? ERR_OK : err_set(err, ERR_IO, "%s: too big", file);
}
