package tests

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// A copy of this program that has this in its environment, a profile and a
// number, replaces the ruleset of its network namespace that many times.
const envReplace = "VPNGUARD_TEST_REPLACE"

func init() {
	if want := os.Getenv(envReplace); want != "" {
		if err := replaceMany(want); err != nil {
			fmt.Fprintln(os.Stderr, "replace:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

const (
	replacements = 1000
	calls        = 40 // of the whole program on top, half of them changes
)

// replaceMany walks over policies none of which allows what the flood sends:
// other endpoints, owners and sets, with and without a tunnel, LAN and fences.
func replaceMany(want string) error {
	var profile string
	var n int
	if _, err := fmt.Sscan(want, &profile, &n); err != nil {
		return err
	}
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fence := []rules.Wire{{Name: "eth0", Index: eth0.Index, OnLink: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}}
	end := func(s string) endpoint.Endpoint {
		e, err := endpoint.Parse(s)
		if err != nil {
			panic(err)
		}
		return e
	}
	root, mark := rules.Owner{UIDs: []uint32{0}}, rules.Owner{Mark: 0x51, Mask: 0xff}
	carrier := func(o rules.Owner, ends ...endpoint.Endpoint) rules.Carrier {
		return rules.Carrier{Owner: o, Endpoints: ends}
	}
	one, two, six := end("203.0.113.10:1194/udp"), end("203.0.113.11:443/tcp"), end("[2001:db8:5::10]:1194/udp")
	tun := rules.Tunnel{Name: "tun0", Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.2")}}
	resolving := tun
	resolving.Resolvers = []netip.Addr{netip.MustParseAddr("10.8.0.1")}
	policies := []rules.Policy{
		{Tunnels: []rules.Tunnel{tun}, Carriers: []rules.Carrier{carrier(root, one)}, Wires: fence},
		{Tunnels: []rules.Tunnel{tun}, Carriers: []rules.Carrier{carrier(root, one, two, six)}, Wires: fence},
		{Wires: fence},
		{Tunnels: []rules.Tunnel{tun}, Carriers: []rules.Carrier{carrier(mark, one), carrier(root, six)}},
		{Tunnels: []rules.Tunnel{resolving}, Carriers: []rules.Carrier{carrier(root, two)}, Wires: fence, LAN: true},
		{Carriers: []rules.Carrier{carrier(root, one)}, Guests: []string{"guest0"}},
		{Tunnels: []rules.Tunnel{tun}, AllowIn: []rules.Service{{Proto: endpoint.TCP, First: 22, Last: 22}}, Wires: fence},
	}
	if profile == rules.Split.String() {
		policies = splitPolicies(tun, carrier(root, one), carrier(root, one, two, six), fence)
	}
	for i := range policies {
		policies[i].Log = i%2 == 0
	}
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range n {
		rs, err := rules.Build(policies[i%len(policies)])
		if err != nil {
			return err
		}
		if _, err := conn.Replace(rs); err != nil {
			return fmt.Errorf("replacement %d: %w", i, err)
		}
	}
	fmt.Println(n)
	return nil
}

// splitPolicies all keep what the flood sends inside, by one prefix among
// others of the same length and of other ones.
func splitPolicies(tun rules.Tunnel, one, more rules.Carrier, fence []rules.Wire) []rules.Policy {
	split := func(c rules.Carrier, w []rules.Wire, prefixes ...string) rules.Policy {
		t := tun
		for _, p := range prefixes {
			t.Prefixes = append(t.Prefixes, netip.MustParsePrefix(p))
		}
		return rules.Policy{Profile: rules.Split, Tunnels: []rules.Tunnel{t}, Carriers: []rules.Carrier{c}, Wires: w}
	}
	return []rules.Policy{
		split(one, fence, "8.8.8.0/24", "2001:db8:80::/48"),
		split(more, nil, "8.8.8.0/24", "9.9.9.0/24", "10.66.0.0/16", "2001:db8:80::/48", "2001:db8:81::/48"),
		split(one, nil, "8.8.8.8/32", "9.9.9.9/32", "2001:db8:80::80/128", "2001:db8:80::81/128"),
		split(more, fence, "8.0.0.0/8", "10.0.0.0/8", "9.9.9.0/24", "2001:db8::/32", "2001:db9::/32"),
	}
}

// flood starts an ordinary user's senders, one for each family.
func (s *faultScene) flood(rate int, limit time.Duration) (stop func() (attempts uint64), nonces []string) {
	s.Helper()
	var streams []*lab.Stream
	for _, to := range []netip.Addr{site.Public, site.Public6} {
		st, err := s.lab.Stream(s.ctx, s.lab.Client, s.user, probe.Stream{To: netip.AddrPortFrom(to, 7), Rate: rate, For: limit})
		if err != nil {
			s.Fatal(err)
		}
		streams, nonces = append(streams, st), append(nonces, st.Nonce)
	}
	return func() (attempts uint64) {
		s.Helper()
		for _, st := range streams {
			c, err := st.Stop()
			if err != nil {
				s.Fatal(err)
			}
			if c.Sent+c.Refused == 0 {
				s.Error("a sender sent nothing")
			}
			attempts += c.Sent + c.Refused
		}
		return attempts
	}, nonces
}

// seen counts the flood's packets among all frames since the mark, by family.
func (s *faultScene) seen(mark lab.Mark, nonces []string) (frames []wire.Frame, counts []int) {
	s.Helper()
	if err := s.lab.Capture().Sync(s.ctx); err != nil {
		s.Fatal(err)
	}
	frames = s.lab.Capture().Since(mark)
	for _, n := range nonces {
		counts = append(counts, len(wire.Evidence{Needles: [][]byte{[]byte(n)}}.Find(frames)))
	}
	return frames, counts
}

func (s *faultScene) mark() lab.Mark {
	s.Helper()
	m, err := s.lab.Capture().Mark(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	return m
}

func TestThousandReplacementsUnderFloodLeakNothing(t *testing.T) {
	s := newHandScene(t, "")
	s.floodShows()
	s.leaksWhileReplaced(policyAlone)
	s.must(0, upByHand...)
	s.keepsShutWhileReplaced(rules.Full, func() {
		for i := range calls {
			args := upByHand
			if i%2 == 1 {
				args = append(up(), fmt.Sprintf("--endpoint=203.0.113.11:%d/tcp", 1000+i))
			}
			s.must(0, args...)
		}
	})
	s.must(0, "down")
	s.original("after down")
}

// In the split profile nothing ends a chain: what no rule denies goes on in clear.
func TestThousandSplitReplacementsUnderFloodLeakNothing(t *testing.T) {
	s := newHandScene(t, "")
	s.floodShows()
	s.leaksWhileReplaced(intervalSet)
	s.replace(rules.Split, 1)
	s.keepsShutWhileReplaced(rules.Split, func() {})
}

// floodShows is the first control: the same senders with the guard off, slow
// enough to capture all.
func (s *faultScene) floodShows() {
	s.Helper()
	mark := s.mark()
	stop, nonces := s.flood(500, time.Minute)
	wait, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	_, err := s.lab.Capture().Until(wait, mark, func(frames []wire.Frame) bool {
		return len(wire.Numbers(frames, nonces[0])) > 0 && len(wire.Numbers(frames, nonces[1])) > 0
	})
	attempts := stop()
	_, counts := s.seen(mark, nonces)
	s.Logf("guard off: %d packets sent, %v on the wire (IPv4 and IPv6)", attempts, counts)
	if err != nil {
		s.Fatalf("control: not both families show on the wire: %v", err)
	}
}

// replace replaces the host's rules so many times by those of the profile.
func (s *faultScene) replace(p rules.Profile, times int) {
	s.Helper()
	cmd := s.lab.Client.Command(s.ctx, filepath.Join(lab.WorkDir, ".self"))
	cmd.Env = append(cmd.Environ(), fmt.Sprintf("%s=%s %d", envReplace, p, times))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(times) {
		s.Fatalf("%v: %s", err, out)
	}
}

// keepsShutWhileReplaced floods the closed host during replacements and more.
func (s *faultScene) keepsShutWhileReplaced(p rules.Profile, more func()) {
	s.Helper()
	mark := s.mark()
	stop, nonces := s.flood(0, 2*time.Minute)
	start := time.Now()
	s.replace(p, replacements)
	took := time.Since(start)
	more()
	attempts := stop()
	frames, counts := s.seen(mark, nonces)
	s.Logf("%s: %d replacements in %v (%v each), %d packets sent meanwhile: %v on the wire (IPv4 and IPv6)",
		p, replacements, took.Round(time.Millisecond), (took / replacements).Round(10*time.Microsecond), attempts, counts)
	if v := s.lab.Policy().Judge(frames); counts[0] > 0 || counts[1] > 0 || len(v.Leaks) > 0 {
		s.Errorf("leaked: %v", v)
	}
	if attempts < 10*replacements {
		s.Errorf("only %d packets were sent: no flood", attempts)
	}
}

// policyAlone replaces a closed table in one transaction as well, but in the
// way that leaves its policy alone for a moment.
const policyAlone = `
add table inet gap
delete table inet gap
table inet gap {
	chain output {
		type filter hook output priority 0; policy drop;
	}
}
`

// intervalSet keeps its chain, but denies by sets that are empty for a moment.
const intervalSet = `
add table inet gap
add chain inet gap output { type filter hook output priority 0; policy accept; }
flush chain inet gap output
table inet gap {
	chain output {
		ip daddr { 8.8.8.0/24, 10.0.0.0/8 } reject
		ip6 daddr { 2001:db8:80::/48, fd00::/8 } reject
	}
}
`

// leaksWhileReplaced is the second control: this flood does find a gap if
// there is one.
func (s *faultScene) leaksWhileReplaced(text string) {
	s.Helper()
	file := filepath.Join(s.lab.Dir, "gap.nft")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
	replace := func() {
		s.Helper()
		if _, err := s.lab.Client.Run(s.ctx, "sh", "-c", "for i in 0 1 2 3 4 5 6 7 8 9; do nft -f "+file+" || exit 1; done"); err != nil {
			s.Fatal(err)
		}
	}
	replace()
	mark := s.mark()
	stop, nonces := s.flood(0, 2*time.Minute)
	n, found := 0, 0
	for deadline := time.Now().Add(time.Minute); found == 0 && time.Now().Before(deadline); n += 10 {
		replace()
		_, counts := s.seen(mark, nonces)
		found = counts[0] + counts[1]
	}
	s.Logf("control:%s%d packets sent, %d on the wire within %d replacements", text, stop(), found, n)
	if found == 0 {
		s.Error("control: these replacements show no gap, so the flood proves nothing")
	}
	if _, err := s.lab.Client.Run(s.ctx, "nft", "delete", "table", "inet", "gap"); err != nil {
		s.Fatal(err)
	}
}
