package tests

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// Benchmarks compare side by side in one run: machines are noisy, ratios of
// medians are not. Each prints its medians and reports the ratio.

const benchRounds = 41

// BenchmarkUp compares the whole process `vpnguard up` with `nft -f` of the
// same rules, and `vpnguard down` with nft deleting them. It runs in the test's
// own namespaces, so that nothing but the two programs is measured.
func BenchmarkUp(b *testing.B) {
	exe := binary(b, "")
	benchLinks(b)
	args := []string{"up", "--dev", "tun0", "--endpoint", "203.0.113.10:1194/udp", "--owner", "0"}
	out, err := exec.Command(exe, append(args, "--dry-run")...).Output()
	if err != nil {
		b.Fatal(err)
	}
	load := filepath.Join(lab.WorkDir, "bench.nft")
	unload := filepath.Join(lab.WorkDir, "bench-del.nft")
	must(b, os.WriteFile(load, out, 0o600))
	must(b, os.WriteFile(unload, []byte("delete table inet vpnguard\ndelete table netdev vpnguard\n"), 0o600))
	for b.Loop() {
		var up, down, add, del []time.Duration
		for range benchRounds {
			up = append(up, timed(b, exe, args...))
			down = append(down, timed(b, exe, "down"))
			add = append(add, timed(b, "nft", "-f", load))
			del = append(del, timed(b, "nft", "-f", unload))
		}
		compare(b, "up", "vpnguard up", up, "nft -f", add)
		compare(b, "down", "vpnguard down", down, "nft -f (delete)", del)
	}
}

// BenchmarkOutput compares packets per second by UDP from the host into its
// tunnel device without rules, sealed with one endpoint and with 10,000.
func BenchmarkOutput(b *testing.B) {
	benchLinks(b)
	conn, err := nft.Open()
	must(b, err)
	defer conn.Close()
	defer func() { must(b, conn.Remove()) }()
	kinds := []string{"open", "1 endpoint", "10000 endpoints"}
	took := map[string][]time.Duration{}
	for range benchRounds {
		for i, kind := range kinds {
			must(b, conn.Remove())
			if i > 0 {
				_, err := conn.Replace(benchRuleset(b, []int{0, 1, 10000}[i]))
				must(b, err)
			}
			took[kind] = append(took[kind], sendMany(b))
		}
	}
	for i, kind := range kinds[1:] {
		base, sealed := median(took["open"]), median(took[kind])
		ratio := pairedRatio(took["open"], took[kind])
		b.Logf("%-16s %8.0f packets/s, open %8.0f packets/s, ratio %.3f", kind, benchPackets/sealed.Seconds(), benchPackets/base.Seconds(), ratio)
		b.ReportMetric(ratio, fmt.Sprintf("pps-ratio-%d", []int{1, 10000}[i]))
	}
}

// BenchmarkTunnel compares packets per second through the host's OpenVPN
// tunnel, both ways, unsealed, sealed, and sealed with 10,000 endpoints: first as
// TCP does it by itself, which fills the client's socket until that loses some;
// then with windows so small that nothing is lost, where the time that a packet
// takes is all that counts. There the unsealed host is measured with connection
// tracking on, too, as it is wherever there is a stateful firewall.
func BenchmarkTunnel(b *testing.B) {
	s := newSceneFor(b, "", 20*time.Minute)
	srv := openvpn.Server{Ping: 10 * time.Second, Restart: time.Minute}
	s.serve(srv)
	c := openvpn.Client{Remotes: remotes(srv)}
	client, err := c.Start(s.ctx, s.lab, s.pki)
	must(b, err)
	must(b, client.WaitUp(s.ctx, 1))
	// With one endpoint everything is in force: sysctls and steering too. With
	// thousands there is no steering.
	up := []string{"up", "--dev", "tun0", "--owner", "0", "--endpoint", srv.Endpoint().String() + "/udp"}
	text, stderr, code := s.run(nil, append(up, "--dry-run")...)
	if code != 0 {
		b.Fatal(stderr)
	}
	many := []string{text}
	many = append(many, moreEndpoints(9999)...)
	sealed := tunnelKind{name: "1 endpoint", up: up}
	for b.Loop() {
		s.windows(b, 6<<20)
		s.tunnelRatios(b, "", []tunnelKind{{name: "open"}, sealed, {name: "10000 endpoints", rules: many}})
		s.windows(b, 128<<10)
		s.tunnelRatios(b, "lossless-", []tunnelKind{{name: "open"}, sealed, {name: "tracked", rules: []string{tracking}}})
	}
}

// windows sets how much TCP may have on its way.
func (s *scene) windows(b *testing.B, most int) {
	for _, n := range []*lab.Node{s.lab.Client, s.lab.Internet} {
		for _, knob := range []string{"rmem", "wmem"} {
			_, err := n.Run(s.ctx, "sysctl", "-w", fmt.Sprintf("net.ipv4.tcp_%s=4096 131072 %d", knob, most))
			must(b, err)
		}
	}
}

// tracking is the least that makes the kernel track connections.
const tracking = "table inet vpnguard { chain input { type filter hook input priority 0; ct state established accept; }; }; table netdev vpnguard;"

// tunnelKind is a state of the host: with these rules, or after this command.
type tunnelKind struct {
	name  string
	rules []string
	up    []string
}

