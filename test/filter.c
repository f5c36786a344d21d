/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* In every cmocka program: KITH_ONLY=name runs that test alone (* and ? stand for anything), as tools/check-guards does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void only(void)
{
    const char *name = getenv("KITH_ONLY");
    if (name)
        cmocka_set_test_filter(name);
}
