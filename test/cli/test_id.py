#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""`kith id` and everything below it: two keys, passphrases, export and import, rotation, and what kills and full disks do."""
import os
import pty
import random
import re
import select
import signal
import subprocess
import time

from kith_cli import KITH, PATIENT, SLOW, Up, environment, homes, kith, run, start

WORD = "correct horse battery"


def fd_with(*lines):
    """A descriptor from which these lines can be read, for --passphrase-fd."""
    r, w = os.pipe()
    os.write(w, "".join(f"{x}\n" for x in lines).encode())
    os.close(w)
    return r


def kith_with(home, *args, words=(), **kw):
    """Runs a command; FD among its arguments stands for a descriptor with the words. Without a terminal to ask on."""
    fd = fd_with(*words)
    try:
        return kith(home, *[str(fd) if a == "FD" else a for a in args], pass_fds=[fd], start_new_session=True, **kw)
    finally:
        os.close(fd)


def facts(home):
    return kith(home, "id", "--json").json()


def old_home(home):
    home.mkdir(mode=0o700)
    (home / "identity").write_text("kith identity 1\ned25519-seed " + "07" * 32 + "\n")
    os.chmod(home / "identity", 0o600)


def an_identity_has_two_keys_and_shows_them():
    with homes("a") as a:
        text = kith(a, "id", "show").out
        f = facts(a)
        assert f["pq_id"].startswith("Qm") and len(f["pq_id"]) == 46, f
        assert (f["pq_algorithm"], f["pq_category"], f["pq_sequence"], f["successors"]) == ("ML-DSA-65", 3, 0, 0), f
        assert f["encrypted"] is False and f["file"] == str(a / "identity"), f
        for what in (f["peer"], f["pq_id"], "ML-DSA-65, NIST category 3", "not encrypted"):
            assert what in text, text
        assert kith(a, "id").out.strip() == f["peer"]
        with Up(a) as up:  # the running node tells the same, and its addresses
            g = facts(a)
            assert up.addr in g.pop("addrs") and g == f, g
            assert kith(a, "id", "show").out == text


def every_algorithm_can_be_chosen_and_a_node_starts_with_it():
    with homes("a", "b") as (a, b):
        kith(b, "id")
        for name, category in (("ml-dsa-44", 2), ("ML-DSA-87", 5), ("slh-dsa-sha2-128s", 1), ("SLH-DSA-SHA2-128f", 1)):
            f = kith(a, "id", "new", "--sig", name, "--replace", "--json").json()
            assert (f["pq_algorithm"].lower(), f["pq_category"]) == (name.lower(), category), f
            with Up(a, *PATIENT) as up:
                assert up.peer == f["peer"]
                kith(b, "ping", up.addr, "-c", 1, *PATIENT)
        wrong = kith(a, "id", "new", "--replace", "--sig", "RSA", code=2, err="none of ML-DSA-44, ML-DSA-65, ML-DSA-87, SLH-")
        r = kith(a, "id", "new", "--replace", "--sig", "falcon-512", "--json", code=None)
        for offer in (wrong.err, kith(a, "id", "--help").out):  # and it is offered where it is there
            assert ("Falcon-512" in offer) == (r.code == 0), offer
        if r.code == 0:  # the build has liboqs
            f = r.json()
            assert (f["pq_algorithm"], f["pq_category"]) == ("Falcon-512", 1), f
            with Up(a) as up:
                kith(b, "ping", up.addr, "-c", 1)
            kith(a, "id", "rotate")
            assert facts(a)["successors"] == 1
        else:
            assert r.code == 2 and "Falcon-512 needs a kith that was built with liboqs" in r.err, r


def version_1_files_keep_their_peer_id():
    with homes("a") as a:
        old_home(a)
        f = facts(a)
        assert f["peer"] == "12D3KooWQuZhvJNdPZgRmSvRyTYXe1XRkmnaFxN3s3y5WAtwBUHk" or f["peer"].startswith("12D3KooW"), f
        text = (a / "identity").read_text()
        assert text.startswith("kith identity 2\n") and "ed25519-seed " + "07" * 32 + "\n" in text, text
        assert facts(a) == f and os.stat(a / "identity").st_mode & 0o777 == 0o600
        assert [p.name for p in a.iterdir()] == ["identity"]


