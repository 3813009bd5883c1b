package verdict_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func onWire(c *evidence.Case, frames ...wire.Frame) {
	w := &c.Runs[len(c.Runs)-1].Captures[0]
	w.Frames = append(w.Frames, frames...)
	w.Count = len(w.Frames)
}

func TestAFrameThatNothingExplainsIsALeakWhateverElseIsMissing(t *testing.T) {
	c := passing()
	onWire(&c, leaked(60), leaked(70))
	c.Rule = "the default drop of the output hook"
	r := judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Leak)
	if len(r.Findings) != 1 {
		t.Fatalf("%d findings, want 1: %+v", len(r.Findings), r.Findings)
	}
	f := r.Findings[0]
	if f.Count != 2 || f.Stimulus != "send" || !f.First.Equal(at(60)) || !f.Last.Equal(at(70)) || f.Frames[0].Number != 3 {
		t.Errorf("the finding is %+v", f)
	}
	for _, want := range []string{"2 frames", "udp 192.168.1.101 > 8.8.8.8", "WIRE", "0.060 s", "uid 1000", "default drop"} {
		if !strings.Contains(f.Text, want) {
			t.Errorf("%q does not say %q", f.Text, want)
		}
	}
	c.Runs = c.Runs[1:]
	c.Runs[0].Captures[0].Drops = 9
	r = judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Leak)
	// What is missing besides is said; that the leak has no explanation is not said twice.
	if text := strings.Join(r.Reasons, "\n"); !strings.Contains(text, "9 frames were lost") || !strings.Contains(text, "no control was run") || strings.Contains(text, "nothing explains") {
		t.Errorf("the reasons are %q", r.Reasons)
	}
}

func TestAPassSaysWhatItRestsOn(t *testing.T) {
	c := passing()
	for i := range c.Runs[1].Captures[0].Canaries {
		c.Runs[1].Captures[0].Canaries[i].Sent, c.Runs[1].Captures[0].Canaries[i].Seen = 1, 1
	}
	r := judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Pass)
	if !r.Fired || len(r.Findings) > 0 || !strings.Contains(r.Reasons[0], "no leak observed: 2 frames were seen and all are explained") {
		t.Errorf("the pass is %+v", r)
	}
	var got []string
	for _, p := range r.Runs[1].Proofs {
		if !p.Holds || len(p.Why) == 0 {
			t.Errorf("%q does not hold, or for no reason: %q", p.What, p.Why)
		}
		got = append(got, p.What)
	}
	want := []string{verdict.ProofControl, verdict.ProofSame, verdict.ProofReceipt, verdict.ProofCapture, verdict.ProofTunnel, verdict.ProofExplains}
	if !slices.Equal(got, want) {
		t.Errorf("it rests on %q, want %q", got, want)
	}
	if a := r.Runs[1].Captures[0]; a.Frames != 2 || a.Unknown != 0 || a.Stimulus != 0 || !a.Decides || r.Runs[0].Captures[0].Stimulus != 1 {
		t.Errorf("the account is %+v and the control's %+v", a, r.Runs[0].Captures[0])
	}
}

func TestACutFrameIsCountedAndNeverExplained(t *testing.T) {
	c := passing()
	c.Runs[1].Captures[0].Frames[0].Len++
	onWire(&c, leaked(60), leaked(61))
	a := judged(c, policy.Policy{}).Runs[1].Captures[0]
	if a.Truncated != 1 || a.Unknown != 3 || a.Stimulus != 2 || a.Explained["carrier"] != 1 || len(a.Explained) != 1 {
		t.Errorf("the account is %+v", a)
	}
}

func TestOfWhatIsUnexplainedOnlyTheStimulusOwnIsExposure(t *testing.T) {
	c := passing()
	c.Harm = evidence.Exposes
	onWire(&c, leaked(60))
	r := judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Exposed)
	if want := `1 frame (udp 192.168.1.101 > 8.8.8.8) at WIRE, 0.060 s after the start: of "send" in "client" (vpnguard) as uid 1000`; r.Findings[0].Text != want {
		t.Errorf("it is told as %q, want %q", r.Findings[0].Text, want)
	}
	onWire(&c, packet(61, true, host, public, 53, "another"))
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Leak)
}

func TestACarrierIsNoExcuse(t *testing.T) {
	for name, f := range map[string]wire.Frame{
		"a nonce to the carrier's endpoint":        packet(60, true, host, server, 1194, nonce),
		"the carrier's endpoint, another port":     packet(60, true, host, server, 1195, "x"),
		"the tunnel's address as sender":           packet(60, true, inner, server, 1194, "x"),
		"the tunnel's address to the wire's peers": packet(60, true, host, inner, 1194, "x"),
	} {
		c := passing()
		onWire(&c, f)
		if r := judged(c, policy.Policy{}); r.Verdict != verdict.Leak {
			t.Errorf("%s is %q", name, r.Verdict)
		}
	}
}

