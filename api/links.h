/* api/links.h - the cursors of a page as header fields `Link` (RFC 8288), relative to the request.
 *
 * Threading:  loop thread only.
 */
#pragma once

#include "api/query/page.h"

struct http_req;

/* Left out when it gets too long for a header: the body has the cursors, too. */
void links_add(struct http_req *req, const struct page_links *links);
