package catalogue

import (
	"encoding/json"
	"regexp"
	"testing"
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

func TestSeveritiesKeepTheirNames(t *testing.T) {
	for s := Critical; s <= Info; s++ {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Severity
		if err := json.Unmarshal(text, &back); err != nil || back != s {
			t.Errorf("%s became %v: %v", text, back, err)
		}
		if s > Critical && s.Score() >= (s-1).Score() {
			t.Errorf("%v scores not less than %v", s, s-1)
		}
	}
	var s Severity
	if err := s.UnmarshalText([]byte("grave")); err == nil {
		t.Error("an unknown severity was read")
	}
	if s != Critical || Severity(99).Score() != 10 {
		t.Error("what is unknown is not the worst")
	}
}
