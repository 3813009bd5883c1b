package tests

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// oldFlow is a connection that was there before the tunnel.
type oldFlow struct {
	name string
	probe.Flow
	// inside says that without a guard it goes on in the tunnel, with the
	// LAN's address; else it goes on in clear.
	inside bool
}

var oldFlows = []oldFlow{
	{"tcp bound to the wire", probe.Flow{To: netip.AddrPortFrom(site.Public, 80), TCP: true, Dev: "eth0"}, false},
	{"tcp", probe.Flow{To: netip.AddrPortFrom(site.Public, 80), TCP: true}, true},
	{"tcp to the server's address", probe.Flow{To: netip.AddrPortFrom(site.Server, 8080), TCP: true}, false},
	{"udp bound to the wire", probe.Flow{To: netip.AddrPortFrom(site.Public, 7), Dev: "eth0"}, false},
	{"udp", probe.Flow{To: netip.AddrPortFrom(site.Public, 7)}, true},
	{"tcp6 bound to the wire", probe.Flow{To: netip.AddrPortFrom(site.Public6, 80), TCP: true, Dev: "eth0"}, false},
	{"tcp6", probe.Flow{To: netip.AddrPortFrom(site.Public6, 80), TCP: true}, true},
}

// badSource is what the server says of a packet from an address that is not
// the client's, at verbosity 4.
const badSource = "bad source address from client"

func TestFlowsFromBeforeTheSealEnd(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{Extra: []string{"verb 4"}}
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		server, open := s.oldFlows(srv)
		s.bare(clientOf(srv))
		for i, f := range oldFlows {
			m, said := s.mark(), strings.Count(server.Log(), badSource)
			nonce := s.sendOld(f, open[i])
			if f.inside {
				if err := server.WaitLog(s.ctx, badSource, said+1); err != nil {
					t.Errorf("%s: its LAN address is not inside the tunnel: %v", f.name, err)
				}
			} else if len(wire.FindNonce(s.since(m), nonce)) == 0 {
				t.Errorf("%s: not on the wire", f.name)
			}
		}
	})
	t.Run("sealed", func(t *testing.T) {
		s := newScene(t, "")
		server, open := s.oldFlows(srv)
		s.connect(clientOf(srv))
		policy, start := s.policy(srv), s.mark()
		var nonces []string
		for i, f := range oldFlows {
			nonces = append(nonces, s.refused(f, open[i])...)
			s.alive("after " + f.name)
		}
		for i := range open {
			_ = open[i].Close() // the kernel sends what is queued, and FIN
		}
		s.explained(start, policy)
		for _, n := range nonces {
			if found := wire.FindNonce(s.since(start), n); len(found) > 0 {
				t.Errorf("an old flow's nonce on the wire: %s", wire.Describe(found[0]))
			}
		}
		// The control has shown that the server tells of such packets at once.
		if strings.Contains(server.Log(), badSource) {
			t.Errorf("the LAN's address was inside the tunnel:\n%s", server.Log())
		}
	})
}

// oldFlows opens all flows and starts the server, which also answers TCP on
// another port than the carrier's.
func (s *scene) oldFlows(srv openvpn.Server) (server *openvpn.Process, open []*lab.Flow) {
	s.Helper()
	s.listen(s.lab.Server, "8080")
	for _, f := range oldFlows {
		flow, err := s.lab.Open(s.ctx, s.lab.Client, s.user, f.Flow)
		if err != nil {
			s.Fatal(err)
		}
		open = append(open, flow)
		s.sendOld(f, flow)
	}
	return s.serve(srv), open
}

// listen takes TCP connections in a node until the scene ends.
func (s *scene) listen(node *lab.Node, port string) {
	s.Helper()
	cmd := node.Command(s.ctx, "busybox", "nc", "-ll", "-p", port, "-e", "cat")
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for {
		out, err := node.Run(s.ctx, "ss", "-Hltn", "sport", "=", ":"+port)
		if err != nil {
			s.Fatal(err)
		}
		if out != "" {
			return
		}
	}
}

func (s *scene) sendOld(f oldFlow, open *lab.Flow) (nonce string) {
	s.Helper()
	nonce, sent, err := open.Send()
	if err != nil || sent.Error != "" {
		s.Fatalf("%s: %+v, %v", f.name, sent, err)
	}
	return nonce
}

// refused sends on a flow until the program learns that it is over.
func (s *scene) refused(f oldFlow, open *lab.Flow) (nonces []string) {
	s.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		nonce, sent, err := open.Send()
		if err != nil {
			s.Fatalf("%s: %v", f.name, err)
		}
		nonces = append(nonces, nonce)
		if sent.Error != "" {
			s.Logf("%s: after %d sends: %s", f.name, len(nonces), sent.Error)
			return nonces
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.Errorf("%s: %d sends and no error", f.name, len(nonces))
	return nonces
}

func TestNoSubflowJoinsPastTheSeal(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{}
	for _, sealed := range []bool{false, true} {
		s := newScene(t, "")
		s.serve(srv)
		policy := s.policy(srv)
		if sealed {
			s.connect(clientOf(srv))
		} else {
			s.bare(clientOf(srv))
		}
		if err := s.lab.EnableSubflows(s.ctx); err != nil {
			t.Fatal(err)
		}
		start, o := s.mark(), probe.Order{Name: "mptcp-subflow"}
		if !sealed {
			a := s.shows(s.lab.Client, s.user, o, policy)
			if text := a.Judge(policy).String(); !strings.Contains(text, "syn mptcp subtype 1") {
				t.Errorf("guard off: no MP_JOIN on the wire: %s", text)
			}
			continue
		}
		a := s.silent(s.lab.Client, s.user, o, policy)
		if a.Receipt.Sent < 2 {
			t.Errorf("sealed: the connection inside the tunnel did not work, so nothing was there to join: %s", a.Receipt)
		}
		s.explained(start, policy)
	}
}
