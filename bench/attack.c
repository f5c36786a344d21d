/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two peers of one node on real sockets, in one thread: a hostile one that does its worst in one way for some seconds, and an honest one
 * that pings meanwhile. They never wait for each other's core; an answer's time is the kernel's, of its arrival, so what the hostile one
 * computes does not count; and under an attack the thread only has what the node leaves of the cores, as if it were another machine.
 *
 *     attack PORT KIND SECONDS    on 127.0.0.1, against `kith up --perf`
 *
 *     quiet       no attack, on a machine whose idle cores sleep
 *     spin        no attack, and threads of the lowest class keep the cores awake
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
 * Prints a line of JSON: the hostile one's connections, bytes sent and got; the honest one's round trips in us. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "proto/identify.h"
#include "proto/perf.h"
#include "proto/ping.h"
#include "sim/sim_hostile.h"

#define SLOTS 8
#define HALF_OPEN 512
#define PER_STREAM (240u * 1024) /* less than the first window: then the next stream */
#define PING_EVERY 1000000u      /* ns */
#define HOSTILE_IP INADDR_LOOPBACK
#define HONEST_IP (INADDR_LOOPBACK + 1)

typedef struct wire {
    int fd;
    sim_hostile *peer;
} wire;

static uint16_t port;
static uint64_t until, conns, sent, got, seed;

/* The honest peer: one ping after another on one stream. */
static struct {
    wire l;
    uint32_t stream;
    uint64_t asked, due; /* ns of the system's clock; asked 0: the last is answered */
    uint32_t *rtts;      /* us */
    size_t count, room;
    uint8_t said[KITH_PING_LEN]; /* each another */
} honest;

static void ping_now_and_then(void);

/* Whether the time is up. Everybody asks it again and again, so the honest peer has its turn here. */
static bool over(void)
{
    ping_now_and_then();
    return uv_hrtime() >= until;
}

static int knock_from(in_addr_t ip)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(ip);
    if (fd < 0 || (ip != INADDR_LOOPBACK && bind(fd, (struct sockaddr *)&from, sizeof from)) ||
        connect(fd, (struct sockaddr *)&at, sizeof at) || fcntl(fd, F_SETFL, O_NONBLOCK)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int knock(void)
{
    conns++;
    return knock_from(HOSTILE_IP);
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
static bool meet_on(wire *l, int fd)
{
    *l = (wire){.fd = fd, .peer = sim_hostile_new(++seed, true)};
    if (l->fd < 0)
        return false;
    while (!sim_hostile_ready(l->peer) && !over()) {
        if (!speak(l))
            return false;
        if (!hear(l, true) || sim_hostile_failed(l->peer))
            return false;
    }
    return speak(l);
}

static bool meet(wire *l)
{
    return meet_on(l, knock());
}

/* ---- the honest peer ---- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *why)
{
    fprintf(stderr, "attack: %s\n", why);
    exit(1);
}

/* Reads what is there; the time at which the last of it arrived, or 0. */
static uint64_t hear_honest(void)
{
    static uint8_t buf[65536];
    uint64_t at = 0;
    for (;;) {
        union {
            char room[CMSG_SPACE(sizeof(struct timespec))];
            struct cmsghdr align;
        } control;
        struct iovec part = {buf, sizeof buf};
        struct msghdr m = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(honest.l.fd, &m, 0);
        if (n < 0 && errno == EAGAIN)
            return at;
        if (n <= 0)
            die("the node has left the honest peer");
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(c), sizeof t);
                at = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
            }
        }
        sim_hostile_recv(honest.l.peer, kith_bytes_of(buf, (size_t)n));
    }
}

static void speak_honest(void)
{
    uint8_t buf[4096];
    for (size_t n; (n = sim_hostile_send(honest.l.peer, kith_span_of(buf, sizeof buf))) > 0;) {
        if (send(honest.l.fd, buf, n, MSG_NOSIGNAL) != (ssize_t)n)
            die("the node does not read what the honest peer says");
    }
}

