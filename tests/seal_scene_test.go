package tests

import (
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// transports are the ways to the server that the seal must hold on.
var transports = []transport{
	{"udp4", "udp", site.Server}, {"tcp4", "tcp", site.Server},
	{"udp6", "udp", site.Server6}, {"tcp6", "tcp", site.Server6},
}

func (tr transport) server() openvpn.Server { return openvpn.Server{Proto: tr.proto, Address: tr.addr} }

// clientOf is a client of the servers, without hooks.
func clientOf(servers ...openvpn.Server) openvpn.Client {
	return openvpn.Client{Proto: servers[0].Proto, Remotes: remotes(servers...)}
}

// bare connects without hooks: the tunnel of a host that nothing guards.
func (s *scene) bare(c openvpn.Client) *openvpn.Process {
	s.Helper()
	p, err := c.Start(s.ctx, s.lab, s.pki)
	if err != nil {
		s.Fatal(err)
	}
	if err := p.WaitUp(s.ctx, 1); err != nil {
		s.Fatal(err)
	}
	return p
}

// configure writes the configuration file of the client's host.
func (s *scene) configure(toml string) {
	s.Helper()
	file := s.lab.Client.Path("/etc/vpnguard/vpnguard.toml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(toml), 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) mark() lab.Mark {
	s.Helper()
	m, err := s.lab.Capture().Mark(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	return m
}

// since returns all that left the cable after the mark.
func (s *scene) since(m lab.Mark) []wire.Frame {
	s.Helper()
	if err := s.lab.Capture().Sync(s.ctx); err != nil {
		s.Fatal(err)
	}
	return s.lab.Capture().Since(m)
}

// late waits as long as the kernel may take to send what it holds back, such as
// group reports and a first retransmission, and returns all since the mark.
func (s *scene) late(m lab.Mark) []wire.Frame {
	s.Helper()
	const longest = 1500 * time.Millisecond // TCP's first retransmission comes after 1 s (RFC 6298)
	time.Sleep(longest)
	return s.since(m)
}

// explained demands that the policy names every frame since the mark.
func (s *scene) explained(m lab.Mark, policy wire.Policy) wire.Verdict {
	s.Helper()
	v := policy.Judge(s.late(m))
	if len(v.Leaks) > 0 {
		s.Errorf("unexplained on the wire: %v", v)
	}
	return v
}

// shows runs a probe with the guard off: it must show, and must not be
// explained, or a silent wire behind the seal would prove nothing.
func (s *scene) shows(node *lab.Node, uid int, o probe.Order, policy wire.Policy) lab.Attempt {
	s.Helper()
	a, err := s.lab.Control(s.ctx, node, uid, o)
	if err != nil {
		s.Errorf("control of %s as uid %d: %v", o.Name, uid, err)
	} else if v := a.Judge(policy); len(v.Leaks) == 0 {
		s.Errorf("control of %s as uid %d: all of it is explained: %v", o.Name, uid, v)
	}
	return a
}

// silent runs a probe with the guard on: nothing of it may show, and
// everything that does must be explained.
func (s *scene) silent(node *lab.Node, uid int, o probe.Order, policy wire.Policy) lab.Attempt {
	s.Helper()
	a, err := s.lab.Try(s.ctx, node, uid, o)
	if err != nil {
		s.Errorf("%s as uid %d: %v", o.Name, uid, err)
		return a
	}
	s.fired(a)
	if v := a.Judge(policy); len(a.Seen)+len(v.Leaks) > 0 {
		s.Errorf("%s: %d of its frames on the wire: %v", a.Receipt, len(a.Seen), v)
	}
	return a
}

// fired demands of a receipt that each attempt got as far as the kernel's
// decision: a socket that could not be set up has shown nothing.
func (s *scene) fired(a lab.Attempt) {
	s.Helper()
	for _, send := range a.Receipt.Sends {
		if send.Errno != 0 && send.Error != send.Errno.Error() {
			s.Errorf("%s: it was not sent: %s: %s", a.Receipt.Probe, send.What, send.Error)
		}
	}
}

// alive demands that the internet answers through the tunnel.
func (s *scene) alive(when string) {
	s.Helper()
	s.aliveBy(netip.AddrPortFrom(site.Public, probe.EchoPort), when)
}

func (s *scene) aliveBy(to netip.AddrPort, when string) {
	s.Helper()
	seen, err := s.lab.SeenAs(s.ctx, s.lab.Client, s.user, "udp", to)
	if err != nil || seen != site.Server {
		s.Fatalf("the tunnel %s: the internet sees %v: %v", when, seen, err)
	}
}

// uids are who tries: an ordinary user, if there is one, and root.
func (s *scene) uids() []int {
	if s.user == 0 {
		s.onlyRoot.Do(func() {
			s.Log("not tested: everything as an ordinary user, for only root exists in this laboratory")
		})
		return []int{0}
	}
	return []int{s.user, 0}
}

// asUser is the weakest uid that may run the probe.
func (s *scene) asUser(name string) int {
	s.Helper()
	p, err := probe.Find(name)
	if err != nil {
		s.Fatal(err)
	}
	if p.Privileged {
		return 0
	}
	return s.user
}
