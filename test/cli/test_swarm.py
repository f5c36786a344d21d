#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Receivers that help each other: kith get --swarm. What counts is bytes by source, never the time."""
import base64
import contextlib
import filecmp
import os
import random

from kith_cli import eventually, homes, kith, run, unlimited, Job, LOOPBACK, SLOW, TOOLS

MIB = 1 << 20
ALONE = ("--mdns", "off", "--dht", "off")


def share(home, path, *args):
    return Job(home, "share", path, "--ticket", "--json", "--listen", LOOPBACK, *ALONE, *args)


def get(home, ticket, *args, listen=LOOPBACK):
    return Job(home, "get", ticket, "-y", "--json", "-o", f"{home}.got", "--listen", listen, *ALONE, *args)


def content(path, size):
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def arrived(home, path):
    assert filecmp.cmp(path, f"{home}.got/{path.name}", shallow=False), f"{home} has something else"


def of(done, member):
    return sum(g["bytes"] for g in done["from"] if g["member"] == member)


def given(job):
    seen = job.events("progress", "done")
    return seen[-1]["given"] if seen else 0


def three_receivers_of_a_slow_sharer_help_each_other_and_one_that_is_killed_is_missed_by_nobody():
    with homes("s", "a", "b", "c", "d") as (s, a, b, c, d), contextlib.ExitStack() as jobs:
        big = content(s.parent / "big", 10 * MIB)
        content(s.parent / "more", MIB)
        # by the proof of a code, but without looking for it
        sharer = jobs.enter_context(Job(s, "share", big, s.parent / "more", "--share-string", "--json", "--listen", LOOPBACK, *ALONE,
                                        "--limit", "4M/"))
        string = sharer.event("share_string")["share_string"]
        kith(s, "transfers", "pause", sharer.process.pid)
        receivers = [a, b, c, d]
        getters = [jobs.enter_context(get(h, string, "--swarm", "--only", "big")) for h in receivers]
        for g in getters:  # all know each other before the first byte comes
            eventually(lambda g=g: any(e["sources"] == 4 for e in g.events("progress")),
                       lambda: f"four sources: {[g.out.read_text()[-300:] for g in getters]}", 30)
        kith(s, "transfers", "resume", sharer.process.pid)
        eventually(lambda: any(given(g) for g in getters), "one gives something", 30)
        at = next(i for i, g in enumerate(getters) if given(g))
        victim = getters.pop(at)
        del receivers[at]
        victim.process.kill()
        for g, h in zip(getters, receivers):
            done = g.ended()
            arrived(h, big)
            assert not os.path.exists(f"{h}.got/more")
            assert of(done, False) + of(done, True) == 10 * MIB, done
            assert of(done, True) > 0, done  # how much depends on who has the processor; bench/share-swarm measures it
        assert sum(given(g) for g in getters) > 2 * MIB
        sharer.interrupt()
        assert sharer.process.wait(20 * SLOW) == 0
        assert len(sharer.events("transfer_done")) >= 3


def a_receiver_that_lies_is_named_and_dropped_and_its_word_does_no_harm():
    with homes("s", "a", "l") as (s, a, liar), contextlib.ExitStack() as jobs:
        big = content(s.parent / "big", 6 * MIB)
        sharer = jobs.enter_context(share(s, big))
        ticket = sharer.event("ticket")["ticket"]
        got = liar.parent / "liar.got"
        got.mkdir()
        bad = jobs.enter_context(Job(liar, ticket, got, LOOPBACK, program=str(TOOLS / "tool_liar")))
        eventually(lambda: (got / "big").exists(), "the liar has it")
        name = bad.out.read_text().splitlines()[0]
        kith(s, "transfers", "limit", kith(s, "transfers", "--json").json()["transfers"][0]["id"], "500K/")
        getter = jobs.enter_context(get(a, ticket, "--swarm"))
        lost = getter.event("source_lost")
        unlimited(s, "share")
        assert lost["peer"] == name and "does not match" in lost["text"], lost
        done = getter.ended()
        arrived(a, big)
        assert of(done, True) == 0 and not any(g["peer"] == name for g in done["from"]), done
        assert "data that does not match" in bad.out.read_text()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def field(tag, data):
    assert len(data) < 16384
    size = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
    return bytes([tag << 3 | 2]) + size + data


