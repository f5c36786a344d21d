/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lists that a receiver must refuse before it writes anything, and some that look odd and are not. */
#include <stdlib.h>
#include <string.h>

#include "cli/hostile.h"
#include "host/share_dir.h"
#include "wire/pb.h"

#define X16 "xxxxxxxxxxxxxxxx"
#define X256 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16

/* ---- where things lie ---- */

static void dotdot_folder(void)
{
    add(0, KITH_ENTRY_DIR, "..");
    add(1, KITH_ENTRY_FILE, "evil");
}

static void dot_folder(void)
{
    add(0, KITH_ENTRY_DIR, ".");
    add(1, KITH_ENTRY_FILE, "evil");
}

static void slash_folder(void)
{
    add(0, KITH_ENTRY_DIR, "../beside");
    add(1, KITH_ENTRY_FILE, "canary");
}

static void dotdot_below(void)
{
    add(0, KITH_ENTRY_DIR, "d");
    add(1, KITH_ENTRY_DIR, "..");
    add(2, KITH_ENTRY_DIR, "..");
    add(3, KITH_ENTRY_FILE, "evil");
}

static void two(const char *a, uint64_t type_a, const char *b, uint64_t type_b)
{
    add(0, type_a, a);
    add(0, type_b, b);
}

static void out_of_order(void)
{
    two("b", KITH_ENTRY_FILE, "a", KITH_ENTRY_FILE);
}

static void prefix_after(void)
{
    two("ab", KITH_ENTRY_FILE, "a", KITH_ENTRY_FILE);
}

static void out_of_order_below(void)
{
    add(0, KITH_ENTRY_DIR, "d");
    add(1, KITH_ENTRY_FILE, "b");
    add(1, KITH_ENTRY_FILE, "a");
}

static void folder_taken_up_again(void)
{
    add(0, KITH_ENTRY_DIR, "a");
    add(0, KITH_ENTRY_FILE, "b");
    add(0, KITH_ENTRY_DIR, "a");
    add(1, KITH_ENTRY_FILE, "x");
}

static void twice(void)
{
    two("evil", KITH_ENTRY_FILE, "evil", KITH_ENTRY_FILE);
}

static void folder_twice(void)
{
    two("evil", KITH_ENTRY_DIR, "evil", KITH_ENTRY_DIR);
}

static void file_and_folder(void)
{
    two("evil", KITH_ENTRY_FILE, "evil", KITH_ENTRY_DIR);
    add(1, KITH_ENTRY_FILE, "x");
}

static void in_a_file(void)
{
    add(0, KITH_ENTRY_FILE, "f");
    add(1, KITH_ENTRY_FILE, "x");
}

/* Writing through a link: OnionShare 2.6.4 and croc had flaws of this kind. */
static void under_a_link(void)
{
    add(0, KITH_ENTRY_LINK, "l")->target = RAW("a");
    add(1, KITH_ENTRY_FILE, "canary");
}

static void link_then_folder(void)
{
    add(0, KITH_ENTRY_LINK, "l")->target = RAW("a");
    add(0, KITH_ENTRY_DIR, "l");
    add(1, KITH_ENTRY_FILE, "canary");
}

static void folder_then_link(void)
{
    add(0, KITH_ENTRY_DIR, "l");
    add(1, KITH_ENTRY_FILE, "canary");
    add(0, KITH_ENTRY_LINK, "l")->target = RAW("a");
}

static void depth_jump(void)
{
    add(0, KITH_ENTRY_DIR, "a");
    add(2, KITH_ENTRY_FILE, "x");
}

static void begins_below(void)
{
    add(1, KITH_ENTRY_FILE, "x");
}

static void deep(size_t levels)
{
    for (size_t i = 0; i < levels; i++)
        add(i, KITH_ENTRY_DIR, "d");
}

static void too_deep(void)
{
    deep(65);
}

static void much_too_deep(void)
{
    deep(199);
}

static void just_deep_enough(void)
{
    deep(64);
}

static void depth_of_32_bits(void)
{
    add(UINT64_C(1) << 32, KITH_ENTRY_FILE, "x");
}

static void depth_of_64_bits(void)
{
    add(UINT64_MAX, KITH_ENTRY_FILE, "x");
}

static void depth_256(void) /* 0, in a byte */
{
    add(256, KITH_ENTRY_FILE, "x");
}

/* ---- what kith keeps for itself ---- */

