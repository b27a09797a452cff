#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server/core/hash.h"
#include "server/db/private_pg_priv.h"

/* LIMIT: of the path of a unix socket, "/.s.PGSQL.5432" included; the system allows 107. */
enum { SOCKET_PATH_MAX = 100 };
#define SOCKET_NAME "/.s.PGSQL.5432"

/* --- small things --- */

enum err_code pg_path(char *out, size_t size, struct err *err, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(out, size, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= size) {
        return err_set(err, ERR_INVALID, "the path is too long: %s", out);
    }
    return ERR_OK;
}

ssize_t pg_read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        return -1;
    }
    n = read(fd, out, size - 1);
    close(fd);
    if (n >= 0) {
        out[n] = '\0';
    }
    return n;
}

void pg_last_line(const char *path, char *out, size_t size)
{
    char tail[2048];
    struct str text = {tail, 0};
    struct str line;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    out[0] = '\0';
    if (fd < 0) {
        return;
    }
    if (lseek(fd, -(off_t)sizeof(tail), SEEK_END) < 0) {
        (void)lseek(fd, 0, SEEK_SET);
    }
    ssize_t n = read(fd, tail, sizeof(tail));
    close(fd);
    text.len = n > 0 ? (size_t)n : 0;
    while (str_split(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.len > 0) {
            (void)snprintf(out, size, STR_FMT, STR_ARG(line));
        }
    }
}

static enum err_code write_file(const char *path, const char *mode, const char *text,
                                struct err *err)
{
    FILE *f = fopen(path, mode);
    bool ok = f && fputs(text, f) >= 0;

    ok = (!f || fclose(f) == 0) && ok;
    return ok ? ERR_OK : err_set_sys(err, ERR_IO, errno, "%s", path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* --- programs --- */

static int version_of(const char *bin)
{
    const struct str intro = STR("postgres (PostgreSQL) ");
    char path[PG_PATH_BYTES + 16];
    char text[256];
    const char *argv[] = {path, "--version", NULL};

    (void)snprintf(path, sizeof(path), "%s/postgres", bin);
    if (access(path, X_OK) || pg_proc_read(argv, text, sizeof(text)) != 0 ||
        !str_starts(str_of(text), intro)) {
        return 0;
    }
    return (int)strtol(text + intro.len, NULL, 10);
}

struct search {
    int wanted; /* 0: the newest */
    int best;
    int newest; /* of all that were seen */
    char bin[PG_PATH_BYTES];
};

static void consider(struct search *s, struct str bin)
{
    char path[PG_PATH_BYTES];
    int version;

    if (bin.len == 0 || bin.len >= sizeof(path)) {
        return;
    }
    (void)snprintf(path, sizeof(path), STR_FMT, STR_ARG(bin));
    version = version_of(path);
    s->newest = version > s->newest ? version : s->newest;
    if (version >= PG_OLDEST && version > s->best && (!s->wanted || version == s->wanted)) {
        s->best = version;
        memcpy(s->bin, path, sizeof(path));
    }
}

static void search_programs(struct search *s)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                                           "/usr/local/pgsql/bin"};
    const char *path = getenv("PATH");
    struct str rest = str_of(path ? path : "");
    struct str dir;

    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        glob_t g;

        if (glob(patterns[i], 0, NULL, &g) == 0) {
            for (size_t k = 0; k < g.gl_pathc; k++) {
                consider(s, str_of(g.gl_pathv[k]));
            }
            globfree(&g);
        }
    }
    while (!s->best && str_split(&rest, ':', &dir)) {
        consider(s, dir);
    }
}

/* The cluster's version if there is a cluster, 0 if there is none yet. */
static enum err_code cluster_version(const struct private_pg_place *p, int *ret, struct err *err)
{
    char path[PG_PATH_BYTES];
    char text[32];
    struct stat st;
    enum err_code code = pg_path(path, sizeof(path), err, "%s/PG_VERSION", p->cluster);

    if (code) {
        return code;
    }
    if (stat(p->cluster, &st)) {
        *ret = 0;
        return errno == ENOENT ? ERR_OK : err_set_sys(err, ERR_IO, errno, "%s", p->cluster);
    }
    if (pg_read_file(path, text, sizeof(text)) < 0) {
        return err_set(err, ERR_CONFLICT, "%s is no PostgreSQL cluster: move it away", p->cluster);
    }
    *ret = (int)strtol(text, NULL, 10);
    return ERR_OK;
}

static enum err_code find_programs(struct private_pg_place *p, struct err *err)
{
    struct search s = {0};
    enum err_code code = cluster_version(p, &s.wanted, err);

