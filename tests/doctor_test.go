package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

type finding struct{ ID, Severity, What, Do string }

// doctor runs it as root; findings never change the exit status.
func (s *scene) doctor() []finding {
	s.Helper()
	stdout, stderr := s.must(0, "doctor", "--json")
	if stderr != "" {
		s.Errorf("doctor says on stderr: %s", stderr)
	}
	return s.findings(stdout)
}

func (s *scene) findings(stdout string) []finding {
	s.Helper()
	var out struct {
		Version  int
		Features []struct{ Name string }
		Findings []finding
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || out.Version != 1 || out.Findings == nil {
		s.Fatalf("doctor --json: %v:\n%s", err, stdout)
	}
	return out.Findings
}

// finds reports whether a finding with the id has all words in its text.
func (s *scene) finds(all []finding, id string, words ...string) bool {
	s.Helper()
	for _, f := range all {
		text := f.Severity + ": " + f.What + ": " + f.Do
		match := f.ID == id
		for _, w := range words {
			match = match && strings.Contains(text, w)
		}
		if match {
			return true
		}
	}
	return false
}

// killSwitch is what another VPN's program leaves behind: it lets nothing out.
const killSwitch = `table inet mullvad {
	chain output {
		type filter hook output priority filter; policy drop;
		oifname "lo" accept
	}
}
`

func TestDoctorNamesTheTableThatBreaksTheTunnel(t *testing.T) {
	srv := openvpn.Server{Ping: time.Minute, Restart: 5 * time.Minute} // the client is to stay while nothing gets out
	s := newScene(t, "")
	s.serve(srv)
	s.connect(clientOf(srv))
	s.alive("before the foreign table")
	if s.finds(s.doctor(), "foreign-drop") || s.finds(s.doctor(), "foreign-rules") || s.finds(s.doctor(), "other-vpn") {
		t.Errorf("a sealed host without a foreign table: %+v", s.doctor())
	}
	s.script("nft -f - <<END\n" + killSwitch + "END\n")
	ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
	defer cancel()
	if seen, err := s.lab.SeenAs(ctx, s.lab.Client, s.user, "udp", netip.AddrPortFrom(site.Public, probe.EchoPort)); err == nil {
		t.Errorf("the internet sees %v, so that the table breaks nothing", seen)
	}
	if !s.finds(s.doctor(), "foreign-drop", "blocks", "table inet mullvad (Mullvad): chain output at hook output, priority 0, policy drop") {
		t.Errorf("the table that drops is not found: %+v", s.doctor())
	}
	s.must(0, "status")
	stdout, _ := s.must(0, "doctor")
	if !strings.Contains(stdout, "\nblocks  foreign-drop: table inet mullvad") || !strings.Contains(stdout, "\n        do: ") {
		t.Errorf("doctor says\n%s", stdout)
	}
	s.script("nft delete table inet mullvad\n")
	s.alive("after the foreign table")
	if s.finds(s.doctor(), "foreign-drop") {
		t.Errorf("the table that is gone is found: %+v", s.doctor())
	}
}

// What doctor says of a ufw that filters output is enough to have the tunnel.
func TestDoctorsAdviceForUfwOpensTheTunnelOnly(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{}
	s := newScene(t, "")
	s.serve(srv)
	s.ufw()
	s.script("ufw default deny outgoing\n")
	if !s.finds(s.doctor(), "foreign-drop", "blocks", "`ufw allow out to SERVER port PORT proto PROTO`, `ufw allow out on TUNNEL`") {
		t.Errorf("doctor says %+v", s.doctor())
	}
	client := s.start(clientOf(srv))
	short, cancel := context.WithTimeout(s.ctx, 3*time.Second)
	defer cancel()
	if err := client.WaitUp(short, 1); err == nil {
		t.Error("the tunnel comes up without the advice")
	}
	s.script(fmt.Sprintf("ufw allow out to %s port %d proto udp\nufw allow out on tun0\n", srv.Endpoint().Addr(), srv.Endpoint().Port()))
	if err := client.WaitUp(s.ctx, 1); err != nil {
		t.Fatal(err)
	}
	s.alive("with the advice")
	for _, name := range []string{"bind-device-udp", "dns-udp-lan", "udp-server"} {
		s.silent(s.lab.Client, s.user, probe.Order{Name: name}, s.policy(srv))
	}
}

// A kernel that lacks something says so by exit 5, and the host is looked at all the same.
func TestDoctorLooksAtTheHostWhateverTheKernelLacks(t *testing.T) {
	s := newFaultScene(t)
	for _, c := range []struct {
		name, says string
		run        func(...string) (string, string, int)
	}{
		{"no egress hook", "\nMISSING egress hook (since Linux 5.16, CONFIG_NETFILTER_EGRESS)", s.refusing("nft.egress:EOPNOTSUPP")},
		{"no netfilter socket", "could not look at the nftables tables of others: ", s.without(unix.NETLINK_NETFILTER, unix.EPROTONOSUPPORT)},
	} {
		stdout, stderr, code := c.run("doctor")
		if code != 5 || !strings.Contains(stdout, c.says) || !strings.Contains(stdout, "\nblocks  resolv-lan: ") {
			t.Errorf("%s: exit %d, want 5 and %q\n%s%s", c.name, code, c.says, stdout, stderr)
		}
	}
	stdout, _, code := s.without(unix.NETLINK_ROUTE, unix.EPERM)("doctor")
	if code != 0 || !strings.Contains(stdout, "could not look at links: ") || !strings.Contains(stdout, "could not look at routing rules: ") {
		t.Errorf("no route socket: exit %d\n%s", code, stdout)
	}
}

func TestDoctorKnowsTheHostsFirewalls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(*scene)
		want  [][]string
	}{
		"firewalld": {(*scene).firewalld, [][]string{
			{"foreign-drop", "note", "table inet firewalld (firewalld): chain filter_INPUT at hook input", "ends in a reject", "answers to flows that began here"},
			{"foreign-drop", "note", "chain filter_FORWARD at hook forward"},
		}},
		"ufw": {(*scene).ufw, [][]string{
			{"foreign-drop", "note", "table ip filter (ufw): chain INPUT at hook input", "policy drop", "answers to flows that began here"},
			{"foreign-drop", "note", "table ip6 filter (ufw): chain FORWARD at hook forward"},
		}},
		"ufw that filters output": {func(s *scene) { s.ufw(); s.script("ufw default deny outgoing\n") }, [][]string{
			{"foreign-drop", "blocks", "table ip filter (ufw): chain OUTPUT at hook output", "policy drop", "`ufw allow out on TUNNEL`"},
		}},
		"Docker": {func(s *scene) { s.docker0() }, [][]string{
			{"foreign-drop", "note", "table ip filter (Docker): chain FORWARD at hook forward", "policy drop"},
			{"guest-bridge", "blocks", "docker0 is a bridge of Docker", `guests = ["docker0"]`},
			{"forwarding", "note", "IPv4"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			if all := s.doctor(); s.finds(all, "foreign-drop") || s.finds(all, "foreign-rules") || s.finds(all, "guest-bridge") || s.finds(all, "forwarding") {
				t.Errorf("before: %+v", all)
			}
			c.start(s)
			all := s.doctor()
			for _, want := range c.want {
				if !s.finds(all, want[0], want[1:]...) {
					t.Errorf("not found: %q in %+v", want, all)
				}
			}
			if s.finds(all, "foreign-drop", "blocks") != (c.want[0][1] == "blocks") {
				t.Errorf("what blocks: %+v", all)
			}
		})
	}
}

