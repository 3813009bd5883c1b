package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// Options of an audit.
type Options struct {
	// Peers are the commands whose output is what a witness saw, by the link that
	// it is behind.
	Peers map[string]string
	// Watch is how long frames are watched at least.
	Watch time.Duration
	// Limit is how long the audit may take; 0 stands for [Limit]. What is not done
	// by then is missing from the evidence, which says so.
	Limit time.Duration
}

// World does for the audit what needs other processes, and reads the machine.
type World interface {
	Shooter
	// Twin runs [Twin] in a process in a new network namespace.
	Twin(context.Context, Job) (Observed, error)
	// Peer starts a command and returns what it writes; end ends it.
	Peer(ctx context.Context, command string) (out io.Reader, end func(), err error)
	// Facts reads the machine.
	Facts(context.Context) (Facts, error)
}

// Limit leaves a second of ten for the report.
const Limit = 9 * time.Second

// Run audits. The error means that nothing could be audited; what went wrong
// later is in the evidence.
func Run(ctx context.Context, o Options, w World) (evidence.Audit, error) {
	a := evidence.Audit{Schema: evidence.Schema, Started: time.Now(), Catalogue: catalogue.Classes(), Residual: append(residual(), catalogue.Residual()...)}
	limit := cmp.Or(o.Limit, Limit)
	waits := waitsFor(limit)
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took more than %s", limit))
	defer cancel()
	f, err := w.Facts(within)
	if err != nil {
		return a, err
	}
	if len(f.Links) == 0 {
		return a, errors.New("this host has no link that is up and that leads outside: there is nothing to audit")
	}
	token := probe.NewNonce()[:10]
	p := Make(f, func() string { return token + probe.NewNonce()[2:12] })
	ends, tunnels, err := open(within, f, o, token, w)
	if err != nil {
		return a, err
	}
	var control Observed
	var twin sync.WaitGroup
	twin.Go(func() {
		var err error
		if control, err = w.Twin(within, Job{Plan: p, Links: f.Links, Token: token, Peers: slices.Collect(maps.Keys(o.Peers)), Waits: waits}); err != nil {
			control = Observed{Started: a.Started, Ended: time.Now(), Error: fmt.Sprintf("the control could not be made: %v", err)}
		}
	})
	guarded := observe(within, p, f.Links, ends, w, func(ctx context.Context) []evidence.Check { return check(ctx, tunnels, waits.Tunnel) }, o.Watch, waits)
	twin.Wait()
	after, err := w.Facts(within)
	if err == nil {
		relearn(&f, after)
		redeclare(f, &guarded)
	} else if guarded.Error == "" {
		guarded.Error = err.Error()
	}
	a.Cases = append(Cases(f, p, control, guarded), Review(f)...)
	a.Cases = append(a.Cases, Rest(a.Cases)...)
	a.Topology = topology(f, o)
	a.Environment = environment(f, o)
	if ctx.Err() != nil {
		a.Interrupted = context.Cause(ctx).Error()
	}
	a.Finished = time.Now()
	return a, nil
}

// open starts to capture everywhere.
func open(ctx context.Context, f Facts, o Options, token string, w World) (ends []*end, tunnels []inside, err error) {
	defer func() {
		if err != nil {
			for _, e := range ends {
				e.abandon()
			}
		}
	}()
	for _, l := range f.Links {
		layer := evidence.Ethernet
		if l.MAC == "" {
			layer = evidence.IP
		}
		d := Declare(f, l, false)
		from, err := listen(l.Index, wire.Sent)
		if err != nil {
			return ends, nil, fmt.Errorf("watch %q: %w", l.Name, err)
		}
		ends = append(ends, &end{vantage: OwnEnd(l.Name), role: evidence.Host, link: l.Name, iface: l.Name, layer: layer, decides: true, declared: d, keep: newKeeper(token, d, layer), from: from})
		command, ok := o.Peers[l.Name]
		if !ok {
			continue
		}
		out, stop, err := w.Peer(ctx, strings.ReplaceAll(command, "{mac}", l.MAC))
		if err != nil {
			return ends, nil, fmt.Errorf("start the peer behind %q: %w", l.Name, err)
		}
		ends = append(ends, &end{vantage: FarEnd(l.Name), role: evidence.Wire, link: l.Name, iface: l.Name, decides: true, declared: d, keep: newKeeper(token, d, evidence.Ethernet), from: NewPeer(out, stop)})
	}
	for _, t := range f.Guard.Tunnels {
		in := inside{tunnel: t}
		for _, at := range []struct {
			to   **end
			name string
			role evidence.Role
			d    wire.Direction
		}{{&in.sent, t.Name, evidence.Inside, wire.Sent}, {&in.coming, "out of " + t.Name, evidence.Inside, wire.Received}} {
			from, err := listen(t.Index, at.d)
			if err != nil {
				return ends, nil, fmt.Errorf("watch %q: %w", t.Name, err)
			}
			keep := newKeeper(token, evidence.Declared{}, evidence.IP)
			keep.ownOnly = true
			*at.to = &end{vantage: at.name, role: at.role, iface: t.Name, layer: evidence.IP, keep: keep, from: from}
			ends = append(ends, *at.to)
		}
		tunnels = append(tunnels, in)
	}
	return ends, tunnels, nil
}

