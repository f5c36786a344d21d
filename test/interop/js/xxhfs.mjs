// SPDX-License-Identifier: MIT OR Apache-2.0
// Noise_XXhfs_25519+MLKEM*_ChaChaPoly_SHA256 for js-libp2p, written from the specifications alone (the Noise
// Protocol Framework, revision 34; its HFS extension; the libp2p Noise page; the ML-KEM draft), on @noble's
// primitives. It shares no line and no primitive with kith's C code, so that agreement means something.
import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { UnexpectedPeerError } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { AbstractMessageStream, LengthPrefixedDecoder, byteStream } from '@libp2p/utils'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { x25519 } from '@noble/curves/ed25519.js'
import { extract, expand } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { ml_kem512, ml_kem768, ml_kem1024 } from '@noble/post-quantum/ml-kem.js'
import { Uint8ArrayList } from 'uint8arraylist'

export const SUITES = {
  mlkem768: { id: '/noise-mlkem768-hfs/0.2.0', kem: ml_kem768, name: 'Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256' },
  mlkem1024: { id: '/kith/noise-mlkem1024-hfs/1', kem: ml_kem1024, name: 'Noise_XXhfs_25519+MLKEM1024_ChaChaPoly_SHA256' },
  mlkem512: { id: '/kith/noise-mlkem512-hfs/1', kem: ml_kem512, name: 'Noise_XXhfs_25519+MLKEM512_ChaChaPoly_SHA256' }
}

const TAG = 16
const MESSAGE_MAX = 65535
const utf8 = (s) => new TextEncoder().encode(s)
const EMPTY = new Uint8Array(0)

function concat (...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}

// ---- Noise: CipherState, SymmetricState (section 5)

export class CipherState {
  constructor (key) {
    this.key = key
    this.n = 0n
  }

  nonce () {
    if (this.n === 0xffffffffffffffffn) throw new Error('nonces are used up')
    const nonce = new Uint8Array(12)
    new DataView(nonce.buffer).setBigUint64(4, this.n++, true)
    return nonce
  }

  encrypt (ad, plain) {
    return chacha20poly1305(this.key, this.nonce(), ad).encrypt(plain)
  }

  decrypt (ad, sealed) {
    return chacha20poly1305(this.key, this.nonce(), ad).decrypt(sealed)
  }
}

class SymmetricState {
  constructor (name) {
    const bytes = utf8(name)
    this.h = bytes.length <= 32 ? concat(bytes, new Uint8Array(32 - bytes.length)) : sha256(bytes)
    this.ck = this.h
    this.cipher = null
  }

  mixHash (data) {
    this.h = sha256(concat(this.h, data))
  }

  mixKey (secret) {
    const okm = expand(sha256, extract(sha256, secret, this.ck), EMPTY, 64)
    this.ck = okm.slice(0, 32)
    this.cipher = new CipherState(okm.slice(32))
  }

  encryptAndHash (plain) {
    const out = this.cipher == null ? plain : this.cipher.encrypt(this.h, plain)
    this.mixHash(out)
    return out
  }

  decryptAndHash (sealed) {
    const out = this.cipher == null ? sealed : this.cipher.decrypt(this.h, sealed)
    this.mixHash(sealed)
    return out
  }

  split () {
    const okm = expand(sha256, extract(sha256, EMPTY, this.ck), EMPTY, 64)
    return [new CipherState(okm.slice(0, 32)), new CipherState(okm.slice(32))]
  }
}

// ---- the pattern:  -> e, e1   <- e, ee, ekem1, s, es   -> s, se

class Reader {
  constructor (bytes) {
    this.bytes = bytes
    this.at = 0
  }

  take (n) {
    if (this.bytes.length - this.at < n) throw new Error('handshake message is too short')
    this.at += n
    return this.bytes.slice(this.at - n, this.at)
  }

  rest () {
    return this.take(this.bytes.length - this.at)
  }
}

export class Handshake {
  // fixed: private keys and seeds of a test vector; otherwise all are drawn at random.
  constructor (suite, fixed = {}) {
    this.kem = suite.kem
    this.ekLen = suite.kem.lengths.publicKey
    this.ctLen = suite.kem.lengths.cipherText
    this.ss = new SymmetricState(suite.name)
    this.ss.mixHash(EMPTY) // the prologue
    this.s = fixed.s ?? x25519.utils.randomSecretKey()
    this.e = fixed.e ?? x25519.utils.randomSecretKey()
    this.kemSeed = fixed.kemSeed
    this.encapSeed = fixed.encapSeed
    this.sPublic = x25519.getPublicKey(this.s)
  }

