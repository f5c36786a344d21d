/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Multiaddresses: other implementations' facts, IPv6 text, every broken form, the caps, and what is read out of one. */
#include "wire/multiaddr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "support.h"

#define ED "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
#define QM "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

static kith_maddr addr(const char *text)
{
    kith_maddr a;
    const char *why = "";
    if (kith_maddr_from_text(kith_bytes_str(text), &a, &why) != KITH_OK)
        fail_msg("%s is refused: %s", text, why);
    return a;
}

static void assert_text(const kith_maddr *a, const char *want)
{
    char text[KITH_MADDR_TEXT_MAX + 1];
    kith_maddr_text(a, text);
    assert_string_equal(text, want);
}

/* What holds of every valid address. */
static void assert_whole(const kith_maddr *a)
{
    char text[KITH_MADDR_TEXT_MAX + 1];
    kith_maddr again;
    kith_span exact = support_copy(kith_maddr_bytes(a));
    assert_int_equal(kith_maddr_parse(kith_span_bytes(exact), &again), KITH_OK);
    assert_true(kith_maddr_eq(a, &again));
    free(exact.p);
    kith_maddr_text(a, text);
    if (kith_maddr_from_text(kith_bytes_str(text), &again, NULL) != KITH_OK)
        fail_msg("its own text is refused: %s", text);
    assert_true(kith_maddr_eq(a, &again));
    /* Its parts make it again. */
    kith_maddr_part part;
    kith_maddr made = {0};
    for (size_t at = 0; kith_maddr_next(a, &at, &part);)
        assert_int_equal(kith_maddr_add(&made, part.code, part.value), KITH_OK);
    assert_true(kith_maddr_eq(a, &made));
}

static void other_implementations_facts_hold(void **state)
{
    (void)state;
    size_t len, pairs = 0, good = 0, bad = 0;
    char *file = support_file("test/vectors/multiaddr.txt", &len), *at = file, *w[3];
    kith_maddr a;
    for (size_t n; (n = support_words(&at, w, 3)) > 0;) {
        if (n == 3) {
            a = addr(w[1]);
            support_assert_hex(kith_maddr_bytes(&a), w[2]);
            assert_text(&a, w[1]);
            assert_whole(&a);
            pairs++;
        } else if (strcmp(w[0], "good") == 0) {
            a = addr(w[1]);
            assert_whole(&a);
            good++;
        } else if (kith_maddr_from_text(kith_bytes_str(w[1]), &a, NULL) == KITH_OK) {
            fail_msg("%s is accepted", w[1]);
        } else {
            bad++;
        }
    }
    assert_true(pairs == 49 && good == 58 && bad == 64);
    free(file);
}

static void every_protocol_has_text_and_binary(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "/ip6zone/eth0/ip6/fe80::1/tcp/9000",
        "/ip6/2001:db8::/ipcidr/32",
        "/dns/example.org/tcp/443/wss",
        "/dns4/example.org/udp/9000/quic-v1/p2p/" ED,
        "/dns6/example.org/tcp/9000/tls/sni/example.org/ws",
        "/dnsaddr/bootstrap.example.org/p2p/" QM,
        "/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g/p2p/" ED,
        "/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g",
        "/ip4/1.2.3.4/tcp/1/p2p/" QM "/p2p-circuit/webrtc/p2p/" ED,
        "/ip4/1.2.3.4/tcp/1/noise",
        "/ip4/1.2.3.4/tcp/1/http/http-path/a%20b%2Fc",
        "/ip4/1.2.3.4/tcp/1/https",
        "/ip4/1.2.3.4/dccp/1",
        "/ip4/1.2.3.4/sctp/1",
        "/ip4/1.2.3.4/udp/1/udt",
        "/ip4/1.2.3.4/udp/1/utp",
        "/unix/run/kith.sock",
        "/memory/18446744073709551615",
        "/ip4/1.2.3.4/tcp/1/ws/p2p-webrtc-star",
        "/ip4/1.2.3.4/tcp/1/ws/p2p-websocket-star",
        "/p2p-webrtc-direct/p2p-stardust",
        "/ip4/1.2.3.4/udp/1/quic",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kith_maddr a = addr(texts[i]);
        assert_text(&a, texts[i]);
        assert_whole(&a);
    }
}

static void other_spellings_become_canonical(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"/ip4/1.2.3.4/tcp/80/", "/ip4/1.2.3.4/tcp/80"},
        {"/ip4/1.2.3.4/tcp/80///", "/ip4/1.2.3.4/tcp/80"},
        {"/ipfs/" ED, "/p2p/" ED},
        {"/p2p/bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", "/p2p/" QM},
        {"/certhash/f1220c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2",
         "/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g"},
        {"/http-path/%7euser%2fa", "/http-path/~user%2Fa"},
        {"/http-path/a+b!$&'()*,;=:@", "/http-path/a%2Bb%21%24%26%27%28%29%2A%2C%3B%3D%3A%40"},
        {"/unix/a/b/", "/unix/a/b"},
        {"/unix//a", "/unix//a"},
        {"/onion3/VWW6YBAL4BD7SZMGNCYRUUCPGFKQAHZDDI37KTCEO3AH7NGMCOPNPYYD:1234",
         "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        kith_maddr a = addr(pairs[i][0]);
        assert_text(&a, pairs[i][1]);
        assert_whole(&a);
    }
}

