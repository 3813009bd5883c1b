package tunnel_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
)

// route is two places and two routers between them:
//
//	a                 r                      s                 b
//	wire ------------ near    far ---- far   near ------------ wire
//	198.51.100.1      .254                   203.0.113.254     203.0.113.2
//	2001:db8::1       ::fe                   2001:db8:1::fe    2001:db8:1::2
//
// Only the cable in the middle is narrow, so that neither end's own link tells.
type route struct {
	t          testing.TB
	a, b, r, s *place
	family     int
}

func newRoute(t testing.TB, family, mtu int, icmp bool) *route {
	t.Helper()
	n := &route{t, newPlace(t, 1), newPlace(t, 2), newPlace(t, 3), newPlace(t, 4), family}
	n.b.wire = [2]netip.Addr{netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8:1::2")}
	for _, p := range []*place{n.a, n.b, n.r, n.s} { // nobody else has our addresses
		p.run("sh", "-c", "for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done")
	}
	cable := func(p *place, name string, q *place, other string) {
		t.Helper()
		p.run("ip", "link", "add", name, "mtu", "9000", "type", "veth", "peer", "name", other, "mtu", "9000", "netns", fmt.Sprint(q.pid))
	}
	cable(n.a, "wire", n.r, "near")
	cable(n.b, "wire", n.s, "near")
	cable(n.r, "far", n.s, "far")
	for _, c := range []struct {
		p         *place
		dev       string
		four, six string
	}{
		{n.a, "wire", "198.51.100.1/24", "2001:db8::1/64"}, {n.r, "near", "198.51.100.254/24", "2001:db8::fe/64"},
		{n.b, "wire", "203.0.113.2/24", "2001:db8:1::2/64"}, {n.s, "near", "203.0.113.254/24", "2001:db8:1::fe/64"},
		{n.r, "far", "192.0.2.1/24", "2001:db8:2::1/64"}, {n.s, "far", "192.0.2.2/24", "2001:db8:2::2/64"},
	} {
		c.p.run("ip", "addr", "add", c.four, "dev", c.dev)
		c.p.run("ip", "addr", "add", c.six, "dev", c.dev, "nodad")
		c.p.run("ip", "link", "set", c.dev, "up")
	}
	for _, r := range []*place{n.r, n.s} {
		r.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
		rules := "table inet t { chain p { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 counter; exthdr frag exists counter; }\n"
		if !icmp {
			rules += "chain o { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }\n"
		}
		r.run("nft", rules+"}")
	}
	for _, c := range [][5]any{
		{n.a, "198.51.100.254", "2001:db8::fe", "default", "default"}, {n.b, "203.0.113.254", "2001:db8:1::fe", "default", "default"},
		{n.r, "192.0.2.2", "2001:db8:2::2", "203.0.113.0/24", "2001:db8:1::/64"}, {n.s, "192.0.2.1", "2001:db8:2::1", "198.51.100.0/24", "2001:db8::/64"},
	} {
		c[0].(*place).run("ip", "route", "add", c[3].(string), "via", c[1].(string))
		c[0].(*place).run("ip", "-6", "route", "add", c[4].(string), "via", c[2].(string))
	}
	n.narrow(mtu)
	n.a.reach(n.b.wire[family], 56)
	return n
}

// reach fails unless a ping of size bytes is answered; the first few may be
// lost while neighbours and paths are found out.
func (p *place) reach(to netip.Addr, size int) {
	p.t.Helper()
	var err error
	for range 12 { // the first handshake may meet neighbours that are not ready, and is tried again after 5 s
		if err = p.command("busybox", "ping", "-q", "-c", "1", "-s", strconv.Itoa(size), "-W", "1", to.String()).Run(); err == nil {
			return
		}
	}
	p.t.Errorf("ping %s with %d bytes: %v", to, size, err)
}

// narrow gives the cable in the middle another MTU.
func (n *route) narrow(mtu int) {
	n.t.Helper()
	n.r.run("ip", "link", "set", "far", "mtu", strconv.Itoa(mtu))
	n.s.run("ip", "link", "set", "far", "mtu", strconv.Itoa(mtu))
}

// fragments that the routers saw outside the tunnel.
func (n *route) fragments() (count int) {
	n.t.Helper()
	for _, r := range []*place{n.r, n.s} {
		f := strings.Fields(r.run("nft", "list", "chain", "inet", "t", "p"))
		for i, word := range f {
			if word == "packets" {
				c, err := strconv.Atoi(f[i+1])
				if err != nil {
					n.t.Fatal(err)
				}
				count += c
			}
		}
	}
	return count
}

// tunnels joins the ends, with the family of outside inside alone: IPv6 keeps a
// device at 1280. role is of [tunnelsBy].
func (n *route) tunnels(role string, mtu int, without tunnel.Without) (ea, eb *end) {
	n.t.Helper()
	return tunnelsBy(n.t, role, n.a, n.b, n.family, func(oa, ob *endOrder) {
		for _, o := range []*endOrder{oa, ob} {
			o.MTU, o.Without, o.Allowed = mtu, without, o.Allowed[n.family:n.family+1]
		}
	})
}

// device is the MTU of the TUN device itself.
func (p *place) device() int {
	p.t.Helper()
	var links []struct{ MTU int }
	if err := json.Unmarshal([]byte(p.run("ip", "-j", "link", "show", "own0")), &links); err != nil || len(links) != 1 {
		p.t.Fatalf("%v", err)
	}
	return links[0].MTU
}

// settles waits until the device has the MTU.
func (p *place) settles(want int) {
	p.t.Helper()
	got := 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = p.device(); got == want {
			return
		}
	}
	p.t.Errorf("the device has MTU %d, want %d", got, want)
}

