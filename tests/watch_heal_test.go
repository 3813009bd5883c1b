package tests

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// meddling is what another program does to a closed host.
type meddling struct {
	name    string
	command string
	found   string // what the guardian says it found; empty: nothing to heal
	culprit string // program that is named; empty: the kernel does not tell
	opens   bool   // it alone, without a guardian, opens the host
}

// onTables can only be done where the tables are shared.
var onTables = []meddling{
	{"flush ruleset", "nft flush ruleset", "table deleted", "nft", true},
	{"delete table", "nft delete table inet vpnguard", "table deleted", "nft", false},
	{"delete fences", "nft delete table netdev vpnguard", "table deleted", "nft", false},
	{"flush chain", "nft flush chain inet vpnguard output", "rule deleted from chain output", "nft", false},
	{"insert accept", "nft insert rule inet vpnguard output accept", "rule added to chain output", "nft", false},
	{"delete one rule", `nft delete rule inet vpnguard output handle $(nft -a list chain inet vpnguard output | sed -n 's/.*out-end:.*handle //p')`, "rule deleted from chain output", "nft", false},
	{"policy", "nft 'add chain inet vpnguard output { policy accept; }'", "chain output changed", "nft", false},
	{"dormant", "nft 'add table inet vpnguard { flags dormant; }'", "table changed", "nft", false},
	{"a reload as firewalls do it", "printf 'flush ruleset\ntable inet other { chain c { type filter hook input priority 10; policy accept; }; }\n' | nft -f -", "table deleted", "nft", true},
}

// onHost can be done whoever owns the tables.
var onHost = []meddling{
	{"rp_filter", "echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter", "net/ipv4/conf/eth0/rp_filter", "", false},
	{"accept_redirects of IPv6", "echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_redirects", "net/ipv6/conf/eth0/accept_redirects", "", false},
	{"a new wire with a route", "ip link add wire1 type veth peer name far1; ip link set wire1 up; ip addr add 192.168.9.2/24 dev wire1; ip route add 8.8.8.8/32 dev wire1", "interface wire1 is new", "", false},
	{"a renamed wire", "ip link set wire1 down; ip link set wire1 name wire2; ip link set wire2 up", "interface wire2 was wire1", "", false},
	{"routing rules flushed", "ip rule flush; ip rule add pref 32766 table main; ip rule add pref 32767 table default", "", "", false},
	{"the resolver file", "echo nameserver 192.168.1.1 > /etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf", "", "", false},
	{"an injected route", "ip route add 1.1.1.1/32 via 192.168.1.1 dev eth0", "", "", false},
}

// meddled does it to a locked host under a stream and wants it healed.
func (s *scene) meddled(g *guardianProcess, m meddling) {
	s.Helper()
	heals := s.guardian().Heals
	if out, err := s.lab.Client.Run(s.ctx, "sh", "-c", m.command); err != nil {
		s.Fatalf("%s: %v: %s", m.name, err, out)
	}
	if m.found == "" {
		s.must(0, "status")
		return
	}
	var v guardianView
	s.until(m.name+" is healed", func() bool {
		v = s.guardian()
		return v.Heals > heals && slices.ContainsFunc(v.LastHeal.Drift, func(d string) bool { return strings.Contains(d, m.found) })
	})
	s.until("the host is as recorded after "+m.name, func() bool {
		_, _, code := s.vpnguard("status")
		return code == 0
	})
	if named := strings.Join(v.LastHeal.Culprits, " "); !strings.Contains(named, m.culprit) {
		s.Errorf("%s: %q does not name %q\n%s", m.name, named, m.culprit, g.log())
	}
}

