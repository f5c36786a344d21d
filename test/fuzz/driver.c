/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Runs a fuzz target over the files given, or over those in the folders given, without libFuzzer: so that every
 * compiler and sanitizer runs the corpora as regression tests. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static size_t ran;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static void run_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path);
    /* Exactly `size` bytes on the heap, so that a sanitizer sees the first byte read beyond them. */
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, f) != size)
        die(path);
    fclose(f);
    /* The last name printed is the file that crashed. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    ran++;
}

static void run(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            return;
        die(path);
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, (size_t)st.st_size);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0)
        die(path);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            run(file);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize != NULL)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    if (ran == 0) {
        printf("skipped: no corpus in %s\n", argc > 1 ? argv[1] : "(nothing given)");
        return 77;
    }
    printf("%zu inputs\n", ran);
    return 0;
}
