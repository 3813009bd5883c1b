package catalogue

import (
	"regexp"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// What the index of the catalogue's requirement counts.
const entries = 83

func TestEveryEntryIsComplete(t *testing.T) {
	seen, id := map[string]bool{}, regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	for _, e := range All() {
		if seen[e.ID] || !id.MatchString(e.ID) {
			t.Errorf("%q is twice there, or no id", e.ID)
		}
		seen[e.ID] = true
		for field, text := range map[string]string{"title": e.Title, "why": e.Why, "packet": e.Packet, "closed": e.Closed, "limits": e.Limits, "class": string(e.Class)} {
			if text == "" {
				t.Errorf("%s: no %s", e.ID, field)
			}
		}
		if got, err := Find(e.ID); err != nil || got != e {
			t.Errorf("%s is not found: %v", e.ID, err)
		}
	}
	if len(seen) != entries {
		t.Errorf("%d entries, want %d", len(seen), entries)
	}
}

func TestAnUnknownIDIsAnError(t *testing.T) {
	if _, err := Find("no-such-leak"); err == nil {
		t.Error("found")
	}
}

func TestEveryClassIsForEvidence(t *testing.T) {
	for i, c := range Classes() {
		e := All()[i]
		if c.ID != e.ID || c.Text == "" || c.Fix != e.Closed || c.Severity.Rank() != e.Severity.Rank() || c.Test == "" {
			t.Errorf("%+v is not %+v", c, e)
		}
		switch e.Severity {
		case evidence.Critical, evidence.High, evidence.Medium, evidence.Low, evidence.Info:
		default:
			t.Errorf("%s: severity %q", e.ID, e.Severity)
		}
	}
}
