package wire

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// The kernel and the reader pass a block to each other by its status word.
func loadStatus(p *uint32) uint32     { return atomic.LoadUint32(p) }
func storeStatus(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

// networkOrder is htons.
func networkOrder(v uint16) uint16 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return bits.ReverseBytes16(v)
	}
	return v
}
