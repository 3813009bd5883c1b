package udp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzRead: whatever stands in the kernel's control messages, a run has
// datagrams of at least one byte and at most all bytes.
func FuzzRead(f *testing.F) {
	run := make([]byte, unix.CmsgSpace(4))
	binary.NativeEndian.PutUint32(run, uint32(unix.CmsgLen(4)))
	f.Add(run, 3000)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, control []byte, all int) {
		if all < 1 || all > Buffer {
			return
		}
		var m message
		m.hdr.SetControllen(copy(m.control[:], control))
		if got, _ := m.read(all); got < 1 || got > all {
			t.Errorf("datagrams of %d of %d bytes", got, all)
		}
	})
}
