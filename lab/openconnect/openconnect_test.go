package openconnect

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
)

func TestMain(m *testing.M) { lab.Main(m) }

const program = "../../.cache/ocserv/usr/sbin/ocserv"

func TestTheTunnelCarriesBothFamilies(t *testing.T) {
	for name, server := range map[string]Server{
		"tls and dtls": {}, "tls alone": {NoUDP: true}, "another port": {Port: 4443}, "over IPv6": {Address: site.Server6},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(cancel)
			l, err := lab.New(ctx, lab.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			pki, err := openvpn.NewPKI(filepath.Join(l.Dir, "pki"))
			if err != nil {
				t.Fatal(err)
			}
			if server.Program, err = filepath.Abs(program); err != nil {
				t.Fatal(err)
			}
			p, err := server.Start(ctx, l, pki)
			if err != nil {
				t.Fatal(err)
			}
			client, err := Client{Server: server.Endpoint()}.Start(ctx, l, pki)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.WaitUp(ctx); err != nil {
				t.Fatalf("%v\n%s", err, p.Log())
			}
			if err := l.TunnelWorks(ctx, 0, site.Server, site.Server6); err != nil {
				t.Errorf("%v\n%s\n%s", err, client.Log(), p.Log())
			}
			if code, err := client.Stop(ctx); err != nil || code != 0 {
				t.Errorf("the client ends with %d, %v\n%s", code, err, client.Log())
			}
		})
	}
}
