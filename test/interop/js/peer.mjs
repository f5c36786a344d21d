// SPDX-License-Identifier: MIT OR Apache-2.0
// A js-libp2p node that kith is tested against; ../README.md has its command line and what it prints.
import { createHash, randomInt } from 'node:crypto'
import { readFileSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { SUITES, xxhfs } from './xxhfs.mjs'

const PING = '/ipfs/ping/1.0.0'
const PERF = '/perf/1.0.0'
const ECHO = '/kith-test/echo/1'
const SINK = '/kith-test/sink/1'
const SOURCE = '/kith-test/source/1'
const GREET = '/kith-test/greet/1'
const RESET = '/kith-test/reset/1'
const PUSHED = '/kith-test/pushed/1'
const MANY = { maxInboundStreams: 1000, maxOutboundStreams: 1000 }
const CHUNK = 64 << 10

class Skip extends Error {}

function emit (fields) {
  const line = Buffer.from(JSON.stringify(fields) + '\n')
  for (let at = 0; at < line.length;) at += writeSync(1, line, at)
}

// ---- command line

function parse (args) {
  const opt = {
    listen: '/ip4/127.0.0.1/tcp/0', secure: 'noise', 'early-muxer': 'on', perf: false, window: '',
    'slow-reader': false, tiny: false, mdns: false, 'for-await': false, bytes: 0, download: -1, streams: 100, count: 5, timeout: '120s',
    psk: '', px: false
  }
  const pos = []
  for (let i = 0; i < args.length; i++) {
    if (!args[i].startsWith('--')) {
      pos.push(args[i])
      continue
    }
    const name = args[i].slice(2)
    if (!(name in opt)) throw new Error(`unknown option ${args[i]}`)
    if (typeof opt[name] === 'boolean') opt[name] = true
    else if (typeof opt[name] === 'number') opt[name] = Number(args[++i])
    else opt[name] = args[++i]
  }
  return { opt, pos }
}

const { opt, pos } = parse(process.argv.slice(2))

// ---- the node

// Records whether the muxer came from the handshake, and leaves it out of there if asked to.
const early = { last: false }
const watched = (make) => (components) => {
  const inner = make(components)
  const off = opt['early-muxer'] === 'off'
  const note = async (p) => {
    const r = await p
    early.last = r.streamMuxer != null
    return r
  }
  return {
    protocol: inner.protocol,
    secureOutbound: (c, o) => note(inner.secureOutbound(c, off ? { ...o, skipStreamMuxerNegotiation: true } : o)),
    secureInbound: (c, o) => note(inner.secureInbound(c, off ? { ...o, skipStreamMuxerNegotiation: true } : o))
  }
}

async function newNode (listening, more = {}) {
  const encrypters = opt.secure.split(',').map((name) => {
    if (name === 'noise') return watched(noise())
    if (name in SUITES) return watched(xxhfs(name))
    throw new Skip(`no secure channel ${name}`)
  })
  return createLibp2p({
    nodeInfo: { name: 'kith-interop-js', userAgent: 'kith-interop-js' },
    addresses: { listen: listening ? [opt.listen] : [] },
    transports: [tcp()],
    connectionEncrypters: encrypters,
    ...(opt.psk ? { connectionProtector: preSharedKey({ psk: readFileSync(opt.psk) }) } : {}),
    peerDiscovery: opt.mdns ? [mdns()] : [],
    streamMuxers: [yamux(opt.window === 'small' ? { streamOptions: { maxStreamWindowSize: 256 << 10 } } : {})],
    connectionManager: { inboundConnectionThreshold: Infinity, maxIncomingPendingConnections: 1000, maxConnections: 100_000 },
    services: { identify: identify(), identifyPush: identifyPush({ debounce: 100 }), ping: ping(), ...more }
  })
}

const connFields = (c) => ({
  peer: c.remotePeer.toString(),
  addr: c.remoteAddr.toString(),
  direction: c.direction,
  security: c.encryption,
  muxer: c.multiplexer,
  early_muxer: early.last
})

const identifyFields = (r) => ({
  peer: r.peerId.toString(),
  agent: r.agentVersion,
  protocol_version: r.protocolVersion,
  protocols: r.protocols,
  listen_addrs: r.listenAddrs.map(String),
  signed_peer_record: r.signedPeerRecord != null,
  observed_addr: r.observedAddr?.toString()
})

// ---- streams with back-pressure in both directions

class Pipe {
  constructor (stream, { slow = opt['slow-reader'], tiny = opt.tiny } = {}) {
    this.stream = stream
    this.slow = slow
    this.tiny = tiny
    this.queue = []
    this.size = 0
    this.wake = () => {}
    stream.addEventListener('message', (e) => {
      this.queue.push(e.data.subarray())
      this.size += e.data.byteLength
      if (this.size > 256 << 10 && stream.readStatus === 'readable') stream.pause()
      this.wake()
    })
    stream.addEventListener('end', () => this.wake())
    stream.addEventListener('close', (e) => {
      if (e.error != null) this.error = e.error
      this.closed = true
      this.wake()
    })
  }

  // 'end' may have come before the stream was ours, and with data still in its buffer: multistream-select hands back
  // what it read too much.
  get ended () {
    return (this.stream.readableEnded || this.closed === true) && this.stream.readBufferLength === 0
  }

  // The next bytes, or null at the end.
  async read () {
    if (this.slow) await sleep(2)
    while (this.queue.length === 0) {
      if (this.error != null) throw this.error
      if (this.ended) return null
      const woken = new Promise((resolve) => { this.wake = resolve })
      if (this.stream.readStatus === 'paused') this.stream.resume()
      await woken
    }
    let data = this.queue.shift()
    if (this.slow && data.length > 16384) {
      this.queue.unshift(data.subarray(16384))
      data = data.subarray(0, 16384)
    }
    this.size -= data.length
    if (this.size < 64 << 10 && this.stream.readStatus === 'paused') this.stream.resume()
    return data
  }

  async exactly (n) {
    const parts = []
    let have = 0
    while (have < n) {
      let data = await this.read()
      if (data == null) throw new Error(`the stream ended after ${have} of ${n} bytes`)
      if (data.length > n - have) {
        this.queue.unshift(data.subarray(n - have))
        this.size += data.length - (n - have)
        data = data.subarray(0, n - have)
      }
      parts.push(data)
      have += data.length
    }
    return Buffer.concat(parts)
  }

  async hash () {
    const d = createHash('sha256')
    let bytes = 0
    for (let data; (data = await this.read()) != null;) {
      d.update(data)
      bytes += data.length
    }
    return { bytes, sha256: d.digest('hex') }
  }

  async write (data) {
    const step = this.tiny ? 1 : CHUNK
    for (let i = 0; i < data.length; i += step) {
      if (!this.stream.send(data.subarray(i, i + step))) await this.stream.onDrain()
    }
  }

  // Closes our half; the other one stays open.
  async end () {
    await this.stream.close({ signal: AbortSignal.timeout(60_000) })
  }
}

// The byte stream of /kith-test/source/1: SHAKE128 of the seed as u64 big-endian.
function keystream (seed, n) {
  return createHash('shake128', { outputLength: n }).update(u64(seed)).digest()
}

function u64 (n) {
  const b = Buffer.alloc(8)
  b.writeBigUInt64BE(BigInt(n))
  return b
}

const sha256 = (data) => createHash('sha256').update(data).digest('hex')

// ---- what it serves

// The sink as js applications read: by iteration.
async function iterate (stream) {
  const d = createHash('sha256')
  for await (const data of stream) d.update(data.subarray())
  stream.send(Buffer.from(d.digest('hex') + '\n'))
  await stream.close()
}

async function serve (node) {
  const on = (protocol, fn) => node.handle(protocol, (stream) => {
    if (protocol === SINK && opt['for-await']) return iterate(stream)
    const p = new Pipe(stream)
    fn(p).then(() => p.end()).catch((err) => {
      emit({ event: 'stream_error', protocol, error: String(err) })
      stream.abort(err)
    })
  }, MANY)
  await on(ECHO, async (p) => {
    for (let data; (data = await p.read()) != null;) await p.write(data)
  })
  await on(SINK, async (p) => p.write(Buffer.from((await p.hash()).sha256 + '\n')))
  await on(SOURCE, async (p) => {
    const head = await p.exactly(16)
    await p.write(keystream(head.readBigUInt64BE(8), Number(head.readBigUInt64BE(0))))
  })
  await on(GREET, async (p) => {
    await p.write(Buffer.from('hello\n'))
    await p.end()
    emit({ event: 'greet', ...await p.hash() })
  })
  await node.handle(RESET, async (stream) => {
    await new Pipe(stream).read()
    stream.abort(new Error('reset on request'))
  }, MANY)
  if (opt.perf) {
    await on(PERF, async (p) => {
      let left = Number((await p.exactly(8)).readBigUInt64BE())
      await p.hash()
      for (const zeros = Buffer.alloc(CHUNK); left > 0; left -= Math.min(left, CHUNK)) {
        await p.write(zeros.subarray(0, Math.min(left, CHUNK)))
      }
    })
  }
}

// Prints what happens to connections, and tells identified about every identify.
function watch (node, quiet, identified = () => {}) {
  const say = quiet ? () => {} : emit
  const known = new Map() // connection id -> protocols
  node.addEventListener('connection:open', (e) => say({ event: 'peer_connected', ...connFields(e.detail) }))
  node.addEventListener('connection:close', (e) => {
    known.delete(e.detail.id)
    say({ event: 'peer_disconnected', peer: e.detail.remotePeer.toString() })
  })
  node.addEventListener('peer:identify', (e) => {
    const before = known.get(e.detail.connection.id)
    known.set(e.detail.connection.id, e.detail.protocols)
    if (before == null) {
      say({ event: 'identify', ...identifyFields(e.detail) })
      identified(e.detail)
      return
    }
    emit({
      event: 'identify_push',
      peer: e.detail.peerId.toString(),
      added: e.detail.protocols.filter((p) => !before.includes(p)),
      removed: before.filter((p) => !e.detail.protocols.includes(p))
    })
  })
}

async function push (node) {
  await node.handle(PUSHED, (stream) => stream.close())
  emit({ event: 'push_sent', protocol: PUSHED })
}

async function listen () {
  const node = await newNode(true)
  watch(node, false)
  node.addEventListener('peer:discovery', (e) => emit({
    event: 'found', peer: e.detail.id.toString(), addrs: e.detail.multiaddrs.map(String)
  }))
  await serve(node)
  emit({ event: 'listening', peer: node.peerId.toString(), addrs: node.getMultiaddrs().map(String) })
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'push') await push(node)
    if (line === 'quit') break
  }
  await node.stop()
}

