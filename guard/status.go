package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
)

// State is the host's state. The zero value is Blocked.
type State uint8

const (
	Blocked    State = iota // something could not be enforced or is not known; closed as far as possible
	Open                    // nothing is enforced
	Connecting              // closed; every session's client reconnects
	Sealed                  // closed but for the tunnels
	Locked                  // closed, with no session
)

func (s State) String() string {
	return [...]string{"blocked", "open", "connecting", "sealed", "locked"}[s]
}

// MarshalText is the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for c := Blocked; c <= Locked; c++ {
		if c.String() == string(text) {
			*s = c
			return nil
		}
	}
	return fmt.Errorf("state %q is none", text)
}

// state is what the record says.
func (r Record) state() State {
	switch {
	case r.Problem != "" || r.Phase != Steady:
		return Blocked
	case r.idle():
		return Open
	case len(r.Sessions) == 0:
		return Locked
	}
	for _, s := range r.Sessions {
		if s.Up {
			return Sealed
		}
	}
	return Connecting
}

// Status is what is enforced, compared with what was recorded.
type Status struct {
	State    State
	Enforced bool     // the kernel has exactly what was recorded
	Drift    []string // what differs, a sentence each
	Notes    []string // what a person should know and is not drift
	Record   Record
	Names    NamesStatus
	Counters []Counter
}

// Counter is what one rule has matched since it was put in force.
type Counter struct {
	Chain   string
	Rule    string
	Packets uint64
	Bytes   uint64
	Blocks  bool // the rule lets nothing pass
}

// Status reads the record and the kernel and changes nothing. An error that
// is os.ErrPermission means that the kernel does not show its rules.
func (g *Guard) Status() (Status, error) {
	st, err := g.statusNamed()
	if err != nil || len(st.Drift) == 0 {
		return st, err
	}
	// It may have been looked at in the middle of somebody's change.
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	if g.Journal.Lock(ctx) != nil {
		return st, nil // a change that hangs, or a reader who may not lock
	}
	st, err = g.statusNamed()
	return st, errors.Join(err, g.Journal.Unlock())
}

func (g *Guard) status() (Status, error) {
	var st Status
	_, err := g.Journal.Load(&st.Record)
	var foreign *state.ForeignBootError
	switch {
	case err == nil && st.Record.NetNS != g.NetNS:
		return st, g.elsewhere(st.Record)
	case errors.Is(err, state.ErrNone):
		st.Record = Record{Phase: Steady}
	case errors.As(err, &foreign):
		st.Drift = append(st.Drift, "the record is of an earlier boot; `vpnguard recover` removes it")
		st.Record = Record{Phase: Steady, Problem: "the record is of an earlier boot"}
	case err != nil:
		st.Drift = append(st.Drift, fmt.Sprintf("the record cannot be read: %v", err))
		st.Record = Record{Phase: Steady, Problem: err.Error()}
	}
	have, err := g.Filter.List()
	if err != nil {
		return st, fmt.Errorf("read the rules in force: %w", err)
	}
	st.State = st.Record.state()
	for _, t := range have.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				st.Counters = append(st.Counters, Counter{c.Name, r.Comment, r.Packets, r.Bytes, false})
			}
		}
	}
	if st.Record.idle() && st.Record.Problem == "" {
		if len(have.Tables) > 0 {
			st.State = Blocked
			st.Drift = append(st.Drift, "our tables are in force without a record; `vpnguard recover` removes them")
		}
		for _, c := range st.Record.Knobs {
			st.Drift = append(st.Drift, fmt.Sprintf("sysctl %s is not as it was, %d; `vpnguard recover` tries again", c.Knob, c.Old))
		}
		if err := g.strayRouting(&st); err != nil {
			return st, err
		}
		st.Enforced = len(st.Drift) == 0
		return st, nil
	}
	return st, g.compare(&st)
}

// compare fills in drift and notes of a host that should be sealed.
func (g *Guard) compare(st *Status) error {
	links, err := g.Links.List()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	return g.compareWith(st, links)
}

func (g *Guard) compareWith(st *Status, links []link.Link) error {
	rec := st.Record
	have, err := g.Filter.List()
	if err != nil {
		return fmt.Errorf("read the rules in force: %w", err)
	}
	switch rec.Phase {
	case Applying:
		st.Drift = append(st.Drift, "a change was interrupted while rules went in; `vpnguard recover` settles it")
	case Removing:
		st.Drift = append(st.Drift, "a change was interrupted while rules went out; `vpnguard recover` settles it")
	case Steady:
	}
	if rec.Problem != "" {
		st.Drift = append(st.Drift, rec.Problem)
	}
	if !rec.idle() {
		rs, err := rules.Build(rec.withFences(links, have).policy())
		if err != nil {
			return err
		}
		blocking(st.Counters, rs)
		shape := have.Compare(rs)
		st.Drift = append(st.Drift, shape...)
		st.Drift = append(st.Drift, changed(rec.Fingerprints, have.Fingerprints())...)
	}
	for _, d := range g.Knobs.Verify(rec.presentKnobs(links)) {
		st.Drift = append(st.Drift, d.Error())
	}
	if err := g.compareSteering(st, links); err != nil {
		return err
	}
	g.note(st, links)
	st.Enforced = len(st.Drift) == 0
	return nil
}

