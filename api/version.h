/* api/version.h - the name that answers give. DM_VERSION comes from CMake.
 *
 * Threading:  any thread.
 */
#pragma once

#define API_SERVER "danmakud/" DM_VERSION
