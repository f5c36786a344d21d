/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The places of kith's files. */
#include "host/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *set(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static bool folder(kith_place place, char out[KITH_PATH_MAX])
{
    const char *home = set("KITH_HOME"), *base = NULL, *under = NULL;
    if (home)
        return snprintf(out, KITH_PATH_MAX, "%s%s", home, place == KITH_PLACE_CACHE ? "/cache" : "") <
               KITH_PATH_MAX;
    switch (place) {
    case KITH_PLACE_CONFIG:
        base = set("XDG_CONFIG_HOME");
        under = ".config";
        break;
    case KITH_PLACE_STATE:
        base = set("XDG_STATE_HOME");
        under = ".local/state";
        break;
    case KITH_PLACE_CACHE:
        base = set("XDG_CACHE_HOME");
        under = ".cache";
        break;
    }
    if (base && base[0] == '/') /* the specification: a relative one is to be ignored */
        return snprintf(out, KITH_PATH_MAX, "%s/kith", base) < KITH_PATH_MAX;
    home = set("HOME");
    return home && snprintf(out, KITH_PATH_MAX, "%s/%s/kith", home, under) < KITH_PATH_MAX;
}

bool kith_path(kith_place place, const char *file, char out[KITH_PATH_MAX])
{
    char dir[KITH_PATH_MAX];
    return folder(place, dir) && snprintf(out, KITH_PATH_MAX, "%s/%s", dir, file) < KITH_PATH_MAX;
}

int kith_path_make(kith_place place)
{
    char dir[KITH_PATH_MAX];
    if (!folder(place, dir))
        return -ENAMETOOLONG;
    for (char *p = dir + 1;; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(dir, 0700) && errno != EEXIST)
            return -errno;
        if (c == '\0')
            return 0;
        *p = c;
    }
}
