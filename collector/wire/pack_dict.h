/* collector/wire/pack_dict.h - the dictionaries of pack.c, files of collector/wire/dict that the build embeds. */
#pragma once

#include "server/core/str.h"

extern const struct str pack_dict_1;