static void own_folder(void)
{
    add(0, KITH_ENTRY_DIR, KITH_SHARE_PARTIAL);
    add(1, KITH_ENTRY_FILE, "0.part");
}

static void own_folder_as_link(void)
{
    add(0, KITH_ENTRY_LINK, KITH_SHARE_PARTIAL)->target = RAW("a");
}

/* ---- links ---- */

static void link_climbs_by_a_link(void)
{
    add(0, KITH_ENTRY_DIR, "d");
    add(1, KITH_ENTRY_LINK, "a")->target = RAW("..");
    add(1, KITH_ENTRY_LINK, "b")->target = RAW("a/..");
}

static void link_of_4096_bytes(void)
{
    static uint8_t target[KITH_LINK_MAX + 1];
    for (size_t i = 0; i < sizeof target; i++)
        target[i] = i % 2 ? '/' : 'a';
    add(0, KITH_ENTRY_LINK, "l")->target = kith_bytes_of(target, sizeof target);
}

static void link_dots_at_top(void)
{
    add(0, KITH_ENTRY_LINK, "l")->target = RAW("./.././beside");
}

static void target_of_a_file(void)
{
    add(0, KITH_ENTRY_FILE, "f")->target = RAW("x");
}

static void target_of_a_folder(void)
{
    add(0, KITH_ENTRY_DIR, "d")->target = RAW("x");
}

static void link_with_size(void)
{
    hostile_entry *e = add(0, KITH_ENTRY_LINK, "l");
    e->target = RAW("x");
    e->size = 5;
}

static void link_with_mode(void)
{
    hostile_entry *e = add(0, KITH_ENTRY_LINK, "l");
    e->target = RAW("x");
    e->mode = 0777;
}

static void links_without_harm(void)
{
    add(0, KITH_ENTRY_DIR, "d");
    add(1, KITH_ENTRY_LINK, "up")->target = RAW("../good");
    add(0, KITH_ENTRY_FILE, "good");
    add(0, KITH_ENTRY_LINK, "loop")->target = RAW("loop");
    add(0, KITH_ENTRY_LINK, "nowhere")->target = RAW("none/at/all/");
}

/* ---- types, modes, sizes ---- */

static void of_type(uint64_t type)
{
    add(0, type, "evil");
}

static void device(void)
{
    of_type(3);
}

static void type_of_64_bits(void)
{
    of_type(UINT64_MAX);
}

static void type_of_33_bits(void) /* a file, in 32 */
{
    of_type(UINT64_C(1) << 32);
}

static void of_mode(uint64_t mode)
{
    add(0, KITH_ENTRY_FILE, "evil")->mode = mode;
}

static void mode_setuid(void)
{
    of_mode(04755);
}

static void mode_setgid(void)
{
    of_mode(02755);
}

static void mode_sticky(void)
{
    add(0, KITH_ENTRY_DIR, "evil")->mode = 01777;
}

static void mode_with_type(void)
{
    of_mode(0100644);
}

static void mode_of_17_bits(void) /* 0755, in 16 */
{
    of_mode(0200755);
}

static void mode_of_64_bits(void)
{
    of_mode(UINT64_MAX);
}

static void of_size(uint64_t size)
{
    add(0, KITH_ENTRY_FILE, "evil")->size = size;
}

static void size_past_the_cap(void)
{
    of_size(KITH_TREE_SIZE_MAX + 1);
}

static void size_of_64_bits(void)
{
    of_size(UINT64_MAX);
}

static void size_of_all_leaves_and_one(void)
{
    of_size(((uint64_t)KITH_MANIFEST_LEAVES_MAX + 1) * KITH_TREE_LEAF);
}

static void sizes_that_add_up(void)
{
    add(0, KITH_ENTRY_FILE, "a")->size = UINT64_C(1) << 49;
    add(0, KITH_ENTRY_FILE, "b")->size = UINT64_C(1) << 49;
}

static void sizes_that_overflow(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (size_t i = 0; i < 8; i++)
        add(0, KITH_ENTRY_FILE, names[i])->size = KITH_TREE_SIZE_MAX;
}

static void more_than_the_disk(void)
{
    of_size((uint64_t)KITH_MANIFEST_LEAVES_MAX * KITH_TREE_LEAF);
}

static void folder_with_size(void)
{
    add(0, KITH_ENTRY_DIR, "d")->size = 5;
}

/* ---- lists that are none ---- */

static void good_entry(void)
{
    const hostile_entry e = {.name = RAW("good"), .size = 5, .mode = 0644};
    share.count = 1;
    list_entry(&e);
}

