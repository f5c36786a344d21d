/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One hostile peer on real sockets, doing its worst in one way for some seconds: what bench/attack measures an honest peer's pings under.
 *
 *     attack PORT KIND SECONDS    on 127.0.0.1, against `kith up --perf`
 *
 *     spin        no attack: a process that uses a core, for comparison
 *     records     data in records of one byte each
 *     frames      data in frames of one byte each, packed in large records
 *     bulk        data as fast as it is taken
 *     takes       asks for data, and takes it as fast as it comes
 *     streams     opens a stream, asks identify, and again
 *     handshakes  connects, authenticates, leaves, and again, eight at a time
 *     resets      connects and resets the connection, and again
 *     halfopen    as many half-open handshakes as are let in, byte by byte
 *     rubbish     connects and says what is no libp2p, and again
 *
 * Prints a line of JSON: connections made, bytes sent and got. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "proto/identify.h"
#include "proto/perf.h"
#include "sim/sim_hostile.h"

#define SLOTS 8
#define HALF_OPEN 512
#define PER_STREAM (240u * 1024) /* less than the first window: then the next stream */

typedef struct wire {
    int fd;
    sim_hostile *peer;
} wire;

static uint16_t port;
static uint64_t until, conns, sent, got, seed;

static bool over(void)
{
    return uv_hrtime() >= until;
}

static int knock(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) || fcntl(fd, F_SETFL, O_NONBLOCK)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conns++;
    return fd;
}

static void leave(wire *l, bool reset)
{
    const struct linger at_once = {.l_onoff = 1};
    if (l->fd >= 0 && reset)
        (void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (l->fd >= 0)
        close(l->fd);
    sim_hostile_free(l->peer);
    *l = (wire){.fd = -1};
}

/* Reads what is there. False: it is over. */
static bool hear(wire *l, bool listen)
{
    static uint8_t buf[1 << 20];
    for (;;) {
        ssize_t n = recv(l->fd, buf, sizeof buf, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        got += (uint64_t)n;
        if (listen)
            sim_hostile_recv(l->peer, kith_bytes_of(buf, (size_t)n));
    }
}

static bool push(wire *l, const uint8_t *p, size_t n, bool listen)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = send(l->fd, p + at, n - at, MSG_NOSIGNAL);
        if (k > 0) {
            at += (size_t)k;
            sent += (uint64_t)k;
            continue;
        }
        if (errno != EAGAIN || !hear(l, listen) || over())
            return false;
        struct pollfd p1 = {.fd = l->fd, .events = POLLOUT | POLLIN};
        poll(&p1, 1, 100);
    }
    return true;
}

static bool speak(wire *l)
{
    static uint8_t buf[256 * 1024];
    for (size_t n; (n = sim_hostile_send(l->peer, kith_span_of(buf, sizeof buf))) > 0;) {
        if (!push(l, buf, n, true))
            return false;
    }
    return true;
}

/* Until the channel stands. */
static bool meet(wire *l)
{
    *l = (wire){.fd = knock(), .peer = sim_hostile_new(++seed, true)};
    if (l->fd < 0)
        return false;
    while (!sim_hostile_ready(l->peer) && !over()) {
        if (!speak(l))
            return false;
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        poll(&p, 1, 100);
        if (!hear(l, true) || sim_hostile_failed(l->peer))
            return false;
    }
    return speak(l);
}

/* ---- kinds ---- */

static void spin(void)
{
    while (!over())
        ;
}

static void flood(size_t record, size_t frame)
{
    static const uint8_t zeros[60000], no_download[8];
    while (!over()) {
        wire l;
        bool ok = meet(&l);
        if (ok && record)
            sim_hostile_record_max(l.peer, record);
        while (ok && !over()) {
            uint32_t id = sim_hostile_open(l.peer, KITH_PERF_ID, 0);
            sim_hostile_data(l.peer, 0, id, kith_bytes_of(no_download, 8));
            for (size_t n = 0; ok && n + frame <= PER_STREAM; n += frame) {
                sim_hostile_data(l.peer, 0, id, kith_bytes_of(zeros, frame));
                if (n % 4096 < frame)
                    ok = speak(&l) && hear(&l, true);
            }
            sim_hostile_frame(l.peer, HOSTILE_DATA, HOSTILE_FIN, id, 0);
            ok = ok && speak(&l) && hear(&l, true);
        }
        leave(&l, false);
    }
}

