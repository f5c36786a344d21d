/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages on the disk: what waits to be sent, what came, and the ids of what came, so that nothing is taken twice. One SQLite file (WAL, full
 * synchronisation): what was answered for survives kill -9 and a power cut.
 *
 * Everything goes to libuv's thread pool and is answered from there, in order; what comes in quick succession shares a transaction.
 * Caps: the outbox's are its owner's (apps/outbox.h). The inbox keeps the last KITH_INBOX_MESSAGES_MAX messages and KITH_INBOX_BYTES_MAX bytes,
 * and of one source the last KITH_INBOX_PER_SOURCE_MAX; the oldest go first. Of ids, KITH_REPLAY_MESSAGES_MAX of contacts and as many of
 * strangers, those that end first go first. KITH_STORE_QUEUE_BYTES_MAX bytes of messages wait for the disk. */
#ifndef KITH_HOST_MESSAGE_STORE_H
#define KITH_HOST_MESSAGE_STORE_H

#include <uv.h>

#include "base/err.h"
#include "wire/message.h"

#define KITH_INBOX_MESSAGES_MAX 10000
#define KITH_INBOX_BYTES_MAX (64u << 20)
#define KITH_INBOX_PER_SOURCE_MAX 1000
#define KITH_STORE_QUEUE_BYTES_MAX (16u << 20)

typedef struct kith_message_store kith_message_store;

/* Opens or makes the file (mode 0600). *damaged: it was, was put aside, and this is a new one. NULL: *why says what is wrong, valid until the
 * next call. */
kith_message_store *kith_message_store_open(uv_loop_t *loop, const char *path, bool *damaged,
                                            const char **why);

/* What a file holds; views are valid for the call. */
typedef struct kith_message_store_load {
    void *ctx;
    /* A message that waits; the oldest first. */
    void (*outbox)(void *ctx, const kith_peer_id *to, kith_bytes message, uint64_t age);
    /* The id of one that was taken and is not over at `now`; those that end first first. */
    void (*id)(void *ctx, const kith_peer_id *source, const uint8_t id[KITH_MESSAGE_ID_LEN], uint64_t ends,
               bool contact);
    /* Ids that end by then were forgotten; before those above. */
    void (*forgot)(void *ctx, bool contact, uint64_t ends);
} kith_message_store_load;
/* Tells it all, on the caller's thread; before the first of the questions below. outbox may be NULL. now: ms since 1970. KITH_EIO. */
KITH_CHECK kith_err kith_message_store_read_all(kith_message_store *s, uint64_t now,
                                                const kith_message_store_load *load);
/* Finishes what is queued and closes; waits for the disk. Its callbacks are told. NULL is fine. */
void kith_message_store_close(kith_message_store *s);

/* Each answer comes exactly once, later, on the loop's thread; or, when the call itself fails, never. KITH_ENOMEM. */

/* why: of KITH_EIO, in words. */
typedef void (*kith_store_done)(void *ctx, kith_err err, const char *why);
/* Keeps a message that is to be sent. KITH_ELIMIT: too much waits for the disk. */
KITH_CHECK kith_err kith_message_store_put(kith_message_store *s, const uint8_t id[KITH_MESSAGE_ID_LEN],
                                           const kith_peer_id *to, kith_bytes message, uint64_t age,
                                           kith_store_done fn, void *ctx);
/* It was sent, or is over. Nobody is told; what cannot be deleted is sent again by the next process, and had there. */
void kith_message_store_delete(kith_message_store *s, const uint8_t id[KITH_MESSAGE_ID_LEN]);

/* message: valid for the call; empty: it is not there any more, or cannot be read (err). */
typedef void (*kith_store_loaded)(void *ctx, kith_err err, kith_bytes message);
KITH_CHECK kith_err kith_message_store_get(kith_message_store *s, const uint8_t id[KITH_MESSAGE_ID_LEN],
                                           kith_store_loaded fn, void *ctx);

/* KITH_OK: it is in the inbox, as seq. KITH_EEXISTS: another process has taken it. KITH_EIO: the disk, and it may come again. */
typedef void (*kith_store_taken)(void *ctx, kith_err err, uint64_t seq);
/* A message that came: m->source, id, time and ttl are read. received: ms since 1970. KITH_ELIMIT: too much waits for the disk. */
KITH_CHECK kith_err kith_message_store_take(kith_message_store *s, const kith_message *m, kith_bytes message,
                                            uint64_t received, bool contact, kith_store_taken fn, void *ctx);

typedef struct kith_inbox_row {
    uint64_t seq, received;
    uint8_t *message; /* len bytes */
    size_t len;
} kith_inbox_row;
/* rows is freed after the call. */
typedef void (*kith_store_rows)(void *ctx, kith_err err, const kith_inbox_row *rows, size_t count);
/* What came after seq, and not before `since` (ms since 1970), the oldest first: as many as have about a megabyte, and at least one. */
KITH_CHECK kith_err kith_message_store_read(kith_message_store *s, uint64_t seq, uint64_t since,
                                            kith_store_rows fn, void *ctx);
/* Of the newest in the inbox; 0: it never had one. */
uint64_t kith_message_store_last(const kith_message_store *s);

/* Told on the loop's thread, in a sentence for a person: that the file cannot be written (once, until it can be again), and that it can. */
void kith_message_store_on_trouble(kith_message_store *s, void (*fn)(void *ctx, const char *sentence),
                                   void *ctx);

#endif
