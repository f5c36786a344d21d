// SPDX-License-Identifier: MIT OR Apache-2.0
// A go-libp2p node that kith is tested against; ../README.md has its command line and what it prints.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	libp2p "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	perfID   = "/perf/1.0.0"
	echoID   = "/kith-test/echo/1"
	sinkID   = "/kith-test/sink/1"
	sourceID = "/kith-test/source/1"
	greetID  = "/kith-test/greet/1"
	resetID  = "/kith-test/reset/1"
	pushedID = "/kith-test/pushed/1"
)

type options struct {
	listen     string
	secure     string
	earlyMuxer string
	perf       bool
	window     string
	slowReader bool
	tiny       bool
	mdns       bool
	psk        string
	bytes      int64
	down       int64
	streams    int
	count      int
	timeout    time.Duration
	// of gossip
	px, testExtension, floodsub bool
}

var opt options

var outMu sync.Mutex

func emit(fields map[string]any) {
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	outMu.Lock()
	defer outMu.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func main() {
	fs := flag.NewFlagSet("peer", flag.ExitOnError)
	fs.StringVar(&opt.listen, "listen", "/ip4/127.0.0.1/tcp/0", "listen address")
	fs.StringVar(&opt.secure, "secure", "noise", "secure channel")
	fs.StringVar(&opt.earlyMuxer, "early-muxer", "on", "on or off")
	fs.BoolVar(&opt.perf, "perf", false, "serve /perf/1.0.0")
	fs.StringVar(&opt.window, "window", "", "small: receive windows never grow beyond 256 KiB")
	fs.BoolVar(&opt.slowReader, "slow-reader", false, "read slowly")
	fs.BoolVar(&opt.tiny, "tiny", false, "answer one byte at a time")
	fs.BoolVar(&opt.mdns, "mdns", false, "find peers on the local network and be found there")
	fs.StringVar(&opt.psk, "psk", "", "file with the key of a private network")
	fs.Int64Var(&opt.bytes, "bytes", 0, "bytes to send (default: the test's)")
	fs.Int64Var(&opt.down, "download", -1, "bytes to receive (perf; default: as sent)")
	fs.IntVar(&opt.streams, "streams", 100, "streams at once")
	fs.IntVar(&opt.count, "count", 5, "pings")
	fs.DurationVar(&opt.timeout, "timeout", 120*time.Second, "of the whole test")

	fs.BoolVar(&opt.px, "px", false, "gossip: PRUNE names other peers")
	fs.BoolVar(&opt.testExtension, "test-extension", false, "gossip: tell and answer the test extension")
	fs.BoolVar(&opt.floodsub, "floodsub", false, "gossip: floodsub and nothing else")

	args := os.Args[1:]
	var pos []string
	for len(args) > 0 {
		if strings.HasPrefix(args[0], "-") {
			fs.Parse(args)
			args = fs.Args()
			continue
		}
		pos = append(pos, args[0])
		args = args[1:]
	}
	switch {
	case len(pos) == 1 && pos[0] == "version":
		version()
	case len(pos) == 1 && pos[0] == "listen":
		listen()
	case len(pos) >= 2 && pos[0] == "gossip":
		os.Exit(gossip(pos[1], pos[2:]))
	case len(pos) == 3 && pos[0] == "dial":
		os.Exit(dial(pos[1], pos[2]))
	default:
		fmt.Fprintln(os.Stderr, "usage: peer listen [options] | peer dial ADDR TEST [options] | peer gossip TOPIC [ADDR...] | peer version")
		os.Exit(2)
	}
}

func version() {
	v := map[string]any{"implementation": "go-libp2p"}
	if info, ok := debug.ReadBuildInfo(); ok {
		v["runtime"] = info.GoVersion
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/libp2p/go-libp2p":
				v["version"] = d.Version
			case "github.com/libp2p/go-yamux/v5":
				v["yamux"] = d.Version
			}
		}
	}
	emit(v)
}

// ---- the node

func fullAddrs(h host.Host) []string {
	addrs := []string{}
	for _, a := range h.Addrs() {
		addrs = append(addrs, a.String()+"/p2p/"+h.ID().String())
	}
	return addrs
}