def nothing_is_destroyed():
    with homes("a") as a:
        first = facts(a)
        before = (a / "identity").read_text()
        kith(a, "id", "new", code=9, err="there is an identity already")
        text = kith_with(a, "id", "export", "--plain").out
        kith(a, "id", "import", "-", code=9, err="there is an identity already", stdin=subprocess.PIPE)
        assert (a / "identity").read_text() == before
        second = kith(a, "id", "new", "--replace", "--json").json()
        assert second["peer"] != first["peer"] and second["kept"] == str(a / "identity.old"), second
        assert (a / "identity.old").read_text() == before
        third = kith(a, "id", "new", "--replace", "--json").json()
        assert third["kept"] == str(a / "identity.old.1"), third
        (a / "plain").write_text(text)
        r = kith(a, "id", "import", a / "plain", "--replace", "--json").json()
        assert r["peer"] == first["peer"] and r["pq_id"] == first["pq_id"], r
        assert (a / "identity").read_text() == before
        assert sorted(p.name for p in a.glob("identity*")) == ["identity"] + ["identity.old" + x for x in ("", ".1", ".2")]


def a_passphrase_is_asked_for_wherever_keys_are_needed():
    with homes("a", "b") as (a, b):
        f = facts(a)
        kith_with(a, "id", "passphrase", "--new-passphrase-fd", "FD", words=[WORD])
        text = (a / "identity").read_text()
        assert "seed" not in text and "argon2id m=65536,t=3,p=4 " in text, text
        assert facts(a) == dict(f, encrypted=True)  # what may be shown needs none
        (b / "x").parent.mkdir()
        (b / "x").write_text("x")
        for args in (["up"], ["up", "--detach"], ["share", b / "x"], ["ping", "/ip4/127.0.0.1/tcp/1"], ["id", "rotate"],
                     ["id", "export", "--plain"], ["id", "passphrase", "--remove"]):
            kith_with(a, *args, code=3, err="give --passphrase-fd N")
        kith_with(a, "up", "--passphrase-fd", "FD", words=["wrong"], code=3, err="the passphrase is wrong")
        kith_with(a, "up", "--passphrase-fd", "FD", words=[""], code=2, err="the passphrase is empty")
        kith_with(a, "up", "--passphrase-fd", "FD", words=["x" * 1025], code=2, err="longer than 1024")
        kith(a, "up", "--passphrase-fd", "99", code=2, err="cannot read from descriptor 99")
        kith(a, "up", "--passphrase-fd", "seven", code=2, err="is not a number")
        fd = fd_with(WORD)
        p = start(a, "up", "--json", "--listen", "/ip4/127.0.0.1/tcp/0", "--passphrase-fd", fd, pass_fds=[fd])
        os.close(fd)
        assert f["peer"].encode() in p.stdout.readline()
        assert kith(a, "id").out.strip() == f["peer"]  # by the running node, unasked
        p.terminate()
        assert p.wait(10 * SLOW) == 0
        kith_with(a, "up", "--detach", "--listen", "/ip4/127.0.0.1/tcp/0", "--passphrase-fd", "FD", words=[WORD])
        kith(a, "stop")
        kith_with(a, "id", "passphrase", "--passphrase-fd", "FD", "--new-passphrase-fd", "FD", words=[WORD, "another"])
        kith_with(a, "id", "rotate", "--passphrase-fd", "FD", words=[WORD], code=3, err="wrong")
        kith_with(a, "id", "passphrase", "--passphrase-fd", "FD", "--remove", words=["another"])
        assert facts(a) == f


def on_terminal(home, *args, answers, code=0):
    """Runs a command with a terminal of its own and types the answers to its questions; returns what the terminal showed."""
    pid, tty = pty.fork()
    if pid == 0:
        os.execve(KITH, [KITH, *map(str, args)], environment(home))
    shown, left, end = b"", list(answers), time.monotonic() + 20 * SLOW
    while time.monotonic() < end:
        if not select.select([tty], [], [], 0.1)[0]:
            continue
        try:
            more = os.read(tty, 4096)
        except OSError:
            break
        if not more:
            break
        shown += more
        if left and shown.endswith(b": ") and not shown.endswith(b"kith: "):
            os.write(tty, left.pop(0))
    else:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    os.close(tty)
    got = os.waitstatus_to_exitcode(status)
    assert code is None or got == code, (args, got, shown)
    return shown.decode()


