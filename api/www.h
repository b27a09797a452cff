/* api/www.h - the files that are embedded at build: the page, and openapi.yaml.
 *
 * Threading:  any thread.
 */
#pragma once

#include "server/core/str.h"

extern const struct str www_index_html;
extern const struct str www_app_js;
extern const struct str www_app_css;
extern const struct str www_icon_svg;
extern const struct str www_openapi_yaml;
