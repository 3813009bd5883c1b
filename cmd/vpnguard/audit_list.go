package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/scenario"
)

type auditListCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// auditListJSON is the contract of `audit list --json`, version 1.
type auditListJSON struct {
	Version   int              `json:"version"`
	Catalogue string           `json:"catalogue"`
	Leaks     []auditEntryJSON `json:"leaks"`
}

type auditEntryJSON struct {
	catalogue.Entry
	Variants []auditVariantJSON `json:"variants"` // of the laboratory; none: not tested there
}

type auditVariantJSON struct {
	Variant string `json:"variant"`
	Title   string `json:"title"`
}

func variants(id string) []auditVariantJSON {
	all := []auditVariantJSON{}
	for _, s := range scenario.List() {
		if s.ID == id {
			all = append(all, auditVariantJSON{s.Variant, s.Title})
		}
	}
	return all
}

// Run prints the catalogue.
func (c *auditListCommand) Run(w *world) error {
	out := auditListJSON{Version: 1, Catalogue: catalogue.Version}
	for _, e := range catalogue.All() {
		out.Leaks = append(out.Leaks, auditEntryJSON{e, variants(e.ID)})
	}
	if c.JSON {
		return w.json(out)
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "id\tseverity\ttests\tleak")
	for _, e := range out.Leaks {
		tests := fmt.Sprint(len(e.Variants))
		if len(e.Variants) == 0 {
			tests = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.ID, e.Severity, tests, e.Title)
	}
	return t.Flush()
}

type auditExplainCommand struct {
	ID   string `arg:"" help:"Id of the leak, as audit list prints it." placeholder:"ID"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints what there is to know of a leak.
func (c *auditExplainCommand) Run(w *world) error {
	e, err := catalogue.Find(c.ID)
	if err != nil {
		return &usageError{err, "`vpnguard audit list` prints all of them"}
	}
	out := auditEntryJSON{e, variants(e.ID)}
	if c.JSON {
		return w.json(out)
	}
	fmt.Fprintf(w.stdout, "%s: %s\n\n", e.ID, e.Title)
	for _, line := range [][2]string{
		{"severity", fmt.Sprintf("%s: %s", e.Severity, e.Why)}, {"on the wire", e.Packet}, {"closed by", e.Closed}, {"in namespaces", e.Limits},
	} {
		fmt.Fprintf(w.stdout, "%-14s %s\n", line[0], line[1])
	}
	for i, v := range out.Variants {
		head := "tests"
		if i > 0 {
			head = ""
		}
		name := v.Variant
		if name != "" {
			name += ": "
		}
		fmt.Fprintf(w.stdout, "%-14s %s%s\n", head, name, v.Title)
	}
	if len(out.Variants) == 0 {
		fmt.Fprintf(w.stdout, "%-14s none here (%s)\n", "tests", e.Where)
	} else {
		fmt.Fprintf(w.stdout, "\nvpnguard audit lab --only %s\n", e.ID)
	}
	return nil
}