  dh (secret, peer) {
    this.ss.mixKey(x25519.getSharedSecret(secret, peer)) // throws for a peer key of low order
  }

  writeA () {
    const e = x25519.getPublicKey(this.e)
    this.kemKeys = this.kem.keygen(this.kemSeed)
    this.ss.mixHash(e)
    this.ss.mixHash(this.kemKeys.publicKey)
    return concat(e, this.kemKeys.publicKey, this.ss.encryptAndHash(EMPTY))
  }

  readA (message) {
    if (message.length !== 32 + this.ekLen) throw new Error(`message A has ${message.length} bytes`)
    const r = new Reader(message)
    this.re = r.take(32)
    this.ek = r.take(this.ekLen)
    this.ss.mixHash(this.re)
    this.ss.mixHash(this.ek)
    this.ss.decryptAndHash(r.rest())
  }

  writeB (payload) {
    const e = x25519.getPublicKey(this.e)
    this.ss.mixHash(e)
    this.dh(this.e, this.re)
    const { cipherText, sharedSecret } = this.kem.encapsulate(this.ek, this.encapSeed)
    const ct = this.ss.encryptAndHash(cipherText)
    this.ss.mixKey(sharedSecret)
    const s = this.ss.encryptAndHash(this.sPublic)
    this.dh(this.s, this.re)
    return concat(e, ct, s, this.ss.encryptAndHash(payload))
  }

  readB (message) {
    const r = new Reader(message)
    this.re = r.take(32)
    this.ss.mixHash(this.re)
    this.dh(this.e, this.re)
    const ct = this.ss.decryptAndHash(r.take(this.ctLen + TAG))
    this.ss.mixKey(this.kem.decapsulate(ct, this.kemKeys.secretKey))
    this.rs = this.ss.decryptAndHash(r.take(32 + TAG))
    this.dh(this.e, this.rs)
    return this.ss.decryptAndHash(r.rest())
  }

  writeC (payload) {
    const s = this.ss.encryptAndHash(this.sPublic)
    this.dh(this.s, this.re)
    return concat(s, this.ss.encryptAndHash(payload))
  }

  readC (message) {
    const r = new Reader(message)
    this.rs = this.ss.decryptAndHash(r.take(32 + TAG))
    this.dh(this.e, this.rs)
    return this.ss.decryptAndHash(r.rest())
  }
}

// ---- the libp2p payload: identity_key = 1, identity_sig = 2, extensions = 4 { stream_muxers = 2 }

function field (number, bytes) {
  const len = []
  for (let n = bytes.length; ; n >>>= 7) {
    if (n < 128) {
      len.push(n)
      break
    }
    len.push((n & 127) | 128)
  }
  return concat(Uint8Array.of(number << 3 | 2), Uint8Array.from(len), bytes)
}

function * fields (bytes) {
  const r = new Reader(bytes)
  const varint = () => {
    let n = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const [b] = r.take(1)
      n += (b & 127) * 2 ** shift
      if (b < 128) return n
    }
    throw new Error('varint is too long')
  }
  while (r.at < bytes.length) {
    const key = varint()
    switch (key % 8) {
      case 0: varint(); break
      case 1: r.take(8); break
      case 2: yield [Math.floor(key / 8), r.take(varint())]; break
      case 5: r.take(4); break
      default: throw new Error('unknown wire type')
    }
  }
}

const signed = (staticKey) => concat(utf8('noise-libp2p-static-key:'), staticKey)

export async function makePayload (privateKey, staticKey, muxers) {
  const parts = [
    field(1, publicKeyToProtobuf(privateKey.publicKey)),
    field(2, await privateKey.sign(signed(staticKey)))
  ]
  if (muxers.length > 0) {
    parts.push(field(4, concat(...muxers.map((m) => field(2, utf8(m))))))
  }
  return concat(...parts)
}

