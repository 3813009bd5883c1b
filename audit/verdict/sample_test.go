package verdict_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

const nonce = "vgnonce"

var (
	t0     = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	host   = netip.MustParseAddr("192.168.1.101")
	server = netip.MustParseAddr("203.0.113.10")
	public = netip.MustParseAddr("8.8.8.8")
	inner  = netip.MustParseAddr("10.8.0.2")
)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

// packet builds by another library than the one that judges.
func packet(ms int, link bool, from, to netip.Addr, port uint16, payload string) wire.Frame {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	all := []gopacket.SerializableLayer{ip, &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(port)}, gopacket.Payload(payload)}
	if link {
		all = append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 1, 0x65}, DstMAC: []byte{2, 0, 0, 0, 1, 1}, EthernetType: layers.EthernetTypeIPv4}}, all...)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, all...); err != nil {
		panic(err)
	}
	return wire.Frame{Time: at(ms), Data: b.Bytes(), Len: len(b.Bytes())}
}

func carrier(ms int) wire.Frame { return packet(ms, true, host, server, 1194, "encrypted") }
func leaked(ms int) wire.Frame  { return packet(ms, true, host, public, 53, "x"+nonce) }
func tunnelled(ms int) wire.Frame {
	return packet(ms, false, inner, public, 53, "x"+nonce)
}

func numbered(ms int, n uint64) string {
	return nonce + string(binary.BigEndian.AppendUint64(nil, n))
}

// run is everything that a pass needs: 100 ms with a stimulus in the middle.
func run(phase evidence.Phase, onWire, inTunnel []wire.Frame) evidence.Run {
	canaries := []evidence.Canary{
		{When: evidence.AtStart, At: at(1), Sent: 2, Seen: 2}, {When: evidence.Between, At: at(50), Sent: 2, Seen: 2}, {When: evidence.AtEnd, At: at(99), Sent: 2, Seen: 2},
	}
	return evidence.Run{
		Phase: phase, Seed: 7, Started: at(0), Ended: at(100),
		Stimuli: []evidence.Stimulus{{
			Name: "send", Node: "client", UID: 1000, Nonce: nonce, Planned: 1, Started: at(10), Ended: at(90),
			Sends: []evidence.Send{{What: "udp"}}, Signs: evidence.Signs{Needles: [][]byte{[]byte(nonce)}},
		}},
		Captures: []evidence.Capture{
			{
				Vantage: "WIRE", Interface: "lan0", Canaries: canaries, Count: len(onWire), Frames: onWire,
				Declared: evidence.Declared{
					MACs: []string{"02:00:00:00:01:65"}, Hosts: []netip.Addr{host}, Never: []netip.Addr{inner},
					Entries: []evidence.Entry{{Name: "tunnel", Kind: evidence.Carrier, Reason: "the tunnel's own packets", To: netip.PrefixFrom(server, 32), Proto: 17, ToPort: 1194}},
				},
			},
			{Vantage: "TUNNEL", Role: evidence.Inside, Interface: "tun0", Layer: evidence.IP, Count: len(inTunnel), Frames: inTunnel},
		},
		Tunnel: evidence.Tunnel{Checks: []evidence.Check{{What: "echo", Works: true, At: at(20)}}},
	}
}

func control() evidence.Run {
	return run(evidence.Control, []wire.Frame{carrier(5), leaked(30)}, nil)
}

func guarded() evidence.Run {
	return run(evidence.Guarded, []wire.Frame{carrier(5), carrier(40)}, []wire.Frame{tunnelled(39)})
}

func passing() evidence.Case {
	return evidence.Case{ID: "bind-to-device", Variant: "udp", Title: "sends past the tunnel", Runs: []evidence.Run{control(), guarded()}}
}

func judged(c evidence.Case, p policy.Policy) verdict.Result {
	return verdict.Case(&c, p, 1, at(1000))
}

func wantVerdict(t *testing.T, r verdict.Result, want verdict.Verdict) {
	t.Helper()
	if r.Verdict != want {
		t.Errorf("the verdict is %q, want %q: %q", r.Verdict, want, r.Reasons)
	}
}
