package tests

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
)

func TestSealedTunnelWorksAndStopRestores(t *testing.T) {
	t.Parallel()
	for name, srv := range map[string]openvpn.Server{
		"udp4": {}, "tcp4": {Proto: "tcp"}, "udp6": {Address: site.Server6}, "tcp6": {Proto: "tcp", Address: site.Server6},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			s.serve(srv)
			before := s.snapshot()
			client := s.connect(openvpn.Client{Proto: srv.Proto, Remotes: remotes(srv)})
			s.must(0, "status")
			mark, err := s.lab.Capture().Mark(s.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
				t.Fatalf("%v\n%s", err, client.Log())
			}
			if err := s.lab.Capture().Sync(s.ctx); err != nil {
				t.Fatal(err)
			}
			if v := s.policy(srv).Judge(s.lab.Capture().Since(mark)); len(v.Leaks) > 0 {
				t.Errorf("%v", v)
			}
			if _, err := client.Stop(s.ctx); err != nil {
				t.Fatal(err)
			}
			s.restored(before)
			s.must(0, "status")
		})
	}
}