export async function checkPayload (payload, remoteStatic, expectedPeer) {
  let key, sig
  const muxers = []
  for (const [number, value] of fields(payload)) {
    if (number === 1) key = value
    if (number === 2) sig = value
    if (number === 4) {
      for (const [n, v] of fields(value)) {
        if (n === 2) muxers.push(new TextDecoder().decode(v))
      }
    }
  }
  if (key == null || sig == null) throw new UnexpectedPeerError('payload without identity')
  const publicKey = publicKeyFromProtobuf(key)
  const peer = peerIdFromPublicKey(publicKey)
  if (expectedPeer != null && !peer.equals(expectedPeer)) throw new UnexpectedPeerError(`dialled ${expectedPeer}, reached ${peer}`)
  if (!await publicKey.verify(signed(remoteStatic), sig)) throw new UnexpectedPeerError('bad signature of the static key')
  return { peer, muxers }
}

// ---- as a js-libp2p connection encrypter

class Encrypted extends AbstractMessageStream {
  constructor (inner, send, recv) {
    super({
      log: inner.log,
      inactivityTimeout: inner.inactivityTimeout,
      maxReadBufferLength: inner.maxReadBufferLength,
      direction: inner.direction
    })
    this.inner = inner
    this.sendState = send
    this.recvState = recv
    this.decoder = new LengthPrefixedDecoder({
      lengthDecoder: Object.assign((b) => b.get(0) << 8 | b.get(1), { bytes: 2 }),
      maxBufferSize: 16 << 20,
      encodingLength: () => 2
    })
    inner.addEventListener('message', (evt) => {
      try {
        for (const sealed of this.decoder.decode(evt.data)) {
          this.onData(this.recvState.decrypt(EMPTY, sealed.subarray()))
        }
      } catch (err) {
        this.abort(err)
      }
    })
    inner.addEventListener('close', (evt) => {
      if (evt.error == null) this.onTransportClosed()
      else if (evt.local === true) this.abort(evt.error)
      else this.onRemoteReset()
    })
    inner.addEventListener('drain', () => this.safeDispatchEvent('drain'))
    inner.addEventListener('remoteCloseWrite', () => this.onRemoteCloseWrite())
  }

  sendData (data) {
    const plain = data.subarray()
    const out = new Uint8ArrayList()
    for (let i = 0; i < plain.length; i += MESSAGE_MAX - TAG) {
      const sealed = this.sendState.encrypt(EMPTY, plain.subarray(i, i + MESSAGE_MAX - TAG))
      out.append(Uint8Array.of(sealed.length >> 8, sealed.length & 255))
      out.append(sealed)
    }
    return { sentBytes: plain.length, canSendMore: this.inner.send(out) }
  }

  close (options) { return this.inner.close(options) }
  sendReset (err) { this.inner.abort(err) }
  sendPause () { this.inner.pause() }
  sendResume () { this.inner.resume() }
}

class XXhfs {
  constructor (components, suite) {
    this.components = components
    this.suite = suite
    this.protocol = suite.id
  }

  async secure (connection, initiator, options = {}) {
    const bytes = byteStream(connection)
    const send = (m) => bytes.write(concat(Uint8Array.of(m.length >> 8, m.length & 255), m), options)
    const recv = async () => {
      const head = await bytes.read({ ...options, bytes: 2 })
      const len = head.get(0) << 8 | head.get(1)
      return len === 0 ? EMPTY : (await bytes.read({ ...options, bytes: len })).slice()
    }
    const ours = this.components.upgrader.getStreamMuxers()
    const offer = options.skipStreamMuxerNegotiation === true ? [] : [...ours.keys()]
    const hs = new Handshake(this.suite)
    const payload = await makePayload(this.components.privateKey, hs.sPublic, offer)
    let remote
    if (initiator) {
      await send(hs.writeA())
      remote = await checkPayload(hs.readB(await recv()), hs.rs, options.remotePeer)
      await send(hs.writeC(payload))
    } else {
      hs.readA(await recv())
      await send(hs.writeB(payload))
      remote = await checkPayload(hs.readC(await recv()), hs.rs, options.remotePeer)
    }
    const [first, second] = hs.ss.split()
    // The first of the initiator's list that both have.
    const [theirs, other] = initiator ? [offer, remote.muxers] : [remote.muxers, offer]
    const muxer = theirs.find((m) => other.includes(m))
    return {
      connection: new Encrypted(bytes.unwrap(), initiator ? first : second, initiator ? second : first),
      remotePeer: remote.peer,
      streamMuxer: muxer == null ? undefined : ours.get(muxer)
    }
  }

  secureOutbound (connection, options) { return this.secure(connection, true, options) }
  secureInbound (connection, options) { return this.secure(connection, false, options) }
}

export function xxhfs (suite) {
  return (components) => new XXhfs(components, SUITES[suite])
}
