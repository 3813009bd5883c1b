package nft_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/rules"
)

// trial is a packet and the means by which it is made.
type trial struct {
	name   string
	packet rules.Packet
	after  bool                // of a packet to the host: it answers one that was sent before
	spoil  func([]byte) []byte // of a raw frame: what becomes of the packet before it is sent
	seen   func(*rules.Packet) // what it is to Eval then
}

// The wire decides: what Eval says of a packet is what the kernel does with
// it. Without rules everything arrives, so that what does not was stopped.
func TestEvalAgreesWithTheKernel(t *testing.T) {
	b := newBench(t)
	conn := open(t)
	all := trials()
	if lab.SingleUID() {
		all = slices.DeleteFunc(all, func(x trial) bool { return x.packet.UID != 0 })
	}
	for _, x := range all {
		if ok, err := b.try(x); err != nil || !ok {
			t.Errorf("control: %s: arrived %v, %v", x.name, ok, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	for name, p := range agreePolicies() {
		t.Run(name, func(t *testing.T) {
			pin(t)
			rs := build(t, p)
			if _, err := conn.Replace(rs); err != nil {
				t.Fatal(err)
			}
			arrived := 0
			for _, x := range all {
				asked := x.packet
				if x.seen != nil {
					x.seen(&asked)
				}
				want := rs.Eval(asked)
				got, _ := b.try(x) // that the kernel refuses to send is an answer too
				if got != want.Verdict.Passes() {
					t.Errorf("%s: arrived %v, Eval says %s", x.name, got, want)
				}
				if got {
					arrived++
				}
			}
			t.Logf("%d of %d packets arrived", arrived, len(all))
			if arrived == 0 || arrived == len(all) {
				t.Error("the policy makes no difference")
			}
		})
	}
}

// try makes the packet and reports whether it arrived. The error is the
// kernel's to who sent it.
func (b *bench) try(x trial) (bool, error) {
	b.t.Helper()
	nonce := make([]byte, 24)
	_, _ = rand.Read(nonce)
	p := x.packet
	switch p.Path {
	case rules.RawFrame:
		return b.rawFrame(p, nonce, x.spoil)
	case rules.ToHost:
		return b.toHost(p, nonce, x.after)
	case rules.Forwarded:
		_, err := unix.Write(b.guest, ethernet(b.macs["gst0"], b.macs["gst1"], etherOf(p), packetOf(p, nonce)))
		return b.shown(p.Out, nonce), err
	case rules.FromHost:
	}
	return b.fromHost(p, nonce)
}

// shown reports whether the nonce came out by the device.
func (b *bench) shown(dev string, nonce []byte) bool {
	wire, tun := b.crossed(), b.tunnelled()
	if dev == "tun0" {
		return contains(tun, nonce)
	}
	return contains(wire, nonce)
}

func contains(list [][]byte, nonce []byte) bool {
	for _, f := range list {
		if bytes.Contains(f, nonce) {
			return true
		}
	}
	return false
}

func (b *bench) rawFrame(p rules.Packet, nonce []byte, spoil func([]byte) []byte) (bool, error) {
	body := nonce
	switch etherOf(p) {
	case 0x0806:
		body = arpOf(b.macs["vg0"], p, nonce)
	case 0x0800, 0x86dd:
		body = packetOf(p, nonce)
	}
	if spoil != nil {
		body = spoil(body)
	}
	frame := ethernet(b.macs["vg1"], b.macs["vg0"], etherOf(p), body)
	_, err := unix.Write(b.out, frame)
	return contains(b.crossed(), frame), err
}

func (b *bench) fromHost(p rules.Packet, nonce []byte) (bool, error) {
	b.t.Helper()
	to := sockaddr(p.Dst, p.DstPort)
	switch {
	case p.Trailing:
		fd := b.socket(p, unix.SOCK_RAW, unix.IPPROTO_RAW)
		defer unix.Close(fd)
		const ipNodefrag = 22 // conntrack does not wait for the other pieces
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, ipNodefrag, 1); err != nil {
			b.t.Fatal(err)
		}
		err := unix.Sendto(fd, packetOf(p, nonce), 0, sockaddr(p.Dst, 0))
		return b.shown(p.Out, nonce), err
	case p.Proto == rules.ProtoICMP:
		p.SrcPort = 0
		fd := b.socket(p, unix.SOCK_RAW, unix.IPPROTO_ICMP)
		defer unix.Close(fd)
		err := unix.Sendto(fd, transportOf(p, nonce), 0, sockaddr(p.Dst, 0))
		return b.shown(p.Out, nonce), err
	case p.Proto == rules.ProtoTCP:
		fd := b.socket(p, unix.SOCK_STREAM, 0)
		err := unix.Connect(fd, to)
		if errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
		// A SYN has no payload of ours: its ports tell it.
		ports := []byte{byte(p.SrcPort >> 8), byte(p.SrcPort), byte(p.DstPort >> 8), byte(p.DstPort)}
		ok := b.shown(p.Out, append(append([]byte(nil), p.Dst.AsSlice()...), ports...))
		_ = unix.Close(fd)
		return ok, err
	}
	fd := b.socket(p, unix.SOCK_DGRAM, 0)
	defer unix.Close(fd)
	payload := nonce
	if p.DHCPOp != 0 {
		payload = transportOf(p, nonce)[8:]
	}
	err := unix.Sendto(fd, payload, 0, to)
	return b.shown(p.Out, nonce), err
}

// toHost sends the packet from the wire to a socket of the host.
func (b *bench) toHost(p rules.Packet, nonce []byte, after bool) (bool, error) {
	b.t.Helper()
	mine := rules.Packet{Src: p.Dst, SrcPort: p.DstPort, Dst: p.Src, DstPort: p.SrcPort}
	fd := b.socket(mine, unix.SOCK_DGRAM, 0)
	defer unix.Close(fd)
	if after {
		if err := unix.Sendto(fd, []byte("first"), 0, sockaddr(mine.Dst, mine.DstPort)); err != nil {
			return false, fmt.Errorf("what is answered: %w", err)
		}
	}
	if _, err := unix.Write(b.wire, ethernet(b.macs["vg0"], b.macs["vg1"], etherOf(p), packetOf(p, nonce))); err != nil {
		return false, err
	}
	b.crossed()
	return contains(b.drain(fd), nonce), nil
}