/* RFC 5952, sections 1, 4 and 5. */
static void ipv6_is_written_as_rfc_5952_says(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8::1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:0db8::1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"},
        {"2001:db8:aaaa:bbbb:cccc:dddd::1",
         "2001:db8:aaaa:bbbb:cccc:dddd:0:1"}, /* a single group is not shortened */
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"}, /* the longest run */
        {"2001:db8:0:0:1:0:0:0", "2001:db8:0:0:1::"},
        {"0:0:0:0:0:0:0:0", "::"},
        {"0::0", "::"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"1::2:0:0:0:0", "1:0:0:2::"},
        {"::ffff:c000:0201", "::ffff:192.0.2.1"}, /* section 5 */
        {"::FFFF:192.0.2.1", "::ffff:192.0.2.1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"},
        {"1:2:3:4:5:6::", "1:2:3:4:5:6::"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char in[80], want[80];
        (void)snprintf(in, sizeof in, "/ip6/%s", pairs[i][0]);
        (void)snprintf(want, sizeof want, "/ip6/%s", pairs[i][1]);
        kith_maddr a = addr(in);
        assert_text(&a, want);
        assert_whole(&a);
    }
}

static void malformed_ip_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "ip6/:",
        "ip6/:::",
        "ip6/1",
        "ip6/1:2:3:4:5:6:7",
        "ip6/1:2:3:4:5:6:7:8:9",
        "ip6/1:2:3:4:5:6:7:8:",
        "ip6/:1:2:3:4:5:6:7:8",
        "ip6/1::2::3",
        "ip6/12345::",
        "ip6/::g",
        "ip6/1:2:3:4:5:6:7:8::",
        "ip6/1::2:3:4:5:6:7:8",
        "ip6/::1:2:3:4:5:6:7:8",
        "ip6/::1.2.3",
        "ip6/::1.2.3.4.5",
        "ip6/::1.2.3.256",
        "ip6/::1.2.3.4:5",
        "ip6/1:2:3:4:5:6:7:1.2.3.4",
        "ip6/1.2.3.4",
        "ip6/::1%eth0",
        "ip6/::1/64x",
        "ip6/ ::1",
        "ip6/::0x1",
        "ip6/::-1",
        "ip6/1:2:3:4:5:6:7:",
        "ip6/::1:",
        "ip6/1:::2",
        "ip4/1.2.3",
        "ip4/1.2.3.4.5",
        "ip4/1.2.3.",
        "ip4/.1.2.3",
        "ip4/1..2.3",
        "ip4/1.2.3.04",
        "ip4/1.2.3.256",
        "ip4/1.2.3.4x",
        "ip4/0x1.2.3.4",
        "ip4/1.2.3.+4",
        "ip4/1.2.3.-4",
        "ip4/1",
        "ip4/16909060",
        "ip4/1.2.3.999999999999999999999",
        "ip4/::ffff:1.2.3.4",
        "ip4/ 1.2.3.4",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char in[80];
        kith_maddr a;
        (void)snprintf(in, sizeof in, "/%s", bad[i]);
        if (kith_maddr_from_text(kith_bytes_str(in), &a, NULL) != KITH_EFORMAT)
            fail_msg("%s is accepted", in);
    }
}

/* The platform's functions read and write the same, but for two things: glibc writes ::c000:201 with dots too, which RFC 5952 leaves open. */
static void ip_text_agrees_with_the_platform(void **state)
{
    (void)state;
    uint64_t rnd = 17;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t ip[16];
        char text[KITH_MADDR_TEXT_MAX + 1], theirs[64], ours[80];
        for (size_t j = 0; j < 16; j += 2)
            kith_store_be16(ip + j, support_below(&rnd, 2)
                                        ? (uint16_t)(support_next(&rnd) >> (48 + support_below(&rnd, 13)))
                                        : 0);
        size_t n = i % 4 ? 16 : 4;
        kith_maddr a;
        kith_maddr_from_tcp(kith_bytes_of(ip, n), 9, &a);
        kith_maddr_text(&a, text);
        if (n == 16 && (kith_load_be64(ip) == 0 && kith_load_be32(ip + 8) == 0))
            continue;
        assert_non_null(inet_ntop(n == 4 ? AF_INET : AF_INET6, ip, theirs, sizeof theirs));
        (void)snprintf(ours, sizeof ours, "/%s/%s/tcp/9", n == 4 ? "ip4" : "ip6", theirs);
        assert_string_equal(text, ours);
        assert_whole(&a);
        /* Random characters of an address: we refuse at least what the platform refuses, and read the same. */
        size_t len = strlen(theirs);
        theirs[support_below(&rnd, len)] = ":.0159afF"[support_below(&rnd, 9)];
        uint8_t want[16];
        int accepted = inet_pton(n == 4 ? AF_INET : AF_INET6, theirs, want);
        (void)snprintf(ours, sizeof ours, "/%s/%s", n == 4 ? "ip4" : "ip6", theirs);
        kith_err e = kith_maddr_from_text(kith_bytes_str(ours), &a, NULL);
        if ((e == KITH_OK) != (accepted == 1))
            fail_msg("%s: %d here, %d there", theirs, e, accepted);
        if (e == KITH_OK)
            assert_memory_equal(a.b + 1, want, n);
    }
}