// relearn takes over the neighbours that asked for the machine meanwhile, and
// addresses that it got.
func relearn(f *Facts, after Facts) {
	for i, l := range f.Links {
		j := slices.IndexFunc(after.Links, func(o Link) bool { return o.Index == l.Index })
		if j < 0 {
			continue
		}
		for _, a := range after.Links[j].Addresses {
			if !slices.Contains(f.Links[i].Addresses, a) {
				f.Links[i].Addresses = append(f.Links[i].Addresses, a)
			}
		}
		for _, n := range after.Links[j].Neighbours {
			if !slices.Contains(f.Links[i].Neighbours, n) {
				f.Links[i].Neighbours = append(f.Links[i].Neighbours, n)
			}
		}
	}
}

func redeclare(f Facts, o *Observed) {
	for i, c := range o.Captures {
		for _, l := range f.Links {
			if c.Deciding() && c.Interface == l.Name {
				o.Captures[i].Declared = Declare(f, l, false)
			}
		}
	}
}

// residual is what no audit of a machine in use tells.
func residual() []string {
	return []string{
		"an audit of a machine in use sees the seconds that it lasts: boot, shutdown, reconnects and roaming are not among them",
		"its controls run in a network namespace of their own, for the guard of a machine in use stays on: they show that each probe leaves where nothing stops it",
		"the carriers' own frames are counted and not kept, and all others without their payload",
	}
}

func topology(f Facts, o Options) evidence.Topology {
	t := evidence.Topology{Nodes: []evidence.Node{{Name: "host", Label: "this host"}}}
	for i, l := range f.Links {
		behind := "network behind " + l.Name
		var addresses []string
		for _, p := range l.Addresses {
			addresses = append(addresses, p.String())
		}
		t.Nodes[0].Addresses = append(t.Nodes[0].Addresses, addresses...)
		t.Nodes = append(t.Nodes, evidence.Node{Name: behind, Label: behind, Column: 1, Row: i})
		t.Links = append(t.Links, evidence.Link{From: "host", To: behind, Label: l.Name})
		t.Vantages = append(t.Vantages, evidence.Vantage{Name: OwnEnd(l.Name), Node: "host", Peer: behind, Supports: []string{"that something left; not that nothing did"}})
		if _, ok := o.Peers[l.Name]; ok {
			t.Vantages = append(t.Vantages, evidence.Vantage{Name: FarEnd(l.Name), Node: behind, Peer: "host", Supports: []string{"that something left", "that nothing else came to the peer"}})
		}
	}
	for i, u := range f.Guard.Tunnels {
		server := "behind " + u.Name
		t.Nodes = append(t.Nodes, evidence.Node{Name: server, Label: "VPN", Column: 2, Row: i})
		t.Links = append(t.Links, evidence.Link{From: "host", To: server, Label: u.Name, Tunnel: true})
		t.Vantages = append(t.Vantages, evidence.Vantage{Name: u.Name, Node: "host", Peer: server, Supports: []string{"that a probe went into the tunnel"}})
	}
	return t
}

func environment(f Facts, o Options) evidence.Environment {
	e := evidence.Environment{Kernel: f.Kernel, Capabilities: Unread(f)}
	for _, l := range f.Links {
		c := evidence.Capability{Name: "a second vantage point behind " + l.Name}
		if _, c.Have = o.Peers[l.Name]; !c.Have {
			c.Why = "no --peer was given: no verdict is better than not disproved"
		}
		e.Capabilities = append(e.Capabilities, c)
	}
	section := func(title string, lines []string) {
		if len(lines) > 0 {
			e.Sections = append(e.Sections, evidence.Section{Title: title, Text: strings.Join(lines, "\n") + "\n"})
		}
	}
	section("guard", []string{"state " + f.Guard.State, fmt.Sprintf("enforced %v", f.Guard.Enforced)})
	section("drift", f.Guard.Drift)
	section("notes", f.Guard.Notes)
	section("what the policy lets past", f.Guard.Exposed)
	e.Sections = append(e.Sections, f.Sections...)
	section("knobs that are not strict", f.Guard.Unset)
	var routes []string
	for _, r := range f.Routes {
		routes = append(routes, r.String())
	}
	section("routes that beat the tunnel", routes)
	return e
}
