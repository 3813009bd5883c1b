package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
)

// Habits are what programs and daemons send by themselves: time, proxies,
// connectivity checks, candidates of browsers' connections. They are ways that
// [All] has, seen from the program.
func Habits() []Probe {
	udp := func(name string, h func(*shot) how, to netip.AddrPort) Probe {
		return Probe{Name: name, To: to.String(), send: func(s *shot) { s.udp(h(s), to) }}
	}
	tcp := func(name string, h func(*shot) how, to netip.AddrPort, text string) Probe {
		return Probe{Name: name, To: to.String(), send: func(s *shot) {
			s.tcp(h(s), to, append([]byte(text), s.payload()...))
		}}
	}
	free := func(*shot) how { return how{} }
	bound := func(s *shot) how { return how{device: s.Dev} }
	at := netip.AddrPortFrom
	all := []Probe{
		udp("ntp-lan", free, at(site.Gateway, 123)), tcp("nts-lan", free, at(site.Gateway, 4460), ""),
		tcp("wpad-http", free, at(site.Gateway, 80), "GET /wpad.dat HTTP/1.1\r\nHost: wpad\r\nX-Nonce: "),
		{Name: "wpad-dns", To: at(site.Gateway, 53).String(), send: func(s *shot) {
			s.datagram(how{}, unix.SOCK_DGRAM, at(site.Gateway, 53), query(0x7761, "wpad."+s.Nonce+".example"), "question")
		}},
		tcp("doh-lan", free, at(site.Gateway, 443), ""), udp("doq-lan", free, at(site.Gateway, 443)),
		tcp("connectivity-check", bound, at(site.Web, 80), "GET /check HTTP/1.1\r\nX-Nonce: "),
		tcp("connectivity-plain", free, at(site.Web, 443), ""), udp("web-udp", free, at(site.Web, 56789)),
		udp("udp-public2-quiet", free, at(site.PublicTwo, 4)),
		{Name: "udp-long", To: at(site.PublicTwo, 4).String(), send: func(s *shot) {
			s.datagram(how{}, unix.SOCK_DGRAM, at(site.PublicTwo, 4), append(s.payload(), make([]byte, 2*ForgedMTU)...), "udp")
		}},
		{Name: "traffic-class", To: at(site.Public, EchoPort).String(), send: func(s *shot) { s.udp(how{class: 0xb8}, at(site.Public, EchoPort)) }},
		udp("teredo", bound, at(site.Public, 3544)),
		udp("bind-device-udp-server-v6", bound, at(site.Server6, 56789)),
		{Name: "bind-device-udp-v4-mapped", To: "[::ffff:8.8.8.8]:7", send: func(s *shot) {
			s.udp(how{mapped: true, device: s.Dev}, at(site.Public, EchoPort))
		}},
		{Name: "dns-udp-public-device", To: at(site.Public, 53).String(), send: func(s *shot) { s.ask(how{device: s.Dev}, at(site.Public, 53)) }},
		{Name: "resolver-file", To: "the first resolver of /etc/resolv.conf", send: func(s *shot) {
			if a, err := firstResolver(); err != nil {
				s.fail("read the resolver", err)
			} else {
				s.ask(how{}, at(a, 53))
			}
		}},
		{Name: "stun", To: at(site.Web, 3478).String(), send: func(s *shot) { s.stun(at(site.Web, 3478)) }},
	}
	for _, p := range encapsulations {
		all = append(all, Probe{Name: "bind-device-" + p.name, To: fmt.Sprintf("%s protocol %d", site.Public, p.proto), Privileged: true, send: func(s *shot) {
			s.datagram(how{protocol: p.proto, device: s.Dev}, unix.SOCK_RAW, at(site.Public, 0), s.payload(), p.name)
		}})
	}
	return all
}

// firstResolver is whom a program asks that reads the file itself.
func firstResolver() (netip.Addr, error) {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return netip.Addr{}, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			return netip.ParseAddr(f[1])
		}
	}
	return netip.Addr{}, errors.New("no nameserver in /etc/resolv.conf")
}

// Owners send with what the VPN process has: its mark, its uid, or a socket of its time. A
// seal whose owner is root's uid lets the exact endpoint through, which is why
// they are not among [All].
func Owners() []Probe {
	at := netip.AddrPortFrom
	return []Probe{
		{Name: "mark-wg-quick", To: at(site.Public, EchoPort).String(), Privileged: true, send: func(s *shot) {
			s.udp(how{device: s.Dev, mark: 0xca6c}, at(site.Public, EchoPort))
		}},
		{Name: "mark-server", To: at(site.Server, 56789).String(), Privileged: true, send: func(s *shot) {
			s.udp(how{device: s.Dev, mark: 0xca6c}, at(site.Server, 56789))
		}},
		{Name: "setuid-helper", To: "the carrier's own endpoint, and another port", Privileged: true, send: func(s *shot) {
			// What a setuid program is to the kernel: an ordinary user's real uid, and
			// root's effective one.
			s.as(func() error { return syscall.Setreuid(Ordinary, 0) }, func(h how) {
				s.udp(h, at(s.Carrier.Addr(), 56789))
				s.udp(h, s.Carrier)
			})
		}},
		{Name: "inherited-socket", To: "the carrier's own endpoint, and another port", Privileged: true, send: func(s *shot) {
			for _, to := range []netip.AddrPort{at(s.Carrier.Addr(), 56789), s.Carrier} {
				fd, err := how{}.open(to.Addr(), unix.SOCK_DGRAM)
				if err != nil {
					s.tried("socket", err)
					continue
				}
				defer unix.Close(fd)
				defer func() {
					s.tried(fmt.Sprintf("udp to %s by root's socket", to), unix.Sendto(fd, s.payload(), 0, sockaddr(to)))
				}()
			}
			// Deferred calls run after this: the sockets are older than the change.
			s.fail("change the uid", syscall.Setuid(Ordinary))
		}},
	}
}

// Ordinary is the uid of the user without privileges.
const Ordinary = 1000

// as changes the uids of this process, which ends after the probe.
func (s *shot) as(change func() error, send func(how)) {
	if err := change(); err != nil {
		s.fail("change the uids", err)
		return
	}
	send(how{})
}

// stun asks who it is by each way, as a browser gathers candidates (RFC 8489).
func (s *shot) stun(to netip.AddrPort) {
	text := s.payload()
	for len(text)%4 > 0 {
		text = append(text, ' ')
	}
	m := []byte{0, 1}
	m = binary.BigEndian.AppendUint16(m, uint16(4+len(text)))
	m = append(m, 0x21, 0x12, 0xa4, 0x42)  // magic cookie
	m = append(m, []byte(s.Nonce[:12])...) // transaction
	m = append(m, 0x80, 0x22)              // SOFTWARE
	m = append(binary.BigEndian.AppendUint16(m, uint16(len(text))), text...)
	ways := []how{{device: s.Dev}}
	if source, err := address(s.Dev, to.Addr().Is6()); err == nil {
		ways = append(ways, how{source: source, unicastIf: s.Dev})
	} else {
		s.fail("source address", err)
	}
	for _, h := range ways {
		s.datagram(h, unix.SOCK_DGRAM, to, m, "binding request")
	}
}
