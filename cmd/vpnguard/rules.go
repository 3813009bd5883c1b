package main

import (
	"errors"
	"fmt"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
)

type rulesCommand struct {
	JSON    bool   `name:"json" help:"Print JSON."`
	Explain string `help:"Say which rule decides on a packet, for example \"out eth0 udp 8.8.8.8:53 uid 1000\"." placeholder:"PACKET"`
}

// rulesJSON is the contract of `rules --json`, version 1.
type rulesJSON struct {
	Version  int           `json:"version"`
	Enforced bool          `json:"enforced"`
	Drift    []string      `json:"drift"`
	Text     string        `json:"text"`
	Tables   []rules.Table `json:"tables"`
}

// Run prints the rules that are recorded; exit 3 if the kernel has others.
func (c *rulesCommand) Run(w *world) error {
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	rs, drift, err := g.RulesInForce()
	if err != nil && !errors.Is(err, guard.ErrDrift) {
		return err
	}
	packet, e := parsePacket(c.Explain)
	switch {
	case c.Explain != "" && e != nil:
		return &usageError{fmt.Errorf("packet %q: %w", c.Explain, e), packetGrammar}
	case len(rs.Tables) == 0 && !c.JSON:
		fmt.Fprintln(w.stderr, "vpnguard: open: no rules are in force")
	case c.Explain != "":
		fmt.Fprintln(w.stdout, rs.Eval(packet))
	case c.JSON:
		if e := w.json(rulesJSON{1, err == nil, nonNil(drift), rs.Text(), nonNil(rs.Tables)}); e != nil {
			return e
		}
	default:
		fmt.Fprint(w.stdout, rs.Text())
	}
	return err
}
