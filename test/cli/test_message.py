#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Messages between real processes: sent, kept, delivered once whatever is killed, refused with a reason."""
import base64
import json
import os
import random
import signal
import socket
import sqlite3
import time

from kith_cli import Listener, Terminal, Up, eventually, homes, kith, rss_kib, run, start, LOOPBACK, SLOW

STRANGER = "12D3KooWGRUfMDYgXpbwy5nZ9XUXiX7v2g6rAWMPAvZrS6aqvZ4h"


def say(home, peer, text, *args, **kw):
    return kith(home, "message", peer, "--content", text, *args, "--json", **kw).json()


def waiting(home):
    return kith(home, "message", "--outbox", "--json").json()


def texts(up, n, timeout=20):
    return [up.event("message", timeout)["text"] for _ in range(n)]


def kept(home):
    """What the inbox has: a listener of its own reads it from the file, until it has nothing more to say."""
    with Listener(home, "--since", "all", "--listen", LOOPBACK) as heard:
        got = []
        while heard.more(1.0 * SLOW):
            got.append(heard.next())
    return got


def a_message_arrives_and_is_shown_to_all_who_listen():
    with homes("a", "b") as (a, b), Up(a) as mine, Up(b) as up:
        with Listener(b) as everything, Listener(b, "--type", "vote") as votes, \
                Listener(b, "--from", STRANGER) as others:
            r = say(a, up.addr, "good morning")
            assert r["state"] == "delivered" and r["peer"] == up.peer and len(r["message"]) == 32, r
            got = everything.next()
            assert got["text"] == "good morning" and got["peer"] == mine.peer and got["message"] == r["message"], got
            assert got["type"] == "text" and got["priority"] == 5 and got["ttl"] == 60 and got["bytes"] == 12, got
            shown = up.event("message")
            assert shown["text"] == "good morning" and shown["whole"] is True, shown
            r = say(a, up.peer, "aye", "--msg-type", "vote", "--priority", "9", "--reply-to", r["message"])
            got = votes.next()
            assert got["text"] == "aye" and got["type"] == "vote" and got["priority"] == 9, got
            assert got["reply_to"] == shown["message"] and everything.next()["text"] == "aye", got
            assert not others.more(0.5)
        assert everything.code == 0
        assert waiting(a)["messages"] == 0


def without_a_node_it_is_delivered_now_or_fails():
    with homes("a", "b") as (a, b), Up(b) as up:
        kith(a, "message", up.addr, "--content", "hello", out=f"delivered to {up.peer}")
        assert up.event("message")["text"] == "hello"
        kith(a, "message", up.peer, "--content", "again", out="delivered")
        up.stop()
        kith(a, "message", up.peer, "--content", "late", code=4, err="connection refused")
        kith(a, "message", "--outbox", code=8, err="kith up")
        kith(a, "message", STRANGER, "--content", "x", code=4, err="no address known")
        assert not (a / "messages.db").exists()  # nothing is kept by a command


def errors_name_what_is_wrong():
    with homes("a", "b") as (a, b), Up(a) as mine, Up(b) as up:
        def fails(code, err, *args, **kw):
            kith(a, "message", *args, code=code, err=err, **kw)
        fails(2, "to whom, and what", up.addr)
        fails(2, "to whom, and what", "--content", "x")
        fails(2, "nor the name of a known peer", "nobody", "--content", "x")
        fails(2, "--msg-type", up.addr, "--content", "x", "--msg-type", "No Spaces")
        fails(2, "--priority", up.addr, "--content", "x", "--priority", "11")
        for ttl in ("0", "604801", "8d", "never", "x"):
            fails(2, "--ttl", up.addr, "--content", "x", "--ttl", ttl)
        fails(2, "not both", up.addr, "--content", "x", "--wait", "--no-wait")
        fails(2, "32 hex digits", up.addr, "--content", "x", "--reply-to", "12")
        fails(2, "is not the id of a message", "--cancel", "12")
        fails(4, "there is no message", "--cancel", "0" * 32)
        fails(2, "this is the node itself", mine.peer, "--content", "x", "--json")
        wrong = up.bare + "/p2p/" + mine.peer
        fails(2, "this is the node itself", wrong, "--content", "x")
        kith(a, "message", up.bare + "/p2p/" + STRANGER, "--content", "x", "--ttl", "2", "--wait", code=4,
             err="not delivered in time")
        kith(b, "listen", "--from", "nobody", code=2, err="nor the name of a known peer")
        kith(b, "listen", "--type", "No", code=2, err="a type is 1 to 64")
        kith(b, "listen", "--since", "yesterday", code=2, err="--since")