// A second way to see it: what is never to be mentioned is found even where an
// entry would take it.
func TestWhatMustNeverBeMentionedIsFoundInWhatIsExplained(t *testing.T) {
	c := passing()
	w := &c.Runs[len(c.Runs)-1].Captures[0]
	w.Declared.Entries = append(w.Declared.Entries, evidence.Entry{Name: "lan", Kind: evidence.Permit, Reason: "the LAN may be reached", To: netip.MustParsePrefix("10.8.0.0/24")})
	onWire(&c, packet(60, true, host, netip.MustParseAddr("10.8.0.9"), 1, "x"))
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	onWire(&c, packet(60, true, host, inner, 1, "x"))
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Leak)
}

func TestNothingIsExplainedWithoutAReason(t *testing.T) {
	for _, reason := range []string{"", " "} {
		c := passing()
		c.Runs[1].Captures[0].Declared.Entries[0].Reason = reason
		wantVerdict(t, judged(c, policy.Policy{}), verdict.Leak)
	}
}

func TestUpkeepIsExplainedOnlyWhereItIsDeclared(t *testing.T) {
	arp := wire.Frame{Time: at(60), Data: append([]byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 1, 0x65, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 1, 0x65, 192, 168, 1, 101, 0, 0, 0, 0, 0, 0}, 192, 168, 1, 1)}
	arp.Len = len(arp.Data)
	c := passing()
	onWire(&c, arp)
	c.Runs[1].Captures[0].Declared.Neighbours = []netip.Addr{netip.MustParseAddr("192.168.1.1")}
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Leak)
	d := &c.Runs[1].Captures[0].Declared
	d.Entries = append(d.Entries, evidence.Entry{Name: "arp", Kind: evidence.ARP, Reason: "the gateway's link address"})
	r := judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Pass)
	if got := r.Runs[1].Captures[0].Explained; got["arp"] != 1 || got["carrier"] != 2 {
		t.Errorf("the account is %v", got)
	}
}

func TestInnerSourcesAreHeldToTheAssigned(t *testing.T) {
	c := passing()
	for i := range c.Runs {
		in := &c.Runs[i].Captures[1]
		in.Decides, in.Canaries = true, c.Runs[i].Captures[0].Canaries
		in.Declared.Entries = []evidence.Entry{{Name: "inner", Kind: evidence.Inner, Reason: "assigned by the server", Sources: []netip.Prefix{netip.PrefixFrom(inner, 32)}}}
	}
	c.Runs[1].Stimuli[0].Signs = evidence.Signs{} // its frames belong in the tunnel
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	in := &c.Runs[1].Captures[1]
	in.Frames, in.Count = append(in.Frames, packet(60, false, host, public, 1, "x")), 2
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Leak)
}

func TestAnOracleIsFoundWhereNothingLeaves(t *testing.T) {
	for harm, want := range map[evidence.Harm]verdict.Verdict{evidence.Exposes: verdict.Exposed, evidence.Oracle: verdict.OracleRemains, "": verdict.Exposed} {
		c := passing()
		for i := range c.Runs {
			c.Runs[i].Oracles = []evidence.Reading{{What: "carriers per probe", Quiet: 0, Probed: 3, Harm: harm}}
		}
		r := judged(c, policy.Policy{})
		wantVerdict(t, r, want)
		if harm != evidence.Oracle {
			c.Runs[0].Oracles[0].Probed = 0
			c.Runs[1].Oracles[0].Probed = 0
			wantVerdict(t, judged(c, policy.Policy{}), verdict.Inconclusive) // the control saw no oracle
			continue
		}
		c.Runs[1].Captures[0].Drops = 1 // then nothing is known of what left
		wantVerdict(t, judged(c, policy.Policy{}), verdict.Inconclusive)
	}
}

func TestAReadingAloneCanBeTheControl(t *testing.T) {
	c := passing()
	for i := range c.Runs {
		c.Runs[i].Stimuli[0].Signs = evidence.Signs{}
		c.Runs[i].Oracles = []evidence.Reading{{What: "carriers", Probed: int64(1 - i), Harm: evidence.Exposes}}
	}
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	c.Runs[0].Oracles[0].Probed = 0
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Inconclusive)
}

func TestAHarmlessProbeThatIsFoundDoubtsTheAuditor(t *testing.T) {
	c := passing()
	c.Innocent, c.Runs = true, c.Runs[1:]
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	onWire(&c, leaked(60))
	r := judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Inconclusive)
	if !strings.Contains(r.Reasons[0], "at fault") {
		t.Errorf("it says %q", r.Reasons)
	}
}

