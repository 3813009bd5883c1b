package tunnel_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// One client of a server tries to get what another client sends to the server
// (CVE-2021-3773). All meet at a router; the server masquerades its clients.
//
//	attacker 198.51.100.1 ----+          +---- server 203.0.113.254
//	own0 10.8.0.1             | router   |     own0 10.8.0.9
//	victim 192.0.2.1:40000 ---+ ---------+
//
// The attacker sends through the tunnel, from the server's own listen port to
// the victim's, with so few hops that it does not get there. Translated without
// care, that is a flow of the server's listen port, and the victim's handshake
// is its answer.
func TestPortShadowIsPreventedByTheServersRules(t *testing.T) {
	const listen, from = 51820, 40000
	plain := "add table inet careless; add chain inet careless p { type nat hook postrouting priority 100; }; add rule inet careless p iifname own0 masquerade"
	m := rules.Masquerade{Device: "own0", ListenPort: listen, Inside: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}}
	only := m
	only.Inside = nil
	for _, c := range []struct {
		name   string
		put    func(s *place)
		stolen bool
	}{
		{"control", func(s *place) { s.run("nft", plain) }, true},
		{"with our masquerade", func(s *place) { s.run("nft", m.Text()) }, false},
		{"with somebody else's", func(s *place) { s.run("nft", plain); s.run("nft", only.Text()) }, false},
		{"by the choice of ports alone", func(s *place) {
			lines := strings.Split(m.Text(), "\n")
			s.run("nft", strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "port-shadow") }), "\n"))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			attacker, victim, server, router := newPlace(t, 1), newPlace(t, 2), newPlace(t, 9), newPlace(t, 8)
			for dev, p := range map[string]struct {
				p        *place
				ip, peer string
			}{"ra": {attacker, "198.51.100.1", "198.51.100.254"}, "rv": {victim, "192.0.2.1", "192.0.2.254"}, "rs": {server, "203.0.113.254", "203.0.113.1"}} {
				router.run("ip", "link", "add", "name", dev, "type", "veth", "peer", "name", "wire", "netns", fmt.Sprint(p.p.pid))
				router.run("ip", "addr", "add", p.peer+"/24", "dev", dev)
				router.run("ip", "link", "set", dev, "up")
				p.p.run("ip", "addr", "add", p.ip+"/24", "dev", "wire")
				p.p.run("ip", "link", "set", "wire", "up")
				p.p.run("ip", "route", "add", "default", "via", p.peer)
				p.p.wire[0] = netip.MustParseAddr(p.ip)
			}
			for _, p := range []*place{router, server} {
				p.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
			}
			attacker.reach(server.wire[0], 56)
			victim.reach(server.wire[0], 56)
			c.put(server)

			var secret [3]key.Private
			var public [3]key.Public
			for i := range secret {
				var err error
				if secret[i], err = key.NewPrivate(nil); err != nil {
					t.Fatal(err)
				}
				if public[i], err = secret[i].Public(); err != nil {
					t.Fatal(err)
				}
			}
			four := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
			to := netip.AddrPortFrom(server.wire[0], listen)
			server.start("end", endOrder{Private: secret[2].Reveal(), Peer: public[0], Address: server.in, Allowed: four("10.8.0.1/32"), Other: public[1], OtherAllowed: four("10.8.0.2/32")})
			attacker.start("end", endOrder{Private: secret[0].Reveal(), Peer: public[2], Endpoint: to, Address: attacker.in, Allowed: four("0.0.0.0/0"), Listen: 7777})
			attacker.reach(server.in[0], 56)
			attacker.run("ip", "route", "add", victim.wire[0].String(), "dev", "own0")
			// Clients reach the world through it: what is prevented is not all.
			attacker.reach(victim.wire[0], 56)

			shadow := attacker.traffic(trafficOrder{Kind: "shadow", From: netip.AddrPortFrom(attacker.in[0], listen), Addr: netip.AddrPortFrom(victim.wire[0], from)})
			time.Sleep(100 * time.Millisecond)
			v := victim.start("end", endOrder{Private: secret[1].Reveal(), Peer: public[2], Endpoint: to, Address: victim.in, Allowed: four("10.8.0.0/24"), Listen: from})
			// The handshake begins with the first packet.
			_ = victim.command("busybox", "ping", "-q", "-c", "1", "-W", "1", server.in[0].String()).Run()
			got := shadow.result().Good
			connected := !v.status().Peers[0].LastHandshake.IsZero()
			if c.stolen != (got > 0) || c.stolen == connected {
				t.Errorf("the attacker got %d bytes of the victim's handshake; the victim is connected: %v", got, connected)
			}
		})
	}
}

// shadow sends what does not arrive, and waits for what is not for it.
func shadow(o trafficOrder) (r result, err error) {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(o.From))
	if err != nil {
		return r, err
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return r, err
	}
	var set error
	// The server and no router behind it.
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 2) }); err != nil || set != nil {
		return r, fmt.Errorf("%w, %w", err, set)
	}
	if _, err := c.WriteToUDPAddrPort([]byte("shadow"), o.Addr); err != nil {
		return r, err
	}
	fmt.Println("ready")
	_ = c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
	r.Good, err = c.Read(make([]byte, 2000))
	if os.IsTimeout(err) {
		err = nil
	}
	return r, err
}
