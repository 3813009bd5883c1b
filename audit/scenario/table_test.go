package scenario

import (
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
)

func TestEachScenarioIsOfTheCatalogueAndHasAName(t *testing.T) {
	names, ids := map[string]bool{}, map[string]bool{}
	for _, s := range table() {
		e, err := catalogue.Find(s.id)
		if err != nil {
			t.Errorf("%s: %v", s.name(), err)
			continue
		}
		if names[s.name()] {
			t.Errorf("%s is twice there", s.name())
		}
		names[s.name()], ids[s.id] = true, true
		if s.title == "" || s.run == nil || s.rule == "" && !s.innocent {
			t.Errorf("%s: title %q, rule %q", s.name(), s.title, s.rule)
		}
		if (s.need == evidence.During) != (s.why == "") {
			t.Errorf("%s: the tunnel is needed %q: %q", s.name(), s.need, s.why)
		}
		if e.Where == catalogue.Nowhere || e.Where == catalogue.Server {
			t.Errorf("%s is tested, and the catalogue says that it cannot be", s.name())
		}
	}
	// What the audit promises.
	if len(ids) < 50 {
		t.Errorf("only %d ids have a scenario", len(ids))
	}
	if !slices.ContainsFunc(table(), func(s grouped) bool { return s.innocent }) {
		t.Error("no harmless probe shows that the audit does not see things")
	}
}

func TestEachNamedProbeExists(t *testing.T) {
	// Scenarios name probes by strings; a wrong one would only show in a run.
	for _, name := range []string{"attack-arp", "stranger", "redirect", "ra-default", "ra-route", "resolver-file", "traffic-class", "udp-public2-quiet", "inherited-socket"} {
		if _, err := probe.Find(name); err != nil {
			t.Error(err)
		}
	}
}

func TestAnIDWithoutAScenarioIsAccountedFor(t *testing.T) {
	var told []evidence.Case
	a, err := newAudit(t.Context(), Order{Client: "own", Guard: "none", Only: nil}, func(r Report) error {
		if r.Case != nil {
			told = append(told, *r.Case)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs := a.plan()
	seen := map[string]bool{}
	for _, c := range told {
		seen[c.ID] = true
		if c.NotTested == "" && c.NotApplicable == "" {
			t.Errorf("%s is told before it ran", c.ID)
		}
	}
	for _, j := range jobs {
		for _, s := range j.scenarios {
			seen[s.id] = true
		}
	}
	for _, e := range catalogue.All() {
		if !seen[e.ID] {
			t.Errorf("nothing is said of %s", e.ID)
		}
	}
}

func TestBothPhasesRunTheSameInTheSameOrder(t *testing.T) {
	a, err := newAudit(t.Context(), Order{Seed: 3, Repeat: 2}, func(Report) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		group *group
		rep   int
		first *scenario // of a group that has a laboratory for each
	}
	order := map[key]map[evidence.Phase][]*scenario{}
	for _, j := range a.plan() {
		k := key{j.group, j.repetition, nil}
		if j.group.alone {
			k.first = j.scenarios[0]
		}
		if order[k] == nil {
			order[k] = map[evidence.Phase][]*scenario{}
		}
		if order[k][j.phase] != nil {
			t.Errorf("%q, repetition %d: two laboratories", j.group.name, j.repetition)
		}
		order[k][j.phase] = j.scenarios
	}
	for k, phases := range order {
		if !slices.Equal(phases[evidence.Control], phases[evidence.Guarded]) || len(phases) != 2 {
			t.Errorf("%q, repetition %d: the phases differ", k.group.name, k.rep)
		}
	}
}

func TestAnUnknownClientIsRefused(t *testing.T) {
	if err := (Order{Client: "carrier pigeon"}).Check(); err == nil {
		t.Error("accepted")
	}
	if err := (Order{Client: "command"}).Check(); err == nil {
		t.Error("a command client without a command is accepted")
	}
}
