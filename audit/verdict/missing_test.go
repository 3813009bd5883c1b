package verdict_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// idle are the fields that a pass does not rest on, by their names in the
// walk, with the reason.
var idle = regexp.MustCompile(strings.Join([]string{
	`^\.(ID|Variant|Title)$`,                // names
	`\.(Seed|Program)$`,                     // for reproduction
	`\.Interface$`,                          // a name
	`\.Vantage$`,                            // a name; that both phases have the same is another test
	`\.Repetition$`, `\.Drops$`, `\.Errno$`, // zero already
	`\.Runs\[0\]\.Captures\[1\]`,                            // what the control sent is proven by the wire
	`\.Runs\[0\]\.Captures\[0\]\.(Count|Canaries|Declared)`, // and what was seen needs no proof that all was seen
	`\.Runs\[0\]\.Captures\[0\]\.Frames\[0\]`,               // the control's other frames
	`\.Runs\[0\]\.Captures\[0\]\.Frames\[1\]\.(Time|Len)`,
	`\.Runs\[0\]\.Stimuli\[0\]\.(Nonce|Started|Ended|Sends)`, // the wire has shown them
	`\.Runs\[1\]\.Stimuli\[0\]\.Signs`,                       // without signs, the same frames still need an explanation
	`\.Runs\[1\]\.Captures\[0\]\.Declared\.Never`,            // forbids, never explains
	`\.Runs\[1\]\.Captures\[0\]\.Declared\.Entries\[0\]\.Name`,
	`\.Runs\[1\]\.Captures\[0\]\.Frames\[\d\]\.Time`,                   // order is that of the capture
	`\.Runs\[1\]\.Captures\[1\]\.(Role|Count|Frames\[0\]\.(Time|Len))`, // see below
	`\.Runs\[1\]\.Captures\[1\]\.Layer`,                                // the receipt is in the bytes
	`\.Sends\[0\](\.What)?$`, `\.Checks\[0\]\.What$`,
}, "|"))

// Whatever is taken out of the evidence of a pass, none remains.
func TestWithoutAnyPartOfItsEvidenceAPassIsNone(t *testing.T) {
	wantVerdict(t, judged(passing(), policy.Policy{}), verdict.Pass)
	for _, path := range paths(passing()) {
		if idle.MatchString(path) {
			continue
		}
		c := passing()
		zero(&c, path)
		if r := judged(c, policy.Policy{}); r.Verdict == verdict.Pass {
			t.Errorf("without %s it still passes", path)
		}
	}
}

// paths are all fields and elements that are not zero.
func paths(c evidence.Case) []string {
	var all []string
	walk(reflect.ValueOf(&c).Elem(), "", func(p string, _ reflect.Value) { all = append(all, p) })
	return all
}

func zero(c *evidence.Case, path string) {
	walk(reflect.ValueOf(c).Elem(), "", func(p string, v reflect.Value) {
		if p == path {
			v.SetZero()
		}
	})
}

func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	if v.IsZero() {
		return
	}
	if path != "" {
		visit(path, v)
	}
	switch kind := v.Kind(); {
	case kind == reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() || strings.HasPrefix(v.Type().PkgPath(), "net/") {
			return
		}
		for i := range v.NumField() {
			walk(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
	case kind == reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			walk(v.Index(i), path+"["+string(rune('0'+i))+"]", visit)
		}
	case kind == reflect.Pointer:
		walk(v.Elem(), path, visit)
	}
}

