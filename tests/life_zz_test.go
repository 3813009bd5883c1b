package tests

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
)

func TestZZSource(t *testing.T) {
	s := newScene(t, "")
	srv := openvpn.Server{}
	p := s.serve(srv)
	bad := 0
	for i := range 120 {
		c, err := openvpn.Client{Remotes: remotes(srv)}.Start(s.ctx, s.lab, s.pki)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WaitUp(s.ctx, 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(s.ctx, 4*time.Second)
		if err := s.lab.TunnelWorks(ctx, s.user, site.Server, site.Server6); err != nil {
			bad++
			log := p.Log()
			j := strings.LastIndex(log, "bad source")
			if j >= 0 {
				t.Log(i, log[max(0, j-100):min(len(log), j+150)])
			} else {
				t.Log(i, err, log[max(0, len(log)-400):])
			}
		}
		cancel()
		if _, err := c.Stop(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("bad", bad, strings.Count(p.Log(), "bad source"))
}
