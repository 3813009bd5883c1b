package blocked

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// told is a message as the kernel makes it.
func told(t testing.TB, family byte, etherType uint16, hook byte, payload []byte, more ...netlink.Attribute) []byte {
	t.Helper()
	head := append(binary.BigEndian.AppendUint16(nil, etherType), hook, 0)
	attrs := append([]netlink.Attribute{
		{Type: attrPacketHeader, Data: head},
		{Type: attrPrefix, Data: []byte("vpnguard out-end\x00")},
		{Type: attrPayload, Data: payload},
	}, more...)
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{family, 0, 0, 1}, data...)
}

func packet4(proto byte, options int, fragment uint16, rest ...byte) []byte {
	b := make([]byte, 20+options)
	b[0] = 0x40 | byte(len(b)/4)
	binary.BigEndian.PutUint16(b[6:], fragment)
	b[9] = proto
	copy(b[12:], []byte{192, 0, 2, 1})
	copy(b[16:], []byte{198, 51, 100, 7})
	return append(b, rest...)
}

func packet6(next byte, rest ...byte) []byte {
	b := make([]byte, 40)
	b[0], b[6] = 0x60, next
	src, dst := netip.MustParseAddr("2001:db8::1").As16(), netip.MustParseAddr("2001:db8::2").As16()
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
	return append(b, rest...)
}

var ports = []byte{0x12, 0x34, 0, 53, 0, 9, 0, 0}

