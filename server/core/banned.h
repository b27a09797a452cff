/* server/core/banned.h - functions nobody may call; included before every source file (cmake/targets.cmake).
 *
 * The headers that declare them come first, because a poisoned name may not appear at all behind the pragma. A
 * third-party header that uses one of the names in its own inline code is added to this list of includes.
 *
 * Use instead: snprintf or struct buf; str_split; str_to_i64; clock_rfc3339; memcpy of a known length.
 *
 * Threading:  any thread.
 */
#pragma once

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets
#pragma GCC poison strtok strtok_r atoi atol atoll atof
#pragma GCC poison gmtime localtime ctime asctime ctime_r asctime_r
#pragma GCC poison tmpnam mktemp usleep
