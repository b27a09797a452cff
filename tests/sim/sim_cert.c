#include "tests/sim/sim_cert.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "server/core/buf.h"
#include "server/core/mem.h"

enum { DAY_S = 86400, YEAR_S = 365 * DAY_S, PATH_BYTES = 4096, NAMES_BYTES = 256 };

struct sim_cert {
    X509 *x509;    /* owned */
    EVP_PKEY *key; /* owned */
};

void sim_cert_free(struct sim_cert *c)
{
    if (c) {
        X509_free(c->x509);
        EVP_PKEY_free(c->key);
        mem_free(c);
    }
}

X509 *sim_cert_x509(const struct sim_cert *c)
{
    return c->x509;
}

EVP_PKEY *sim_cert_key(const struct sim_cert *c)
{
    return c->key;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX v3;
    X509_EXTENSION *e;
    bool ok;

    X509V3_set_ctx(&v3, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
    ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool add_extensions(X509 *x, X509 *issuer, const char *names)
{
    if (!add_extension(x, issuer, NID_subject_key_identifier, "hash")) {
        return false;
    }
    if (!names) {
        return add_extension(x, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
               add_extension(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    return add_extension(x, issuer, NID_authority_key_identifier, "keyid") &&
           add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x, issuer, NID_ext_key_usage, "serverAuth") &&
           add_extension(x, issuer, NID_subject_alt_name, names);
}

static bool set_serial(X509 *x)
{
    uint64_t serial;

    return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1;
}

static bool fill(struct sim_cert *c, const struct sim_cert_opts *o, const struct sim_cert *issuer)
{
    const struct sim_cert *by = issuer ? issuer : c;
    X509_NAME *name;

    c->key = EVP_EC_gen("P-256");
    c->x509 = X509_new();
    if (!c->key || !c->x509) {
        return false;
    }
    name = X509_get_subject_name(c->x509);
    return X509_set_version(c->x509, X509_VERSION_3) == 1 && set_serial(c->x509) &&
           X509_gmtime_adj(X509_getm_notBefore(c->x509), o->from_s) &&
           X509_gmtime_adj(X509_getm_notAfter(c->x509), o->to_s) &&
           X509_set_pubkey(c->x509, c->key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)o->subject,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(c->x509, X509_get_subject_name(by->x509)) == 1 &&
           add_extensions(c->x509, by->x509, o->names) &&
           X509_sign(c->x509, by->key, EVP_sha256()) > 0;
}

enum err_code sim_cert_new(const struct sim_cert_opts *opts, const struct sim_cert *issuer,
                           struct sim_cert **ret, struct err *err)
{
    struct sim_cert *c = mem_new(struct sim_cert);

    if (!fill(c, opts, issuer)) {
        sim_cert_free(c);
        ERR_clear_error();
        return err_set(err, ERR_INTERNAL, "certificate: OpenSSL refuses \"%s\"", opts->subject);
    }
    *ret = c;
    return ERR_OK;
}

/* Beside the path first: nobody ever reads half a file. */
static FILE *create(const char *path, mode_t mode, struct buf *temporary)
{
    int fd;

    buf_printf(temporary, "%s.%ld%c", path, (long)getpid(), 0);
    if (!buf_ok(temporary)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    fd = open(temporary->data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

static enum err_code write_pem(const struct sim_cert *c, const char *path, bool key,
                               struct err *err)
{
    struct buf temporary;
    enum err_code rc = ERR_OK;
    FILE *f;
    bool ok;

    buf_init(&temporary, PATH_BYTES);
    f = create(path, key ? 0600 : 0644, &temporary);
    if (f) {
        ok = (key ? PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL)
                  : PEM_write_X509(f, c->x509)) == 1;
        ok = fclose(f) == 0 && ok;
        if (!ok || rename(temporary.data, path) != 0) {
            (void)unlink(temporary.data);
            f = NULL;
        }
    }
    if (!f) {
        rc = err_set_sys(err, ERR_IO, errno, "%s", path);
    }
    buf_deinit(&temporary);
    return rc;
}

enum err_code sim_cert_write(const struct sim_cert *c, const char *path, const char *key_path,
                             struct err *err)
{
    enum err_code rc = write_pem(c, path, false, err);

    return rc == ERR_OK && key_path ? write_pem(c, key_path, true, err) : rc;
}

/* There, readable, good for a day more, and for this name if there is one. */
static bool is_good(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    time_t soon = time(NULL) + DAY_S;
    bool good = x && X509_cmp_time(X509_get0_notAfter(x), &soon) > 0 &&
                (!name || X509_check_host(x, name, 0, 0, NULL) == 1);

    X509_free(x);
    ERR_clear_error();
    if (f) {
        (void)fclose(f);
    }
    return good;
}

static enum err_code make(const char *ca_path, const char *path, const char *key_path,
                          const char *name, struct err *err)
{
    char names[NAMES_BYTES];
    const struct sim_cert_opts of_ca = {
        .subject = "danmakud-sim test authority", .from_s = -DAY_S, .to_s = 10LL * YEAR_S};
    const struct sim_cert_opts of_server = {
        .subject = "danmakud-sim", .names = names, .from_s = -DAY_S, .to_s = 10LL * YEAR_S};
    struct sim_cert *ca = NULL;
    struct sim_cert *server = NULL;
    enum err_code rc;

    (void)snprintf(names, sizeof(names), "DNS:localhost,IP:127.0.0.1,IP:::1%s%s",
                   name ? ",DNS:" : "", name ? name : "");
    rc = sim_cert_new(&of_ca, NULL, &ca, err);

    if (rc == ERR_OK) {
        rc = sim_cert_new(&of_server, ca, &server, err);
    }
    if (rc == ERR_OK) {
        rc = sim_cert_write(ca, ca_path, NULL, err);
    }
    if (rc == ERR_OK) {
        rc = sim_cert_write(server, path, key_path, err);
    }
    sim_cert_free(server);
    sim_cert_free(ca);
    return rc;
}

enum err_code sim_cert_dir(const char *dir, const char *name, struct err *err)
{
    struct buf paths[3];
    static const char *const names[] = {"ca.pem", "server.pem", "server.key"};
    enum err_code rc = ERR_OK;

    for (int i = 0; i < 3; i++) {
        buf_init(&paths[i], PATH_BYTES);
        buf_printf(&paths[i], "%s/%s%c", dir, names[i], 0);
        if (!buf_ok(&paths[i])) {
            rc = err_set(err, ERR_INVALID, "%s: too long", dir);
        }
    }
    if (rc == ERR_OK && mkdir(dir, 0700) != 0 && errno != EEXIST) {
        rc = err_set_sys(err, ERR_IO, errno, "%s", dir);
    }
    if (rc == ERR_OK && !(is_good(paths[0].data, NULL) && is_good(paths[1].data, name) &&
                          access(paths[2].data, R_OK) == 0)) {
        rc = make(paths[0].data, paths[1].data, paths[2].data, name, err);
    }
    for (int i = 0; i < 3; i++) {
        buf_deinit(&paths[i]);
    }
    return rc;
}