def one_who_is_somebody_else_gets_nothing():
    with homes("a", "b") as (a, b), Up(b) as up:
        kith(a, "message", up.bare + "/p2p/" + STRANGER, "--content", "secret", code=5)
        kith(a, "message", up.bare, "--content", "to whoever is there", out="delivered")
        assert up.event("message")["text"] == "to whoever is there"


def the_largest_message_fits_and_more_is_refused():
    with homes("a", "b") as (a, b), Up(a) as mine, Up(b) as up, Listener(b) as heard:
        kith(a, "dial", up.addr)
        for content in (b"x" * (1 << 20), b"\n" * (1 << 20), bytes(range(256)) * 4096, b""):
            with open(a / "content", "wb+") as f:
                f.write(content)
                f.seek(0)
                kith(a, "message", up.peer, "--content", "-", stdin=f, out="delivered")
            got = heard.next()
            if "text" in got:
                assert got["text"].encode() == content, len(got["text"])
            else:
                assert base64.urlsafe_b64decode(got["base64"] + "===") == content
            assert got["is_text"] is (content[:2] != b"\0\1") and got["bytes"] == len(content)
            shown = up.event("message")
            assert shown["whole"] is (content == b"") and len(shown.get("text", "")) <= 4096, shown
        with open(a / "content", "wb+") as f:
            f.write(b"x" * ((1 << 20) + 1))
            f.seek(0)
            kith(a, "message", up.peer, "--content", "-", stdin=f, code=2, err="at most 1 MiB")


def who_is_away_gets_it_later_and_the_most_urgent_first():
    with homes("a", "b") as (a, b), Up(a) as mine:
        with Up(b) as up:
            kith(a, "dial", up.addr)
        r = say(a, up.peer, "first", "--ttl", "10m")
        assert r["state"] == "kept" and "connection refused" in r["why"] and r["until"] > time.time() + 500, r
        for text, priority in (("low", 0), ("old", 5), ("urgent", 10), ("new", 5), ("high", 8)):
            assert say(a, up.peer, text, "--priority", priority, "--ttl", "10m", "--no-wait")["state"] == "kept"
        r = say(a, up.peer, "taken back", "--ttl", "10m", "--no-wait")
        kith(a, "message", "--cancel", r["message"], out="cancelled")
        kith(a, "message", up.peer, "--content", "x", "--no-wait", out="kept for")
        w = waiting(a)
        assert w["messages"] == 7 and [o["priority"] for o in w["outbox"]] == [5, 0, 5, 10, 5, 8, 5], w
        kith(a, "message", "--outbox", out="7 messages")
        # The node is killed and comes back, and so does the peer.
        mine.process.kill()
        mine.process.wait()
        with Up(a, listen=mine.bare):
            assert waiting(a)["messages"] == 7
            with Up(b, listen=up.bare) as up:
                assert texts(up, 7) == ["urgent", "high", "first", "old", "new", "x", "low"]
            eventually(lambda: waiting(a)["messages"] == 0, "the outbox is empty")


def a_node_with_many_kept_messages_stops():
    with homes("a", "b") as (a, b), Up(a) as mine:
        with Up(b) as up:
            kith(a, "dial", up.addr)
        for i in range(3):
            assert say(a, up.peer, str(i), "--ttl", "10m", "--no-wait")["state"] == "kept"
        waits = start(a, "message", up.peer, "--content", "3", "--ttl", "10m", "--wait", "--json")
        eventually(lambda: waiting(a)["messages"] == 4, "it is there")
        assert say(a, up.peer, "4", "--ttl", "10m", "--no-wait")["state"] == "kept"  # and so on the disk as well
        mine.process.terminate()
        assert mine.process.wait(30 * SLOW) == 0
        assert b'"kept"' in waits.communicate(timeout=10 * SLOW)[0]


