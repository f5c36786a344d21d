/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rules for names, and printing them. */
#include "apps/share_name.h"

#include "base/text.h"

/* Code points that may be in any name or target. */
static const char *text_fault(kith_bytes text)
{
    while (text.len > 0) {
        uint32_t cp;
        size_t n = kith_utf8_next(text, &cp);
        if (n == 0)
            return "it is not UTF-8";
        if (!kith_text_printable(cp))
            return cp < 0xa0 ? "it has a control character"
                             : "it has a character that changes the direction of text, or breaks lines";
        text = kith_bytes_skip(text, n);
    }
    return NULL;
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
    for (int shift = 12; shift >= 0; shift -= 4)
        kith_put_u8(w, (uint8_t)digits[cp >> shift & 15]);
    kith_put_u8(w, '}');
}

void kith_name_put(kith_wr *w, kith_bytes name)
{
    while (name.len > 0) {
        uint32_t cp = 0;
        size_t n = kith_utf8_next(name, &cp);
        if (n == 0 || cp < 0x20 || cp == 0x7f) {
            n = n ? n : 1;
            bool known = cp == '\n' || cp == '\t';
            kith_put_str(w, cp == '\n' ? "\\n" : cp == '\t' ? "\\t" : "\\x");
            if (!known)
                kith_put_hex(w, kith_bytes_of(name.p, 1));
        } else if (cp == '\\') {
            kith_put_str(w, "\\\\");
        } else if (!kith_text_printable(cp)) {
            put_cp(w, cp); /* all of these have four digits at most */
        } else {
            kith_put_bytes(w, kith_bytes_of(name.p, n));
        }
        name = kith_bytes_skip(name, n);
    }
}
