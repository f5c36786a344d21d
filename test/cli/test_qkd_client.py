#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The client of ETSI GS QKD 014 against two simulated KMEs: keys, status, and everything that a KME can do wrong."""
import json
import os
import shutil
import subprocess
import time

from kith_cli import SLOW, TOOLS, homes, run, skip
from mock_kme import Kme, Pair

if not shutil.which("openssl"):
    skip("openssl makes the certificates, and is not installed")


def ask(kme, who, ca, verb, *args, url=None, ms=5000 * SLOW, cert=None, env=None):
    crt, key = cert or who
    r = subprocess.run([TOOLS / "tool_qkd", url or kme.url, crt, key, ca, str(ms), verb, *args], stdout=subprocess.PIPE,
                       timeout=60, env=dict(os.environ, **(env or {})))
    assert r.returncode in (0, 1), r
    return json.loads(r.stdout)


def a_key_goes_to_both_and_to_each_once():
    with homes("q") as q, Pair(q) as p:
        ca = p.certificates.ca
        one = ask(p.a, p.alice, ca, "enc", "bob")
        assert len(one["key"]) == 64 and one["simulated"] is True, one
        two = ask(p.b, p.bob, ca, "dec", "alice", one["id"])
        assert two["key"] == one["key"] and two["id"] == one["id"] and two["simulated"] is True, (one, two)
        again = ask(p.b, p.bob, ca, "dec", "alice", one["id"])
        assert again["err"] == "notfound" and "no such key" in again["why"], again
        assert ask(p.a, p.alice, ca, "enc", "bob")["key"] != one["key"]


def status_is_what_the_kme_says():
    with homes("q") as q, Pair(q) as p:
        r = ask(p.a, p.alice, p.certificates.ca, "status", "bob")
        assert r == {"source_kme": "kme-a", "target_kme": "kme-of-bob", "master_sae": "alice", "slave_sae": "bob",
                     "key_size": 256, "stored": 0, "simulated": True}, r


def certificates_count_on_both_sides():
    with homes("q") as q, Pair(q) as p:
        ca = p.certificates.ca
        r = ask(p.a, p.mallory, ca, "enc", "bob")  # signed by somebody else
        assert r["err"] == "auth" and "refuses" in r["why"], r
        r = ask(p.a, p.carol, ca, "enc", "bob")  # an SAE that the KME does not know
        assert r["err"] == "auth" and "401" in r["why"], r
        r = ask(p.a, p.alice, p.stranger.ca, "enc", "bob")  # a KME that we do not trust
        assert r["err"] == "auth" and "the KME's certificate is refused" in r["why"], r
        r = ask(p.a, p.alice, ca, "enc", "bob", url=f"https://localhost:{p.a.port}")  # the certificate is for 127.0.0.1
        assert r["err"] == "auth" and "the KME's certificate is refused" in r["why"], r
        wrong = Kme("kme-w", p.store, p.certificates, {"alice"}, p.stranger.issue("kme-w"))
        r = ask(wrong, p.alice, ca, "enc", "bob")
        assert r["err"] == "auth" and "the KME's certificate is refused" in r["why"], r
        wrong.stop()
        assert not [x for x in p.a.requests if x[0] == "mallory"] and len(p.store.keys) == 0


def what_a_kme_does_wrong_has_a_name():
    cases = {400: ("refused", "size shall be a multiple of 8"), 401: ("auth", "401"),
             503: ("io", "the key store is being serviced"), "garbage": ("protocol", "not JSON"), "redirect": ("protocol", "302"),
             "long": ("protocol", "too long"), "short": ("protocol", "not 256 bits"), "twice": ("protocol", "exactly the one"),
             "duplicate": ("protocol", "not JSON"), "down": ("io", "without an answer")}
    with homes("q") as q, Pair(q) as p:
        for fault, (err, text) in cases.items():
            p.a.fault = fault
            r = ask(p.a, p.alice, p.certificates.ca, "enc", "bob")
            assert r.get("err") == err and text in r["why"], (fault, r)
        p.a.fault = None
        one = ask(p.a, p.alice, p.certificates.ca, "enc", "bob")
        for fault, err, text in (("gone", "notfound", "no such key"), ("other", "protocol", "another key")):
            p.b.fault = fault
            r = ask(p.b, p.bob, p.certificates.ca, "dec", "alice", one["id"])
            assert r.get("err") == err and text in r["why"], (fault, r)


def a_slow_or_absent_kme_ends_at_the_deadline():
    with homes("q") as q, Pair(q) as p:
        ca = p.certificates.ca
        p.a.fault = "slow"
        begun = time.monotonic()
        r = ask(p.a, p.alice, ca, "enc", "bob", ms=300)
        assert r["err"] == "timeout" and "within 300 ms" in r["why"] and time.monotonic() - begun < 3 * SLOW, r
        p.a.stop()
        r = ask(p.a, p.alice, ca, "enc", "bob")
        assert r["err"] == "io" and "cannot be reached" in r["why"], r


def no_proxy_and_no_plain_http():
    with homes("q") as q, Pair(q) as p:
        ca = p.certificates.ca
        r = ask(p.a, p.alice, ca, "enc", "bob", env={"https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"})
        assert "key" in r, r
        r = ask(p.a, p.alice, ca, "enc", "bob", url=p.a.url.replace("https", "http"))
        assert r["err"] == "format" and "https://" in r["why"], r


def files_are_looked_at_first():
    with homes("q") as q, Pair(q) as p:
        ca, (crt, key) = p.certificates.ca, p.alice
        r = ask(p.a, None, ca, "enc", "bob", cert=(q / "none.crt", key))
        assert "none.crt cannot be read" in r["why"], r
        key.chmod(0o644)
        r = ask(p.a, p.alice, ca, "enc", "bob")
        assert "chmod 600" in r["why"], r
        key.chmod(0o600)
        r = ask(p.a, None, ca, "enc", "bob", cert=(crt, p.bob[1]))  # somebody else's key
        assert r["err"] == "auth" and "cannot be used" in r["why"], r
        locked = q / "locked.key"
        subprocess.run(["openssl", "pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:x"], check=True)
        r = ask(p.a, None, ca, "enc", "bob", cert=(crt, locked))  # and nobody is asked for its passphrase
        assert r["err"] == "auth" and "cannot be used" in r["why"], r


run(a_key_goes_to_both_and_to_each_once, status_is_what_the_kme_says, certificates_count_on_both_sides,
    what_a_kme_does_wrong_has_a_name, a_slow_or_absent_kme_ends_at_the_deadline, no_proxy_and_no_plain_http,
    files_are_looked_at_first)
