/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Listening. */
#include "cmd/listen.h"

#define PORT 9000
#define PORT_TRIES 100

static int listen_on(session *s, const kith_maddr *a)
{
    char text[KITH_MADDR_TEXT_MAX + 1];
    int e = kith_host_listen(s->host, a, NULL);
    if (!e)
        return EXIT_OK;
    kith_maddr_text(a, text);
    if (e == UV_EADDRINUSE)
        return cmd_fail(
            EXIT_BUSY,
            "cannot listen on %s: the port is in use; choose another with --listen, port 0 takes any", text);
    return cmd_fail(EXIT_FAILED, "cannot listen on %s: %s", text, uv_strerror(e));
}

/* Both families on one port. KITH_HOST_IP6 may be missing on a machine; IPv4 may not. */
static int listen_pair(session *s, uint16_t port)
{
    static const uint8_t any[16];
    kith_maddr a, bound;
    kith_maddr_from_tcp(kith_bytes_of(any, 4), port, &a);
    int e = kith_host_listen(s->host, &a, &bound);
    if (e)
        return e;
    kith_maddr_tcp t;
    if (kith_maddr_to_tcp(&bound, &t) == KITH_OK)
        port = t.port;
    kith_maddr_from_tcp(kith_bytes_of(any, 16), port, &a);
    if (kith_host_listen(s->host, &a, NULL) == UV_EADDRINUSE)
        cmd_warn("port %u is in use on IPv6; listening on IPv4 only", port);
    return 0;
}

static int listen_default_ports(session *s, listen_default fallback)
{
    if (fallback == LISTEN_ANY_PORT) {
        int e = listen_pair(s, 0);
        return e ? cmd_fail(EXIT_FAILED, "cannot listen: %s", uv_strerror(e)) : EXIT_OK;
    }
    int e = 0;
    for (uint16_t port = PORT; port < PORT + PORT_TRIES; port++) {
        e = listen_pair(s, port);
        if (!e) {
            if (port != PORT)
                cmd_warn("port %d is in use; listening on port %d instead", PORT, port);
            return EXIT_OK;
        }
        if (e != UV_EADDRINUSE)
            break;
    }
    return cmd_fail(e == UV_EADDRINUSE ? EXIT_BUSY : EXIT_FAILED, "cannot listen: %s", uv_strerror(e));
}

int listen_as_configured(session *s, listen_default fallback, kith_maddr *out, size_t max, size_t *count)
{
    int code = EXIT_OK;
    *count = 0;
    for (size_t i = 0; i < s->config.listen_count && !code; i++)
        code = listen_on(s, &s->config.listen[i]);
    if (s->config.listen_count == 0)
        code = listen_default_ports(s, fallback);
    if (code)
        return code;
    *count = kith_host_addrs(s->host, out, max);
    for (size_t i = 0; i < *count; i++) {
        if (kith_maddr_set_peer(&out[i], kith_node_id(kith_host_node(s->host))))
            return cmd_fail(EXIT_FAILED, "an own address is too long");
    }
    return EXIT_OK;
}
