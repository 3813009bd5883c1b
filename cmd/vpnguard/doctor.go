package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/confine"
	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/survey"
	"github.com/vpnguard/vpnguard/tunnel"
)

type doctorCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// doctorJSON is the contract of `doctor --json`, version 1.
type doctorJSON struct {
	Version  int              `json:"version"`
	Kernel   string           `json:"kernel"`
	Features []featureJSON    `json:"features"` // empty: the kernel could not be asked
	Findings []survey.Finding `json:"findings"`
	Names    string           `json:"names"` // who owns the resolver configuration, as a configuration says it
}

type featureJSON struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Optional bool   `json:"optional"` // all is enforced, and the tunnel works, without it
	Since    string `json:"since"`
	Module   string `json:"module"`
	Problem  string `json:"problem,omitempty"`
}

// Run probes the kernel and looks at the host. Exit 5 if the kernel lacks
// something that sealing needs, 4 if it could not be asked for want of
// privilege. Findings alone are advice and exit 0: none of them is a leak that
// was seen, nor drift of what is enforced.
func (c *doctorCommand) Run(w *world) error {
	out := doctorJSON{Version: 1, Kernel: kernel(), Features: []featureJSON{}}
	features, verdict := probe()
	out.Features = append(out.Features, features...)
	if len(features) > 0 {
		out.Features = append(out.Features, w.probeSteering())
		out.Features = append(out.Features, confinement()...)
	}
	host := w.survey()
	owner, err := dns.System{}.Detect("")
	if err != nil {
		host.Unread = append(host.Unread, survey.Unread{What: "who owns the resolver configuration", Err: err})
	}
	out.Names = string(owner)
	if len(features) > 0 {
		parts, err := tunnelParts()
		if err != nil {
			host.Unread = append(host.Unread, survey.Unread{What: "what this kernel does for the own tunnel", Err: err})
		}
		out.Features = append(out.Features, parts...)
	} else {
		host.Unread = append(host.Unread, survey.Unread{What: "what this kernel can enforce", Err: verdict})
	}
	out.Findings = nonNil(survey.Judge(host))
	if c.JSON {
		if err := w.json(out); err != nil {
			return err
		}
		return verdict
	}
	w.doctorText(out)
	return verdict
}

// confinement is what can be taken away from the own tunnel's engine.
func confinement() (all []featureJSON) {
	for _, p := range confine.Probe() {
		f := featureJSON{Name: p.Name + " around the tunnel's engine", OK: p.Err == nil, Optional: true, Since: p.Since, Module: "built in"}
		if p.Err != nil {
			f.Problem = p.Err.Error()
		}
		all = append(all, f)
	}
	return all
}

// probe asks the kernel for its features. Without an answer there are none,
// and the error says why.
func probe() ([]featureJSON, error) {
	conn, err := nft.Open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var all []featureJSON
	var missing []nft.Feature
	for _, s := range conn.Probe() {
		if errors.Is(s.Err, os.ErrPermission) {
			return nil, fmt.Errorf("probe the kernel: %w", s.Err)
		}
		f := featureJSON{Name: s.Name, OK: s.Err == nil, Optional: s.Optional, Since: s.Since, Module: s.Module}
		if s.Err != nil {
			f.Problem = s.Err.Error()
		}
		if s.Err != nil && !s.Optional {
			missing = append(missing, s.Feature)
		}
		all = append(all, f)
	}
	if len(missing) > 0 {
		return all, &nft.UnsupportedError{Missing: missing, Err: errors.New("not everything can be enforced here")}
	}
	return all, nil
}

// tunnelParts asks for what speeds the own tunnel up.
func tunnelParts() (out []featureJSON, err error) {
	parts, err := tunnel.Probe()
	for _, p := range parts {
		f := featureJSON{Name: "tunnel: " + p.Name, OK: p.Err == nil, Optional: true, Since: p.Since, Module: p.Module}
		if p.Err != nil {
			f.Problem = p.Err.Error()
		}
		out = append(out, f)
	}
	return out, err
}

// probeSteering asks for what leads into the tunnel what is not a carrier's; the
// rules hold without it.
func (w *world) probeSteering() featureJSON {
	f := featureJSON{Name: "routing rules by uid and port, to steer", Optional: true, Since: "4.17", Module: "CONFIG_IP_MULTIPLE_TABLES"}
	conf, err := w.configuration()
	if err != nil {
		conf = config.Default()
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err == nil {
		err = errors.Join(route.Kernel{Handle: h}.Usable(conf.SteerTable), h.Close())
	}
	if f.OK = err == nil; !f.OK {
		f.Problem = err.Error() + "; see steer_table"
	}
	return f
}

func (w *world) doctorText(out doctorJSON) {
	fmt.Fprintf(w.stdout, "kernel %s\n", out.Kernel)
	for _, f := range out.Features {
		fmt.Fprintf(w.stdout, "%-7s %s (since Linux %s, %s) %s\n", featureWord(f), f.Name, f.Since, f.Module, f.Problem)
	}
	if out.Names != "" {
		fmt.Fprintf(w.stdout, "names   a session's resolvers will be set in %s, which keeps the host's\n", dns.Owner(out.Names))
	}
	for _, f := range out.Findings {
		fmt.Fprintf(w.stdout, "%-7s %s: %s\n%8sdo: %s\n", f.Severity, f.ID, printable(f.What), "", printable(f.Do))
	}
	if len(out.Findings) == 0 {
		fmt.Fprintln(w.stdout, "ok      nothing on this host is known to break a tunnel or a seal")
	}
}

// printable replaces what could steer a terminal: names of tables, files and
// programs are others' words.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func featureWord(f featureJSON) string {
	switch {
	case f.OK:
		return "ok"
	case f.Optional:
		return "missing, optional:"
	}
	return "MISSING"
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
