# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of the program share: homes that are thrown away, nodes in the background, commands with their
exit codes, and a list of checks that says which one failed. A test is a function; run() runs all that it is given."""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

KITH = os.environ.get("KITH_BIN") or str(pathlib.Path(__file__).parents[2] / "build/release/kith")
TOOLS = pathlib.Path(os.environ.get("KITH_TOOLS") or pathlib.Path(KITH).parent / "test/cli")
SLOW = 4 if "asan" in KITH or "tsan" in KITH else 1
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
PATIENT = ("--handshake-timeout", "60s")  # for signatures by SLH-DSA, which take seconds where others compute, too


def environment(home):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("KITH_", "XDG_"))}
    return dict(env, KITH_HOME=str(home), TZ="UTC", LC_ALL="C.UTF-8")


@contextlib.contextmanager
def homes(*names):
    """Folders for KITH_HOME, as Paths; in /tmp, since paths of sockets must be short."""
    top = tempfile.mkdtemp(prefix="kith-cli-", dir="/tmp")
    try:
        made = [pathlib.Path(top) / n for n in names]
        yield made if len(made) > 1 else made[0]
    finally:
        shutil.rmtree(top, ignore_errors=True)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


def kith(home, *args, code=0, err=None, out=None, timeout=30, stdin=None, **kw):
    """Runs a command to its end. code None: any. err, out: what must stand in the output."""
    p = subprocess.run([KITH, *map(str, args)], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       stdin=stdin or subprocess.DEVNULL, timeout=timeout * SLOW, **kw)
    r = Result(p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"))
    what = "kith " + " ".join(map(str, args))
    assert code is None or r.code == code, f"{what}: wanted exit {code}, got {r!r}"
    assert err is None or err in r.err, f"{what}: wanted {err!r} on stderr, got {r!r}"
    assert out is None or out in r.out, f"{what}: wanted {out!r} on stdout, got {r!r}"
    return r


def start(home, *args, **kw):
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    return subprocess.Popen([KITH, *map(str, args)], env=environment(home), **kw)


class Up:
    """`kith up --json` in the background. Without mdns, so that tests that run at the same time do not meet, and without the DHT, as no test
    calls the public one."""

    def __init__(self, home, *args, listen=LOOPBACK, log=None, preexec=None, mdns="off", dht="off"):
        self.home = home
        self.log = log or (pathlib.Path(str(home) + ".err"))
        self.process = start(home, "up", "--json", *(("--listen", listen) if listen else ()), "--mdns", mdns, "--dht", dht,
                             *args, stderr=open(self.log, "ab"), preexec_fn=preexec)
        self.seen, self.unread = [], b""
        first = self.event("listening")
        self.peer, self.addrs = first["peer"], first["addrs"]
        self.addr = self.addrs[0]
        self.bare = self.addr[:self.addr.rindex("/p2p/")]
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *error):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                assert kind, f"the node does not stop: {self.errors()}"
        self.process.stdout.close()

    def read_event(self, timeout):
        while b"\n" not in self.unread:
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                raise AssertionError(f"no event within {timeout} s; so far {self.seen}; stderr: {self.errors()}")
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                raise AssertionError(f"the node ended with {self.process.wait()}: {self.errors()}")
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        self.seen.append(json.loads(line))
        return self.seen[-1]

    def event(self, name, timeout=10):
        while True:
            ev = self.read_event(timeout * SLOW)
            if ev["event"] == name:
                return ev

    def errors(self):
        return self.log.read_text(errors="replace")

    def stop(self, sig=signal.SIGTERM, timeout=10):
        self.process.send_signal(sig)
        return self.process.wait(timeout * SLOW)


class Background:
    """What runs as self.process is gone at the end of the block, however that ends."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Job(Background):
    """A command in the background; what it prints goes to files."""

    def __init__(self, home, *args, program=None, stdin=subprocess.DEVNULL):
        home.mkdir(exist_ok=True)
        self.out, self.err = (pathlib.Path(f"{home}.{end}") for end in ("out", "err"))
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen([program or KITH, *map(str, args)], env=environment(home), stdin=stdin, stdout=out, stderr=err)

    def events(self, *names):
        lines = self.out.read_text().splitlines(keepends=True)
        seen = [json.loads(line) for line in lines if line.endswith("\n")]
        return [e for e in seen if e["event"] in names]

    def event(self, *names, timeout=30):
        def there():
            assert self.events(*names) or self.process.poll() is None or self.events(*names), \
                f"it ended without {names}: {self.out.read_text()} {self.err.read_text()}"
            return self.events(*names)
        eventually(there, lambda: f"{names}: {self.out.read_text()} {self.err.read_text()}", timeout)
        return self.events(*names)[-1]

    def ended(self, code=0, timeout=60):
        got = self.process.wait(timeout * SLOW)
        assert got == code, f"exit {got}, not {code}: {self.out.read_text()[-2000:]} {self.err.read_text()}"
        return self.events("done", "failed")[-1] if self.events("done", "failed") else None

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)