    if (code) {
        return code;
    }
    search_programs(&s);
    if (!s.best && s.wanted) {
        return err_set(err, ERR_NOT_FOUND,
                       "%s was made by PostgreSQL %d, which is not installed: "
                       "apt-get install postgresql-%d, or move the directory away",
                       p->cluster, s.wanted, s.wanted);
    }
    if (!s.best) {
        return err_set(err, ERR_NOT_FOUND,
                       "no PostgreSQL %d or newer is installed (found: %d): apt-get install "
                       "postgresql, or set database_url",
                       PG_OLDEST, s.newest);
    }
    p->version = s.best;
    memcpy(p->bin, s.bin, sizeof(p->bin));
    return ERR_OK;
}

/* --- directories --- */

/* mkdir -p; what is missing becomes ours alone. */
static enum err_code make_dirs(const char *path, struct err *err)
{
    char part[PG_PATH_BYTES];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part)) {
        return err_set(err, ERR_INVALID, "the data directory's path is empty or too long");
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] == '/' || i == len) {
            memcpy(part, path, i);
            part[i] = '\0';
            if (mkdir(part, 0700) && errno != EEXIST) {
                return err_set_sys(err, ERR_IO, errno, "cannot make %s", part);
            }
        }
    }
    return ERR_OK;
}

enum err_code pg_setup_place(struct private_pg_place *p, const char *data_dir, struct err *err)
{
    char real[PG_PATH_BYTES];
    enum err_code code = make_dirs(data_dir, err);

    *p = (struct private_pg_place){0};
    if (code) {
        return code;
    }
    if (!realpath(data_dir, real)) {
        return err_set_sys(err, ERR_IO, errno, "%s", data_dir);
    }
    code = pg_path(p->data, sizeof(p->data), err, "%s", real);
    if (!code) {
        code = pg_path(p->cluster, sizeof(p->cluster), err, "%s/postgres", p->data);
    }
    if (!code) {
        code = pg_path(p->log, sizeof(p->log), err, "%s/postgres.log", p->data);
    }
    return code ? code : find_programs(p, err);
}

/* A directory that must be ours alone. */
static bool claim_dir(const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) && errno != EEXIST) {
        return false;
    }
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           ((st.st_mode & 077) == 0 || chmod(path, 0700) == 0);
}

enum err_code pg_setup_socket_dir(struct private_pg_place *p, struct err *err)
{
    struct hash64 h;
    char name[32];
    unsigned uid = (unsigned)geteuid();
    enum err_code code =
        pg_path(p->socket_dir, sizeof(p->socket_dir), err, "%s/postgres.socket", p->data);

    if (code) {
        return code;
    }
    if (strlen(p->socket_dir) + strlen(SOCKET_NAME) <= SOCKET_PATH_MAX) {
        return claim_dir(p->socket_dir)
                   ? ERR_OK
                   : err_set_sys(err, ERR_IO, errno, "cannot use %s", p->socket_dir);
    }
    /* Too long: a short place that is the same in every run. */
    hash64_init(&h, 1);
    hash64_str(&h, str_of(p->data));
    (void)snprintf(name, sizeof(name), "danmakud-%08x", (unsigned)hash64_done(&h));
    (void)snprintf(p->socket_dir, sizeof(p->socket_dir), "/run/user/%u/%s", uid, name);
    if (claim_dir(p->socket_dir)) {
        return ERR_OK;
    }
    (void)snprintf(p->socket_dir, sizeof(p->socket_dir), "/tmp/%s-%u", name, uid);
    return claim_dir(p->socket_dir)
               ? ERR_OK
               : err_set(err, ERR_IO, "%s exists and is not ours: remove it", p->socket_dir);
}

/* --- the cluster --- */

static enum err_code run_initdb(const struct private_pg_place *p, const char *dir, struct err *err)
{
    char initdb[PG_PATH_BYTES + 16];
    char log[PG_PATH_BYTES];
    char last[ERR_MSG_BYTES];
    const char *argv[] = {initdb,
                          "-D",
                          dir,
                          "-U",
                          "danmakud",
                          "-A",
                          "trust",
                          "--encoding=UTF8",
                          "--locale=C.UTF-8",
                          "--data-checksums",
                          "--no-instructions",
                          NULL};
    enum err_code code = pg_path(log, sizeof(log), err, "%s/initdb.log", p->data);

    if (code) {
        return code;
    }
    (void)snprintf(initdb, sizeof(initdb), "%s/initdb", p->bin);
    (void)unlink(log);
    if (pg_proc_run(argv, log) != 0) {
        pg_last_line(log, last, sizeof(last));
        return err_set(err, ERR_IO, "initdb failed, see %s: %s", log, last);
    }
    (void)unlink(log);
    return ERR_OK;
}

static enum err_code write_own_files(const char *dir, struct err *err)
{
    char path[PG_PATH_BYTES];
    enum err_code code = pg_path(path, sizeof(path), err, "%s/pg_hba.conf", dir);

