# SPDX-License-Identifier: MIT OR Apache-2.0
"""A py-libp2p node that kith is tested against; ../README.md has its command line and what it prints."""
import argparse
import hashlib
import json
import logging
import os
import platform
import signal
import struct
import sys
import time
from importlib.metadata import version as version_of

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host import basic_host, ping
from libp2p.identity.identify_push import identify_push
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.config import ConnectionConfig
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID, Transport as NoiseTransport

PERF, ECHO = TProtocol("/perf/1.0.0"), TProtocol("/kith-test/echo/1")
SINK, SOURCE = TProtocol("/kith-test/sink/1"), TProtocol("/kith-test/source/1")
GREET, RESET = TProtocol("/kith-test/greet/1"), TProtocol("/kith-test/reset/1")
PUSHED, UNKNOWN = TProtocol("/kith-test/pushed/1"), TProtocol("/kith-test/nobody-serves-this/1")
CHUNK = 64 << 10


class Skip(Exception):
    pass


def emit(**fields):
    os.write(1, json.dumps(fields).encode() + b"\n")


def parse():
    ap = argparse.ArgumentParser(prog="peer")
    ap.add_argument("words", nargs="+")
    ap.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0")
    ap.add_argument("--secure", default="noise")
    ap.add_argument("--early-muxer", default="")
    ap.add_argument("--perf", action="store_true")
    ap.add_argument("--window", default="")
    ap.add_argument("--slow-reader", action="store_true")
    ap.add_argument("--tiny", action="store_true")
    ap.add_argument("--bytes", type=int, default=0)
    ap.add_argument("--download", type=int, default=-1)
    ap.add_argument("--streams", type=int, default=100)
    ap.add_argument("--count", type=int, default=5)
    ap.add_argument("--timeout", default="120s")
    return ap.parse_args()


opt = parse()


def unable():
    if opt.secure != "noise":
        return f"py-libp2p has no secure channel {opt.secure}"
    if opt.early_muxer == "on":
        return "py-libp2p does not negotiate the muxer in the Noise handshake"
    if opt.window:
        return "py-libp2p's yamux sizes its windows itself"
    return None


# ---- the node


def new_node():
    key = create_new_key_pair()
    noise = NoiseTransport(libp2p_keypair=key, noise_privkey=create_new_x25519_key_pair().private_key)
    # By default it keeps three connections of a peer; 100 programs of one identity make 100.
    many = ConnectionConfig(max_connections=4000, min_connections=0, low_watermark=0, high_watermark=4000,
                            max_connections_per_peer=1000)
    return new_host(key_pair=key, sec_opt={NOISE_ID: noise}, muxer_preference="YAMUX", connection_config=many)


def identify_fields(peer, m):
    return {
        "peer": str(peer),
        "agent": m.agent_version,
        "protocol_version": m.protocol_version,
        "protocols": list(m.protocols),
        "listen_addrs": [str(multiaddr.Multiaddr(a)) for a in m.listen_addrs],
        "signed_peer_record": m.HasField("signedPeerRecord"),
        "observed_addr": str(multiaddr.Multiaddr(m.observed_addr)) if m.observed_addr else None,
    }


class Ears:
    """Hears of every identify and push: py-libp2p has no event for them, so this listens where both are stored."""

    def __init__(self, say):
        self.say, self.known = say, {}
        self.first = trio.Event()
        self.fields = None
        store = basic_host.update_peerstore_from_identify

        async def stored(peerstore, peer, message):
            await store(peerstore, peer, message)
            before = self.known.get(peer)
            self.known[peer] = list(message.protocols)
            if before is None:
                self.fields = identify_fields(peer, message)
                self.say(event="identify", **self.fields)
                self.first.set()
            else:
                emit(event="identify_push", peer=str(peer), added=[p for p in message.protocols if p not in before],
                     removed=[p for p in before if p not in message.protocols])

        basic_host.update_peerstore_from_identify = stored
        identify_push.update_peerstore_from_identify = stored

    async def connected(self, network, conn):
        self.say(event="peer_connected", **conn_fields(conn))

    async def disconnected(self, network, conn):
        self.known.pop(conn.muxed_conn.peer_id, None)
        self.say(event="peer_disconnected", peer=str(conn.muxed_conn.peer_id))

    async def opened_stream(self, network, stream):
        pass

    async def closed_stream(self, network, stream):
        pass

    async def listen(self, network, addr):
        pass

    async def listen_close(self, network, addr):
        pass


