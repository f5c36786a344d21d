// SPDX-License-Identifier: MIT OR Apache-2.0
// peer gossip TOPIC [ADDR...]: go-libp2p-pubsub's gossipsub; ../README.md has what it takes on stdin and what it prints.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sys/unix"
)

// A message's key is its text up to the first space.
func keyOf(data []byte) string {
	key, _, _ := strings.Cut(string(data), " ")
	if len(key) > 64 {
		key = key[:64]
	}
	return key
}

// CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
func monotonic() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

func gossip(topicName string, addrs []string) int {
	ctx := context.Background()
	h, err := newHost(true)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer h.Close()
	// Scores as kith's own defaults have them: who sends something invalid is seen.
	params := &pubsub.PeerScoreParams{
		AppSpecificScore: func(peer.ID) float64 { return 0 },
		DecayInterval:    time.Second, DecayToZero: 0.01, RetainScore: time.Hour,
		BehaviourPenaltyWeight: -10, BehaviourPenaltyThreshold: 0, BehaviourPenaltyDecay: 0.999,
		Topics: map[string]*pubsub.TopicScoreParams{topicName: {
			TopicWeight: 1, TimeInMeshWeight: 0.0002, TimeInMeshQuantum: time.Second, TimeInMeshCap: 10,
			FirstMessageDeliveriesWeight: 0.5, FirstMessageDeliveriesDecay: 0.999, FirstMessageDeliveriesCap: 100,
			InvalidMessageDeliveriesWeight: -1000, InvalidMessageDeliveriesDecay: 0.999,
		}},
	}
	limits := &pubsub.PeerScoreThresholds{GossipThreshold: -500, PublishThreshold: -1000, GraylistThreshold: -2500,
		AcceptPXThreshold: 0, OpportunisticGraftThreshold: 1}
	worst := atomic.Int64{}
	var tested atomic.Int64
	opts := []pubsub.Option{
		pubsub.WithPeerScore(params, limits),
		pubsub.WithPeerScoreInspect(func(scores map[peer.ID]float64) {
			for _, s := range scores {
				if int64(s) < worst.Load() {
					worst.Store(int64(s))
				}
			}
		}, 200*time.Millisecond),
		pubsub.WithFloodPublish(true),
		// Its own queues of 32 lose messages of a burst.
		pubsub.WithPeerOutboundQueueSize(8192),
		pubsub.WithValidateQueueSize(8192),
		pubsub.WithPeerExchange(opt.px),
	}
	if opt.testExtension {
		opts = append(opts, pubsub.WithTestExtension(pubsub.TestExtensionConfig{
			OnReceiveTestExtension: func(from peer.ID) { tested.Add(1) },
		}))
	}
	var ps *pubsub.PubSub
	if opt.floodsub {
		ps, err = pubsub.NewFloodSub(ctx, h, pubsub.WithPeerOutboundQueueSize(8192), pubsub.WithValidateQueueSize(8192))
	} else {
		ps, err = pubsub.NewGossipSub(ctx, h, opts...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	topic, err := ps.Join(topicName)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	sub, err := topic.Subscribe(pubsub.WithBufferSize(65536))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	emit(map[string]any{"event": "listening", "peer": h.ID().String(), "addrs": fullAddrs(h)})
	go func() {
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			at := monotonic()
			if m.GetFrom() == h.ID() {
				continue
			}
			emit(map[string]any{"event": "message", "at": at, "from": m.GetFrom().String(), "source": m.ReceivedFrom.String(),
				"seqno": hex.EncodeToString(m.GetSeqno()), "bytes": len(m.Data), "key": keyOf(m.Data)})
		}
	}()
	connect := func(text string) {
		a, err := ma.NewMultiaddr(text)
		if err == nil {
			var pi *peer.AddrInfo
			if pi, err = peer.AddrInfoFromP2pAddr(a); err == nil {
				err = h.Connect(ctx, *pi)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	for _, a := range addrs {
		connect(a)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, rest, _ := strings.Cut(in.Text(), " ")
		switch word {
		case "say":
			err = topic.Publish(ctx, []byte(rest))
		case "burst":
			var n, size int
			var key string
			fmt.Sscanf(rest, "%d %d %s", &n, &size, &key)
			for i := 0; i < n && err == nil; i++ {
				data := fmt.Sprintf("%s-%d ", key, i)
				if len(data) < size {
					data += strings.Repeat(".", size-len(data))
				}
				err = topic.Publish(ctx, []byte(data))
			}
		case "timed":
			var size int
			var key string
			fmt.Sscanf(rest, "%d %s", &size, &key)
			data := fmt.Sprintf("%s-%d ", key, monotonic())
			if len(data) < size {
				data += strings.Repeat(".", size-len(data))
			}
			err = topic.Publish(ctx, []byte(data))
		case "dial":
			connect(rest)
		case "peers":
			emit(map[string]any{"event": "peers", "topic": len(topic.ListPeers())})
		case "counts":
			emit(map[string]any{"event": "counts", "worst_score": worst.Load(), "tested": tested.Load()})
		case "quit":
			return 0
		}
		if err != nil {
			emit(map[string]any{"event": "refused", "error": err.Error()})
			err = nil
		}
	}
	return 0
}
