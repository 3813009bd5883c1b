package vm

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestTheGatewayAnswersLinkUpkeepOnly(t *testing.T) {
	const own = "fe80::ff:fe00:7764"
	eth := func(kind layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: GuestMAC, DstMAC: layers.EthernetBroadcast, EthernetType: kind}
	}
	arp := func(target netip.Addr) wire.Frame {
		return frame(t, eth(layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: GuestMAC, SourceProtAddress: Guest4.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice()})
	}
	udp := func(port layers.UDPPort, body gopacket.SerializableLayer) wire.Frame {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IPv4zero, DstIP: net.IPv4bcast}
		u := &layers.UDP{SrcPort: 68, DstPort: port}
		if err := u.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		return frame(t, eth(layers.EthernetTypeIPv4), ip, u, body)
	}
	dhcp := func(kind layers.DHCPMsgType) *layers.DHCPv4 {
		return &layers.DHCPv4{Operation: layers.DHCPOpRequest, HardwareType: 1, HardwareLen: 6, ClientHWAddr: GuestMAC,
			Options: layers.DHCPOptions{layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{byte(kind)})}}
	}
	for _, c := range []struct {
		name string
		f    wire.Frame
		want string // layer of the answer; empty: none
	}{
		{"ARP for the gateway", arp(Gateway4), "ARP"},
		{"ARP for a stranger", arp(netip.MustParseAddr("192.168.77.9")), ""},
		{"discovery of a lease", udp(67, dhcp(layers.DHCPMsgTypeDiscover)), "DHCPv4"},
		{"request of a lease", udp(67, dhcp(layers.DHCPMsgTypeRequest)), "DHCPv4"},
		{"release of a lease", udp(67, dhcp(layers.DHCPMsgTypeRelease)), ""},
		{"solicitation of the gateway", solicitation{own, Gateway6.String(), Gateway6.String(), 255, nil}.frame(t), "ICMPv6NeighborAdvertisement"},
		{"solicitation of a stranger", solicitation{own, "fe80::9", "fe80::9", 255, nil}.frame(t), ""},
		{"detection of the gateway's address", solicitation{"::", "ff02::1", Gateway6.String(), 255, nil}.frame(t), ""},
		{"datagram", udp(4000, gopacket.Payload("nonce")), ""},
		{"nothing", wire.Frame{}, ""},
	} {
		got, err := answer(c.f.Data)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.want == "" {
			if len(got) != 0 {
				t.Errorf("%s: answered with %x", c.name, got)
			}
			continue
		}
		found := false
		for _, a := range got {
			for _, l := range gopacket.NewPacket(a, layers.LayerTypeEthernet, gopacket.Default).Layers() {
				found = found || l.LayerType().String() == c.want
			}
		}
		if !found {
			t.Errorf("%s: answered with %x, want %s", c.name, got, c.want)
		}
	}
}

// pipe is a cable whose guest side has been written before.
type pipe struct {
	in  []byte
	end error // behind it
	out []byte
}

func (p *pipe) Write(b []byte) (int, error) { p.out = append(p.out, b...); return len(b), nil }

func TestTheGatewayKeepsEveryFrameOrSaysThatItCannot(t *testing.T) {
	first := []byte("one frame, and")
	whole := append(binary.BigEndian.AppendUint32(nil, uint32(len(first))), first...)
	for _, c := range []struct {
		name   string
		in     []byte
		end    error
		frames int
		fails  bool
	}{
		{"nothing", nil, io.EOF, 0, false},
		{"one frame", whole, io.EOF, 1, false},
		{"reset behind a frame", whole, syscall.ECONNRESET, 1, false},
		{"a cut head", append(whole[:len(whole):len(whole)], 0, 0), io.EOF, 1, true},
		{"a cut frame", whole[:len(whole)-1], io.EOF, 0, true},
		{"a head alone", whole[:4], io.EOF, 0, true},
		{"reset in a frame", whole[:6], syscall.ECONNRESET, 0, true},
		{"a broken cable", whole, syscall.EIO, 1, true},
		{"an impossible length", []byte{0xff, 0xff, 0xff, 0xff}, io.EOF, 0, true},
	} {
		g := NewGateway(&pipe{in: c.in, end: c.end}, nil)
		err := g.Close()
		if n := len(g.Frames()); n != c.frames || (err != nil) != c.fails {
			t.Errorf("%s: %d frames, error %v; want %d, failure %t", c.name, n, err, c.frames, c.fails)
		}
	}
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		return 0, p.end
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

// With a second card what the first one sends is recorded and passed on, and what
// comes back is not recorded.
func TestTheGatewayPassesFramesBetweenTheCards(t *testing.T) {
	near, guest := net.Pipe()
	far, server := net.Pipe()
	g := NewGateway(near, far)
	there, back := []byte("there and"), []byte("back again")
	if err := writeFrame(guest, there); err != nil {
		t.Fatal(err)
	}
	if got, err := readFrame(server); err != nil || string(got) != string(there) {
		t.Errorf("at the far card: %q, %v", got, err)
	}
	if err := writeFrame(server, back); err != nil {
		t.Fatal(err)
	}
	if got, err := readFrame(guest); err != nil || string(got) != string(back) {
		t.Errorf("back at the near card: %q, %v", got, err)
	}
	_ = guest.Close()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if frames := g.Frames(); len(frames) != 1 || string(frames[0].Data) != string(there) {
		t.Errorf("recorded: %d frames", len(frames))
	}
	_ = server.Close()
}

// A far card that reads nothing does not hold the near one up.
func TestAFarCardWithoutADriverLosesFrames(t *testing.T) {
	near, guest := net.Pipe()
	far, _ := net.Pipe()
	g := NewGateway(near, far)
	const sent = farQueue + 100
	for range sent {
		if err := writeFrame(guest, []byte("a frame")); err != nil {
			t.Fatal(err)
		}
	}
	_ = guest.Close()
	if err := g.Close(); err != nil || len(g.Frames()) != sent {
		t.Errorf("recorded %d frames of %d, %v", len(g.Frames()), sent, err)
	}
}
