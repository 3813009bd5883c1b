package verdict

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// looked is a run whose frames were looked at.
type looked struct {
	Account
	findings []Finding
	// shown are the stimuli whose signs were seen where it decides.
	shown map[string]int
	// doubts are contradictions in the evidence itself.
	doubts []string
}

func account(c *evidence.Case, run *evidence.Run, p policy.Policy) looked {
	l := looked{Account: Account{Repetition: run.Repetition, Phase: run.Phase, Started: run.Started, Ended: run.Ended, File: run.File}, shown: map[string]int{}}
	l.Timeline = timeline(run)
	window, windowReason := p.Window(c.ID, c.Variant)
	within := l.Timeline != nil && l.Timeline.Leaked > 0 && l.Timeline.Leaked <= window
	for _, capture := range run.Captures {
		if !capture.Deciding() {
			l.Captures = append(l.Captures, CaptureAccount{Vantage: capture.Vantage, Frames: len(capture.Frames), Drops: capture.Drops, Canaries: canaryTexts(capture)})
			continue
		}
		var extra []evidence.Entry
		if capture.Role == evidence.Wire || capture.Role == evidence.Host {
			extra = p.Entries()
		}
		all := explain(capture, run.Stimuli, extra)
		if within {
			for i := range all {
				if all[i].entry == "" && all[i].stimulus != "" && len(wire.Numbers([]wire.Frame{all[i].frame}, run.Timeline.Nonce)) > 0 {
					all[i].entry = "permitted window: " + windowReason
				}
			}
		}
		l.Captures = append(l.Captures, l.count(capture, all))
		if run.Phase == evidence.Guarded {
			l.findings = append(l.findings, findings(c, run, capture, all)...)
		}
	}
	l.readings(c, run)
	return l
}

// count says what became of every frame.
func (l *looked) count(c evidence.Capture, all []seen) CaptureAccount {
	a := CaptureAccount{Vantage: c.Vantage, Decides: true, Frames: len(all), Explained: map[string]int{}, Drops: c.Drops, Canaries: canaryTexts(c)}
	for _, s := range all {
		if s.cut {
			a.Truncated++
		}
		if s.stimulus != "" {
			a.Stimulus++
			l.shown[s.stimulus]++
		}
		if s.entry != "" {
			a.Explained[s.entry]++
		} else {
			a.Unknown++
		}
	}
	for _, t := range c.Tallies {
		a.Frames += int(t.Frames)
		a.Explained[t.Entry] += int(t.Frames)
	}
	return a
}

func canaryTexts(c evidence.Capture) []string {
	var all []string
	for _, k := range c.Canaries {
		all = append(all, fmt.Sprintf("%s: %d of %d at %s", k.When, k.Seen, k.Sent, k.At.UTC().Format("15:04:05.000000")))
	}
	return all
}

// maxFrames is how many frames of a finding are shown; all are in its capture.
const maxFrames = 20

// findings groups what nothing explains. A cut frame that carries no signs is
// none: what it was is not known, and the run is inconclusive.
func findings(c *evidence.Case, run *evidence.Run, capture evidence.Capture, all []seen) []Finding {
	var found []Finding
	for _, s := range all {
		if s.entry != "" || s.cut && s.stimulus == "" {
			continue
		}
		flow := wire.FlowText(s.frame)
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Flow == flow && f.Stimulus == s.stimulus })
		if i < 0 {
			i = len(found)
			found = append(found, Finding{
				Fingerprint: fingerprint(c, capture.Vantage, flow, s.stimulus), Flow: flow, Vantage: capture.Vantage, Repetition: run.Repetition,
				Stimulus: s.stimulus, First: s.frame.Time.UTC(), Verdict: harm(c, s),
			})
		}
		f := &found[i]
		f.Count++
		f.Numbers = append(f.Numbers, s.number)
		f.Last = s.frame.Time.UTC()
		if len(f.Frames) < maxFrames {
			f.Frames = append(f.Frames, shown(s))
		}
	}
	for i := range found {
		found[i].Text = sentence(c, run, found[i])
	}
	return found
}

