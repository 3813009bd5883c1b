package tests

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// What a router advertises and a DHCPv6 server leases to the locked host.
var (
	slaac  = netip.MustParseAddr("2001:db8:1::ff:fe00:165") // of the MAC, RFC 4291, appendix A
	leased = netip.MustParseAddr("2001:db8:1::5101")
)

// bareHost takes everything from the wire that the laboratory gave it, and lets
// the kernel configure itself as a desktop's does.
const bareHost = `
cd /proc/sys/net/ipv6/conf/eth0
echo 1 > accept_dad
echo 1 > dad_transmits
echo 3 > router_solicitations
echo 1 > accept_ra
ip addr flush dev eth0 scope global
ip neigh flush all
ip link set eth0 down
`

// A host that is locked before it has any address gets one of either family by
// real clients, renews both, and its owner reaches the endpoint over what it
// learnt; nothing else leaves while it does.
func TestALockedHostGetsAndRenewsItsAddresses(t *testing.T) {
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprintf("guardian %t", guarded), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "")
			srv, srv6 := openvpn.Server{}, openvpn.Server{Address: site.Server6}
			s.addressServer()
			s.shown(lockProbes)
			if err := s.lab.Client.Script(s.ctx, bareHost); err != nil {
				t.Fatal(err)
			}
			s.must(0, "lock", "--endpoint", "203.0.113.10:1194/udp", "--endpoint", "[2001:db8:5::10]:1194/udp")
			if guarded {
				s.watch()
			}
			policy := s.policy(srv)
			policy.Carriers = append(policy.Carriers, s.policy(srv6).Carriers...)
			policy.Hosts = append(policy.Hosts, slaac, leased)
			policy.Also = takesAddress
			start := s.mark()
			if err := s.lab.Client.Script(s.ctx, "ip link set eth0 up\n"); err != nil {
				t.Fatal(err)
			}
			s.leasesIPv4(policy, start)
			s.leasesIPv6(policy, start)
			// Over what was learnt the owner gets out, and nobody else.
			for _, x := range []openvpn.Server{srv, srv6} {
				m := s.mark()
				for _, c := range s.carrierTries(x) {
					if c.own(x) {
						s.ownerPasses(c, policy)
					} else {
						s.silent(s.lab.Client, c.uid, c.order, policy)
					}
				}
				if v := policy.Judge(s.since(m)); v.Counts[wire.CarrierClass] == 0 {
					t.Errorf("to %s: %v", x.Endpoint(), v)
				}
			}
			for _, name := range lockProbes {
				s.silent(s.lab.Client, s.user, probe.Order{Name: name}, policy)
			}
			v := s.explained(start, policy)
			t.Logf("on the wire: %v", v)
			for _, class := range []wire.Class{wire.ARP, wire.DHCP, wire.DHCPv6, wire.ND} {
				if v.Counts[class] == 0 {
					t.Errorf("no %v on the wire: %v", class, v)
				}
			}
			s.must(0, "status")
			s.must(0, "unlock")
		})
	}
}

// takesAddress explains the question whether anybody has an address that the
// host is about to take, with the nonce by which the kernel knows its own
// (RFC 7527): exactly that, about those addresses only.
func takesAddress(f wire.Frame) bool {
	for _, addr := range []netip.Addr{slaac, leased, site.ClientLinkLocal} {
		to := solicitedNode(addr)
		want := nd(netip.IPv6Unspecified(), to, 135, 0, 255, solicitBare(addr))
		const options, nonce = 14 + 40 + 8 + 16, 8 // behind Ethernet, IPv6 and the solicitation; one option
		if len(f.Data) != options+nonce || f.Data[options] != 14 || f.Data[options+1] != 1 {
			continue
		}
		// The header's length and the sum cover the nonce.
		got, head := bytes.Clone(f.Data[:options]), want[:options]
		copy(got[14+4:14+6], head[14+4:14+6])
		copy(got[14+40+2:14+40+4], head[14+40+2:14+40+4])
		if bytes.Equal(got, head) {
			return true
		}
	}
	return false
}

// solicitBare is a solicitation's body for addr without any option.
func solicitBare(addr netip.Addr) []byte { return append(make([]byte, 4), addr.AsSlice()...) }

// solicitedNode is the group of addr (RFC 4291, section 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	a := addr.As16()
	copy(group[13:], a[13:])
	return netip.AddrFrom16(group)
}