def conn_fields(conn):
    host, port = conn.muxed_conn.get_remote_address() or ("?", 0)
    return {
        "peer": str(conn.muxed_conn.peer_id),
        "addr": f"/ip4/{host}/tcp/{port}",
        "direction": "outbound" if conn.muxed_conn.is_initiator_value else "inbound",
        "security": "/noise",
        "muxer": "/yamux/1.0.0",
        "early_muxer": False,
    }


# ---- streams


class Pipe:
    def __init__(self, stream, slow=None, tiny=None):
        self.s = stream
        self.slow = opt.slow_reader if slow is None else slow
        self.tiny = opt.tiny if tiny is None else tiny

    async def read(self, n=CHUNK):
        """The next bytes, or b"" at the end."""
        if self.slow:
            await trio.sleep(0.002)
            n = min(n, 16384)
        try:
            return await self.s.read(n)
        except StreamEOF:
            return b""

    async def exactly(self, n):
        out = b""
        while len(out) < n:
            data = await self.read(n - len(out))
            if not data:
                raise EOFError(f"the stream ended after {len(out)} of {n} bytes")
            out += data
        return out

    async def hash(self):
        d, n = hashlib.sha256(), 0
        while data := await self.read():
            d.update(data)
            n += len(data)
        return n, d.hexdigest()

    async def write(self, data):
        step = 1 if self.tiny else CHUNK
        for i in range(0, len(data), step):
            await self.s.write(data[i:i + step])

    async def end(self):
        await self.s.close_write()


def keystream(seed, n):
    """The byte stream of /kith-test/source/1: SHAKE128 of the seed as u64 big-endian."""
    return hashlib.shake_128(struct.pack(">Q", seed)).digest(n)


def random_bytes(n):
    return hashlib.shake_128(os.urandom(16)).digest(n)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- what it serves


async def echo(p):
    while data := await p.read():
        await p.write(data)
    await p.end()


async def sink(p):
    await p.write(((await p.hash())[1] + "\n").encode())
    await p.end()


async def source(p):
    n, seed = struct.unpack(">QQ", await p.exactly(16))
    await p.write(keystream(seed, n))
    await p.end()


async def greet(p):
    await p.write(b"hello\n")
    await p.end()
    n, digest = await p.hash()
    emit(event="greet", bytes=n, sha256=digest)


async def perf(p):
    (left,) = struct.unpack(">Q", await p.exactly(8))
    await p.hash()
    while left > 0:
        await p.write(bytes(min(left, CHUNK)))
        left -= min(left, CHUNK)
    await p.end()


def serve(host):
    def on(protocol, fn):
        async def handler(stream):
            try:
                await fn(Pipe(stream))
            except Exception as e:
                emit(event="stream_error", protocol=str(protocol), error=repr(e))
                await stream.reset()

        host.set_stream_handler(protocol, handler)

    async def reset(stream):
        await Pipe(stream).exactly(1)
        await stream.reset()

    on(ECHO, echo)
    on(SINK, sink)
    on(SOURCE, source)
    on(GREET, greet)
    if opt.perf:
        on(PERF, perf)
    host.set_stream_handler(RESET, reset)
    host.set_stream_handler(ping.ID, ping.handle_ping)


async def push(host):
    async def pushed(stream):
        await stream.close()

    host.set_stream_handler(PUSHED, pushed)
    await identify_push.push_identify_to_peers(host)
    emit(event="push_sent", protocol=str(PUSHED))


async def listen():
    if reason := unable():
        emit(event="skip", skip=reason)
        sys.exit(3)
    host = new_node()
    host.get_network().register_notifee(Ears(emit))
    serve(host)
    async with host.run([multiaddr.Multiaddr(opt.listen)]):
        me = str(host.get_id())
        addrs = [a if "/p2p/" in a else f"{a}/p2p/{me}" for a in map(str, host.get_addrs())]
        emit(event="listening", peer=me, addrs=addrs)
        rest = b""
        while data := await read_stdin():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line == b"push":
                    await push(host)
                if line == b"quit":
                    os._exit(0)
        os._exit(0)


async def read_stdin():
    return await trio.to_thread.run_sync(lambda: os.read(0, 4096), abandon_on_cancel=True)


# ---- what it asks of others


