package host

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestPayloadsAreBlankAndHeadersStay(t *testing.T) {
	const secret = "the user's own words, which are nobody's business"
	for _, c := range []struct {
		name string
		data []byte
		kept int
	}{
		{"udp", udp(vpn, 1, 2, secret), 14 + 20 + 8},
		{"tcp", tcp(vpn, 1, 2, 0x18, secret), 14 + 20 + 20},
		{"icmp", packet(own, vpn, 1, append(make([]byte, 8), secret...)), 14 + 20 + 8},
		{"another protocol", packet(own, vpn, 47, []byte(secret)), 14 + 20},
		{"another type", append(append(bytes.Repeat([]byte{1}, 12), 0x88, 0xb5), secret...), 14},
		{"eapol", append(append(bytes.Repeat([]byte{1}, 12), 0x88, 0x8e, 2, 0, 0, byte(len(secret))), secret...), 18},
		{"dhcp", udp(gateway, 68, 67, string(bytes.Repeat([]byte{7}, 240))+secret), 14 + 20 + 8 + 240},
	} {
		got := Blank(c.data, evidence.Ethernet)
		if len(got) != len(c.data) || !bytes.Equal(got[:c.kept], c.data[:c.kept]) || len(bytes.Trim(got[c.kept:], "\x00")) > 0 {
			t.Errorf("%s: %x", c.name, got)
		}
	}
	for _, whole := range [][]byte{arp(own, gateway), packet(own, vpn, 2, []byte("a group"))} {
		if got := Blank(whole, evidence.Ethernet); !bytes.Equal(got, whole) {
			t.Errorf("%x became %x", whole, got)
		}
	}
	for i := range 60 { // no length is too short
		Blank(udp(vpn, 1, 2, secret)[:i], evidence.Ethernet)
		Blank(udp(vpn, 1, 2, secret)[14:][:i], evidence.IP)
	}
}

func FuzzBlank(f *testing.F) {
	f.Add(udp(vpn, 1, 2, "x"), false)
	f.Add(tcp(vpn, 1, 2, 2, ""), true)
	f.Fuzz(func(t *testing.T, data []byte, ip bool) {
		layer := evidence.Ethernet
		if ip {
			layer = evidence.IP
		}
		if got := Blank(data, layer); len(got) != len(data) {
			t.Errorf("%d bytes became %d", len(data), len(got))
		}
	})
}

func TestCarriersAreCountedAndEverythingElseIsKept(t *testing.T) {
	f := sealed()
	f.Guard.Carriers = append(f.Guard.Carriers, Carrier{netip.AddrPortFrom(vpn, 443), wire.TCP})
	f.Guard.Carriers = append(f.Guard.Carriers, Carrier{netip.AddrPortFrom(gateway, 53), wire.UDP})
	fragment := udp(vpn, 9, 1194, "piece")
	fragment[14+6] |= 0x20
	for _, c := range []struct {
		name string
		data []byte
		kept bool
	}{
		{"a carrier", udp(vpn, 9, 1194, "sealed"), false},
		{"a carrier with a nonce", udp(vpn, 9, 1194, "TOKEN and more"), true},
		{"a carrier in pieces", fragment, true},
		{"a carrier by TCP", tcp(vpn, 9, 443, 0x18, "sealed"), false},
		{"a connection to a carrier's port, which could be a probe's", tcp(vpn, 9, 443, 0x02, ""), true},
		{"a name that is allowed", udp(gateway, 9, 53, "name"), true},
		{"another port", udp(vpn, 9, 1195, "x"), true},
		{"ARP", arp(own, gateway), true},
		{"a short frame", []byte{1, 2, 3}, true},
	} {
		k := newKeeper("TOKEN", Declare(f, f.Links[0], false), evidence.Ethernet)
		k.take(frame(c.data))
		if kept := len(k.frames) == 1; kept != c.kept || k.count() != 1 {
			t.Errorf("%s: kept %v, counted %d", c.name, kept, k.count())
		}
	}
}

func TestAKeeperThatIsFullSaysSo(t *testing.T) {
	k := newKeeper("TOKEN", evidence.Declared{}, evidence.Ethernet)
	big := udp(vpn, 1, 2, string(make([]byte, 60000)))
	for range most/len(big) + 2 {
		k.take(frame(big))
	}
	if k.err == nil || k.size > most {
		t.Errorf("%d bytes are kept, %v", k.size, k.err)
	}
	e := end{keep: k}
	if c := e.capture(); c.Error == "" {
		t.Error("its capture has no error")
	}
}

func TestACanaryIsALinksOwnRequestWithANumber(t *testing.T) {
	c := newCanary()
	f := c.frame(ownMAC, own, gateway)
	got, ok := canaryOf(f)
	if !ok || got != c {
		t.Errorf("%x is canary %x, %v", f, got, ok)
	}
	if _, ok := canaryOf(arp(own, gateway)); ok {
		t.Error("an ordinary request is a canary")
	}
	p := wire.Policy{MACs: [][6]byte{[6]byte(ownMAC)}, Hosts: []netip.Addr{own}, Neighbours: []netip.Addr{gateway}}
	if v := p.Judge([]wire.Frame{frame(f)}); v.Counts[wire.ARP] != 1 {
		t.Errorf("a canary is no link upkeep: %v", v)
	}
	k := newKeeper("TOKEN", evidence.Declared{}, evidence.Ethernet)
	k.take(frame(f))
	if n, _ := k.arrived([]canary{c, newCanary()}); n != 1 {
		t.Errorf("%d canaries arrived", n)
	}
}