def who_waits_is_told_when_it_is_delivered_or_over():
    with homes("a", "b") as (a, b), Up(a) as mine:
        with Up(b) as up:
            kith(a, "dial", up.addr)
        p = start(a, "message", up.peer, "--content", "patience", "--ttl", "10m", "--wait")
        time.sleep(0.5)
        assert p.poll() is None
        with Up(b, listen=up.bare) as up:
            assert texts(up, 1) == ["patience"]
            assert p.communicate(timeout=10 * SLOW)[0].startswith(b"delivered to") and p.returncode == 0
        begun = time.time()
        kith(a, "message", up.peer, "--content", "short", "--ttl", "2", "--wait", code=4, err="not delivered in time")
        assert time.time() - begun > 1.5
        # Nobody waits: the node tells.
        r = say(a, up.peer, "shorter", "--ttl", "1", "--no-wait")
        ev = mine.event("message_expired")
        assert ev["message"] == r["message"] and "connection refused" in ev["why"], ev
        # Who stops waiting does not take it back.
        for n in range(5):  # also while it is on its way to the disk
            p = start(a, "message", up.peer, "--content", f"still {n}", "--ttl", "10m", "--wait", "--json")
            eventually(lambda: waiting(a)["messages"] == n + 1, "it is there")
            p.send_signal(signal.SIGINT)
            assert b'"kept"' in p.communicate(timeout=10 * SLOW)[0]
        assert waiting(a)["messages"] == 5
        with Up(b, listen=up.bare) as up:
            assert texts(up, 5) == [f"still {n}" for n in range(5)]
            assert mine.event("message_delivered")["peer"] == up.peer


def an_address_that_is_no_longer_good_is_not_all_that_is_known():
    with homes("a", "b") as (a, b), Up(a) as mine:
        with Up(b) as up:
            kith(a, "message", up.addr, "--content", "one", out="delivered")
        assert say(a, up.addr, "two", "--ttl", "10m")["state"] == "kept"
        with Up(b) as moved:
            assert moved.addr != up.addr
            kith(a, "trust", "rename", up.peer, "bob")
            # Its new address is learnt some other way, by a command that then goes away.
            kith(a, "ping", moved.addr, "-c", "1", "--no-early-muxer")
            assert texts(moved, 1, 20) == ["two"]


def names_and_blocks_count():
    with homes("a", "b") as (a, b), Up(a) as mine, Up(b) as up:
        kith(a, "dial", up.addr)
        kith(a, "trust", "rename", up.peer, "bob")
        kith(b, "trust", "rename", mine.peer, "alice")
        kith(a, "message", "bob", "--content", "hi", out="delivered to bob")
        assert up.event("message")["name"] == "alice"
        with Listener(b, "--from", "alice") as heard:
            say(a, "bob", "you")
            assert heard.next()["name"] == "alice"
        up.event("message")
        kith(a, "trust", "block", "bob")
        kith(a, "message", "bob", "--content", "x", code=5, err="'kith trust unblock bob'")
        kith(a, "trust", "unblock", "bob")
        kith(b, "trust", "block", "alice")
        r = say(a, "bob", "let me in", "--ttl", "10m")
        assert r["state"] == "kept", r
        kith(b, "trust", "unblock", "alice")
        assert up.event("message", 60)["text"] == "let me in"


def what_came_while_nobody_listened_is_kept():
    with homes("a", "b") as (a, b), Up(b) as up:
        for i in range(5):
            kith(a, "message", up.addr, "--content", f"{i} \x1b[31mred\x07", "--msg-type", "text" if i % 2 else "note")
        with Listener(b, "--since", "1h") as heard:
            assert [heard.next()["text"][0] for _ in range(5)] == list("01234")
            kith(a, "message", up.addr, "--content", "live")
            assert heard.next()["text"] == "live" and not heard.more(0.5)
        with Listener(b, "--since", "all", "--type", "note") as heard:
            assert [heard.next()["text"][0] for _ in range(3)] == list("024") and not heard.more(0.5)
        p = start(b, "listen", "--since", "all")
        time.sleep(0.5 * SLOW)
        p.send_signal(signal.SIGINT)
        shown = p.communicate(timeout=10 * SLOW)[0].decode()
        assert "\x1b" not in shown and "\x07" not in shown and "?[31mred?" in shown and "(note): 0" in shown, shown
        up.stop()
        # Without a running node it reads the same file, and takes messages itself.
        assert [m["text"][0] for m in kept(b)] == list("01234l")
        p = start(b, "listen", "--listen", up.bare)
        try:
            eventually(lambda: kith(a, "message", up.addr, "--content", "direct", code=None).code == 0, "it listens")
            line = p.stdout.readline()
            assert line.endswith(b": direct\n"), line
        finally:
            p.terminate()
            p.wait()
            p.stdout.close()