class Test:
    def __init__(self, host, peer, out):
        self.host, self.peer, self.out = host, peer, out

    async def open(self, protocol, **kw):
        return Pipe(await self.host.new_stream(self.peer, [protocol]), **kw)

    async def pings(self):
        rtts = await ping.PingService(self.host).ping(self.peer, opt.count)
        if len(rtts) != opt.count:
            raise RuntimeError(f"{len(rtts)} of {opt.count} pings answered")
        self.out["rtt_seconds"] = [r / 1e6 for r in rtts]


async def roundtrip(p, data):
    """Sends data to an echo stream while it reads it back."""
    async def send():
        await p.write(data)
        await p.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        n, digest = await p.hash()
    if n != len(data):
        raise RuntimeError(f"sent {len(data)} bytes, got {n} back")
    if digest != sha256(data):
        raise RuntimeError("SHA-256 differs")


async def to_sink(t, n):
    p = await t.open(SINK)
    data = keystream(n, n)
    await p.write(data)
    await p.end()
    answer = b""
    while more := await p.read():
        answer += more
    if answer.decode().strip() != sha256(data):
        raise RuntimeError(f"SHA-256 differs: sent {sha256(data)}, the peer says {answer!r}")


async def from_source(p, n):
    await p.s.write(struct.pack(">QQ", n, 7))
    got, digest = await p.hash()
    if got != n:
        raise RuntimeError(f"asked for {n} bytes, got {got}")
    if digest != sha256(keystream(7, n)):
        raise RuntimeError("SHA-256 differs")


async def test_connect(t):
    """Stays a moment, so that the other side gets to know us too."""
    await trio.sleep(0.5)


async def test_ping(t):
    await t.pings()


async def test_perf(t):
    up = opt.bytes or 16 << 20
    down = up if opt.download < 0 else opt.download
    p = await t.open(PERF)
    start = time.perf_counter()
    await p.write(struct.pack(">Q", down))
    await p.write(bytes(up))
    await p.end()
    # The first byte back says that the whole upload has arrived.
    got = len(await p.exactly(1)) if down else 0
    mid = time.perf_counter()
    got += (await p.hash())[0]
    t.out.update(upload_bytes=up, upload_seconds=mid - start, download_bytes=got, download_seconds=time.perf_counter() - mid)
    if got != down:
        raise RuntimeError(f"asked for {down} bytes, got {got}")


async def timed(t, n, coroutine):
    start = time.perf_counter()
    await coroutine
    t.out.update(bytes=n, seconds=time.perf_counter() - start)


async def test_echo100mb(t):
    n = opt.bytes or 100 << 20
    await timed(t, n, roundtrip(await t.open(ECHO), random_bytes(n)))


async def test_sink100mb(t):
    n = opt.bytes or 100 << 20
    await timed(t, n, to_sink(t, n))


async def test_source(t):
    n = opt.bytes or 100 << 20
    await timed(t, n, from_source(await t.open(SOURCE), n))


async def test_streams100(t):
    n = opt.bytes or 64 << 10
    pipes = []
    for i in range(opt.streams):
        p = await t.open(ECHO)
        # One byte first, so that all are open before any is finished.
        await p.write(bytes([i & 255]))
        pipes.append(p)

    async def rest(i, p):
        if (await p.exactly(1))[0] != i & 255:
            raise RuntimeError(f"stream {i}: wrong byte")
        await roundtrip(p, random_bytes(n + i))

    async with trio.open_nursery() as nursery:
        for i, p in enumerate(pipes):
            nursery.start_soon(rest, i, p)
    t.out.update(streams=len(pipes), bytes=n)


async def test_halfclose(t):
    for n in (opt.bytes or 1 << 20, 0, 1, 100_000):
        await to_sink(t, n)


async def test_greet(t):
    """Lets the other side close its half first, and goes on writing."""
    n = opt.bytes or 1 << 20
    p = await t.open(GREET)
    greeting = b""
    while more := await p.read():
        greeting += more
    if greeting != b"hello\n":
        raise RuntimeError(f"greeted with {greeting!r}")
    data = keystream(n, n)
    await p.write(data)
    await p.end()
    t.out.update(bytes=n, sha256=sha256(data))
    # Nothing more comes back: pings show that all of it has left.
    await t.pings()


async def test_abrupt(t):
    for _ in range(10):
        p = await t.open(PERF)
        await p.write(bytes(CHUNK))
    # The connection's last streams have got there when this comes back.
    await t.pings()


