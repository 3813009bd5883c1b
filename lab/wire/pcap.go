package wire

import (
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// NewPcap writes the head of a pcap file to w and returns what appends a frame.
func NewPcap(w io.Writer) (func(Frame) error, error) {
	p := pcapgo.NewWriterNanos(w)
	if err := p.WriteFileHeader(maxCapture, layers.LinkTypeEthernet); err != nil {
		return nil, err
	}
	return func(f Frame) error {
		return p.WritePacket(gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: f.Len}, f.Data)
	}, nil
}