// proved waits until the end knows what its path takes.
func (e *end) proved(want int) {
	e.t.Helper()
	var st tunnel.Status
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if st = e.status(); st.Peers[0].MTU == want && st.Peers[0].Proved && st.Peers[0].Probed {
			return
		}
	}
	e.t.Errorf("the path should be proved to take %d: %+v", want, st)
}

// A transfer goes on for as long as the path shrinks under it.
func TestTransferSurvivesAPathThatShrinks(t *testing.T) {
	for _, c := range []struct {
		name   string
		family int
		icmp   bool
	}{{"IPv4 with ICMP", 0, true}, {"IPv4 without ICMP", 0, false}, {"IPv6 with ICMP", 1, true}, {"IPv6 without ICMP", 1, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newRoute(t, c.family, 9000, c.icmp)
			ea, eb := n.tunnels("end", 0, tunnel.Without{})
			overhead := []int{60, 80}[c.family]
			n.a.reach(n.b.in[c.family], 56)
			for _, e := range []*end{ea, eb} {
				e.proved(9000 - overhead)
			}
			n.a.settles(9000 - overhead)
			n.b.settles(9000 - overhead)
			addr := netip.AddrPortFrom(n.b.in[c.family], 7000)
			watch := n.b.traffic(trafficOrder{Kind: "stall", Addr: addr})
			grows := c.family == 0 && c.icmp // once is enough: it takes ten seconds
			seconds := 6
			switch {
			case grows:
				seconds = 10
			case c.icmp:
				seconds = 3
			}
			pour := n.a.traffic(trafficOrder{Kind: "pour", Addr: addr, Count: seconds})
			time.Sleep(300 * time.Millisecond)
			// The own link shrinks: not even what is under way is lost.
			n.a.run("ip", "link", "set", "wire", "mtu", "8000")
			ea.proved(8000 - overhead)
			for _, mtu := range []int{1500, 1380, 1280} {
				n.narrow(mtu)
				ea.proved(mtu - overhead)
				want := mtu - overhead
				if c.family == 1 {
					want = max(want, 1280)
				}
				n.a.settles(want)
				time.Sleep(200 * time.Millisecond)
			}
			if grows {
				n.narrow(9000)
				for end := time.Now().Add(11 * time.Second); time.Now().Before(end) && n.a.device() == 1280-overhead; {
					time.Sleep(50 * time.Millisecond)
				}
				ea.proved(8000 - overhead)
			}
			pour.result()
			r := watch.result()
			t.Logf("%d MiB, longest stall %.0f ms", r.Good>>20, 1000*r.Seconds)
			if r.Seconds > 3 || r.Good < 20<<20 {
				t.Errorf("%d bytes, and a stall of %.1f s", r.Good, r.Seconds)
			}
			if st := ea.status(); st.MTUFault != "" || st.Drops.Broken != 0 || st.Drops.Unsent != 0 {
				t.Errorf("%+v", st)
			}
			if c.family == 1 {
				// What IPv6 promises goes through, in fragments inside.
				n.a.reach(n.b.in[1], 1232)
			}
			if f := n.fragments(); f != 0 {
				t.Errorf("%d fragments outside", f)
			}
			// The routers would have seen some.
			n.narrow(1280)
			n.a.reach(n.b.wire[0], 9500)
			if n.fragments() == 0 {
				t.Error("the routers see no fragments where there are some")
			}
		})
	}
	// Otherwise the above shows nothing: without probes and ICMP it stands still.
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		n := newRoute(t, 0, 1500, false)
		n.tunnels("end", 1420, tunnel.Without{Probes: true})
		addr := netip.AddrPortFrom(n.b.in[0], 7000)
		watch := n.b.traffic(trafficOrder{Kind: "stall", Addr: addr})
		pour := n.a.traffic(trafficOrder{Kind: "pour", Addr: addr, Count: 5})
		time.Sleep(500 * time.Millisecond)
		n.narrow(1380)
		pour.result()
		if r := watch.result(); r.Seconds < 3 {
			t.Errorf("a transfer without discovery stalled for %.1f s only", r.Seconds)
		}
	})
}

