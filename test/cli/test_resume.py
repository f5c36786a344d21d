#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two programs that meet again: without signatures, said so everywhere, and never past what either side has decided since."""
import time

from kith_cli import SLOW, Up, homes, kith, run

PLAIN, RESUME = "/kith/noise-mlkem768-hfs/1", "/kith/noise-mlkem768-hfs-resume/1"
IDLE = ("--idle-timeout", f"{700 * SLOW}ms", "--gossip", "off")  # gossip's streams would keep it open


def alone(*nodes):
    """Waits until the idle connection is over at all of them."""
    for node in nodes:
        node.event("peer_disconnected")


def dial(node, addr):
    r = kith(node.home, "dial", addr, "--json").json()
    return r["secure_channel"], r["resumed"], r


def the_second_connection_is_resumed_and_says_so():
    with homes("a", "b") as (a, b), Up(a, *IDLE) as one, Up(b, *IDLE) as two:
        channel, resumed, first = dial(two, one.addr)
        assert (channel, resumed, first["transcript_bound"]) == (PLAIN, False, True), first
        assert abs(first["pq_checked"] - time.time()) < 60, first
        kith(b, "quantum", one.addr, out="transcript  bound: both signed this handshake")
        alone(one, two)
        for _ in range(2):
            channel, resumed, r = dial(two, one.addr)
            assert (channel, resumed, r["transcript_bound"]) == (RESUME, True, False), r
            assert (r["pq_id"], r["pq_algorithm"]) == (first["pq_id"], "ML-DSA-65"), r
            assert abs(r["pq_checked"] - first["pq_checked"]) <= 1, (r, first)
            assert r["handshake_bytes_in"] + r["handshake_bytes_out"] < 3500 and first["handshake_bytes_in"] > 6000, r
            for node in (one, two):
                while not node.event("peer_connected")["resumed"]:  # the first one's has been told before
                    pass
            out = kith(b, "quantum", one.addr).out
            assert "identity    ML-DSA-65, NIST category 3, checked 20" in out and " in an earlier session, besides" in out, out
            assert "transcript  bound by a secret of that session, which only the two have" in out, out
            for home in (a, b):
                kith(home, "status", "--detailed", out=" by ML-DSA-65, checked 20")
                assert kith(home, "status", "--detailed", "--json").json()["connections"][0]["resumed"] is True
            numbers = [kith(home, "verify", peer, "--json").json()["number"] for home, peer in ((a, two.peer), (b, one.peer))]
            assert numbers[0] == numbers[1], numbers
            alone(one, two)


def who_is_new_again_signs():
    with homes("a", "b") as (a, b), Up(b, *IDLE) as two:
        with Up(a, *IDLE) as one:
            assert dial(two, one.addr)[:2] == (PLAIN, False)
            port = one.bare
        alone(two)
        with Up(a, *IDLE, listen=port) as one:
            channel, resumed, r = dial(two, one.addr)
            assert (channel, resumed, r["transcript_bound"]) == (RESUME, False, True), r
            kith(b, "quantum", one.addr, out="both signed this handshake")
            alone(one, two)
            assert dial(two, one.addr)[:2] == (RESUME, True)


def a_block_between_two_sessions_holds():
    with homes("a", "b") as (a, b), Up(a, *IDLE) as one, Up(b, *IDLE) as two:
        dial(two, one.addr)
        alone(one, two)
        kith(a, "trust", "block", two.peer)
        kith(b, "dial", one.addr, code=None)
        assert one.event("refused")["error"] == "policy"
        kith(a, "trust", "unblock", two.peer)
        assert dial(two, one.addr)[1] is False  # signatures again


def it_can_be_switched_off():
    with homes("a", "b") as (a, b), Up(a, *IDLE) as one, Up(b, *IDLE, "--security.resume", "off") as two:
        for _ in range(2):
            assert dial(two, one.addr)[:2] == (PLAIN, False)
            alone(one, two)
        kith(b, "ping", one.addr, "--security.resume", "169h", code=None, err="is not off or a time up to 168h")


run(the_second_connection_is_resumed_and_says_so, who_is_new_again_signs, a_block_between_two_sessions_holds,
    it_can_be_switched_off)
