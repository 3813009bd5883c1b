package tests

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// The control of the table below: the same call without the fault seals.
func TestHookCallOfATableSealsAndOpens(t *testing.T) {
	s := newHandScene(t, "")
	if _, stderr, code := s.run(hookEnv("up"), hookArgs...); code != 0 {
		t.Fatalf("up exits %d: %s", code, stderr)
	}
	s.says("hook called", "sealed", 0)
	if _, stderr, code := s.run(hookEnv("down"), append([]string{"down"}, hookArgs[1:]...)...); code != 0 {
		t.Fatalf("down exits %d: %s", code, stderr)
	}
	s.original("after the hooks")
}

func TestUpRefusesHostileHookEnvironments(t *testing.T) {
	var inputs []input
	for _, c := range []struct{ key, value, says string }{
		{"remote_port_1", "abc", "remote_port_1"}, {"remote_port_1", "0", "remote_port_1"}, {"remote_port_1", "65536", "remote_port_1"},
		{"remote_port_1", "-1", "remote_port_1"}, {"remote_port_1", "0x10", "remote_port_1"}, {"remote_port_1", "1194;id", "remote_port_1"},
		{"remote_port_1", "1194\n", "remote_port_1"}, {"remote_port_1", " 1194", "remote_port_1"}, {"remote_port_1", "", "remote_port_1"},
		{"remote_port_1", strings.Repeat("1", 5000), "remote_port_1"}, {"trusted_port", "http", "trusted_port"}, {"trusted_port", "99999", "trusted_port"},
		{"remote_1", "$(id)", "remote_1"}, {"remote_1", "a b", "remote_1"}, {"remote_1", "-x", "remote_1"}, {"remote_1", strings.Repeat("a", 300), "remote_1"},
		{"trusted_ip", "203.0.113.10;id", "trusted_ip"}, {"trusted_ip", "127.0.0.1", "trusted_ip"}, {"trusted_ip", "224.0.0.1", "trusted_ip"},
		{"proto_1", "sctp", "proto_1"}, {"proto_1", "`id`", "proto_1"},
		{"dev", "../../etc", "dev"}, {"dev", "tun0\nx", "dev"}, {"dev", "tun*", "dev"}, {"dev", "lo", "loopback"}, {"dev", "eth0", "it is the wire"}, {"dev", "nosuch0", `unknown device "nosuch0"`},
		{"ifconfig_local", "10.8.0.2;id", "ifconfig_local"}, {"ifconfig_netmask", "255.0.255.0", "ifconfig_netmask"},
	} {
		args := slices.Clone(hookArgs)
		if c.key == "dev" {
			args[1] = c.value
		}
		inputs = append(inputs, input{name: c.key + "=" + fmt.Sprintf("%.20q", c.value), args: args, env: hookEnv("up", c.key, c.value), says: c.says})
	}
	inputs = append(inputs, input{name: "a flag misspelt in the client's configuration", args: append([]string{"up", "--cgrup", "/x"}, hookArgs[1:]...), env: hookEnv("up"), says: `unknown flag "--cgrup"`})
	s := newHandScene(t, "")
	s.refusesAlways(inputs)
}

// Everything that two hostile servers made OpenVPN pass to its hooks, replayed
// with the real program: their `up` is refused, no other event changes
// anything, and none of their text gets anywhere.
func TestReplayOfHostileServersChangesNothing(t *testing.T) {
	paths, err := filepath.Glob("../hook/testdata/openvpn/hostile-*.txtar")
	if err != nil || len(paths) != 2 {
		t.Fatalf("found %v, %v", paths, err)
	}
	s := newHandScene(t, "")
	if err := s.lab.Client.Script(s.ctx, "ip addr add 192.0.2.226/28 dev tun0"); err != nil {
		t.Fatal(err)
	}
	s.before = s.snapshot()
	for _, sealed := range []bool{false, true} {
		state := "open"
		if sealed {
			state = "sealed"
			s.must(0, upByHand...)
		}
		host, record, ups := s.snapshot(), s.files(), 0
		for _, path := range paths {
			for _, c := range hookCalls(t, path) {
				name := state + ", " + filepath.Base(path) + " " + c.name
				command := "up"
				if c.kind == "down" || c.kind == "route-pre-down" {
					continue // the user's own stop, which opens: see the hook package
				}
				stdout, stderr, code := s.run(c.env, append([]string{command}, c.args...)...)
				want := 0
				if c.kind == "up" || c.kind == "route-up" {
					want, ups = 2, ups+1
				}
				if code != want || stdout != "" {
					t.Errorf("%s: exit %d, want %d: %s%s", name, code, want, stdout, stderr)
				}
				if strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), func(r rune) bool { return r < ' ' }) {
					t.Errorf("%s: control characters get to the log: %q", name, stderr)
				}
				if now := s.files(); !maps.Equal(now, record) {
					t.Errorf("%s: the record changed: %q", name, now)
				}
			}
		}
		if diff := host.Diff(s.snapshot()); diff != "" {
			t.Errorf("%s: the host changed:\n%s", state, diff)
		}
		if ups == 0 {
			t.Errorf("%s: no hostile up was replayed", state)
		}
	}
}

type hookCall struct {
	name, kind string
	args, env  []string
}

// hookCalls reads the captured calls of an archive; see package hook's tests
// for its form.
func hookCalls(t *testing.T, path string) []hookCall {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	var calls []hookCall
	for _, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".env")
		if !ok {
			continue
		}
		c := hookCall{name: name}
		for line := range strings.Lines(files[name+".args"]) {
			c.args = append(c.args, strings.TrimSuffix(line, "\n"))
		}
		for line := range strings.Lines(files[f.Name]) {
			value := strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(strings.TrimSuffix(line, "\n"))
			c.env = append(c.env, value)
			if kind, ok := strings.CutPrefix(value, "script_type="); ok {
				c.kind = kind
			}
		}
		calls = append(calls, c)
	}
	if len(calls) == 0 {
		t.Fatalf("%s holds no calls", path)
	}
	return calls
}
