/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The shares that mean harm, for tool_hostile_sharer: what each lists, what it says at which turn, and how `kith get` must end with it. Whatever a case
 * does not change is as an honest sharer does it, so that a receiver that does not see the harm comes to it. */
#ifndef KITH_TEST_HOSTILE_H
#define KITH_TEST_HOSTILE_H

#include "cli/raw_share.h"

enum {
    OK = 0,
    REFUSED = 5,
    LOST = 6,
    EXISTS = 9,
    DISK = 10,
    DAMAGED = 11,
    UNSAFE = 12,
    CHANGED = 13,
    INTERRUPTED = 130
};

typedef struct hostile_case {
    const char *name;
    int code;         /* that kith get ends with */
    const char *says; /* what must stand on its stderr */
    const char *
        left; /* what may be in the destination then: names between blanks, as find prints them; NULL: nothing */
    const char *args; /* more of them, for kith get */
    /* The list: one of these. Without any it is one file, "good", of 5 bytes. */
    kith_bytes file;   /* one file of this name */
    kith_bytes target; /* one link to this, in a folder if deep */
    bool deep;
    kith_bytes raw; /* these bytes */
    void (*make)(void);
    /* In the place of the honest answer to m; false: say that. */
    bool (*on)(raw_share *x, const kith_share_msg *m);
    /* Changes a DATA frame; false: it is not said. */
    bool (*data)(raw_share *x, kith_share_msg *m, kith_bytes *body);
} hostile_case;

extern const hostile_case hostile_lists[], hostile_words[]; /* the last has no name */

/* ---- what a case is made of ---- */

#define HOSTILE_ENTRIES 200
#define HOSTILE_BIG (2 * KITH_TREE_LEAF + 10)

typedef struct hostile_entry {
    uint64_t depth, type, size, mode;
    kith_bytes name, target;
} hostile_entry;

/* The share that is being given out; one at a time. */
typedef struct hostile_share {
    const hostile_case *c;
    char dir[3000]; /* of this case: beside "out", where the receiver puts it */
    hostile_entry entries[HOSTILE_ENTRIES];
    size_t count;
    uint8_t *list; /* malloc'd */
    size_t list_len;
    uint8_t list_root[KITH_BLAKE3_LEN], roots[KITH_BLAKE3_LEN * HOSTILE_ENTRIES];
    size_t frames; /* of DATA, so far */
    size_t requests;
} hostile_share;

extern hostile_share share;

hostile_entry *add(uint64_t depth, uint64_t type, const char *name);
void list_put(const void *p, size_t n);
void list_entry(const hostile_entry *e);

/* What an honest sharer says. */
void say_offer(raw_share *x);
void say_list(raw_share *x);
void say_roots(raw_share *x);
void hostile_honest(raw_share *x, const kith_share_msg *m);

#endif
