#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two nodes, each with its own simulated KME: keys in every handshake, and everything that a KME can do wrong, under both
policies and on both sides."""
import shutil
import time

from kith_cli import SLOW, Up, homes, kith, run, skip
from mock_kme import Pair

if not shutil.which("openssl"):
    skip("openssl makes the certificates, and is not installed")

PSK, PLAIN = "/kith/noise-mlkem768-hfs-psk/1", "/kith/noise-mlkem768-hfs/1"


class World:
    """Alice listens, Bob dials: homes a and b, KMEs p.a and p.b."""

    def __init__(self, a, b, p):
        self.a, self.b, self.p = a, b, p
        self.id_a, self.id_b = kith(a, "id").out.strip(), kith(b, "id").out.strip()

    def config(self, home, policy, kme, who, certificate, peers, **more):
        crt, key = certificate
        lines = [f"qkd = {policy}", "[qkd]", f"url = {kme.url}", f"cert = {crt}", f"key = {key}",
                 f"ca = {self.p.certificates.ca}", f"sae = {who}", f"timeout = {3 * SLOW}s"]
        lines += [f"peer = {peer}={sae}" for peer, sae in peers] + [f"{k} = {v}" for k, v in more.items()]
        (home / "kith.ini").write_text("\n".join(lines) + "\n")

    def alice(self, policy, **more):
        self.config(self.a, policy, self.p.a, "alice", more.pop("certificate", self.p.alice), [(self.id_b, "bob")], **more)

    def bob(self, policy, **more):
        self.config(self.b, policy, self.p.b, "bob", more.pop("certificate", self.p.bob), [(self.id_a, "alice")], **more)


class Nodes:
    def __enter__(self):
        self.homes = homes("a", "b", "q")
        a, b, q = self.homes.__enter__()
        self.pair = Pair(q)
        return World(a, b, self.pair)

    def __exit__(self, *error):
        self.pair.stop()
        self.homes.__exit__(*error)


def facts(conn):
    return conn["secure_channel"], conn["qkd"], conn.get("qkd_why")


def both_get_a_key_and_call_it_simulated():
    with Nodes() as w:
        w.alice("required")
        w.bob("required")
        with Up(w.a) as up:
            r = kith(w.b, "dial", up.addr, "--json").json()
            came = up.event("peer_connected")
            assert facts(r) == facts(came) == (PSK, "simulated", None), (r, came)
            assert len(w.p.store.keys) == 0, "a key is left at the KMEs"
            kith(w.b, "dial", up.addr, out="qkd       SIMULATED, no quantum channel is behind the key")
            kith(w.b, "quantum", up.addr, out="qkd         SIMULATED, no quantum channel is behind the key")
            assert kith(w.b, "quantum", up.addr, "--json").json()["qkd"] == "simulated"
            assert [x[1] for x in w.p.b.requests] == ["enc_keys"] * 4 and [x[1] for x in w.p.a.requests] == ["dec_keys"] * 4
            kith(w.b, "dial", up.addr, "--level", 5, out="/kith/noise-mlkem1024-hfs-psk/1 (post-quantum)")
            with Up(w.b) as other:
                kith(w.b, "dial", up.addr, out="SIMULATED")
                kith(w.b, "peers", out="    QKD SIMULATED")
                r = kith(w.b, "status", "--detailed", "--json").json()["connections"][0]
                assert facts(r) == (PSK, "simulated", None), r
                assert other.event("peer_connected")["qkd"] == "simulated"


def a_transfer_goes_over_it():
    with Nodes() as w:
        w.alice("required")
        w.bob("required")
        with Up(w.a, "--perf") as up:
            r = kith(w.b, "perf", up.addr, "--upload", "16MiB", "--download", "16MiB", "--json", timeout=60).json()
            assert r["secure_channel"] == PSK and r["qkd"] == "simulated" and r["upload_bytes"] == 16 << 20, r


FAULTS = {
    # what fails: (Bob's KME refuses the new key, says), (Alice's KME refuses the key of Bob's id, says)
    400: ("refuses the request (400): size shall be", "refuses the request (400): size shall be"),
    401: ("(401)", "(401)"),
    503: ("failing (503): the key store is being serviced", "failing (503): the key store is being serviced"),
    "garbage": ("not JSON", "not JSON"),
    "down": ("without an answer", "without an answer"),
    "gone": (None, "has no such key"),
}


def check_fault(w, up, dialer_policy, listener_policy, dialer_fails, text):
    """One dial with a KME that fails on one side."""
    required = "required" in (dialer_policy, listener_policy)
    if not required:
        r = kith(w.b, "dial", up.addr, "--json").json()
        came = up.event("peer_connected")
        channel, state, why = facts(r)
        if dialer_fails:
            assert channel == PLAIN and state == "failed" and text in why, r
            assert facts(came) == (PLAIN, "off", "the peer proposed no QKD key"), came
        else:
            assert facts(r) == (PSK, "failed", "the peer did not get the key from its KME"), r
            channel, state, why = facts(came)
            assert channel == PSK and state == "failed" and text in why, came
        return
    r = kith(w.b, "dial", up.addr, code=None)
    if dialer_fails and dialer_policy == "required":
        assert r.code == 5 and "qkd = required, and" in r.err and text in r.err, r
    else:
        assert r.code in (4, 5), r  # Alice hangs up
    if not dialer_fails:
        wanted = "qkd = required, and " if listener_policy == "required" else ""
        end = time.monotonic() + 10 * SLOW
        while (wanted not in up.errors() or text not in up.errors()) and time.monotonic() < end:
            time.sleep(0.05)
        assert wanted in up.errors() and text in up.errors(), up.errors()


def faults(dialer_policy, listener_policy):
    with Nodes() as w:
        w.alice(listener_policy)
        w.bob(dialer_policy)
        for fault, texts in FAULTS.items():
            for who, text in enumerate(texts):
                if text is None:
                    continue
                with Up(w.a) as up:
                    (w.p.b, w.p.a)[who].fault = fault
                    check_fault(w, up, dialer_policy, listener_policy, who == 0, text)
                    (w.p.b, w.p.a)[who].fault = None
        with Up(w.a) as up:  # and all is well again
            r = kith(w.b, "dial", up.addr, "--json").json()
            assert facts(r) == (PSK, "simulated", None), r


def preferred_goes_on_and_says_why():
    faults("preferred", "preferred")


def required_refuses_and_says_why():
    faults("required", "required")


def required_refuses_whatever_the_other_side_wants():
    faults("preferred", "required")


def a_slow_kme_costs_its_deadline_and_no_other_peer_waits():
    with Nodes() as w, homes("c") as c:
        w.alice("preferred")
        w.bob("preferred", timeout=f"{SLOW}s")
        lines = (w.a / "kith.ini").read_text().replace(f"timeout = {3 * SLOW}s", f"timeout = {SLOW}s")
        (w.a / "kith.ini").write_text(lines)
        with Up(w.a) as up:
            w.p.b.fault = "slow"
            r = kith(w.b, "dial", up.addr, "--json").json()
            assert facts(r)[1] == "failed" and f"did not answer within {1000 * SLOW} ms" in facts(r)[2], r
            w.p.b.fault = None
            up.event("peer_connected")
            w.p.a.fault = "slow"
            import threading
            result = []
            t = threading.Thread(target=lambda: result.append(kith(w.b, "dial", up.addr, "--json").json()))
            t.start()
            begun = time.monotonic()
            kith(c, "dial", up.addr)  # a stranger, meanwhile
            took = time.monotonic() - begun
            t.join()
            assert facts(result[0]) == (PSK, "failed", "the peer did not get the key from its KME"), result
            assert took < SLOW, f"another peer waited {took:.1f} s for the KME"
        w.p.a.fault = None
        w.alice("required")
        w.bob("required")
        w.p.b.fault = "slow"
        with Up(w.a) as up:
            kith(w.b, "dial", up.addr, "--qkd.timeout", "300ms", code=5, err="did not answer within 300 ms")


def an_absent_kme_is_said():
    with Nodes() as w:
        w.alice("required")
        w.bob("required")
        with Up(w.a) as up:
            w.p.b.stop()
            kith(w.b, "dial", up.addr, code=5, err="the KME cannot be reached")
            r = kith(w.b, "dial", up.addr, "--qkd", "preferred", code=None)  # Alice requires it
            assert r.code in (4, 5), r
            w.p.b.start()
            kith(w.b, "dial", up.addr, out="SIMULATED")


def wrong_certificates_are_said():
    with Nodes() as w:
        w.alice("preferred")
        w.bob("required", certificate=w.p.mallory)
        with Up(w.a) as up:
            kith(w.b, "dial", up.addr, code=5, err="refuses the TLS connection")
            w.bob("required", ca=w.p.stranger.ca)
            kith(w.b, "dial", up.addr, code=5, err="the KME's certificate is refused")
            w.bob("preferred", certificate=w.p.mallory)
            r = kith(w.b, "dial", up.addr, "--json").json()
            assert facts(r)[:2] == (PLAIN, "failed") and "refuses the TLS connection" in facts(r)[2], r
        w.alice("preferred", certificate=w.p.mallory)
        w.bob("preferred")
        with Up(w.a) as up:
            r = kith(w.b, "dial", up.addr, "--json").json()
            assert facts(r) == (PSK, "failed", "the peer did not get the key from its KME"), r
            came = up.event("peer_connected")
            assert came["qkd"] == "failed" and "refuses the TLS connection" in came["qkd_why"], came


def peers_without_qkd_are_as_the_policy_has_it():
    with Nodes() as w, homes("c") as c:
        w.alice("preferred")
        w.bob("preferred")
        with Up(w.a) as up, Up(c) as plain:
            r = kith(c, "dial", up.addr, "--json").json()
            assert facts(r) == (PLAIN, "off", None), r
            assert facts(up.event("peer_connected")) == (PLAIN, "off", "the peer proposed no QKD key")
            r = kith(w.b, "dial", plain.addr, "--json").json()
            assert facts(r) == (PLAIN, "off", "no SAE is configured for this peer (qkd.peer)"), r
            w.bob("required")
            kith(w.b, "dial", plain.addr, code=5, err="no SAE is configured for this peer")
            kith(w.b, "dial", up.bare, code=5, err="names no peer")
        w.alice("required")
        with Up(w.a) as up:
            r = kith(c, "dial", up.addr, code=None)
            assert r.code in (4, 5), r
            kith(c, "dial", up.addr, "--pq", "off", code=5)


def a_key_of_another_saes_peer_is_of_no_use():
    """Carol has Bob's certificate, and so his keys; but Alice shares them with Bob's peer id alone."""
    with Nodes() as w, homes("c") as c:
        w.alice("required")
        kith(c, "id")
        w.config(c, "required", w.p.b, "bob", w.p.bob, [(w.id_a, "alice")])
        with Up(w.a) as up:
            r = kith(c, "dial", up.addr, code=None)
            assert r.code in (4, 5, 6), r
            w.bob("required")
            kith(w.b, "dial", up.addr, out="SIMULATED")


def a_key_is_used_once_whatever_the_kmes_do():
    with Nodes() as w:
        w.alice("preferred")
        w.bob("preferred")
        w.p.a.fault = w.p.b.fault = "again"
        with Up(w.a) as up:
            r = kith(w.b, "dial", up.addr, "--json").json()
            assert facts(r) == (PSK, "simulated", None), r
            assert up.event("peer_connected")["qkd"] == "simulated"
            r = kith(w.b, "dial", up.addr, "--json").json()  # another process, with the same key
            assert facts(r) == (PSK, "failed", "the peer did not get the key from its KME"), r
            came = up.event("peer_connected")
            assert facts(came) == (PSK, "failed", "the key was used before"), came
        with Up(w.a), Up(w.b) as other:
            kith(w.b, "dial", up_addr(w.a), out="SIMULATED")
            kith(w.b, "disconnect", w.id_a)
            kith(w.b, "dial", up_addr(w.a), out="FAILED: the KME gave a key that was used before")
            assert "the KME gave a key that was used before" in other.errors()


def up_addr(home):
    return kith(home, "status", "--json").json()["addrs"][0]


def the_command_asks_for_the_status():
    with Nodes() as w:
        w.alice("off")
        r = kith(w.a, "qkd", "--json").json()
        assert len(r) == 1 and r[0]["sae"] == "bob" and r[0]["kme"] == "kme-a" and r[0]["simulated"] is True, r
        kith(w.a, "qkd", out="SIMULATED")
        w.p.a.fault = 503
        r = kith(w.a, "qkd", code=4, out="being serviced")
        w.p.a.fault = None
        w.p.a.stop()
        kith(w.a, "qkd", code=4, out="cannot be reached")


def what_is_missing_is_said_at_the_start():
    with homes("a") as a:
        kith(a, "id")
        kith(a, "up", "--qkd", "maybe", code=2, err="off, preferred or required")
        kith(a, "up", "--qkd", "required", code=1, err="qkd.sae is not set")
        kith(a, "up", "--qkd", "required", "--qkd.sae", "alice", code=1, err="qkd.url is not set")
        kith(a, "up", "--qkd", "required", "--qkd.sae", "alice", "--qkd.url", "http://kme", code=1, err="https://")
        kith(a, "up", "--qkd", "required", "--qkd.sae", "alice", "--qkd.url", "https://kme", "--qkd.cert", a / "none", code=1,
             err="none cannot be read")
        kith(a, "up", "--qkd", "required", "--pq", "off", code=1, err="needs pq")
        kith(a, "up", "--qkd.peer", "bob", code=2, err="12D3KooW...=alice")
        kith(a, "qkd", code=3, err="qkd.peer is not set")


run(both_get_a_key_and_call_it_simulated, a_transfer_goes_over_it, preferred_goes_on_and_says_why,
    required_refuses_and_says_why, required_refuses_whatever_the_other_side_wants,
    a_slow_kme_costs_its_deadline_and_no_other_peer_waits, an_absent_kme_is_said, wrong_certificates_are_said,
    peers_without_qkd_are_as_the_policy_has_it, a_key_of_another_saes_peer_is_of_no_use,
    a_key_is_used_once_whatever_the_kmes_do, the_command_asks_for_the_status,
    what_is_missing_is_said_at_the_start)
