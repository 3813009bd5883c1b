package verdict_test

import (
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// declared judges one frame of the client's under one entry.
func declared(f wire.Frame, e evidence.Entry, change func(*evidence.Capture)) verdict.Result {
	c := passing()
	w := &c.Runs[1].Captures[0]
	w.Frames, w.Count = []wire.Frame{f}, 1
	w.Declared.Entries = []evidence.Entry{e}
	change(w)
	return judged(c, policy.Policy{})
}

func TestAnIncompleteEntryExplainsNothing(t *testing.T) {
	whole := evidence.Entry{Kind: evidence.Carrier, Reason: "the tunnel's", To: netip.PrefixFrom(server, 32), Proto: 17, ToPort: 1194}
	plain := func(*evidence.Capture) {}
	r := declared(carrier(40), whole, plain)
	wantVerdict(t, r, verdict.Pass)
	if got := r.Runs[1].Captures[0].Explained["carrier"]; got != 1 {
		t.Errorf("an entry without a name is not called by its kind: %v", r.Runs[1].Captures[0].Explained)
	}
	toPortZero := packet(40, true, host, server, 0, "x")
	for _, c := range []struct {
		name   string
		frame  wire.Frame
		change func(*evidence.Entry)
	}{
		{"no port", carrier(40), func(e *evidence.Entry) { e.ToPort = 0 }},
		{"no port, to port zero", toPortZero, func(e *evidence.Entry) { e.ToPort = 0 }},
		{"no protocol", carrier(40), func(e *evidence.Entry) { e.Proto = 0 }},
		{"a whole network", carrier(40), func(e *evidence.Entry) { e.To = netip.PrefixFrom(server, 24) }},
		{"no destination", carrier(40), func(e *evidence.Entry) { e.To = netip.Prefix{} }},
		{"another local port", carrier(40), func(e *evidence.Entry) { e.FromPort = 40001 }},
		{"no reason", carrier(40), func(e *evidence.Entry) { e.Reason = "" }},
		{"no kind", carrier(40), func(e *evidence.Entry) { e.Kind = "" }},
		{"a permit without a destination", carrier(40), func(e *evidence.Entry) { *e = evidence.Entry{Kind: evidence.Permit, Reason: "x"} }},
		{"inner without sources", carrier(40), func(e *evidence.Entry) { *e = evidence.Entry{Kind: evidence.Inner, Reason: "x"} }},
		{"inner of other sources", carrier(40), func(e *evidence.Entry) {
			*e = evidence.Entry{Kind: evidence.Inner, Reason: "x", Sources: []netip.Prefix{netip.PrefixFrom(inner, 24)}}
		}},
	} {
		e := whole
		c.change(&e)
		if r := declared(c.frame, e, plain); r.Verdict != verdict.Leak {
			t.Errorf("%s is %q: %q", c.name, r.Verdict, r.Reasons)
		}
	}
	for name, change := range map[string]func(*evidence.Capture){
		"no sender":              func(c *evidence.Capture) { c.Declared.MACs = nil },
		"a sender that is none":  func(c *evidence.Capture) { c.Declared.MACs = []string{"client"} },
		"a sender of eight":      func(c *evidence.Capture) { c.Declared.MACs = []string{"02:00:00:00:01:65:00:00"} },
		"another sender":         func(c *evidence.Capture) { c.Declared.MACs = []string{"02:00:00:00:01:66"} },
		"no address of a sender": func(c *evidence.Capture) { c.Declared.Hosts = nil },
	} {
		if r := declared(carrier(40), whole, change); r.Verdict != verdict.Leak {
			t.Errorf("%s is %q", name, r.Verdict)
		}
	}
}

func TestAStimulusIsToldByTheAddressThatItsFramesMention(t *testing.T) {
	answer := func() wire.Frame {
		data := append([]byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 1, 0x65, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 1, 0x65}, inner.AsSlice()...)
		data = append(data, 2, 0, 0, 0, 1, 1, 192, 168, 1, 1)
		return wire.Frame{Time: at(40), Data: data, Len: len(data)}
	}()
	c := passing()
	c.Harm = evidence.Exposes
	for i := range c.Runs {
		c.Runs[i].Stimuli[0].Signs = evidence.Signs{Mentions: []netip.Addr{inner}}
	}
	w := &c.Runs[0].Captures[0]
	w.Frames, w.Count = []wire.Frame{carrier(5), answer}, 2
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	onWire(&c, answer)
	r := judged(c, policy.Policy{})
	if wantVerdict(t, r, verdict.Exposed); r.Findings[0].Stimulus != "send" {
		t.Errorf("the finding is %+v", r.Findings[0])
	}
	w.Frames, w.Count = []wire.Frame{carrier(5)}, 1
	c.Runs[1] = guarded()
	c.Runs[1].Stimuli[0].Signs = evidence.Signs{Mentions: []netip.Addr{inner}}
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Inconclusive) // a carrier mentions nothing
}
