package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openconnect"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// ocserv is unpacked and not installed: see the Makefile.
const ocserv = "../.cache/ocserv/usr/sbin/ocserv"

// serveCisco starts an ocserv.
func (s *scene) serveCisco(srv openconnect.Server) (endSession func()) {
	s.Helper()
	program, err := filepath.Abs(ocserv)
	if err != nil {
		s.Fatal(err)
	}
	srv.Program = program
	if _, err := srv.Start(s.ctx, s.lab, s.pki); err != nil {
		s.Fatal(err)
	}
	return func() {
		s.Helper()
		if err := srv.EndSession(s.ctx, s.lab); err != nil {
			s.Fatal(err)
		}
	}
}

// connectCisco starts the client and waits for its tunnel. Whether hooks are
// wired is up to the files of its host.
func (s *scene) connectCisco(srv openconnect.Server, args ...string) *openconnect.Process {
	s.Helper()
	p, err := openconnect.Client{Server: srv.Endpoint(), Extra: args}.Start(s.ctx, s.lab, s.pki)
	if err != nil {
		s.Fatal(err)
	}
	if err := p.WaitUp(s.ctx); err != nil {
		s.Fatal(err)
	}
	return p
}

// ciscoPolicy explains TLS and DTLS.
func (s *scene) ciscoPolicy(srv openconnect.Server) wire.Policy {
	return s.lab.Policy(wire.Carrier{Remote: srv.Endpoint(), Proto: wire.TCP}, wire.Carrier{Remote: srv.Endpoint(), Proto: wire.UDP})
}

// The user's stop looks like the server's, so that by itself it opens only where
// the configuration trusts the server.
func TestOpenConnectWiredByInstallIsSealedAndRestored(t *testing.T) {
	t.Parallel()
	for name, srv := range map[string]openconnect.Server{
		"tls and dtls": {}, "tls alone": {NoUDP: true}, "another port": {Port: 4443}, "over IPv6": {Address: site.Server6},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			trusted := srv.NoUDP
			if trusted {
				s.configure("open_on_server_stop = true\n")
			}
			s.serveCisco(srv)
			unwired := s.snapshot()
			s.must(0, "hooks", "install", "openconnect")
			before := s.snapshot()
			client := s.connectCisco(srv)
			s.must(0, "status")
			at := srv.Endpoint().String()
			if v := s.view(); v.State != "sealed" || len(v.Sessions) != 1 || v.Sessions[0].Client != "openconnect" || v.Sessions[0].Profile != "full" ||
				!slices.Equal(v.Sessions[0].Endpoints, []string{at + "/tcp", at + "/udp"}) {
				t.Errorf("%s, %+v", v.State, v.Sessions)
			}
			mark := s.mark()
			if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
				t.Fatalf("%v\n%s", err, client.Log())
			}
			s.explained(mark, s.ciscoPolicy(srv))
			if code, err := client.Stop(s.ctx); err != nil || code != 0 {
				t.Fatalf("the client ends with %d, %v\n%s", code, err, client.Log())
			}
			if !trusted {
				s.state("connecting")
				s.silent(s.lab.Client, s.user, probe.Order{Name: "udp-public", Carrier: srv.Endpoint()}, s.ciscoPolicy(srv))
				s.must(0, "down", "--dev", "tun0")
			}
			s.restored(before)
			s.state("open")
			s.must(0, "hooks", "remove", "openconnect")
			s.restored(unwired)
		})
	}
}

// asOpenVPN describes the server to those who list tries for OpenVPN's.
func asOpenVPN(srv openconnect.Server) openvpn.Server {
	return openvpn.Server{Proto: "tcp", Address: srv.Endpoint().Addr(), Port: srv.Endpoint().Port()}
}

