/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What TCP and the cipher alone can do on this machine: the two bounds that bench/run holds everybody against.
 *
 *     bound tcp|aead|chacha up|down BYTES
 *
 * Two processes, one thread each, one loopback connection with the kernel's own buffer sizes. tcp: 64 KiB
 * writes, reads of what is there. aead: records of 65,519 bytes under what two kith nodes use on this machine;
 * chacha: under ChaCha20-Poly1305. Each stands behind its length as in Noise, sealed in place, four to a write
 * (one to a write is a quarter slower); the reader opens in place what is whole. No handshake, no muxer, no flow control but TCP's. The time runs from the first write until the one byte with
 * which the reader acknowledges all is back. Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"

#define PLAIN 65519u
#define RECORD (2 + PLAIN + KITH_AEAD_TAG_LEN)
#define CHUNK (64u * 1024)
#define BATCH 4 /* records that one write carries */

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_of(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static void write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno != EINTR)
            die("write");
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
}

static size_t read_some(int fd, uint8_t *p, size_t n)
{
    for (;;) {
        ssize_t k = read(fd, p, n);
        if (k > 0)
            return (size_t)k;
        if (k == 0) {
            fputs("bound: the other side is gone\n", stderr);
            exit(1);
        }
        if (errno != EINTR)
            die("read");
    }
}

/* Noise's: 32 zero bits and a little-endian counter. */
static void nonce_of(uint64_t n, uint8_t out[KITH_AEAD_NONCE_LEN])
{
    memset(out, 0, 4);
    for (int i = 0; i < 8; i++)
        out[4 + i] = (uint8_t)(n >> (8 * i));
}

static kith_aead_alg alg = KITH_AEAD_CHACHA20_POLY1305;

static kith_aead *cipher(bool seal)
{
    static const uint8_t key[KITH_AEAD_KEY_LEN] = {1};
    kith_aead *a = kith_aead_new(alg, key, seal);
    if (!a) {
        fputs("bound: no memory\n", stderr);
        exit(1);
    }
    return a;
}

static void send_aead(int fd, uint64_t bytes)
{
    static uint8_t buf[BATCH * RECORD];
    uint8_t nonce[KITH_AEAD_NONCE_LEN];
    kith_aead *a = cipher(true);
    for (uint64_t n = 0; bytes > 0;) {
        uint8_t *p = buf;
        for (size_t k = 0; k < BATCH && bytes > 0; k++) {
            size_t len = bytes < PLAIN ? (size_t)bytes : PLAIN;
            nonce_of(n++, nonce);
            kith_store_be16(p, (uint16_t)(len + KITH_AEAD_TAG_LEN));
            kith_aead_seal(a, nonce, (kith_bytes){0}, kith_span_of(p + 2, len), p + 2 + len);
            p += 2 + len + KITH_AEAD_TAG_LEN;
            bytes -= len;
        }
        write_all(fd, buf, (size_t)(p - buf));
    }
    kith_aead_free(a);
}

static void recv_aead(int fd, uint64_t bytes)
{
    static uint8_t buf[4 * RECORD];
    uint8_t nonce[KITH_AEAD_NONCE_LEN];
    kith_aead *a = cipher(false);
    size_t have = 0;
    for (uint64_t n = 0; bytes > 0;) {
        have += read_some(fd, buf + have, sizeof buf - have);
        size_t at = 0;
        while (have - at >= 2) {
            size_t len = kith_load_be16(buf + at);
            if (have - at < 2 + len)
                break;
            kith_span text = kith_span_of(buf + at + 2, len - KITH_AEAD_TAG_LEN);
            nonce_of(n++, nonce);
            if (text.len > bytes || kith_aead_open(a, nonce, (kith_bytes){0}, text, text.p + text.len)) {
                fputs("bound: a record is wrong\n", stderr);
                exit(1);
            }
            bytes -= text.len;
            at += 2 + len;
        }
        have -= at;
        memmove(buf, buf + at, have);
    }
    kith_aead_free(a);
}

static void send_tcp(int fd, uint64_t bytes)
{
    static uint8_t buf[CHUNK];
    while (bytes > 0) {
        size_t len = bytes < sizeof buf ? (size_t)bytes : sizeof buf;
        write_all(fd, buf, len);
        bytes -= len;
    }
}

static void recv_tcp(int fd, uint64_t bytes)
{
    static uint8_t buf[4 * CHUNK];
    while (bytes > 0)
        bytes -= read_some(fd, buf, sizeof buf);
}

static void sender(int fd, bool aead, uint64_t bytes)
{
    uint8_t done;
    (aead ? send_aead : send_tcp)(fd, bytes);
    (void)read_some(fd, &done, 1);
}

static void receiver(int fd, bool aead, uint64_t bytes)
{
    (aead ? recv_aead : recv_tcp)(fd, bytes);
    write_all(fd, (const uint8_t *)"", 1);
}

int main(int argc, char **argv)
{
    bool fast = argc > 1 && strcmp(argv[1], "aead") == 0;
    bool aead = fast || (argc > 1 && strcmp(argv[1], "chacha") == 0);
    if (fast && kith_aead_is_fast(KITH_AEAD_AES_256_GCM))
        alg = KITH_AEAD_AES_256_GCM;
    bool up = argc > 2 && strcmp(argv[2], "up") == 0;
    if (argc != 4 || (!aead && strcmp(argv[1], "tcp") != 0) || (!up && strcmp(argv[2], "down") != 0)) {
        fputs("usage: bound tcp|aead|chacha up|down BYTES\n", stderr);
        return 2;
    }
    uint64_t bytes = strtoull(argv[3], NULL, 10);
    if (kith_crypto_init()) {
        fputs("bound: this OpenSSL lacks something that kith needs\n", stderr);
        return 1;
    }
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *sa = (struct sockaddr *)&addr;
    socklen_t len = sizeof addr;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, sa, len) || listen(listener, 1) || getsockname(listener, sa, &len))
        die("listen");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    int fd = child == 0 ? accept(listener, NULL, NULL) : socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || (child > 0 && connect(fd, sa, len)))
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct rusage before, after, other;
    getrusage(RUSAGE_SELF, &before);
    double start = seconds();
    if ((child == 0) == up)
        receiver(fd, aead, bytes);
    else
        sender(fd, aead, bytes);
    double took = seconds() - start;
    if (child == 0)
        return 0;
    getrusage(RUSAGE_SELF, &after);
    int status;
    if (wait4(child, &status, 0, &other) < 0 || status != 0)
        return 1;
    double mine = cpu_of(&after) - cpu_of(&before), theirs = cpu_of(&other);
    printf("{\"bound\":\"%s\",\"direction\":\"%s\",\"bytes\":%llu,\"seconds\":%.6f,\"sender_cpu\":%.3f,"
           "\"receiver_cpu\":%.3f}\n",
           argv[1], argv[2], (unsigned long long)bytes, took, up ? mine : theirs, up ? theirs : mine);
    return 0;
}
