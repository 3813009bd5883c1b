package tests

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
)

// shadowVictim is a client of the server on the internet.
var shadowVictim = netip.MustParseAddr("198.51.100.1")

// carelessly runs f beside a masquerade that the tunnel's server has from elsewhere.
func (s *tunnelScene) carelessly(f func()) {
	s.Helper()
	s.script("nft add table ip careless; nft 'add chain ip careless p { type nat hook postrouting priority 100; }'; nft add rule ip careless p iifname own0 masquerade; echo 1 > /proc/sys/net/ipv4/ip_forward")
	f()
	s.script("nft delete table ip careless; echo 0 > /proc/sys/net/ipv4/ip_forward")
}

// shadowed lets a peer try to get what a victim sends from its port to the server
// (CVE-2021-3773): it sends from the server's own port to the victim's, with so few
// hops that only the server notes it.
func (s *tunnelScene) shadowed(dev string, port uint16, want bool) {
	s.Helper()
	if err := s.lab.Internet.Script(s.ctx, "ip route replace 192.168.1.0/24 via 198.51.100.2\n"); err != nil {
		s.Fatal(err)
	}
	s.script("nft add table ip heard; nft 'add chain ip heard victim { type filter hook input priority 0; }'; nft add rule ip heard victim ip saddr " + shadowVictim.String() + " udp dport 51820 counter; " +
		fmt.Sprintf("nft 'add chain ip heard attacker { type filter hook prerouting priority 0; }'; nft add rule ip heard attacker iifname own0 udp sport 51820 udp dport %d counter", port))
	heard := func(chain string) bool {
		text, err := s.lab.Client.Run(s.ctx, "nft", "list", "chain", "ip", "heard", chain)
		return err == nil && strings.Contains(text, "counter packets ") && !strings.Contains(text, "counter packets 0 ")
	}
	stolen := filepath.Join(s.lab.Dir, "stolen")
	_ = os.Remove(stolen)
	s.job(s.lab.Gateway, "shadow", dev, "10.8.0.7:51820", netip.AddrPortFrom(shadowVictim, port).String(), stolen)
	s.until("the attacker's packet is at the server", func() bool { return heard("attacker") })
	s.job(s.lab.Internet, "datagram", "gw0", strconv.Itoa(int(port)), netip.AddrPortFrom(site.Client, 51820).String(), "01000000")
	got := func() bool { info, err := os.Stat(stolen); return err == nil && info.Size() > 0 }
	s.until("what the victim sends arrives anywhere", func() bool { return heard("victim") || got() })
	if got() != want || heard("victim") == want {
		s.Errorf("what a victim sends to the server: the attacker got it %t, the server %t; want %t, %t", got(), heard("victim"), want, !want)
	}
	s.script("nft delete table ip heard")
}

// shadowJob sends what does not arrive, and waits for what is not for it: args are
// the device, the own address, the victim's, and a file for what was stolen.
func shadowJob(args []string) error {
	listen := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		e := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.BindToDevice(int(fd), args[0]), unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 2))
		})
		return errors.Join(e, err)
	}}
	c, err := listen.ListenPacket(context.Background(), "udp4", args[1])
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.WriteTo([]byte("shadow"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(args[2]))); err != nil {
		return err
	}
	fmt.Print(ready)
	b := make([]byte, 2000)
	n, _, err := c.ReadFrom(b)
	if err != nil {
		return err
	}
	return os.WriteFile(args[3], []byte(strconv.Itoa(n)), 0o600)
}