// harm is what an unexplained frame amounts to. One that is not the
// stimulus's own is a leak in every case.
func harm(c *evidence.Case, s seen) Verdict {
	if s.stimulus != "" && c.Harm == evidence.Exposes {
		return Exposed
	}
	return Leak
}

func fingerprint(c *evidence.Case, parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{c.ID, c.Variant}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// sentence tells what left, when, from whom, to whom, and what should have
// stopped it.
func sentence(c *evidence.Case, run *evidence.Run, f Finding) string {
	frames := "frame"
	if f.Count > 1 {
		frames = "frames"
	}
	text := fmt.Sprintf("%d %s (%s) at %s, %.3f s after the start", f.Count, frames, f.Flow, f.Vantage, f.First.Sub(run.Started).Seconds())
	if f.Count > 1 {
		text += fmt.Sprintf(" to %.3f s", f.Last.Sub(run.Started).Seconds())
	}
	i := slices.IndexFunc(run.Stimuli, func(s evidence.Stimulus) bool { return s.Name == f.Stimulus })
	if i >= 0 {
		s := run.Stimuli[i]
		text += fmt.Sprintf(": of %q in %q", s.Name, s.Node)
		if s.Program != "" {
			text += fmt.Sprintf(" (%s)", s.Program)
		}
		text += fmt.Sprintf(" as uid %d", s.UID)
	} else {
		text += ": of no probe, and nothing explains them"
	}
	if c.Rule != "" {
		text += "; should have been stopped by " + c.Rule
	}
	return text
}

// readings turns the oracles of a guarded run into findings, and counts again
// what can be counted from the frames.
func (l *looked) readings(c *evidence.Case, run *evidence.Run) {
	for _, o := range run.Oracles {
		if o.Window != nil {
			n, err := carriers(run, *o.Window)
			if err != nil {
				l.doubts = append(l.doubts, fmt.Sprintf("%s: %v", o.What, err))
			} else if n != o.Probed {
				l.doubts = append(l.doubts, fmt.Sprintf("%s: the reading is %d and the frames say %d", o.What, o.Probed, n))
			}
		}
		if o.Probed == o.Quiet || run.Phase != evidence.Guarded {
			continue
		}
		v := Exposed
		if o.Harm == evidence.Oracle {
			v = OracleRemains
		}
		at := run.Ended
		if o.Window != nil {
			at = o.Window.From
		}
		l.findings = append(l.findings, Finding{
			Fingerprint: fingerprint(c, "oracle", o.What), Flow: o.What, Repetition: run.Repetition, Count: int(min(max(o.Probed-o.Quiet, o.Quiet-o.Probed), 1<<30)),
			First: at, Last: at, Verdict: v,
			Text: fmt.Sprintf("an attacker can tell: %s is %d, and %d without the stimulus", o.What, o.Probed, o.Quiet),
		})
	}
}

// carriers counts the carrier frames of a window.
func carriers(run *evidence.Run, w evidence.Window) (int64, error) {
	i := slices.IndexFunc(run.Captures, func(c evidence.Capture) bool { return c.Vantage == w.Vantage })
	if i < 0 {
		return 0, fmt.Errorf("there is no capture %q", w.Vantage)
	}
	if !w.From.Before(w.Until) || w.From.Before(run.Started) || w.Until.After(run.Ended) {
		return 0, fmt.Errorf("the window from %s to %s is not in the run", w.From.Format(time.RFC3339Nano), w.Until.Format(time.RFC3339Nano))
	}
	policy, _, _, _ := compile(run.Captures[i], nil)
	var n int64
	for j, e := range policy.Explain(run.Captures[i].Frames) {
		at := run.Captures[i].Frames[j].Time
		if e.Class == wire.CarrierClass && !at.Before(w.From) && at.Before(w.Until) {
			n++
		}
	}
	return n, nil
}
