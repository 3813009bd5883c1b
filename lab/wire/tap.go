package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Direction is which frames of an interface a capture takes.
type Direction string

// The directions.
const (
	Received Direction = ""
	Sent     Direction = "sent"
)

// A View says what is captured.
type View struct {
	Interface string
	Direction Direction
	// Blocks of 256 KiB are the ring. 0 stands for 128, which hold about 200,000
	// small frames while the reader waits for a processor.
	Blocks int
}

// Tap captures what the view says and writes it to out as records for [Read],
// until requests ends.
//
// Each number of four bytes, big endian, read from requests asks for a proof that everything that left
// the cable before is in out: a canary frame is sent through a veth pair of
// the tap's own from each processor, and when all have come back a record that
// carries the number is written. Frames and canaries pass the same queues, one for each
// processor, and the same socket, so a canary cannot overtake a frame.
func Tap(v View, requests io.Reader, out io.Writer) error {
	if v.Blocks == 0 {
		v.Blocks = 128
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer h.Close()
	cable, err := h.LinkByName(v.Interface)
	if err != nil {
		return fmt.Errorf("find %q: %w", v.Interface, err)
	}
	c, err := newCanaries(h)
	if err != nil {
		return err
	}
	r, err := openRing(cable.Attrs().Index, v.Direction, c.arrivesOn, v.Blocks)
	if err != nil {
		return err
	}
	defer r.close()

	var ended atomic.Bool
	fail := make(chan error, 1)
	go func() {
		defer ended.Store(true)
		var one [4]byte
		for {
			if _, err := io.ReadFull(requests, one[:]); err != nil {
				return
			}
			if err := c.send(binary.BigEndian.Uint32(one[:])); err != nil {
				fail <- err
				return
			}
		}
	}()
	w := bufio.NewWriterSize(out, 1<<20)
	if _, err := io.WriteString(w, tapReady); err != nil {
		return err
	}
	for !ended.Load() {
		if err := w.Flush(); err != nil {
			return err
		}
		err := r.next(50, func(f captured) error {
			if f.ifindex != c.arrivesOn {
				return writeFrame(w, f)
			}
			request, all := c.arrived(f.data)
			if !all {
				return nil
			}
			drops, err := r.drops()
			if err != nil {
				return err
			}
			return writeProof(w, request, drops)
		})
		if err != nil {
			return err
		}
	}
	select {
	case err := <-fail:
		return err
	default:
		return w.Flush()
	}
}

// canaries go out of one end of a veth pair and come in by the other.
type canaries struct {
	socket    int
	arrivesOn int
	cpus      []int
	seen      map[uint32]map[uint16]bool // request -> places in cpus whose canary is back
}

// canaryType is the second experimental EtherType (IEEE 802); the probes use
// the first.
const canaryType = 0x88b6

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenNone = 1

func newCanaries(h *netlink.Handle) (*canaries, error) {
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	// Several taps may run in one namespace.
	own := fmt.Sprintf("%x", os.Getpid())
	veth.Name, veth.PeerName = "cana"+own, "canb"+own
	if err := h.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("add the canaries' veth pair: %w", err)
	}
	var index [2]int
	for i, name := range []string{veth.Name, veth.PeerName} {
		link, err := h.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("find %q: %w", name, err)
		}
		// No link-local address, so no neighbour discovery of its own.
		if err := h.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil {
			return nil, fmt.Errorf("keep %q silent: %w", name, err)
		}
		if err := h.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("set %q up: %w", name, err)
		}
		index[i] = link.Attrs().Index
	}
	// Protocol 0: the socket only sends.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the canaries' socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index[0]}); err != nil {
		return nil, fmt.Errorf("bind the canaries' socket: %w", err)
	}
	c := &canaries{socket: fd, arrivesOn: index[1], seen: map[uint32]map[uint16]bool{}}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read the processors of this process: %w", err)
	}
	for cpu := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(cpu) {
			c.cpus = append(c.cpus, cpu)
		}
	}
	return c, nil
}

