/* tests/support/tmp.h - a directory of its own for a case.
 *
 * Threading:  main thread.
 */
#pragma once

enum { TMP_PATH_BYTES = 256 };

struct tmp_dir {
    char path[TMP_PATH_BYTES]; /* under TMPDIR or /tmp; short enough for unix sockets within */
};

void tmp_dir_make(struct tmp_dir *d);
void tmp_dir_remove(struct tmp_dir *d); /* and all that is in it */
/* path of a name in it, into out */
void tmp_path(const struct tmp_dir *d, const char *name, char out[static TMP_PATH_BYTES]);
