/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Patterns from the command line and from files. */
#include "cmd/share_exclude.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20) /* bytes of patterns */

/* where: "--exclude 'x'" or "FILE:7". */
static int add(share_exclude *e, const char *pattern, const char *where)
{
    const char *why = kith_share_pattern_fault(pattern);
    if (pattern[0] == '!')
        why = "a pattern that takes back others (!) is not known here; write \\! for the character";
    if (why)
        return cmd_fail(EXIT_USAGE, "share: %s: %s", where, why);
    if (e->count == KITH_SIEVE_PATTERNS)
        return cmd_fail(EXIT_USAGE, "share: %s: there are more than %d patterns", where, KITH_SIEVE_PATTERNS);
    e->patterns[e->count++] = pattern;
    return EXIT_OK;
}

/* The whole of a file, with a NUL; NULL: *e, or it holds a NUL or is too long (0). */
static char *read_text(const char *path, int *e)
{
    char *text = malloc(FILE_MAX + 1);
    FILE *f = text ? fopen(path, "re") : NULL;
    *e = errno;
    if (f) {
        size_t n = fread(text, 1, FILE_MAX + 1, f);
        bool bad = ferror(f) != 0;
        *e = bad ? errno : 0;
        (void)fclose(f);
        if (!bad && n <= FILE_MAX && !memchr(text, 0, n)) {
            text[n] = 0;
            return text;
        }
    }
    free(text);
    return NULL;
}

/* Cuts the blanks at a line's end, but one behind a backslash. */
static void trim(char *line)
{
    size_t n = strlen(line);
    while (n > 0 && strchr(" \t\r", line[n - 1]) && !(n > 1 && line[n - 2] == '\\'))
        n--;
    line[n] = 0;
}

static int add_file(share_exclude *e, const char *path)
{
    int err;
    size_t number = 0;
    char *text = read_text(path, &err), where[300];
    if (!text)
        return cmd_fail(EXIT_USAGE, "share: --exclude-from %s: %s", path,
                        err ? strerror(err) : "it is no text, or longer than 1 MiB");
    e->texts[e->text_count++] = text;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        trim(line);
        if (!*line || *line == '#')
            continue;
        (void)snprintf(where, sizeof where, "%s:%zu", path, number);
        int code = add(e, line, where);
        if (code)
            return code;
    }
    return EXIT_OK;
}

int share_exclude_read(const cmd_args *args, share_exclude *e)
{
    char where[KITH_SELECT_PATTERN_MAX + 32];
    size_t at = 0;
    int code = EXIT_OK;
    for (const char *p; !code && (p = cmd_next_value(args, "exclude", &at));) {
        (void)snprintf(where, sizeof where, "--exclude '%s'", p);
        code = add(e, p, where);
    }
    at = 0;
    for (const char *p; !code && (p = cmd_next_value(args, "exclude-from", &at));)
        code = add_file(e, p);
    return code;
}

void share_exclude_free(share_exclude *e)
{
    for (size_t i = 0; i < e->text_count; i++)
        free(e->texts[i]);
    e->text_count = 0;
}