// send leaves one canary for request on each processor.
func (c *canaries) send(request uint32) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread is bound to one processor
		failed <- func() error {
			for i, cpu := range c.cpus {
				var one unix.CPUSet
				one.Set(cpu)
				if err := unix.SchedSetaffinity(0, &one); err != nil {
					return fmt.Errorf("move to processor %d: %w", cpu, err)
				}
				frame := make([]byte, 60)
				binary.BigEndian.PutUint16(frame[12:], canaryType)
				binary.BigEndian.PutUint32(frame[14:], request)
				binary.BigEndian.PutUint16(frame[18:], uint16(i))
				if _, err := unix.Write(c.socket, frame); err != nil {
					return fmt.Errorf("send a canary on processor %d: %w", cpu, err)
				}
			}
			return nil
		}()
	}()
	return <-failed
}

// arrived notes a canary and tells whether it completes its request.
func (c *canaries) arrived(frame []byte) (request uint32, all bool) {
	if len(frame) < 20 || binary.BigEndian.Uint16(frame[12:]) != canaryType {
		return 0, false
	}
	request = binary.BigEndian.Uint32(frame[14:])
	if c.seen[request] == nil {
		c.seen[request] = map[uint16]bool{}
	}
	c.seen[request][binary.BigEndian.Uint16(frame[18:])] = true
	if len(c.seen[request]) < len(c.cpus) {
		return request, false
	}
	delete(c.seen, request)
	return request, true
}

// Records between a tap and its reader: a kind, then for a frame time in
// nanoseconds, length on the wire, length captured and the bytes; for a proof
// the request's number and the number of frames lost so far.
const (
	tapReady   = "R"
	frameKind  = 'F'
	proofKind  = 'P'
	maxCapture = blockSize
)

func writeFrame(w io.Writer, f captured) error {
	head := make([]byte, 0, 17)
	head = append(head, frameKind)
	head = binary.BigEndian.AppendUint64(head, uint64(f.time.UnixNano()))
	head = binary.BigEndian.AppendUint32(head, uint32(f.len))
	head = binary.BigEndian.AppendUint32(head, uint32(len(f.data)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(f.data)
	return err
}

func writeProof(w io.Writer, request uint32, drops uint64) error {
	record := binary.BigEndian.AppendUint32([]byte{proofKind}, request)
	_, err := w.Write(binary.BigEndian.AppendUint64(record, drops))
	return err
}

// Read reads the records of a [Tap] until it ends. ready is called once, when
// the capture runs; proof with the number of a request and the number of frames
// that the kernel dropped so far.
func Read(in io.Reader, ready func(), frame func(Frame), proof func(request uint32, drops uint64)) error {
	r := bufio.NewReaderSize(in, 1<<20)
	for {
		kind, err := r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the capture: %w", err)
		}
		switch kind {
		case tapReady[0]:
			ready()
		case frameKind:
			var head [16]byte
			if _, err := io.ReadFull(r, head[:]); err != nil {
				return fmt.Errorf("read a frame's header: %w", err)
			}
			size := binary.BigEndian.Uint32(head[12:])
			if size > maxCapture {
				return fmt.Errorf("read a frame: %d bytes cannot be", size)
			}
			data := make([]byte, size)
			if _, err := io.ReadFull(r, data); err != nil {
				return fmt.Errorf("read a frame: %w", err)
			}
			frame(Frame{
				Time: time.Unix(0, int64(binary.BigEndian.Uint64(head[:]))),
				Len:  int(binary.BigEndian.Uint32(head[8:])), Data: data,
			})
		case proofKind:
			var body [12]byte
			if _, err := io.ReadFull(r, body[:]); err != nil {
				return fmt.Errorf("read a proof: %w", err)
			}
			proof(binary.BigEndian.Uint32(body[:]), binary.BigEndian.Uint64(body[4:]))
		default:
			return fmt.Errorf("read from the capture: unknown record %q", kind)
		}
	}
}
