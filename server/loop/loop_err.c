#include "server/core/assert.h"
#include "server/loop/loop.h"

static const struct {
    int status;
    enum err_code code;
} codes[] = {
    {UV_ETIMEDOUT, ERR_TIMEOUT},
    {UV_ECANCELED, ERR_CANCELED},
    {UV_EAI_CANCELED, ERR_CANCELED},
    {UV_ENOMEM, ERR_NOMEM},
    {UV_ENOBUFS, ERR_NOMEM},
    {UV_EAI_MEMORY, ERR_NOMEM},
    {UV_EINVAL, ERR_INVALID},
    {UV_ENAMETOOLONG, ERR_INVALID},
    {UV_EAI_BADFLAGS, ERR_INVALID},
    {UV_EACCES, ERR_FORBIDDEN},
    {UV_EPERM, ERR_FORBIDDEN},
    {UV_EROFS, ERR_FORBIDDEN},
    {UV_ENOENT, ERR_NOT_FOUND},
    {UV_ENOTDIR, ERR_NOT_FOUND},
    {UV_EEXIST, ERR_CONFLICT},
    {UV_EADDRINUSE, ERR_CONFLICT},
    {UV_EFBIG, ERR_TOO_BIG},
    {UV_E2BIG, ERR_TOO_BIG},
    {UV_EMSGSIZE, ERR_TOO_BIG},
    {UV_ENOSPC, ERR_FULL},
    {UV_EMFILE, ERR_FULL},
    {UV_ENFILE, ERR_FULL},
    {UV_EAGAIN, ERR_RETRY},
    {UV_EBUSY, ERR_RETRY},
    {UV_EINTR, ERR_RETRY},
    {UV_EAI_AGAIN, ERR_RETRY},
    {UV_ECONNREFUSED, ERR_UNAVAILABLE},
    {UV_EHOSTUNREACH, ERR_UNAVAILABLE},
    {UV_ENETUNREACH, ERR_UNAVAILABLE},
    {UV_ENETDOWN, ERR_UNAVAILABLE},
    {UV_EADDRNOTAVAIL, ERR_UNAVAILABLE},
    {UV_EAI_NONAME, ERR_UNAVAILABLE},
    {UV_EAI_NODATA, ERR_UNAVAILABLE},
    {UV_EAI_FAIL, ERR_UNAVAILABLE},
    {UV_EPROTO, ERR_PROTO},
};

enum err_code err_from_uv(struct err *err, int status, const char *what)
{
    enum err_code code = ERR_IO; /* end of file, reset, broken pipe and whatever else */
    char text[ERR_MSG_BYTES];

    ASSERT(status < 0);
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        if (codes[i].status == status) {
            code = codes[i].code;
            break;
        }
    }
    (void)err_set(err, code, "%s: %s", what, uv_strerror_r(status, text, sizeof(text)));
    if (err) {
        err->sys = status;
    }
    return code;
}
