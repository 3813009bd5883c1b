package tests

import (
	"os"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// behind is known to the resolver behind the VPN alone; the LAN's answers every
// name, with an address of its own.
const (
	behind        = "host.corp.example"
	behindAddress = "10.8.0.77"
	vpnResolver   = "10.8.0.1"
)

func namesServer() openvpn.Server {
	return openvpn.Server{Push: []string{"dhcp-option DNS " + vpnResolver, "dhcp-option DOMAIN corp.example"}}
}

// serveNames starts the VPN's server and the resolver behind it.
func (s *scene) serveNames(srv openvpn.Server) {
	s.Helper()
	s.serve(srv)
	s.background(s.lab.Server, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--listen-address="+vpnResolver, "--bind-interfaces", "--address=/"+behind+"/"+behindAddress, "--address=/public.example/"+site.Web.String())
}

// asks looks a name up as programs do, and returns the address and the frames
// that told the LAN's resolver or anybody else on the wire of it.
func (s *scene) asks(name string) (answer string, onWire []wire.Frame) {
	s.Helper()
	m := s.mark()
	out, _ := s.lab.Client.Run(s.ctx, "getent", "ahostsv4", name)
	answer, _, _ = strings.Cut(out, " ")
	return answer, s.toldOf(m)
}

// toldOf are the questions on the wire since the mark: to any resolver's port, or
// with the company's name in them.
func (s *scene) toldOf(m lab.Mark) []wire.Frame {
	s.Helper()
	return wire.Evidence{Needles: [][]byte{[]byte("\x04corp\x07example")},
		Flows: []wire.Flow{{DstPort: probe.DNSPort}, {DstPort: 5353}, {DstPort: 5355}}}.Find(s.since(m))
}

// lanKnows is the control: the LAN's resolver is asked, and answers.
func (s *scene) lanKnows(when string) {
	s.Helper()
	answer, told := s.asks(behind)
	if answer != probe.DNSAnswer.String() || len(wire.Mentioning(told, site.Gateway)) == 0 {
		s.Errorf("%s: answer %q, %d questions on the wire; the LAN's resolver was to be asked", when, answer, len(told))
	}
}

// vpnKnows demands the answer that only the VPN's resolver has, with nothing
// on the wire.
func (s *scene) vpnKnows(when, name, want string) {
	s.Helper()
	answer, told := s.asks(name)
	if answer != want || len(told) > 0 {
		s.Errorf("%s: %s is %q, want %q; %d questions on the wire", when, name, answer, want, len(told))
		text, _ := os.ReadFile(s.lab.Client.Path("/etc/resolv.conf"))
		s.Logf("resolv.conf: %s", text)
	}
}

func TestNamesAreAskedOfTheVPNsResolverWhileTheSealLasts(t *testing.T) {
	s := newScene(t, "")
	srv := namesServer()
	s.serveNames(srv)
	s.lanKnows("guard off")
	bare := s.bare(clientOf(srv))
	s.lanKnows("guard off, tunnel up")
	if _, err := bare.Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]string{
		"a file": "chmod 640 /etc/resolv.conf; chown 0:0 /etc/resolv.conf",
		"a link": "mkdir -p /run/stub; printf 'nameserver 192.168.1.1\noptions timeout:1\n' > /run/stub/resolv.conf; ln -sf ../run/stub/resolv.conf /etc/resolv.conf",
	} {
		s.script(make)
		before := s.snapshot()
		client := s.connect(clientOf(srv))
		s.vpnKnows(name, behind, behindAddress)
		s.vpnKnows(name+", by the search list", "host", behindAddress)
		s.vpnKnows(name+", another name", "public.example", site.Web.String())
		stdout, _ := s.must(0, "status")
		if !strings.Contains(stdout, "dns       10.8.0.1, set in /etc/resolv.conf") {
			t.Errorf("%s: status: %s", name, stdout)
		}
		s.alive("with names")
		if _, err := client.Stop(s.ctx); err != nil {
			t.Fatal(err)
		}
		s.restored(before)
		s.lanKnows(name + ", after the end")
	}

	// Left alone, names are blocked all the same.
	s.configure("dns = \"off\"\n")
	before := s.snapshot()
	client := s.connect(clientOf(srv))
	if answer, told := s.asks(behind); answer != "" || len(told) > 0 {
		t.Errorf("dns = off: answer %q, %d questions on the wire", answer, len(told))
	}
	if stdout, _ := s.must(0, "status"); !strings.Contains(stdout, `not set (dns = "off")`) {
		t.Errorf("status: %s", stdout)
	}
	if now := s.snapshot()["/etc/resolv.conf"]; now != before["/etc/resolv.conf"] {
		t.Errorf("dns = off changed the file: %s", now)
	}
	if _, err := client.Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.restored(before)
}
