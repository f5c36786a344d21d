#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Topics between real processes: said and heard, over others' heads, refused with a reason; and three people in consoles on one network."""
import base64
import contextlib
import json
import os
import socket

from kith_cli import Listener, Up, eventually, homes, kith, run, start, SLOW

DEFAULT = "quantra-default"


def say(home, topic, text, *args, **kw):
    return kith(home, "message", "--topic", topic, "--content", text, "--json", *args, **kw).json()


def topics(home):
    return {t["topic"]: t for t in kith(home, "topics", "--json").json()["topics"]}


def together(home, topic, peers, timeout=20):
    eventually(lambda: topics(home).get(topic, {"peers": 0})["peers"] == peers, f"{peers} peers in {topic}", timeout)


def what_is_said_is_heard_over_others_heads():
    """a -- b -- c: a and c have no connection; b hears and passes on."""
    with homes("a", "b", "c") as (a, b, c), Up(a) as one, Up(b) as two, Up(c) as three:
        kith(a, "dial", two.addr)
        kith(c, "dial", two.addr)
        together(b, DEFAULT, 2), together(a, DEFAULT, 1), together(c, DEFAULT, 1)
        with Listener(c, "--topic", DEFAULT, "--topic", "news") as all_, \
                Listener(c, "--topic", DEFAULT, "--type", "vote") as votes:
            r = say(a, DEFAULT, "good morning, all")
            assert r["topic"] == DEFAULT and r["peers"] == 1 and len(r["message"]) == 32, r
            for up in (two, three):
                ev = up.event("topic_message")
                assert ev["text"] == "good morning, all" and ev["peer"] == one.peer and ev["message"] == r["message"], ev
                assert ev["topic"] == DEFAULT and ev["format"] == "kith" and ev["type"] == "text" and ev["pq"] is True, ev
                assert ev["priority"] == 5 and ev["ttl"] == 60 and ev["whole"] is True, ev
            assert all_.next()["text"] == "good morning, all"
            # A topic that only the listener is in; as #NAME; another type, bytes, and an answer.
            together(b, DEFAULT, 2)
            kith(a, "message", "#" + DEFAULT, "--content", "aye", "--msg-type", "vote", "--priority", "9",
                 "--reply-to", r["message"], out=f"said in #{DEFAULT} to 1 peer\n")
            ev = votes.next()
            assert ev["text"] == "aye" and ev["priority"] == 9 and ev["reply_to"] == r["message"], ev
            assert all_.next()["type"] == "vote"
            r = say(b, "news", "tell nobody else")  # b is not in it, c is as long as somebody listens there
            assert r["peers"] == 1 and all_.next()["topic"] == "news"
            assert topics(c)["news"]["subscribed"] is False and topics(c)["news"]["listeners"] == 1
            # What is said here is heard by who listens here.
            say(c, DEFAULT, "mine", "--msg-type", "vote")
            ev = votes.next()
            assert ev["own"] is True and ev["peer"] == three.peer and ev["text"] == "mine", ev
        assert all_.code == votes.code == 0
        assert "news" not in topics(c)
        assert not [e for e in one.seen if e["event"] == "topic_message" and e["peer"] == one.peer]


def a_large_message_and_bytes_arrive_whole_and_more_is_refused():
    with homes("a", "b") as (a, b), Up(a) as one, Up(b) as two, Listener(b, "--topic", "big") as heard:
        kith(a, "dial", two.addr)
        kith(a, "topics", "sub", "big", out="in #big, with")
        whole = os.urandom(720 * 1024)
        file = a.parent / "content"
        for content, code in ((whole, 0), (b"x" * 960 * 1024, 0), (b"x" * (960 * 1024 + 1), 1)):
            file.write_bytes(content)
            with open(file, "rb") as f:
                r = kith(a, "message", "--topic", "big", "--content", "-", stdin=f, code=code,
                         err="at most 960 KiB" if code else None)
            if code == 0:
                ev = heard.next(20)
                assert ev["bytes"] == len(content) and ev["is_text"] is (content[:1] == b"x" * 1), ev["bytes"]
                if ev["is_text"]:
                    assert ev["text"].encode() == content
                else:
                    assert base64.urlsafe_b64decode(ev["base64"] + "==") == content
        assert not heard.more(0.3)
        assert two.process.poll() is None and one.process.poll() is None


def errors_name_what_is_wrong():
    with homes("a", "b") as (a, b), Up(a) as one, Up(b, "--gossip", "off", "--gossip.topics", "") as two:
        def fails(code, err, *args, **kw):
            kith(a, *args, code=code, err=err, **kw)
        fails(4, f"nobody that this node is connected to is in #{DEFAULT}, so nothing was said", "message", "--topic",
              DEFAULT, "--content", "x", "--no-wait")
        fails(4, "nothing was said", "message", "--topic", DEFAULT, "--content", "x", "--ttl", "1", "--wait")
        fails(2, "Not both", "message", "alice", "--topic", "x", "--content", "x")
        fails(2, "a topic is named by --topic", "message", DEFAULT, "--content", "x")
        fails(2, "--raw is for topics", "message", one.peer, "--raw", "--content", "x")
        fails(2, "without spaces", "message", "--topic", "a b", "--content", "x")
        fails(2, "without spaces", "message", "#", "--content", "x")
        fails(2, "without spaces", "message", "--topic", "x" * 257, "--content", "x")
        fails(4, "nothing was said", "message", "--topic", "x" * 256, "--content", "x", "--no-wait")
        fails(2, "from 1 to 3600", "message", "--topic", "x", "--content", "x", "--ttl", "2h")
        fails(2, "32 hex digits", "message", "--topic", "x", "--content", "x", "--reply-to", "12")
        fails(4, "is not subscribed to", "topics", "unsub", "x")
        fails(2, "neither sub nor unsub", "topics", "join", "x")
        fails(2, "which one", "topics", "sub")
        fails(2, "not kept", "listen", "--topic", "x", "--since", "1h")
        fails(2, "1 to 16 topics", "listen", *[w for i in range(17) for w in ("--topic", f"t{i}")])
        fails(2, "nor the name of a known peer", "listen", "--topic", "x", "--from", "nobody")
        kith(b, "topics", code=5, err="gossip = on")
        kith(b, "message", "--topic", "x", "--content", "x", code=5, err="gossip = on")
        two.stop()
        kith(b, "topics", code=8, err="kith up")
        kith(b, "message", "--topic", "x", "--content", "x", code=8, err="kith up")
        kith(b, "listen", "--topic", "x", code=8, err="kith up")
        kith(b, "up", "--gossip.topics", "x" * 129, code=2, err="128 characters")
        kith(b, "up", "--gossip", "perhaps", code=2, err="on or off")


