package tests

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A server that moves is found by its name, of whose addresses all are tried, and
// the tunnel's user alone asks for it: nothing else is on the wire meanwhile. The
// control is the time until the name is asked for: the tunnel is dead.
func TestTunnelFindsAServerThatMoved(t *testing.T) {
	s := newTunnelScene(t)
	if err := s.lab.Internet.Script(s.ctx, "ip addr add "+bootstrap.String()+"/32 dev lo\n"); err != nil {
		t.Fatal(err)
	}
	s.resolveBy("127.0.0.1 localhost\n", "files dns", bootstrap)
	s.writeFile("/etc/vpnguard/vpnguard.toml", "bootstrap_dns = [\""+bootstrap.String()+"\"]\n")
	named := s.leadsTo(site.Server)
	s.configureTunnel("0.0.0.0/0, ::/0", "DNS = 8.8.8.8")
	text, err := os.ReadFile(s.lab.Client.Path(s.conf))
	if err != nil {
		t.Fatal(err)
	}
	s.writeTunnel(strings.Replace(string(text), site.Server.String()+":", vpnName+":", 1), 0o600)
	before := s.snapshot()
	guardian := s.watch() // it then changes the seal
	s.up()
	if !s.reaches("5") {
		t.Fatal("the tunnel does not work")
	}

	// One that is nobody's, and one of the other family that is the server's.
	dead := netip.MustParseAddr("203.0.113.99")
	policy := s.lab.Policy()
	for _, a := range []netip.Addr{site.Server, site.ServerTwo, site.ServerTwo6, dead} {
		policy.Carriers = append(policy.Carriers, wire.Carrier{Remote: netip.AddrPortFrom(a, far.Endpoint().Port()), Proto: wire.UDP})
	}
	policy.Carriers = append(policy.Carriers, wire.Carrier{Remote: netip.AddrPortFrom(bootstrap, probe.DNSPort), Proto: wire.UDP})
	start := s.mark()
	s.asksAt(bootstrap, s.user, false)
	if err := named(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	named = s.leadsTo(dead, site.ServerTwo6)
	if err := s.lab.Server.Script(s.ctx, "ip addr del 203.0.113.10/24 dev eth0\nip addr del 2001:db8:5::10/64 dev eth0\nip addr replace 203.0.113.11/24 dev eth0\nip route replace default via 203.0.113.1\n"); err != nil {
		t.Fatal(err)
	}
	was := s.engine(0)
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil { // the next one asks for keys at once
		t.Fatal(err)
	}
	s.engine(was)
	wasDead := false
	s.until("the tunnel works where the name leads now", func() bool {
		works := s.reaches("1")
		asked := len(s.questions(start)) > 0
		wasDead = wasDead || !works && !asked
		return works
	})
	if !wasDead {
		t.Error("the control: the tunnel is not dead until the name is asked for")
	}
	s.state("sealed")
	s.must(0, "status")
	ends := s.endpoints()
	for _, a := range []netip.Addr{dead, site.ServerTwo6, site.Server} { // the last one that worked stays
		if !slices.ContainsFunc(ends, func(e string) bool { return strings.Contains(e, a.String()) }) {
			t.Errorf("endpoints %q: none at %s", ends, a)
		}
	}
	s.asksAt(bootstrap, s.user, false)
	if n := len(s.questions(start)); n < 2 || n > 2*8 {
		t.Errorf("%d questions to the bootstrap resolver, want one for each family and few more", n)
	}

	// The same where an earlier run left the host closed, which then is asked past.
	if err := syscall.Kill(s.supervisor(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.vanishes()
	if err := named(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.leadsTo(site.ServerTwo)
	if err := s.lab.Server.Script(s.ctx, "ip addr del 2001:db8:5::11/64 dev eth0\n"); err != nil {
		t.Fatal(err)
	}
	s.up()
	if !s.reaches("5") {
		t.Error("the tunnel does not work where the name leads now")
	}
	if ends := s.endpoints(); len(ends) != 1 || !strings.Contains(ends[0], site.ServerTwo.String()) {
		t.Errorf("endpoints %q, want the server's alone", ends)
	}
	if v := policy.Judge(s.since(start)); len(v.Leaks) > 0 {
		t.Errorf("unexplained on the wire: %v", v)
	}
	s.must(0, "tunnel", "down", "own0")
	if err := guardian.ends(syscall.SIGTERM); err != nil {
		t.Errorf("the guardian ends with %v\n%s", err, guardian.log())
	}
	s.gone(before)
}

// leadsTo starts the bootstrap resolver, which knows one name.
func (s *tunnelScene) leadsTo(addrs ...netip.Addr) (signal func(syscall.Signal) error) {
	s.Helper()
	record := "--host-record=" + vpnName
	for _, a := range addrs {
		record += "," + a.String()
	}
	listens := func() bool {
		out, err := s.lab.Internet.Run(s.ctx, "ss", "-Hlun")
		return err == nil && strings.Contains(out, bootstrap.String()+":53 ")
	}
	s.until("no earlier one listens", func() bool { return !listens() })
	signal = s.background(s.lab.Internet, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--listen-address="+bootstrap.String(), "--bind-interfaces", record)
	s.until("the bootstrap resolver listens", listens)
	return signal
}

// reaches reports whether the far end answers through the tunnel.
func (s *tunnelScene) reaches(wait string) bool {
	s.Helper()
	_, err := s.lab.Client.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", wait, "10.8.0.1")
	return err == nil
}

// endpoints are those that the seal is around.
func (s *tunnelScene) endpoints() []string {
	s.Helper()
	out, _, _ := s.vpnguard("status", "--json")
	var v struct {
		Sessions []struct{ Endpoints []string }
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Sessions) != 1 {
		s.Fatalf("status: %v\n%s", err, out)
	}
	return v.Sessions[0].Endpoints
}