// ---- what it asks of others

async function dial (addr, name) {
  const out = { test: name }
  const finish = (err) => {
    if (err == null) out.ok = true
    else if (err instanceof Skip) Object.assign(out, { ok: null, skip: err.message })
    else Object.assign(out, { ok: false, error: err.errors?.length > 0 ? err.errors.map(String).join('; ') : String(err) })
    emit(out)
    return out.ok === false ? 1 : 0
  }
  let ms = parseFloat(opt.timeout) * 1000
  const timer = setTimeout(() => process.exit(finish(new Error(`no result within ${opt.timeout}`))), ms)
  timer.unref()
  try {
    const run = tests[name]
    if (run == null && name !== 'refused') throw new Skip('unknown test')
    const node = await newNode(false)
    await serve(node)
    const identified = new Promise((resolve, reject) => {
      watch(node, true, resolve)
      setTimeout(() => reject(new Error('no identify within 10 s')), 10_000).unref()
    })
    identified.catch(() => {})
    const start = performance.now()
    let conn
    try {
      conn = await node.dial(multiaddr(addr), { signal: AbortSignal.timeout(Math.min(ms, 20_000)) })
    } catch (err) {
      if (name !== 'refused') throw err
      out.refusal = String(err.errors?.[0] ?? err)
      return finish()
    }
    if (name === 'refused') throw new Error('the connection was accepted')
    out.connect_seconds = (performance.now() - start) / 1000
    Object.assign(out, connFields(conn))
    if (name === 'firstbyte') {
      const p = new Pipe(await conn.newStream(PING, MANY))
      await p.write(Buffer.alloc(32))
      await p.exactly(1)
      out.seconds = (performance.now() - start) / 1000
    } else {
      Object.assign(out, identifyFields(await identified))
    }
    await run({ node, conn, out, open: async (p) => new Pipe(await conn.newStream(p, MANY)) })
    const code = finish()
    if (name === 'abrupt') process.kill(process.pid, 'SIGKILL')
    await node.stop()
    return code
  } catch (err) {
    return finish(err)
  }
}

