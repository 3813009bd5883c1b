package tests

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// view is what `vpnguard status --json` says.
type view struct {
	State    string
	Enforced bool
	Drift    []string
	Notes    []string
	Sessions []struct {
		ID, Client, Dev, Profile string
		PID                      int
		Up                       bool
		Endpoints                []string
		Owner                    struct{ UIDs []int }
	}
	Counters []struct {
		Chain, Rule string
		Packets     int
	}
	text string
}

// blocked counts what the terminal rules of the ways out stopped.
func (v view) blocked() (n int) {
	for _, c := range v.Counters {
		if c.Chain == "output" && strings.HasPrefix(c.Rule, "out-end") || strings.HasPrefix(c.Rule, "fence-end") || strings.HasPrefix(c.Rule, "out-inside") {
			n += c.Packets
		}
	}
	return n
}

// view demands that what is recorded is enforced.
func (s *scene) view() view {
	s.Helper()
	text, _ := s.must(0, "status", "--json")
	v := view{text: text}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := d.Decode(&v); err != nil {
		s.Fatalf("status --json: %v:\n%s", err, text)
	}
	return v
}

// is demands a state now.
func (l *life) is(state string) view {
	l.Helper()
	v := l.view()
	if v.State != state {
		l.Errorf("status says %q, want %q:\n%s\n%s", v.State, state, v.text, l.client.Log())
	}
	return v
}

// until waits for what the status should say.
func (l *life) until(what string, ok func(view) bool) view {
	l.Helper()
	for {
		v := l.view()
		if ok(v) {
			return v
		}
		select {
		case <-l.ctx.Done():
			l.Fatalf("wait until %s: %v:\n%s\n%s", what, l.ctx.Err(), v.text, l.client.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// becomes waits for a state; without a guard there is none.
func (l *life) becomes(state string) {
	l.Helper()
	if l.guarded {
		l.until("the state is "+state, func(v view) bool { return v.State == state })
	}
}
