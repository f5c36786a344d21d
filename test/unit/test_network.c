/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Key files of private networks on the disk: made, read, and refused. */
#include "host/network.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "host/host.h"
#include "unit/support.h"

#define TEXT \
    "/key/swarm/psk/1.0.0/\n/base16/\n03ffd9edc330642a0ae015493c9b60cea669860365d7c65932dce21d6cae4436\n"

static char folder[] = "/tmp/kith-network-XXXXXX", path[64];

static void put(const char *text, size_t len, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void a_file_that_is_made_can_be_read(void **state)
{
    (void)state;
    kith_network made, read, second;
    const char *why;
    struct stat st;
    (void)unlink(path);
    mode_t mask = umask(0);
    assert_int_equal(kith_network_create(path, &made, &why), KITH_OK);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kith_network_load(path, &read, &why), KITH_OK);
    assert_memory_equal(made.key, read.key, sizeof read.key);
    assert_string_equal(made.print, read.print);
    assert_int_equal(kith_network_create(path, &second, &why), KITH_EEXISTS);
    assert_memory_not_equal(made.key, second.key, sizeof made.key);
    assert_int_equal(kith_network_load(path, &read, &why), KITH_OK);
    assert_memory_equal(made.key, read.key, sizeof read.key);
}

static void the_fingerprint_is_of_the_file(void **state)
{
    (void)state;
    kith_network n;
    const char *why;
    put(TEXT, strlen(TEXT), 0600);
    assert_int_equal(kith_network_load(path, &n, &why), KITH_OK);
    assert_string_equal(n.print, "c622f20b5a408852a39b0f7ed8ad58f8");
}

static void assert_refused(kith_err err, const char *sentence)
{
    kith_network n;
    const char *why = NULL;
    assert_int_equal(kith_network_load(path, &n, &why), err);
    assert_string_equal(why, sentence);
    for (size_t i = 0; i < sizeof n.key; i++)
        assert_int_equal(n.key[i], 0);
}

static void a_file_that_others_may_read_is_refused(void **state)
{
    (void)state;
    static const mode_t bad[] = {0644, 0640, 0604, 0620, 0602, 0610, 0601};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(TEXT, strlen(TEXT), bad[i]);
        assert_refused(KITH_EPOLICY, "other users can read or change it; run 'chmod 600' on it");
    }
    kith_network n;
    const char *why;
    put(TEXT, strlen(TEXT), 0400);
    assert_int_equal(kith_network_load(path, &n, &why), KITH_OK);
}

static void what_is_no_key_file_is_refused(void **state)
{
    (void)state;
    char large[KITH_SWARM_KEY_FILE_MAX + 1];
    put("", 0, 0600);
    assert_refused(KITH_EFORMAT, "its first line is not /key/swarm/psk/1.0.0/");
    memset(large, '\n', sizeof large); /* blanks behind a key are fine, up to the largest file */
    memcpy(large, TEXT, strlen(TEXT));
    put(large, KITH_SWARM_KEY_FILE_MAX, 0600);
    kith_network n;
    const char *why;
    assert_int_equal(kith_network_load(path, &n, &why), KITH_OK);
    put(large, KITH_SWARM_KEY_FILE_MAX + 1, 0600);
    assert_refused(KITH_EFORMAT, "it is too large");
    (void)unlink(path);
    assert_refused(KITH_EIO, "No such file or directory");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(KITH_EIO, "it is not a file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* and nobody waits for a writer */
    assert_refused(KITH_EIO, "it is not a file");
    (void)unlink(path);
}

static void where_nothing_can_be_written_nothing_is_left(void **state)
{
    (void)state;
    kith_network n;
    const char *why;
    assert_int_equal(kith_network_create("/nowhere/at/all", &n, &why), KITH_EIO);
    assert_string_equal(why, "No such file or directory");
    assert_int_equal(symlink("/tmp/kith-network-not-there", path),
                     0); /* which would be somebody else's choice of a place */
    assert_int_equal(kith_network_create(path, &n, &why), KITH_EEXISTS);
    (void)unlink(path);
}

static void the_environment_can_forbid_the_open_network(void **state)
{
    (void)state;
    uint8_t seed[KITH_ED25519_SEED_LEN] = {1}, key[KITH_SWARM_KEY_LEN] = {1};
    kith_host_config cfg = {0};
    const char *why = "";
    kith_node_config_default(&cfg.node);
    kith_signer *signer = kith_signer_new(seed);
    cfg.node.signer = signer;
    setenv("LIBP2P_FORCE_PNET", "1", 1);
    assert_null(kith_host_new(&cfg, &why));
    assert_non_null(strstr(why, "LIBP2P_FORCE_PNET=1 allows no node outside of a private network"));
    cfg.node.network_key = key;
    for (int i = 0; i < 2; i++) {
        kith_host *h = kith_host_new(&cfg, &why);
        assert_non_null(h);
        assert_int_equal(kith_node_is_private(kith_host_node(h)), i == 0);
        assert_int_equal(kith_host_network(h) != NULL, i == 0);
        kith_host_stop(h);
        kith_host_run(h);
        kith_host_free(h);
        cfg.node.network_key = NULL;
        setenv("LIBP2P_FORCE_PNET", "0", 1); /* go looks for 1 alone */
    }
    unsetenv("LIBP2P_FORCE_PNET");
    kith_signer_free(signer);
}

static int setup(void **state)
{
    (void)state;
    if (kith_crypto_init() || !mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/swarm.key", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_made_can_be_read),
        cmocka_unit_test(the_fingerprint_is_of_the_file),
        cmocka_unit_test(a_file_that_others_may_read_is_refused),
        cmocka_unit_test(what_is_no_key_file_is_refused),
        cmocka_unit_test(where_nothing_can_be_written_nothing_is_left),
        cmocka_unit_test(the_environment_can_forbid_the_open_network),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