async function pings ({ node, conn, out }) {
  out.rtt_seconds = []
  for (let i = 0; i < opt.count; i++) {
    out.rtt_seconds.push(await node.services.ping.ping(conn.remotePeer) / 1000)
  }
}

// Sends data to an echo stream while it reads it back.
async function roundtrip (p, data) {
  const [back] = await Promise.all([p.hash(), p.write(data).then(() => p.end())])
  if (back.bytes !== data.length) throw new Error(`sent ${data.length} bytes, got ${back.bytes} back`)
  if (back.sha256 !== sha256(data)) throw new Error('SHA-256 differs')
}

async function sink (t, n) {
  const p = await t.open(SINK)
  const data = keystream(n, n)
  await p.write(data)
  await p.end()
  const parts = []
  for (let d; (d = await p.read()) != null;) parts.push(d)
  const answer = Buffer.concat(parts).toString().trim()
  if (answer !== sha256(data)) throw new Error(`SHA-256 differs: sent ${sha256(data)}, the peer says "${answer}"`)
}

async function source (p, n) {
  const seed = 7
  // In one piece, whatever --tiny says: this is only the request.
  p.stream.send(Buffer.concat([u64(n), u64(seed)]))
  const got = await p.hash()
  if (got.bytes !== n) throw new Error(`asked for ${n} bytes, got ${got.bytes}`)
  if (got.sha256 !== sha256(keystream(seed, n))) throw new Error('SHA-256 differs')
}