// blocking marks the counters of rules that let nothing pass.
func blocking(counters []Counter, rs rules.Ruleset) {
	blocks := map[string]bool{}
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				blocks[c.Name+"\n"+r.Comment()] = !r.Verdict.Passes()
			}
		}
	}
	for i, c := range counters {
		counters[i].Blocks = blocks[c.Chain+"\n"+c.Rule]
	}
}

// changed names the parts that the kernel has in another form than when they
// were verified. A part that is missing is the shape's to report.
func changed(recorded, have map[string]string) []string {
	var out []string
	for _, part := range slices.Sorted(maps.Keys(recorded)) {
		if is, ok := have[part]; ok && is != recorded[part] {
			out = append(out, fmt.Sprintf("%s was changed by somebody else", part))
		}
	}
	return out
}

// note says what the rules cannot know.
func (g *Guard) note(st *Status, links []link.Link) {
	rec := st.Record
	for _, w := range link.Wires(links, rec.tunnels(), rec.settings().Guests) {
		known := false
		for _, k := range rec.Wires {
			known = known || k.Index == w.Index
		}
		if !known && !rec.settings().NoFence && rec.policy().Profile == rules.Full {
			st.Drift = append(st.Drift, fmt.Sprintf("interface %s appeared later and has no fence: packet sockets and its macvlan children are not stopped there; the next `up` or `lock` gives it one", w.Name))
		}
	}
	if rec.settings().NoFence {
		st.Notes = append(st.Notes, "no fences (fence = \"off\"): packet sockets, macvlan children and bridged guests are not stopped")
	}
	for _, s := range rec.Sessions {
		if _, ok := byName(links, s.Dev); !ok {
			st.Notes = append(st.Notes, fmt.Sprintf("session %s: its device is gone; the host stays closed", s.ID))
			if st.State == Sealed && len(rec.Sessions) == 1 {
				st.State = Connecting
			}
		}
		if s.PID != 0 && !g.Clients.Alive(s.PID, s.Start) {
			st.Notes = append(st.Notes, fmt.Sprintf("session %s: its client (pid %d) is gone; the host stays closed until the client is back, `vpnguard down` or `vpnguard recover`", s.ID, s.PID))
		}
	}
	st.Notes = append(st.Notes, rec.left()...)
}

// Exposed is what the policy lets past by the user's wish or for want of a
// narrower owner, a phrase each.
func (r Record) Exposed() (list []string) {
	p := r.policy()
	for _, c := range p.Carriers {
		if len(c.Endpoints) > 0 && slices.Contains(c.Owner.UIDs, 0) && c.Owner.Mask == 0 && c.Owner.Cgroup.Path == "" {
			list = append(list, "root's other programs may send to the endpoints")
			break
		}
	}
	if !r.idle() && p.Profile == rules.Split {
		list = append(list, "all but the tunnels' own prefixes is in clear (profile split)")
	}
	if p.Asker != nil && p.Profile == rules.Split {
		list = append(list, fmt.Sprintf("uid %d may ask any resolver for names that are not the sessions'", *p.Asker))
	}
	if m := r.masquerade(); m != nil && p.Profile == rules.Split {
		list = append(list, fmt.Sprintf("peers of %s go out by the wires with this host's address", m.Device))
	}
	if p.LAN {
		list = append(list, "the LAN's private ranges")
	}
	for _, s := range p.AllowIn {
		list = append(list, "inbound "+s.String())
	}
	return list
}

// Age is how long the state has lasted, whole seconds.
func (r Record) Age(now time.Time) time.Duration { return now.Sub(r.Since).Truncate(time.Second) }

// RulesInForce is the ruleset that was recorded; the error is [ErrDrift] if
// the kernel does not have exactly that, with the ruleset all the same.
func (g *Guard) RulesInForce() (rules.Ruleset, []string, error) {
	st, err := g.Status()
	if err != nil && !errors.Is(err, os.ErrPermission) {
		return rules.Ruleset{}, nil, err
	}
	if st.Record.idle() {
		return rules.Ruleset{}, st.Drift, err
	}
	rs, buildErr := rules.Build(st.Record.policy())
	if buildErr != nil {
		return rules.Ruleset{}, nil, buildErr
	}
	if err == nil && !st.Enforced {
		err = ErrDrift
	}
	return rs, st.Drift, err
}