def unlimited(home, kind):
    """Lets the transfer of a home run as fast as it can."""
    kith(home, "transfers", "limit", next(j["id"] for j in kith(home, "transfers", "--json").json()["transfers"]
                                          if j["kind"] == kind), "off")


class Terminal:
    """`kith up` on a terminal of its own, 80 columns wide."""

    def __init__(self, home, *args, mdns="off", preexec=None, columns=80):
        self.home = home
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if preexec:
                preexec()
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
            os.execve(KITH, [KITH, "up", "--mdns", mdns, *args], dict(environment(home), TERM="xterm"))
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pid:
            self.end(signal.SIGKILL)

    def end(self, sig):
        """Waits for its end, reading on; returns the exit code, negative for a signal."""
        os.kill(self.pid, sig)
        return self.ended()

    def ended(self, timeout=15):
        deadline = time.monotonic() + timeout * SLOW
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        while not pid:
            assert time.monotonic() < deadline, f"it does not end: {self.seen!r}"
            with contextlib.suppress(OSError):
                if select.select([self.fd], [], [], 0.05)[0]:
                    os.read(self.fd, 65536)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        self.pid = 0
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)

    def read(self, until, timeout=10):
        """What came, up to and with that text; the rest is for the next."""
        end = time.monotonic() + timeout * SLOW
        while until not in self.seen:
            assert time.monotonic() < end, f"no {until!r} in {self.seen!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        at = self.seen.index(until) + len(until)
        text, self.seen = self.seen[:at], self.seen[at:]
        return text

    def type(self, text):
        os.write(self.fd, text.encode())

    def say(self, line, until, timeout=10):
        self.seen = ""
        self.type(line + "\r")
        return self.read(until, timeout)


class Crowd(Background):
    """tool_crowd in the background; what it says of itself is in .now."""

    def __init__(self, home, addr, how, count):
        self.process = subprocess.Popen([str(TOOLS / "tool_crowd"), addr, how, str(count),
                                         os.environ.get("KITH_SEED", "1")],
                                        env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.now = {"open": 0, "errors": 0, "drained": False}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.now = json.loads(line)

    def say(self, word):
        self.process.stdin.write(word.encode())
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60 * SLOW) == 0, self.now
        self.reader.join()
        assert self.now["errors"] == 0 and self.now["open"] == 0, self.now


def feed(f, data, then_close=True):
    """Writes in the background to who may have enough before."""
    def work():
        try:
            f.write(data)
            f.flush()
            if then_close:
                f.close()
        except BrokenPipeError:
            pass
    t = threading.Thread(target=work, daemon=True)
    t.start()
    return t


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


class Listener:
    """`kith listen --json` in the background."""

    def __init__(self, home, *args):
        self.process = start(home, "listen", "--json", *args, stderr=subprocess.PIPE)
        self.unread = b""
        assert self.next()["event"] == "listening"

    @classmethod
    def works(cls, home):
        try:
            with cls(home):
                return True
        except AssertionError:
            return False

    def more(self, seconds):
        """Whether a whole line is there, or comes within that time."""
        end = time.monotonic() + seconds
        while b"\n" not in self.unread:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                return False
            got = os.read(self.process.stdout.fileno(), 1 << 16)
            assert got, self.process.stderr.read()
            self.unread += got
        return True

    def next(self, timeout=10):
        assert self.more(timeout * SLOW), "nothing was shown"
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGINT)
        self.code = self.process.wait(10 * SLOW)
        self.process.stdout.close()
        self.process.stderr.close()


def history(home):
    """Of transfers that are over, the newest first."""
    return kith(home, "transfers", "--history", "--json").json()["history"]


def eventually(check, what, timeout=10):
    """What is waited for is a text, or a function that says it once the time is over."""
    end = time.monotonic() + timeout * SLOW
    while time.monotonic() < end:
        if check():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout * SLOW} s: {what() if callable(what) else what}")


def skip(why):
    print(why)
    sys.exit(77)


class Skipped(Exception):
    """Raised by skip_one."""


def skip_one(why):
    """For one test of several; the program is reported as skipped only when nothing else ran."""
    raise Skipped(why)


def run(*tests):
    """Runs tests by their names, as sentences; exits with 1 when one failed, with 77 when all that ran were skipped."""
    wanted, failed, passed, skipped = sys.argv[1:], 0, 0, 0
    for t in tests:
        if wanted and t.__name__ not in wanted:
            continue
        begun = time.monotonic()
        try:
            t()
            passed += 1
            print(f"[  ok  ] {t.__name__.replace('_', ' ')} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Skipped as why:
            skipped += 1
            print(f"[ skip ] {t.__name__.replace('_', ' ')}: {why}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"[FAILED] {t.__name__.replace('_', ' ')}", flush=True)
    sys.exit(1 if failed else 77 if skipped and not passed else 0)
