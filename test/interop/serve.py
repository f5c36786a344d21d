#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The test protocols as commands on stdin and stdout, for `kith pipe --listen ... -- serve.py NAME`. README.md."""
import hashlib
import json
import os
import struct
import sys
import time

CHUNK = 64 << 10


def write(data):
    while data:
        data = data[os.write(1, data):]


def read(n):
    out = b""
    while len(out) < n:
        data = os.read(0, n - len(out))
        if not data:
            sys.exit("serve.py: the request is too short")
        out += data
    return out


def digest():
    d, n = hashlib.sha256(), 0
    while data := os.read(0, CHUNK):
        d.update(data)
        n += len(data)
    return n, d.hexdigest()


def main(name, *args):
    if name == "slowecho":
        while data := os.read(0, 16384):
            time.sleep(0.002)
            write(data)
    elif name == "sink":
        write((digest()[1] + "\n").encode())
    elif name == "latesink":
        time.sleep(1.5)
        write((digest()[1] + "\n").encode())
    elif name == "source":
        n, seed = struct.unpack(">QQ", read(16))
        stream = hashlib.shake_128(struct.pack(">Q", seed)).digest(n)
        for at in range(0, n, CHUNK):
            write(stream[at:at + CHUNK])
    elif name == "greet":
        write(b"hello\n")
        os.close(1)
        n, sum = digest()
        with open(args[0], "w") as f:
            json.dump({"bytes": n, "sha256": sum}, f)
    else:
        sys.exit(f"serve.py: no protocol {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
