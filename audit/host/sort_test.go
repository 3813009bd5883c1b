package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// played is an audit of two probes, one refused and one that went into the
// tunnel, that went as it should before a witness.
type played struct {
	f                Facts
	plan             Plan
	control, guarded Observed
}

var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func after(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

func at(ms int, data []byte) wire.Frame {
	return wire.Frame{Time: after(ms), Data: data, Len: len(data)}
}

func play() played {
	p := played{f: sealed()}
	nonces := []string{"TOKEN-harmless------", "TOKEN-device--------", "TOKEN-mapped--------"}
	p.plan.Tries = []Try{
		{ID: "harmless", Variant: "loopback", Innocent: true, Order: probe.Order{Name: "safe-loopback", Nonce: nonces[0]}},
		{ID: "bind-to-device", Variant: "udp", Order: probe.Order{Name: "safe-device-udp", Nonce: nonces[1]}, Mentions: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		{ID: "v4-mapped", Variant: "udp", Order: probe.Order{Name: "safe-device-mapped", Nonce: nonces[2]}, Mentions: []netip.Addr{netip.MustParseAddr("192.0.2.2")}},
	}
	canaries := []evidence.Canary{
		{When: evidence.AtStart, At: after(10), Sent: 3, Seen: 3}, {When: evidence.Between, At: after(20), Sent: 3, Seen: 3}, {When: evidence.AtEnd, At: after(90), Sent: 3, Seen: 3},
	}
	d := Declare(p.f, p.f.Links[0], false)
	observed := func(sends ...probe.Send) Observed {
		o := Observed{Started: after(0), Ended: after(100), Checks: []evidence.Check{{What: "it answers", Works: true, At: after(50)}}}
		for i, s := range sends {
			r := probe.Receipt{Nonce: nonces[i], UID: 65534, Sends: []probe.Send{s}}
			r.Evidence.Needles = [][]byte{[]byte(nonces[i])}
			if i == 0 {
				r.Witness = "its own socket got it"
			}
			o.Shots = append(o.Shots, Shot{Receipt: r, Started: after(30), Ended: after(40)})
		}
		for _, c := range []evidence.Capture{
			{Vantage: OwnEnd("eth0"), Role: evidence.Host, Decides: true}, {Vantage: FarEnd("eth0"), Decides: true}, {Vantage: "tun0", Role: evidence.Inside, Layer: evidence.IP},
		} {
			c.Interface, c.Declared, c.Canaries = "eth0", d, canaries
			o.Captures, o.Frames = append(o.Captures, c), append(o.Frames, nil)
		}
		return o
	}
	p.control = observed(probe.Send{}, probe.Send{}, probe.Send{})
	for i := range 2 {
		p.control.see(i, at(31, udp(netip.MustParseAddr("192.0.2.1"), 9, 7, nonces[1])), at(32, udp(netip.MustParseAddr("192.0.2.2"), 9, 7, nonces[2])))
	}
	p.guarded = observed(probe.Send{}, probe.Send{Errno: 1, Error: "operation not permitted"}, probe.Send{})
	for i := range 2 {
		p.guarded.see(i, at(31, arp(own, gateway)))
		p.guarded.Captures[i].Tallies = []evidence.Tally{{Entry: "carrier 203.0.113.10:1194", Frames: 5}}
	}
	p.guarded.see(2, at(33, udp(netip.MustParseAddr("192.0.2.2"), 9, 7, nonces[2])[14:]))
	return p
}

func (o *Observed) see(capture int, frames ...wire.Frame) {
	o.Frames[capture] = append(o.Frames[capture], frames...)
}

func (p played) verdicts() map[string]verdict.Result {
	all := map[string]verdict.Result{}
	for _, c := range Cases(p.f, p.plan, p.control, p.guarded) {
		r := verdict.Case(&c, policy.Policy{}, 1, after(1000))
		all[r.Name()] = r
	}
	return all
}

func TestASealedHostPassesBeforeAWitness(t *testing.T) {
	all := play().verdicts()
	for _, name := range []string{"harmless/loopback", "bind-to-device/udp", "v4-mapped/udp", "l2-chatter/watched"} {
		if r := all[name]; r.Verdict != verdict.Pass {
			t.Errorf("%s is %s: %q", name, r.Verdict, r.Reasons)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d cases", len(all))
	}
}

// Whatever is missing, nothing passes that needs it.
func TestNothingPassesOfWhichAnythingIsMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*played)
		want string // in the reasons of every probe
	}{
		{"no witness", func(p *played) {
			for _, o := range []*Observed{&p.control, &p.guarded} {
				o.Captures, o.Frames = slices.Delete(o.Captures, 1, 2), slices.Delete(o.Frames, 1, 2)
			}
		}, "not disproved"},
		{"a witness of one link only", func(p *played) {
			for _, o := range []*Observed{&p.control, &p.guarded} {
				two := o.Captures[0]
				two.Vantage = OwnEnd("eth1")
				o.Captures, o.Frames = append(o.Captures, two), append(o.Frames, nil)
			}
		}, "not disproved: 1 of 2 links"},
		{"frames were lost", func(p *played) { p.guarded.Captures[0].Drops = 1 }, "frames were lost"},
		{"the witness lost frames", func(p *played) { p.guarded.Captures[1].Drops = 1 }, "frames were lost"},
		{"the witness died", func(p *played) { p.guarded.Captures[1].Error = "the peer's stream ended" }, "the capture ended"},
		{"a canary is missing", func(p *played) {
			p.guarded.Captures[1].Canaries = slices.Clone(p.guarded.Captures[1].Canaries)
			p.guarded.Captures[1].Canaries[2].Seen = 2
		}, "canaries were seen"},
		{"the tunnel is dead", func(p *played) { p.guarded.Checks[0].Works = false }, "tunnel does not work"},
		{"nobody looked at the tunnel", func(p *played) { p.guarded.Checks = nil }, "was not seen to work"},
		{"the run failed", func(p *played) { p.guarded.Error = "no process could be started" }, "no process could be started"},
		{"a probe was not tried", func(p *played) {
			for i := range p.guarded.Shots {
				p.guarded.Shots[i] = Shot{}
			}
		}, "sends"},
	} {
		p := play()
		c.do(&p)
		for name, r := range p.verdicts() {
			probes := name != "l2-chatter/watched"
			if probes && (r.Verdict != verdict.Inconclusive || !strings.Contains(strings.Join(r.Reasons, "\n"), c.want)) {
				t.Errorf("%s: %s is %s: %q", c.name, name, r.Verdict, r.Reasons)
			}
		}
	}
	for name, change := range map[string]func(*played){
		"no control":                func(p *played) { p.control.Shots = nil },
		"a control that failed":     func(p *played) { p.control.Error = "no namespace" },
		"a control that shows less": func(p *played) { p.control.Frames[0], p.control.Frames[1] = nil, nil },
	} {
		p := play()
		change(&p)
		if r := p.verdicts()["bind-to-device/udp"]; r.Verdict != verdict.Inconclusive {
			t.Errorf("%s: %s: %q", name, r.Verdict, r.Reasons)
		}
	}
	p := play()
	p.guarded.Frames[2] = nil // it did not get into the tunnel, and was not refused
	if r := p.verdicts()["v4-mapped/udp"]; r.Verdict != verdict.Inconclusive {
		t.Errorf("without a receipt: %s: %q", r.Verdict, r.Reasons)
	}
}

