/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The receiving folder from within: what share_dir.c, share_survey.c, share_part.c, share_salvage.c, share_older.c and share_place.c
 * share. */
#ifndef KITH_HOST_SHARE_DIR_IMPL_H
#define KITH_HOST_SHARE_DIR_IMPL_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <uv.h>

#include "host/share_dir.h"
#include "host/share_journal.h"

#define KITH_SHARE_OPEN_MAX 32 /* parts that are open at a time */
/* Parts that are synced one by one. If there are more the whole file system is, which is quicker by far (ext4, 64 new files of 4 KiB:
 * 300 ms one by one, 22 ms all at once; 1,000: 1,700 and 160) but waits for what others have written, too. */
#define KITH_SHARE_DIRTY_MAX 16
#define KITH_SHARE_LIST_NAME "list"
#define KITH_SHARE_ROOTS_NAME "roots"

/* What is known of an entry; bits. */
enum {
    THERE = 1,          /* something of its name was there before us */
    SKIPPED = 2,        /* not wanted */
    COMPLETE = 4,       /* a file whose part is complete */
    LOST = 8,           /* a file that cannot be had */
    MADE = 16,          /* a folder that we made */
    CLASH = 32,         /* THERE, and in the way */
    ALIKE = 64,         /* THERE, a file of the same size: its content will tell */
    EQUAL = 128,        /* THERE, and just what was sent: nothing needs to be done */
    BEGUN = 256,        /* a file that has a part */
    PLACED = 512,       /* it was moved into place */
    UNSELECTED = 1024,  /* SKIPPED, by choice */
    UNLIKE = 2048,      /* CLASH, and a folder on one side alone: neither takes the other's place */
    REPLACED = 4096,    /* was decided to be (kith_share_dir_decide) */
    RENAMED = 8192,     /* a top entry: the same */
    OLDER = 16384,      /* CLASH, a file that may have some of what would come */
    OLDER_PART = 32768, /* a file that has a part, of which the journal says nothing */
};

typedef struct kith_share_new_name {
    size_t entry;
    char name[KITH_NAME_MAX + 1];
} kith_share_new_name;

/* A part that is open. */
typedef struct kith_share_open_part {
    int fd;    /* -1: free */
    int older; /* what lies in its place, or -1 */
    size_t entry;
    uint64_t used; /* when, by kith_share_dir.clock */
} kith_share_open_part;

/* The values of older content: KITH_BLAKE3_LEN bytes for each leaf, which count for those in kith_share_dir.older. */
typedef struct kith_share_older_file {
    size_t entry;
    uint8_t *values;
} kith_share_older_file;

struct kith_share_dir {
    const kith_manifest *m;
    kith_share_clash policy;
    kith_durability durability;
    mode_t mask;  /* the process's umask */
    int dest;     /* the destination */
    int partials; /* DEST/.kith-partial, or -1 */
    int parts;    /* DEST/.kith-partial/<list root>, or -1 */
    int spare;    /* a descriptor to give up: it may be the lack of them that ends a transfer */
    uint8_t list_root[KITH_BLAKE3_LEN];
    char id[2 * KITH_BLAKE3_LEN + 1];
    bool finished;                  /* everything is in place */
    uint16_t *known;                /* by entry */
    uint8_t *skips;                 /* by entry */
    kith_share_new_name *new_names; /* in the entries' order */
    size_t new_name_count, new_name_cap;
    kith_blake3 *hash; /* for files that are here */
    uint8_t *buf;      /* KITH_TREE_LEAF bytes of them */
    uint64_t needed;   /* bytes of wanted files that are not here */
    atomic_uint_least64_t hashed, to_hash;
    atomic_bool stop; /* nobody waits for the survey any more */
    uint64_t lost;
    /* Older content. By the survey and begin; then in_part and the files stay as they are, and `older` is the loop's. */
    kith_leaves older;
    kith_leaves in_part; /* of older: in the part, at its place; the others are in the destination */
    kith_share_older_file *older_files; /* by entry */
    size_t older_file_count, older_file_cap;
    uint64_t older_leaves; /* of older_files */
    bool older_unread;     /* parts may have more of it: nobody waited for it */
    const uint8_t *roots;  /* borrowed: KITH_BLAKE3_LEN per entry; NULL: none is known */
    atomic_size_t roots_known;
    int roots_fd;      /* of KITH_SHARE_ROOTS_NAME in parts, or -1 */
    size_t roots_kept; /* in it */

    /* writing and syncing may go on at the same time: */
    uv_mutex_t lock;
    kith_leaves here;     /* verified, and in the parts */
    kith_leaves dirty;    /* of them: not yet in the journal */
    kith_leaves *syncing; /* of them: taken by the sync that is going on, or NULL */
    size_t dirty_parts[KITH_SHARE_DIRTY_MAX], dirty_count; /* entries */
    bool dirty_many;                                       /* more of them than that */
    uint64_t dirty_bytes;
    bool folders_synced;
    kith_journal journal;
    kith_share_open_part open[KITH_SHARE_OPEN_MAX];
    uint64_t clock;
};

/* Whether an entry takes the place of what was there. */
static inline bool kith_share_replaces(const kith_share_dir *d, size_t i)
{
    return d->known[i] & THERE && (d->policy == KITH_SHARE_CLASH_OVERWRITE || d->known[i] & REPLACED);
}

/* Whether anything is synced. */
static inline bool kith_share_is_durable(const kith_share_dir *d)
{
    return d->durability != KITH_DURABILITY_NONE;
}

kith_err kith_share_dir_fail(kith_share_dir_fault *f, const char *what, size_t entry); /* by errno */

/* ---- single components ---- */