def a_listener_who_does_not_read_holds_up_nobody_and_misses_nothing():
    with homes("a", "b") as (a, b), Up(a) as mine, Up(b) as up:
        kith(a, "dial", up.addr)
        with Listener(b) as slow:
            big = "x" * 500_000
            before = rss_kib(up.pid)
            for i in range(30):
                with open(a / "content", "wb+") as f:
                    f.write(f"{i} {big}".encode())
                    f.seek(0)
                    kith(a, "message", up.peer, "--content", "-", stdin=f, out="delivered")
                up.event("message")
            assert rss_kib(up.pid) < before + 40 * 1024 * SLOW
            assert [int(slow.next(20)["text"].split()[0]) for _ in range(30)] == list(range(30))


def every_message_that_was_accepted_arrives_once_whoever_is_killed():
    seed = int(os.environ.get("KITH_SEED", random.randrange(1 << 30)))
    print(f"KITH_SEED={seed}", flush=True)
    chance = random.Random(seed)
    with homes("a", "b") as (a, b):
        sender, receiver = Up(a), Up(b)
        kith(a, "dial", receiver.addr)
        peer, ends = receiver.peer, {"a": sender, "b": receiver}
        accepted, count = {}, 0
        try:
            for _ in range(12):
                for _ in range(chance.randrange(1, 8)):
                    count += 1
                    r = kith(a, "message", peer, "--content", f"m{count}", "--ttl", "10m", "--no-wait", "--json",
                             code=None)
                    if r.code == 0:  # else the node was gone, and it was not accepted
                        accepted[r.json()["message"]] = f"m{count}"
                time.sleep(chance.random() * 0.3)
                which = chance.choice("ab")
                ends[which].process.kill()
                ends[which].process.wait()
                ends[which].process.stdout.close()
                ends[which] = Up(a if which == "a" else b, listen=ends[which].bare)
            eventually(lambda: waiting(a)["messages"] == 0, "all is delivered", 60)
        finally:
            for up in ends.values():
                up.__exit__()
        got = [(m["message"], m["text"]) for m in kept(b)]
        assert len(accepted) > 20, len(accepted)
        assert len(set(got)) == len(got), "something was taken twice"
        assert dict(got) == accepted, (len(got), len(accepted), set(accepted.values()) - {t for _, t in got})


def two_send_to_one_at_the_same_time():
    with homes("a", "b", "c") as (a, b, c), Up(a) as one, Up(b) as two, Up(c) as up:
        kith(a, "dial", up.addr)
        kith(b, "dial", up.addr)
        running = [start(h, "message", up.peer, "--content", f"{n}{i}") for i in range(10)
                   for n, h in (("a", a), ("b", b))]
        for p in running:
            assert p.communicate(timeout=20 * SLOW)[0].startswith(b"delivered"), p
        assert sorted(texts(up, 20)) == sorted(f"{n}{i}" for i in range(10) for n in "ab")


def one_who_sends_too_much_waits_and_loses_nothing():
    with homes("a", "b") as (a, b), Up(a) as mine, Up(b, "--limits.rate-messages", "5") as up:
        kith(a, "dial", up.addr)
        for i in range(7):
            r = say(a, up.peer, str(i), "--ttl", "10m")
            assert r["state"] == ("delivered" if i < 5 else "kept"), (i, r)
        assert "takes no messages just now" in r["why"], r
        assert texts(up, 7, 40) == list("0123456")


def a_damaged_file_is_put_aside_and_told():
    with homes("a", "b") as (a, b), Up(a) as mine:
        with Up(b) as up:
            kith(a, "message", up.addr, "--content", "x")
        (b / "messages.db").write_bytes(b"nonsense" * 1000)
        for extra in ("messages.db-wal", "messages.db-shm"):
            (b / extra).unlink(missing_ok=True)
        with Up(b, listen=up.bare) as up:
            assert "messages' file was damaged" in up.errors()
            assert (b / "messages.db.damaged").exists()
            kith(a, "message", up.peer, "--content", "on", out="delivered")