func TestAProbesFrameIsALeakOfThatProbeAlone(t *testing.T) {
	for name, data := range map[string][]byte{
		"its nonce":              udp(netip.MustParseAddr("192.0.2.1"), 9, 7, "TOKEN-device--------"),
		"its nonce to a carrier": udp(vpn, 9, 1194, "TOKEN-device--------"),
		"its address in ARP":     arp(own, netip.MustParseAddr("192.0.2.1")),
	} {
		for capture := range 2 {
			p := play()
			p.guarded.see(capture, at(34, data))
			for id, r := range p.verdicts() {
				want := verdict.Pass
				if id == "bind-to-device/udp" {
					want = verdict.Leak
				}
				if r.Verdict != want {
					t.Errorf("%s at %d: %s is %s: %q", name, capture, id, r.Verdict, r.Reasons)
				}
			}
		}
	}
	p := play()
	p.guarded.see(0, at(34, udp(netip.MustParseAddr("8.8.8.8"), 9, 7, "TOKEN-harmless------")))
	if r := p.verdicts()["harmless/loopback"]; r.Verdict != verdict.Inconclusive || len(r.Findings) == 0 {
		t.Errorf("a harmless probe that was found: %s", r.Verdict)
	}
}

func TestFramesOfNobodyAreFindingsByWhatTheyAre(t *testing.T) {
	mdns := netip.MustParseAddr("224.0.0.251")
	lldp := append(append([]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, ownMAC...), 0x88, 0xcc, 0, 0)
	p := play()
	p.f.Services = []Service{{Port: Port{wire.TCP, 631}}}
	for data, want := range map[string]string{
		string(udp(gateway, 9, 53, "x")):          "dns-lan-resolver",
		string(tcp(gateway, 9, 53, 0x18, "x")):    "dns-tcp53",
		string(tcp(gateway, 9, 853, 0x18, "x")):   "dns-encrypted-lan",
		string(udp(mdns, 5353, 5353, "x")):        "dns-name-services",
		string(udp(gateway, 9, 123, "x")):         "ntp-cleartext",
		string(packet(own, vpn, 41, []byte("x"))): "transition-tunnels",
		string(lldp): "l2-chatter",
		string(packet(own, mdns, 2, []byte("12345678"))):         "l2-chatter",
		string(arp(own, netip.MustParseAddr("8.8.8.8"))):         "arp-destination-leak",
		string(arp(tunnelAddr, gateway)):                         "arp-sender-tunnel-ip",
		string(packet(tunnelAddr, gateway, 6, make([]byte, 20))): "weak-host-v4",
		string(tcp(gateway, 631, 9, 0x18, "x")):                  "inbound-lan-services",
		string(tcp(vpn, 9, 443, 0x18, "x")):                      "established-survivor",
	} {
		q := p
		q.guarded.Frames = [][]wire.Frame{append(slices.Clone(p.guarded.Frames[0]), at(35, []byte(data))), p.guarded.Frames[1], p.guarded.Frames[2]}
		all := q.verdicts()
		for name, r := range all {
			found := name == want+"/watched"
			if found != (r.Verdict == verdict.Leak) {
				t.Errorf("%s: %s is %s: %q", want, name, r.Verdict, r.Reasons)
			}
		}
		if _, ok := all[want+"/watched"]; !ok {
			t.Errorf("%q is no %s", data, want)
		}
	}
}

// No frame is left out, and none is in two cases.
func TestEveryFrameIsInOneCase(t *testing.T) {
	p := play()
	for i := range 40 {
		p.guarded.see(i%2, at(40+i, udp(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), uint16(i), uint16(50+i*7%90), "x")))
	}
	p.guarded.see(0, at(95, []byte{1}), at(95, arp(own, gateway)))
	places := map[string]int{}
	for _, c := range Cases(p.f, p.plan, p.control, p.guarded) {
		for _, run := range c.Runs {
			if run.Phase != evidence.Guarded {
				continue
			}
			for _, k := range run.Captures {
				if k.Count != len(k.Frames) {
					t.Errorf("%s: %d frames are counted and %d are here", c.ID, k.Count, len(k.Frames))
				}
				for _, f := range k.Frames {
					places[fmt.Sprintf("%s %v %x", k.Vantage, f.Time, f.Data)]++
				}
			}
		}
	}
	want := 0
	for _, frames := range p.guarded.Frames {
		want += len(frames)
	}
	if len(places) != want {
		t.Errorf("%d of %d frames are in a case", len(places), want)
	}
	for f, n := range places {
		if n != 1 {
			t.Errorf("%s is in %d cases", f, n)
		}
	}
}
