package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

type blockedCommand struct {
	Follow bool `help:"Print each packet as it is blocked, and who tried, until interrupted."`
	JSON   bool `name:"json" help:"Print JSON; with --follow a line for each packet."`
}

// blockedJSON is the contract of `blocked --json`, version 1.
type blockedJSON struct {
	Version int               `json:"version"`
	State   guard.State       `json:"state"`
	Rules   []blockedRuleJSON `json:"rules"`
}

type blockedRuleJSON struct {
	Rule    string     `json:"rule"`
	Reason  string     `json:"reason"`
	Chain   string     `json:"chain"`
	Hook    rules.Hook `json:"hook"`
	Device  string     `json:"device"` // of a fence; "": any
	Packets uint64     `json:"packets"`
	Bytes   uint64     `json:"bytes"`
}

// blockedEventJSON is a line of `blocked --follow --json`, version 1.
type blockedEventJSON struct {
	Version  int        `json:"version"`
	Time     time.Time  `json:"time"`
	Rule     string     `json:"rule"`
	Reason   string     `json:"reason"` // "": the rule is not in force any more
	Hook     string     `json:"hook"`
	In       string     `json:"in"`
	Out      string     `json:"out"`
	Protocol string     `json:"protocol"`
	Src      netip.Addr `json:"src"`
	SrcPort  uint16     `json:"src_port"`
	Dst      netip.Addr `json:"dst"`
	DstPort  uint16     `json:"dst_port"`
	UID      *uint32    `json:"uid"` // null: the packet has no socket
	GID      *uint32    `json:"gid"`
	PID      int        `json:"pid"`     // 0: not known
	Program  string     `json:"program"` // "": not known
	Lost     uint64     `json:"lost"`    // packets blocked before this one that could not be told
}

// Run prints what was blocked since the rules were put in, or what is being
// blocked. Exit 3 if the kernel has other rules than those recorded.
func (c *blockedCommand) Run(ctx context.Context, w *world) error {
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	if c.Follow {
		return w.follow(ctx, g, c.JSON)
	}
	rs, _, drift := g.RulesInForce()
	if drift != nil && !errors.Is(drift, guard.ErrDrift) {
		return drift
	}
	st, err := g.Status()
	if err != nil {
		return err
	}
	out := blockedJSON{Version: 1, State: st.State, Rules: blocking(rs, st.Counters)}
	switch {
	case c.JSON:
		err = w.json(out)
	case st.State == guard.Open:
		fmt.Fprintln(w.stderr, "vpnguard: open: no rules are in force")
	case len(rs.Tables) == 0: // blocked, and nobody knows by what
		drift = guard.ErrDrift
	default:
		err = w.blockedText(out.Rules)
	}
	return errors.Join(err, drift)
}

// blocking joins the rules that end packets with what the kernel counted.
func blocking(rs rules.Ruleset, counters []guard.Counter) []blockedRuleJSON {
	type place struct{ chain, comment string }
	counted := map[place]guard.Counter{}
	for _, n := range counters {
		counted[place{n.Chain, n.Rule}] = n
	}
	out := []blockedRuleJSON{}
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				if r.Verdict.Passes() {
					continue
				}
				n := counted[place{c.Name, r.Comment()}]
				out = append(out, blockedRuleJSON{r.ID, r.Why, c.Name, c.Hook, c.Device, n.Packets, n.Bytes})
			}
		}
	}
	return out
}

func (w *world) blockedText(list []blockedRuleJSON) error {
	table := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PACKETS\tWHERE\tRULE\tREASON")
	any := false
	for _, r := range list {
		if r.Packets == 0 {
			continue
		}
		any = true
		where := string(r.Hook)
		if r.Device != "" {
			where += " " + r.Device
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", r.Packets, where, r.Rule, r.Reason)
	}
	if !any {
		fmt.Fprintln(w.stderr, "vpnguard: nothing was blocked since the rules were put in")
		return nil
	}
	return table.Flush()
}

// follow prints events until the context ends, which is what is asked for.
func (w *world) follow(ctx context.Context, g *host, asJSON bool) error {
	why := reasons{g: g.Guard}
	st, err := g.Status()
	switch {
	case err != nil:
		return err
	case st.Record.NoLog:
		return cannotTell(errors.New("the rules in force cannot tell of blocked packets; `vpnguard blocked` counts them"))
	case st.State == guard.Open:
		fmt.Fprintln(w.stderr, "vpnguard: open: no rules are in force; waiting")
	case !st.Enforced:
		w.warn([]string{guard.ErrDrift.Error()})
	}
	l, err := g.blocked(ctx)
	if errors.Is(err, blocked.ErrUnsupported) {
		return cannotTell(err)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	lines := json.NewEncoder(w.stdout)
	told := uint64(0) // of the lost
	for {
		e, err := l.Next()
		if ctx.Err() != nil {
			if more := l.Lost() - told; more > 0 {
				w.warn([]string{fmt.Sprintf("at last %d or more packets were blocked too fast to tell", more)})
			}
			return nil
		}
		told += e.Lost
		if err != nil {
			return err
		}
		if asJSON {
			err = lines.Encode(blockedEventJSON{1, e.Time, e.Rule, why.of(e.Rule), e.Hook, e.In, e.Out, e.Protocol(),
				e.Src, e.SrcPort, e.Dst, e.DstPort, e.UID, e.GID, e.PID, e.Program, e.Lost})
		} else {
			if e.Lost > 0 {
				w.warn([]string{fmt.Sprintf("%d more packets were blocked before this one, too fast to tell", e.Lost)})
			}
			_, err = fmt.Fprintln(w.stdout, eventText(e, why.of(e.Rule)))
		}
		if err != nil {
			return fmt.Errorf("print a blocked packet: %w", err)
		}
	}
}

// listener tells of blocked packets.
type listener interface {
	Next() (blocked.Event, error)
	Lost() uint64
	Close() error
}

// blocked listens: to the guardian if one runs, for the kernel tells one
// listener only, and otherwise to the kernel.
func (h *host) blocked(ctx context.Context) (listener, error) {
	l, err := h.client.Follow(ctx)
	if errors.Is(err, guardian.ErrNotRunning) {
		return blocked.Listen(ctx, rules.LogGroup)
	}
	return l, err
}

func cannotTell(err error) error {
	return &nft.UnsupportedError{Missing: []nft.Feature{nft.NFLog}, Err: err}
}

// reasons are those of the rules in force, by the names that they log.
type reasons struct {
	g     *guard.Guard
	known map[string]string
	read  time.Time
}

// of reads the rules again if it does not know one, once a second at most.
func (r *reasons) of(rule string) string {
	why, ok := r.known[rule]
	if ok || time.Since(r.read) < time.Second {
		return why
	}
	r.read, r.known = time.Now(), map[string]string{}
	rs, _, err := r.g.RulesInForce()
	if err != nil && !errors.Is(err, guard.ErrDrift) {
		return ""
	}
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			for _, x := range c.Rules {
				r.known[x.LogName()] = x.Why
			}
		}
	}
	return r.known[rule]
}