def who_waits_is_heard_as_soon_as_somebody_is_there():
    with homes("a", "b") as (a, b), Up(a) as one, Up(b) as two:
        p = start(a, "message", "--topic", DEFAULT, "--content", "is anybody there?", "--wait")
        kith(b, "dial", one.addr)
        assert two.event("topic_message")["text"] == "is anybody there?"
        assert p.communicate()[0] == f"said in #{DEFAULT} to 1 peer\n".encode() and p.returncode == 0


def who_is_blocked_is_not_heard():
    """c blocks a; b, in the middle, does not, and passes on what a says."""
    with homes("a", "b", "c") as (a, b, c), Up(a) as one, Up(b) as two, Up(c) as three:
        kith(c, "trust", "block", one.peer)
        kith(a, "dial", two.addr), kith(c, "dial", two.addr)
        together(b, DEFAULT, 2), together(c, DEFAULT, 1)
        say(a, DEFAULT, "let me in")
        assert two.event("topic_message")["text"] == "let me in"
        eventually(lambda: kith(c, "topics", "--json").json()["messages"]["blocked"] == 1, "it came, and was not taken")
        say(b, DEFAULT, "hello")
        assert three.event("topic_message")["text"] == "hello"
        kith(c, "trust", "unblock", one.peer)
        say(a, DEFAULT, "and now?")
        assert three.event("topic_message")["text"] == "and now?"


class Rpc:
    """A program on the control socket."""

    def __init__(self, home):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(str(home / "control.sock"))
        self.s.settimeout(20 * SLOW)
        self.lines = self.s.makefile("r")

    def ask(self, id_, method, **params):
        self.s.sendall((json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}) + "\n").encode())

    def answer(self):
        while True:
            m = json.loads(self.lines.readline())
            if "id" in m:
                return m

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.lines.close()
        self.s.close()


def caps_hold_and_not_one_more():
    with homes("a") as a, Up(a, "--gossip.topics", "one two") as one, contextlib.ExitStack() as stack:
        assert sorted(topics(a)) == ["one", "two"]
        rpc = stack.enter_context(Rpc(a))
        for i in range(2, 129):
            rpc.ask(i, "topics.subscribe", topic=f"t{i}")
            assert ("result" in rpc.answer()) == (i < 128), i
        kith(a, "topics", "sub", "one more", code=2, err="without spaces")
        kith(a, "topics", "sub", "more", code=1, err="'kith topics unsub NAME' makes room")
        kith(a, "topics", "unsub", "two", out="left #two\n")
        kith(a, "topics", "sub", "more")
        # 32 listeners.
        rpcs = [stack.enter_context(Rpc(a)) for _ in range(4)]
        for i in range(32):
            rpcs[i % 2].ask(i, "topics.listen", topics=["one"])
        eventually(lambda: topics(a)["one"]["listeners"] == 32, "32 listen")
        kith(a, "listen", "--topic", "one", code=1, err="32 listen already")
        rpcs[0].s.shutdown(socket.SHUT_RDWR)
        eventually(lambda: topics(a)["one"]["listeners"] == 16, "16 listen")
        # 64 messages that wait for somebody to be there.
        for i in range(60):
            rpcs[2 + i % 2].ask(i, "topics.publish", topic="one", text="x", wait_ms=-1)
        for i in range(100, 104):
            rpc.ask(i, "topics.publish", topic="one", text="x", wait_ms=-1)
        rpc.ask(200, "status")
        assert rpc.answer()["id"] == 200
        kith(a, "message", "--topic", "one", "--content", "x", code=1, err="64 messages are about to leave already")
        rpc.ask(201, "cancel", id=100)
        assert rpc.answer()["id"] in (100, 201)
        assert one.stop() == 0  # with all that under way


def what_other_programs_say_is_heard_as_it_is():
    with homes("a", "b") as (a, b), Up(a) as one, Up(b, "--pq", "prefer") as two:
        kith(a, "dial", two.addr)
        together(a, DEFAULT, 1)
        # Of a peer whose post-quantum key is known nothing is believed that it has not signed.
        say(a, DEFAULT, "plain words", "--raw")
        eventually(lambda: kith(b, "topics", "--json").json()["messages"]["unproven"] == 1, "it came, and was not taken")


if __name__ == "__main__":
    run(what_is_said_is_heard_over_others_heads, a_large_message_and_bytes_arrive_whole_and_more_is_refused,
        errors_name_what_is_wrong, who_waits_is_heard_as_soon_as_somebody_is_there, who_is_blocked_is_not_heard,
        caps_hold_and_not_one_more, what_other_programs_say_is_heard_as_it_is)