static void cut_in_an_entry(void)
{
    good_entry();
    share.list_len -= 3;
}

static void byte_too_many(void)
{
    good_entry();
    list_put("\x0a", 1);
}

static void entries_past_the_cap(void)
{
    uint8_t *p = malloc((KITH_MANIFEST_ENTRIES_MAX + 1) * (size_t)12);
    kith_wr w = kith_wr_of(kith_span_of(p, (KITH_MANIFEST_ENTRIES_MAX + 1) * (size_t)12));
    if (!p)
        abort();
    for (uint32_t i = 0; i <= KITH_MANIFEST_ENTRIES_MAX; i++) {
        char name[8];
        for (int k = 5; k >= 0; k--)
            name[5 - k] = (char)('a' + (i >> (4 * k) & 15));
        kith_put_bytes(&w, kith_bytes_of("\x0a\x08\x12\x06", 4));
        kith_put_bytes(&w, kith_bytes_of(name, 6));
    }
    list_put(p, w.len);
    free(p);
}

/* The one that counts is the last, and it is the one that is judged. */
static void second_name_evil(void)
{
    list_put("\x0a\x10\x12\x04good\x12\x06../evl\x20\x05", 18);
}

static void second_name_good(void)
{
    list_put("\x0a\x10\x12\x06../evl\x12\x04good\x20\x05", 18);
    share.count = 1;
}

static void unknown_fields(void)
{
    list_put("\x7a\x03xyz\x0a\x0d\x12\x04good\x20\x05\x7a\x03xyz", 20);
    share.count = 1;
}

static void twins_of_case(void)
{
    two("GOOD", KITH_ENTRY_FILE, "good", KITH_ENTRY_FILE);
}

static void twins_of_normalisation(void)
{
    two("e\xcc\x81", KITH_ENTRY_FILE, "\xc3\xa9", KITH_ENTRY_FILE);
}

#define NAME(n, bytes, why)                                       \
    {                                                             \
        .name = "name_" n, .code = UNSAFE, .says = why, .file = { \
            (const uint8_t *)(bytes),                             \
            sizeof(bytes) - 1                                     \
        }                                                         \
    }
#define PORTABLE(n, bytes, why)                                                             \
    {                                                                                       \
        .name = "portable_" n, .code = UNSAFE, .says = why, .args = "--portable", .file = { \
            (const uint8_t *)(bytes),                                                       \
            sizeof(bytes) - 1                                                               \
        }                                                                                   \
    }
#define LINK(n, bytes, why)                                         \
    {                                                               \
        .name = "link_" n, .code = UNSAFE, .says = why, .target = { \
            (const uint8_t *)(bytes),                               \
            sizeof(bytes) - 1                                       \
        }                                                           \
    }
#define DEEP_LINK(n, bytes, why)                                                  \
    {                                                                             \
        .name = "link_" n, .code = UNSAFE, .says = why, .deep = true, .target = { \
            (const uint8_t *)(bytes),                                             \
            sizeof(bytes) - 1                                                     \
        }                                                                         \
    }
#define MADE(function, why)                                              \
    {                                                                    \
        .name = #function, .code = UNSAFE, .says = why, .make = function \
    }
#define LIST(n, bytes, why)                                      \
    {                                                            \
        .name = "list_" n, .code = UNSAFE, .says = why, .raw = { \
            (const uint8_t *)(bytes),                            \
            sizeof(bytes) - 1                                    \
        }                                                        \
    }
#define FINE(n, ...)                                   \
    {                                                  \
        .name = n, .code = OK, .says = "", __VA_ARGS__ \
    }

#define FOLDER "it stands for another folder"
#define CONTROL "it has a control character"
#define TURNS "it has a character that changes the direction of text, or breaks lines"
#define UTF8 "it is not UTF-8"
#define OUTSIDE "its target lies outside of the share"
#define MALFORMED "it is malformed"
#define LIST_MALFORMED "the list is malformed"