def on_a_terminal_it_is_typed_unseen():
    with homes("a") as a:
        kith(a, "id")
        w = (WORD + "\n").encode()
        shown = on_terminal(a, "id", "passphrase", answers=[w, w])
        assert WORD not in shown and "the new passphrase: " in shown and "the same again: " in shown, shown
        assert on_terminal(a, "id", "passphrase", "--remove", answers=[b"no\n", b"no\n", w]).count("try again") == 2
        on_terminal(a, "id", "passphrase", answers=[w, b"other\n"], code=2)
        on_terminal(a, "id", "passphrase", answers=[w, w])
        shown = on_terminal(a, "id", "rotate", answers=[b"no\n"] * 3, code=3)
        assert shown.count("passphrase of") == 3, shown
        on_terminal(a, "id", "rotate", answers=[b"\x03"], code=-signal.SIGINT)
        on_terminal(a, "id", "rotate", answers=[b"\x04"], code=2)
        shown = on_terminal(a, "up", "--detach", "--listen", "/ip4/127.0.0.1/tcp/0", answers=[w])
        assert "running in the background" in shown and WORD not in shown, shown
        kith(a, "stop")
        assert facts(a)["pq_sequence"] == 0


def an_identity_moves_house():
    with homes("a", "b", "c") as (a, b, c):
        kith(a, "id")
        kith(a, "id", "rotate")
        f = facts(a)
        kith_with(a, "id", "export", code=3, err="give --new-passphrase-fd N")  # not plain unless asked to
        kith_with(a, "id", "export", a / "out", "--new-passphrase-fd", "FD", words=[WORD])
        assert os.stat(a / "out").st_mode & 0o777 == 0o600
        text = (a / "out").read_text()
        seed = re.search("ed25519-seed (.*)", (a / "identity").read_text())[1]
        assert text.startswith("-----BEGIN KITH IDENTITY-----\n") and text.endswith("-----END KITH IDENTITY-----\n"), text
        assert seed not in text
        kith_with(a, "id", "export", a / "out", "--new-passphrase-fd", "FD", words=[WORD], code=9, err="exists already")
        kith_with(b, "id", "import", a / "out", code=3, err="give --passphrase-fd N")
        kith_with(b, "id", "import", a / "out", "--passphrase-fd", "FD", words=["wrong"], code=3, err="passphrase is wrong")
        assert not (b / "identity").exists()
        kith_with(b, "id", "import", a / "out", "--passphrase-fd", "FD", words=[WORD])
        assert facts(b) == dict(f, encrypted=True, file=str(b / "identity"))
        again = kith(b, "id", "export").out  # under the passphrase that it has
        assert again == text
        (c / "x").parent.mkdir()
        for what in ("", "hello", text[:-40], text.replace("\n", "\n!", 1), text[:200] + "AAAA" + text[204:]):
            (c / "x").write_text(what)
            r = kith_with(c, "id", "import", c / "x", "--passphrase-fd", "FD", words=[WORD], code=None)
            assert r.code in (3, 11) and "cannot" in r.err, r
        assert not (c / "identity").exists()
        kith(c, "id", "import", "/nowhere", code=1, err="No such file")
        kith(c, "id", "import", code=2, err="needs a file")
        (c / "x").write_bytes((a / "identity").read_bytes())  # the file itself will do
        kith(c, "id", "import", c / "x")
        assert facts(c) == dict(f, file=str(c / "identity"))


def a_rotation_leaves_the_peer_id_and_a_statement():
    with homes("a") as a:
        f = facts(a)
        r = kith(a, "id", "rotate", "--json").json()
        assert r["peer"] == f["peer"] and r["pq_id"] != f["pq_id"] and r["replaced_pq_id"] == f["pq_id"], r
        assert (r["pq_sequence"], r["successors"], r["pq_algorithm"]) == (1, 1, "ML-DSA-65"), r
        assert kith(a, "id", "rotate", "--sig", "ML-DSA-44", "--json").json()["pq_algorithm"] == "ML-DSA-44"
        assert kith(a, "id", "rotate", "--json").json()["pq_algorithm"] == "ML-DSA-44"  # as it was
        for _ in range(18):
            r = kith(a, "id", "rotate", "--json").json()
        assert (r["pq_sequence"], r["successors"]) == (21, 16), r
        with Up(a) as up:
            assert up.peer == f["peer"]
            assert "waiting" not in kith(a, "status", "--json").out
            kith(a, "id", "passphrase", "--remove", err="a node is running")  # the same keys
            assert "waiting" not in kith(a, "status", "--json").out
            new = kith(a, "id", "rotate", "--json", err="goes on with it until it is restarted: 'kith stop', then 'kith up'").json()
            now = kith(a, "status", "--json", out="").json()
            assert (now["waiting_peer"], now["waiting_pq_id"]) == (f["peer"], new["pq_id"]), now
            kith(a, "status", out="a newer post-quantum key waits in the file: " + new["pq_id"])
            assert kith(a, "id", "--json").json()["pq_id"] == r["pq_id"]  # what is in use
        with Up(a):
            assert kith(a, "id", "--json").json()["pq_id"] == new["pq_id"]
            assert "waiting" not in kith(a, "status", "--json").out
            other = kith(a, "id", "new", "--replace", "--json").json()["peer"]
            kith(a, "status", out="another one waits in the file: " + other)