static void takes(void)
{
    while (!over()) {
        wire l;
        uint8_t head[8];
        bool ok = meet(&l);
        if (ok) {
            uint32_t id = sim_hostile_open(l.peer, KITH_PERF_ID, 0);
            kith_store_be64(head, 1ull << 40);
            sim_hostile_frame(l.peer, HOSTILE_UPDATE, 0, id, 1u << 31);
            sim_hostile_data(l.peer, HOSTILE_FIN, id, kith_bytes_of(head, 8));
            ok = speak(&l);
        }
        for (uint64_t from = got; ok && !over() && got - from < 1u << 31;) {
            struct pollfd p = {.fd = l.fd, .events = POLLIN};
            poll(&p, 1, 100);
            ok = hear(&l, false);
        }
        leave(&l, true);
    }
}

static void streams(void)
{
    while (!over()) {
        wire l;
        bool ok = meet(&l);
        while (ok && !over()) {
            for (unsigned i = 0; i < 4; i++)
                sim_hostile_open(l.peer, KITH_IDENTIFY_ID, HOSTILE_FIN);
            ok = speak(&l) && hear(&l, true);
        }
        leave(&l, false);
    }
}

static void handshakes(void)
{
    wire l[SLOTS];
    struct pollfd p[SLOTS];
    for (unsigned i = 0; i < SLOTS; i++)
        l[i] = (wire){.fd = -1};
    while (!over()) {
        for (unsigned i = 0; i < SLOTS; i++) {
            if (l[i].fd >= 0 && (!hear(&l[i], true) || sim_hostile_ready(l[i].peer) || !speak(&l[i]))) {
                (void)speak(&l[i]);
                leave(&l[i], false);
            }
            if (l[i].fd < 0) {
                l[i] = (wire){.fd = knock(), .peer = sim_hostile_new(++seed, true)};
                if (l[i].fd < 0 || !speak(&l[i]))
                    leave(&l[i], false);
            }
            p[i] = (struct pollfd){.fd = l[i].fd, .events = POLLIN};
        }
        poll(p, SLOTS, 100);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        leave(&l[i], true);
}

static void resets(void)
{
    while (!over()) {
        wire l = {.fd = knock()};
        leave(&l, true);
    }
}

static void half_open(void)
{
    static const char words[] = "\x13/multistream/1.0.0\n\x07/noise\n";
    static wire l[HALF_OPEN];
    static size_t at[HALF_OPEN];
    for (unsigned i = 0; i < HALF_OPEN; i++)
        l[i].fd = -1;
    while (!over()) {
        for (unsigned i = 0; i < HALF_OPEN && !over(); i++) {
            if (l[i].fd < 0 || !hear(&l[i], false)) {
                leave(&l[i], false);
                l[i].fd = knock();
                at[i] = 0;
            } else if (at[i] < sizeof words - 1) {
                sent += send(l[i].fd, words + at[i]++, 1, MSG_NOSIGNAL) == 1;
            }
        }
    }
    for (unsigned i = 0; i < HALF_OPEN; i++)
        leave(&l[i], true);
}

static void rubbish(void)
{
    static uint8_t noise[64 * 1024];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    while (!over()) {
        wire l = {.fd = knock()};
        if (l.fd >= 0)
            sent += send(l.fd, noise, sizeof noise, MSG_NOSIGNAL) > 0 ? sizeof noise : 0;
        leave(&l, false);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: attack PORT KIND SECONDS\n");
        return 2;
    }
    const char *kind = argv[2];
    port = (uint16_t)strtoul(argv[1], NULL, 10);
    until = uv_hrtime() + strtoull(argv[3], NULL, 10) * 1000000000u;
    if (strcmp(kind, "spin") == 0)
        spin();
    else if (strcmp(kind, "records") == 0)
        flood(KITH_YAMUX_HDR_LEN + 1, 1);
    else if (strcmp(kind, "frames") == 0)
        flood(0, 1);
    else if (strcmp(kind, "bulk") == 0)
        flood(0, 60000);
    else if (strcmp(kind, "takes") == 0)
        takes();
    else if (strcmp(kind, "streams") == 0)
        streams();
    else if (strcmp(kind, "handshakes") == 0)
        handshakes();
    else if (strcmp(kind, "resets") == 0)
        resets();
    else if (strcmp(kind, "halfopen") == 0)
        half_open();
    else if (strcmp(kind, "rubbish") == 0)
        rubbish();
    else
        return 2;
    printf("{\"kind\":\"%s\",\"connections\":%llu,\"bytes_sent\":%llu,\"bytes_got\":%llu}\n", kind,
           (unsigned long long)conns, (unsigned long long)sent, (unsigned long long)got);
    return 0;
}
