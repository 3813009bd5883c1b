package scenario

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// readings are how often an oracle behind the guard is asked until it is silent,
// and between is when the kernel answers again by ICMP (icmp_ratelimit). The
// tunnel has carriers of its own, at its own times; an answer comes every time.
const (
	readings = 3
	between  = 1100 * time.Millisecond
)

// reading counts carriers while nothing happens and while f does, which must make
// no others by itself.
func (t *trial) reading(what string, harm evidence.Harm, f func() error) error {
	r := evidence.Reading{What: what, Harm: harm}
	stimuli := len(t.run.Stimuli)
	for {
		var w evidence.Window
		var err error
		if r.Quiet, err = t.quiet(); err != nil {
			return err
		}
		if r.Probed, w, err = t.window(f); err != nil {
			return err
		}
		r.Window = &w
		if r.Probed == r.Quiet || t.run.Phase != evidence.Guarded || r.Again == readings-1 {
			break
		}
		r.Again++
		t.run.Stimuli = t.run.Stimuli[:stimuli]
		time.Sleep(between)
	}
	t.run.Oracles = append(t.run.Oracles, r)
	return nil
}

// quiet counts carriers while nothing happens. What the check before may have left
// behind is over when a window is empty.
func (t *trial) quiet() (n int64, err error) {
	for range 20 {
		if n, _, err = t.window(nil); n == 0 || err != nil {
			break
		}
	}
	return n, err
}

// window counts carriers from before f until shortly after.
func (t *trial) window(f func() error) (n int64, w evidence.Window, err error) {
	if err := t.lab.Capture().Sync(t.ctx); err != nil {
		return 0, w, err
	}
	w = evidence.Window{Vantage: atWire, From: time.Now()}
	if f != nil {
		if err := f(); err != nil {
			return 0, w, err
		}
	}
	time.Sleep(80 * time.Millisecond)
	w.Until = time.Now()
	if err := t.lab.Capture().Sync(t.ctx); err != nil {
		return 0, w, err
	}
	for _, frame := range t.recorded.frames(atWire) {
		if !frame.Time.Before(w.From) && frame.Time.Before(w.Until) && t.isCarrier(frame) {
			n++
		}
	}
	return n, w, nil
}

func (t *trial) isCarrier(f wire.Frame) bool {
	x := t.client.tunnel()
	p := t.lab.Policy(x.carriers()...)
	if t.group.want.second {
		p.Carriers = append(p.Carriers, wire.Carrier{Remote: netip.AddrPortFrom(site.ServerTwo, x.endpoint.Port()), Proto: x.proto})
	}
	return p.Judge([]wire.Frame{f}).Counts[wire.CarrierClass] == 1
}

// lastCarrier is the last carrier's IP packet, for an error to quote.
func (t *trial) lastCarrier() []byte {
	for _, f := range slices.Backward(t.recorded.frames(atWire)) {
		if t.isCarrier(f) && len(f.Data) > 14+28 {
			return f.Data[14:][:28]
		}
	}
	return nil
}

// carriersFor counts the carriers that f makes.
func (t *trial) carriersFor(f func() error) (n int64, err error) {
	if err := t.lab.Capture().Sync(t.ctx); err != nil {
		return 0, err
	}
	start := len(t.recorded.frames(atWire))
	if err := f(); err != nil {
		return 0, err
	}
	if err := t.lab.Capture().Sync(t.ctx); err != nil {
		return 0, err
	}
	x := t.client.tunnel()
	p := t.lab.Policy(x.carriers()...)
	// Together, for the later pieces of a datagram are known by the first.
	return int64(p.Judge(t.recorded.frames(atWire)[start:]).Counts[wire.CarrierClass]), nil
}
