/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where files go, by environment. */
#include "host/paths.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static void env(const char *home, const char *kith, const char *config, const char *state)
{
    const char *const names[] = {"HOME", "KITH_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"};
    const char *const values[] = {home, kith, config, state};
    for (int i = 0; i < 4; i++) {
        if (values[i])
            setenv(names[i], values[i], 1);
        else
            unsetenv(names[i]);
    }
}

static void expect(kith_place place, const char *want)
{
    char path[KITH_PATH_MAX];
    assert_true(kith_path(place, "x", path));
    assert_string_equal(path, want);
}

static void the_environment_decides(void **state)
{
    (void)state;
    unsetenv("XDG_CACHE_HOME");
    env("/h/u", NULL, NULL, NULL);
    expect(KITH_PLACE_CONFIG, "/h/u/.config/kith/x");
    expect(KITH_PLACE_STATE, "/h/u/.local/state/kith/x");
    expect(KITH_PLACE_CACHE, "/h/u/.cache/kith/x");
    setenv("XDG_CACHE_HOME", "/x", 1);
    expect(KITH_PLACE_CACHE, "/x/kith/x");
    unsetenv("XDG_CACHE_HOME");
    env("/h/u", NULL, "/c", "/s");
    expect(KITH_PLACE_CONFIG, "/c/kith/x");
    expect(KITH_PLACE_STATE, "/s/kith/x");
    env("/h/u", NULL, "relative", "");
    expect(KITH_PLACE_CONFIG, "/h/u/.config/kith/x");
    expect(KITH_PLACE_STATE, "/h/u/.local/state/kith/x");
    env("/h/u", "/k", "/c", "/s");
    expect(KITH_PLACE_CONFIG, "/k/x");
    expect(KITH_PLACE_STATE, "/k/x");
    expect(KITH_PLACE_CACHE, "/k/cache/x");
    env(NULL, "here", NULL, NULL);
    expect(KITH_PLACE_STATE, "here/x");
}

static void no_home_and_a_path_too_long_are_no_path(void **state)
{
    (void)state;
    char path[KITH_PATH_MAX], home[KITH_PATH_MAX + 1];
    env(NULL, NULL, NULL, NULL);
    assert_false(kith_path(KITH_PLACE_CONFIG, "x", path));
    assert_true(kith_path_make(KITH_PLACE_CONFIG) < 0);
    memset(home, 'h', sizeof home - 1);
    home[0] = '/';
    for (size_t len = KITH_PATH_MAX - 4; len < KITH_PATH_MAX; len++) {
        home[len] = '\0';
        env(NULL, home, NULL, NULL);
        assert_int_equal(kith_path(KITH_PLACE_CONFIG, "x", path), len + 2 < KITH_PATH_MAX);
        home[len] = 'h';
    }
}

static void folders_are_made_for_the_user_alone(void **state)
{
    (void)state;
    char top[] = "/tmp/kith-paths-XXXXXX", deep[64], middle[64];
    struct stat st;
    mode_t mask = umask(0);
    assert_non_null(mkdtemp(top));
    snprintf(deep, sizeof deep, "%s/a/b", top);
    snprintf(middle, sizeof middle, "%s/a", top);
    env(NULL, deep, NULL, NULL);
    assert_int_equal(kith_path_make(KITH_PLACE_STATE), 0);
    assert_int_equal(kith_path_make(KITH_PLACE_STATE), 0);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(rmdir(deep), 0);
    FILE *f = fopen(deep, "w"); /* a file is in the way */
    fclose(f);
    snprintf(middle + strlen(middle), 8, "/b/c");
    env(NULL, middle, NULL, NULL);
    assert_int_equal(kith_path_make(KITH_PLACE_STATE), -ENOTDIR);
    unlink(deep);
    middle[strlen(top) + 2] = '\0';
    rmdir(middle);
    rmdir(top);
    umask(mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_decides),
        cmocka_unit_test(no_home_and_a_path_too_long_are_no_path),
        cmocka_unit_test(folders_are_made_for_the_user_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
