package main

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

// Whoever answers chooses where, and never how many: the seal is around one answer
// and the one place that worked.
func TestAnswersDoNotWidenTheSeal(t *testing.T) {
	name := endpoint.OrName{Host: "vpn.example", Port: 1194, Proto: endpoint.UDP}
	worked := netip.MustParseAddrPort("203.0.113.10:1194")
	at, peer := &whereabout{name: name, places: []netip.AddrPort{worked}, worked: worked}, key.Public{1}
	w := whereabouts{peers: map[key.Public]*whereabout{peer: at}}
	for n := range 50 {
		var addrs []netip.Addr
		for i := range 100 {
			addrs = append(addrs, netip.AddrFrom4([4]byte{198, 51, byte(n), byte(i + 1)}), netip.AddrFrom4([4]byte{198, 51, byte(n), 1}))
		}
		var err error
		if at.places, err = placesOf(addrs, name, at.worked); err != nil {
			t.Fatal(err)
		}
		ends, move := w.sealed()
		if len(ends) > maxAddresses+1 || len(move.Sealed) != len(ends) || at.places[len(at.places)-1] != worked {
			t.Fatalf("answer %d: %d endpoints, the last is %v", n, len(ends), at.places[len(at.places)-1])
		}
	}
	for _, bad := range []string{"", "0.0.0.0", "224.0.0.1", "::"} {
		var addrs []netip.Addr
		if bad != "" {
			addrs = append(addrs, netip.MustParseAddr(bad))
		}
		if places, err := placesOf(addrs, name, worked); err == nil {
			t.Errorf("%q is taken: %v", bad, places)
		}
	}
}

// A peer that is silent for a day is asked for some hundred times, not at each of
// its handshakes, and one that is given by its address never.
func TestNamesAreAskedForLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named, plain := key.Public{1}, key.Public{2}
		plan := tunnelPlan{profile: rules.Full, conf: wgconf.Config{Peers: []wgconf.Peer{
			{PublicKey: named, Endpoint: endpoint.OrName{Host: "vpn.example", Port: 1194, Proto: endpoint.UDP}},
			{PublicKey: plain, Endpoint: endpoint.OrName{Host: "203.0.113.10", Port: 1194, Proto: endpoint.UDP}},
		}}}
		plan.setup.Peers = make([]worker.Peer, 2)
		s := &supervisor{plan: plan, where: newWhereabouts(plan), log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		asked := func(peer key.Public, inARow int) bool {
			s.sought(t.Context(), keeper.Event{Unanswered: &worker.Unanswered{Peer: peer, InARow: inARow}})
			synctest.Wait()
			select {
			case f := <-s.where.found:
				if f.err == nil || f.peer != peer {
					t.Fatalf("found %+v without a resolver", f)
				}
				s.moved(t.Context(), f)
				return true
			default:
				return false
			}
		}
		if asked(named, silentAfter-1) {
			t.Error("one lost message is a reason to ask")
		}
		n := 0
		for inARow := silentAfter; inARow < 24*3600/5; inARow++ {
			if asked(named, inARow) {
				n++
			}
			if asked(plain, inARow) {
				t.Fatal("an address is asked for")
			}
			time.Sleep(5 * time.Second)
		}
		if n < 200 || n > 300 {
			t.Errorf("asked %d times in a day", n)
		}
		s.sought(t.Context(), keeper.Event{Completed: &named})
		if !asked(named, silentAfter) {
			t.Error("after an answer a new silence is not asked about")
		}
	})
}