async function timed (t, n, fn) {
  const start = performance.now()
  await fn()
  t.out.bytes = n
  t.out.seconds = (performance.now() - start) / 1000
}

const random = (n) => keystream(randomInt(2 ** 47), n)

const tests = {
  // Stays a moment, so that the other side gets to know us too.
  connect: () => sleep(500),
  firstbyte: async () => {}, // done before identify
  ping: pings,
  perf: async (t) => {
    const up = opt.bytes || 16 << 20
    const down = opt.download < 0 ? up : opt.download
    const p = await t.open(PERF)
    const start = performance.now()
    await p.write(u64(down))
    for (let left = up; left > 0; left -= Math.min(left, CHUNK)) await p.write(Buffer.alloc(Math.min(left, CHUNK)))
    await p.end()
    // The first byte back says that the whole upload has arrived.
    let got = 0
    if (down > 0) {
      await p.exactly(1)
      got = 1
    }
    const mid = performance.now()
    got += (await p.hash()).bytes
    Object.assign(t.out, {
      upload_bytes: up,
      upload_seconds: (mid - start) / 1000,
      download_bytes: got,
      download_seconds: (performance.now() - mid) / 1000
    })
    if (got !== down) throw new Error(`asked for ${down} bytes, got ${got}`)
  },
  echo100mb: async (t) => {
    const n = opt.bytes || 100 << 20
    const p = await t.open(ECHO)
    await timed(t, n, () => roundtrip(p, random(n)))
  },
  sink100mb: async (t) => {
    const n = opt.bytes || 100 << 20
    await timed(t, n, () => sink(t, n))
  },
  source: async (t) => {
    const n = opt.bytes || 100 << 20
    const p = await t.open(SOURCE)
    await timed(t, n, () => source(p, n))
  },
  streams100: async (t) => {
    const n = opt.bytes || 64 << 10
    const all = []
    for (let i = 0; i < opt.streams; i++) {
      const p = await t.open(ECHO)
      // One byte first, so that all are open before any is finished.
      await p.write(Buffer.of(i))
      all.push(p)
    }
    await Promise.all(all.map(async (p, i) => {
      if ((await p.exactly(1))[0] !== (i & 255)) throw new Error(`stream ${i}: wrong byte`)
      await roundtrip(p, random(n + i)).catch((err) => { throw new Error(`stream ${i}: ${err}`) })
    }))
    Object.assign(t.out, { streams: all.length, bytes: n })
  },
  halfclose: async (t) => {
    for (const n of [opt.bytes || 1 << 20, 0, 1, 100_000]) await sink(t, n)
  },
  // Lets the other side close its half first, and goes on writing.
  greet: async (t) => {
    const n = opt.bytes || 1 << 20
    const p = await t.open(GREET)
    const greeting = await p.exactly(6)
    if (greeting.toString() !== 'hello\n') throw new Error(`greeted with ${greeting}`)
    if (await p.read() != null) throw new Error('more than a greeting')
    const data = keystream(n, n)
    await p.write(data)
    await p.end()
    Object.assign(t.out, { bytes: n, sha256: sha256(data) })
    // Nothing more comes back: one ping shows that all of it has left.
    await pings(t)
  },
  abrupt: async (t) => {
    for (let i = 0; i < 10; i++) {
      const p = await t.open(PERF)
      await p.write(Buffer.alloc(CHUNK))
    }
    // The connection's last streams have got there when this comes back.
    await pings(t)
  },
  reset: async (t) => {
    try {
      const p = await t.open(RESET)
      await p.write(Buffer.of(1))
      await p.read()
    } catch (err) {
      t.out.stream_error = String(err)
    }
    if (t.out.stream_error == null) throw new Error('a clean end instead of a reset')
    // The connection must have survived, and our own resets must not hurt it either.
    const p = await t.open(PING)
    await p.write(Buffer.alloc(10))
    p.stream.abort(new Error('on purpose'))
    await pings(t)
  },
  push: async (t) => {
    await push(t.node)
    t.out.pushed = PUSHED
    // Stays until the one who started this program has looked, and closes stdin.
    for await (const _ of process.stdin);
    await pings(t)
  },
  slowreader: async (t) => {
    const n = opt.bytes || 4 << 20
    const slow = new Pipe(await t.conn.newStream(SOURCE, MANY), { slow: true })
    const quick = new Pipe(await t.conn.newStream(PING, MANY), { slow: false })
    let done = false
    const finished = source(slow, n).finally(() => { done = true })
    finished.catch(() => {})
    const buf = Buffer.alloc(32)
    let worst = 0
    let trips = 0
    while (!done) {
      const start = performance.now()
      await quick.write(buf)
      await quick.exactly(buf.length)
      worst = Math.max(worst, (performance.now() - start) / 1000)
      trips++
      await sleep(5)
    }
    await finished
    Object.assign(t.out, { bytes: n, trips, worst_seconds: worst })
    if (trips < 5) throw new Error(`only ${trips} round trips beside the slow stream`)
  },
  tiny: async (t) => {
    const n = opt.bytes || 2000
    const p = new Pipe(await t.conn.newStream(ECHO, MANY), { tiny: true })
    t.out.bytes = n
    await roundtrip(p, random(n))
  },
  // Asks for a protocol that nobody serves.
  unknown: async (t) => {
    try {
      await (await t.open('/kith-test/nobody-serves-this/1')).read()
    } catch (err) {
      t.out.refusal = String(err)
    }
    if (t.out.refusal == null) throw new Error('accepted')
    await pings(t)
  }
}