// With a peer that knows no probes, routers are heard.
func TestPathToAStockPeerIsFoundByICMP(t *testing.T) {
	t.Parallel()
	n := newRoute(t, 0, 1500, true)
	a, b := n.a, n.b
	ea, _ := n.tunnels("end,theirs", 0, tunnel.Without{})
	a.reach(b.in[0], 56)
	addr := netip.AddrPortFrom(b.in[0], 7000)
	watch := b.traffic(trafficOrder{Kind: "stall", Addr: addr})
	pour := a.traffic(trafficOrder{Kind: "pour", Addr: addr, Count: 2})
	time.Sleep(500 * time.Millisecond)
	n.narrow(1380)
	pour.result()
	r := watch.result()
	st := ea.status().Peers[0]
	if r.Seconds > 1 || r.Good < 10<<20 || st.MTU != 1320 || st.Probed || st.Proved {
		t.Errorf("%d bytes, a stall of %.1f s, %+v", r.Good, r.Seconds, st)
	}
	a.settles(1320)
}

// The device stays at 1280 for IPv6, so a path below is told to each sender.
func TestHostIsToldWhatFitsAPeer(t *testing.T) {
	t.Parallel()
	n := newRoute(t, 0, 1280, false)
	ea, eb := tunnels(t, n.a, n.b, 0, 0, tunnel.Without{}, tunnel.Without{})
	n.a.reach(n.b.in[0], 56)
	ea.proved(1220)
	eb.proved(1220)
	n.a.settles(1280)
	n.a.reach(n.b.in[0], 1230)
	n.a.reach(n.b.in[1], 1230)
	// The kernel lets its answers to pings be fragmented, so b is not told.
	if st := ea.status(); st.Drops.TooBig == 0 || st.Drops.TooBig > 2 || eb.status().Drops.TooBig != 0 {
		t.Errorf("drops %+v", st.Drops)
	}
	if f := n.fragments(); f != 0 {
		t.Errorf("%d fragments outside", f)
	}
}

// Whatever ICMP says, and anybody can make it say so: the tunnel goes on.
func TestErrorsOfICMPDoNotEndTheTunnel(t *testing.T) {
	a, b := places(t, 1500)
	ea, _ := tunnels(t, a, b, 0, 0, tunnel.Without{}, tunnel.Without{})
	a.reach(b.in[0], 56)
	for _, kind := range []string{"prot-unreachable", "port-unreachable", "host-unreachable"} {
		b.run("nft", "table inet t { chain c { type filter hook input priority 0; udp dport 51820 reject with icmp type "+kind+"; }; }")
		if a.command("busybox", "ping", "-q", "-c", "1", "-W", "1", b.in[0].String()).Run() == nil {
			t.Errorf("%s: nothing was refused", kind)
		}
		b.run("nft", "delete table inet t")
		a.reach(b.in[0], 56)
	}
	if st := ea.status(); st.Peers[0].MTU != 1440 {
		t.Errorf("%+v", st)
	}
}

// pour sends at 25 MB/s for o.Count seconds; then it cuts the connection, so that
// nobody waits for what is under way.
func pour(o trafficOrder) (r result, err error) {
	fmt.Println("ready")
	c, err := net.DialTimeout("tcp", o.Addr.String(), 10*time.Second)
	if err != nil {
		return r, err
	}
	defer c.Close()
	end := time.Now().Add(time.Duration(o.Count) * time.Second)
	_ = c.SetDeadline(end)
	buf := make([]byte, 1<<17)
	for time.Now().Before(end) {
		if _, err := c.Write(buf); err != nil && !os.IsTimeout(err) {
			return r, err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return r, c.(*net.TCPConn).SetLinger(0)
}

// stall takes what is poured and measures the longest time without any.
func stall(o trafficOrder) (r result, err error) {
	l, err := net.Listen("tcp", o.Addr.String())
	if err != nil {
		return r, err
	}
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		return r, err
	}
	defer c.Close()
	buf := make([]byte, 1<<18)
	last := time.Now()
	for {
		_ = c.SetReadDeadline(last.Add(6 * time.Second))
		n, err := c.Read(buf)
		r.Good += n
		r.Seconds = max(r.Seconds, time.Since(last).Seconds())
		last = time.Now()
		if err != nil {
			return r, nil // cut, or silent for so long that it is found out
		}
	}
}
