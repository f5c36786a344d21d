/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where kith keeps its files: KITH_HOME for everything, or the XDG base directories. */
#ifndef KITH_HOST_PATHS_H
#define KITH_HOST_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#define KITH_PATH_MAX 1024

typedef enum kith_place {
    KITH_PLACE_CONFIG, /* KITH_HOME, or $XDG_CONFIG_HOME/kith: kith.ini, identity */
    /* KITH_HOME, or $XDG_STATE_HOME/kith: peers.db, trust.db, messages.db, kith.log, control.sock, kith.pid. The last two are not in $XDG_RUNTIME_DIR, since
     * a service, a cron job and a shell over ssh have it or not, and must find each other. */
    KITH_PLACE_STATE,
    KITH_PLACE_CACHE, /* KITH_HOME/cache, or $XDG_CACHE_HOME/kith: what may be deleted at any time */
} kith_place;

/* The path of a file in a place, NUL-terminated. False: longer than KITH_PATH_MAX, or no home folder is known. Makes nothing. */
bool kith_path(kith_place place, const char *file, char out[KITH_PATH_MAX]);
/* Makes the place's folder and its parents, mode 0700. 0, or -errno. */
int kith_path_make(kith_place place);

#endif
