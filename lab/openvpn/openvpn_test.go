package openvpn

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestMain(m *testing.M) { lab.Main(m) }

// build makes a laboratory that is gone at the end of the test, processes
// first.
func build(t *testing.T) (context.Context, *lab.Lab, PKI) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	pki, err := NewPKI(filepath.Join(l.Dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, l, pki
}

func TestTheTunnelCarriesBothFamilies(t *testing.T) {
	for _, c := range []struct {
		name   string
		server Server
		v4, v6 netip.Addr
	}{
		{"udp", Server{}, site.Server, site.Server6},
		{"tcp", Server{Proto: "tcp", Port: 443}, site.Server, site.Server6},
		{"udp over IPv6", Server{Address: site.Server6}, site.Server, site.Server6},
		{"tcp over IPv6", Server{Proto: "tcp", Address: site.Server6}, site.Server, site.Server6},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, l, pki := build(t)
			if _, err := c.server.Start(ctx, l, pki); err != nil {
				t.Fatal(err)
			}
			client, err := Client{Remotes: []netip.AddrPort{c.server.Endpoint()}, Proto: c.server.Proto}.Start(ctx, l, pki)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.WaitUp(ctx, 1); err != nil {
				t.Fatal(err)
			}
			proto := wire.UDP
			if c.server.Proto == "tcp" {
				proto = wire.TCP
			}
			policy := l.Policy(wire.Carrier{Remote: c.server.Endpoint(), Proto: proto})
			mark, err := l.Capture().Mark(ctx)
			if err != nil {
				t.Fatal(err)
			}
			uid := 1000
			if lab.SingleUID() {
				uid = 0
			}
			if err := l.TunnelWorks(ctx, uid, c.v4, c.v6); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if err := l.Transfer(ctx, uid, site.Public, 20<<20); err != nil {
				t.Fatal(err)
			}
			t.Logf("20 MiB each way in %v", time.Since(start).Round(time.Millisecond))
			if err := l.Capture().Sync(ctx); err != nil {
				t.Fatal(err)
			}
			verdict := policy.Judge(l.Capture().Since(mark))
			t.Logf("%v", verdict)
			if len(verdict.Leaks) > 0 || verdict.Counts[wire.CarrierClass] == 0 {
				t.Errorf("want carriers and nothing unexplained: %v", verdict)
			}
			if code, err := client.Stop(ctx); err != nil || code != 0 {
				t.Errorf("stop: exit %d, %v", code, err)
			}
		})
	}
}