func newHost(listening bool) (host.Host, error) {
	if opt.secure != "noise" {
		return nil, errSkip("go-libp2p has no secure channel " + opt.secure)
	}
	// By hand, so that the muxer list in the Noise extensions can be left out.
	var sec libp2p.Option
	if opt.earlyMuxer == "off" {
		sec = libp2p.Security(noise.ID, func(id protocol.ID, key crypto.PrivKey) (*noise.Transport, error) {
			return noise.New(id, key, nil)
		})
	} else {
		sec = libp2p.Security(noise.ID, noise.New)
	}
	mux := *yamux.DefaultTransport
	if opt.window == "small" {
		mux.MaxStreamWindowSize = mux.InitialStreamWindowSize
		mux.MaxMessageSize = 1024
	}
	// By default go-libp2p allows a peer 64 inbound streams of one protocol; the suite wants 100.
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.ResourceManager(rm),
		libp2p.UserAgent("kith-interop-go"),
		libp2p.Transport(tcp.NewTCPTransport),
		sec,
		libp2p.Muxer(yamux.ID, &mux),
		libp2p.DisableRelay(),
		libp2p.Ping(true),
		libp2p.DisableMetrics(),
	}
	if opt.psk != "" {
		file, err := os.Open(opt.psk)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		psk, err := pnet.DecodeV1PSK(file)
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.PrivateNetwork(psk))
	}
	if listening {
		opts = append(opts, libp2p.ListenAddrStrings(opt.listen))
	} else {
		opts = append(opts, libp2p.NoListenAddrs)
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, err
	}
	serve(h)
	return h, nil
}

type errSkip string

func (e errSkip) Error() string { return string(e) }

func connFields(c network.Conn) map[string]any {
	st := c.ConnState()
	return map[string]any{
		"peer":        c.RemotePeer().String(),
		"addr":        c.RemoteMultiaddr().String(),
		"direction":   strings.ToLower(c.Stat().Direction.String()),
		"security":    string(st.Security),
		"muxer":       string(st.StreamMultiplexer),
		"early_muxer": st.UsedEarlyMuxerNegotiation,
	}
}

func identifyFields(e event.EvtPeerIdentificationCompleted) map[string]any {
	protos := []string{}
	for _, p := range e.Protocols {
		protos = append(protos, string(p))
	}
	addrs := []string{}
	for _, a := range e.ListenAddrs {
		addrs = append(addrs, a.String())
	}
	f := map[string]any{
		"peer":               e.Peer.String(),
		"agent":              e.AgentVersion,
		"protocol_version":   e.ProtocolVersion,
		"protocols":          protos,
		"listen_addrs":       addrs,
		"signed_peer_record": e.SignedPeerRecord != nil,
	}
	if e.ObservedAddr != nil {
		f["observed_addr"] = e.ObservedAddr.String()
	}
	return f
}

// ---- what it serves

type throttled struct{ io.Reader }

func (t throttled) Read(p []byte) (int, error) {
	if len(p) > 16384 {
		p = p[:16384]
	}
	time.Sleep(2 * time.Millisecond)
	return t.Reader.Read(p)
}

type crumbs struct{ io.Writer }

func (c crumbs) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Writer.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func rd(s network.Stream) io.Reader {
	if opt.slowReader {
		return throttled{s}
	}
	return s
}

func wr(s network.Stream) io.Writer {
	if opt.tiny {
		return crumbs{s}
	}
	return s
}

