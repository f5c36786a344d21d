/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rules for names, and printing them. */
#include "apps/share_name.h"

bool kith_utf8_next(kith_rd *r, uint32_t *cp)
{
    if (r->bad || r->in.len == 0)
        return false;
    uint8_t b = kith_get_u8(r);
    size_t more = b < 0x80 ? 0 : b >= 0xc2 && b < 0xe0 ? 1 : b >= 0xe0 && b < 0xf0 ? 2 : b >= 0xf0 && b < 0xf5 ? 3 : 4;
    if (more > 3 || r->in.len < more) {
        r->bad = true;
        return false;
    }
    uint32_t v = more == 0 ? b : b & (0x3fu >> more);
    for (size_t i = 0; i < more; i++) {
        uint8_t c = kith_get_u8(r);
        if ((c & 0xc0) != 0x80) {
            r->bad = true;
            return false;
        }
        v = v << 6 | (c & 0x3fu);
    }
    if ((more == 2 && v < 0x800) || (more == 3 && (v < 0x10000 || v > 0x10ffff)) || (v >= 0xd800 && v < 0xe000)) {
        r->bad = true;
        return false;
    }
    *cp = v;
    return true;
}

static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029;
}

/* Embeddings, overrides and isolates: they can make "exe.txt" out of "txt.exe" on the screen. */
static bool turns_text(uint32_t cp)
{
    return (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

/* Marks without a shape. They have their use in names of some scripts, but are shown when a name is printed. */
static bool is_invisible(uint32_t cp)
{
    return cp == 0x200e || cp == 0x200f || cp == 0x061c || cp == 0x200b || cp == 0x2060 || cp == 0xfeff;
}

/* Code points that may be in any name or target. */
static const char *text_fault(kith_bytes text)
{
    kith_rd r = kith_rd_of(text);
    uint32_t cp;
    while (kith_utf8_next(&r, &cp)) {
        if (is_control(cp))
            return "it has a control character";
        if (turns_text(cp))
            return "it has a character that turns the direction of text";
    }
    return r.bad ? "it is not UTF-8" : NULL;
}

void kith_name_fold(kith_bytes name, uint8_t *out)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];
        out[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
    }
}

/* Devices of Windows, with or without an extension. */
static bool is_device(kith_bytes name)
{
    static const char *const three[] = {"con", "prn", "aux", "nul"};
    size_t n = 0;
    while (n < name.len && name.p[n] != '.')
        n++;
    while (n > 0 && name.p[n - 1] == ' ')
        n--;
    uint8_t f[4];
    if (n != 3 && n != 4)
        return false;
    kith_name_fold(kith_bytes_of(name.p, n), f);
    for (size_t i = 0; n == 3 && i < sizeof three / sizeof three[0]; i++) {
        if (memcmp(f, three[i], 3) == 0)
            return true;
    }
    return n == 4 && (memcmp(f, "com", 3) == 0 || memcmp(f, "lpt", 3) == 0) && f[3] >= '0' && f[3] <= '9';
}

const char *kith_name_fault(kith_bytes name, bool portable)
{
    if (name.len == 0)
        return "it is empty";
    if (name.len > KITH_NAME_MAX)
        return "it is longer than 255 bytes";
    if (kith_bytes_eq_str(name, ".") || kith_bytes_eq_str(name, ".."))
        return "it stands for another folder";
    if (memchr(name.p, '/', name.len))
        return "it has a slash";
    if (memchr(name.p, '\\', name.len))
        return "it has a backslash";
    const char *why = text_fault(name);
    if (why || !portable)
        return why;
    for (size_t i = 0; i < name.len; i++) {
        if (strchr(":*?\"<>|", name.p[i])) /* never NUL: that is a control character */
            return "it has a character that Windows refuses";
    }
    if (name.p[name.len - 1] == '.' || name.p[name.len - 1] == ' ')
        return "it ends with a dot or a space, which Windows drops";
    return is_device(name) ? "it is the name of a device on Windows" : NULL;
}

const char *kith_link_fault(kith_bytes target, size_t depth)
{
    if (target.len == 0)
        return "its target is empty";
    if (target.len > KITH_LINK_MAX)
        return "its target is too long";
    if (target.p[0] == '/')
        return "its target is an absolute path";
    if (memchr(target.p, '\\', target.len))
        return "its target has a backslash";
    const char *why = text_fault(target);
    if (why)
        return why;
    size_t ups = 0;
    bool down = false;
    for (kith_bytes left = target; left.len > 0;) {
        const uint8_t *slash = memchr(left.p, '/', left.len);
        size_t n = slash ? (size_t)(slash - left.p) : left.len;
        kith_bytes part = kith_bytes_of(left.p, n);
        left = kith_bytes_skip(left, slash ? n + 1 : n);
        if (part.len == 0)
            return "its target has an empty part";
        if (part.len > KITH_NAME_MAX)
            return "a part of its target is longer than 255 bytes";
        if (kith_bytes_eq_str(part, "."))
            continue;
        if (!kith_bytes_eq_str(part, ".."))
            down = true;
        else if (down)
            return "its target goes up after it went down";
        else if (++ups > depth)
            return "its target lies outside of the share";
    }
    return NULL;
}

static void put_cp(kith_wr *w, uint32_t cp)
{
    static const char digits[] = "0123456789abcdef";
    kith_put_str(w, "\\u{");
    for (int shift = cp > 0xffff ? 20 : 12; shift >= 0; shift -= 4)
        kith_put_u8(w, (uint8_t)digits[cp >> shift & 15]);
    kith_put_u8(w, '}');
}

void kith_name_put(kith_wr *w, kith_bytes name)
{
    kith_rd r = kith_rd_of(name);
    while (r.in.len > 0) {
        kith_bytes before = r.in;
        uint32_t cp;
        if (!kith_utf8_next(&r, &cp)) {
            kith_put_str(w, "\\x");
            kith_put_hex(w, kith_bytes_of(before.p, 1));
            r = kith_rd_of(kith_bytes_skip(before, 1));
        } else if (cp == '\n') {
            kith_put_str(w, "\\n");
        } else if (cp == '\t') {
            kith_put_str(w, "\\t");
        } else if (cp == '\\') {
            kith_put_str(w, "\\\\");
        } else if (cp < 0x20 || cp == 0x7f) {
            uint8_t b = (uint8_t)cp;
            kith_put_str(w, "\\x");
            kith_put_hex(w, kith_bytes_of(&b, 1));
        } else if (is_control(cp) || turns_text(cp) || is_invisible(cp)) {
            put_cp(w, cp);
        } else {
            kith_put_bytes(w, kith_bytes_of(before.p, before.len - r.in.len));
        }
    }
}
