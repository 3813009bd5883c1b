package tunnel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linkOrder says what a cable is to be like.
type linkOrder struct{ Name, Model string }

// models are the two kinds of cable: one carries super-packets whole, as a card
// that segments and gathers does; before the other the kernel segments, and
// gathers behind it. Real cards are between them.
var models = []string{"offload", "wire"}

// model makes the cable of both places one of the models.
func model(t testing.TB, name string, places ...*place) {
	t.Helper()
	for _, p := range places {
		cmd := p.role("link", linkOrder{"wire", name})
		if out, err := cmd.Output(); err != nil {
			t.Fatalf("make the cable %q: %v: %s", name, err, out)
		}
	}
}

func runLink() error {
	var o linkOrder
	if err := order(&o); err != nil {
		return err
	}
	whole := o.Model == "offload"
	// A veth gathers nothing that comes from one that segments TCP.
	return setFeatures(o.Name, map[string]bool{
		"rx-gro": !whole, "tx-udp-segmentation": whole, "tx-tcp-segmentation": whole, "tx-tcp-ecn-segmentation": whole,
		"tx-tcp-mangleid-segmentation": whole, "tx-tcp6-segmentation": whole,
	})
}

const (
	featureStrings = 4  // ETH_SS_FEATURES
	stringSize     = 32 // ETH_GSTRING_LEN
)

// setFeatures switches features of a network device by their names (ethtool's
// ETHTOOL_SFEATURES).
func setFeatures(device string, want map[string]bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	info := make([]byte, 20) // command, reserved, mask of 64 bits, the answer
	binary.NativeEndian.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(info[8:], 1<<featureStrings)
	if err := ethtool(fd, device, info); err != nil {
		return fmt.Errorf("count the features of %q: %w", device, err)
	}
	n := int(binary.NativeEndian.Uint32(info[16:]))
	names := make([]byte, 12+n*stringSize)
	binary.NativeEndian.PutUint32(names, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(names[4:], featureStrings)
	binary.NativeEndian.PutUint32(names[8:], uint32(n))
	if err := ethtool(fd, device, names); err != nil {
		return fmt.Errorf("list the features of %q: %w", device, err)
	}
	blocks := (n + 31) / 32
	set := make([]byte, 8+8*blocks) // command, size, then valid and wanted by blocks
	binary.NativeEndian.PutUint32(set, unix.ETHTOOL_SFEATURES)
	binary.NativeEndian.PutUint32(set[4:], uint32(blocks))
	found := 0
	for i := range n {
		on, ok := want[unix.ByteSliceToString(names[12+i*stringSize:][:stringSize])]
		if !ok {
			continue
		}
		found++
		at := set[8+8*(i/32):]
		binary.NativeEndian.PutUint32(at, binary.NativeEndian.Uint32(at)|1<<(i%32))
		if on {
			binary.NativeEndian.PutUint32(at[4:], binary.NativeEndian.Uint32(at[4:])|1<<(i%32))
		}
	}
	if found != len(want) {
		return fmt.Errorf("device %q has %d of the features %v: %w", device, found, want, errors.ErrUnsupported)
	}
	if err := ethtool(fd, device, set); err != nil {
		return fmt.Errorf("switch features of %q to %v: %w", device, want, err)
	}
	return nil
}

// ifreq is struct ifreq with a pointer in it.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	rest [24 - unsafe.Sizeof(uintptr(0))]byte
}

func ethtool(fd int, device string, command []byte) error {
	r := ifreq{data: unsafe.Pointer(&command[0])}
	copy(r.name[:unix.IFNAMSIZ-1], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}
