/* Runs a fuzz target on the files given, folders meaning all files in them: for builds without libFuzzer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "server/core/buf.h"
#include "server/core/mem.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 16 << 20, PATH_BYTES_MAX = 4096 };

/* An allocation of just the size, so that a sanitizer sees the first byte read too far. */
static void run_exact(struct str bytes)
{
    uint8_t *exact = mem_alloc(bytes.len > 0 ? bytes.len : 1);
    ASSERT(exact != NULL);
    if (bytes.len > 0) {
        memcpy(exact, bytes.ptr, bytes.len);
    }
    (void)LLVMFuzzerTestOneInput(exact, bytes.len);
    mem_free(exact);
}

static bool run_file(const char *path)
{
    struct buf b;
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return false;
    }
    buf_init(&b, INPUT_BYTES_MAX);
    for (;;) {
        char *room = buf_reserve(&b, 4096);
        size_t n = room != NULL ? fread(room, 1, 4096, f) : 0;
        if (n == 0) {
            break;
        }
        buf_commit(&b, n);
    }
    bool ok = buf_ok(&b) && ferror(f) == 0;
    (void)fclose(f);
    if (ok) {
        (void)fprintf(stderr, "%s\n", path); /* the last line before a crash tells which input */
        run_exact(buf_str(&b));
    }
    buf_deinit(&b);
    return ok;
}

static int n_files(const char *path);

static int n_folder_files(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    int files = 0;
    for (int i = 0; i < n; i++) {
        char name[PATH_BYTES_MAX];
        bool hidden = entries[i]->d_name[0] == '.';
        (void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        int sub = hidden || files < 0 ? 0 : n_files(name);
        files = sub < 0 ? -1 : files + sub;
        free(entries[i]); /* scandir's */
    }
    free(n >= 0 ? entries : NULL);
    return n < 0 ? -1 : files;
}

/* Runs all below path: how many files, or -1. */
static int n_files(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return -1;
    }
    return S_ISDIR(st.st_mode) ? n_folder_files(path) : (run_file(path) ? 1 : -1);
}

int main(int argc, char **argv)
{
    int total = 0;
    run_exact(STR(""));
    for (int i = 1; i < argc; i++) {
        int n = n_files(argv[i]);
        if (n <= 0) {
            (void)fprintf(stderr, "%s: no inputs\n", argv[i]);
            return 1;
        }
        total += n;
    }
    (void)printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
