package host

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// stream is what a witness says, piece by piece.
type stream struct {
	*testing.T
	w   *pcapgo.NgWriter
	out *io.PipeWriter
}

func newStream(t *testing.T) (stream, *Peer) {
	in, out := io.Pipe()
	p := NewPeer(in, func() { _ = in.Close() })
	s := stream{T: t, out: out}
	t.Cleanup(func() { _ = out.Close() })
	return s, p
}

func (s *stream) begin(link layers.LinkType) {
	s.Helper()
	var err error
	if s.w, err = pcapgo.NewNgWriter(s.out, link); err == nil {
		err = s.w.Flush()
	}
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stream) frame(data []byte) {
	s.Helper()
	if err := s.w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(data), Length: len(data)}, data); err != nil {
		s.Fatal(err)
	}
	if err := s.w.Flush(); err != nil {
		s.Fatal(err)
	}
}

func (s *stream) lost(n uint64) {
	s.Helper()
	if err := s.w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{LastUpdate: time.Now(), PacketsReceived: 1, PacketsDropped: n}); err != nil {
		s.Fatal(err)
	}
	if err := s.w.Flush(); err != nil {
		s.Fatal(err)
	}
}

func TestAPeerHandsOverFramesAndWhatItLost(t *testing.T) {
	s, p := newStream(t)
	got := make(chan []byte, 1)
	ended := make(chan error, 1)
	go func() { ended <- p.run(nil, func(f wire.Frame) { got <- bytes.Clone(f.Data) }) }()
	s.begin(layers.LinkTypeEthernet)
	s.lost(0)
	p.await(t.Context(), time.Minute)
	sent := arp(own, gateway)
	s.frame(sent)
	if f := <-got; !bytes.Equal(f, sent) {
		t.Errorf("%x became %x", sent, f)
	}
	settled := make(chan error, 1)
	go func() {
		n, err := p.settled(t.Context())
		if err == nil && n != 2 {
			t.Errorf("%d frames are lost", n)
		}
		settled <- err
	}()
	for { // the statistics count that come after the question
		select {
		case err := <-settled:
			if err != nil {
				t.Error(err)
			}
			p.interrupt()
			if err := <-ended; err == nil {
				t.Error("an interrupted peer has no error")
			}
			return
		default:
			s.lost(2)
		}
	}
}

func TestAPeerThatEndsOrSaysNonsenseIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(*stream)
		want string
	}{
		"nothing":        {func(*stream) {}, "no pcapng"},
		"an error":       {func(s *stream) { _, _ = s.out.Write([]byte("sh: vpnguard: not found\n")) }, "no pcapng"},
		"another link":   {func(s *stream) { s.begin(layers.LinkTypeRaw) }, "not Ethernet"},
		"an early end":   {func(s *stream) { s.begin(layers.LinkTypeEthernet) }, "stream ended"},
		"half a block":   {func(s *stream) { s.begin(layers.LinkTypeEthernet); _, _ = s.out.Write([]byte{6, 0, 0, 0, 99}) }, "stream"},
		"frames and end": {func(s *stream) { s.begin(layers.LinkTypeEthernet); s.lost(0); s.frame(arp(own, gateway)) }, "stream ended"},
	} {
		s, p := newStream(t)
		ended := make(chan error, 1)
		go func() { ended <- p.run(nil, func(wire.Frame) {}) }()
		c.say(&s)
		_ = s.out.Close()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := p.settled(t.Context()); err == nil {
			t.Errorf("%s: it is settled", name)
		}
		p.await(t.Context(), time.Minute) // does not wait for one that ended
	}
}

func TestAPeerThatNeverTellsWhatItLostIsNotSettled(t *testing.T) {
	s, p := newStream(t)
	go func() { _ = p.run(nil, func(wire.Frame) {}) }()
	s.begin(layers.LinkTypeEthernet)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.settled(ctx); err == nil {
		t.Error("it is settled")
	}
}

func FuzzPeer(f *testing.F) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		f.Fatal(err)
	}
	_ = w.WritePacket(gopacket.CaptureInfo{CaptureLength: 4, Length: 4}, []byte("abcd"))
	_ = w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{PacketsDropped: 1})
	_ = w.Flush()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		p := NewPeer(bytes.NewReader(data), func() {})
		if err := p.run(nil, func(wire.Frame) {}); err == nil {
			t.Error("a stream that ended is no error")
		}
	})
}
