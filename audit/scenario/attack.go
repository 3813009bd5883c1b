package scenario

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

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
