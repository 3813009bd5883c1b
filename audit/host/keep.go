package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// most is how many bytes of frames one capture keeps. A machine that has so
// much that nothing explains has findings enough.
const most = 32 << 20

// keeper takes the frames of one place: it keeps them without their payload,
// counts the carriers' instead, and notes canaries.
type keeper struct {
	token   []byte // that every nonce of the audit begins with
	layer   evidence.Layer
	explain func([]wire.Frame) []string
	// ownOnly counts what is not the audit's own, and does not keep it.
	ownOnly bool

	mu      sync.Mutex
	frames  []wire.Frame
	size    int
	tallies map[string]uint64
	others  uint64
	seen    map[canary]bool
	err     error
	changed chan struct{} // closed and replaced at each canary
}

func newKeeper(token string, d evidence.Declared, layer evidence.Layer) *keeper {
	return &keeper{
		token: []byte(token), layer: layer, explain: verdict.Explainer(evidence.Capture{Declared: d, Layer: layer}),
		tallies: map[string]uint64{}, seen: map[canary]bool{}, changed: make(chan struct{}),
	}
}

// take is called with a frame whose bytes are valid until it returns.
func (k *keeper) take(f wire.Frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := canaryOf(f.Data); ok {
		k.seen[c] = true
		close(k.changed)
		k.changed = make(chan struct{})
		return
	}
	own := len(k.token) > 0 && bytes.Contains(f.Data, k.token)
	if !own && k.ownOnly {
		k.others++
		return
	}
	if !own && countable(f, k.layer) {
		if name := k.explain([]wire.Frame{f})[0]; name != "" {
			k.tallies[name]++
			return
		}
	}
	if k.size+len(f.Data) > most {
		k.err = fmt.Errorf("more than %d MiB of frames that are no carrier's", most>>20)
		return
	}
	k.size += len(f.Data)
	if own {
		f.Data = bytes.Clone(f.Data)
	} else {
		f.Data = Blank(f.Data, k.layer)
	}
	k.frames = append(k.frames, f)
}

// noted are ports of name services and of DNS in other clothes: what goes there
// is looked at, whatever permits it.
var noted = []uint16{53, 853, 5353, 5355, 137, 138, 1900, 3702}

// countable reports whether a frame needs no keeping once something explains
// it: it is whole, IP, in one piece, opens no connection and asks no name.
// What opens a connection has no nonce yet, so it could be a probe's.
func countable(f wire.Frame, layer evidence.Layer) bool {
	at := 0
	if layer == evidence.Ethernet {
		if len(f.Data) < ethernetHeader {
			return false
		}
		at = ethernetHeader
	}
	p := f.Data[at:]
	var proto byte
	var head int
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && binary.BigEndian.Uint16(p[6:])&0x3fff == 0:
		proto, head = p[9], int(p[0]&15)*4
	case len(p) >= 40 && p[0]>>4 == 6:
		proto, head = p[6], 40
	default:
		return false
	}
	if proto != wire.TCP && proto != wire.UDP || len(p) < head+14 {
		return false
	}
	const syn = 0x02
	if proto == wire.TCP && p[head+13]&syn != 0 {
		return false
	}
	return !slices.Contains(noted, binary.BigEndian.Uint16(p[head+2:]))
}

// arrived counts canaries, and is told of the next one by the channel.
func (k *keeper) arrived(all []canary) (n int, next <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range all {
		if k.seen[c] {
			n++
		}
	}
	return n, k.changed
}

// holds reports whether a frame with the bytes was kept.
func (k *keeper) holds(mark string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.frames, func(f wire.Frame) bool { return bytes.Contains(f.Data, []byte(mark)) })
}

// count is how many frames there were.
func (k *keeper) count() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := uint64(len(k.frames)) + k.others
	for _, t := range k.tallies {
		n += t
	}
	return n
}
