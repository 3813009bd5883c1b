package noise

import (
	"bytes"
	"encoding/binary"
	"time"
)

// TimestampSize is that of a TAI64N label.
const TimestampSize = 12

// Timestamp is a TAI64N label: big endian, so that later is greater.
type Timestamp [TimestampSize]byte

const (
	// tai64 is the label of 1970-01-01, which is 10 s ahead of UTC.
	tai64 = 1<<62 + 10
	// grain hides the clock's fine bits, which could tell a distant observer
	// about the host: about 17 ms.
	grain = 1 << 24
)

// NewTimestamp returns a label for t that is later than last.
func NewTimestamp(t time.Time, last Timestamp) (out Timestamp) {
	binary.BigEndian.PutUint64(out[:], uint64(t.Unix())+tai64)
	binary.BigEndian.PutUint32(out[8:], uint32(t.Nanosecond())&^(grain-1))
	if out.After(last) {
		return out
	}
	// The clock stood still or went back.
	seconds, nanos := binary.BigEndian.Uint64(last[:]), binary.BigEndian.Uint32(last[8:])+grain
	if nanos >= uint32(time.Second) {
		seconds, nanos = seconds+1, 0
	}
	binary.BigEndian.PutUint64(out[:], seconds)
	binary.BigEndian.PutUint32(out[8:], nanos)
	return out
}

// After reports whether t is later than o. Timestamps are no secrets.
func (t Timestamp) After(o Timestamp) bool { return bytes.Compare(t[:], o[:]) > 0 }
