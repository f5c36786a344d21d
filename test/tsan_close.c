/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libuv closes descriptors by a raw system call, which ThreadSanitizer does not see: whatever gets the number next, a
 * file that a worker opens, looks like a race with the socket that had it. Builds for ThreadSanitizer have this in
 * front of the C library's syscall, so that it sees every close. */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARGS = 6 };

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long a[ARGS];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < ARGS; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_close)
        return close((int)a[0]);
    if (!__atomic_load_n(&next, __ATOMIC_RELAXED)) {
        void *found = dlsym(RTLD_NEXT, "syscall");
        __atomic_store_n(&next, (long (*)(long, ...))found, __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&next, __ATOMIC_RELAXED)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
