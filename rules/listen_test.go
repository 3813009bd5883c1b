package rules_test

import (
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

// serving is a locked host with a tunnel's server on it, beside a client.
func serving() rules.Policy {
	p := lock()
	p.Carriers = []rules.Carrier{
		{Owner: rules.Owner{UIDs: []uint32{65522}, Mark: 0xca6c, Mask: 0xffffffff}, Listen: 51820},
		{Owner: rules.Owner{UIDs: []uint32{0}}, Endpoints: full().Carriers[0].Endpoints},
	}
	return p
}

// The server's hole is port and protocol and owner; its peers are anywhere.
func TestServersPeersMayBeAnywhereAndNothingElse(t *testing.T) {
	rs := build(t, serving())
	engine := func(p rules.Packet) rules.Packet {
		p.UID, p.Mark = 65522, 0xca6c
		return p
	}
	const from, from6 = "192.168.1.101:51820", "[2001:db8:1::101]:51820"
	out, out6 := engine(udp("eth0", from, "198.51.100.77:40001")), engine(udp("eth0", from6, "[2001:db8:77::1]:40001"))
	for name, c := range map[string]struct {
		packet rules.Packet
		want   string
	}{
		"answer":                        {out, "out-listen0-udp51820-uid65522 fence-listen0-udp51820: accept"},
		"answer over IPv6":              {out6, "out-listen0-udp51820-uid65522 fence-listen0-udp51820: accept"},
		"by another uid":                {by(1000, out), ended},
		"by root":                       {by(0, out), ended},
		"without the mark":              {with(out, func(p *rules.Packet) { p.Mark = 0 }), ended},
		"without a socket":              {orphan(out), ended},
		"from another port":             {engine(udp("eth0", "192.168.1.101:51821", "198.51.100.77:40001")), ended},
		"to that port, not from it":     {engine(udp("eth0", lan4, "198.51.100.77:51820")), ended},
		"by TCP":                        {engine(tcp("eth0", from, "198.51.100.77:40001")), reset},
		"a name, from that port":        {engine(udp("eth0", from, "198.51.100.77:53")), "out-dns-udp: reject"},
		"to another carrier's server":   {engine(udp("eth0", from, "203.0.113.10:40001")), "out-server4: reject"},
		"the client's own carrier":      {by(0, udp("eth0", lan4, server4)), "out-carrier0_ip4-uid0 fence-carrier4: accept"},
		"a later fragment to anybody":   {trailing(out), ended},
		"the port of a program of root": {by(0, udp("eth0", from, "8.8.8.8:40001")), ended},
	} {
		if got := describe(trace(rs, c.packet)); got != c.want {
			t.Errorf("%s: decided by %q, want %q", name, got, c.want)
		}
	}
	for to, want := range map[string]rules.Verdict{"192.168.1.101:51820": rules.Accept, "192.168.1.101:51821": rules.Drop} {
		if d := rs.Eval(arrives(udp("eth0", "198.51.100.77:40001", to))); d.Verdict != want {
			t.Errorf("a call to %s: %v, want %v", to, d, want)
		}
	}
	without := serving()
	without.Carriers = without.Carriers[1:]
	if d := build(t, without).Eval(out); d.Verdict == rules.Accept {
		t.Errorf("without a server its port is open: %v", d)
	}
	// In the split profile all else is open anyway, and what belongs inside stays so.
	p := serving()
	p.Profile = rules.Split
	p.Tunnels = []rules.Tunnel{{Name: "own0", Prefixes: prefixes("10.8.0.0/24")}}
	split := build(t, p)
	if d := split.Eval(out); d.Verdict != rules.Accept {
		t.Errorf("split: an answer is %v", d)
	}
	if d := split.Eval(engine(udp("eth0", from, "10.8.0.7:40001"))); d.Verdict == rules.Accept {
		t.Errorf("split: the server sends to the inside by the wire: %v", d)
	}
	// Order and doubles do not matter.
	twice := serving()
	twice.Carriers = append(twice.Carriers, twice.Carriers...)
	slices.Reverse(twice.Carriers)
	if build(t, twice).Text() != rs.Text() {
		t.Error("the same carriers in another order are other rules")
	}
}