async def test_reset(t):
    try:
        p = await t.open(RESET)
        await p.write(b"x")
        if not await p.read():
            await p.write(bytes(CHUNK))
            await trio.sleep(0.2)
            await p.write(bytes(CHUNK))
        raise RuntimeError("a clean end instead of a reset")
    except RuntimeError:
        raise
    except Exception as e:
        t.out["stream_error"] = repr(e)
    # The connection must have survived, and our own resets must not hurt it either.
    p = await t.open(ping.ID)
    await p.write(bytes(10))
    await p.s.reset()
    await t.pings()


async def test_push(t):
    await push(t.host)
    t.out["pushed"] = str(PUSHED)
    # Stays until the one who started this program has looked, and closes stdin.
    while await read_stdin():
        pass
    await t.pings()


async def test_slowreader(t):
    n = opt.bytes or 4 << 20
    slow = await t.open(SOURCE, slow=True)
    quick = await t.open(ping.ID, slow=False)
    state = {"done": False}

    async def run():
        await from_source(slow, n)
        state["done"] = True

    worst, trips = 0.0, 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while not state["done"]:
            start = time.perf_counter()
            await quick.write(bytes(32))
            await quick.exactly(32)
            worst = max(worst, time.perf_counter() - start)
            trips += 1
            await trio.sleep(0.005)
    t.out.update(bytes=n, trips=trips, worst_seconds=worst)
    if trips < 5:
        raise RuntimeError(f"only {trips} round trips beside the slow stream")


async def test_tiny(t):
    n = opt.bytes or 2000
    t.out["bytes"] = n
    await roundtrip(await t.open(ECHO, tiny=True), random_bytes(n))


async def test_unknown(t):
    """Asks for a protocol that nobody serves."""
    try:
        p = await t.open(UNKNOWN)
        await p.read()
    except Exception as e:
        t.out["refusal"] = repr(e)
    if "refusal" not in t.out:
        raise RuntimeError("accepted")
    await t.pings()


def why(e):
    """The text of the innermost errors."""
    if isinstance(e, BaseExceptionGroup):
        return "; ".join(why(x) for x in e.exceptions)
    text = repr(e)
    return f"{text} <- {why(e.__cause__)}" if e.__cause__ is not None else text


async def dial(addr, name):
    out = {"test": name}
    code = 0
    try:
        run = globals().get(f"test_{name}")
        if run is None and name != "refused":
            raise Skip("unknown test")
        if reason := unable():
            raise Skip(reason)
        host = new_node()
        ears = Ears(lambda **_: None)
        host.get_network().register_notifee(ears)
        serve(host)
        info = info_from_p2p_addr(multiaddr.Multiaddr(addr))
        with trio.fail_after(float(opt.timeout.rstrip("s"))):
            async with host.run([]):
                start = time.perf_counter()
                try:
                    await host.connect(info)
                except Exception as e:
                    if name != "refused":
                        raise
                    out.update(ok=True, refusal=why(e))
                    emit(**out)
                    os._exit(0)
                if name == "refused":
                    raise RuntimeError("the connection was accepted")
                out["connect_seconds"] = time.perf_counter() - start
                out.update(conn_fields(host.get_network().get_connections(info.peer_id)[0]))
                with trio.move_on_after(10):
                    await ears.first.wait()
                if not ears.first.is_set():
                    raise RuntimeError("no identify within 10 s")
                out.update(ears.fields)
                await run(Test(host, info.peer_id, out))
                out["ok"] = True
                emit(**out)
                if name == "abrupt":
                    os.kill(os.getpid(), signal.SIGKILL)
                await host.disconnect(info.peer_id)
                os._exit(0)
    except Skip as e:
        out.update(ok=None, skip=str(e))
    except BaseException as e:
        out.update(ok=False, error=why(e))
        code = 1
    emit(**out)
    os._exit(code)


def main():
    logging.disable(logging.CRITICAL)
    match opt.words:
        case ["version"]:
            emit(implementation="py-libp2p", version=version_of("libp2p"), runtime=f"Python {platform.python_version()}")
        case ["listen"]:
            trio.run(listen)
        case ["dial", addr, name]:
            trio.run(dial, addr, name)
        case _:
            sys.exit("usage: peer listen [options] | peer dial ADDR TEST [options] | peer version")


if __name__ == "__main__":
    main()