func TestEachFailureOfAnAuditIsInconclusiveAndNeverAPass(t *testing.T) {
	capture := func(c *evidence.Case) *evidence.Capture { return &c.Runs[1].Captures[0] }
	for _, m := range []struct {
		name string
		do   func(*evidence.Case)
		want string // in the reasons
	}{
		{"no runs", func(c *evidence.Case) { c.Runs = nil }, "no run was recorded"},
		{"no control", func(c *evidence.Case) { c.Runs = c.Runs[1:] }, "no control was run"},
		{"no guarded run", func(c *evidence.Case) { c.Runs = c.Runs[:1] }, "nothing was run with the guard on"},
		{"two guarded runs", func(c *evidence.Case) { c.Runs = append(c.Runs, c.Runs[1]) }, "have no place"},
		{"an unknown phase", func(c *evidence.Case) { c.Runs[1].Phase = "warded" }, "have no place"},
		{"the probe's program is missing", func(c *evidence.Case) { c.Runs[1].Error = "no such file" }, "no such file"},
		{"the control's program is missing", func(c *evidence.Case) { c.Runs[0].Error = "no such file" }, "the control could not be run"},
		{"a silent control", func(c *evidence.Case) { c.Runs[0].Captures[0].Frames = c.Runs[0].Captures[0].Frames[:1] }, "shows nothing with the guard off"},
		{"a control with a dead tunnel", func(c *evidence.Case) { c.Runs[0].Tunnel.Checks[0].Works = false }, "the control's tunnel does not work"},
		{"a control of another stimulus", func(c *evidence.Case) { c.Runs[0].Stimuli[0].UID = 0 }, "the control tried"},
		{"a control at another vantage point", func(c *evidence.Case) { c.Runs[0].Captures[0].Vantage = "OTHER" }, "was watched at"},
		{"no receipt", func(c *evidence.Case) { c.Runs[1].Captures[1].Frames = nil }, "nobody saw what became of them"},
		{"a receipt of another", func(c *evidence.Case) { c.Runs[1].Stimuli[0].Nonce = "vgother" }, "nobody saw"},
		{"a send that was not tried", func(c *evidence.Case) { c.Runs[1].Stimuli[0].Planned, c.Runs[0].Stimuli[0].Planned = 2, 2 }, "tried 1 of 2 sends"},
		{"a send that broke", func(c *evidence.Case) { c.Runs[1].Stimuli[0].Sends[0].Error = "no such program" }, "could not try"},
		{"no stimulus", func(c *evidence.Case) { c.Runs[1].Stimuli = nil }, "nothing was tried"},
		{"two of a name", func(c *evidence.Case) { c.Runs[1].Stimuli = append(c.Runs[1].Stimuli, c.Runs[1].Stimuli[0]) }, "two stimuli are called"},
		{"a dead capture", func(c *evidence.Case) { capture(c).Error = "signal: killed" }, "the capture ended"},
		{"dropped frames", func(c *evidence.Case) { capture(c).Drops = 1 }, "1 frames were lost"},
		{"a cut frame", func(c *evidence.Case) { capture(c).Frames[0].Len++ }, "1 frames were cut"},
		{"a frame that went missing", func(c *evidence.Case) { capture(c).Count++ }, "were recorded and"},
		{"a lost canary", func(c *evidence.Case) { capture(c).Canaries[1].Seen = 1 }, "1 of 2 canaries"},
		{"no canary before", func(c *evidence.Case) { capture(c).Canaries = capture(c).Canaries[1:] }, "no canary before"},
		{"no canary between", func(c *evidence.Case) { capture(c).Canaries[1].When = "somewhen" }, "no canary in between"},
		{"a canary in between that came before", func(c *evidence.Case) { capture(c).Canaries[1].At = at(0) }, "no canary in between"},
		{"a canary in between that came after", func(c *evidence.Case) { capture(c).Canaries[1].At = at(100) }, "no canary in between"},
		{"no signs at all", func(c *evidence.Case) { c.Runs[0].Stimuli[0].Signs = evidence.Signs{} }, "no stimulus has signs"},
		{"no canary after", func(c *evidence.Case) { capture(c).Canaries = capture(c).Canaries[:2] }, "no canary after"},
		{"a first canary too late", func(c *evidence.Case) { capture(c).Canaries[0].At = at(11) }, "no canary before"},
		{"a last canary too early", func(c *evidence.Case) { capture(c).Canaries[2].At = at(89) }, "no canary after"},
		{"no wire", func(c *evidence.Case) {
			for i := range c.Runs {
				c.Runs[i].Captures[0].Role, c.Runs[i].Captures[0].Decides = evidence.Internet, true
			}
		}, "no wire was watched"},
		{"two captures of a name", func(c *evidence.Case) { c.Runs[1].Captures[1].Vantage = "WIRE" }, "two captures are called"},
		{"no tunnel", func(c *evidence.Case) { c.Runs[1].Tunnel.Checks[0].Works = false }, "tunnel does not work"},
		{"a tunnel that nobody looked at", func(c *evidence.Case) { c.Runs[1].Tunnel.Checks = nil }, "was not seen to work during"},
		{"a tunnel that worked too late", func(c *evidence.Case) { c.Runs[1].Tunnel.Checks[0].At = at(101) }, "not checked within the run"},
		{"a tunnel that need not work, for no reason", func(c *evidence.Case) { c.Runs[1].Tunnel.Need = evidence.Never }, "for no reason"},
		{"a tunnel that is needed at no time", func(c *evidence.Case) { c.Runs[1].Tunnel.Need = "whenever" }, "is no time"},
		{"a reading that the frames deny", func(c *evidence.Case) {
			for i := range c.Runs {
				c.Runs[i].Oracles = []evidence.Reading{{What: "answers", Quiet: 2, Probed: 2 + int64(1-i), Window: &evidence.Window{Vantage: "WIRE", From: at(0), Until: at(100)}}}
			}
		}, "the frames say 1"},
		{"a reading of one phase only", func(c *evidence.Case) { c.Runs[1].Oracles = []evidence.Reading{{What: "answers"}} }, "the guarded run"},
		{"not tested and run", func(c *evidence.Case) { c.NotTested = "no kernel"; c.Runs[1].Captures[1].Frames = nil }, "nobody saw"},
		{"not tested and not applicable", func(c *evidence.Case) { c.NotTested, c.NotApplicable, c.Runs = "a", "b", nil }, "no run"},
	} {
		c := passing()
		m.do(&c)
		r := judged(c, policy.Policy{})
		wantVerdict(t, r, verdict.Inconclusive)
		if text := strings.Join(r.Reasons, "\n"); !strings.Contains(text, m.want) {
			t.Errorf("%s: %q, want %q", m.name, text, m.want)
		}
	}
}