// ---- gossip

// peer gossip TOPIC [ADDR...]; ../README.md has what it takes on stdin and what it prints.
async function gossip (topic, addrs) {
  const node = await newNode(true, {
    pubsub: gossipsub({
      allowPublishToZeroTopicPeers: true,
      floodPublish: true,
      doPX: opt.px,
      // Else ten peers on loopback are nine too many for its scores, and its mesh is empty.
      scoreParams: { IPColocationFactorWhitelist: new Set(['127.0.0.1']) }
    })
  })
  const pubsub = node.services.pubsub
  const keyOf = (data) => Buffer.from(data).subarray(0, 80).toString('latin1').split(' ')[0].slice(0, 64)
  pubsub.addEventListener('gossipsub:message', (e) => {
    const at = process.hrtime.bigint() // CLOCK_MONOTONIC, which all processes of a machine share
    const { msg, propagationSource } = e.detail
    if (msg.from.equals(node.peerId)) return
    emit({
      event: 'message',
      at: Number(at),
      from: msg.from.toString(),
      source: propagationSource.toString(),
      seqno: msg.sequenceNumber.toString(16).padStart(16, '0'),
      bytes: msg.data.length,
      key: keyOf(msg.data)
    })
  })
  pubsub.subscribe(topic)
  emit({ event: 'listening', peer: node.peerId.toString(), addrs: node.getMultiaddrs().map(String) })
  const connect = (a) => node.dial(multiaddr(a)).catch((err) => console.error(String(err)))
  for (const a of addrs) await connect(a)
  const publish = async (text) => {
    try {
      await pubsub.publish(topic, Buffer.from(text, 'latin1'))
    } catch (err) {
      emit({ event: 'refused', error: String(err) })
    }
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, ...rest] = line.split(' ')
    if (word === 'say') await publish(line.slice(4))
    else if (word === 'dial') await connect(rest[0])
    else if (word === 'timed') {
      await publish(`${rest[1]}-${process.hrtime.bigint()} `.padEnd(Number(rest[0]), '.'))
    } else if (word === 'burst') {
      for (let i = 0; i < Number(rest[0]); i++) await publish(`${rest[2]}-${i} `.padEnd(Number(rest[1]), '.'))
    } else if (word === 'peers') {
      emit({ event: 'peers', topic: pubsub.getSubscribers(topic).length, mesh: pubsub.getMeshPeers(topic).length })
    } else if (word === 'counts') {
      const scores = pubsub.getPeers().map((p) => pubsub.score.score(p.toString()))
      emit({ event: 'counts', worst_score: Math.min(0, ...scores) })
    } else if (word === 'quit') break
  }
  return 0
}

function version () {
  const of = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version
  emit({
    implementation: 'js-libp2p',
    version: of('libp2p'),
    noise: of('@libp2p/noise'),
    yamux: of('@libp2p/yamux'),
    gossipsub: of('@libp2p/gossipsub'),
    runtime: `node ${process.version}`
  })
}

let code = 0
if (pos.length === 1 && pos[0] === 'version') version()
else if (pos.length === 1 && pos[0] === 'listen') await listen()
else if (pos.length === 3 && pos[0] === 'dial') code = await dial(pos[1], pos[2])
else if (pos.length >= 2 && pos[0] === 'gossip') code = await gossip(pos[1], pos.slice(2))
else {
  console.error('usage: peer listen [options] | peer dial ADDR TEST [options] | peer gossip TOPIC [ADDR...] | peer version')
  code = 2
}
process.exit(code)