// keystream is the byte stream of /kith-test/source/1: SHAKE128 of the seed as u64 big-endian.
func keystream(seed uint64) io.Reader {
	x := sha3.NewSHAKE128()
	x.Write(binary.BigEndian.AppendUint64(nil, seed))
	return x
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func serve(h host.Host) {
	on := func(id protocol.ID, fn func(s network.Stream) error) {
		h.SetStreamHandler(id, func(s network.Stream) {
			if err := fn(s); err != nil {
				emit(map[string]any{"event": "stream_error", "protocol": string(id), "error": err.Error()})
				s.Reset()
				return
			}
			s.Close()
		})
	}
	on(echoID, func(s network.Stream) error {
		if _, err := io.CopyBuffer(struct{ io.Writer }{wr(s)}, struct{ io.Reader }{rd(s)}, make([]byte, 64<<10)); err != nil {
			return err
		}
		return s.CloseWrite()
	})
	on(sinkID, func(s network.Stream) error {
		d := sha256.New()
		if _, err := io.Copy(d, rd(s)); err != nil {
			return err
		}
		_, err := io.WriteString(wr(s), hex.EncodeToString(d.Sum(nil))+"\n")
		return err
	})
	on(sourceID, func(s network.Stream) error {
		var head [16]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint64(head[:8]))
		if _, err := io.Copy(wr(s), io.LimitReader(keystream(binary.BigEndian.Uint64(head[8:])), n)); err != nil {
			return err
		}
		return s.CloseWrite()
	})
	on(greetID, func(s network.Stream) error {
		if _, err := io.WriteString(s, "hello\n"); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		d := sha256.New()
		n, err := io.Copy(d, rd(s))
		if err != nil {
			return err
		}
		emit(map[string]any{"event": "greet", "bytes": n, "sha256": hex.EncodeToString(d.Sum(nil))})
		return nil
	})
	h.SetStreamHandler(resetID, func(s network.Stream) {
		io.ReadFull(s, make([]byte, 1))
		s.ResetWithError(1000)
	})
	if opt.perf {
		on(perfID, func(s network.Stream) error {
			var head [8]byte
			if _, err := io.ReadFull(s, head[:]); err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, s); err != nil {
				return err
			}
			_, err := io.Copy(s, io.LimitReader(zeros{}, int64(binary.BigEndian.Uint64(head[:]))))
			return err
		})
	}
}

// watch prints what happens to connections, and tells done about every identify.
func watch(h host.Host, quiet bool, done chan<- event.EvtPeerIdentificationCompleted) error {
	say := func(f map[string]any) {
		if !quiet {
			emit(f)
		}
	}
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			f := connFields(c)
			f["event"] = "peer_connected"
			say(f)
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			say(map[string]any{"event": "peer_disconnected", "peer": c.RemotePeer().String()})
		},
	})
	sub, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerIdentificationFailed),
		new(event.EvtPeerProtocolsUpdated),
	}, eventbus.BufSize(256))
	if err != nil {
		return err
	}
	go func() {
		for e := range sub.Out() {
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				f := identifyFields(e)
				f["event"] = "identify"
				say(f)
				if done != nil {
					select {
					case done <- e:
					default:
					}
				}
			case event.EvtPeerIdentificationFailed:
				say(map[string]any{"event": "identify_failed", "peer": e.Peer.String(), "error": e.Reason.Error()})
			case event.EvtPeerProtocolsUpdated: // only a push leads to this one
				added := []string{}
				for _, p := range e.Added {
					added = append(added, string(p))
				}
				removed := []string{}
				for _, p := range e.Removed {
					removed = append(removed, string(p))
				}
				emit(map[string]any{"event": "identify_push", "peer": e.Peer.String(), "added": added, "removed": removed})
			}
		}
	}()
	return nil
}

// finder prints whom mDNS finds.
type finder struct{}

func (finder) HandlePeerFound(p peer.AddrInfo) {
	addrs := []string{}
	for _, a := range p.Addrs {
		addrs = append(addrs, a.String())
	}
	emit(map[string]any{"event": "found", "peer": p.ID.String(), "addrs": addrs})
}

func listen() {
	h, err := newHost(true)
	if err == nil {
		err = watch(h, false, nil)
	}
	if err == nil && opt.mdns {
		err = mdns.NewMdnsService(h, "", finder{}).Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
	addrs := fullAddrs(h)
	emit(map[string]any{"event": "listening", "peer": h.ID().String(), "addrs": addrs})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "push":
			h.SetStreamHandler(pushedID, func(s network.Stream) { s.Close() })
			emit(map[string]any{"event": "push_sent", "protocol": pushedID})
		case "quit":
			h.Close()
			return
		}
	}
	h.Close()
}

// ---- what it asks of others

type test struct {
	h   host.Host
	id  peer.ID
	ctx context.Context
	out map[string]any
}

func (t *test) stream(p protocol.ID) (network.Stream, error) {
	s, err := t.h.NewStream(t.ctx, t.id, p)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p, err)
	}
	if dl, ok := t.ctx.Deadline(); ok {
		s.SetDeadline(dl)
	}
	return s, nil
}