func TestWhatWasNotRunSaysWhy(t *testing.T) {
	r := judged(evidence.Case{ID: "x", NotTested: "no WireGuard in this kernel"}, policy.Policy{})
	if wantVerdict(t, r, verdict.NotTested); r.Reasons[0] != "no WireGuard in this kernel" {
		t.Errorf("it says %q", r.Reasons)
	}
	wantVerdict(t, judged(evidence.Case{ID: "x", NotApplicable: "no IPv6"}, policy.Policy{}), verdict.NotApplicable)
}

func TestAUsersFlowExplainsOnTheWireOnly(t *testing.T) {
	p := policy.Policy{Flows: []policy.Flow{{Name: "printer", Reason: "people print", To: netip.MustParsePrefix("192.168.1.9/32"), Proto: 17, Port: 631}}}
	printing := packet(60, true, host, netip.MustParseAddr("192.168.1.9"), 631, "page")
	c := passing()
	onWire(&c, printing)
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Leak)
	wantVerdict(t, judged(c, p), verdict.Pass)
	other := c.Runs[1].Captures[0]
	other.Role, other.Vantage = evidence.Internet, "INTERNET"
	other.Decides = true
	c.Runs[1].Captures = append(c.Runs[1].Captures, other)
	wantVerdict(t, judged(c, p), verdict.Leak)
}

func TestAWaiverAcceptsItsFindingForATime(t *testing.T) {
	c := passing()
	onWire(&c, leaked(60))
	found := judged(c, policy.Policy{})
	w := policy.Waiver{ID: "bind-to-device", Variant: "udp", Reason: "fixed in the next release", Owner: "net", Expires: at(1001), Evidence: found.Findings[0].Fingerprint}
	r := judged(c, policy.Policy{Waivers: []policy.Waiver{w}})
	if wantVerdict(t, r, verdict.Waived); r.Found != verdict.Leak || r.Waiver == nil || r.Waiver.Owner != "net" {
		t.Errorf("the waived result is %+v", r)
	}
	expired := w
	expired.Expires = at(1000)
	wantVerdict(t, judged(c, policy.Policy{Waivers: []policy.Waiver{expired}}), verdict.Leak)
	more := c
	onWire(&more, packet(70, true, host, netip.MustParseAddr("1.1.1.1"), 53, nonce))
	wantVerdict(t, judged(more, policy.Policy{Waivers: []policy.Waiver{w}}), verdict.Leak)
	w.Evidence = ""
	wantVerdict(t, judged(more, policy.Policy{Waivers: []policy.Waiver{w}}), verdict.Waived)
	// What could not be tested cannot be accepted.
	c = passing()
	c.Runs[1].Captures[0].Drops = 1
	wantVerdict(t, judged(c, policy.Policy{Waivers: []policy.Waiver{w}}), verdict.Inconclusive)
}

func TestAFingerprintOutlivesPortsAndTimes(t *testing.T) {
	print := func(frames ...wire.Frame) string {
		c := passing()
		onWire(&c, frames...)
		return judged(c, policy.Policy{}).Findings[0].Fingerprint
	}
	a, b := print(leaked(60)), print(packet(75, true, host, public, 5353, nonce), leaked(80))
	if a != b {
		t.Errorf("the same flow has the fingerprints %s and %s", a, b)
	}
	if other := print(packet(60, true, host, netip.MustParseAddr("1.1.1.1"), 53, nonce)); other == a {
		t.Errorf("another flow has the same fingerprint")
	}
}

func TestEveryClassOfTheCatalogueHasAResult(t *testing.T) {
	a := evidence.Audit{
		Scope: evidence.Scope{Repeat: 1}, Finished: at(1000),
		Catalogue: []evidence.Class{{ID: "boot-window", Test: "HOST"}, {ID: "bind-to-device", Test: "NS"}, {ID: "traffic-correlation", Test: "DOC"}, {ID: "new", Test: "NS"}},
		Cases:     []evidence.Case{passing(), {ID: "harmless", Innocent: true}},
	}
	var got []string
	for _, r := range verdict.Judge(a, policy.Policy{}) {
		got = append(got, r.Name()+"="+string(r.Verdict))
		if len(r.Reasons) == 0 {
			t.Errorf("%q has no reason", r.Name())
		}
	}
	want := "boot-window=not-tested bind-to-device/udp=pass traffic-correlation=not-tested new=not-tested harmless=inconclusive"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	a.Interrupted = "signal: terminated"
	for _, r := range verdict.Judge(a, policy.Policy{}) {
		if early := r.Reasons[0] == "the audit ended early: signal: terminated"; early != (r.Verdict == verdict.NotTested) {
			t.Errorf("%s is %q: %q", r.Name(), r.Verdict, r.Reasons)
		}
	}
}

