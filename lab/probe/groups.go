package probe

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groups joins multicast groups, which the kernel reports on the link.
func groups() []Probe {
	return []Probe{
		{Name: "igmp-join", To: "a random group in 239.0.0.0/8", send: func(s *shot) {
			sum := sha256.Sum256([]byte(s.Nonce))
			s.join(netip.AddrFrom4([4]byte{239, sum[0], sum[1], sum[2]}))
		}},
		{Name: "mld-join", To: "a random group in ff05::/16", send: func(s *shot) {
			sum := sha256.Sum256([]byte(s.Nonce))
			a := [16]byte{0xff, 0x05}
			copy(a[8:], sum[:8])
			s.join(netip.AddrFrom16(a))
		}},
	}
}

func (s *shot) join(group netip.Addr) {
	index, err := ifindex(s.Dev)
	if err != nil {
		s.fail("join", err)
		return
	}
	fd, err := how{}.open(group, unix.SOCK_DGRAM)
	if err != nil {
		s.fail("join", err)
		return
	}
	defer unix.Close(fd)
	if group.Is4() {
		err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(index)})
	} else {
		err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)})
	}
	s.receipt.Evidence.Needles = append(s.receipt.Evidence.Needles, group.AsSlice())
	s.tried("join "+group.String(), err)
	s.receipt.Witness = membership(group)
	// The report is the kernel's, some milliseconds later. Leaving sends another.
	time.Sleep(answerWait)
}

// membership is the kernel's line about a group.
func membership(group netip.Addr) string {
	file, want := "/proc/net/igmp6", hex.EncodeToString(group.AsSlice())
	if group.Is4() {
		// The address as a number of this machine's byte order.
		file, want = "/proc/net/igmp", fmt.Sprintf("%08X", binary.NativeEndian.Uint32(group.AsSlice()))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, want) {
			return file + ": " + strings.TrimSpace(line)
		}
	}
	return ""
}