static void note(uint64_t rtt)
{
    if (honest.count == honest.room) {
        honest.room = honest.room ? 2 * honest.room : 1024;
        honest.rtts = realloc(honest.rtts, honest.room * sizeof *honest.rtts);
        if (!honest.rtts)
            die("no memory");
    }
    honest.rtts[honest.count++] = (uint32_t)(rtt / 1000);
}

static void ping_now_and_then(void)
{
    if (honest.l.fd < 0)
        return;
    if (honest.asked) {
        uint64_t at = hear_honest();
        speak_honest();
        kith_bytes heard = sim_hostile_payload(honest.l.peer);
        if (heard.len < KITH_PING_LEN ||
            memcmp(heard.p + heard.len - KITH_PING_LEN, honest.said, KITH_PING_LEN) != 0)
            return; /* another stream's, or the name of the protocol */
        /* The kernel does not tell of the first ones yet. */
        if (at > honest.asked)
            note(at - honest.asked);
        honest.asked = 0;
    }
    if (now_ns() < honest.due)
        return;
    kith_store_be64(honest.said, now_ns());
    sim_hostile_data(honest.l.peer, 0, honest.stream, kith_bytes_of(honest.said, sizeof honest.said));
    honest.asked = now_ns();
    honest.due = honest.asked + PING_EVERY;
    speak_honest();
}

static void *stay_awake(void *core)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)(uintptr_t)core, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    (void)sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    while (uv_hrtime() < until)
        ;
    return NULL;
}

/* Until its pings go to and fro, and the kernel says when. */
static void come_honestly(void)
{
    const int on = 1;
    wire l;
    honest.l.fd = -1;
    until = uv_hrtime() + 10 * 1000000000u;
    if (!meet_on(&l, knock_from(HONEST_IP)) || setsockopt(l.fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
        die("the node does not take the honest peer");
    honest.stream = sim_hostile_open(l.peer, KITH_PING_ID, 0);
    honest.l = l;
    while (honest.count == 0) {
        if (over())
            die("this kernel does not say when an answer arrived");
    }
    honest.count = 0;
    sent = got = 0;
}

/* ---- kinds ---- */

static void quiet(void)
{
    struct pollfd p = {.fd = honest.l.fd, .events = POLLIN};
    while (!over())
        poll(&p, 1, 1);
}

static void spin(void)
{
    for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, stay_awake, (void *)(uintptr_t)i) == 0)
            pthread_detach(t);
    }
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

static void records(void)
{
    flood(KITH_YAMUX_HDR_LEN + 1, 1);
}

static void frames(void)
{
    flood(0, 1);
}

static void bulk(void)
{
    flood(0, 60000);
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
        for (uint64_t from = got; ok && !over() && got - from < 1u << 31;)
            ok = hear(&l, false);
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
        }
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

typedef struct kind {
    const char *name;
    void (*run)(void);
} kind;

static const kind kinds[] = {
    {"quiet", quiet},   {"spin", spin},          {"records", records}, {"frames", frames},
    {"bulk", bulk},     {"takes", takes},        {"streams", streams}, {"handshakes", handshakes},
    {"resets", resets}, {"halfopen", half_open}, {"rubbish", rubbish}};

static const kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: attack PORT KIND SECONDS\n");
        return 2;
    }
    const kind *attack = kind_of(argv[2]);
    if (!attack) {
        fprintf(stderr, "attack: no such kind: %s\n", argv[2]);
        return 2;
    }
    port = (uint16_t)strtoul(argv[1], NULL, 10);
    come_honestly();
    until = uv_hrtime() + strtoull(argv[3], NULL, 10) * 1000000000u;
    if (attack->run != quiet)
        (void)sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    attack->run();
    printf("{\"kind\":\"%s\",\"connections\":%llu,\"bytes_sent\":%llu,\"bytes_got\":%llu,\"rtts_us\":[",
           attack->name, (unsigned long long)conns, (unsigned long long)sent, (unsigned long long)got);
    for (size_t i = 0; i < honest.count; i++)
        printf("%s%u", i ? "," : "", honest.rtts[i]);
    printf("]}\n");
    return 0;
}
