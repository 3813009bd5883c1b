package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/rules"
)

type statusCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// statusJSON is the contract of `status --json`, version 1.
type statusJSON struct {
	Version  int           `json:"version"`
	State    guard.State   `json:"state"`
	Enforced bool          `json:"enforced"`
	Drift    []string      `json:"drift"`
	Notes    []string      `json:"notes"`
	Exposed  []string      `json:"exposed"` // what the policy lets past
	Lock     *lockJSON     `json:"lock"`    // null: not locked
	Sessions []sessionJSON `json:"sessions"`
	Guardian guardianJSON  `json:"guardian"`
	Counters []counterJSON `json:"counters"`
	Names    namesJSON     `json:"names"`
}

// namesJSON is who keeps the host's resolver configuration as it was set.
type namesJSON struct {
	SetBy   string       `json:"set_by"` // resolved, networkmanager, resolvconf, file; empty: nobody was told
	Servers []netip.Addr `json:"servers"`
	Left    string       `json:"left,omitempty"` // why nobody was told: off, client
}

type sessionJSON struct {
	ID        string              `json:"id"`
	Client    string              `json:"client"`
	Dev       string              `json:"dev"`
	Profile   string              `json:"profile"`
	Endpoints []endpoint.Endpoint `json:"endpoints"`
	Owner     ownerJSON           `json:"owner"`
	DNS       []netip.Addr        `json:"dns"`
	PID       int                 `json:"pid"`
	Up        bool                `json:"up"`
	Since     time.Time           `json:"since"`
}

type lockJSON struct {
	Endpoints []endpoint.Endpoint `json:"endpoints"`
	Owner     ownerJSON           `json:"owner"`
	Trial     bool                `json:"trial"`
	Until     *time.Time          `json:"until,omitempty"` // when a trial ends
	Since     time.Time           `json:"since"`
}

type ownerJSON struct {
	UIDs   []uint32 `json:"uids"`
	Mark   string   `json:"mark"`
	Cgroup string   `json:"cgroup"`
}

type guardianJSON struct {
	Running  bool           `json:"running"`
	PID      int            `json:"pid"`
	Since    *time.Time     `json:"since,omitempty"`
	Owns     bool           `json:"owns"` // nobody else can change the tables
	Heals    int            `json:"heals"`
	LastHeal *guardian.Heal `json:"last_heal,omitempty"`
	// Blocked is who tried what in the last minutes (Window, in nanoseconds).
	Blocked []blocked.Entry `json:"blocked,omitempty"`
	Window  time.Duration   `json:"window,omitempty"`
}

