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

// A copy of this program that has this in its environment replaces the ruleset
// of its network namespace that many times.
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
func replaceMany(times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
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
	// The control: the same senders with the guard off, slow enough to capture all.
	mark := s.mark()
	stop, nonces := s.flood(500, time.Minute)
	wait, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	_, err := s.lab.Capture().Until(wait, mark, func(frames []wire.Frame) bool {
		return len(wire.Numbers(frames, nonces[0])) > 0 && len(wire.Numbers(frames, nonces[1])) > 0
	})
	attempts := stop()
	_, counts := s.seen(mark, nonces)
	t.Logf("guard off: %d packets sent, %v on the wire (IPv4 and IPv6)", attempts, counts)
	if err != nil {
		t.Fatalf("control: not both families show on the wire: %v", err)
	}

	s.policyAloneLeaks()

	s.must(0, upByHand...)
	mark = s.mark()
	stop, nonces = s.flood(0, 2*time.Minute)
	start := time.Now()
	cmd := s.lab.Client.Command(s.ctx, filepath.Join(lab.WorkDir, ".self"))
	cmd.Env = append(cmd.Environ(), envReplace+"="+strconv.Itoa(replacements))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(replacements) {
		t.Fatalf("%v: %s", err, out)
	}
	took := time.Since(start)
	for i := range calls {
		args := upByHand
		if i%2 == 1 {
			args = append(up(), fmt.Sprintf("--endpoint=203.0.113.11:%d/tcp", 1000+i))
		}
		s.must(0, args...)
	}
	attempts = stop()
	frames, counts := s.seen(mark, nonces)
	t.Logf("%d replacements in %v (%v each) and %d calls of `up`, %d packets sent meanwhile: %v on the wire (IPv4 and IPv6)",
		replacements, took.Round(time.Millisecond), (took / replacements).Round(10*time.Microsecond), calls, attempts, counts)
	if v := s.lab.Policy().Judge(frames); counts[0] > 0 || counts[1] > 0 || len(v.Leaks) > 0 {
		t.Errorf("leaked: %v", v)
	}
	if attempts < 10*replacements {
		t.Errorf("only %d packets were sent: no flood", attempts)
	}
	s.must(0, "down")
	s.original("after down")
}

// gap replaces a closed table in one transaction as well, but in the way that
// leaves its policy alone for a moment.
const gap = `
add table inet gap
delete table inet gap
table inet gap {
	chain output {
		type filter hook output priority 0; policy drop;
	}
}
`

// policyAloneLeaks is the second control: this flood does find a gap if there
// is one.
func (s *faultScene) policyAloneLeaks() {
	s.Helper()
	file := filepath.Join(s.lab.Dir, "gap.nft")
	if err := os.WriteFile(file, []byte(gap), 0o644); err != nil {
		s.Fatal(err)
	}
	replace := func() {
		s.Helper()
		if _, err := s.lab.Client.Run(s.ctx, "sh", "-c", "for i in 0 1 2 3 4 5 6 7 8 9; do nft -f "+file+"; done"); err != nil {
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
	s.Logf("a table with policy drop alone: %d packets sent, %d on the wire within %d replacements", stop(), found, n)
	if found == 0 {
		s.Error("control: replacing a table with policy drop alone shows no gap, so the flood proves nothing")
	}
	if _, err := s.lab.Client.Run(s.ctx, "nft", "delete", "table", "inet", "gap"); err != nil {
		s.Fatal(err)
	}
}