func dial(addr, name string) int {
	out := map[string]any{"test": name}
	finish := func(err error) int {
		var skip errSkip
		switch {
		case err == nil:
			out["ok"] = true
		case errors.As(err, &skip):
			out["ok"], out["skip"] = nil, string(skip)
		default:
			out["ok"], out["error"] = false, err.Error()
		}
		emit(out)
		if out["ok"] == false {
			return 1
		}
		return 0
	}
	run, known := tests[name]
	if !known && name != "refused" && name != "firstbyte" {
		return finish(errSkip("unknown test"))
	}
	a, err := ma.NewMultiaddr(addr)
	if err != nil {
		return finish(err)
	}
	info, err := peer.AddrInfoFromP2pAddr(a)
	if err != nil {
		return finish(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), opt.timeout)
	defer cancel()
	h, err := newHost(false)
	if err != nil {
		return finish(err)
	}
	identified := make(chan event.EvtPeerIdentificationCompleted, 8)
	if err := watch(h, true, identified); err != nil {
		return finish(err)
	}
	if name == "firstbyte" {
		return finish(firstByte(ctx, h, info, out))
	}
	start := time.Now()
	err = h.Connect(ctx, *info)
	if name == "refused" {
		if err == nil {
			return finish(errors.New("the connection was accepted"))
		}
		out["refusal"] = err.Error()
		return finish(nil)
	}
	if err != nil {
		return finish(err)
	}
	out["connect_seconds"] = time.Since(start).Seconds()
	for k, v := range connFields(h.Network().ConnsToPeer(info.ID)[0]) {
		out[k] = v
	}
	select {
	case e := <-identified:
		for k, v := range identifyFields(e) {
			out[k] = v
		}
	case <-time.After(10 * time.Second):
		return finish(errors.New("no identify within 10 s"))
	}
	err = run(&test{h: h, id: info.ID, ctx: ctx, out: out})
	code := finish(err)
	if err == nil && name == "abrupt" {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	h.Close()
	return code
}

var tests = map[string]func(t *test) error{
	"connect":    testConnect,
	"ping":       testPing,
	"perf":       testPerf,
	"echo100mb":  func(t *test) error { return testEcho(t, or(opt.bytes, 100<<20)) },
	"sink100mb":  testSink,
	"source":     testSource,
	"streams100": testStreams,
	"halfclose":  testHalfClose,
	"greet":      testGreet,
	"abrupt":     testAbrupt,
	"reset":      testReset,
	"push":       testPush,
	"slowreader": testSlowReader,
	"tiny":       testTiny,
	"unknown":    testUnknown,
}

// firstByte goes the shortest way from nothing to a byte of the other side's: no wait but NewStream's own.
func firstByte(ctx context.Context, h host.Host, info *peer.AddrInfo, out map[string]any) error {
	h.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.TempAddrTTL)
	start := time.Now()
	s, err := h.NewStream(ctx, info.ID, ping.ID)
	if err != nil {
		return err
	}
	defer s.Reset()
	if _, err := s.Write(make([]byte, ping.PingSize)); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		return err
	}
	out["seconds"] = time.Since(start).Seconds()
	return nil
}

func or(n, otherwise int64) int64 {
	if n > 0 {
		return n
	}
	return otherwise
}

// testConnect stays a moment, so that the other side gets to know us too.
func testConnect(t *test) error {
	time.Sleep(500 * time.Millisecond)
	return nil
}

func testPing(t *test) error {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	rtts := []float64{}
	for r := range ping.Ping(ctx, t.h, t.id) {
		if r.Error != nil {
			return r.Error
		}
		rtts = append(rtts, r.RTT.Seconds())
		if len(rtts) == opt.count {
			break
		}
	}
	if len(rtts) != opt.count {
		return fmt.Errorf("%d of %d pings answered", len(rtts), opt.count)
	}
	t.out["rtt_seconds"] = rtts
	return nil
}

func testPerf(t *test) error {
	up, down := or(opt.bytes, 16<<20), opt.down
	if down < 0 {
		down = up
	}
	s, err := t.stream(perfID)
	if err != nil {
		return err
	}
	defer s.Reset()
	start := time.Now()
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, uint64(down))); err != nil {
		return err
	}
	if _, err := io.Copy(s, io.LimitReader(zeros{}, up)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	// The first byte back says that the whole upload has arrived.
	if down > 0 {
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			return err
		}
	}
	mid := time.Now()
	got, err := io.Copy(io.Discard, s)
	if err != nil {
		return err
	}
	if down > 0 {
		got++
	}
	t.out["upload_bytes"], t.out["upload_seconds"] = up, mid.Sub(start).Seconds()
	t.out["download_bytes"], t.out["download_seconds"] = got, time.Since(mid).Seconds()
	if got != down {
		return fmt.Errorf("asked for %d bytes, got %d", down, got)
	}
	return nil
}