type counterJSON struct {
	Chain   string `json:"chain"`
	Rule    string `json:"rule"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Blocks  bool   `json:"blocks"` // the rule lets nothing pass
}

// Run prints what is enforced.
func (c *statusCommand) Run(ctx context.Context, w *world) error {
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	st, err := g.Status()
	if err != nil {
		if errors.Is(err, os.ErrPermission) && len(st.Record.Sessions) > 0 {
			fmt.Fprintf(w.stderr, "vpnguard: recorded: %d sessions; whether that is enforced only root can read\n", len(st.Record.Sessions))
		}
		return err
	}
	watch, err := g.client.Info(ctx)
	switch {
	case errors.Is(err, guardian.ErrNotRunning):
	case err != nil:
		st.Notes = append(st.Notes, fmt.Sprintf("the guardian does not answer: %v", err))
	}
	if c.JSON {
		out := describe(st)
		if watch.PID != 0 {
			out.Guardian = guardianJSON{true, watch.PID, &watch.Since, watch.Owns, watch.Heals, watch.LastHeal, watch.Blocked, watch.Window}
		}
		if err := w.json(out); err != nil {
			return err
		}
	} else {
		w.statusText(st, watch)
	}
	if !st.Enforced {
		return guard.ErrDrift
	}
	return nil
}

func describe(st guard.Status) statusJSON {
	out := statusJSON{
		Version: 1, State: st.State, Enforced: st.Enforced, Drift: nonNil(st.Drift), Notes: nonNil(st.Notes), Exposed: nonNil(st.Record.Exposed()),
		Sessions: []sessionJSON{}, Counters: []counterJSON{},
	}
	if l := st.Record.Lock; l != nil {
		out.Lock = &lockJSON{Endpoints: nonNil(l.Endpoints), Owner: describeOwner(l.Owner), Trial: l.Try != "", Since: l.Since}
		if l.Try != "" {
			out.Lock.Until = &l.Until
		}
	}
	for _, s := range st.Record.Sessions {
		out.Sessions = append(out.Sessions, sessionJSON{
			ID: s.ID, Client: s.Client, Dev: s.Dev, Profile: s.Profile.String(), Endpoints: nonNil(s.Endpoints),
			Owner: describeOwner(s.Owner), DNS: nonNil(s.DNS), PID: s.PID, Up: s.Up, Since: s.Since,
		})
	}
	out.Names = namesJSON{string(st.Names.Owner), nonNil(st.Names.Servers), string(st.Names.Left)}
	for _, n := range st.Counters {
		out.Counters = append(out.Counters, counterJSON(n))
	}
	return out
}

func describeOwner(o rules.Owner) ownerJSON {
	out := ownerJSON{UIDs: nonNil(o.UIDs), Cgroup: o.Cgroup.Path}
	if o.Mask != 0 {
		out.Mark = fmt.Sprintf("%#x/%#x", o.Mark, o.Mask)
	}
	return out
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (w *world) statusText(st guard.Status, watch guardian.Info) {
	fmt.Fprintf(w.stdout, "state     %s", st.State)
	if st.State != guard.Open {
		fmt.Fprintf(w.stdout, " for %s", st.Record.Age(time.Now()))
	}
	fmt.Fprintf(w.stdout, "\nenforced  %s\n", map[bool]string{true: "yes", false: "NO"}[st.Enforced])
	if l := st.Record.Lock; l != nil {
		w.lockText(*l)
	}
	for _, s := range st.Record.Sessions {
		fmt.Fprintf(w.stdout, "session   %s: %s, profile %s\n", s.ID, s.Client, s.Profile)
		fmt.Fprintf(w.stdout, "endpoints %s\n", endpointsText(s.Endpoints))
		fmt.Fprintf(w.stdout, "owner     %s\n", ownerText(s.Owner))
		if len(s.DNS) > 0 {
			fmt.Fprintf(w.stdout, "dns       %s, %s\n", strings.Trim(fmt.Sprint(s.DNS), "[]"), namesText(st.Names, s.Naming))
		}
	}
	if blocked := blockedPackets(st.Counters); st.State != guard.Open {
		fmt.Fprintf(w.stdout, "blocked   %d packets\n", blocked)
	}
	for _, e := range watch.Blocked[:min(len(watch.Blocked), shownBlocked)] {
		fmt.Fprintf(w.stdout, "  %6d  %s in the last %s\n", e.Count, entryText(e), watch.Window)
	}
	w.guardianText(st, watch)
	if exposed := st.Record.Exposed(); len(exposed) > 0 {
		fmt.Fprintf(w.stdout, "exposed   %s\n", strings.Join(exposed, "; "))
	}
	for _, d := range st.Drift {
		fmt.Fprintf(w.stdout, "drift     %s\n", d)
	}
	for _, n := range st.Notes {
		fmt.Fprintf(w.stdout, "note      %s\n", n)
	}
}

// shownBlocked kinds of blocked packets fit on a screen with the rest.
const shownBlocked = 3

// entryText says who tried what.
func entryText(e blocked.Entry) string {
	to := e.Protocol
	if e.Dst.IsValid() {
		to += " to " + e.Dst.String()
		if e.DstPort != 0 {
			to = e.Protocol + " to " + netip.AddrPortFrom(e.Dst, e.DstPort).String()
		}
	}
	if e.UID != nil {
		to += fmt.Sprintf(" by uid %d", *e.UID)
	}
	if e.Program != "" {
		to += " (" + printable(e.Program) + ")"
	}
	return to + ", rule " + e.Rule
}

// guardianText says who keeps it so.
func (w *world) guardianText(st guard.Status, watch guardian.Info) {
	if watch.PID == 0 {
		if st.State != guard.Open {
			fmt.Fprintln(w.stdout, "guardian  none: nobody heals what others change (vpnguard watch)")
		}
		return
	}
	how := "heals what others change"
	if watch.Owns {
		how = "owns the tables: nobody else can change them"
	}
	fmt.Fprintf(w.stdout, "guardian  pid %d for %s, %s\n", watch.PID, time.Since(watch.Since).Truncate(time.Second), how)
	if l := watch.LastHeal; l != nil {
		why := "a new or changed interface"
		if len(l.Drift) > 0 {
			why = l.Drift[0]
		}
		by := ""
		if len(l.Culprits) > 0 {
			by = " by " + strings.Join(l.Culprits, ", ")
		}
		fmt.Fprintf(w.stdout, "healed    %d times, last %s ago%s: %s\n", watch.Heals, time.Since(l.At).Truncate(time.Second), by, why)
	}
}

func (w *world) lockText(l guard.Lock) {
	reach := "no endpoint"
	if len(l.Endpoints) > 0 {
		reach = fmt.Sprintf("%s by %s", endpointsText(l.Endpoints), ownerText(l.Owner))
	}
	fmt.Fprintf(w.stdout, "lock      %s\n", reach)
	if l.Try != "" {
		fmt.Fprintf(w.stdout, "trial     ends in %s unless confirmed\n", max(0, time.Until(l.Until).Truncate(time.Second)))
	}
}

// shownEndpoints keeps the line short where a configuration has hundreds.
const shownEndpoints = 4

func endpointsText(ends []endpoint.Endpoint) string {
	var parts []string
	for _, e := range ends[:min(shownEndpoints, len(ends))] {
		parts = append(parts, e.String())
	}
	if more := len(ends) - shownEndpoints; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// blockedPackets adds up what terminal rules of the host's own ways out counted.
func blockedPackets(counters []guard.Counter) (n uint64) {
	for _, c := range counters {
		id, _, _ := strings.Cut(c.Rule, ":")
		for _, end := range rules.BlockingRules() {
			if id == end {
				n += c.Packets
			}
		}
	}
	return n
}
