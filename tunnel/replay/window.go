// Package replay remembers which packet counters of a session were seen, in
// the manner of RFC 6479: a ring of words that moves with the highest counter,
// so that old words are cleared and nothing is shifted.
package replay

const (
	wordBits = 64
	words    = 128 // a power of two, so that a counter's word is a mask away
)

// Size is how far behind the highest counter a packet may arrive: 8128. One
// word of the ring is always in the making.
const Size = (words - 1) * wordBits

// Window is the state of one session. The zero value has seen nothing.
type Window struct {
	ring [words]uint64
	next uint64 // one more than the highest counter seen; 0: none yet
}

// Fresh reports whether n was not seen and is not too old. It changes nothing:
// ask it before the costly opening of a packet, [Window.Take] after.
func (w *Window) Fresh(n uint64) bool {
	if n >= w.next {
		return true
	}
	if w.next-n > Size {
		return false
	}
	return w.ring[n/wordBits%words]>>(n%wordBits)&1 == 0
}

// Take marks n as seen and reports whether it was fresh. Only counters of
// authentic packets may be given, or a forger moves the window.
// The counter 2^64-1 is never fresh: no session may come that far.
func (w *Window) Take(n uint64) bool {
	if n == ^uint64(0) || !w.Fresh(n) {
		return false
	}
	if n >= w.next {
		first, last := w.next/wordBits, n/wordBits
		if w.next%wordBits != 0 {
			first++ // the word that is partly in use keeps its bits
		}
		if last >= first {
			if last-first >= words {
				clear(w.ring[:])
			} else {
				for i := first; i <= last; i++ {
					w.ring[i%words] = 0
				}
			}
		}
		w.next = n + 1
	}
	w.ring[n/wordBits%words] |= 1 << (n % wordBits)
	return true
}