def a_full_outbox_is_an_error_that_names_the_way_out():
    with homes("a", "b") as (a, b):
        with Up(a) as mine:
            with Up(b) as up:
                kith(a, "dial", up.addr)
            kith(a, "message", up.peer, "--content", "x", "--ttl", "24h", "--no-wait")
        with sqlite3.connect(a / "messages.db") as db:
            (peer, message), = db.execute("SELECT peer, message FROM outbox").fetchall()
            at = message.index(b"\x0a\x10") + 2  # the id, the first field of the body
            for n in range(9999):
                made = n.to_bytes(16, "big")
                db.execute("INSERT INTO outbox(id, peer, message) VALUES(?, ?, ?)",
                           (made, peer, message[:at] + made + message[at + 16:]))
        db.close()
        with Up(a, listen=mine.bare):
            w = waiting(a)
            assert w["messages"] == 10000 and len(w["outbox"]) == 1000, w["messages"]
            kith(a, "message", up.peer, "--content", "y", "--no-wait", code=1, err="'kith message --outbox' lists them")
            kith(a, "message", "--cancel", "0" * 32, out="cancelled")
            kith(a, "message", up.peer, "--content", "y", "--no-wait", out="kept for")
            # All but the first and the last are not signed: the peer refuses them, and that is told.
            with Up(b, "--limits.rate-messages", "20000", listen=up.bare) as up:
                assert texts(up, 2, 60) == ["x", "y"]
                eventually(lambda: waiting(a)["messages"] == 0, "all are answered", 60)


def so_many_listen_and_not_one_more():
    with homes("a") as a, Up(a):
        socks, answers = [], []
        for n in range(33):
            if n % 32 == 0:  # as many requests as a client may have
                s = socket.socket(socket.AF_UNIX)
                s.connect(str(a / "control.sock"))
                socks.append((s, s.makefile("rb")))
            s, f = socks[-1]
            s.sendall(json.dumps({"jsonrpc": "2.0", "id": n, "method": "message.listen"}).encode() + b"\n")
            answers.append(json.loads(f.readline()))
        assert all(x["params"]["event"] == "listening" for x in answers[:32]), answers
        assert answers[32]["error"]["data"]["error"] == "limit" and "32 listen" in answers[32]["error"]["message"]
        for s, f in socks:
            f.close()
            s.close()
        eventually(lambda: Listener.works(a), "there is room again")


def the_console_sends_and_shows():
    with homes("a", "b") as (a, b), Up(b) as up, Terminal(a, "--listen", LOOPBACK) as t:
        t.read("listening on ")
        addr = t.read("\n").split()[0]
        assert "/p2p/" in addr, addr
        t.read("kith> ")
        t.type(f"send {up.addr} hello   there, 'friend'\n")
        assert up.event("message")["text"] == "hello   there, 'friend'"
        t.read("delivered to")
        t.type("half a li")
        kith(b, "message", addr, "--content", "news\nin two lines \x1b[2J")
        t.read("news\r\n    in two lines ?[2J")
        t.say("ne", "unknown command")
        t.say("send bob", "send PEER TEXT")
        t.say("quit", "quit")
        assert t.ended() == 0


run(a_message_arrives_and_is_shown_to_all_who_listen, without_a_node_it_is_delivered_now_or_fails,
    errors_name_what_is_wrong, one_who_is_somebody_else_gets_nothing, the_largest_message_fits_and_more_is_refused,
    who_is_away_gets_it_later_and_the_most_urgent_first, a_node_with_many_kept_messages_stops,
    who_waits_is_told_when_it_is_delivered_or_over,
    an_address_that_is_no_longer_good_is_not_all_that_is_known, names_and_blocks_count, what_came_while_nobody_listened_is_kept,
    a_listener_who_does_not_read_holds_up_nobody_and_misses_nothing,
    every_message_that_was_accepted_arrives_once_whoever_is_killed, two_send_to_one_at_the_same_time,
    one_who_sends_too_much_waits_and_loses_nothing, a_damaged_file_is_put_aside_and_told,
    a_full_outbox_is_an_error_that_names_the_way_out, so_many_listen_and_not_one_more, the_console_sends_and_shows)
