package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A scenario is one variant of one class.
type scenario struct {
	id, variant string
	title       string
	rule        string // of the guard, for a finding's text
	harm        evidence.Harm
	need        evidence.When // of the tunnel
	why         string        // of any other need than during
	uids        bool          // it needs more than one uid
	innocent    bool
	// decides are further vantage points whose silence is a claim.
	decides []string
	// unfit names clients with which it makes no sense, and why.
	unfit map[string]string
	// run does the same in both phases.
	run func(t *trial) error
}

func (s *scenario) name() string {
	if s.variant == "" {
		return s.id
	}
	return s.id + "/" + s.variant
}

// trial is one scenario in one phase.
type trial struct {
	*bench
	s        *scenario
	run      evidence.Run
	recorded *recorded
	undo     []func() error
	// excused is why the scenario does not apply to this client.
	excused string
	// mute is that a stimulus showed nothing on the wire with the guard off.
	mute bool
}

// showing is how long a control waits for what the kernel sends late.
const showing = 3 * time.Second

// perform runs a scenario and records it. What fails is in the record.
func (b *bench) perform(s *scenario, repetition int, seed uint64) (run evidence.Run, o outcome) {
	t := &trial{bench: b, s: s, run: evidence.Run{Repetition: repetition, Phase: b.phase, Seed: seed, Started: time.Now()}}
	t.run.Tunnel.Need, t.run.Tunnel.Why = s.need, s.why
	t.recorded = b.record()
	err := t.attempt()
	for _, u := range slices.Backward(t.undo) {
		err = errors.Join(err, u())
	}
	t.run.Captures = t.recorded.end()
	for i, c := range t.run.Captures {
		t.run.Captures[i].Decides = slices.Contains(s.decides, c.Vantage)
	}
	t.run.Ended = time.Now()
	if err != nil {
		t.run.Error = err.Error()
	}
	for _, o := range t.run.Oracles {
		t.mute = t.mute || o.Harm != evidence.Oracle && o.Probed == o.Quiet
	}
	return t.run, outcome{t.excused, t.mute}
}

// outcome is what a run says of itself beside the evidence.
type outcome struct {
	excused string
	mute    bool
}

func (t *trial) attempt() error {
	if t.s.need == evidence.During || t.s.need == evidence.Before {
		t.check()
	}
	if err := t.s.run(t); err != nil {
		return err
	}
	if len(t.recorded.all[t.watches[0]].Canaries) < 2 {
		t.recorded.canary(evidence.Between)
	}
	if t.s.need == evidence.During || t.s.need == evidence.After {
		t.check()
	}
	return nil
}

// check looks at the tunnel.
func (t *trial) check() {
	c := evidence.Check{When: t.s.need, What: "the internet sees the client as the VPN server", Works: true, At: time.Now()}
	// A client that was away comes back in its own time.
	const limit = 8 * time.Second
	if err := t.carries(limit); err != nil {
		c.Works, c.Detail = false, err.Error()
	}
	t.run.Tunnel.Checks = append(t.run.Tunnel.Checks, c)
}

// later has something undone when the scenario ends.
func (t *trial) later(f func() error) { t.undo = append(t.undo, f) }

// probed is a variation of a probe.
type probed struct {
	node  *lab.Node // default: the client
	uid   int       // default: the weakest that may
	dev   string
	as    string // the stimulus's name; default: the probe's
	root  bool
	quote []byte
	// silent probes show nothing on the wire by themselves.
	silent bool
	target netip.Addr
	// mentions are signs beside the probe's own.
	mentions []netip.Addr
}

// probe runs a probe and records it as a stimulus.
func (t *trial) probe(name string, o probed) error {
	p, err := probe.Find(name)
	if err != nil {
		return err
	}
	if o.node == nil {
		o.node = t.lab.Client
	}
	uid := t.user
	if p.Privileged || o.root {
		uid = 0
	}
	if o.as == "" {
		o.as = name
	}
	order := probe.Order{Name: name, Nonce: probe.NewNonce(), Dev: o.dev, Carrier: t.client.tunnel().endpoint, Target: o.target, TargetMAC: site.ClientMAC, Quote: o.quote}
	s := evidence.Stimulus{Name: o.as, Node: o.node.Name, UID: uid, Program: "probe " + name, Nonce: order.Nonce, Planned: 1, Started: time.Now()}
	r, err := t.lab.Probe(t.ctx, o.node, uid, order)
	s.Ended = time.Now()
	if err != nil {
		t.run.Stimuli = append(t.run.Stimuli, s)
		return err
	}
	take(&s, r)
	if !o.silent {
		s.Signs = evidence.SignsOf(r.Evidence)
		s.Signs.Mentions = o.mentions
	}
	t.run.Stimuli = append(t.run.Stimuli, s)
	t.shows(s.Signs)
	t.recorded.canary(evidence.Between)
	return nil
}

// probes runs several.
func (t *trial) probes(names ...string) error {
	for _, n := range names {
		if err := t.probe(n, probed{}); err != nil {
			return err
		}
	}
	return nil
}

func stimulusOf(r probe.Receipt) []evidence.Send {
	var all []evidence.Send
	for _, x := range r.Sends {
		all = append(all, evidence.Send{What: x.What, Errno: int(x.Errno), Error: x.Error})
	}
	return all
}