static void hostile_text_is_refused_and_told_why(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why; /* part of the phrase */
    } bad[] = {
        {"", "begins with '/'"},
        {"ip4/1.2.3.4", "begins with '/'"},
        {" /ip4/1.2.3.4", "begins with '/'"},
        {"/", "empty"},
        {"////", "empty"},
        {"/ip4/1.2.3.4//tcp/80", "unknown protocol"},
        {"/IP4/1.2.3.4", "unknown protocol"},
        {"/ip4 /1.2.3.4", "unknown protocol"},
        {"/4/1.2.3.4", "unknown protocol"},
        {"/tcp", "without its value"},
        {"/ip4/1.2.3.4/tcp/", "without its value"},
        {"/tcp/", "without its value"},
        {"/tcp//", "without its value"},
        {"/tcp//tls", "not a port"},
        {"/tcp/ 80", "not a port"},
        {"/tcp/080", "not a port"},
        {"/tcp/+80", "not a port"},
        {"/tcp/8 0", "not a port"},
        {"/tcp/99999999999999999999", "not a port"},
        {"/ipcidr/256", "prefix length"},
        {"/ipcidr/-1", "prefix length"},
        {"/memory/18446744073709551616", "64 bits"},
        {"/dns4//tcp/1", "empty name"},
        {"/dns4/a b/tcp/1", "character"},
        {"/dns4/a\x1b[2J/tcp/1", "character"},
        {"/dns4/a\xff/tcp/1", "character"},
        {"/sni/a\n", "character"},
        {"/ip6zone/\x7f/ip6/::1", "character"},
        {"/unix", "without its value"},
        {"/unix/a\tb", "character"},
        {"/unix/\xe2\x80\xae", "character"},
        {"/http-path/", "without its value"},
        {"/http-path/%", "'%'"},
        {"/http-path/%2", "'%'"},
        {"/http-path/a%2g", "'%'"},
        {"/http-path/a b", "percent-encoded"},
        {"/http-path/a?b", "percent-encoded"},
        {"/http-path/a#b", "percent-encoded"},
        {"/http-path/\xc3\xa4", "percent-encoded"},
        {"/http-path/a/b", "unknown protocol"},
        {"/p2p/" ED "x", "peer id"},
        {"/p2p/example.org", "peer id"},
        {"/certhash/", "without its value"},
        {"/certhash/u", "multihash"},
        {"/certhash/uAA", "multihash"},
        {"/certhash/fzz", "multibase"},
        {"/certhash/uAAA", "multihash"}, /* identity without a digest */
        {"/p2p-circuit/50", "unknown protocol"},
        {"/onion/aaimaq4ygg2iegci", "not a port"},
        {"/onion3/aaimaq4ygg2iegci:1", "onion"},
        {"/onion/aaimaq4ygg2iegci:0", "port 0"},
        {"/garlic64/AAAA", "I2P"},
        {"/garlic32/aa", "I2P"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_maddr a = {.len = 77};
        const char *why = NULL;
        kith_err e = kith_maddr_from_text(kith_bytes_str(bad[i].text), &a, &why);
        if (e != KITH_EFORMAT || !why || !strstr(why, bad[i].why))
            fail_msg("'%s': %s, %s", bad[i].text, kith_err_name(e), why ? why : "(none)");
        assert_int_equal(a.len, 77);
        assert_int_equal(kith_maddr_from_text(kith_bytes_str(bad[i].text), &a, NULL), KITH_EFORMAT);
    }
    kith_maddr a;
    assert_int_equal(kith_maddr_from_text(kith_bytes_of("/dns4/a\0b/tcp/1", 15), &a, NULL), KITH_EFORMAT);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of("/http-path/a\0", 13), &a, NULL), KITH_EFORMAT);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of("/tcp\0/1", 7), &a, NULL), KITH_EFORMAT);
}