func TestWhetherTheControlsShowedTheLeakIsToldApart(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*evidence.Case)
		want bool
	}{
		{"a pass", func(*evidence.Case) {}, true},
		{"dropped frames", func(c *evidence.Case) { c.Runs[1].Captures[0].Drops = 1 }, true},
		{"another stimulus", func(c *evidence.Case) { c.Runs[1].Stimuli[0].UID = 0 }, true},
		{"no control", func(c *evidence.Case) { c.Runs = c.Runs[1:] }, false},
		{"a silent control", func(c *evidence.Case) { c.Runs[0].Captures[0].Frames = nil }, false},
		{"a control that broke", func(c *evidence.Case) { c.Runs[0].Error = "no such file" }, false},
	} {
		sample := passing()
		c.do(&sample)
		if r := judged(sample, policy.Policy{}); r.Fired != c.want {
			t.Errorf("%s: the controls showed the leak: %v", c.name, r.Fired)
		}
	}
}

func TestMissingRepetitionsAreInconclusive(t *testing.T) {
	c := passing()
	if r := verdict.Case(&c, policy.Policy{}, 2, at(1000)); r.Verdict != verdict.Inconclusive {
		t.Errorf("one repetition of two is %q", r.Verdict)
	}
	for _, again := range []evidence.Run{control(), guarded()} {
		again.Repetition = 1
		c.Runs = append(c.Runs, again)
	}
	if r := verdict.Case(&c, policy.Policy{}, 2, at(1000)); r.Verdict != verdict.Pass {
		t.Errorf("two repetitions of two are %q: %q", r.Verdict, r.Reasons)
	}
	c.Runs[3].Captures[0].Frames = append(c.Runs[3].Captures[0].Frames, leaked(60))
	c.Runs[3].Captures[0].Count++
	if r := verdict.Case(&c, policy.Policy{}, 2, at(1000)); r.Verdict != verdict.Leak {
		t.Errorf("a leak in one repetition of two is %q", r.Verdict)
	}
}

// The receipt may come from a source or an attacker, and from nobody else.
func TestOnlyAWitnessGivesAReceipt(t *testing.T) {
	for role, want := range map[evidence.Role]verdict.Verdict{
		evidence.Inside: verdict.Pass, evidence.Source: verdict.Pass, evidence.Attacker: verdict.Pass, evidence.Internet: verdict.Inconclusive,
	} {
		c := passing()
		c.Runs[1].Captures[1].Role = role
		wantVerdict(t, judged(c, policy.Policy{}), want)
	}
	c := passing()
	c.Runs[1].Captures[1].Frames = nil
	c.Runs[1].Stimuli[0].Sends[0] = evidence.Send{What: "udp", Errno: 1, Error: "operation not permitted"}
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	c = passing()
	c.Runs[1].Captures[1].Frames = []wire.Frame{}
	c.Runs[1].Stimuli[0].Witness = []evidence.Section{{Title: "/proc/net/igmp", Text: "224.0.0.99"}}
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Pass)
	c.Runs[1].Stimuli[0].Witness[0].Text = " \n"
	wantVerdict(t, judged(c, policy.Policy{}), verdict.Inconclusive)
}
