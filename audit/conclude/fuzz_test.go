package conclude_test

import (
	"io"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/audit/bundle"
	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/internal/sample"
)

// Whatever a bundle says, it is judged and rendered or refused, and what was
// not tested is not clean.
func FuzzReplay(f *testing.F) {
	small := sample.Audit()
	small.Cases = small.Cases[:1]
	c, err := conclude.Audit(small, conclude.Demands{Policy: []byte(sample.Policy)})
	if err != nil {
		f.Fatal(err)
	}
	for name, frames := range c.Files {
		if strings.HasPrefix(name, "runs/001") {
			f.Add(c.Files[bundle.EvidenceName], frames)
		}
	}
	f.Fuzz(func(t *testing.T, text, frames []byte) {
		other := bundle.Files{bundle.EvidenceName: text, bundle.ReportName: c.Files[bundle.ReportName]}
		for name, data := range c.Files {
			if strings.HasPrefix(name, "runs/") {
				other[name] = data
			}
			if strings.HasPrefix(name, "runs/001") {
				other[name] = frames
			}
		}
		again, _, err := conclude.Replay(other, conclude.Demands{})
		if err != nil {
			return
		}
		r := again.Report
		for _, write := range []func(io.Writer) error{r.HTML, r.SARIF, r.JUnit, r.TAP, r.Summary, r.Annotations, func(w io.Writer) error { return r.Text(w, true) }} {
			if err := write(io.Discard); err != nil {
				t.Error(err)
			}
		}
		if r.Outcome.Status == gate.Clean && r.Coverage.Verdicts[verdict.Inconclusive] > 0 {
			t.Error("inconclusive is clean")
		}
	})
}
