package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/scenario"
	"github.com/vpnguard/vpnguard/lab"
)

type auditLabCommand struct {
	Client        string   `help:"own: the own tunnel; openvpn; openconnect; wireguard: wg-quick with wireguard-go; command: see --client-command." default:"own" enum:"own,openvpn,openconnect,wireguard,command" placeholder:"CLIENT"`
	ClientCommand string   `help:"Start another client by this command of the shell; it gets the server's address and port as $SERVER and $PORT, and its device must be $DEV." placeholder:"COMMAND"`
	Profile       string   `help:"The client's own configuration; its servers and certificates become the laboratory's." type:"existingfile" placeholder:"FILE"`
	Guard         string   `help:"vpnguard; none; or a command of the shell that is called as OpenVPN calls its hooks." default:"vpnguard" placeholder:"vpnguard|none|COMMAND"`
	Only          []string `help:"Test these leaks only, as ID or ID/VARIANT." placeholder:"ID,..."`
	List          bool     `help:"List the tests and run none."`
	Repeat        int      `help:"Run everything so often; a leak in any run is a leak." default:"1" placeholder:"N"`
	Seed          uint64   `help:"Order of the tests; default: another each time." placeholder:"N"`
	Policy        string   `help:"What is required and what is accepted, as TOML." type:"existingfile" placeholder:"FILE"`
	Baseline      string   `help:"What an earlier audit found, to be held against." type:"existingfile" placeholder:"FILE"`
	Output        string   `help:"Write the evidence, as a directory or a .tar, which must not exist." placeholder:"DIR"`
	Format        []string `help:"How to report: text, json, sarif, code-scanning, junit, tap, html, annotations, summary, baseline or attestation; with =FILE, there. May be given several times; default: text." sep:"none" placeholder:"FORMAT[=FILE]"`
	Ocserv        string   `hidden:""` // path of OpenConnect's server
	Fault         string   `hidden:""` // breaks the laboratory, for tests
}

// Run attacks, judges and reports. Exit 3 if something was found, 6 if something
// could not be proved either way.
func (c *auditLabCommand) Run(ctx context.Context, w *world) error {
	if c.List {
		return c.list(w)
	}
	demands, order, err := c.read()
	if err != nil {
		return err
	}
	outputs, err := parseFormats(c.Format)
	if err != nil {
		return err
	}
	a := evidence.Audit{Schema: evidence.Schema, Started: time.Now(), Catalogue: catalogue.Classes(), Residual: catalogue.Residual()}
	a.Scope = c.scope(order)
	progress := newProgress(w.stderr)
	err = scenario.Run(ctx, []string{"audit", "inside"}, order, w.stderr, func(r scenario.Report) {
		progress.tell(r)
		switch {
		case r.Case != nil:
			a.Cases = append(a.Cases, *r.Case)
		case r.End != nil:
			a.Environment, a.Topology, a.Interrupted = r.End.Environment, r.End.Topology, r.End.Interrupted
			a.Scope.Client, a.Scope.Profile.Settings = r.End.Client, r.End.Settings
		}
	})
	progress.end()
	if err != nil {
		return fmt.Errorf("audit the client %q: %w; nothing on this host was changed", c.Client, err)
	}
	if a.Scope.Client.Name == "own tunnel" {
		a.Scope.Client.Version = version()
	}
	a.Finished = time.Now()
	sortCases(a.Cases)
	conclusion, err := conclude.Audit(a, demands)
	if err != nil {
		return err
	}
	if c.Output != "" {
		if err := conclusion.Files.Write(c.Output); err != nil {
			return err
		}
	}
	for _, o := range outputs {
		if err := o.write(w, conclusion.Report); err != nil {
			return err
		}
	}
	return statusOf(conclusion.Report.Outcome)
}

// statusOf is how an audit ends.
func statusOf(o gate.Outcome) error {
	switch o.Status {
	case gate.Clean:
		return nil
	case gate.Found:
		return exitStatus(exitDrift)
	case gate.Inconclusive:
	}
	return exitStatus(exitInconclusive)
}

