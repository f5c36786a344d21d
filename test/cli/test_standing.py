#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What `kith get` meets is remembered by the running node of its home: who sends wrong content is banned, who sends what it promised is preferred."""
import contextlib
import json
import subprocess

from kith_cli import LOOPBACK, TOOLS, Up, homes, kith, run, start


@contextlib.contextmanager
def ticket_of(process):
    try:
        yield json.loads(process.stdout.readline())["ticket"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def reasons(o):
    return {r["kind"]: (r["count"], r["points"]) for r in o["reputation"]["reasons"]}


def who_sends_wrong_content_is_banned_and_who_does_not_is_worth_more():
    if not (TOOLS / "tool_hostile_sharer").exists():
        print("skipped: tool_hostile_sharer was not built")
        return
    with homes("a", "b", "out") as (a, b, out):
        (b.parent / "file").write_bytes(b"as it was promised\n" * 1000)
        bad = subprocess.Popen([TOOLS / "tool_hostile_sharer", LOOPBACK, str(out), "data_wrong"], stdout=subprocess.PIPE)
        good = start(b, "share", b.parent / "file", "--ticket", "--listen", LOOPBACK, "--mdns", "off", "--json")
        with ticket_of(bad) as wrong, ticket_of(good) as ticket:
            # One note is left while no node runs, the others while one does.
            failed = kith(a, "get", wrong, "-y", "--json", "-o", out, code=11).lines()[-1]
            with Up(a) as up:
                kith(a, "get", wrong, "-y", "-o", out, code=11, err="does not match its hash")
                done = kith(a, "get", ticket, "-y", "--json", "-o", out).lines()
                e = up.event("peer_banned", 20)
                assert e["peer"] == failed["peer"] and e["reputation"]["banned_until"] > 0, e
                banned = kith(a, "peers", "--detailed", "--json").json()["banned"]
                assert [x["peer"] for x in banned] == [failed["peer"]] and banned[0]["reasons"][0]["kind"] == "corrupt", banned
                addr = next(x["addr"] for x in done if x["event"] == "connected")
                kith(a, "dial", f"{addr}/p2p/{done[-1]['peer']}")
                peers = {x["peer"]: x for x in kith(a, "peers", "--detailed", "--json").json()["peers"]}
                assert reasons(peers[done[-1]["peer"]])["verified"][0] == 1, peers


if __name__ == "__main__":
    run(who_sends_wrong_content_is_banned_and_who_does_not_is_worth_more)
