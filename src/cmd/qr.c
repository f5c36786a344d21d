/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Drawing QR codes: two rows of modules in one line of text, with the quiet zone that scanners need. */
#include "cmd/qr.h"

#include <qrencode.h>
#include <stdbool.h>
#include <stdio.h>

#include "cmd/cmd.h"

#define QUIET 2

static bool dark(const QRcode *q, int x, int y)
{
    return x >= 0 && y >= 0 && x < q->width && y < q->width && (q->data[y * q->width + x] & 1);
}

void qr_print(const char *text)
{
    QRcode *q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
    if (!q) {
        cmd_warn("too long for a QR code");
        return;
    }
    for (int y = -QUIET; y < q->width + QUIET; y += 2) {
        for (int x = -QUIET; x < q->width + QUIET; x++) {
            bool up = dark(q, x, y), down = dark(q, x, y + 1);
            /* light modules are drawn, for terminals with a dark background */
            fputs(up ? (down ? " " : "\u2584") : (down ? "\u2580" : "\u2588"), stdout);
        }
        fputc('\n', stdout);
    }
    QRcode_free(q);
}
