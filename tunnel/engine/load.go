package engine

import (
	"hash/maphash"
	"net/netip"
	"time"
)

const (
	// hardLimit of handshake messages a second that are answered at all, about
	// a tenth of a processor: the rest of it belongs to those who have keys.
	hardLimit = 2000
	// Under load, one address gets sourceRate a second, sourceBurst at once.
	sourceRate  = 20
	sourceBurst = 5
	// buckets of addresses. Their number is fixed, so that no flood makes them
	// grow; addresses that meet in one share it, and which ones do is secret.
	buckets = 2048
)

// gate decides which handshake messages are worth the cost of an X25519.
type gate struct {
	quiet  int
	second time.Duration // when the count began
	count  int
	loaded time.Duration // under load until then
	seed   maphash.Seed
	ready  [buckets]time.Duration // when a bucket is empty again
	seeded bool
}

// verdict on a handshake message whose MAC1 is right.
type verdict uint8

const (
	refuse verdict = iota
	askCookie
	admit
)

// judge counts a message. proven asks whether its sender receives what is sent
// to it; it is called only under load.
func (g *gate) judge(now time.Duration, from netip.Addr, proven func() bool) verdict {
	if now-g.second >= time.Second {
		g.second, g.count = now, 0
	}
	if g.count >= g.quiet {
		g.loaded = now + time.Second
	}
	if now < g.loaded {
		if !proven() {
			return askCookie
		}
		if !g.take(now, from) {
			return refuse
		}
	}
	if g.count >= hardLimit {
		return refuse
	}
	g.count++
	return admit
}

// take a token of the address's bucket. One IPv6 host owns a /64.
func (g *gate) take(now time.Duration, from netip.Addr) bool {
	if !g.seeded {
		g.seed, g.seeded = maphash.MakeSeed(), true
	}
	if from.Is6() {
		prefix, err := from.Prefix(64)
		if err != nil {
			return false
		}
		from = prefix.Addr()
	}
	ready := &g.ready[maphash.Comparable(g.seed, from)%buckets]
	const each = time.Second / sourceRate
	if *ready > now+(sourceBurst-1)*each {
		return false
	}
	*ready = max(*ready, now) + each
	return true
}
