package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/lab/probe"
)

// many is a session with a bit of everything.
var many = []string{"up", "--dev", "tun0", "--endpoint", "203.0.113.10:1194/udp", "--endpoint", "[2001:db8:5::10]:443/tcp",
	"--owner", "root", "--owner", "65534", "--dns", "10.8.0.1", "--dns", "fd00:8::1"}

// fresh loads text by nft in a new network namespace that has an eth0 of its
// own, and lists it there.
func (s *faultScene) fresh(text string) string {
	s.Helper()
	file := filepath.Join(s.lab.Dir, "fresh.nft")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
	if _, err := s.lab.Client.Run(s.ctx, "nft", "-c", "-f", file); err != nil {
		s.Errorf("nft -c refuses it: %v\n%s", err, text)
	}
	out, err := s.lab.Client.Run(s.ctx, "unshare", "--net", "sh", "-e", "-c",
		"ip link add eth0 type veth peer name peer0; nft -f "+file+"; nft -s list ruleset")
	if err != nil {
		s.Fatal(err)
	}
	return out
}

func TestRulesLoadIntoAFreshNamespaceAsTheKernelHasThem(t *testing.T) {
	s := newHandScene(t, "")
	stdout, stderr := s.must(0, "rules")
	if stdout != "" || stderr != "vpnguard: open: no rules are in force\n" {
		t.Errorf("rules on the open host: %q, %q", stdout, stderr)
	}
	for _, profile := range []string{"full", "split"} {
		s.must(0, append(append([]string{}, many...), "--profile", profile)...)
		text, stderr := s.must(0, "rules")
		if stderr != "" {
			t.Errorf("rules says on stderr: %s", stderr)
		}
		kernel := s.rules()
		if len(kernel) < 1000 {
			t.Fatalf("the kernel has next to nothing:\n%s", kernel)
		}
		if diff := cmp.Diff(kernel, s.fresh(text)); diff != "" {
			t.Errorf("%s: loaded in a fresh namespace (+) it is not what the kernel has (-):\n%s", profile, diff)
		}
		s.must(0, "down")
	}

	s.must(0, upByHand...)
	if err := s.lab.Client.Script(s.ctx, "nft add rule inet vpnguard output accept"); err != nil {
		t.Fatal(err)
	}
	if text, stderr := s.must(3, "rules"); !strings.HasPrefix(text, "table inet vpnguard {") || !strings.Contains(stderr, "what is enforced is not what was recorded") {
		t.Errorf("rules with drift: %s\n%s", text, stderr)
	}
}

func TestDryRunChangesNothingAndPrintsWhatTheRealRunDoes(t *testing.T) {
	s := newHandScene(t, "")
	for _, profile := range []string{"full", "split"} {
		args := append(append([]string{}, many...), "--profile", profile)
		text, _ := s.must(0, append(args, "--dry-run")...)
		s.original("after a dry run")
		var sysctls []string
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "# sysctl "); ok {
				sysctls = append(sysctls, strings.TrimSpace(rest))
			}
		}
		stdout, _ := s.must(0, args...)
		if stdout != "" {
			t.Errorf("up says on stdout: %s", stdout)
		}
		sealed := s.snapshot()
		if diff := cmp.Diff(sealed[rulesKey], s.fresh(text)); diff != "" {
			t.Errorf("%s: what the dry run printed (+) is not what is in force (-):\n%s", profile, diff)
		}
		var turned []string
		for key, old := range s.before {
			if knob, ok := strings.CutPrefix(key, "/proc/sys/"); ok && sealed[key] != old {
				turned = append(turned, fmt.Sprintf("%s = %s (was %s)", knob, strings.TrimSpace(sealed[key]), strings.TrimSpace(old)))
			}
		}
		slices.Sort(turned)
		slices.Sort(sysctls)
		if diff := cmp.Diff(turned, sysctls); diff != "" || len(turned) == 0 {
			t.Errorf("%s: knobs printed (+) and turned (-):\n%s", profile, diff)
		}

		again, _ := s.must(0, append(args, "--dry-run", "--endpoint", "203.0.113.11:1194/udp")...)
		if diff := sealed.Diff(s.snapshot()); diff != "" {
			t.Errorf("%s: a dry run on the sealed host changed it:\n%s", profile, diff)
		}
		if !strings.Contains(again, "203.0.113.11") {
			t.Errorf("%s: the dry run does not show the change:\n%s", profile, again)
		}
		s.must(0, "down")
		s.original("after down")
	}
}

