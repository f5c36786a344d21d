# SPDX-License-Identifier: MIT OR Apache-2.0
"""The processes of one side of a transfer, and what they cost. Every process that is started here, and whatever it starts, is ours to
end."""
import collections
import contextlib
import ctypes
import os
import pathlib
import queue
import re
import select
import signal
import subprocess
import threading
import time

HZ = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.04  # peaks are looked at so often: a process that grows and ends within it may be told too small
PR_SET_CHILD_SUBREAPER = 36


class NotMeasured(Exception):
    """The reason belongs into the table."""


def adopt_orphans():
    """Whoever loses its parent becomes our child, so that none escapes."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += [int(x) for x in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found


def family(roots):
    """The processes and all that descend from them."""
    todo, seen = list(roots), []
    while todo:
        pid = todo.pop()
        if pid not in seen:
            seen.append(pid)
            todo += children(pid)
    return seen


def memory_kib(pid):
    """(most that was ever resident, anonymous and shared memory now) in KiB."""
    with contextlib.suppress(OSError):
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        got = {k: int(v) for k, v in re.findall(r"^(VmHWM|RssAnon|RssShmem):\s*(\d+)", text, re.M)}
        if "VmHWM" in got:
            return got["VmHWM"], got.get("RssAnon", 0)
    return None


def cpu_seconds(pid):
    """Of a living process and of its children that have ended."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(x) for x in fields[11:15]) / HZ
    return 0.0


def end(pids, patience=3.0):
    """Asks first, then kills, and waits until they are gone. Only ever called with descendants of ours."""
    for sig, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        left = [p for p in pids if alive(p)]
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, sig)
        until = time.monotonic() + seconds
        while left and time.monotonic() < until:
            left = [p for p in left if alive(p)]
            time.sleep(0.005)
        if not left:
            return


def alive(pid):
    with contextlib.suppress(OSError, IndexError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Process:
    """One command. Its stdout and stderr are read as they come, and the last lines kept for a reason."""

    def __init__(self, argv, env=None, cwd=None):
        self.name = pathlib.Path(str(argv[0])).name
        self.p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
        self.pid, self.code, self.cpu, self.maxrss = self.p.pid, None, 0.0, 0
        self.lines, self.tail = queue.SimpleQueue(), collections.deque(maxlen=20)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        while data := os.read(self.p.stdout.fileno(), 65536):
            *lines, rest = re.split(rb"[\r\n]", rest + data)
            for line in lines:
                self._line(line)
        self._line(rest)
        self.lines.put(None)

    def _line(self, line):
        if line.strip():
            self.lines.put(line.decode(errors="replace"))
            self.tail.append(line.decode(errors="replace").strip())

    def expect(self, pattern, limit):
        """The first line that the pattern is found in."""
        until = time.monotonic() + limit
        while True:
            try:
                line = self.lines.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise NotMeasured(f"{self.name} did not say {pattern!r} within {limit:.0f} s") from None
            if line is None:
                self.wait(10)
                raise NotMeasured(f"{self.name}: {self.said()}")
            if m := re.search(pattern, line):
                return m

    def said(self):
        return (self.tail[-1] if self.tail else f"ended with {self.code}, no message")[:200]

    def wait(self, limit):
        """Its exit code; raises when it takes longer."""
        if self.code is None:
            fd = os.pidfd_open(self.pid)
            try:
                if not select.select([fd], [], [], limit)[0]:
                    raise NotMeasured(f"{self.name} had not ended after {limit:.0f} s")
            finally:
                os.close(fd)
            self._reap()
        return self.code

    def _reap(self):
        _, status, usage = os.wait4(self.pid, 0)
        self.code = self.p.returncode = os.waitstatus_to_exitcode(status)
        self.cpu, self.maxrss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss

    def succeed(self, limit):
        if self.wait(limit) != 0:
            raise NotMeasured(f"{self.name}: {self.said()}")

    def stop(self):
        if self.code is None:
            end(family([self.pid]))
            self._reap()


class Side:
    """All processes of one end. While it is watched, peaks are noted; CPU time counts from mark() on."""

    def __init__(self):
        self.all, self.peak, self.anon, self.most, self.before, self.seen = [], 0, 0, 0, 0.0, set()

    def start(self, argv, env=None, cwd=None):
        p = Process(argv, env, cwd)
        self.all.append(p)
        return p

    def living(self):
        return family([p.pid for p in self.all if p.code is None])

    def sample(self):
        """Each process's own peak up to now, over those that live now and did before: one that was just forked, and is about to run
        another program, still has its parent's memory and would count twice."""
        now = set(self.living())
        got = [m for m in map(memory_kib, now & self.seen) if m]
        self.seen = now
        self.peak = max(self.peak, sum(m[0] for m in got))
        self.anon = max(self.anon, sum(m[1] for m in got))
        self.most = max(self.most, len(got))

    def mark(self):
        self.before = self._cpu()

    def _cpu(self):
        return sum(p.cpu for p in self.all) + sum(cpu_seconds(pid) for pid in self.living())

    def cost(self, floor_kib):
        """A process may have ended right after a look at it; the kernel knows its peak, but counts in the memory of the process that
        started it, which is ours: floor_kib."""
        whole = max([p.maxrss for p in self.all], default=0)
        return {"cpu": self._cpu() - self.before, "peak_kib": max(self.peak, whole if whole > floor_kib else 0), "anon_kib": self.anon,
                "processes": self.most}

    def stop(self):
        for p in self.all:
            p.stop()


def reap():
    """Takes leave of the orphans that we adopted and that have ended. Only while no process of ours is waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


class Watch:
    """Looks at the sides again and again until it is left."""

    def __init__(self, sides):
        self.sides, self.stopped = sides, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.wait(SAMPLE_SECONDS):
            for side in self.sides():
                side.sample()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
