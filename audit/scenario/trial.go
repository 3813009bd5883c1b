package scenario

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
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
	b.settle()
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

// settle waits for the end of what an earlier scenario left behind, such as a
// connection's last words: at most a second, for what goes on after that is this
// one's finding.
func (b *bench) settle() {
	if b.group.alone {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	policy := b.lab.Policy(b.client.tunnel().carriers()...)
	if g := b.group.resident; g != nil {
		policy.MACs, policy.Hosts = append(policy.MACs, site.MAC(g.mac)), append(policy.Hosts, g.hosts...)
	}
	_ = b.lab.Settled(ctx, policy, 15*time.Millisecond)
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
	limit := 20 * time.Second
	if t.order.Fault != "" {
		limit /= 10 // it is broken on purpose
	}
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
	dev   string
	as    string // the stimulus's name; default: the probe's
	root  bool
	quote []byte
	// silent probes show nothing on the wire by themselves.
	silent bool
	target netip.Addr
	socket string
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
	order := probe.Order{Name: name, Nonce: probe.NewNonce(), Dev: o.dev, Carrier: t.client.tunnel().endpoint, Target: o.target, TargetMAC: site.ClientMAC, Quote: o.quote, Socket: o.socket}
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
	t.arrives(s)
	t.recorded.canary(evidence.Between)
	return nil
}

// arriving is how long what the kernel took may wait for the link address of its
// next hop.
const arriving = time.Second

// arrives waits, with the guard on, until what the kernel took has been seen
// anywhere: a packet that waits for ARP must not come after the run.
func (t *trial) arrives(s evidence.Stimulus) {
	taken := slices.ContainsFunc(s.Sends, func(x evidence.Send) bool { return x.Errno == 0 && x.Error == "" })
	if t.phase != evidence.Guarded || !taken || len(s.Witness) > 0 {
		return
	}
	seen := func(f wire.Frame) bool {
		return slices.ContainsFunc(s.Marks, func(m []byte) bool { return bytes.Contains(f.Data, m) })
	}
	for end := time.Now().Add(arriving); time.Now().Before(end) && t.ctx.Err() == nil; {
		t.sync()
		for _, w := range t.watches {
			if slices.ContainsFunc(t.recorded.frames(w.Vantage), seen) {
				return
			}
		}
	}
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