func ether(kind uint16, rest []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12), kind), rest...)
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestDecodeReadsWhatAPacketSays(t *testing.T) {
	arp := join([]byte{0, 1, 8, 0, 6, 4, 0, 1}, make([]byte, 6), []byte{192, 0, 2, 1}, make([]byte, 6), []byte{198, 51, 100, 7})
	const v4, v6, dev = unix.AF_INET, unix.AF_INET6, unix.NFPROTO_NETDEV
	for _, c := range []struct {
		name      string
		family    byte
		etherType uint16
		payload   []byte
		protocol  string
		addressed bool
		dstPort   uint16
		echo      uint16
	}{
		{"udp", v4, etherIPv4, packet4(17, 0, 0, ports...), "udp", true, 53, 0},
		{"with options", v4, etherIPv4, packet4(6, 40, 0, ports...), "tcp", true, 53, 0},
		{"a first fragment", v4, etherIPv4, packet4(17, 0, 0x2000, ports...), "udp", true, 53, 0},
		{"a later fragment has no ports", v4, etherIPv4, packet4(17, 0, 1, ports...), "udp", true, 0, 0},
		{"cut before the ports", v4, etherIPv4, packet4(17, 0, 0, 0x12), "udp", true, 0, 0},
		{"an echo", v4, etherIPv4, packet4(1, 0, 0, 8, 0, 0, 0, 0x12, 0x34, 0, 1), "icmp", true, 0, 0x1234},
		{"no echo", v4, etherIPv4, packet4(1, 0, 0, 3, 0, 0, 0, 0x12, 0x34, 0, 1), "icmp", true, 0, 0},
		{"gre", v4, etherIPv4, packet4(47, 0, 0, ports...), "ip 47", true, 0, 0},
		{"a header length of nothing", v4, etherIPv4, append([]byte{0x40}, packet4(17, 0, 0, ports...)[1:]...), "udp", true, 0, 0},
		{"a wrong version", v4, etherIPv4, packet6(17, ports...), "ip 0", false, 0, 0},
		{"nothing", v4, etherIPv4, nil, "ip 0", false, 0, 0},
		{"udp6", v6, etherIPv6, packet6(17, ports...), "udp", true, 53, 0},
		{"echo6", v6, etherIPv6, packet6(58, 128, 0, 0, 0, 0x12, 0x34, 0, 1), "icmpv6", true, 0, 0x1234},
		{"behind extension headers", v6, etherIPv6, packet6(0, join([]byte{60, 0, 0, 0, 0, 0, 0, 0}, []byte{17, 0, 0, 0, 0, 0, 0, 0}, ports)...), "udp", true, 53, 0},
		{"behind an authentication header", v6, etherIPv6, packet6(51, join([]byte{17, 4}, make([]byte, 22), ports)...), "udp", true, 53, 0},
		{"a first fragment of IPv6", v6, etherIPv6, packet6(44, join([]byte{17, 0, 0, 1, 0, 0, 0, 1}, ports)...), "udp", true, 53, 0},
		{"a later fragment of IPv6", v6, etherIPv6, packet6(44, join([]byte{17, 0, 0, 8, 0, 0, 0, 1}, ports)...), "udp", true, 0, 0},
		{"an extension header beyond the end", v6, etherIPv6, packet6(0, 17, 255, 0, 0, 0, 0, 0, 0), "ip 0", true, 0, 0},
		{"extension headers without an end", v6, etherIPv6, packet6(60, join(make([]byte, 0), repeated([]byte{60, 0, 0, 0, 0, 0, 0, 0}, 20))...), "ip 60", true, 0, 0},
		{"a frame", dev, etherIPv4, ether(etherIPv4, packet4(17, 0, 0, ports...)), "udp", true, 53, 0},
		{"a frame in a VLAN", dev, etherVLAN, ether(etherVLAN, join([]byte{0, 5, 0x86, 0xdd}, packet6(17, ports...))), "udp", true, 53, 0},
		{"a wire without link header", dev, etherIPv4, packet4(17, 0, 0, ports...), "udp", true, 53, 0},
		{"arp", dev, etherARP, ether(etherARP, arp), "arp", true, 0, 0},
		{"arp of another link", dev, etherARP, ether(etherARP, append([]byte{0, 1, 8, 1}, arp[4:]...)), "arp", false, 0, 0},
		{"lldp", dev, 0x88cc, ether(0x88cc, ports), "ether 0x88cc", false, 0, 0},
	} {
		m, err := decode(told(t, c.family, c.etherType, 1, c.payload))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if m.Protocol() != c.protocol || m.Dst.IsValid() != c.addressed || m.Src.IsValid() != c.addressed || m.DstPort != c.dstPort || m.echo != c.echo {
			t.Errorf("%s: %s from %v to %v port %d echo %#x", c.name, m.Protocol(), m.Src, m.Dst, m.DstPort, m.echo)
		}
		if c.addressed && m.Dst.Is4() && m.Dst != netip.AddrFrom4([4]byte{198, 51, 100, 7}) {
			t.Errorf("%s: to %v", c.name, m.Dst)
		}
		if c.dstPort != 0 && m.SrcPort != 0x1234 {
			t.Errorf("%s: from port %#x", c.name, m.SrcPort)
		}
	}
}

func repeated(b []byte, n int) (out []byte) {
	for range n {
		out = append(out, b...)
	}
	return out
}

func TestDecodeReadsWhatTheKernelAdds(t *testing.T) {
	when := append(binary.BigEndian.AppendUint64(nil, 1_700_000_000), binary.BigEndian.AppendUint64(nil, 250_000)...)
	b := told(t, unix.AF_INET, etherIPv4, 3, packet4(17, 0, 0, ports...),
		netlink.Attribute{Type: attrInIndex, Data: be32(2)}, netlink.Attribute{Type: attrOutIndex, Data: be32(3)},
		netlink.Attribute{Type: attrUID, Data: be32(1000)}, netlink.Attribute{Type: attrGID, Data: be32(100)},
		netlink.Attribute{Type: attrSeq, Data: be32(77)}, netlink.Attribute{Type: attrTimestamp, Data: when})
	m, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Rule != "out-end" || m.Hook != "output" || m.in != 2 || m.link != 3 || m.UID == nil || *m.UID != 1000 || m.GID == nil || *m.GID != 100 ||
		m.seq != 77 || !m.hasSeq || !m.Time.Equal(time.Unix(1_700_000_000, 250_000_000)) {
		t.Errorf("%+v", m)
	}
	if m, err := decode(told(t, unix.AF_INET, etherIPv4, 3, nil)); err != nil || m.UID != nil || m.GID != nil || m.hasSeq || !m.Time.IsZero() {
		t.Errorf("what the kernel did not say: %+v, %v", m, err)
	}
}