func TestNoProbeGetsPastTheSealOfOpenConnect(t *testing.T) {
	t.Parallel()
	srv := openconnect.Server{}
	like := asOpenVPN(srv)
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		s.serveCisco(srv)
		policy := s.ciscoPolicy(srv)
		policy.Carriers = nil
		tries := s.tries(like, essential)
		for _, x := range tries {
			if coveredCisco(x.Name, like) {
				s.shows(s.lab.Client, x.uid, x.order, policy)
			}
		}
		s.connectCisco(srv)
		if err := s.lab.EnableSubflows(s.ctx); err != nil {
			t.Fatal(err)
		}
		policy = s.ciscoPolicy(srv)
		past := 0
		for _, x := range tries {
			if !coveredCisco(x.Name, like) && !carrierPort(x) {
				s.shows(s.lab.Client, x.uid, x.order, policy)
				past++
			}
		}
		t.Logf("%d tries show past the tunnel", past)
	})
	t.Run("sealed", func(t *testing.T) {
		s := newScene(t, "")
		s.serveCisco(srv)
		if err := s.lab.EnableSubflows(s.ctx); err != nil {
			t.Fatal(err)
		}
		s.must(0, "hooks", "install", "openconnect")
		s.connectCisco(srv)
		s.must(0, "status")
		policy, start := s.ciscoPolicy(srv), s.mark()
		var nonces []string
		s.alive("before")
		for _, x := range s.tries(like, essential) {
			if x.uid == 0 && carrierPort(x) {
				s.ownerPasses(x, policy)
				continue
			}
			a := s.silent(s.lab.Client, x.uid, x.order, policy)
			s.alive("after " + x.Name)
			nonces = append(nonces, a.Receipt.Nonce)
		}
		v := s.explained(start, policy)
		frames := s.since(start)
		for _, n := range nonces {
			if found := wire.FindNonce(frames, n); len(found) > 0 {
				t.Errorf("nonce %s is on the wire: %s", n, wire.Describe(found[0]))
			}
		}
		t.Logf("%d tries; on the wire: %v", len(nonces), v)
	})
}

// coveredCisco is covered where vpnc-script has replaced the default route of
// IPv4, so that a program bound to the wire finds no way there.
func coveredCisco(name string, srv openvpn.Server) bool {
	return covered(name, srv) || slices.Contains([]string{"bind-device-udp", "bind-device-tcp", "raw-ip", "fragments"}, name)
}

// carrierPort tells whether a try goes to exactly the endpoint: root's right.
func carrierPort(x try) bool {
	return x.Name == "tcp-carrier-port" || x.Name == "udp-carrier-port"
}

// outage is a client that loses its server.
type outage struct {
	*scene
	srv    openconnect.Server
	client *openconnect.Process
	end    func() // by the server
	order  probe.Order
}

func newOutage(t *testing.T, wired bool, args ...string) *outage {
	t.Helper()
	o := &outage{scene: newScene(t, ""), order: probe.Order{Name: "udp-public"}}
	o.end = o.serveCisco(o.srv)
	if wired {
		o.must(0, "hooks", "install", "openconnect")
	}
	o.client = o.connectCisco(o.srv, args...)
	o.order.Carrier = o.srv.Endpoint()
	return o
}

// becomes waits for a state.
func (o *outage) becomes(state string) {
	o.Helper()
	o.until("the state is "+state, func() bool { return o.view().State == state })
}

// refused resets each connection between the client and the internet, so that
// a client learns at once that it has none.
const refused = `
nft -f - <<END
table inet severed {
	chain forward {
		type filter hook forward priority -10
		meta l4proto tcp reject with tcp reset
		drop
	}
}
END
`

func (o *outage) gateway(script string) {
	o.Helper()
	if err := o.lab.Gateway.Script(o.ctx, script); err != nil {
		o.Fatal(err)
	}
}

