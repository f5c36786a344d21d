/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Asking for passphrases. */
#include "cmd/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/paths.h"

#define TRIES 3

void passphrase_wipe(passphrase *p)
{
    kith_wipe(p, sizeof *p);
}

/* ---- reading ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

/* Until there is something to read; false: a signal came. Signals come in here only, so that none is overlooked. */
static bool wait_for(int fd, const sigset_t *mask)
{
    while (!interrupted) {
        if (cmd_wait_input(fd, mask))
            return true;
    }
    return false;
}

/* Byte by byte, so that what follows the line stays in the descriptor. mask: of the signals while it waits; NULL: as it is. False: it failed, or a
 * signal came. */
static bool read_line(int fd, const sigset_t *mask, passphrase *out)
{
    char c;
    out->len = 0;
    for (;;) {
        if (mask && !wait_for(fd, mask))
            return false;
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0 || c == '\n')
            return true;
        if (out->len < sizeof out->text)
            out->text[out->len++] = c;
    }
}

static int check(const passphrase *p)
{
    if (p->len == 0)
        return cmd_fail(EXIT_USAGE, "the passphrase is empty");
    if (p->len > KITH_ARGON2_PASSPHRASE_MAX)
        return cmd_fail(EXIT_USAGE, "the passphrase is longer than %d bytes", KITH_ARGON2_PASSPHRASE_MAX);
    return EXIT_OK;
}

static int from_fd(const char *option, int fd, passphrase *out)
{
    if (!read_line(fd, NULL, out))
        return cmd_fail(EXIT_USAGE, "--%s: cannot read from descriptor %d: %s", option, fd, strerror(errno));
    return check(out);
}

static void put(int fd, const char *text)
{
    ssize_t n = write(fd, text, strlen(text));
    (void)n;
}

/* Without echo; whatever ends the reading, the terminal is as it was before. */
static bool type_line(int tty, const char *prompt, passphrase *out)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction act = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, was[4], stop;
    struct termios shown, hidden;
    sigset_t block, mask;
    if (tcgetattr(tty, &shown))
        return false;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    hidden.c_lflag |= ICANON | ISIG;
    interrupted = 0;
    sigemptyset(&block);
    for (int i = 0; i < 4; i++) {
        sigaddset(&block, numbers[i]);
        sigaction(numbers[i], &act, &was[i]);
    }
    sigprocmask(SIG_BLOCK, &block, &mask);
    sigaction(SIGTSTP, &ignore, &stop); /* a shell prompt without echo would be left behind */
    bool ok = tcsetattr(tty, TCSAFLUSH, &hidden) ==
              0; /* before the question: what is typed in answer is not flushed */
    put(tty, prompt);
    ok = ok && read_line(tty, &mask, out);
    (void)tcsetattr(tty, TCSAFLUSH, &shown);
    put(tty, "\n");
    sigaction(SIGTSTP, &stop, NULL);
    for (int i = 0; i < 4; i++)
        sigaction(numbers[i], &was[i], NULL);
    if (interrupted)
        raise(interrupted);
    sigprocmask(SIG_SETMASK, &mask, NULL); /* here it comes, as if it had not been held up */
    return ok && !interrupted;
}

static int from_tty(const char *option, const char *prompt, bool twice, passphrase *out)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return cmd_fail(EXIT_CONFIG,
                        "a passphrase is needed, and there is no terminal to ask on; give --%s N", option);
    passphrase again = {.len = 0};
    int code = EXIT_OK;
    if (!type_line(tty, prompt, out) || (twice && !type_line(tty, "the same again: ", &again)))
        code = cmd_fail(EXIT_INTERRUPTED, "no passphrase was typed");
    else if (twice && (again.len != out->len || memcmp(again.text, out->text, out->len) != 0))
        code = cmd_fail(EXIT_USAGE, "the two are not the same");
    else
        code = check(out);
    passphrase_wipe(&again);
    close(tty);
    return code;
}

int passphrase_ask(const cmd_args *args, const char *option, const char *prompt, bool twice, passphrase *out)
{
    unsigned long long fd;
    out->len = 0;
    if (!cmd_number(args, option, 0, 0, INT_MAX, &fd))
        return EXIT_USAGE;
    return cmd_has(args, option) ? from_fd(option, (int)fd, out) : from_tty(option, prompt, twice, out);
}

int passphrase_unlock(const cmd_args *args, kith_identity *id, const char *name)
{
    passphrase p;
    char prompt[KITH_PATH_MAX + 64];
    const char *why = NULL;
    kith_err e = KITH_EAUTH;
    int code = EXIT_OK;
    snprintf(prompt, sizeof prompt, "passphrase of %s: ", name);
    for (int n = 0; kith_identity_facts_of(id).locked; n++) {
        code = passphrase_ask(args, "passphrase-fd", prompt, false, &p);
        if (!code)
            e = kith_identity_unlock(id, kith_bytes_of(p.text, p.len), &why);
        passphrase_wipe(&p);
        if (code)
            return code;
        if (e && (e != KITH_EAUTH || n + 1 == TRIES || cmd_has(args, "passphrase-fd")))
            return cmd_fail(EXIT_CONFIG, "cannot use %s: %s", name, why);
        if (e)
            cmd_warn("the passphrase is wrong; try again");
    }
    return EXIT_OK;
}
