/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support.h"

#include "host/host.h"
#include "host/share_path.h"

static void a_path_is_whole_escaped_and_cut_to_fit(void **state)
{
    (void)state;
    char out[KITH_SHARE_PATH_MAX];
    kith_entry entries[5] = {{.type = KITH_ENTRY_DIR, .mode = 0755, .name = kith_bytes_str("photos")}};
    static char name[KITH_NAME_MAX + 1];
    memset(name, 'n', KITH_NAME_MAX);
    for (int i = 1; i < 4; i++)
        entries[i] = (kith_entry){
            .type = KITH_ENTRY_DIR, .mode = 0755, .depth = (uint8_t)i, .name = kith_bytes_str(name)};
    entries[4] = (kith_entry){.type = KITH_ENTRY_FILE, .mode = 0644, .depth = 1, .name = kith_bytes_str("o")};
    static uint8_t list[4096];
    kith_wr w = kith_wr_of(kith_span_of(list, sizeof list));
    kith_manifest m;
    kith_manifest_fault fault;
    for (size_t i = 0; i < 5; i++)
        kith_manifest_put_entry(&w, &entries[i]);
    assert_int_equal(kith_manifest_parse(kith_host_env(), kith_wr_bytes(&w), false, &m, &fault), KITH_OK);
    assert_string_equal(kith_share_path(&m, 4, out), "photos/o");
    assert_int_equal(strlen(kith_share_path(&m, 2, out)), KITH_SHARE_PATH_MAX - 1);
    assert_memory_equal(out, "photos/nnn", 10);
    assert_int_equal(strlen(kith_share_path(&m, 1, out)), strlen("photos/") + KITH_NAME_MAX);
    kith_manifest_fini(&m, kith_host_env());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_whole_escaped_and_cut_to_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
