package nft_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

func TestMain(m *testing.M) { lab.Main(m) }

// policies bounds the random walk.
const policies = 60

func TestTextAndNetlinkListAlike(t *testing.T) {
	conn := open(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range policies {
		p := randomPolicy(r)
		rs, err := rules.Build(p)
		if err != nil {
			t.Fatalf("policy %d: %v\n%+v", i, err, p)
		}
		// nft lists tables in the order of their making, so each way starts from none.
		if err := conn.Remove(); err != nil {
			t.Fatal(err)
		}
		script(t, rs.Replacement())
		byText := list(t)
		if err := conn.Remove(); err != nil {
			t.Fatal(err)
		}
		if got := list(t); got != "" {
			t.Fatalf("after Remove nft still lists:\n%s", got)
		}
		if _, err := conn.Replace(rs); err != nil {
			t.Fatalf("policy %d: %v\n%s", i, err, rs.Text())
		}
		byNetlink := list(t)
		if diff := cmp.Diff(byText, byNetlink); diff != "" {
			t.Fatalf("policy %d: text (-) and netlink (+) list differently:\n%s", i, diff)
		}
		if len(byText) < 500 {
			t.Fatalf("policy %d: nft lists next to nothing:\n%s", i, byText)
		}
	}
}

// randomPolicy walks over everything that a policy can say.
func randomPolicy(r *rand.Rand) rules.Policy {
	some := func(n int) int { return r.IntN(n + 1) }
	ip4 := func() netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + r.IntN(250))}) }
	ip6 := func() netip.Addr {
		a := netip.MustParseAddr("2001:db8:5::").As16()
		a[15] = byte(1 + r.IntN(250))
		return netip.AddrFrom16(a)
	}
	addr := func() netip.Addr {
		if r.IntN(2) == 0 {
			return ip4()
		}
		return ip6()
	}
	p := rules.Policy{Profile: rules.Profile(r.IntN(2)), LAN: r.IntN(2) == 0, Log: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		uid := uint32(r.IntN(3))
		p.Asker = &uid
	}
	for i := range some(3) {
		tun := rules.Tunnel{Name: fmt.Sprintf("t$un%d", i)} // "$" begins a variable in a log prefix
		for range some(3) {
			tun.Addresses = append(tun.Addresses, addr())
			tun.Resolvers = append(tun.Resolvers, addr())
			a := addr()
			tun.Prefixes = append(tun.Prefixes, netip.PrefixFrom(a, r.IntN(a.BitLen()+1)))
		}
		p.Tunnels = append(p.Tunnels, tun)
	}
	for range some(3) {
		o := rules.Owner{UIDs: []uint32{uint32(r.IntN(3))}}
		switch r.IntN(3) {
		case 0:
			o.UIDs = append(o.UIDs, 65534)
		case 1:
			o.UIDs, o.Mark, o.Mask = nil, 0x51<<uint(r.IntN(8)), 0xffff
		case 2:
			o.Mark, o.Mask = 0x51, ^uint32(0)
		}
		c := rules.Carrier{Owner: o}
		for range some(4) {
			proto := endpoint.UDP
			if r.IntN(2) == 0 {
				proto = endpoint.TCP
			}
			c.Endpoints = append(c.Endpoints, endpoint.Endpoint{Addr: netip.AddrPortFrom(addr(), uint16(1+r.IntN(65535))), Proto: proto})
		}
		p.Carriers = append(p.Carriers, c)
	}
	for i := range some(2) {
		p.Wires = append(p.Wires, rules.Wire{Name: fmt.Sprintf("wire%d.5", i), Index: 10 + i,
			OnLink: []netip.Prefix{netip.PrefixFrom(ip4(), 1+r.IntN(32))}})
		p.Guests = append(p.Guests, fmt.Sprintf("guest%d", i))
		first := uint16(1 + r.IntN(60000))
		p.AllowIn = append(p.AllowIn, rules.Service{Proto: endpoint.TCP, First: first, Last: first + uint16(r.IntN(2))*100})
	}
	return p
}

// open makes the links that the policies fence and opens the socket.
func open(t testing.TB) *nft.Conn {
	t.Helper()
	for i := range 2 {
		if out, err := exec.Command("ip", "link", "add", fmt.Sprintf("wire%d.5", i), "type", "veth", "peer", "name", fmt.Sprintf("peer%d", i)).CombinedOutput(); err != nil {
			t.Fatalf("make wire %d: %v: %s", i, err, out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "link", "del", fmt.Sprintf("peer%d", i)).Run() })
	}
	conn, err := nft.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Remove()
		_ = conn.Close()
	})
	return conn
}

func script(t *testing.T, text string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = bytes.NewBufferString(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft -f: %v: %s\n%s", err, out, text)
	}
}

// list is the whole ruleset without counts.
func list(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "--stateless", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v: %s", err, out)
	}
	return string(out)
}