def contacts_follow_a_rotation_and_nothing_else():
    def known(home, peer):
        return next(p for p in kith(home, "trust", "list", "--json").json()["peers"] if p["peer"] == peer)

    with homes("a", "b") as (a, b):
        ids = [facts(a)["pq_id"]]
        with Up(a) as up:
            kith(b, "ping", up.addr, "-c", 1)
            assert known(b, up.peer)["key"] == ids[0], known(b, up.peer)
        for _ in range(2):  # of which b sees neither alone
            kith(a, "id", "rotate")
            ids.append(facts(a)["pq_id"])
        with Up(a) as up:
            kith(b, "ping", up.addr, "-c", 1)
            assert known(b, up.peer)["key"] == ids[-1], known(b, up.peer)
        # The same Ed25519 key with a post-quantum key out of nowhere is somebody else.
        seed = re.search("ed25519-seed (.*)", (a / "identity").read_text())[1]
        (a / "identity").write_text(f"kith identity 1\ned25519-seed {seed}\n")
        with Up(a) as up:
            kith(b, "ping", up.addr, "-c", 1, code=5, err="CHANGED")
            assert known(b, up.peer)["key"] == ids[-1]


def nonsense_is_told():
    with homes("a") as a:
        kith(a, "id", "sho", code=2, err="it is one of show, new")
        kith(a, "id", "show", "x", code=2, err="'x' is too much")
        kith(a, "id", "show", "--sig", "ML-DSA-44", code=2, err="--sig is not for 'kith id show'")
        kith(a, "id", "passphrase", "--remove", "--new-passphrase-fd", "0", code=2, err="either")
        kith(a, "id", "export", code=3, err="there is none")
        assert not (a / "identity").exists()


def a_kill_at_any_moment_leaves_an_identity():
    seed = int(os.environ.get("KITH_SEED") or time.time())
    dice = random.Random(seed)
    print(f"KITH_SEED={seed}")
    with homes("a", "b") as (a, b):
        old_home(a)
        kith(b, "id")
        peer, killed, numbers, began = None, 0, set(), time.monotonic()
        kith(b, "id", "rotate")
        whole = time.monotonic() - began
        for n in range(400):
            if n >= (60 if SLOW == 1 else 20) and killed > 5 and len(numbers) > 1:
                break
            p = start(a, "id", *(["rotate", "--json"] if n else ["--json"]), stderr=subprocess.DEVNULL)
            time.sleep(dice.random() * 2 * whole)
            killed += p.poll() is None
            p.kill()
            p.wait()
            p.stdout.close()
            f = facts(a)
            peer = peer or f["peer"]
            assert f["peer"] == peer, f
            numbers.add(f["pq_sequence"])
        text = (a / "identity").read_text()
        assert "ed25519-seed " + "07" * 32 in text
        assert killed > 5 and len(numbers) > 1, (killed, numbers)
        print(f"{killed} times killed; the key's number went to {max(numbers)}")


run(an_identity_has_two_keys_and_shows_them, every_algorithm_can_be_chosen_and_a_node_starts_with_it,
    version_1_files_keep_their_peer_id, nothing_is_destroyed, a_passphrase_is_asked_for_wherever_keys_are_needed,
    on_a_terminal_it_is_typed_unseen, an_identity_moves_house, a_rotation_leaves_the_peer_id_and_a_statement,
    contacts_follow_a_rotation_and_nothing_else, nonsense_is_told, a_kill_at_any_moment_leaves_an_identity)
