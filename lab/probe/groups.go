package probe

import (
	"crypto/sha256"
	"net/netip"
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
	// The report is the kernel's, some milliseconds later. Leaving sends another.
	time.Sleep(answerWait)
}