// addressServer leases, and advertises the router, on the client's cable.
func (s *scene) addressServer() {
	s.Helper()
	s.background(s.lab.Gateway, "dnsmasq", "--no-daemon", "--port=0", "--interface=lan0", "--bind-interfaces",
		"--conf-file=/dev/null", "--dhcp-leasefile=/run/leases", "--dhcp-authoritative", "--no-ping",
		"--dhcp-range=192.168.1.101,192.168.1.101,120s", "--enable-ra", "--ra-param=lan0,4,600",
		fmt.Sprintf("--dhcp-range=%s,%s,slaac,64,120s", leased, leased))
}

// leasesIPv4 takes a first lease by broadcast, and renews it with the server.
func (s *scene) leasesIPv4(policy wire.Policy, start lab.Mark) {
	s.Helper()
	notes := filepath.Join(s.lab.Dir, "lease.log")
	script := filepath.Join(s.lab.Dir, "configure")
	text := fmt.Sprintf(`#!/bin/sh
case "$1" in bound|renew)
	ip addr replace "$ip/$mask" dev "$interface"
	ip route replace default via "$router" dev "$interface"
esac
echo "$1 $ip" >> %s
`, notes)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		s.Fatal(err)
	}
	signal := s.background(s.lab.Client, "busybox", "udhcpc", "-f", "-i", "eth0", "-t", "20", "-T", "1", "-s", script)
	s.saysLease(notes, "bound", 1)
	first := policy.Judge(s.since(start)).Counts[wire.DHCP]
	if err := signal(syscall.SIGUSR1); err != nil {
		s.Fatal(err)
	}
	s.saysLease(notes, "renew", 1)
	if all := policy.Judge(s.since(start)).Counts[wire.DHCP]; first < 2 || all <= first {
		s.Errorf("want a discovery, a request and a renewal on the wire: %d DHCP messages, then %d", first, all)
	}
}

// leasesIPv6 waits for an address by the router's advertisement, takes one by
// DHCPv6 and renews it.
func (s *scene) leasesIPv6(policy wire.Policy, start lab.Mark) {
	s.Helper()
	addresses := func() string {
		out, err := s.lab.Client.Run(s.ctx, "ip", "-6", "addr", "show", "dev", "eth0", "-tentative")
		if err != nil {
			s.Fatal(err)
		}
		return out
	}
	s.until("an address follows from an advertisement", func() bool { return strings.Contains(addresses(), slaac.String()) })
	s.until("a router is known", func() bool {
		out, err := s.lab.Client.Run(s.ctx, "ip", "-6", "route", "show", "default")
		if err != nil {
			s.Fatal(err)
		}
		return strings.Contains(out, site.GatewayLinkLocal.String())
	})
	conf := filepath.Join(s.lab.Dir, "dhcpcd.conf")
	if err := os.WriteFile(conf, []byte("duid\nipv6only\nnoipv6rs\nia_na 1\n"), 0o644); err != nil {
		s.Fatal(err)
	}
	var said lines
	cmd := s.lab.Client.Command(s.ctx, "dhcpcd", "-B", "-d", "-f", conf, "eth0")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("dhcpcd said:\n%s", said.String())
		}
	})
	messages := func() map[byte]int { return dhcpv6Messages(s.since(start)) }
	s.until("an address is leased by DHCPv6", func() bool { return strings.Contains(addresses(), leased.String()) })
	s.until("the client has taken note", func() bool { return strings.Contains(said.String(), "BOUND6") })
	if m := messages(); m[solicitMessage] == 0 || m[requestMessage] == 0 {
		s.Errorf("DHCPv6 messages on the wire by type: %v", m)
	}
	if out, err := s.lab.Client.Run(s.ctx, "dhcpcd", "-N", "eth0"); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
	s.until("the lease of DHCPv6 is renewed", func() bool {
		return messages()[renewMessage] > 0 && strings.Count(said.String(), "REPLY6 received") >= 2
	})
	if v := policy.Judge(s.since(start)); v.Counts[wire.DHCPv6] < 3 {
		s.Errorf("want a solicitation, a request and a renewal on the wire: %v", v)
	}
}

// DHCPv6 messages of a client (RFC 8415, section 7.3).
const (
	solicitMessage = 1
	requestMessage = 3
	renewMessage   = 5
)

// dhcpv6Messages counts a client's messages by type.
func dhcpv6Messages(frames []wire.Frame) map[byte]int {
	counts := map[byte]int{}
	asked := wire.Evidence{Flows: []wire.Flow{{To: dhcpServers, Proto: wire.UDP, SrcPort: 546, DstPort: 547}}}
	for _, f := range asked.Find(frames) {
		const kind = 14 + 40 + 8
		if len(f.Data) > kind {
			counts[f.Data[kind]]++
		}
	}
	return counts
}
