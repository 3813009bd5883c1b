package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
)

func (w *world) warn(warnings []string) {
	for _, s := range warnings {
		fmt.Fprintf(w.stderr, "vpnguard: warning: %s\n", s)
	}
}

// report says what was done and what a person should know.
func (w *world) report(res guard.Result, err error) {
	w.warn(res.Warnings)
	for _, s := range res.Done {
		fmt.Fprintf(w.stderr, "vpnguard: %s\n", s)
	}
}

// dryRun prints what would be done, as text that nft -f accepts.
func (w *world) dryRun(res guard.Result) {
	w.warn(res.Warnings)
	for _, k := range res.Knobs {
		fmt.Fprintf(w.stdout, "# sysctl %s\n", k)
	}
	for _, n := range res.Names {
		fmt.Fprintf(w.stdout, "# resolvers %s\n", n)
	}
	for _, r := range res.Routing {
		fmt.Fprintf(w.stdout, "# %s\n", r)
	}
	fmt.Fprint(w.stdout, res.Text)
}

// change carries a change of the host out and says what it came to.
func (w *world) change(do func(*host) (guard.Result, error)) error {
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	res, err := do(g)
	w.report(res, err)
	if err == nil {
		fmt.Fprintf(w.stderr, "vpnguard: %s\n", res.State)
	}
	return err
}

// json prints a value for programs.
func (w *world) json(v any) error {
	e := json.NewEncoder(w.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func ownerText(o rules.Owner) string {
	var parts []string
	for _, u := range o.UIDs {
		parts = append(parts, fmt.Sprintf("uid %d", u))
	}
	text := strings.Join(parts, " or ")
	if o.Mask != 0 {
		text = join(text, fmt.Sprintf("mark %#x/%#x", o.Mark, o.Mask))
	}
	if o.Cgroup.Path != "" {
		text = join(text, "cgroup /"+o.Cgroup.Path)
	}
	return text
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " and " + b
}
