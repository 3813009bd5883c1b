package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	audithost "github.com/vpnguard/vpnguard/audit/host"
	labprobe "github.com/vpnguard/vpnguard/lab/probe"
)

type auditHostCommand struct {
	Peer  []string      `help:"What a second machine saw: a command that runs audit witness there; {mac} stands for the link's address, - for standard input." placeholder:"[LINK=]COMMAND" sep:"none"`
	Watch time.Duration `help:"Watch at least so long." default:"2s" placeholder:"DURATION"`
	Limit time.Duration `hidden:""` // for tests on slow machines
	auditResult
}

// Run audits this machine, and changes nothing of it. Exit 3 if something was
// found, 6 if something could not be proved either way.
func (c *auditHostCommand) Run(ctx context.Context, w *world) error {
	if err := c.read(); err != nil {
		return err
	}
	a, err := c.audit(ctx, w)
	if err != nil {
		return err
	}
	return c.tell(w, a)
}

// Validate bounds what the audit may take.
func (c *auditHostCommand) Validate() error {
	if c.Watch < 0 || c.Watch > 5*time.Second {
		return fmt.Errorf("--watch: %s is not between 0s and 5s", c.Watch)
	}
	return nil
}

// audit makes the evidence.
func (c *auditHostCommand) audit(ctx context.Context, w *world) (evidence.Audit, error) {
	facts, err := w.facts(ctx)
	if err != nil {
		return evidence.Audit{}, err
	}
	peers, err := peersOf(c.Peer, facts.Links)
	if err != nil {
		return evidence.Audit{}, &usageError{err, "--peer LINK=COMMAND, once for each link"}
	}
	a, err := audithost.Run(ctx, audithost.Options{Peers: peers, Watch: c.Watch, Limit: c.Limit}, auditWorld{w})
	if err != nil {
		return a, err
	}
	a.Scope = evidence.Scope{
		Mode: "host", ThreatModel: "local programs and an observer of this host's links, for some seconds", Client: evidence.Named{Name: clientsOf(facts)},
		Guard: evidence.Named{Name: "vpnguard", Version: version()}, Auditor: evidence.Named{Name: "vpnguard", Version: version()},
		Catalogue: catalogue.Version, Repeat: 1, Command: append([]string{"vpnguard"}, w.args...),
	}
	if facts.Guard.State == "open" {
		a.Scope.Guard = evidence.Named{Name: "none"}
	}
	return a, nil
}

// clientsOf are the clients of the sessions.
func clientsOf(f audithost.Facts) string {
	var names []string
	for _, t := range f.Guard.Tunnels {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// peersOf gives each peer its link.
func peersOf(list []string, links []audithost.Link) (map[string]string, error) {
	peers := map[string]string{}
	for _, p := range list {
		name, command := "", p
		for _, l := range links {
			if rest, ok := strings.CutPrefix(p, l.Name+"="); ok {
				name, command = l.Name, rest
			}
		}
		switch {
		case name == "" && len(links) != 1:
			return nil, fmt.Errorf("--peer %q: this host has %d links, and it does not say which one the peer is behind", p, len(links))
		case name == "":
			name = links[0].Name
		}
		if peers[name] != "" {
			return nil, fmt.Errorf("--peer %q: link %q has a peer already", p, name)
		}
		if strings.TrimSpace(command) == "" {
			return nil, fmt.Errorf("--peer %q: no command", p)
		}
		peers[name] = command
	}
	return peers, nil
}

type auditWitnessCommand struct {
	Interface string   `help:"Link that the audited host is behind." required:"" placeholder:"IF"`
	MAC       []string `name:"mac" help:"Frames of this link address only; else all that come in." placeholder:"ADDRESS"`
}

// Run writes what comes in by a link to standard output as pcapng, until the
// reader is gone or a signal comes.
func (c *auditWitnessCommand) Run(ctx context.Context, w *world) error {
	if terminal(w.stdout) {
		return &usageError{errors.New("audit witness writes frames, which are nothing for a terminal"), "`vpnguard audit host --peer` starts it; or > FILE.pcapng"}
	}
	var macs [][6]byte
	for _, m := range c.MAC {
		hw, err := net.ParseMAC(m)
		if err != nil || len(hw) != 6 {
			return &usageError{fmt.Errorf("--mac %q: no Ethernet address", m), "such as 02:00:00:00:01:65"}
		}
		macs = append(macs, [6]byte(hw))
	}
	link, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return fmt.Errorf("find %q: %w", c.Interface, err)
	}
	return audithost.Witness(link.Index, c.Interface, macs, ctx.Done(), w.stdout)
}

// auditShootCommand makes probes, and auditTwinCommand the control; both are for
// `audit host`, which starts them as other users and elsewhere.
type auditShootCommand struct{}

func (auditShootCommand) Run(w *world) error {
	var orders []labprobe.Order
	if err := json.NewDecoder(w.stdin).Decode(&orders); err != nil {
		return fmt.Errorf("read the probes: %w", err)
	}
	return json.NewEncoder(w.stdout).Encode(audithost.Fire(orders))
}

type auditTwinCommand struct{}

func (auditTwinCommand) Run(ctx context.Context, w *world) error {
	outside, errOutside := os.Readlink("/proc/" + fmt.Sprint(os.Getppid()) + "/ns/net")
	own, err := os.Readlink("/proc/self/ns/net")
	if err := errors.Join(err, errOutside); err != nil {
		return fmt.Errorf("find the own network namespace: %w", err)
	}
	if own == outside {
		return &usageError{errors.New("audit twin builds links: it runs in a network namespace of its own only"), "it is for audit host"}
	}
	var j audithost.Job
	if err := json.NewDecoder(w.stdin).Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	o, err := audithost.Twin(ctx, j, auditWorld{w})
	if err != nil {
		return err
	}
	return json.NewEncoder(w.stdout).Encode(o)
}