// tunnelRatios compares the first kind with each of the others, by turns.
func (s *scene) tunnelRatios(b *testing.B, prefix string, kinds []tunnelKind) {
	for _, k := range kinds {
		for i, text := range k.rules {
			must(b, os.WriteFile(s.rulesFile(k, i), []byte(text), 0o600))
		}
	}
	nftIn := func(args ...string) {
		_, err := s.lab.Client.Run(s.ctx, "nft", args...)
		must(b, err)
	}
	took := map[string][]time.Duration{}
	for round := range tunnelRounds {
		for i := range kinds {
			k := kinds[(i+round)%len(kinds)] // each comes first as often
			for i := range k.rules {
				nftIn("-f", s.rulesFile(k, i))
			}
			if k.up != nil {
				s.must(0, k.up...)
			}
			start := time.Now()
			must(b, s.lab.Transfer(s.ctx, s.user, site.Public, tunnelBytes))
			took[k.name] = append(took[k.name], time.Since(start))
			if k.up != nil {
				s.must(0, "down")
			}
			if k.rules != nil {
				nftIn("delete table inet vpnguard; delete table netdev vpnguard")
			}
		}
	}
	open := took[kinds[0].name]
	for _, k := range kinds[1:] {
		pps := func(d []time.Duration) float64 { return 2 * tunnelBytes / tunnelSegment / median(d).Seconds() }
		ratio := pairedRatio(open, took[k.name])
		b.Logf("through the tunnel, %s%-15s %6.0f packets/s, open %6.0f packets/s, ratio %.3f (medians of %d)",
			prefix, k.name, pps(took[k.name]), pps(open), ratio, tunnelRounds)
		b.ReportMetric(ratio, prefix+"tunnel-ratio-"+strings.Fields(k.name)[0])
	}
}

func (s *scene) rulesFile(k tunnelKind, i int) string {
	return filepath.Join(s.lab.Dir, fmt.Sprintf("%s%d.nft", strings.Fields(k.name)[0], i))
}

// moreEndpoints are texts that add so many servers to the sets of one carrier:
// nft cannot send them at once without the right to a larger socket buffer.
func moreEndpoints(n int) (texts []string) {
	for at := 0; at < n; at += 500 {
		var tuples, addrs []string
		for i := at; i < min(n, at+500); i++ {
			a := fmt.Sprintf("198.18.%d.%d", i/250, 1+i%250)
			addrs, tuples = append(addrs, a), append(tuples, a+" . udp . 1194")
		}
		text := ""
		for set, elements := range map[string][]string{"inet vpnguard carrier0_ip4": tuples, "inet vpnguard servers_ip4": addrs,
			"netdev vpnguard carriers_ip4": tuples, "netdev vpnguard servers_ip4": addrs} {
			text += fmt.Sprintf("add element %s { %s }\n", set, strings.Join(elements, ", "))
		}
		texts = append(texts, text)
	}
	return texts
}

const (
	tunnelRounds  = 91
	tunnelBytes   = 8 << 20 // each way
	tunnelSegment = 1300    // bytes of TCP payload in a packet, about
)

// benchPackets are sent in one measurement, about a tenth of a second.
const benchPackets = 60000

// benchLinks makes a wire and a tunnel in the test's own network namespace.
func benchLinks(b *testing.B) {
	b.Helper()
	script := `link add eth0 type veth peer name far0
link set eth0 up
link set far0 up
addr add 192.168.1.101/24 dev eth0
neigh add 192.168.1.1 lladdr 02:00:00:00:00:01 dev eth0
route add default via 192.168.1.1 dev eth0
tuntap add tun0 mode tun
addr add 10.8.0.2/24 dev tun0
link set tun0 up
`
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("make links: %v: %s", err, out)
	}
	b.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "eth0").Run()
		_ = exec.Command("ip", "link", "del", "tun0").Run()
	})
}

func benchRuleset(b *testing.B, n int) rules.Ruleset {
	b.Helper()
	p := rules.Policy{
		Tunnels: []rules.Tunnel{{Name: "tun0", Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.2")}}},
		Wires:   []rules.Wire{{Name: "eth0", Index: linkIndex(b, "eth0")}},
	}
	c := rules.Carrier{Owner: rules.Owner{UIDs: []uint32{0}}}
	for i := range n {
		a := netip.AddrFrom4([4]byte{203, 0, byte(113 + i/250), byte(1 + i%250)})
		c.Endpoints = append(c.Endpoints, endpoint.Endpoint{Addr: netip.AddrPortFrom(a, 1194), Proto: endpoint.UDP})
	}
	p.Carriers = []rules.Carrier{c}
	rs, err := rules.Build(p)
	must(b, err)
	return rs
}

func timed(b *testing.B, name string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.Command(name, args...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return took
}

func compare(b *testing.B, what, name string, took []time.Duration, baseName string, base []time.Duration) {
	b.Helper()
	ratio := float64(median(took)) / float64(median(base))
	b.Logf("%s: %s %v, %s %v, ratio %.2f (medians of %d)", what, name, median(took), baseName, median(base), ratio, benchRounds)
	b.ReportMetric(ratio, what+"-ratio")
}

// pairedRatio is the median of the rounds' ratios of rates: neighbours in time
// share the machine's noise.
func pairedRatio(base, sealed []time.Duration) float64 {
	var ratios []float64
	for i := range base {
		ratios = append(ratios, base[i].Seconds()/sealed[i].Seconds())
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
