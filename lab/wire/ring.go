package wire

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ring is memory shared with the kernel, so that its size does not depend
// on net.core.rmem_max, which a user namespace cannot raise.
const (
	blockSize = 256 << 10 // more than the largest segmentation-offloaded frame
	retireMS  = 2         // how long a frame may wait in a block that is not full
)

// ring is an AF_PACKET socket with a TPACKET_V3 receive ring.
type ring struct {
	fd     int
	mem    []byte
	block  int
	blocks int
	// dropped counts frames that found the ring full, since it was opened.
	dropped uint64
}

// captured is a frame in the ring; data is valid until the next call.
type captured struct {
	ifindex int
	time    time.Time
	len     int
	data    []byte
}

// openRing takes what passes the cable in one direction, and what arrives on
// the canaries' interface.
func openRing(cable int, d Direction, canaries, blocks int) (*ring, error) {
	// Protocol 0 receives nothing until the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	r := &ring{fd: fd, blocks: blocks}
	if err := r.setUp(cable, d, canaries); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) setUp(cable int, d Direction, canaries int) error {
	filter := passing(cable, d, canaries)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("attach the capture's filter: %w", err)
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("choose TPACKET_V3: %w", err)
	}
	req := unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(r.blocks),
		Frame_size: 2048, Frame_nr: uint32(blockSize / 2048 * r.blocks), Retire_blk_tov: retireMS,
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("set up the capture's ring: %w", err)
	}
	var err error
	r.mem, err = unix.Mmap(r.fd, 0, blockSize*r.blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the capture's ring: %w", err)
	}
	if d == Received { // what is sent passes whatever the card takes in
		if err := r.promiscuous(cable); err != nil {
			return err
		}
	}
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)}); err != nil {
		return fmt.Errorf("bind the capture: %w", err)
	}
	return nil
}

// promiscuous lets the card take in others' frames, until the socket closes.
func (r *ring) promiscuous(cable int) error {
	member := unix.PacketMreq{Ifindex: int32(cable), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member); err != nil {
		return fmt.Errorf("set interface %d promiscuous: %w", cable, err)
	}
	return nil
}

// passing is a classic BPF program: on the canaries' interface, or on the cable
// in that direction.
func passing(cable int, d Direction, canaries int) []unix.SockFilter {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	outgoing, incoming := uint32(0), uint32(0xffffffff) // what is taken of each, in bytes
	if d == Sent {
		outgoing, incoming = incoming, outgoing
	}
	return []unix.SockFilter{
		{Code: load, K: skfADOff + 8}, // SKF_AD_IFINDEX
		{Code: equal, K: uint32(canaries), Jt: 1},
		{Code: equal, K: uint32(cable), Jt: 3, Jf: 2},
		{Code: load, K: skfADOff + 4}, // SKF_AD_PKTTYPE
		{Code: equal, K: unix.PACKET_OUTGOING, Jf: 4},
		{Code: ret, K: 0},
		{Code: load, K: skfADOff + 4},
		{Code: equal, K: unix.PACKET_OUTGOING, Jf: 2},
		{Code: ret, K: outgoing},
		{Code: ret, K: 0xffffffff},
		{Code: ret, K: incoming},
	}
}

// skfADOff is SKF_AD_OFF, -0x1000, where the kernel keeps a packet's metadata.
const skfADOff = 0xfffff000

// next waits at most timeout milliseconds for a block and hands its frames to f.
func (r *ring) next(timeout int, f func(captured) error) error {
	block := r.mem[r.block*blockSize:][:blockSize]
	head := (*unix.TpacketHdrV1)(unsafe.Pointer(&block[8])) // after version and to_priv
	if loadStatus(&head.Block_status)&unix.TP_STATUS_USER == 0 {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR}}, timeout)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for frames: %w", err)
		}
		if loadStatus(&head.Block_status)&unix.TP_STATUS_USER == 0 {
			return nil
		}
	}
	offset := head.Offset_to_first_pkt
	for range head.Num_pkts {
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[offset]))
		// The link-level address follows the header, aligned to 16 bytes.
		from := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&block[offset+uint32(unsafe.Sizeof(*h)+15)&^15]))
		c := captured{
			ifindex: int(from.Ifindex), time: time.Unix(int64(h.Sec), int64(h.Nsec)), len: int(h.Len),
			data: block[offset+uint32(h.Mac):][:h.Snaplen],
		}
		if h.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			c.data = withTag(c.data, uint16(h.Hv1.Vlan_tpid), uint16(h.Hv1.Vlan_tci))
			c.len += 4
		}
		if err := f(c); err != nil {
			return err
		}
		offset += h.Next_offset
	}
	storeStatus(&head.Block_status, unix.TP_STATUS_KERNEL)
	r.block = (r.block + 1) % r.blocks
	return nil
}

// withTag puts back the VLAN tag that the kernel took out of the frame.
func withTag(frame []byte, tpid, tci uint16) []byte {
	if tpid == 0 {
		tpid = unix.ETH_P_8021Q
	}
	tagged := append([]byte(nil), frame[:12]...)
	tagged = append(tagged, byte(tpid>>8), byte(tpid), byte(tci>>8), byte(tci))
	return append(tagged, frame[12:]...)
}

// drops adds what the kernel counted since the last call.
func (r *ring) drops() (uint64, error) {
	stats, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read the capture's statistics: %w", err)
	}
	r.dropped += uint64(stats.Drops)
	return r.dropped, nil
}

func (r *ring) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
	}
	_ = unix.Close(r.fd)
}