// shows waits, with the guard off, until what was sent is on the wire: some of
// it is the kernel's, and late.
func (t *trial) shows(s evidence.Signs) {
	if t.phase != evidence.Control || t.s.innocent || len(s.Needles)+len(s.Flows)+len(s.Mentions) == 0 {
		return
	}
	limit := showing
	if t.order.Client != "own" {
		limit /= 3 // the reference client will show what is late
	}
	if t.mute {
		limit = 0
	}
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	w := s.Wire()
	seen := func(f []wire.Frame) bool {
		return len(w.Find(f)) > 0 || slices.ContainsFunc(s.Mentions, func(a netip.Addr) bool { return len(wire.Mentioning(f, a)) > 0 })
	}
	at := func(x *watch) bool { return x.Deciding() || slices.Contains(t.s.decides, x.Vantage) }
	for once := true; once || ctx.Err() == nil; once = false {
		t.sync()
		if slices.ContainsFunc(t.watches, func(x *watch) bool { return at(x) && seen(onEthernet(x, t.recorded.frames(x.Vantage))) }) {
			return
		}
	}
	t.mute = true
}

// onEthernet puts a link header before packets that have none.
func onEthernet(w *watch, frames []wire.Frame) []wire.Frame {
	if w.Layer != evidence.IP {
		return frames
	}
	out := make([]wire.Frame, len(frames))
	for i, f := range frames {
		head := make([]byte, 14)
		head[12] = 0x08
		if len(f.Data) > 0 && f.Data[0]>>4 == 6 {
			head[12], head[13] = 0x86, 0xdd
		}
		out[i] = wire.Frame{Time: f.Time, Data: append(head, f.Data...), Len: f.Len + 14}
	}
	return out
}

// attack sends from the gateway to the client's link address.
func (t *trial) attack(name string, target netip.Addr, signs evidence.Signs, quiet bool) error {
	p, err := probe.Find(name)
	if err != nil {
		return err
	}
	order := probe.Order{Name: name, Nonce: probe.NewNonce(), Dev: "lan0", Target: target, TargetMAC: site.ClientMAC}
	s := evidence.Stimulus{Name: fmt.Sprintf("%s at %s", name, target), Node: t.lab.Gateway.Name, Program: "probe " + p.Name, Nonce: order.Nonce, Planned: probe.AttackCount, Started: time.Now(), Signs: signs}
	r, err := t.lab.Probe(t.ctx, t.lab.Gateway, 0, order)
	s.Ended = time.Now()
	if err == nil {
		take(&s, r)
		s.Marks = attackMarks(r, target)
		if signs.Mentions == nil && signs.Flows == nil && !quiet {
			s.Signs = answers(r)
		}
	}
	t.run.Stimuli = append(t.run.Stimuli, s)
	if err != nil {
		return err
	}
	t.shows(s.Signs)
	t.recorded.canary(evidence.Between)
	return nil
}

// answers are the signs of what an attack draws: the ports of its own, or what it
// carried; for what has neither, any answer of the protocol.
func answers(r probe.Receipt) evidence.Signs {
	s := evidence.Signs{Needles: [][]byte{[]byte(r.Nonce)}}
	for _, f := range r.Evidence.Flows {
		if f.DstPort > 0 {
			s.Flows = append(s.Flows, evidence.Flow(f))
		}
	}
	return s
}

// attackMarks are the two addresses side by side, as IP headers have them, or
// the target where there is no IP header.
func attackMarks(r probe.Receipt, target netip.Addr) [][]byte {
	var marks [][]byte
	for _, f := range r.Evidence.Flows {
		if f.To.IsValid() {
			marks = append(marks, append(f.To.AsSlice(), target.AsSlice()...))
		}
	}
	if marks == nil {
		marks = [][]byte{target.AsSlice()}
	}
	return marks
}

// forge sends what changes the client's ways; that it arrived is seen by other
// stimuli.
func (t *trial) forge(name string, quote []byte, signs evidence.Signs, mark []byte) error {
	order := probe.Order{Name: name, Nonce: probe.NewNonce(), Dev: "lan0", TargetMAC: site.ClientMAC, Quote: quote}
	s := evidence.Stimulus{Name: name, Node: t.lab.Gateway.Name, Program: "probe " + name, Nonce: order.Nonce, Planned: 1, Started: time.Now(), Signs: signs, Marks: [][]byte{mark}}
	r, err := t.lab.Probe(t.ctx, t.lab.Gateway, 0, order)
	s.Ended = time.Now()
	if err == nil {
		s.Sends = stimulusOf(r)
	}
	t.run.Stimuli = append(t.run.Stimuli, s)
	if err != nil {
		return err
	}
	t.shows(signs)
	t.recorded.canary(evidence.Between)
	return nil
}

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
	p := t.lab.Policy(wire.Carrier{Remote: x.endpoint, Proto: x.proto})
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

// take records what a probe says it did.
func take(s *evidence.Stimulus, r probe.Receipt) {
	s.Sends = stimulusOf(r)
	s.Marks = [][]byte{[]byte(r.Nonce)}
	for _, f := range r.Evidence.Flows {
		if f.SrcPort == 0 || f.DstPort == 0 || !f.To.IsValid() {
			continue
		}
		// An IP header without options ends in the destination, and the ports follow.
		m := binary.BigEndian.AppendUint16(f.To.AsSlice(), f.SrcPort)
		s.Marks = append(s.Marks, binary.BigEndian.AppendUint16(m, f.DstPort))
	}
	if r.Witness != "" {
		s.Witness = append(s.Witness, evidence.Section{Title: "the kernel's record", Text: r.Witness})
	}
	// What a probe sends with random bytes of its own has other marks.
	if len(r.Evidence.Needles) > 1 {
		s.Marks = append(s.Marks, r.Evidence.Needles[1:]...)
	}
}

// change runs a script in the client now and another when the scenario ends.
func (t *trial) change(now, undo string) error {
	if err := t.lab.Client.Script(t.ctx, now); err != nil {
		return err
	}
	if undo != "" {
		t.later(func() error { return t.lab.Client.Script(t.ctx, undo) })
	}
	return nil
}