func TestDoctorFindsResolversAndWhatFlushesTheRules(t *testing.T) {
	s := newScene(t, "")
	all := s.doctor()
	for _, id := range []string{"resolver-socket", "resolver-listener", "nsswitch-mdns", "connectivity-check", "child", "mark-rule", "mptcp-endpoint"} {
		if s.finds(all, id) {
			t.Errorf("before, %s is found: %+v", id, all)
		}
	}
	if !s.finds(all, "resolv-lan", "blocks", "192.168.1.1") || !s.finds(all, "ipv6", "eth0") || s.finds(all, "flush-ruleset", "/etc/nftables.conf") {
		t.Errorf("before: %+v", all)
	}
	for name, text := range map[string]string{
		"/etc/nftables.conf": "flush ruleset\n", "/etc/systemd/system/sysinit.target.wants/nftables.service": "",
		"/run/systemd/resolve/io.systemd.Resolve": "", "/etc/nsswitch.conf": "hosts: files mdns4_minimal [NOTFOUND=return] dns\n",
		"/etc/NetworkManager/conf.d/20-check.conf": "[connectivity]\nuri=http://check.example/\n",
	} {
		at := s.lab.Client.Path(name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.script(`ip link add link eth0 name mv0 type macvlan mode bridge
ip rule add priority 5210 fwmark 0x80000/0xff0000 table main
ip -6 rule add priority 5210 fwmark 0x80000/0xff0000 table main
ip mptcp endpoint add 192.168.1.101 subflow
`)
	s.daemon("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", "--user=root")
	s.until("dnsmasq is found", func() bool {
		return s.finds(s.doctor(), "resolver-listener", "leaks", "dnsmasq answers names at 127.0.0.1:53")
	})
	all = s.doctor()
	for _, want := range [][]string{
		{"flush-ruleset", "leaks", "/etc/nftables.conf flushes the whole ruleset"}, {"resolver-socket", "leaks", "systemd-resolved"},
		{"nsswitch-mdns", "note", "mdns4_minimal"}, {"connectivity-check", "note", "http://check.example/"}, {"child", "note", "mv0 is a macvlan child of eth0"},
		{"mark-rule", "note", "rule 5210 looks in table 254", "0x80000/0xff0000 (Tailscale's marks)"}, {"mptcp-endpoint", "note", "192.168.1.101"},
	} {
		if !s.finds(all, want[0], want[1:]...) {
			t.Errorf("not found: %q in %+v", want, all)
		}
	}
}

// What an ordinary user may see is shown, and what not is said; the exit status
// tells that it was not all.
func TestDoctorOfAnOrdinaryUserSaysWhatItCouldNotSee(t *testing.T) {
	s := newScene(t, "")
	s.script("nft -f - <<END\n" + killSwitch + "END\n")
	// Root without the capability is an ordinary user to netfilter, and exists in every laboratory.
	for _, args := range [][]string{{"doctor", "--json"}, {"doctor"}} {
		cmd := append(strings.Fields(withoutNetAdmin), append([]string{s.exe}, args...)...)
		c := s.lab.Client.Command(s.ctx, cmd[0], cmd[1:]...)
		var stdout, stderr strings.Builder
		c.Stdout, c.Stderr = &stdout, &stderr
		if err := c.Run(); c.ProcessState == nil || c.ProcessState.ExitCode() != 4 || !strings.Contains(stderr.String(), "CAP_NET_ADMIN") {
			t.Fatalf("%q: %v: %s", args, err, stderr.String())
		}
		for _, want := range []string{"could not look at the nftables tables of others", "could not look at what this kernel can enforce", "resolv-lan"} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%q does not say %q:\n%s", args, want, stdout.String())
			}
		}
		if strings.Contains(stdout.String(), "mullvad") || strings.Contains(stdout.String(), "\nok ") {
			t.Errorf("%q claims what it could not see:\n%s", args, stdout.String())
		}
	}
}