func TestTwoCasesOfOneNameDoNotPass(t *testing.T) {
	a := evidence.Audit{Scope: evidence.Scope{Repeat: 1}, Finished: at(1000), Catalogue: []evidence.Class{{ID: "bind-to-device"}}, Cases: []evidence.Case{passing(), passing()}}
	for _, r := range verdict.Judge(a, policy.Policy{}) {
		wantVerdict(t, r, verdict.Inconclusive)
	}
}

func streamed(wireAt []int) evidence.Case {
	c := evidence.Case{ID: "client-crash", Title: "kills the client", Runs: []evidence.Run{control(), guarded()}}
	for i := range c.Runs {
		run := &c.Runs[i]
		run.Ended = at(10_000)
		run.Stimuli[0].Started, run.Stimuli[0].Ended = at(10), at(9000)
		run.Timeline = &evidence.Timeline{Nonce: nonce, Rate: 10, Started: at(10), Ended: at(9000), Sent: 50, Refused: 40, Events: []evidence.Event{{At: at(4000), What: "the client is killed"}}}
		run.Captures[0].Canaries[2].At = at(9500)
		var frames []wire.Frame
		for n, ms := range wireAt {
			frames = append(frames, packet(ms, true, host, public, 9, numbered(uint64(n))))
		}
		if i == 0 && len(frames) == 0 {
			frames = []wire.Frame{packet(4100, true, host, public, 9, numbered(41))}
		}
		run.Captures[0].Frames, run.Captures[0].Count = frames, len(frames)
		run.Captures[1].Frames = []wire.Frame{packet(20, false, inner, public, 9, numbered(100)), packet(8000, false, inner, public, 9, numbered(180))}
		run.Captures[1].Count = 2
	}
	return c
}

func TestATimelineTellsFirstAndLastLeakFromTheFrames(t *testing.T) {
	r := judged(streamed(nil), policy.Policy{})
	wantVerdict(t, r, verdict.Pass)
	c := streamed([]int{4100, 4200, 4200, 5000})
	c.Runs[1].Captures[0].Frames = append(c.Runs[1].Captures[0].Frames, packet(5100, true, host, public, 9, numbered(3))) // a copy
	c.Runs[1].Captures[0].Count++
	r = judged(c, policy.Policy{})
	wantVerdict(t, r, verdict.Leak)
	line := r.Runs[1].Timeline
	if line.Leaked != 4 || line.Tunnelled != 2 || !line.First.Equal(at(4100)) || !line.Last.Equal(at(5000)) {
		t.Errorf("the timeline is %+v", line)
	}
	if line.LongestGapMS != 4080 {
		t.Errorf("the longest gap is %d ms", line.LongestGapMS)
	}
	sum := 0
	for _, n := range line.LeakedBins {
		sum += n
	}
	if sum != 4 {
		t.Errorf("the bins hold %d", sum)
	}
}

func TestAPermittedWindowIsCountedNotGuessed(t *testing.T) {
	window := func(n int) policy.Policy {
		return policy.Policy{Windows: []policy.Window{{ID: "client-crash", Reason: "no persist-tun", Frames: n}}}
	}
	c := streamed([]int{4100, 4200, 4300})
	wantVerdict(t, judged(c, window(3)), verdict.Pass)
	wantVerdict(t, judged(c, window(2)), verdict.Leak)
	onWire(&c, leaked(4400)) // not of the stream
	wantVerdict(t, judged(c, window(3)), verdict.Leak)
}

func TestAStreamMustRunAcrossItsEvents(t *testing.T) {
	for name, do := range map[string]func(*evidence.Timeline){
		"no event":            func(l *evidence.Timeline) { l.Events = nil },
		"an event before it":  func(l *evidence.Timeline) { l.Events[0].At = at(5) },
		"an event after it":   func(l *evidence.Timeline) { l.Events[0].At = at(9001) },
		"a stream that stood": func(l *evidence.Timeline) { l.Sent, l.Refused = 10, 10 },
		"no rate":             func(l *evidence.Timeline) { l.Rate = 0 },
		"no duration":         func(l *evidence.Timeline) { l.Started = l.Ended.Add(time.Second) },
	} {
		c := streamed(nil)
		do(c.Runs[1].Timeline)
		if r := judged(c, policy.Policy{}); r.Verdict != verdict.Inconclusive {
			t.Errorf("%s is %q", name, r.Verdict)
		}
	}
}