// roundtrip sends n random bytes to an echo stream while it reads them back.
func roundtrip(t *test, s network.Stream, n int64, w io.Writer) error {
	defer s.Reset()
	var seed [8]byte
	rand.Read(seed[:])
	sent, got := sha256.New(), sha256.New()
	failed := make(chan error, 1)
	go func() {
		src := io.TeeReader(io.LimitReader(keystream(binary.BigEndian.Uint64(seed[:])), n), sent)
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, src, make([]byte, 64<<10))
		if err == nil {
			err = s.CloseWrite()
		}
		failed <- err
	}()
	m, err := io.Copy(got, rd(s))
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", m, n, err)
	}
	if err := <-failed; err != nil {
		return err
	}
	if m != n {
		return fmt.Errorf("sent %d bytes, got %d back", n, m)
	}
	return same(sent, got)
}

func same(sent, got hash.Hash) error {
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		return errors.New("SHA-256 differs")
	}
	return nil
}

func testEcho(t *test, n int64) error {
	s, err := t.stream(echoID)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := roundtrip(t, s, n, s); err != nil {
		return err
	}
	t.out["bytes"], t.out["seconds"] = n, time.Since(start).Seconds()
	return nil
}

func testTiny(t *test) error {
	s, err := t.stream(echoID)
	if err != nil {
		return err
	}
	n := or(opt.bytes, 2000)
	t.out["bytes"] = n
	return roundtrip(t, s, n, crumbs{s})
}

func testSink(t *test) error {
	n := or(opt.bytes, 100<<20)
	start := time.Now()
	if err := sink(t, n); err != nil {
		return err
	}
	t.out["bytes"], t.out["seconds"] = n, time.Since(start).Seconds()
	return nil
}

func sink(t *test, n int64) error {
	s, err := t.stream(sinkID)
	if err != nil {
		return err
	}
	defer s.Reset()
	d := sha256.New()
	if _, err := io.Copy(struct{ io.Writer }{s}, io.TeeReader(io.LimitReader(keystream(uint64(n)), n), d)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(s, 1024))
	if err != nil {
		return err
	}
	if want := hex.EncodeToString(d.Sum(nil)); strings.TrimSpace(string(answer)) != want {
		return fmt.Errorf("SHA-256 differs: sent %s, the peer says %q", want, answer)
	}
	return nil
}

func testSource(t *test) error {
	n := or(opt.bytes, 100<<20)
	s, err := t.stream(sourceID)
	if err != nil {
		return err
	}
	defer s.Reset()
	start := time.Now()
	if err := source(s, n, rd(s)); err != nil {
		return err
	}
	t.out["bytes"], t.out["seconds"] = n, time.Since(start).Seconds()
	return nil
}

func source(s network.Stream, n int64, r io.Reader) error {
	const seed = 7
	head := binary.BigEndian.AppendUint64(nil, uint64(n))
	if _, err := s.Write(binary.BigEndian.AppendUint64(head, seed)); err != nil {
		return err
	}
	want, got := sha256.New(), sha256.New()
	m, err := io.Copy(got, r)
	if err != nil {
		return err
	}
	if m != n {
		return fmt.Errorf("asked for %d bytes, got %d", n, m)
	}
	io.CopyN(want, keystream(seed), n)
	return same(want, got)
}