static void hostile_bytes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", /* nothing */
        "05",
        "00",
        "ff7f", /* unknown protocols */
        "8400"
        "7f000001", /* ip4 with a code that is not minimal */
        "04",
        "047f0000",
        "06",
        "0600",
        "2900",         /* cut */
        "047f00000106", /* cut in the second */
        "36",
        "3600", /* a name without length, of length 0 */
        "3603"
        "6162",
        "36ffffffffffffffff7f",
        "3680808080808080808080808080",
        "360361"
        "2f62", /* a '/' in a name */
        "360361"
        "0062", /* a NUL */
        "3603"
        "611b62",
        "3602"
        "6120",
        "3602"
        "c385"
        "3602"
        "c285", /* ESC, space, a C1 control */
        "a50300",
        "a503020000",
        "a5032212"
        "20", /* peer ids: empty, empty identity, cut */
        "a503221221c05877cbae039d70a5e600ea02c6f9f2942439285c9e344e26f8d280c850fad6", /* go: TestInvalidP2PAddrBytes */
        "a503"
        "03"
        "30"
        "01"
        "30", /* another hash */
        "9003"
        "06"
        "303030303030", /* unix without '/' */
        "9003"
        "06"
        "2f303030302f", /* ... with one at the end */
        "9003"
        "01"
        "2f",
        "900300",
        "9003"
        "02"
        "2f61"
        "9003"
        "02"
        "2f61", /* something after a path */
        "9003"
        "02"
        "2f61"
        "060001",
        "d20300",
        "d203020000",
        "d2030112",
        "d203"
        "03"
        "120161ff",
        "e10300", /* an empty http-path */
        "8906"
        "00000000000000", /* memory, 7 bytes */
        "bc03"
        "30303030303030303030"
        "0000", /* onion, port 0 */
        "be03"
        "0130",
        "bf03"
        "21"
        "000000000000000000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kith_span b = support_hex(bad[i]);
        kith_maddr a = {.len = 77};
        if (kith_maddr_parse(kith_span_bytes(b), &a) != KITH_EFORMAT)
            fail_msg("%s is accepted", bad[i]);
        assert_int_equal(a.len, 77);
        free(b.p);
    }
}

static void an_address_is_capped_as_bytes_and_as_text(void **state)
{
    (void)state;
    static char text[100000];
    static uint8_t b[20000];
    kith_maddr a;
    const char *why;
    /* Ten thousand components. */
    size_t n = 0;
    while (n + 5 < 50000) {
        memcpy(text + n, "/quic", 5);
        n += 5;
    }
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, n), &a, &why), KITH_ELIMIT);
    for (size_t i = 0; i < sizeof b; i += 2)
        memcpy(b + i, "\xcc\x03", 2);
    assert_int_equal(kith_maddr_parse(kith_bytes_of(b, sizeof b), &a), KITH_ELIMIT);
    assert_int_equal(kith_maddr_parse(kith_bytes_of(b, KITH_MADDR_MAX + 2), &a), KITH_ELIMIT);
    assert_int_equal(kith_maddr_parse(kith_bytes_of(b, KITH_MADDR_MAX), &a), KITH_OK);
    assert_whole(&a);
    /* Few bytes whose text is long: /p2p-webrtc-direct is 18 characters, so 85 of them fit and 86 do not. */
    for (size_t i = 0; i < sizeof b; i += 2)
        memcpy(b + i, "\x94\x02", 2);
    assert_int_equal(kith_maddr_parse(kith_bytes_of(b, 85 * 2), &a), KITH_OK);
    assert_whole(&a);
    assert_int_equal(kith_maddr_parse(kith_bytes_of(b, 86 * 2), &a), KITH_ELIMIT);
    a.len = 0;
    for (size_t i = 0; i < 85; i++)
        assert_int_equal(kith_maddr_add(&a, KITH_MA_P2P_WEBRTC_DIRECT, (kith_bytes){0}), KITH_OK);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_P2P_WEBRTC_DIRECT, (kith_bytes){0}), KITH_ELIMIT);
    assert_int_equal(a.len, 170);
    /* A value of the longest text. */
    a.len = 0;
    memset(b, 0xff, sizeof b);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_HTTP_PATH, kith_bytes_of(b, KITH_MADDR_MAX - 4)), KITH_OK);
    assert_whole(&a);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_WS, (kith_bytes){0}), KITH_ELIMIT);
    /* Long values. */
    memcpy(text, "/dns4/", 6);
    memset(text + 6, 'a', 300);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 6 + 255), &a, NULL), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 6 + 256), &a, NULL), KITH_EFORMAT);
    memcpy(text, "/unix/", 6);
    memset(text + 6, 'a', 90000);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 6 + 507), &a, NULL), KITH_OK);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 6 + 508), &a, NULL), KITH_ELIMIT);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 90000), &a, NULL), KITH_ELIMIT);
    memcpy(text, "/certhash/z", 11);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 90000), &a, &why), KITH_ELIMIT);
    memcpy(text, "/p2p/1", 6);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, 90000), &a, &why), KITH_EFORMAT);
    memset(text, '/', sizeof text);
    assert_int_equal(kith_maddr_from_text(kith_bytes_of(text, sizeof text), &a, &why), KITH_EFORMAT);
}

static void bytes_round_trip_or_fail(void *ctx, kith_bytes in)
{
    (void)ctx;
    kith_maddr a;
    if (kith_maddr_parse(in, &a) == KITH_OK) {
        support_assert_bytes(kith_maddr_bytes(&a), in);
        assert_whole(&a);
    }
    if (kith_maddr_from_text(in, &a, NULL) == KITH_OK)
        assert_whole(&a);
}

