/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Exit codes and names of how a fetch ended. */
#include "cmd/get_result.h"

#include "cmd/cmd.h"

int get_result_code(kith_share_fetch_why why)
{
    switch (why) {
    case KITH_FETCH_OK:
    case KITH_FETCH_ENOUGH:
        return EXIT_OK;
    case KITH_FETCH_UNREACHABLE:
        return EXIT_UNREACHABLE;
    case KITH_FETCH_REFUSED:
    case KITH_FETCH_NO_FILES:
    case KITH_FETCH_LATE:
    case KITH_FETCH_WRONG_CODE:
        return EXIT_REFUSED;
    case KITH_FETCH_NOT_ONE:
        return EXIT_USAGE;
    case KITH_FETCH_LOST:
        return EXIT_LOST;
    case KITH_FETCH_CLASH:
        return EXIT_EXISTS;
    case KITH_FETCH_BUSY:
        return EXIT_BUSY;
    case KITH_FETCH_DISK:
        return EXIT_DISK;
    case KITH_FETCH_DAMAGED:
        return EXIT_DAMAGED;
    case KITH_FETCH_UNSAFE:
        return EXIT_UNSAFE;
    case KITH_FETCH_CHANGED:
        return EXIT_CHANGED;
    case KITH_FETCH_DECLINED:
    case KITH_FETCH_FAILED:
        return EXIT_FAILED;
    }
    return EXIT_FAILED;
}

const char *get_result_name(kith_share_fetch_why why)
{
    static const char *const names[] = {
        [KITH_FETCH_OK] = "ok",
        [KITH_FETCH_UNREACHABLE] = "unreachable",
        [KITH_FETCH_REFUSED] = "refused",
        [KITH_FETCH_LOST] = "lost",
        [KITH_FETCH_CLASH] = "exists",
        [KITH_FETCH_DISK] = "disk",
        [KITH_FETCH_DAMAGED] = "damaged",
        [KITH_FETCH_UNSAFE] = "unsafe",
        [KITH_FETCH_CHANGED] = "changed",
        [KITH_FETCH_DECLINED] = "declined",
        [KITH_FETCH_FAILED] = "failed",
        [KITH_FETCH_WRONG_CODE] = "wrong_code",
        [KITH_FETCH_NOT_ONE] = "several",
        [KITH_FETCH_ENOUGH] = "enough",
        [KITH_FETCH_LATE] = "refused",
        [KITH_FETCH_BUSY] = "busy",
        [KITH_FETCH_NO_FILES] = "refused",
    };
    return names[why];
}
