package host

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A canary is an ARP request of the machine for a neighbour, which every seal
// lets out, with a number where the target's link address is asked for: nobody
// reads that field in a request (RFC 826).
type canary [6]byte

// canaryMark begins canaries; as an address it would be a group's, which no
// machine has.
var canaryMark = []byte{0x03, 0x76}

func newCanary() (c canary) {
	copy(c[:], canaryMark)
	_, _ = rand.Read(c[len(canaryMark):]) // never fails
	return c
}

// Places in an ARP frame (RFC 826).
const (
	arpOperation  = ethernetHeader + 6
	arpTargetLink = ethernetHeader + 18
	arpEnd        = ethernetHeader + 28
)

// canaryOf recognises one.
func canaryOf(frame []byte) (c canary, ok bool) {
	if len(frame) < arpEnd || binary.BigEndian.Uint16(frame[12:]) != etherARP || binary.BigEndian.Uint16(frame[arpOperation:]) != 1 {
		return c, false
	}
	copy(c[:], frame[arpTargetLink:])
	return c, bytes.HasPrefix(c[:], canaryMark)
}

func (c canary) frame(mac net.HardwareAddr, own, neighbour netip.Addr) []byte {
	b := bytes.Repeat([]byte{0xff}, 6)
	b = append(append(b, mac...), etherARP>>8, etherARP&0xff)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, mac...), own.AsSlice()...)
	// No padding: a seal takes none, where data could be; the card pads.
	return append(append(b, c[:]...), neighbour.AsSlice()...)
}

// send puts canaries on a link.
func (l Link) send(all []canary) error {
	own, ok := l.address(false)
	neighbour, known := l.somebody(false)
	mac, err := net.ParseMAC(l.MAC)
	if !ok || !known || err != nil {
		return fmt.Errorf("link %q has no Ethernet or no IPv4 network: no canary can be sent there", l.Name)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	for _, c := range all {
		if err := unix.Sendto(fd, c.frame(mac, own, neighbour), 0, &unix.SockaddrLinklayer{Ifindex: l.Index, Halen: 6}); err != nil {
			return fmt.Errorf("send a canary by %q: %w", l.Name, err)
		}
	}
	return nil
}