static void broken_addresses_are_refused_or_are_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "/ip4/1.2.3.4/tcp/1/p2p/" QM "/p2p-circuit/p2p/" ED,
        "/ip6zone/eth0/ip6/fe80::1:2/udp/9000/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g",
        "/dns4/example.org/tcp/443/tls/sni/example.org/http/http-path/a%2Fb",
        "/ip4/1.2.3.4/ipcidr/24/memory/7/onion/aaimaq4ygg2iegci:80/unix/a/b",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kith_maddr a = addr(texts[i]);
        support_mutate(kith_maddr_bytes(&a), bytes_round_trip_or_fail, NULL);
        support_mutate(kith_bytes_str(texts[i]), bytes_round_trip_or_fail, NULL);
    }
}

static void random_components_make_whole_addresses(void **state)
{
    (void)state;
    static const uint32_t codes[] = {4,   6,   33,  41,  42,  43,  53,  54,  55,  56,  132, 273, 275, 276,
                                     277, 280, 281, 290, 301, 302, 400, 421, 443, 444, 445, 446, 447, 448,
                                     449, 454, 460, 461, 465, 466, 477, 478, 479, 480, 481, 777};
    uint64_t rnd = 23;
    for (unsigned i = 0; i < 3000; i++) {
        kith_maddr a = {0};
        size_t parts = 1 + support_below(&rnd, 6), tries = 40;
        while (parts > 0 && tries-- > 0) {
            uint8_t v[400];
            static const size_t sizes[] = {0, 1, 2, 4, 8, 12, 16, 34, 37, 38, 32, 386};
            size_t n = support_below(&rnd, 3) ? sizes[support_below(&rnd, 12)] : support_below(&rnd, 40);
            for (size_t j = 0; j < n; j++)
                v[j] = support_below(&rnd, 2) ? (uint8_t)support_next(&rnd)
                                              : (uint8_t)('a' + support_below(&rnd, 26));
            if (n == 34)
                memcpy(v, "\x12\x20", 2);
            if (n > 2 && support_below(&rnd, 4) == 0)
                v[0] = '/';
            kith_maddr before = a;
            kith_err e = kith_maddr_add(&a, codes[support_below(&rnd, sizeof codes / sizeof codes[0])],
                                        kith_bytes_of(v, n));
            if (e == KITH_OK)
                parts--;
            else
                assert_true(kith_maddr_eq(&a, &before));
        }
        if (a.len)
            assert_whole(&a);
    }
}

static void the_parts_are_walked_and_found(void **state)
{
    (void)state;
    kith_maddr a = addr("/dns4/example.org/tcp/443/tls/ws/p2p/" ED);
    static const uint32_t codes[] = {KITH_MA_DNS4, KITH_MA_TCP, KITH_MA_TLS, KITH_MA_WS, KITH_MA_P2P};
    kith_maddr_part part;
    size_t at = 0, i = 0;
    while (kith_maddr_next(&a, &at, &part))
        assert_int_equal(part.code, codes[i++]);
    assert_true(i == 5 && at == a.len);
    assert_false(kith_maddr_next(&a, &at, &part)); /* and stays at the end */
    assert_true(kith_maddr_find(&a, KITH_MA_TCP, &part));
    support_assert_hex(part.value, "01bb");
    assert_ptr_equal(part.value.p, a.b + 14); /* a view */
    assert_false(kith_maddr_find(&a, KITH_MA_UDP, &part));
    kith_maddr none = {0};
    at = 0;
    assert_false(kith_maddr_next(&none, &at, &part));
    assert_text(&none, "");
}

static void components_are_added_only_when_valid(void **state)
{
    (void)state;
    kith_maddr a = {0};
    assert_int_equal(kith_maddr_add(&a, KITH_MA_IP4, kith_bytes_of("\1\2\3\4", 4)), KITH_OK);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_TCP, kith_bytes_of("\0\x50", 2)), KITH_OK);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_WS, (kith_bytes){0}), KITH_OK);
    assert_text(&a, "/ip4/1.2.3.4/tcp/80/ws");
    kith_maddr before = a;
    assert_int_equal(kith_maddr_add(&a, KITH_MA_TCP, kith_bytes_of("\0", 1)), KITH_EFORMAT);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_TCP, kith_bytes_of("\0\0\0", 3)), KITH_EFORMAT);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_WS, kith_bytes_of("\xdd\x03", 2)),
                     KITH_EFORMAT); /* not another component as value */
    assert_int_equal(kith_maddr_add(&a, KITH_MA_TCP, kith_bytes_of("\0\x50\xdd\x03", 4)), KITH_EFORMAT);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_P2P, kith_bytes_str("abc")), KITH_EFORMAT);
    assert_int_equal(kith_maddr_add(&a, 12345, (kith_bytes){0}), KITH_EFORMAT);
    assert_true(kith_maddr_eq(&a, &before));
    assert_int_equal(kith_maddr_add(&a, KITH_MA_UNIX, kith_bytes_str("/s")), KITH_OK);
    assert_int_equal(kith_maddr_add(&a, KITH_MA_TLS, (kith_bytes){0}),
                     KITH_EFORMAT); /* nothing follows a path */
}