def fields(data):
    at, out = 0, {}
    while at < len(data):
        tag, n, at = data[at] >> 3, data[at + 1], at + 2
        if n & 128:
            n, at = n & 127 | data[at] << 7, at + 1
        out.setdefault(tag, data[at:at + n])
        at += n
    return out


def base58(text):
    n = 0
    for c in text:
        n = n * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(c)
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def redirected(ticket, peer, ip, port):
    """The same capability, said to somebody else."""
    body = base64.urlsafe_b64decode(ticket[5:] + "=" * (-len(ticket[5:]) % 4))[:-4]
    peer_id = base58(peer)
    addr = bytes([4, *map(int, ip.split(".")), 6]) + port.to_bytes(2, "big")
    new = field(1, b"\x00" + peer_id if peer.startswith("12D3") else peer_id) + field(2, fields(body)[2]) + field(3, addr)
    return "kith1" + base64.urlsafe_b64encode(new + crc32c(new).to_bytes(4, "big")).decode().rstrip("=")


def who_has_no_pass_gets_nothing_of_a_receiver_and_who_has_one_does_without_the_sharer():
    ip, port = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}", 4242
    with homes("s", "a", "b", "x") as (s, a, b, x), contextlib.ExitStack() as jobs:
        big = content(s.parent / "big", 8 * MIB)
        sharer = jobs.enter_context(share(s, big))
        ticket = sharer.event("ticket")["ticket"]
        seeder = jobs.enter_context(get(a, ticket, "--seed", "on", listen=f"/ip4/{ip}/tcp/{port}"))
        seeder.event("seeding")
        arrived(a, big)
        peer = sharer.event("transfer_done")["peer"]
        # the sharer's own ticket, which is good there, is no pass
        kith(x, "get", redirected(ticket, peer, ip, port), "-y", "-o", f"{x}.got", *ALONE, code=5, err="ticket or code does not admit")
        assert not os.path.exists(f"{x}.got/big")
        assert seeder.event("turned_away")["peer"] != peer
        # one that is admitted there, and whom the sharer leaves in the middle
        getter = jobs.enter_context(get(b, ticket, "--swarm", "--limit", "/1M"))
        eventually(lambda: any(e["sources"] == 2 for e in getter.events("progress")), "two sources")
        eventually(lambda: any(j["kind"] == "get" and j["receivers"] == 1
                               for j in kith(a, "transfers", "--json").json()["transfers"]), "it helps one")
        sharer.process.kill()
        unlimited(b, "get")
        done = getter.ended()
        arrived(b, big)
        assert of(done, True) > 0, done
        seeder.interrupt()
        seeder.ended()
        assert seeder.event("seeded")["given"] >= of(done, True)


def a_receiver_that_gives_shares_the_limit_of_its_home():
    with homes("s", "a", "b", "c") as (s, a, b, c), contextlib.ExitStack() as jobs:
        a.mkdir()
        (a / "kith.ini").write_text("[share]\nlimit_up = 256KiB\n")
        big = content(s.parent / "big", 16 * MIB)
        sharer = jobs.enter_context(share(s, big))
        ticket = sharer.event("ticket")["ticket"]
        seeder = jobs.enter_context(get(a, ticket, "--seed", "on"))
        seeder.event("seeding")
        jobs.enter_context(get(b, ticket, "--swarm", "--limit", "/512K"))

        def limits():
            return {j["kind"]: j["limit_up"] for j in kith(a, "transfers", "--json").json()["transfers"]}
        eventually(lambda: any(j.get("receivers") == 1 for j in kith(a, "transfers", "--json").json()["transfers"]), "it gives")
        eventually(lambda: limits() == {"get": 256 * 1024}, "all of it, alone")
        other = jobs.enter_context(share(a, big))
        jobs.enter_context(get(c, other.event("ticket")["ticket"]))
        eventually(lambda: limits() == {"get": 128 * 1024, "share": 128 * 1024}, "each has half")


if __name__ == "__main__":
    run(three_receivers_of_a_slow_sharer_help_each_other_and_one_that_is_killed_is_missed_by_nobody,
        a_receiver_that_lies_is_named_and_dropped_and_its_word_does_no_harm,
        who_has_no_pass_gets_nothing_of_a_receiver_and_who_has_one_does_without_the_sharer,
        a_receiver_that_gives_shares_the_limit_of_its_home)
