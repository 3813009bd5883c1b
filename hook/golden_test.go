package hook_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vpnguard/vpnguard/hook"
)

// The archives in testdata hold what real clients passed (OpenVPN 2.6.14,
// OpenConnect 9.01, vpnc 0.5.3, wireguard-tools 1.0.20210914, ppp 2.4.9,
// NetworkManager 1.42.4, strongSwan 5.9.8, ifupdown 0.8.41, networkd-dispatcher
// 2.2.3, tinc 1.0.36), a directory a client, an archive a case, and what Parse
// has to make of it:
//
//	NN-hook.args  one argument a line
//	NN-hook.env   one KEY=VALUE a line; in values \n and \\ are escaped
//	sequence      the order of the calls and the events between them
//	want          the Calls, checked by hand against the client's contract
//
// New captures: go test ./hook -run Golden -fixtures DIR (with sequences.tsv
// in DIR's parent). New expectations: go test ./hook -run Golden -update, and
// then read the difference.
var (
	update   = flag.Bool("update", false, "rewrite the want parts")
	fixtures = flag.String("fixtures", "", "rebuild the archives from the captures in this directory")
)

// captures are the clients with how many cases and calls each has, and who the
// hook's parent is: a shell that only runs the hook is left out.
var captures = []struct {
	client       string
	cases, calls int
	comm         string
}{
	{"openvpn", 59, 377, ""}, // the environment is enough
	{"openconnect", 21, 131, ""},
	{"vpnc", 1, 3, "vpnc"},
	{"wg-quick", 13, 56, "wg-quick"},
	{"pppd", 9, 39, ""},
	{"networkmanager", 9, 56, "nm-dispatcher"},
	{"strongswan", 8, 32, "charon-systemd"},
	{"ifupdown", 4, 16, "ifup"},
	{"networkd-dispatcher", 1, 6, "networkd-dispat"},
	{"tinc", 2, 11, "tincd"},
}

func TestGoldenCapturesOfEveryClient(t *testing.T) {
	if *fixtures != "" {
		buildArchives(t, *fixtures)
	}
	all := 0
	for _, client := range captures {
		paths, err := filepath.Glob("testdata/" + client.client + "/*.txtar")
		if err != nil || len(paths) != client.cases {
			t.Fatalf("%s: found %d archives, want %d (%v)", client.client, len(paths), client.cases, err)
		}
		calls := 0
		for _, path := range paths {
			t.Run(client.client+"/"+strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
				calls += replay(t, client.client, client.comm, path)
			})
		}
		if calls != client.calls {
			t.Errorf("%s: %d calls, want %d", client.client, calls, client.calls)
		}
		all += calls
	}
	if all != 727 {
		t.Errorf("%d calls, want the 727 that were captured", all)
	}
}

// replay parses every call of a case in its order and compares all Calls.
func replay(t *testing.T, client, comm, path string) int {
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	calls := callsOf(t, a)
	for _, c := range calls {
		c.client = client
		call, err := c.parse(comm)
		fmt.Fprintf(&got, "%s\n%s", c.name, describe(call, err))
		if client == "openvpn" {
			checkAgainstSequence(t, c, call, err)
		} else {
			checkAgainstName(t, c, call)
		}
		if err == nil {
			checkCall(t, call)
		}
	}
	if *update {
		setFile(a, "want", []byte(got.String()))
		if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return len(calls)
	}
	if diff := cmp.Diff(string(file(t, a, "want")), got.String()); diff != "" {
		t.Errorf("calls differ (-want +got):\n%s", diff)
	}
	return len(calls)
}

// describe writes a Call so that a human can check it; what is zero is left out.
func describe(c hook.Call, err error) string {
	var b strings.Builder
	line := func(key string, value any, zero bool) {
		if !zero {
			fmt.Fprintf(&b, "  %-10s %v\n", key, strings.Trim(fmt.Sprint(value), "[]"))
		}
	}
	line("event", c.Event, false)
	line("any device", c.AnyDevice, !c.AnyDevice)
	line("cause", c.Cause, c.Cause == "")
	if err != nil {
		line("error", err, false)
		return b.String()
	}
	line("dev", c.Dev, c.Dev == "")
	line("mtu", c.MTU, c.MTU == 0)
	line("interim", c.Interim, !c.Interim)
	line("pid", c.PID, c.PID == 0)
	line("config", c.ConfigFile, c.ConfigFile == "")
	if c.Peer.IsValid() {
		fmt.Fprintf(&b, "  %-10s %v\n", "peer", c.Peer)
	}
	line("server", c.Server, !c.Server.IsValid())
	for _, e := range c.Carriers() {
		fmt.Fprintf(&b, "  %-10s %v\n", "carrier", e)
	}
	for _, m := range c.Names() {
		fmt.Fprintf(&b, "  %-10s %s:%d/%v %v\n", "name", m.Host, m.Port, m.Proto, m.Family)
	}
	for i, m := range c.Remotes {
		fmt.Fprintf(&b, "  %-10s %s %d %v %v", "remote", m.Host, m.Port, m.Proto, m.Family)
		if i < len(c.Proxies) && c.Proxies[i] != (hook.Remote{}) {
			fmt.Fprintf(&b, " by %s %d %v", c.Proxies[i].Host, c.Proxies[i].Port, c.Proxies[i].Proto)
		}
		b.WriteString("\n")
	}
	line("addresses", c.Addresses, c.Addresses == nil)
	line("resolvers", c.Resolvers, c.Resolvers == nil)
	line("search", c.SearchDomains, c.SearchDomains == nil)
	line("only", c.RouteDomains, c.RouteDomains == nil)
	line("routes", c.Routes, c.Routes == nil)
	line("redirect", c.Redirect, false)
	return b.String()
}