// read reads the user's files, before anything is started.
func (c *auditLabCommand) read() (d conclude.Demands, o scenario.Order, err error) {
	o = scenario.Order{
		Client: c.Client, Command: c.ClientCommand, Guard: c.Guard, Only: c.Only, Repeat: c.Repeat, Seed: c.Seed, Ocserv: c.Ocserv, Fault: c.Fault,
	}
	if c.ClientCommand != "" {
		o.Client = "command"
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	for _, f := range []struct {
		name string
		into *[]byte
	}{{c.Policy, &d.Policy}, {c.Baseline, &d.Baseline}, {c.Profile, &o.Profile}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = os.ReadFile(f.name); err != nil {
			return d, o, &usageError{fmt.Errorf("read %q: %w", f.name, err), "nothing was started"}
		}
	}
	if err := d.Check(knownLeak); err != nil {
		return d, o, &usageError{err, "nothing was started; `vpnguard audit list` prints all ids"}
	}
	for _, id := range c.Only {
		if !slices.ContainsFunc(scenario.List(), func(s scenario.Listed) bool { return s.ID == id || s.Name() == id }) {
			hint := "`vpnguard audit lab --list` prints what the laboratory tests"
			if knownLeak(id) {
				hint = "`vpnguard audit explain " + id + "` says why"
			}
			return d, o, &usageError{fmt.Errorf("the laboratory has no test %q", id), hint}
		}
	}
	if c.Repeat < 1 || c.Repeat > 1000 {
		return d, o, &usageError{fmt.Errorf("--repeat %d: want 1 to 1000", c.Repeat), "nothing was started"}
	}
	if err := o.Check(); err != nil {
		return d, o, &usageError{err, "nothing was started"}
	}
	return d, o, nil
}

func knownLeak(id string) bool {
	_, err := catalogue.Find(id)
	return err == nil
}

// scope says what is tested, and how to do it again.
func (c *auditLabCommand) scope(o scenario.Order) evidence.Scope {
	s := evidence.Scope{
		Mode: "lab", ThreatModel: "the LAN and its router, ordinary and privileged local programs, guests, the loss of client and server; not a hostile kernel or VPN server",
		Guard: evidence.Named{Name: o.Guard}, Auditor: evidence.Named{Name: "vpnguard", Version: version()}, Catalogue: catalogue.Version,
		Seed: o.Seed, Repeat: o.Repeat, Command: c.command(o),
	}
	if o.Guard == "vpnguard" {
		s.Guard.Version = version()
	}
	if c.Profile != "" {
		s.Profile = evidence.Profile{Path: c.Profile, SHA256: digestOf(o.Profile)}
	}
	return s
}

func (c *auditLabCommand) command(o scenario.Order) []string {
	args := []string{"vpnguard", "audit", "lab", "--client", o.Client, "--guard", o.Guard, "--seed", strconv.FormatUint(o.Seed, 10), "--repeat", strconv.Itoa(o.Repeat)}
	for _, f := range [][2]string{{"--client-command", o.Command}, {"--profile", c.Profile}, {"--policy", c.Policy}, {"--only", strings.Join(o.Only, ",")}} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	return args
}

func (c *auditLabCommand) list(w *world) error {
	for _, s := range scenario.List() {
		fmt.Fprintf(w.stdout, "%-40s %s\n", s.Name(), s.Title)
	}
	return nil
}

// sortCases puts cases in the catalogue's order, whatever order they ended in.
func sortCases(all []evidence.Case) {
	place := map[string]int{}
	for i, e := range catalogue.All() {
		place[e.ID] = i
	}
	slices.SortStableFunc(all, func(x, y evidence.Case) int {
		if x.ID != y.ID {
			return place[x.ID] - place[y.ID]
		}
		return strings.Compare(x.Variant, y.Variant)
	})
}

// progress is one line on a terminal, and nothing elsewhere.
type progress struct {
	out  io.Writer
	last time.Time
}

func newProgress(out io.Writer) *progress {
	if !terminal(out) {
		return &progress{}
	}
	return &progress{out: out}
}

func (p *progress) tell(r scenario.Report) {
	// A terminal need not show more than a few lines a second.
	if p.out == nil || r.Doing == "" || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.out, "\r\033[K%d of %d runs: %s", r.Done, r.Total, r.Doing)
}

func (p *progress) end() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\033[K")
	}
}

// terminal tells whether a person reads.
func terminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// refusedHint says what a laboratory needs.
const refusedHint = "it needs user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns) or root, and the programs nft, ip, nsenter and setpriv"

func refused(err error) bool { return errors.Is(err, lab.ErrRefused) }
