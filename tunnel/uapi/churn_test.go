package uapi

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Peers come and go by the socket, ports and marks change, and packets go on to
// be delivered; afterwards no descriptor and no goroutine is left.
func TestDeviceIsChangedUnderTraffic(t *testing.T) {
	fds, routines := descriptors(t), runtime.NumGoroutine()
	aKey, aPublic := newKey(t)
	bKey, bPublic := newKey(t)
	a := start(t, "own0", aKey, netip.MustParsePrefix("10.8.0.1/24"))
	b := start(t, "own1", bKey)
	keepalive := time.Second
	if err := b.set(tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{{Public: aPublic, Allowed: []engine.AllowedChange{{Prefix: netip.MustParsePrefix("10.8.0.1/32")}}}}}}); err != nil {
		t.Fatal(err)
	}
	if err := a.set(tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{{Public: bPublic, Endpoint: local(b.port()), Keepalive: &keepalive, Allowed: []engine.AllowedChange{{Prefix: netip.MustParsePrefix("10.8.0.2/32")}}}}}}); err != nil {
		t.Fatal(err)
	}
	a.wait(bPublic)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var sent int
	wg.Go(func() {
		c, err := net.Dial("udp", "10.8.0.2:9")
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for ; ; sent++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
			_, _ = c.Write(make([]byte, 200))
		}
	})
	end := netip.MustParseAddrPort("127.0.0.1:9")
	for round := range 40 {
		var c tunnel.Change
		mark, port := uint32(round%3), uint16(0)
		if round%4 == 0 {
			port = 52000 + uint16(round)
		}
		c.FwMark, c.ListenPort = &mark, &port
		for i := range 50 {
			var seed [key.Size]byte
			binary.LittleEndian.PutUint32(seed[4:], uint32(round*1000+i))
			k, err := key.PrivateFrom(seed).Public()
			if err != nil {
				t.Fatal(err)
			}
			prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 8, 1, byte(i)}), 32)
			c.Peers = append(c.Peers, engine.PeerChange{Public: k, Endpoint: &end, Allowed: []engine.AllowedChange{{Prefix: prefix}}})
		}
		if err := a.set(c); err != nil {
			t.Fatal(err)
		}
		for i := range c.Peers {
			c.Peers[i].Remove = true
		}
		if round%2 == 0 {
			c.Peers[0].Remove = false
		}
		if err := a.set(c); err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("unix", a.path); err != nil {
			t.Fatal(err)
		} else {
			if st, err := Get(conn); err != nil || len(st.Peers) != 2+round/2 {
				t.Errorf("round %d: %d peers, %v", round, len(st.Peers), err)
			}
			conn.Close()
		}
	}
	close(stop)
	wg.Wait()
	// 200 bytes travel as 240 with their headers and padding, and 32 around.
	arrived := int(b.wait(aPublic).RxBytes / (240 + 32))
	t.Logf("of %d packets %d arrived", sent, arrived)
	if sent < 100 || arrived < sent*8/10 {
		t.Error("traffic did not go on")
	}
	a.stop()
	b.stop()
	var left []string
	for range 100 {
		if left = descriptors(t); len(left) <= len(fds) && runtime.NumGoroutine() <= routines {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("descriptors %q, then %q; goroutines %d, then %d", fds, left, routines, runtime.NumGoroutine())
}

// descriptors are what this process has open.
func descriptors(t *testing.T) (out []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// The one that reads the directory is gone by now.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "/proc/") {
			out = append(out, to)
		}
	}
	return out
}