var decision = regexp.MustCompile(`^(\S.*) \(rule (\S+) of chain (\S+)\)\n$`)

// What `rules --explain` says of a packet is what the kernel's own counters
// and the wire say when that packet is sent.
func TestExplainNamesTheRuleThatCounts(t *testing.T) {
	s := newHandScene(t, "")
	s.leaks()
	// Steered, these packets would not come to the wire that is asked about.
	s.must(0, append(slices.Clone(upByHand), "--steer", "off")...)
	user := fmt.Sprint(s.user)
	for _, c := range []struct {
		packet, probe string
		uid           int
		passes        bool
	}{
		{"out eth0 udp 8.8.8.8:7 uid " + user, "udp-public", s.user, false},
		{"out eth0 tcp 8.8.8.8:7 uid " + user, "tcp-public", s.user, false},
		{"out eth0 icmp 8.8.8.8 uid " + user, "icmp-public", s.user, false},
		{"out eth0 udp [2001:db8:80::80]:7 uid " + user, "udp-public-v6", s.user, false},
		{"out eth0 udp 192.168.1.1:53 uid " + user, "dns-udp-lan", s.user, false},
		{"out eth0 tcp 192.168.1.1:853 uid " + user, "dot-tcp-lan", s.user, false},
		{"out eth0 udp 203.0.113.10:56789 uid " + user, "udp-server", s.user, false},
		{"out eth0 udp 203.0.113.10:1194 uid " + user, "udp-carrier-port", s.user, s.user == 0},
		{"out eth0 udp 203.0.113.10:1194 uid 0", "udp-carrier-port", 0, true},
		{"out eth0 tcp 203.0.113.10:1194 uid 0", "tcp-carrier-port", 0, false},
		{"frame eth0 udp 8.8.8.8:7", "packet-ipv4", 0, false},
	} {
		stdout, _ := s.must(0, "rules", "--explain", c.packet)
		m := decision.FindStringSubmatch(stdout)
		if m == nil {
			t.Errorf("%s: %q names no rule", c.packet, stdout)
			continue
		}
		if (m[1] == "accept") != c.passes {
			t.Errorf("%s: %s, want passing %v", c.packet, stdout, c.passes)
		}
		before := s.counter(m[3], m[2])
		a, err := s.lab.Try(s.ctx, s.lab.Client, c.uid, probe.Order{Name: c.probe})
		if err != nil {
			t.Fatal(err)
		}
		if (len(a.Seen) > 0) != c.passes {
			t.Errorf("%s: on the wire %d, said %s", c.packet, len(a.Seen), stdout)
		}
		// An accept of the output chain is not the last word, but it counts.
		if after := s.counter(m[3], m[2]); after <= before {
			t.Errorf("%s: %s but its counter stays %v", c.packet, stdout, before)
		}
	}
}

func (s *faultScene) counter(chain, rule string) float64 {
	s.Helper()
	for _, c := range s.status("counters", 0)["counters"].([]any) {
		c := c.(map[string]any)
		if id, _, _ := strings.Cut(c["rule"].(string), ":"); c["chain"] == chain && id == rule {
			return c["packets"].(float64)
		}
	}
	s.Fatalf("no counter of rule %s of chain %s", rule, chain)
	return 0
}

// Data goes to stdout and everything else to stderr, so that a pipe stays clean.
func TestStdoutCarriesDataOnly(t *testing.T) {
	s := newHandScene(t, "")
	for _, args := range [][]string{upByHand, append(upByHand, "--endpoint", "nosuch.example:1194/udp"), {"down"}, {"recover"}, {"down"}} {
		stdout, stderr := s.must(0, args...)
		if stdout != "" || !strings.HasPrefix(stderr, "vpnguard: ") {
			t.Errorf("%q: stdout %q, stderr %q", args, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"rules", "--json"}, {"doctor"}, {"doctor", "--json"}, {"version"}, {"--help"}, {"up", "--help"}} {
		stdout, stderr := s.must(0, args...)
		if stdout == "" || stderr != "" {
			t.Errorf("%q: stdout %q, stderr %q", args, stdout, stderr)
		}
	}
	if stdout, _ := s.must(0, "version"); !regexp.MustCompile(`^vpnguard \S+\n$`).MatchString(stdout) {
		t.Errorf("version: %q", stdout)
	}
}