const hostile_case hostile_lists[] = {
    NAME("dot", ".", FOLDER),
    NAME("dotdot", "..", FOLDER),
    MADE(dotdot_folder, FOLDER),
    MADE(dot_folder, FOLDER),
    MADE(dotdot_below, FOLDER),
    {.name = "name_empty",
     .code = UNSAFE,
     .says = "it is empty",
     .raw = {(const uint8_t *)"\x0a\x02\x20\x05", 4}},
    NAME("slash", "../evil", "it has a slash"),
    NAME("absolute", "/tmp/kith-evil", "it has a slash"),
    NAME("slash_at_end", "evil/", "it has a slash"),
    MADE(slash_folder, "it has a slash"),
    NAME("backslash", "..\\evil", "it has a backslash"),
    NAME("nul", "evil\0.txt", CONTROL),
    NAME("escape", "\x1b[2J\x1b]0;owned\x07", CONTROL),
    NAME("newline", "evil\nkith: all is well", CONTROL),
    NAME("carriage_return", "evil\rgood", CONTROL),
    NAME("backspace", "evil\b\b\b\bgood", CONTROL),
    NAME("delete", "evil\x7f", CONTROL),
    NAME("c1", "\xc2\x9b[2J", CONTROL),
    NAME("turned",
         "gpj.\xe2\x80\xae"
         "exe",
         TURNS),
    NAME("isolated", "\xe2\x81\xa6x", TURNS),
    NAME("right_mark", "\xe2\x80\x8fx", TURNS),
    NAME("arabic_mark", "\xd8\x9cx", TURNS),
    NAME("line_separator",
         "a\xe2\x80\xa8"
         "b",
         TURNS),
    NAME("not_utf8", "\xff\xfe", UTF8),
    NAME("lone_byte", "evil\x80", UTF8),
    NAME("cut_utf8", "evil\xe2\x82", UTF8),
    NAME("overlong_slash",
         "..\xc0\xaf"
         "evil",
         UTF8),
    NAME("overlong_slash_3",
         "..\xe0\x80\xaf"
         "evil",
         UTF8),
    NAME("overlong_slash_4",
         "..\xf0\x80\x80\xaf"
         "evil",
         UTF8),
    NAME("overlong_dots", "\xc0\xae\xc0\xae", UTF8),
    NAME("overlong_nul", "evil\xc0\x80", UTF8),
    NAME("surrogate", "\xed\xa0\x80", UTF8),
    NAME("past_unicode", "\xf4\x90\x80\x80", UTF8),
    NAME("of_256_bytes", X256, "it is longer than 255 bytes"),
    MADE(own_folder, "which kith keeps for itself"),
    MADE(own_folder_as_link, "which kith keeps for itself"),
    {.name = "own_folder_as_file",
     .code = UNSAFE,
     .says = "which kith keeps for itself",
     .file = {(const uint8_t *)KITH_SHARE_PARTIAL, sizeof KITH_SHARE_PARTIAL - 1}},
    PORTABLE("device", "NUL.txt", "it is the name of a device on Windows"),
    PORTABLE("dot_at_end", "evil.", "it ends with a dot or a space"),
    PORTABLE("space_at_end", "evil ", "it ends with a dot or a space"),
    PORTABLE("stream", "evil:stream", "it has a character that Windows refuses"),
    {.name = "portable_twins",
     .code = UNSAFE,
     .says = "only the case of its letters tells it from another name",
     .args = "--portable",
     .make = twins_of_case},

    MADE(out_of_order, "it is not in order"),
    MADE(prefix_after, "it is not in order"),
    MADE(out_of_order_below, "it is not in order"),
    MADE(folder_taken_up_again, "it is not in order"),
    MADE(twice, "it is listed twice"),
    MADE(folder_twice, "it is listed twice"),
    MADE(file_and_folder, "it is listed twice"),
    MADE(link_then_folder, "it is listed twice"),
    MADE(folder_then_link, "it is listed twice"),
    MADE(in_a_file, "what it lies in is not a folder"),
    MADE(under_a_link, "what it lies in is not a folder"),
    MADE(depth_jump, "it lies in no listed folder"),
    MADE(begins_below, "it lies in no listed folder"),
    MADE(too_deep, "it lies too deep"),
    MADE(much_too_deep, "it lies too deep"),
    MADE(depth_256, "it lies too deep"),
    MADE(depth_of_32_bits, "it lies too deep"),
    MADE(depth_of_64_bits, "it lies too deep"),

    LINK("absolute", "/etc/passwd", "its target is an absolute path"),
    LINK("out", "../beside", OUTSIDE),
    LINK("only_up", "..", OUTSIDE),
    DEEP_LINK("out_of_folder", "../../beside", OUTSIDE),
    DEEP_LINK("zigzag", "c/../../../beside", "its target goes up after it went down"),
    MADE(link_climbs_by_a_link, "its target goes up after it went down"),
    MADE(link_dots_at_top, OUTSIDE),
    {.name = "link_nowhere",
     .code = UNSAFE,
     .says = "its target is empty",
     .raw = {(const uint8_t *)"\x0a\x05\x12\x01l\x18\x02", 7}},
    MADE(link_of_4096_bytes, "its target is too long"),
    LINK("long_part", "a/" X256, "a part of its target is longer than 255 bytes"),
    LINK("empty_part", "a//b", "its target has an empty part"),
    LINK("slashes_at_end", "a//", "its target has an empty part"),
    LINK("backslash", "..\\beside", "its target has a backslash"),
    LINK("escape", "\x1b[2J", CONTROL),
    LINK("nul", "a\0b", CONTROL),
    LINK("turned", "\xe2\x80\xae", TURNS),
    LINK("not_utf8", "\xff", UTF8),
    LINK("overlong", "\xc0\xae\xc0\xae/beside", UTF8),
    MADE(target_of_a_file, "it is a file with a link's target"),
    MADE(target_of_a_folder, "it is a folder with content of its own"),
    MADE(link_with_size, "it is a symbolic link with content or a mode of its own"),
    MADE(link_with_mode, "it is a symbolic link with content or a mode of its own"),

    MADE(device, "it is neither a file, a folder nor a symbolic link"),
    MADE(type_of_33_bits, "it is neither a file, a folder nor a symbolic link"),
    MADE(type_of_64_bits, "it is neither a file, a folder nor a symbolic link"),
    MADE(mode_setuid, "its mode has more than read, write and execute"),
    MADE(mode_setgid, "its mode has more than read, write and execute"),
    MADE(mode_sticky, "its mode has more than read, write and execute"),
    MADE(mode_with_type, "its mode has more than read, write and execute"),
    MADE(mode_of_17_bits, "its mode has more than read, write and execute"),
    MADE(mode_of_64_bits, "its mode has more than read, write and execute"),
    MADE(size_past_the_cap, "it is too large"),
    MADE(size_of_64_bits, "it is too large"),
    MADE(size_of_all_leaves_and_one, "the share is too large"),
    MADE(sizes_that_add_up, "the share is too large"),
    MADE(sizes_that_overflow, "the share is too large"),
    {.name = "more_than_the_disk", .code = DISK, .says = "has no room for it", .make = more_than_the_disk},
    MADE(folder_with_size, "it is a folder with content of its own"),

    LIST("of_nothing", "\x7a\x03xyz", "the list is empty"),
    LIST("entry_no_bytes", "\x08\x05", MALFORMED),
    LIST("name_no_bytes", "\x0a\x02\x10\x05", "a field has the wrong type"),
    LIST("depth_bytes", "\x0a\x03\x0a\x01x", "a field has the wrong type"),
    LIST("mode_fixed", "\x0a\x08\x12\x01x\x2d\xa4\x01\0\0", "a field has the wrong type"),
    LIST("varint_of_11", "\x0a\x0f\x12\x01x\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", MALFORMED),
    LIST("past_its_end", "\x0a\x7f\x12\x01x", LIST_MALFORMED),
    LIST("name_past_its_end", "\x0a\x03\x12\x7fx", MALFORMED),
    LIST("length_of_63_bits", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f evil", LIST_MALFORMED),
    LIST("length_of_64_bits", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01 evil", LIST_MALFORMED),
    LIST("groups", "\x0b\x12\x04good\x0c", LIST_MALFORMED),
    LIST("tag_0", "\x02\x04good", LIST_MALFORMED),
    MADE(cut_in_an_entry, LIST_MALFORMED),
    MADE(byte_too_many, LIST_MALFORMED),
    MADE(entries_past_the_cap, "the share has too many entries"),
    MADE(second_name_evil, "it has a slash"),

    /* what looks odd, and is allowed */
    FINE("second_name_good", .make = second_name_good, .left = "good"),
    FINE("unknown_fields", .make = unknown_fields, .left = "good"),
    FINE("twins_of_case", .make = twins_of_case, .left = "GOOD good"),
    FINE("twins_of_normalisation", .make = twins_of_normalisation, .left = "e\xcc\x81 \xc3\xa9"),
    FINE("links_without_harm", .make = links_without_harm, .left = "d d/up good loop nowhere"),
    FINE("just_deep_enough", .make = just_deep_enough, .left = "*"),
    FINE("dots", .file = {(const uint8_t *)"...", 3}, .left = "..."),
    FINE("like_an_option", .file = {(const uint8_t *)"-rf", 3}, .left = "-rf"),
    {0},
};
