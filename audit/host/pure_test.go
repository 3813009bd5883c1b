package host

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
	"github.com/vpnguard/vpnguard/survey"
)

// The machine of these tests: a sealed one with a gateway.
var (
	own, gateway, vpn = netip.MustParseAddr("192.168.1.101"), netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("203.0.113.10")
	tunnelAddr        = netip.MustParseAddr("10.8.0.2")
	ownMAC, routerMAC = net.HardwareAddr{2, 0, 0, 0, 1, 0x65}, net.HardwareAddr{2, 0, 0, 0, 1, 1}
)

func sealed() Facts {
	return Facts{
		Guard: Guard{State: "sealed", Full: true, Enforced: true, Carriers: []Carrier{{netip.AddrPortFrom(vpn, 1194), wire.UDP}},
			Tunnels: []Tunnel{{Name: "tun0", Addresses: []netip.Addr{tunnelAddr}}}},
		Links: []Link{{
			Name: "eth0", Index: 2, MAC: ownMAC.String(), Gateways: []netip.Addr{gateway},
			Addresses:  []netip.Prefix{netip.PrefixFrom(own, 24), netip.MustParsePrefix("2001:db8:1::101/64"), netip.MustParsePrefix("fe80::1/64")},
			Neighbours: []Neighbour{{gateway, routerMAC.String()}},
		}},
	}
}

func opened() Facts {
	f := sealed()
	f.Guard = Guard{State: "open", Enforced: true}
	return f
}

func split(resolvers ...netip.Addr) Facts {
	f := sealed()
	f.Guard.Full = false
	f.Guard.Tunnels[0].Resolvers = resolvers
	return f
}

// packet is an Ethernet frame with an IPv4 packet.
func packet(from, to netip.Addr, proto byte, transport []byte) []byte {
	b := append(append([]byte{}, routerMAC...), ownMAC...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(transport)))
	b = append(b, 0, 1, 0, 0, 64, proto, 0, 0)
	return append(append(append(b, from.AsSlice()...), to.AsSlice()...), transport...)
}

func udp(to netip.Addr, from, port uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return packet(own, to, 17, append(append(b, 0, 0), payload...))
}

func tcp(to netip.Addr, from, port uint16, flags byte, payload string) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], port)
	b[12], b[13] = 5<<4, flags
	return packet(own, to, 6, append(b, payload...))
}

func arp(sender, target netip.Addr) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), ownMAC...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, ownMAC...), sender.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

func frame(data []byte) wire.Frame { return wire.Frame{Data: data, Len: len(data)} }

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

func TestEveryProbeIsKnownAndGoesToNobody(t *testing.T) {
	documentation := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), // RFC 5737, RFC 3849
		netip.MustParsePrefix("233.252.0.0/24"), netip.MustParsePrefix("ff05::db8:0:0/96"), // RFC 6676
	}
	f := opened()
	f.Guard.Carriers = sealed().Guard.Carriers
	p := Make(f, probe.NewNonce)
	if len(p.Tries) < 45 || len(p.Tries) > 80 {
		t.Errorf("%d probes", len(p.Tries))
	}
	names := map[string]bool{}
	for _, x := range p.Tries {
		if names[x.Name()] {
			t.Errorf("two tries are called %s", x.Name())
		}
		names[x.Name()] = true
		if _, err := catalogue.Find(x.ID); (err != nil) != x.Innocent {
			t.Errorf("%s: %v", x.Name(), err)
		}
		a := x.Order.Target
		ok := !a.IsValid() || a == gateway
		for _, d := range documentation {
			ok = ok || d.Contains(a)
		}
		if !ok {
			t.Errorf("%s goes to %s", x.Name(), a)
		}
	}
}