static void the_trailing_peer_is_read_set_and_removed(void **state)
{
    (void)state;
    kith_peer_id ed, qm, got;
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(ED), &ed), KITH_OK);
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(QM), &qm), KITH_OK);
    kith_maddr a = addr("/ip4/1.2.3.4/tcp/1");
    assert_false(kith_maddr_peer(&a, &got));
    assert_int_equal(kith_maddr_set_peer(&a, NULL), KITH_OK);
    assert_text(&a, "/ip4/1.2.3.4/tcp/1");
    assert_int_equal(kith_maddr_set_peer(&a, &ed), KITH_OK);
    assert_text(&a, "/ip4/1.2.3.4/tcp/1/p2p/" ED);
    assert_true(kith_maddr_peer(&a, &got) && kith_peer_id_eq(&got, &ed));
    assert_int_equal(kith_maddr_set_peer(&a, &qm), KITH_OK);
    assert_text(&a, "/ip4/1.2.3.4/tcp/1/p2p/" QM);
    assert_int_equal(kith_maddr_set_peer(&a, NULL), KITH_OK);
    assert_text(&a, "/ip4/1.2.3.4/tcp/1");
    /* A relay's id is not the trailing one. */
    a = addr("/ip4/1.2.3.4/tcp/1/p2p/" QM "/p2p-circuit");
    assert_false(kith_maddr_peer(&a, &got));
    assert_int_equal(kith_maddr_set_peer(&a, &ed), KITH_OK);
    assert_text(&a, "/ip4/1.2.3.4/tcp/1/p2p/" QM "/p2p-circuit/p2p/" ED);
    assert_true(kith_maddr_peer(&a, &got) && kith_peer_id_eq(&got, &ed));
    /* A path ends an address; what is refused changes nothing. */
    a = addr("/unix/a");
    assert_int_equal(kith_maddr_set_peer(&a, &ed), KITH_EFORMAT);
    assert_text(&a, "/unix/a");
    /* Only an id. */
    a = addr("/p2p/" ED);
    assert_int_equal(kith_maddr_set_peer(&a, &qm), KITH_OK);
    assert_text(&a, "/p2p/" QM);
    assert_int_equal(kith_maddr_set_peer(&a, NULL), KITH_OK);
    assert_int_equal(a.len, 0);
    kith_maddr none = {0};
    assert_false(kith_maddr_peer(&none, &got));
    assert_int_equal(kith_maddr_set_peer(&none, &ed), KITH_OK);
    assert_text(&none, "/p2p/" ED);
    kith_peer_id nobody = {0};
    assert_int_equal(kith_maddr_set_peer(&none, &nobody), KITH_EFORMAT);
    assert_text(&none, "/p2p/" ED);
}

static void tcp_addresses_are_taken_apart(void **state)
{
    (void)state;
    kith_maddr_tcp t;
    kith_peer_id ed;
    assert_int_equal(kith_peer_id_from_text(kith_bytes_str(ED), &ed), KITH_OK);
    kith_maddr a = addr("/ip4/1.2.3.4/tcp/9000");
    assert_int_equal(kith_maddr_to_tcp(&a, &t), KITH_OK);
    assert_true(t.host == KITH_HOST_IP4 && t.port == 9000 && t.peer.len == 0 && t.zone.len == 0);
    support_assert_hex(t.value, "01020304");
    a = addr("/ip6zone/eth0/ip6/fe80::1/tcp/1/p2p/" ED);
    assert_int_equal(kith_maddr_to_tcp(&a, &t), KITH_OK);
    assert_true(t.host == KITH_HOST_IP6 && t.port == 1 && kith_peer_id_eq(&t.peer, &ed));
    support_assert_str(t.zone, "eth0");
    a = addr("/ip6/fe80::1/ip6zone/eth0/tcp/1"); /* as rust writes it */
    assert_int_equal(kith_maddr_to_tcp(&a, &t), KITH_OK);
    support_assert_str(t.zone, "eth0");
    static const struct {
        const char *text;
        kith_maddr_host host;
    } names[] = {{"/dns/a.b/tcp/5", KITH_HOST_DNS},
                 {"/dns4/a.b/tcp/5", KITH_HOST_DNS4},
                 {"/dns6/a.b/tcp/5", KITH_HOST_DNS6},
                 {"/dnsaddr/a.b/tcp/5", KITH_HOST_DNSADDR}};
    for (size_t i = 0; i < 4; i++) {
        a = addr(names[i].text);
        assert_int_equal(kith_maddr_to_tcp(&a, &t), KITH_OK);
        assert_true(t.host == names[i].host && t.port == 5);
        support_assert_str(t.value, "a.b");
    }
    a = addr("/dnsaddr/a.b/p2p/" ED);
    assert_int_equal(kith_maddr_to_tcp(&a, &t), KITH_OK);
    assert_true(t.host == KITH_HOST_DNSADDR && t.port == 0 && kith_peer_id_eq(&t.peer, &ed));
    static const char *const others[] = {
        "/ip4/1.2.3.4",
        "/ip4/1.2.3.4/udp/1",
        "/ip4/1.2.3.4/tcp/1/ws",
        "/ip4/1.2.3.4/tcp/1/tls",
        "/tcp/1",
        "/ip4/1.2.3.4/p2p/" ED,
        "/ip4/1.2.3.4/tcp/1/p2p/" ED "/p2p-circuit",
        "/ip4/1.2.3.4/tcp/1/p2p/" ED "/p2p-circuit/p2p/" QM,
        "/unix/a",
        "/memory/1",
        "/ip6zone/eth0/ip4/1.2.3.4/tcp/1",
        "/ip6zone/eth0/tcp/1",
        "/ip6zone/eth0",
        "/ip4/1.2.3.4/ip6zone/e/tcp/1",
        "/ip6zone/a/ip6/::1/ip6zone/b/tcp/1",
        "/ip4/1.2.3.4/ipcidr/8/tcp/1",
        "/p2p/" ED,
        "/ip4/1.2.3.4/tcp/1/p2p/" ED "/p2p/" ED,
        "/ip4/1.2.3.4/tcp/1/http/http-path/a",
        "/dns4/a.b",
        "/dnsaddr/a.b/udp/1",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        a = addr(others[i]);
        if (kith_maddr_to_tcp(&a, &t) != KITH_EUNSUPPORTED)
            fail_msg("%s is taken for TCP", others[i]);
    }
    kith_maddr none = {0};
    assert_int_equal(kith_maddr_to_tcp(&none, &t), KITH_EUNSUPPORTED);
    kith_maddr_from_tcp(kith_bytes_of("\1\2\3\4", 4), 80, &a);
    assert_text(&a, "/ip4/1.2.3.4/tcp/80");
    assert_whole(&a);
}