// captured is one call of a case.
type captured struct {
	client string
	name   string // NN-hook
	facts  string // the last column of sequences.tsv
	env    []string
	args   []string
}

func (c captured) hook() string { return c.name[3:] }

func (c captured) parse(comm string) (hook.Call, error) {
	command := hook.CommandUp
	if strings.HasSuffix(c.hook(), "down") {
		command = hook.CommandDown
	}
	return hook.Parse(command, c.env, c.args, hook.Parent{Comm: comm})
}

func callsOf(t *testing.T, a *txtar.Archive) []captured {
	t.Helper()
	var calls []captured
	for l := range strings.Lines(string(file(t, a, "sequence"))) {
		cols := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
		if cols[3] != "call" {
			continue
		}
		c := captured{name: cols[2] + "-" + cols[4], facts: cols[6]}
		for l := range strings.Lines(string(file(t, a, c.name+".args"))) {
			c.args = append(c.args, unescape(strings.TrimSuffix(l, "\n")))
		}
		for l := range strings.Lines(string(file(t, a, c.name+".env"))) {
			c.env = append(c.env, unescape(strings.TrimSuffix(l, "\n")))
		}
		if shown := strings.Join(c.args, "|"); shown != cols[5] {
			t.Errorf("%s: arguments %q, in the sequence %q", c.name, shown, cols[5])
		}
		calls = append(calls, c)
	}
	// Two files a call, sequence and want: no capture is left out.
	if want := 2*len(calls) + 2; len(a.Files) != want && !*update {
		t.Errorf("%d files in the archive, want %d", len(a.Files), want)
	}
	return calls
}

func unescape(s string) string { return strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(s) }

// checkAgainstSequence compares with what was noted at the capture, so that
// the want parts are not the only witness.
func checkAgainstSequence(t *testing.T, c captured, call hook.Call, err error) {
	t.Helper()
	fact := map[string]string{}
	for _, f := range strings.Fields(c.facts) {
		k, v, _ := strings.Cut(f, "=")
		fact[k] = v
	}
	want := map[string]hook.Event{
		"up": hook.EventUp, "ipchange": hook.EventEndpoint, "route-up": hook.EventRoutes,
		"down": hook.EventRestart, "plugin-down": hook.EventRestart,
	}[c.hook()]
	if s := fact["signal"]; c.hook() == "down" && (s == "sigterm" || s == "sigint") {
		want = hook.EventStop
	}
	if call.Event != want {
		t.Errorf("%s: event %v, want %v", c.name, call.Event, want)
	}
	if s := fact["signal"]; s != "" && call.Cause != s {
		t.Errorf("%s: cause %q, want %q", c.name, call.Cause, s)
	}
	if err != nil {
		if v := (*hook.ValueError)(nil); !errors.As(err, &v) {
			t.Errorf("%s: error %v is no ValueError", c.name, err)
		}
		return
	}
	if ip := fact["trusted_ip"]; ip != "" && call.Peer.Addr().String() != ip {
		t.Errorf("%s: peer %v, want %v", c.name, call.Peer, ip)
	}
	if call.Interim != (fact["script_context"] == "restart") {
		t.Errorf("%s: interim %v", c.name, call.Interim)
	}
	if fact["redirect_gateway"] == "1" && call.Redirect != hook.RedirectAll {
		t.Errorf("%s: redirect %v", c.name, call.Redirect)
	}
}

func file(t *testing.T, a *txtar.Archive, name string) []byte {
	t.Helper()
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		if name == "want" && *update {
			return nil
		}
		t.Fatalf("the archive has no %s", name)
	}
	return a.Files[i].Data
}

func setFile(a *txtar.Archive, name string, data []byte) {
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	a.Files = append(a.Files, txtar.File{Name: name, Data: data})
}

// capture is CASE.NN-hook.{args,env}; a case may hold dots.
var capture = regexp.MustCompile(`^(.+)\.(\d\d-.+\.(?:args|env))$`)

// buildArchives packs CASE.NN-hook.{args,env} of dir. It keeps want parts.
func buildArchives(t *testing.T, dir string) {
	t.Helper()
	sequences, err := os.ReadFile(filepath.Join(dir, "..", "sequences.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.*-*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures in %s (%v)", dir, err)
	}
	archives := map[string]*txtar.Archive{}
	for _, path := range paths {
		m := capture.FindStringSubmatch(filepath.Base(path))
		if m == nil {
			continue
		}
		name, part := m[1], m[2]
		if archives[name] == nil {
			archives[name] = &txtar.Archive{}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		setFile(archives[name], part, data)
	}
	for name, a := range archives {
		path := filepath.Join("testdata", filepath.Base(dir), name+".txtar")
		var sequence bytes.Buffer
		for l := range strings.Lines(string(sequences)) {
			if strings.HasPrefix(l, filepath.Base(dir)+"\t"+name+"\t") {
				sequence.WriteString(l)
			}
		}
		setFile(a, "sequence", sequence.Bytes())
		if old, err := txtar.ParseFile(path); err == nil {
			setFile(a, "want", file(t, old, "want"))
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