func TestOpenConnectStaysClosedWhileItReconnects(t *testing.T) {
	t.Parallel()
	for _, wired := range []bool{false, true} {
		t.Run(fmt.Sprintf("guard %v", wired), func(t *testing.T) {
			o := newOutage(t, wired)
			mark := o.mark()
			o.gateway(refused)
			if err := o.client.Signal(syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			if wired {
				o.becomes("connecting")
			}
			// Routes that lead nowhere into the tunnel are not what keeps it silent.
			if err := o.lab.Client.Script(o.ctx, "ip route del default dev tun0\nip route add default via 192.168.1.1 dev eth0\n"); err != nil {
				t.Fatal(err)
			}
			if !wired {
				o.shows(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
				return
			}
			o.silent(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
			o.gateway("nft delete table inet severed\n")
			o.becomes("sealed")
			if err := o.lab.Client.Script(o.ctx, "ip route replace default dev tun0\n"); err != nil {
				t.Fatal(err)
			}
			if err := o.lab.TunnelWorks(o.ctx, o.user, site.Server, site.Server6); err != nil {
				t.Errorf("%v\n%s", err, o.client.Log())
			}
			o.explained(mark, o.ciscoPolicy(o.srv))
			o.must(0, "status")
		})
	}
}

// The client gives up and says `disconnect`, as at a stop: its script sets the
// old routes, and without the guard everything goes in clear.
func TestOpenConnectThatGivesUpDoesNotOpen(t *testing.T) {
	t.Parallel()
	for _, wired := range []bool{false, true} {
		t.Run(fmt.Sprintf("guard %v", wired), func(t *testing.T) {
			o := newOutage(t, wired, "--reconnect-timeout", "4")
			o.gateway(refused)
			select {
			case <-o.client.Done():
			case <-o.ctx.Done():
				t.Fatalf("the client does not give up:\n%s", o.client.Log())
			}
			o.gateway("nft delete table inet severed\n")
			if !wired {
				o.shows(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
				return
			}
			o.silent(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
			o.becomes("connecting")
			if !strings.Contains(o.client.Log(), "disconnect while reconnecting") {
				t.Errorf("the client's log does not say why:\n%s", o.client.Log())
			}
			o.must(0, "down", "--dev", "tun0")
			o.becomes("open")
			o.shows(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
		})
	}
}

// The server takes its leave, and the client ends as it would at the user's
// stop.
func TestServerThatEndsOpenConnectDoesNotOpen(t *testing.T) {
	t.Parallel()
	for _, wired := range []bool{false, true} {
		t.Run(fmt.Sprintf("guard %v", wired), func(t *testing.T) {
			o := newOutage(t, wired)
			o.end()
			select {
			case <-o.client.Done():
			case <-o.ctx.Done():
				t.Fatalf("the client goes on:\n%s", o.client.Log())
			}
			if strings.Contains(o.client.Log(), "Failed to reconnect") {
				t.Fatalf("the client was not told to end:\n%s", o.client.Log())
			}
			if !wired {
				o.shows(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
				return
			}
			o.silent(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
			o.becomes("connecting")
			o.must(0, "down", "--dev", "tun0")
			o.becomes("open")
			o.shows(o.lab.Client, o.user, o.order, o.ciscoPolicy(o.srv))
		})
	}
}

// A hook that cannot seal ends vpnc-script: the tunnel gets neither address nor
// routes, so that nobody takes it for a sealed one.
func TestOpenConnectThatCannotBeSealedIsNotConfigured(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	srv := openconnect.Server{}
	s.serveCisco(srv)
	s.must(0, "hooks", "install", "openconnect")
	s.configure("nonsense = 1\n")
	before := s.snapshot()
	p, err := openconnect.Client{Server: srv.Endpoint()}.Start(s.ctx, s.lab, s.pki)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitLog(s.ctx, "unknown key", 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	if err := p.WaitUp(ctx); err == nil {
		t.Errorf("the tunnel is up:\n%s", p.Log())
	}
	out, err := s.lab.Client.Run(s.ctx, "ip", "-o", "addr", "show", "dev", "tun0")
	if err != nil || strings.Contains(out, "10.8.0.") {
		t.Errorf("the tunnel has an address: %s %v", out, err)
	}
	if _, err := p.Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.restored(before)
}
