/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Finding libcurl and its functions. */
#include "host/curl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "host/wiping.h"

/* The ABI has had this number since 2006. */
#ifdef __APPLE__
#define LIBRARY "libcurl.4.dylib"
#else
#define LIBRARY "libcurl.so.4"
#endif

/* to is a pointer to a function; POSIX has them fit a void pointer, and C has no cast for it. */
static bool find(void *library, const char *name, void *to)
{
    void *at = dlsym(library, name);
    memcpy(to, &at, sizeof at);
    return at != NULL;
}

static bool find_all(void *library, kith_curl *to)
{
    bool all = true;
#define FIND(name) all = find(library, "curl_" #name, &to->name) && all;
    KITH_CURL_FUNCTIONS(FIND)
#undef FIND
    return all;
}

const kith_curl *kith_curl_load(const char **why)
{
    static kith_curl curl;
    static bool loaded;
    static char reason[256];
    *why = NULL;
    if (loaded)
        return &curl;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(reason, sizeof reason, "libcurl is needed and cannot be loaded: %.200s", dlerror());
        *why = reason;
    } else if (!find_all(library, &curl)) {
        *why = "the installed libcurl lacks functions that are needed";
    } else if (curl.global_init_mem(CURL_GLOBAL_DEFAULT, kith_wiping_malloc, kith_wiping_free,
                                    kith_wiping_realloc, kith_wiping_strdup, kith_wiping_calloc)) {
        *why = "libcurl cannot be started";
    } else {
        loaded = true;
        return &curl;
    }
    if (library)
        dlclose(library);
    return NULL;
}