// streaming runs f under a stream of an ordinary user and one past all inet
// hooks, and returns how many of each were tried and how many left.
func (s *scene) streaming(f func()) (tried uint64, left int) {
	s.Helper()
	mark := s.mark()
	st, err := s.lab.Stream(s.ctx, s.lab.Client, s.user, probe.Stream{To: netip.AddrPortFrom(site.Public, 7), Rate: 1000, For: sceneTime})
	if err != nil {
		s.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	f()
	time.Sleep(100 * time.Millisecond)
	c, err := st.Stop()
	if err != nil {
		s.Fatal(err)
	}
	frames := s.since(mark)
	return c.Sent + c.Refused, len(wire.Evidence{Needles: [][]byte{[]byte(st.Nonce)}}.Find(frames))
}

func TestGuardianHealsSharedTablesAndNamesWhoChangedThem(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	before := s.snapshot()
	// The control: without a guardian some of these let the stream out. The
	// others leave the fence or the inet rules, which hold alone.
	for _, m := range onTables {
		s.must(0, "lock")
		if _, left := s.streaming(func() {
			if out, err := s.lab.Client.Run(s.ctx, "sh", "-c", m.command); err != nil {
				t.Fatalf("%s: %v: %s", m.name, err, out)
			}
		}); left == 0 && m.opens {
			t.Errorf("control: %s without a guardian lets nothing out", m.name)
		}
		s.must(0, "unlock")
		_, _ = s.lab.Client.Run(s.ctx, "nft", "flush", "ruleset")
	}
	s.must(0, "lock")
	g := s.watch("--share")
	if s.guardian().Owns {
		t.Fatal("the guardian owns tables that it should share")
	}
	var took []time.Duration
	for _, m := range onTables {
		tried, left := s.streaming(func() { s.meddled(g, m) })
		took = append(took, s.guardian().LastHeal.Took)
		t.Logf("%s: healed in %v; %d tried, %d left meanwhile", m.name, s.guardian().LastHeal.Took, tried, left)
	}
	slices.Sort(took)
	t.Logf("time to heal: median %v, maximum %v", took[len(took)/2], took[len(took)-1])
	_, _ = s.lab.Client.Run(s.ctx, "nft", "delete", "table", "inet", "other")
	s.must(0, "unlock")
	s.restored(before)
}

func TestGuardianKeepsAMeddledHostClosed(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	s.must(0, "lock")
	g := s.watch()
	for _, m := range append(slices.Clone(onTables), onHost...) {
		tried, left := s.streaming(func() {
			if slices.ContainsFunc(onTables, func(x meddling) bool { return x.name == m.name }) {
				_, _ = s.lab.Client.Run(s.ctx, "sh", "-c", m.command) // refused, or passed by
				s.must(0, "status")
				return
			}
			s.meddled(g, m)
		})
		t.Logf("%s: %d tried, %d left", m.name, tried, left)
		if left > 0 || tried == 0 {
			t.Errorf("%s: %d of %d packets left\n%s", m.name, left, tried, g.log())
		}
	}
	g.says("a route leads to a wire; what it attracts is refused, not leaked\" to=1.1.1.1/32 by=eth0")
	g.says("routing rules were changed")
	g.says(`the resolver configuration was changed" file=/etc/resolv.conf`)
	s.closed(lockProbes)
}

// The fence of a new wire stops packet sockets there as well.
func TestGuardianFencesANewWire(t *testing.T) {
	s := newScene(t, "")
	const wires = "ip link add wire1 type veth peer name far1; ip addr add 192.168.9.2/24 dev wire1; ip link set wire1 up; ip link set far1 up"
	packets := func() int {
		s.Helper()
		out, err := s.lab.Client.Run(s.ctx, "sh", "-c", "cat /sys/class/net/far1/statistics/rx_packets")
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscan(out, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	sent := func() int {
		s.Helper()
		before := packets()
		_, err := s.lab.Try(s.ctx, s.lab.Client, 0, probe.Order{Name: "packet-ipv4", Dev: "wire1"})
		if err != nil {
			t.Fatal(err)
		}
		return packets() - before
	}
	s.must(0, "lock")
	quiet := "echo 1 > /proc/sys/net/ipv6/conf/wire1/disable_ipv6"
	if out, err := s.lab.Client.Run(s.ctx, "sh", "-c", wires+"; "+quiet); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if sent() == 0 {
		t.Error("control: without a guardian a packet socket sends nothing by a new wire")
	}
	if out, err := s.lab.Client.Run(s.ctx, "ip", "link", "del", "wire1"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.watch()
	if out, err := s.lab.Client.Run(s.ctx, "sh", "-c", wires+"; "+quiet); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.until("the new wire has its fence", func() bool { _, _, code := s.vpnguard("status"); return code == 0 })
	if n := sent(); n > 0 {
		t.Errorf("%d frames left by the new wire", n)
	}
}