func TestDecodeRefusesWhatIsNotOurs(t *testing.T) {
	for name, attr := range map[string]netlink.Attribute{
		"another prefix": {Type: attrPrefix, Data: []byte("ufw BLOCK\x00")},
		"no prefix":      {Type: attrPrefix, Data: nil},
		"a longer word":  {Type: attrPrefix, Data: []byte("vpnguards x\x00")},
	} {
		if m, err := decode(told(t, unix.AF_INET, etherIPv4, 3, nil, attr)); !errors.Is(err, errForeign) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": {2, 0}, "an attribute beyond the end": {2, 0, 0, 1, 255, 0, 1, 0}, "an attribute of no length": {2, 0, 0, 1, 0, 0, 1, 0},
		"a uid of two bytes": told(t, unix.AF_INET, etherIPv4, 3, nil, netlink.Attribute{Type: attrUID, Data: []byte{1, 2}}),
	} {
		if m, err := decode(b); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestHooksHaveTheNamesOfTheirFamily(t *testing.T) {
	for want, key := range map[string][2]uint8{
		"prerouting": {unix.AF_INET, 0}, "input": {unix.AF_INET6, 1}, "forward": {unix.AF_INET, 2}, "output": {unix.AF_INET, 3},
		"ingress": {unix.NFPROTO_NETDEV, 0}, "egress": {unix.NFPROTO_NETDEV, 1}, "": {unix.NFPROTO_NETDEV, 3},
	} {
		if got := hookName(key[0], key[1]); got != want {
			t.Errorf("hook %v: %q, want %q", key, got, want)
		}
	}
}

func TestLossIsWhatTheSequenceSkips(t *testing.T) {
	var s loss
	seq := func(n uint32, rule string) uint64 {
		return s.note(message{seq: n, hasSeq: true, Event: Event{Rule: rule}})
	}
	s.overrun = true
	if s.total() != 1 {
		t.Errorf("after an overrun that nothing has told of: %d", s.total())
	}
	for _, c := range []struct {
		seq  uint32
		rule string
		want uint64
	}{{2, "a", 2}, {3, "a", 0}, {7, "", 0}, {8, "a", 3}, {8, "a", 0}, {9, "a", 0}} {
		if got := seq(c.seq, c.rule); got != c.want {
			t.Errorf("at %d of rule %q: %d lost, want %d", c.seq, c.rule, got, c.want)
		}
	}
	if s.total() != 5 || s.overrun {
		t.Errorf("%+v", s)
	}
	s.next = ^uint32(0)
	if got := seq(1, "a"); got != 2 {
		t.Errorf("over the end of the numbers: %d lost", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(told(f, unix.AF_INET, etherIPv4, 3, packet4(17, 0, 0, ports...)))
	f.Add(told(f, unix.AF_INET6, etherIPv6, 2, packet6(0, 17, 0, 0, 0, 0, 0, 0, 0)))
	f.Add(told(f, unix.NFPROTO_NETDEV, etherARP, 1, ether(etherARP, make([]byte, 28))))
	f.Add(told(f, unix.NFPROTO_NETDEV, etherVLAN, 1, ether(etherVLAN, make([]byte, 60))))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if m.Src.IsValid() != m.Dst.IsValid() || m.Protocol() == "" || m.SrcPort != 0 && !m.Src.IsValid() {
			t.Errorf("%x: %+v", b, m)
		}
		a := NewAggregate(2, time.Minute)
		a.Add(m.Event)
		if s := a.Snapshot(); len(s.Entries)+int(s.Others) != 1 {
			t.Errorf("%x: %+v", b, s)
		}
	})
}