/* A component as the system calls want it. The manifest was validated; that nothing else ever gets here is checked once more. */
void kith_share_c_name(kith_bytes name, char out[KITH_NAME_MAX + 1]);
/* The name that an entry gets. */
void kith_share_entry_name(const kith_share_dir *d, size_t entry, char out[KITH_NAME_MAX + 1]);
/* Of `count` new names, in the entries' order. NULL: it keeps its own. */
const kith_share_new_name *kith_share_find_new_name(const kith_share_new_name *names, size_t count,
                                                    size_t entry);
/* Opens the folder `name` in the folder at, never through a symbolic link. */
int kith_share_open_folder(int at, const char *name);
/* Opens the folder that an entry lies in, as it is in place: component by component below dest, through no symbolic link. out: the entry's name in it.
 * < 0: errno. */
int kith_share_open_above(int dest, const kith_manifest *m, const kith_share_new_name *names, size_t count,
                          size_t entry, char out[KITH_NAME_MAX + 1]);
/* The same for the entry's file itself, to be read; it may be something else than a file. */
int kith_share_open_in_place(int dest, const kith_manifest *m, const kith_share_new_name *names, size_t count,
                             size_t entry);
void kith_share_part_name(size_t entry, char out[32]);
/* access: now; modification: the entry's. */
void kith_share_times(const kith_entry *e, struct timespec out[2]);
/* A file that we wrote ourselves and that has no second name. */
bool kith_share_is_ours(const struct stat *st);

/* ---- walking the list and the folders at once ---- */

/* Descriptors of the folders above the current entry: fds[depth] is the one that an entry of that depth lies in. */
typedef struct kith_share_walk {
    kith_share_dir *d;
    int fds[KITH_MANIFEST_DEPTH_MAX + 1];
    size_t folder[KITH_MANIFEST_DEPTH_MAX + 1]; /* entries of fds[1..] */
    size_t depth;                               /* deepest one that is open */
} kith_share_walk;

void kith_share_walk_begin(kith_share_walk *w, kith_share_dir *d);
/* Closes folders until entries of `depth` can be reached. leave: called for each before it is closed, until it fails; may be NULL. */
kith_err kith_share_walk_up(kith_share_walk *w, size_t depth,
                            kith_err (*leave)(kith_share_dir *d, int fd, size_t entry,
                                              kith_share_dir_fault *fault),
                            kith_share_dir_fault *fault);
/* Opens the folder of entry i, which lies at the walk's depth. < 0: errno. */
int kith_share_walk_down(kith_share_walk *w, size_t i, const char *name);
/* First entry after i that does not lie in it. */
size_t kith_share_after(const kith_manifest *m, size_t i);

/* ---- content ---- */

/* A part has all its leaves: its mode and time. */
kith_err kith_share_part_done(kith_share_dir *d, int fd, size_t entry, kith_share_dir_fault *fault);
/* Notes that a part has content that is not synced, and leaves that are not in the journal. Under the lock. */
kith_err kith_share_part_dirty(kith_share_dir *d, size_t entry, uint32_t first, uint32_t end,
                               kith_share_dir_fault *fault);
/* Closes parts that are open. */
void kith_share_parts_close(kith_share_dir *d);
/* Keeps the list beside the parts, for salvage by another share. 0, or an errno. */
int kith_share_keep_list(const kith_share_dir *d, bool sync);
/* Syncs all of the file system that a folder lies on, and the folder. < 0: errno. */
int kith_share_sync_all(int fd);

/* ---- folders of partial content ---- */

/* The root that a file must have; NULL: not known. */
const uint8_t *kith_share_root(const kith_share_dir *d, size_t entry);
/* The root that content of an entry was verified against, as it was kept in KITH_SHARE_ROOTS_NAME. False: none was. */
bool kith_share_kept_root(int fd, size_t entry, uint8_t out[KITH_BLAKE3_LEN]);
/* Whether a name is one that such a folder has; then *list_root. */
bool kith_share_is_id(const char *name, uint8_t list_root[KITH_BLAKE3_LEN]);
/* Opens one, if nobody else may write into it: what its journal says is believed. < 0: errno. */
int kith_share_open_own(int at, const char *name);
/* Removes all files in one; nothing else is ever in it. */
void kith_share_partial_empty(int fd);
/* Takes over what older partial content in DEST has of this share: files that are the same, and as older content those of the same path. */
void kith_share_salvage(kith_share_dir *d);
/* Before that: bytes that the parts take which it would take over, by entry. NULL: none; else to be freed. */
uint64_t *kith_share_salvage_room(kith_share_dir *d, int partials);
/* Everything is in place: older partial content loses the files of the same paths. */
void kith_share_salvage_rest(kith_share_dir *d);

/* ---- older content ---- */

/* Reads the file that lies in the place of entry, which has several leaves, and notes the values of what it has. root: its hash, if it has
 * the size that the entry has, and can be read; false: it has not, or root is NULL. */
bool kith_share_older_in_place(kith_share_dir *d, size_t entry, int fd, uint8_t root[KITH_BLAKE3_LEN]);
/* All that clashed is decided about: what is replaced is looked at, and of the others nothing counts. */
void kith_share_older_decided(kith_share_dir *d);
/* It is not older after all. False: no memory. */
bool kith_share_older_forget(kith_share_dir *d, size_t entry);
/* Notes the values of what lies in parts and is not in the journal. */
void kith_share_older_parts(kith_share_dir *d);
/* Reads a leaf that is `same` into d->buf, wherever it is, and sets it->zeros. False: it is not what it was. */
bool kith_share_older_read(kith_share_dir *d, kith_share_open_part *p, kith_share_item *it, bool *in_part);
void kith_share_older_fini(kith_share_dir *d);
/* Bytes that the part of an entry takes, whether or not the journal says that they are here. */
uint64_t kith_share_part_room(int parts, size_t entry);

#endif
