package scenario

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// reading counts carriers while nothing happens and while f does, which must
// make no others by itself.
func (t *trial) reading(what string, harm evidence.Harm, f func() error) error {
	const window = 80 * time.Millisecond
	count := func(f func() error) (n int64, w evidence.Window, err error) {
		if err := t.lab.Capture().Sync(t.ctx); err != nil {
			return 0, w, err
		}
		w = evidence.Window{Vantage: atWire, From: time.Now()}
		if f != nil {
			if err := f(); err != nil {
				return 0, w, err
			}
		}
		time.Sleep(window)
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
	// What the check before may have left behind is over when a window is empty.
	quiet := int64(-1)
	for range 20 {
		n, _, err := count(nil)
		if err != nil {
			return err
		}
		if quiet = n; n == 0 {
			break
		}
	}
	n, w, err := count(f)
	if err != nil {
		return err
	}
	t.run.Oracles = append(t.run.Oracles, evidence.Reading{What: what, Quiet: quiet, Probed: n, Harm: harm, Window: &w})
	return nil
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
