// SPDX-License-Identifier: MIT OR Apache-2.0

// A node of js-libp2p's stock kad-dht that does what lines on stdin say. ../README.md, "Kademlia".
import readline from 'node:readline'
import { createLibp2p } from 'libp2p'
import { tcp } from '@libp2p/tcp'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

const RAW = 0x55
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (b) => Buffer.from(b.subarray()).toString('hex')

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false },
  services: {
    identify: identify(),
    ping: ping(),
    dht: kadDHT({ protocol: '/ipfs/kad/1.0.0', clientMode: process.argv[2] === 'client', peerInfoMapper: passthroughMapper })
  }
})
const dht = node.services.dht

const commands = {
  async join (addr) {
    await node.dial(multiaddr(addr))
    await dht.refreshRoutingTable()
    return {}
  },
  async table () {
    return { table: dht.routingTable.size }
  },
  async putself () {
    const key = new Uint8Array([...new TextEncoder().encode('/pk/'), ...node.peerId.toMultihash().bytes])
    for await (const e of dht.put(key, publicKeyToProtobuf(node.peerId.publicKey))) { void e }
    return {}
  },
  async get (key) {
    for await (const e of dht.get(bytes(key))) {
      if (e.name === 'VALUE') return { value: hex(e.value) }
    }
    throw new Error('not found')
  },
  async provide (mh) {
    await node.contentRouting.provide(CID.createV1(RAW, Digest.decode(bytes(mh))))
    return {}
  },
  async providers (mh) {
    const found = new Map()
    for await (const p of node.contentRouting.findProviders(CID.createV1(RAW, Digest.decode(bytes(mh))))) {
      found.set(p.id.toString(), p.multiaddrs.length > 0)
    }
    return { peers: [...found.keys()], with_addrs: [...found.values()].filter(Boolean).length }
  },
  async find (id) {
    const info = await node.peerRouting.findPeer(peerIdFromString(id))
    return { peers: [info.id.toString()], with_addrs: info.multiaddrs.length }
  },
  async nearest (key) {
    const peers = []
    for await (const e of dht.getClosestPeers(bytes(key))) {
      if (e.name === 'FINAL_PEER') peers.push(e.peer.id.toString())
    }
    return { peers }
  }
}

say({ event: 'listening', peer: node.peerId.toString(), addrs: node.getMultiaddrs().map(String) })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [op, ...args] = line.trim().split(' ')
  if (op === 'quit') break
  try {
    say({ op, ok: true, ...await commands[op](...args) })
  } catch (e) {
    say({ op, ok: false, error: String(e.message ?? e) })
  }
}
await node.stop()
process.exit(0)
