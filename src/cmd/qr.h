/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* QR codes in a terminal. */
#ifndef KITH_CMD_QR_H
#define KITH_CMD_QR_H

/* Draws text to stdout with half-block characters, dark on light; nothing but a warning when it is too long for a code. */
void qr_print(const char *text);

#endif
