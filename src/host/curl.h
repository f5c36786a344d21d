/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libcurl, loaded when it is first needed and not with the program: it brings thirty libraries along (Kerberos, LDAP, SSH, another
 * TLS), which would cost every start of kith 3.5 ms and every process 1.2 MB; and on systems where kith's OpenSSL is a static one,
 * libcurl's shared OpenSSL stays a private matter of libcurl's. */
#ifndef KITH_HOST_CURL_H
#define KITH_HOST_CURL_H

#define CURL_DISABLE_TYPECHECK 1 /* its macros want names that are linked */
#include <curl/curl.h>

/* The functions that kith uses; each has the type that libcurl's header gives it. */
#define KITH_CURL_FUNCTIONS(X) \
    X(global_init_mem)         \
    X(easy_init)               \
    X(easy_setopt)             \
    X(easy_getinfo)            \
    X(easy_cleanup)            \
    X(easy_strerror)           \
    X(multi_init)              \
    X(multi_setopt)            \
    X(multi_add_handle)        \
    X(multi_remove_handle)     \
    X(multi_socket_action)     \
    X(multi_info_read)         \
    X(multi_assign)            \
    X(multi_cleanup)           \
    X(slist_append)            \
    X(slist_free_all)

typedef struct kith_curl {
#define KITH_CURL_MEMBER(name) __typeof__(&curl_##name) name;
    KITH_CURL_FUNCTIONS(KITH_CURL_MEMBER)
#undef KITH_CURL_MEMBER
} kith_curl;

/* Loads and starts libcurl, the first time; it stays until the process ends. Its memory is wiped when it is freed. From the loop's
 * thread only. NULL: *why, which lives as long as the process, says what is missing. */
const kith_curl *kith_curl_load(const char **why);

#endif
