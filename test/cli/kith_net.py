# SPDX-License-Identifier: MIT OR Apache-2.0
"""A network of its own for a test: namespaces whose interfaces are ports of one bridge. Needs root, or rights over network namespaces."""
import ctypes
import os
import shutil
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000  # os.setns is Python 3.12's


def ip(*args):
    return subprocess.run(["ip", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def must(*args):
    r = ip(*args)
    assert r.returncode == 0, f"ip {' '.join(args)}: {r.stdout.decode()}"


class Net:
    """A bridge, and a namespace for each machine on it: eth0 with 10.77.0.N/24 and fd77::N/64."""

    def __init__(self, count, v4=True, v6=True):
        self.top = f"kith-d-{os.getpid()}"
        self.names = [f"{self.top}-{i + 1}" for i in range(count)]
        try:
            self.make(v4, v6)
        except AssertionError:
            self.__exit__()
            raise

    def make(self, v4, v6):
        must("netns", "add", self.top)
        must("-n", self.top, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        must("-n", self.top, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            must("netns", "add", name)
            must("-n", self.top, "link", "add", f"p{i + 1}", "type", "veth", "peer", "name", "eth0", "netns", name)
            must("-n", self.top, "link", "set", f"p{i + 1}", "master", "br0", "up")
            if v4:
                must("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
            if v6:
                must("-n", name, "addr", "add", f"fd77::{i + 1}/64", "dev", "eth0", "nodad")
            must("-n", name, "link", "set", "lo", "up")
            must("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "route", "add", "default", "dev", "eth0")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for name in [*self.names, self.top]:
            ip("netns", "del", name)

    def inside(self, i):
        return ["ip", "netns", "exec", self.names[i]]

    def enter(self, i):
        """For preexec_fn: the process moves into the machine's network."""
        path = f"/run/netns/{self.names[i]}"

        def move():
            fd = os.open(path, os.O_RDONLY)
            if LIBC.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(fd)
        return move

    def link(self, i, state):
        must("-n", self.top, "link", "set", f"p{i + 1}", state)


def missing():
    """Why there can be no Net here, or None."""
    if not shutil.which("ip"):
        return "the program ip (iproute2) is not installed"
    try:
        with Net(1):
            return None
    except AssertionError as e:
        return str(e)
