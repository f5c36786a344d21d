// SPDX-License-Identifier: MIT OR Apache-2.0

// A node of the stock go-libp2p-kad-dht that does what lines on stdin say. ../README.md, "Kademlia".
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multihash"
)

func say(m map[string]any) {
	b, _ := json.Marshal(m)
	fmt.Println(string(b))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "go-kad:", err)
	os.Exit(1)
}

func must[T any](v T, err error) T {
	if err != nil {
		fail(err)
	}
	return v
}

func main() {
	client := len(os.Args) > 1 && os.Args[1] == "client"
	ctx := context.Background()
	h := must(libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New), libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay(),
		libp2p.UserAgent("kith-interop-go-kad")))
	mode := dht.ModeServer
	if client {
		mode = dht.ModeClient
	}
	d := must(dht.New(h, dht.Mode(mode)))
	addrs := []string{}
	for _, a := range h.Addrs() {
		addrs = append(addrs, a.String()+"/p2p/"+h.ID().String())
	}
	say(map[string]any{"event": "listening", "peer": h.ID().String(), "addrs": addrs})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<20)
	for in.Scan() {
		w := strings.Fields(in.Text())
		if len(w) == 0 || w[0] == "quit" {
			break
		}
		r := map[string]any{"op": w[0], "ok": true}
		c, cancel := context.WithTimeout(ctx, 20*time.Second)
		if err := do(c, d, w, r); err != nil {
			r["ok"] = false
			r["error"] = err.Error()
		}
		cancel()
		say(r)
	}
	d.Close()
	h.Close()
}

func arg(w []string, i int) []byte {
	if i >= len(w) {
		return nil
	}
	return must(hex.DecodeString(w[i]))
}

func do(ctx context.Context, d *dht.IpfsDHT, w []string, r map[string]any) error {
	switch w[0] {
	case "join":
		info := must(peer.AddrInfoFromString(w[1]))
		if err := d.Host().Connect(ctx, *info); err != nil {
			return err
		}
		for i := 0; i < 50 && d.RoutingTable().Size() == 0; i++ {
			time.Sleep(100 * time.Millisecond)
		}
		err := <-d.RefreshRoutingTable()
		r["table"] = d.RoutingTable().Size()
		return err
	case "table":
		r["table"] = d.RoutingTable().Size()
	case "putself":
		pub := must(crypto.MarshalPublicKey(d.Host().Peerstore().PubKey(d.PeerID())))
		key := routing.KeyForPublicKey(d.PeerID())
		r["key"] = hex.EncodeToString([]byte(key))
		r["value"] = hex.EncodeToString(pub)
		return d.PutValue(ctx, key, pub)
	case "get":
		v, err := d.GetValue(ctx, string(arg(w, 1)))
		r["value"] = hex.EncodeToString(v)
		return err
	case "provide":
		return d.Provide(ctx, cid.NewCidV1(cid.Raw, multihash.Multihash(arg(w, 1))), true)
	case "providers":
		peers := []string{}
		with := 0
		for p := range d.FindProvidersAsync(ctx, cid.NewCidV1(cid.Raw, multihash.Multihash(arg(w, 1))), 20) {
			peers = append(peers, p.ID.String())
			if len(p.Addrs) > 0 {
				with++
			}
		}
		r["peers"] = peers
		r["with_addrs"] = with
	case "find":
		info, err := d.FindPeer(ctx, must(peer.Decode(w[1])))
		if err != nil {
			return err
		}
		r["peers"] = []string{info.ID.String()}
		r["with_addrs"] = len(info.Addrs)
	case "nearest":
		ids, err := d.GetClosestPeers(ctx, string(arg(w, 1)))
		peers := []string{}
		for _, p := range ids {
			peers = append(peers, p.String())
		}
		r["peers"] = peers
		return err
	default:
		return fmt.Errorf("no such command")
	}
	return nil
}
