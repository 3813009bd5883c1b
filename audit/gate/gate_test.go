package gate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

var audit = evidence.Audit{
	Catalogue: []evidence.Class{{ID: "a", Severity: evidence.High}, {ID: "b", Severity: evidence.Low}, {ID: "c", Severity: evidence.Info}},
	Finished:  time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
}

func result(id string, v verdict.Verdict, fingerprints ...string) verdict.Result {
	r := verdict.Result{ID: id, Verdict: v, Fired: true, Case: &evidence.Case{ID: id}}
	for _, f := range fingerprints {
		r.Findings = append(r.Findings, verdict.Finding{Fingerprint: f})
	}
	return r
}

func TestTheGateOpensOnlyForWhatIsKnownToBeClean(t *testing.T) {
	clean := []verdict.Result{result("a", verdict.Pass), result("b", verdict.Pass)}
	with := func(r ...verdict.Result) []verdict.Result { return slices.Concat(clean, r) }
	silent := result("c", verdict.Inconclusive)
	silent.Fired = false
	quiet := result("c", verdict.Pass) // a control that did not fire, whatever else
	quiet.Fired = false
	untested := verdict.Result{ID: "c", Verdict: verdict.NotTested}
	variant := result("c", verdict.NotTested)
	variant.Fired = false
	for _, c := range []struct {
		name    string
		policy  policy.Policy
		results []verdict.Result
		want    Status
		why     string
	}{
		{"all pass", policy.Policy{}, clean, Clean, ""},
		{"a leak", policy.Policy{}, with(result("c", verdict.Leak, "1")), Found, "c: leak"},
		{"an exposure", policy.Policy{}, with(result("c", verdict.Exposed, "1")), Found, "c: exposed"},
		{"a leak below the threshold", policy.Policy{Threshold: evidence.Low}, with(result("c", verdict.Leak, "1")), Clean, ""},
		{"a leak at the threshold", policy.Policy{Threshold: evidence.Low}, with(result("b", verdict.Leak, "1")), Found, "b: leak"},
		{"a leak of an unknown class", policy.Policy{Threshold: evidence.Critical}, with(result("x", verdict.Leak, "1")), Found, "x: leak"},
		{"a waived leak", policy.Policy{}, with(result("c", verdict.Waived, "1")), Clean, ""},
		{"an oracle", policy.Policy{}, with(result("c", verdict.OracleRemains, "1")), Clean, ""},
		{"an oracle that fails", policy.Policy{OraclesFail: true}, with(result("c", verdict.OracleRemains, "1")), Found, "c: blocked"},
		{"inconclusive", policy.Policy{Threshold: evidence.Critical, MinControls: 0.1}, with(silent), Inconclusive, "c: inconclusive"},
		{"a silent control", policy.Policy{}, with(quiet), Inconclusive, "only 2 of 3 controls"},
		{"enough controls", policy.Policy{MinControls: 0.6}, with(quiet), Clean, ""},
		{"not tested", policy.Policy{}, with(untested), Clean, ""},
		{"required and not tested", policy.Policy{Required: []string{"a", "c"}}, with(untested), Inconclusive, "c: required"},
		{"required and inconclusive", policy.Policy{Required: []string{"c"}, MinControls: 0.1}, with(silent), Inconclusive, "c: required"},
		{"required and unknown", policy.Policy{Required: []string{"z"}}, clean, Inconclusive, "z: required"},
		{"required, with one variant inconclusive", policy.Policy{Required: []string{"a", "c"}, MinControls: 0.1}, with(result("c", verdict.Pass), silent), Inconclusive, "c: inconclusive"},
		{"a silent control of an inconclusive case", policy.Policy{}, with(silent), Inconclusive, "only 2 of 3 controls"},
		{"a variant that was not tested", policy.Policy{}, with(variant), Clean, ""},
		{"a ratchet without a baseline", policy.Policy{Ratchet: true}, clean, Clean, ""},
		{"nothing at all", policy.Policy{}, nil, Inconclusive, "nothing was tested"},
		{"nothing but the untested", policy.Policy{}, []verdict.Result{untested}, Inconclusive, "nothing was tested"},
		{"a leak and inconclusive", policy.Policy{}, with(silent, result("a", verdict.Leak, "1")), Found, "a: leak"},
	} {
		o := Gate{Policy: c.policy}.Judge(audit, c.results)
		if o.Status != c.want || !strings.Contains(strings.Join(o.Reasons, "\n"), c.why) || (c.want == Clean) != (len(o.Reasons) == 0) {
			t.Errorf("%s: %+v, want %s %q", c.name, o, c.want, c.why)
		}
		if c.name == "required, with one variant inconclusive" && len(o.Reasons) != 1 {
			t.Errorf("%s: %q", c.name, o.Reasons)
		}
	}
	ended := audit
	ended.Interrupted = "signal"
	if o := (Gate{}).Judge(ended, clean); o.Status != Inconclusive {
		t.Errorf("an audit that ended early is %+v", o)
	}
}