/* IANA IPv4 and IPv6 Special-Purpose Address Registries: first and last address of each range, and the neighbours. */
static void scopes_follow_the_iana_registries(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        kith_ip_scope scope;
    } known[] = {
        {"0.0.0.0", KITH_IP_OTHER},
        {"0.255.255.255", KITH_IP_OTHER},
        {"1.0.0.0", KITH_IP_PUBLIC},
        {"9.255.255.255", KITH_IP_PUBLIC},
        {"10.0.0.0", KITH_IP_PRIVATE},
        {"10.255.255.255", KITH_IP_PRIVATE},
        {"11.0.0.0", KITH_IP_PUBLIC},
        {"100.63.255.255", KITH_IP_PUBLIC},
        {"100.64.0.0", KITH_IP_PRIVATE},
        {"100.127.255.255", KITH_IP_PRIVATE},
        {"100.128.0.0", KITH_IP_PUBLIC},
        {"126.255.255.255", KITH_IP_PUBLIC},
        {"127.0.0.1", KITH_IP_LOOPBACK},
        {"127.255.255.255", KITH_IP_LOOPBACK},
        {"128.0.0.0", KITH_IP_PUBLIC},
        {"169.253.255.255", KITH_IP_PUBLIC},
        {"169.254.0.0", KITH_IP_LINK},
        {"169.254.255.255", KITH_IP_LINK},
        {"169.255.0.0", KITH_IP_PUBLIC},
        {"172.15.255.255", KITH_IP_PUBLIC},
        {"172.16.0.0", KITH_IP_PRIVATE},
        {"172.31.255.255", KITH_IP_PRIVATE},
        {"172.32.0.0", KITH_IP_PUBLIC},
        {"192.0.0.8", KITH_IP_OTHER},
        {"192.0.1.0", KITH_IP_PUBLIC},
        {"192.0.2.1", KITH_IP_OTHER},
        {"192.0.3.0", KITH_IP_PUBLIC},
        {"192.88.99.1", KITH_IP_OTHER},
        {"192.167.255.255", KITH_IP_PUBLIC},
        {"192.168.0.0", KITH_IP_PRIVATE},
        {"192.168.255.255", KITH_IP_PRIVATE},
        {"192.169.0.0", KITH_IP_PUBLIC},
        {"198.17.255.255", KITH_IP_PUBLIC},
        {"198.18.0.0", KITH_IP_OTHER},
        {"198.19.255.255", KITH_IP_OTHER},
        {"198.20.0.0", KITH_IP_PUBLIC},
        {"198.51.100.7", KITH_IP_OTHER},
        {"203.0.113.7", KITH_IP_OTHER},
        {"223.255.255.255", KITH_IP_PUBLIC},
        {"224.0.0.1", KITH_IP_OTHER},
        {"239.255.255.255", KITH_IP_OTHER},
        {"240.0.0.1", KITH_IP_OTHER},
        {"255.255.255.255", KITH_IP_OTHER},
        {"1.1.1.1", KITH_IP_PUBLIC},
        {"::", KITH_IP_OTHER},
        {"::1", KITH_IP_LOOPBACK},
        {"::2", KITH_IP_OTHER},
        {"::127.0.0.1", KITH_IP_OTHER},
        {"::ffff:127.0.0.1", KITH_IP_LOOPBACK},
        {"::ffff:10.0.0.1", KITH_IP_PRIVATE},
        {"::ffff:1.1.1.1", KITH_IP_PUBLIC},
        {"64:ff9b::1.1.1.1", KITH_IP_PUBLIC},
        {"64:ff9b::10.0.0.1", KITH_IP_OTHER},
        {"64:ff9b:1::1", KITH_IP_PRIVATE},
        {"64:ff9b:2::1", KITH_IP_OTHER},
        {"100::1", KITH_IP_OTHER},
        {"1fff:ffff::1", KITH_IP_OTHER},
        {"2000::1", KITH_IP_PUBLIC},
        {"2001::1", KITH_IP_OTHER},
        {"2001:1::1", KITH_IP_OTHER},
        {"2001:2::1", KITH_IP_OTHER},
        {"2001:3::1", KITH_IP_PUBLIC},
        {"2001:4:112::1", KITH_IP_PUBLIC},
        {"2001:4:113::1", KITH_IP_OTHER},
        {"2001:10::1", KITH_IP_OTHER},
        {"2001:20::1", KITH_IP_PUBLIC},
        {"2001:2f:ffff::1", KITH_IP_PUBLIC},
        {"2001:30::1", KITH_IP_PUBLIC},
        {"2001:40::1", KITH_IP_OTHER},
        {"2001:1ff:ffff::1", KITH_IP_OTHER},
        {"2001:200::1", KITH_IP_PUBLIC},
        {"2001:db7:ffff::1", KITH_IP_PUBLIC},
        {"2001:db8::1", KITH_IP_OTHER},
        {"2001:db9::1", KITH_IP_PUBLIC},
        {"2002:102:304::1", KITH_IP_OTHER},
        {"2003::1", KITH_IP_PUBLIC},
        {"2a01:4f8::1", KITH_IP_PUBLIC},
        {"3ffe:ffff::1", KITH_IP_PUBLIC},
        {"3fff:0fff::1", KITH_IP_OTHER},
        {"3fff:1000::1", KITH_IP_PUBLIC},
        {"4000::1", KITH_IP_OTHER},
        {"5f00::1", KITH_IP_OTHER},
        {"fbff::1", KITH_IP_OTHER},
        {"fc00::1", KITH_IP_PRIVATE},
        {"fdff:ffff::1", KITH_IP_PRIVATE},
        {"fe00::1", KITH_IP_OTHER},
        {"fe80::1", KITH_IP_LINK},
        {"febf::1", KITH_IP_LINK},
        {"fec0::1", KITH_IP_OTHER},
        {"ff02::1", KITH_IP_OTHER},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "/%s/%s/tcp/1", strchr(known[i].ip, ':') ? "ip6" : "ip4",
                       known[i].ip);
        kith_maddr a = addr(text);
        if (kith_maddr_scope(&a) != known[i].scope)
            fail_msg("%s: %d", known[i].ip, kith_maddr_scope(&a));
    }
    kith_maddr a = addr("/ip6zone/eth0/ip6/fe80::1/tcp/1");
    assert_int_equal(kith_maddr_scope(&a), KITH_IP_LINK);
    static const char *const none[] = {"/dns4/localhost/tcp/1", "/tcp/1/ip4/1.1.1.1", "/unix/a", ("/p2p/" ED),
                                       "/ip6zone/a/tcp/1"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        a = addr(none[i]);
        assert_int_equal(kith_maddr_scope(&a), KITH_IP_OTHER);
    }
    kith_maddr empty = {0};
    assert_int_equal(kith_maddr_scope(&empty), KITH_IP_OTHER);
    static const char *const better[] = {"/ip6/fe80::1/tcp/1", "/ip4/127.0.0.1/tcp/1",
                                         "/dns4/a.example/tcp/1", "/ip4/10.0.0.1/tcp/1",
                                         "/ip4/1.1.1.1/tcp/1"};
    for (int i = 0; i < 5; i++) {
        a = addr(better[i]);
        assert_int_equal(kith_maddr_worth(&a), i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_implementations_facts_hold),
        cmocka_unit_test(every_protocol_has_text_and_binary),
        cmocka_unit_test(other_spellings_become_canonical),
        cmocka_unit_test(ipv6_is_written_as_rfc_5952_says),
        cmocka_unit_test(malformed_ip_addresses_are_refused),
        cmocka_unit_test(ip_text_agrees_with_the_platform),
        cmocka_unit_test(hostile_text_is_refused_and_told_why),
        cmocka_unit_test(hostile_bytes_are_refused),
        cmocka_unit_test(an_address_is_capped_as_bytes_and_as_text),
        cmocka_unit_test(broken_addresses_are_refused_or_are_whole),
        cmocka_unit_test(random_components_make_whole_addresses),
        cmocka_unit_test(the_parts_are_walked_and_found),
        cmocka_unit_test(components_are_added_only_when_valid),
        cmocka_unit_test(the_trailing_peer_is_read_set_and_removed),
        cmocka_unit_test(tcp_addresses_are_taken_apart),
        cmocka_unit_test(scopes_follow_the_iana_registries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
