// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs xxhfs.mjs over files of handshake vectors: node xxhfs-vectors.mjs FILE...
import { readFileSync } from 'node:fs'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { Handshake, SUITES, checkPayload, makePayload } from './xxhfs.mjs'

const hex = (b) => Buffer.from(b).toString('hex')
const bin = (s) => new Uint8Array(Buffer.from(s, 'hex'))

function equal (what, got, want) {
  if (hex(got) !== want) throw new Error(`${what} differs:\n  got  ${hex(got)}\n  want ${want}`)
}

let count = 0
for (const file of process.argv.slice(2)) {
  const { protocol, vectors } = JSON.parse(readFileSync(file))
  const suite = Object.values(SUITES).find((s) => s.name === protocol)
  for (const v of vectors) {
    const i = new Handshake(suite, { s: bin(v.static_i_private), e: bin(v.ephemeral_dh_i_private), kemSeed: bin(v.kem_keygen_seed) })
    const r = new Handshake(suite, { s: bin(v.static_r_private), e: bin(v.ephemeral_dh_r_private), encapSeed: bin(v.kem_encap_seed) })
    const payload = async (hs, seed) => seed == null
      ? new Uint8Array(0)
      : makePayload(await generateKeyPairFromSeed('Ed25519', bin(seed)), hs.sPublic, [])
    const a = i.writeA()
    equal('message A', a, v.msg_a)
    r.readA(a)
    const b = r.writeB(await payload(r, v.identity_r_ed25519_seed))
    equal('message B', b, v.msg_b)
    const pb = i.readB(b)
    const c = i.writeC(await payload(i, v.identity_i_ed25519_seed))
    equal('message C', c, v.msg_c)
    const pc = r.readC(c)
    if (v.identity_i_ed25519_seed != null) {
      await checkPayload(pb, i.rs)
      await checkPayload(pc, r.rs)
    }
    for (const hs of [i, r]) {
      equal('handshake hash', hs.ss.h, v.handshake_hash)
      const [cs1, cs2] = hs.ss.split()
      equal('cs1_k', cs1.key, v.cs1_k)
      equal('cs2_k', cs2.key, v.cs2_k)
    }
    count++
  }
}
if (count === 0) throw new Error('no vector given')
console.log(JSON.stringify({ test: 'xxhfs-vectors', ok: true, vectors: count }))
