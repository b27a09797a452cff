#include "api/links.h"

#include "server/core/buf.h"
#include "server/http/http.h"

enum { LINK_BYTES = 2048 };

/* Percent-encodes all but unreserved characters (RFC 3986). */
static void put_encoded(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == ',';
        if (plain) {
            buf_put_c(out, (char)c);
        } else {
            buf_put_c(out, '%');
            buf_put_c(out, hex[c >> 4]);
            buf_put_c(out, hex[c & 15]);
        }
    }
}

/* The same list with another cursor: RFC 8288, relative to the request. */
static void put_link(struct http_req *req, struct buf *out, const char *cursor, const char *rel)
{
    buf_put(out, out->len > 0 ? STR(", <") : STR("<"));
    buf_put(out, http_req_path(req));
    buf_put(out, STR("?cursor="));
    buf_put(out, (struct str){cursor, CURSOR_TEXT_LEN});
    for (size_t i = 0; i < http_req_query_n(req); i++) {
        struct str name;
        struct str value;
        http_req_query(req, i, &name, &value);
        if (str_eq(name, STR("cursor"))) {
            continue;
        }
        buf_put_c(out, '&');
        put_encoded(out, name);
        buf_put_c(out, '=');
        put_encoded(out, value);
    }
    buf_put(out, STR(">; rel=\""));
    buf_put(out, str_of(rel));
    buf_put_c(out, '"');
}

void links_add(struct http_req *req, const struct page_links *links)
{
    struct buf b;
    buf_init(&b, LINK_BYTES);
    if (links->has_next) {
        put_link(req, &b, links->next, "next");
    }
    if (links->has_prev) {
        put_link(req, &b, links->prev, "prev");
    }
    if (b.len > 0 && buf_ok(&b)) { /* too long for a header: the body has the cursors */
        http_add_header(req, "Link", buf_str(&b));
    }
    buf_deinit(&b);
}