func TestTheRatchetOnlyLetsThingsImprove(t *testing.T) {
	b := BaselineOf([]verdict.Result{result("a", verdict.Leak, "1", "2"), result("b", verdict.Pass), result("c", verdict.NotTested)})
	for _, c := range []struct {
		name    string
		results []verdict.Result
		want    Status
	}{
		{"the same", []verdict.Result{result("a", verdict.Leak, "1", "2"), result("b", verdict.Pass)}, Clean},
		{"better", []verdict.Result{result("a", verdict.Leak, "2"), result("b", verdict.Pass)}, Clean},
		{"another leak", []verdict.Result{result("a", verdict.Leak, "1", "3"), result("b", verdict.Pass)}, Found},
		{"a new leak", []verdict.Result{result("a", verdict.Pass), result("b", verdict.Leak, "4")}, Found},
		{"no longer tested", []verdict.Result{result("a", verdict.Leak, "1", "2"), {ID: "b", Verdict: verdict.NotTested}}, Inconclusive},
		{"no longer there", []verdict.Result{result("a", verdict.Leak, "1", "2")}, Inconclusive},
		{"a verdict of a later version", []verdict.Result{result("a", verdict.Leak, "1", "2"), result("b", "later")}, Inconclusive},
		{"newly tested", []verdict.Result{result("a", verdict.Pass), result("b", verdict.Pass), result("c", verdict.Pass)}, Clean},
	} {
		g := Gate{Comparison: b.Compare(c.results), Policy: policy.Policy{Ratchet: true}}
		if o := g.Judge(audit, c.results); o.Status != c.want {
			t.Errorf("%s: %+v, want %s", c.name, o, c.want)
		}
		if o := (Gate{Comparison: g.Comparison}).Judge(audit, c.results); c.name == "the same" && o.Status != Found {
			t.Errorf("without the ratchet %s is %+v", c.name, o)
		}
	}
}

func TestFindingsAreNewUnchangedOrAbsent(t *testing.T) {
	b := BaselineOf([]verdict.Result{result("a", verdict.Leak, "1", "2"), result("b", verdict.Leak, "3")})
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseBaseline("b.json", data)
	if err != nil {
		t.Fatal(err)
	}
	c := read.Compare([]verdict.Result{result("a", verdict.Leak, "2", "4"), {ID: "b", Verdict: verdict.NotTested}})
	want := map[string]State{"1": Absent, "2": Unchanged, "4": New}
	for f, s := range want {
		if c.Findings[f] != s {
			t.Errorf("%s is %q, want %q", f, c.Findings[f], s)
		}
	}
	if _, ok := c.Findings["3"]; ok {
		t.Error("what was not tested again is said to be gone")
	}
	if !slices.Equal(c.Gone, []string{"a 1"}) || !slices.Equal(c.Lost, []string{"b"}) {
		t.Errorf("gone %q, lost %q", c.Gone, c.Lost)
	}
}

func TestABaselineOfAnotherKindIsRefused(t *testing.T) {
	for _, text := range []string{`{}`, `{"schema":"vpnguard-audit-baseline/2"}`, `{"schema":"vpnguard-audit-baseline/1","result":[]}`, `[]`, ``} {
		if _, err := ParseBaseline("b.json", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "b.json: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