func TestASplitSessionIsTriedWhereItClosesAnything(t *testing.T) {
	ids := func(f Facts) map[string]bool {
		all := map[string]bool{}
		for _, x := range Make(f, probe.NewNonce).Tries {
			all[x.ID] = true
		}
		return all
	}
	for _, c := range []struct {
		name               string
		f                  Facts
		device, dns, other bool
	}{
		{"sealed", sealed(), true, true, true},
		{"open", opened(), true, true, false},
		{"split", split(), false, false, true},
		{"split with resolvers", split(tunnelAddr), false, true, true},
	} {
		got := ids(c.f)
		if got["bind-to-device"] != c.device || got["dns-lan-resolver"] != c.dns || got["port-fail"] != c.other {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestOrdinaryProbesNeverRunAsTheCarriersOwner(t *testing.T) {
	f := sealed()
	f.Guard.UIDs = []uint32{0, 65534, 65533}
	if u := Make(f, probe.NewNonce).User; u != 65532 {
		t.Errorf("they run as uid %d", u)
	}
}

func TestOnlyWhatTheGuardWasToldIsDeclared(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Facts)
		names  bool
		data   []byte
		want   string
	}{
		{"the carrier", nil, false, udp(vpn, 9, 1194, "x"), "carrier 203.0.113.10:1194"},
		{"another port of its server", nil, false, udp(vpn, 9, 1195, "x"), ""},
		{"ARP for the gateway", nil, false, arp(own, gateway), "ARP"},
		{"ARP for a stranger", nil, false, arp(own, netip.MustParseAddr("192.168.1.77")), ""},
		{"ARP for a known neighbour", func(f *Facts) {
			f.Links[0].Neighbours = append(f.Links[0].Neighbours, Neighbour{Addr: netip.MustParseAddr("192.168.1.77")})
		}, false, arp(own, netip.MustParseAddr("192.168.1.77")), "ARP"},
		{"ARP for a public address that a rogue LAN answered for", func(f *Facts) {
			f.Links[0].Neighbours = append(f.Links[0].Neighbours, Neighbour{Addr: netip.MustParseAddr("8.8.8.8")})
		}, false, arp(own, netip.MustParseAddr("8.8.8.8")), ""},
		{"ARP that tells the tunnel's address", nil, false, arp(tunnelAddr, gateway), ""},
		{"the LAN", func(f *Facts) { f.Guard.LAN = true }, false, udp(gateway, 9, 631, "x"), "LAN"},
		{"the LAN, not allowed", nil, false, udp(gateway, 9, 631, "x"), ""},
		{"names in the LAN", func(f *Facts) { f.Guard.LAN = true }, true, udp(gateway, 9, 53, "x"), ""},
		{"a service", func(f *Facts) { f.Guard.Allow = []Port{{wire.TCP, 22}} }, false, tcp(gateway, 22, 50000, 0x18, "x"), "inbound tcp/22"},
		{"another service", func(f *Facts) { f.Guard.Allow = []Port{{wire.TCP, 22}} }, false, tcp(gateway, 23, 50000, 0x18, "x"), ""},
		{"the tunnel's server", func(f *Facts) { f.Guard.Listen = []uint16{51820} }, false, udp(vpn, 51820, 9, "x"), "server udp/51820"},
		{"clear text beside a split session", func(f *Facts) { f.Guard.Full = false }, false, udp(vpn, 9, 1195, "x"), "clear text"},
		{"clear text of an open host", func(f *Facts) { *f = opened() }, false, udp(vpn, 9, 1195, "x"), ""},
	} {
		f := sealed()
		if c.change != nil {
			c.change(&f)
		}
		d := Declare(f, f.Links[0], c.names)
		k := newKeeper("TOKEN", d, evidence.Ethernet)
		if got := k.explain([]wire.Frame{frame(c.data)})[0]; got != c.want {
			t.Errorf("%s is explained by %q, want %q", c.name, got, c.want)
		}
		for _, e := range d.Entries {
			if e.Reason == "" {
				t.Errorf("%s: entry %q has no reason", c.name, e.Name)
			}
		}
	}
}

func TestEveryFindingOfTheSurveyIsALeakOfTheCatalogue(t *testing.T) {
	for id, s := range surveyed {
		if _, err := catalogue.Find(s.id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, k := range knobIDs {
		if _, err := catalogue.Find(k.id); err != nil {
			t.Errorf("%s: %v", k.word, err)
		}
	}
	for _, k := range flows {
		if _, err := catalogue.Find(k.id); err != nil {
			t.Error(err)
		}
	}
	h := survey.Host{Legacy: []string{"ip filter"}, MPTCP: []netip.Addr{own}, Rules: []survey.Rule{{Mark: 1}},
		Links: []survey.Link{{Name: "docker0", Kind: "bridge", Index: 3}, {Name: "v", Kind: "macvlan", Parent: 2}, {Name: "eth0", Index: 2, Master: 9},
			{Name: "br0", Kind: "bridge", Index: 9, Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}}, {Name: "wg0", Kind: "wireguard", Addresses: []netip.Prefix{netip.PrefixFrom(tunnelAddr, 24)}}},
		Listeners: []survey.Listener{{Addr: netip.MustParseAddr("127.0.0.1"), Proto: "udp"}},
		Files: survey.Files{Reload: survey.Reload{File: "/etc/nftables.conf", Enabled: true}, Sockets: []string{"/run/nscd/socket"}, Docker: true,
			Resolv: survey.Resolv{Exists: true, Servers: []netip.Addr{gateway}}, Hosts: []string{"resolve", "mdns4"},
			Connectivity: survey.Connectivity{URI: "http://check.example/"}, Time: []survey.TimeServer{{Addr: gateway}},
			Knobs: map[string]string{"ipv4/conf/default/rp_filter": "2", "ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1"}}}
	all := survey.Judge(h)
	if len(all) < 15 {
		t.Errorf("only %d findings", len(all))
	}
	for _, f := range all {
		if _, ok := surveyed[f.ID]; !ok {
			t.Errorf("finding %q has no leak", f.ID)
		}
	}
}