func testStreams(t *test) error {
	n := or(opt.bytes, 64<<10)
	ready := make([]network.Stream, opt.streams)
	for i := range ready {
		s, err := t.stream(echoID)
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
		ready[i] = s
		// Half of it first, so that all are open before any is finished.
		if _, err := s.Write([]byte{byte(i)}); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(ready))
	for i, s := range ready {
		wg.Go(func() {
			var b [1]byte
			if _, errs[i] = io.ReadFull(s, b[:]); errs[i] != nil {
				return
			}
			if b[0] != byte(i) {
				errs[i] = errors.New("wrong byte")
				return
			}
			errs[i] = roundtrip(t, s, n+int64(i), s)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
	}
	t.out["streams"], t.out["bytes"] = len(ready), n
	return nil
}

func testHalfClose(t *test) error {
	for _, n := range []int64{or(opt.bytes, 1<<20), 0, 1, 100_000} {
		if err := sink(t, n); err != nil {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
	}
	return nil
}

// testGreet lets the other side close its half first, and goes on writing.
func testGreet(t *test) error {
	n := or(opt.bytes, 1<<20)
	s, err := t.stream(greetID)
	if err != nil {
		return err
	}
	defer s.Reset()
	greeting, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if string(greeting) != "hello\n" {
		return fmt.Errorf("greeted with %q", greeting)
	}
	d := sha256.New()
	if _, err := io.Copy(struct{ io.Writer }{s}, io.TeeReader(io.LimitReader(keystream(uint64(n)), n), d)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	t.out["bytes"], t.out["sha256"] = n, hex.EncodeToString(d.Sum(nil))
	// Nothing more comes back: one ping shows that all of it has left.
	return testPing(t)
}

func testAbrupt(t *test) error {
	for i := range 10 {
		s, err := t.stream(perfID)
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
		if _, err := s.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
	}
	// The connection's last streams have got there when this comes back.
	return testPing(t)
}

func testReset(t *test) error {
	s, err := t.stream(resetID)
	if err == nil {
		if _, err = s.Write([]byte{1}); err == nil {
			_, err = io.ReadAll(s)
		}
	}
	var se *network.StreamError
	if errors.As(err, &se) {
		t.out["error_code"] = se.ErrorCode
	}
	if err == nil {
		return errors.New("a clean end instead of a reset")
	}
	t.out["stream_error"] = err.Error()
	// The connection must have survived, and our own resets must not hurt it either.
	s, err = t.stream(ping.ID)
	if err != nil {
		return err
	}
	if _, err := s.Write(make([]byte, 10)); err != nil {
		return err
	}
	s.ResetWithError(77)
	return testPing(t)
}

func testPush(t *test) error {
	t.h.SetStreamHandler(pushedID, func(s network.Stream) { s.Close() })
	t.out["pushed"] = pushedID
	// A new protocol and a new address, so both kinds of change are pushed.
	if err := t.h.Network().Listen(ma.StringCast(opt.listen)); err != nil {
		return err
	}
	// Stays until the one who started this program has looked, and closes stdin.
	emit(map[string]any{"event": "push_sent", "protocol": pushedID})
	in := make(chan struct{})
	go func() { io.Copy(io.Discard, os.Stdin); close(in) }()
	select {
	case <-in:
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
	return testPing(t)
}

func testSlowReader(t *test) error {
	n := or(opt.bytes, 4<<20)
	slow, err := t.stream(sourceID)
	if err != nil {
		return err
	}
	defer slow.Reset()
	quick, err := t.stream(ping.ID)
	if err != nil {
		return err
	}
	defer quick.Reset()
	done := make(chan error, 1)
	go func() { done <- source(slow, n, throttled{slow}) }()
	worst := time.Duration(0)
	trips := 0
	buf := make([]byte, ping.PingSize)
	for {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("slow stream: %w", err)
			}
			t.out["bytes"], t.out["trips"], t.out["worst_seconds"] = n, trips, worst.Seconds()
			if trips < 5 {
				return fmt.Errorf("only %d round trips beside the slow stream", trips)
			}
			return nil
		default:
		}
		start := time.Now()
		if _, err := quick.Write(buf); err != nil {
			return fmt.Errorf("quick stream: %w", err)
		}
		if _, err := io.ReadFull(quick, buf); err != nil {
			return fmt.Errorf("quick stream: %w", err)
		}
		worst = max(worst, time.Since(start))
		trips++
		time.Sleep(5 * time.Millisecond)
	}
}

// testUnknown asks for a protocol that nobody serves.
func testUnknown(t *test) error {
	s, err := t.stream("/kith-test/nobody-serves-this/1")
	if err == nil {
		_, err = io.ReadAll(s)
		s.Reset()
	}
	if err == nil {
		return errors.New("accepted")
	}
	t.out["refusal"] = err.Error()
	return testPing(t)
}