    if (!code) {
        code = write_file(path, "we",
                          "# The unix socket is in a directory that only its owner may enter.\n"
                          "local all all trust\n"
                          "local replication all trust\n",
                          err);
    }
    if (!code) {
        code = pg_path(path, sizeof(path), err, "%s/postgresql.conf", dir);
    }
    if (!code) {
        code = write_file(path, "ae",
                          "\n# danmakud writes this file anew at each start:\n"
                          "include_if_exists 'danmakud.conf'\n"
                          "# Settings below this line are yours and win.\n",
                          err);
    }
    return code;
}

/* Made aside and renamed, so that an interrupted initdb leaves nothing that looks like a cluster. */
static enum err_code make_cluster(const struct private_pg_place *p, struct err *err)
{
    char dir[PG_PATH_BYTES];
    struct stat st;
    enum err_code code = pg_path(dir, sizeof(dir), err, "%s/postgres.init", p->data);
    if (!code && stat(dir, &st) == 0) {
        (void)nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
    }
    if (!code) {
        code = run_initdb(p, dir, err);
    }
    if (!code) {
        code = write_own_files(dir, err);
    }
    if (!code && rename(dir, p->cluster)) {
        code = err_set_sys(err, ERR_IO, errno, "%s", p->cluster);
    }
    return code;
}

enum err_code pg_setup_cluster(struct private_pg_place *p, struct err *err)
{
    char real[PG_PATH_BYTES];
    struct stat st;
    enum err_code code = stat(p->cluster, &st) ? make_cluster(p, err) : ERR_OK;

    if (code) {
        return code;
    }
    /* It may be a symbolic link to a larger disk; processes are recognised by the directory behind it. */
    if (!realpath(p->cluster, real)) {
        return err_set_sys(err, ERR_IO, errno, "%s", p->cluster);
    }
    return pg_path(p->cluster, sizeof(p->cluster), err, "%s", real);
}

/* --- configuration --- */

/* Of the machine, or of our container if that has less. */
static int64_t memory_mb(void)
{
    int64_t mb = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) >> 20;
    char text[32];
    int64_t limit;

    if (pg_read_file("/sys/fs/cgroup/memory.max", text, sizeof(text)) > 0 &&
        str_to_i64(str_trim(str_of(text)), &limit) && limit >> 20 < mb) {
        mb = limit >> 20;
    }
    return mb;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    if (v < low) {
        return low;
    }
    return v > high ? high : v;
}

/* Packages may be built without lz4; then the server would not start with it. */
static bool knows_lz4(const struct private_pg_place *p)
{
    char postgres[PG_PATH_BYTES + 16];
    char text[256];
    const char *argv[] = {
        postgres, "-D", p->cluster, "-C", "wal_compression", "-c", "wal_compression=lz4", NULL};

    (void)snprintf(postgres, sizeof(postgres), "%s/postgres", p->bin);
    return pg_proc_read(argv, text, sizeof(text)) == 0;
}

enum err_code pg_setup_conf(const struct private_pg_place *p, struct err *err)
{
    char path[PG_PATH_BYTES];
    char fresh[PG_PATH_BYTES];
    char text[2048];
    int64_t mb = memory_mb();
    enum err_code code = pg_path(path, sizeof(path), err, "%s/danmakud.conf", p->cluster);

    if (!code) {
        code = pg_path(fresh, sizeof(fresh), err, "%s/danmakud.conf.new", p->cluster);
    }
    if (code) {
        return code;
    }
    (void)snprintf(
        text, sizeof(text),
        "# Written by danmakud at each start; your settings belong at the end of postgresql.conf.\n"
        "max_connections = 100\n"
        "shared_buffers = %dMB\n"
        "effective_cache_size = %dMB\n"
        "maintenance_work_mem = %dMB\n"
        "synchronous_commit = on\n"
        "max_wal_size = 1GB\n"
        "checkpoint_timeout = 15min\n"
        "wal_compression = %s\n"
        "autovacuum = on\n"
        "jit = off\n"
        "timezone = 'UTC'\n"
        "log_timezone = 'UTC'\n"
        "log_destination = 'stderr'\n"
        "logging_collector = off\n"
        "log_line_prefix = '%%m [%%p] '\n"
        "log_min_messages = warning\n"
        "log_checkpoints = off\n"
        "log_autovacuum_min_duration = -1\n"
        "# Statements hold what people said.\n"
        "log_min_error_statement = panic\n"
        "log_parameter_max_length_on_error = 0\n",
        (int)clamp(mb / 16, 32, 256), (int)clamp(mb / 2, 128, 65536), (int)clamp(mb / 32, 32, 256),
        knows_lz4(p) ? "lz4" : "on");
    code = write_file(fresh, "we", text, err);
    if (!code && rename(fresh, path)) {
        code = err_set_sys(err, ERR_IO, errno, "%s", path);
    }
    return code;
}
