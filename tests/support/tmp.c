#include "tests/support/tmp.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/test.h"

void tmp_dir_make(struct tmp_dir *d)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(d->path, sizeof(d->path), "%s/dm.XXXXXX", base && base[0] ? base : "/tmp");

    assert_in_range(n, 1, TMP_PATH_BYTES - 64);
    assert_non_null(mkdtemp(d->path));
}

static int remove_one(const char *path, const struct stat *st ATTR_UNUSED, int type ATTR_UNUSED,
                      struct FTW *ftw ATTR_UNUSED)
{
    return remove(path);
}

void tmp_dir_remove(struct tmp_dir *d)
{
    assert_return_code(nftw(d->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), errno);
    d->path[0] = '\0';
}

void tmp_path(const struct tmp_dir *d, const char *name, char out[static TMP_PATH_BYTES])
{
    int n = snprintf(out, TMP_PATH_BYTES, "%s/%s", d->path, name);

    assert_in_range(n, 1, TMP_PATH_BYTES - 1);
}
