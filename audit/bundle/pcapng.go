package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// linkType is a capture's LINKTYPE_ number.
func linkType(l evidence.Layer) layers.LinkType {
	if l == evidence.IP {
		return layers.LinkTypeRaw
	}
	return layers.LinkTypeEthernet
}

// pcapng writes captures as one file with an interface for each, named after
// the vantage point. comment, if not nil, is written to a frame.
func pcapng(captures []evidence.Capture, comment func(capture, frame int) string) ([]byte, error) {
	var out bytes.Buffer
	var w *pcapgo.NgWriter
	for i, c := range captures {
		// The format has no snap length of zero but "none", which is what these have.
		intf := pcapgo.NgInterface{Name: c.Vantage, Description: c.Interface, LinkType: linkType(c.Layer)}
		var err error
		if i == 0 {
			w, err = pcapgo.NewNgWriterInterface(&out, intf, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "vpnguard audit"}})
		} else {
			_, err = w.AddInterface(intf)
		}
		if err != nil {
			return nil, fmt.Errorf("write the capture at %q: %w", c.Vantage, err)
		}
	}
	if w == nil {
		return nil, errors.New("write a capture file: there is no capture")
	}
	next := make([]int, len(captures))
	for {
		i := earliest(captures, next)
		if i < 0 {
			break
		}
		f := captures[i].Frames[next[i]]
		var options pcapgo.NgPacketOptions
		if comment != nil {
			if text := comment(i, next[i]); text != "" {
				options.Comments = []string{text}
			}
		}
		info := gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: f.Len, InterfaceIndex: i}
		if err := w.WritePacketWithOptions(info, f.Data, options); err != nil {
			return nil, fmt.Errorf("write frame %d of the capture at %q: %w", next[i]+1, captures[i].Vantage, err)
		}
		next[i]++
	}
	for i, c := range captures {
		stats := pcapgo.NgInterfaceStatistics{PacketsReceived: uint64(len(c.Frames)) + c.Drops, PacketsDropped: c.Drops}
		if len(c.Frames) > 0 {
			stats.LastUpdate = c.Frames[len(c.Frames)-1].Time
		}
		if err := w.WriteInterfaceStats(i, stats); err != nil {
			return nil, fmt.Errorf("write the statistics of the capture at %q: %w", c.Vantage, err)
		}
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// earliest is the capture whose next frame is the oldest, so that the file
// reads in the order of time while each capture keeps its own order.
func earliest(captures []evidence.Capture, next []int) int {
	best := -1
	for i, c := range captures {
		if next[i] < len(c.Frames) && (best < 0 || c.Frames[next[i]].Time.Before(captures[best].Frames[next[best]].Time)) {
			best = i
		}
	}
	return best
}

// readPcapng puts the frames of a file into the captures it was written from.
func readPcapng(data []byte, captures []evidence.Capture) error {
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return fmt.Errorf("read a capture file: %w", err)
	}
	for {
		b, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read a capture file: %w", err)
		}
		if info.InterfaceIndex >= len(captures) {
			return fmt.Errorf("read a capture file: it has an interface %d, and the run has %d captures", info.InterfaceIndex, len(captures))
		}
		c := &captures[info.InterfaceIndex]
		c.Frames = append(c.Frames, wire.Frame{Time: info.Timestamp.UTC(), Data: b, Len: info.Length})
	}
	if r.NInterfaces() != len(captures) {
		return fmt.Errorf("read a capture file: it has %d interfaces, and the run has %d captures", r.NInterfaces(), len(captures))
	}
	for i := range captures {
		intf, err := r.Interface(i)
		if err != nil {
			return fmt.Errorf("read a capture file: %w", err)
		}
		if intf.Name != captures[i].Vantage || intf.LinkType != linkType(captures[i].Layer) {
			return fmt.Errorf("read a capture file: interface %d is %q, and the capture %q", i, intf.Name, captures[i].Vantage)
		}
	}
	return nil
}
