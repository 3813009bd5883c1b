package tests

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// input is one wrong call.
type input struct {
	name string
	args []string
	env  []string
	says string // a part of the message
}

// files reads the state directory.
func (s *faultScene) files() map[string]string {
	s.Helper()
	dir := s.lab.Client.Path("/run/vpnguard")
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if e.Name() == "lock" {
			continue // its content is the last holder
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			s.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

// refuses demands of each call exit 2, a message that names the fault in one
// line and perhaps a hint, nothing on stdout, and that neither host nor record
// changed.
func (s *faultScene) refuses(state string, inputs []input) {
	s.Helper()
	s.unchanged(state, func(refuse func(input)) {
		for _, in := range inputs {
			refuse(in)
		}
	})
}

// unchanged lets f refuse calls one by one.
func (s *faultScene) unchanged(state string, f func(refuse func(input))) {
	s.Helper()
	host, record := s.snapshot(), s.files()
	f(func(in input) {
		s.Helper()
		s.refuse(state, in)
		if now := s.rules(); now != host[rulesKey] {
			s.Fatalf("%s, %s: %q changed the rules:\n%s", state, in.name, in.args, now)
		}
		if now := s.files(); !maps.Equal(record, now) {
			s.Fatalf("%s, %s: %q changed the record:\n%q\n%q", state, in.name, in.args, record, now)
		}
	})
	if diff := host.Diff(s.snapshot()); diff != "" {
		s.Errorf("%s: a wrong call changed the host:\n%s", state, diff)
	}
}

func (s *faultScene) refuse(state string, in input) {
	s.Helper()
	stdout, stderr, code := s.run(in.env, in.args...)
	if code != 2 || stdout != "" {
		s.Errorf("%s, %s: %q exits %d, want 2 and nothing on stdout: %q\n%s", state, in.name, in.args, code, stdout, stderr)
	}
	if !strings.HasPrefix(stderr, "vpnguard: ") || !strings.Contains(stderr, in.says) {
		s.Errorf("%s, %s: %q does not say %q: %s", state, in.name, in.args, in.says, stderr)
	}
	for line := range strings.Lines(stderr) {
		control := strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f })
		if !strings.HasPrefix(line, "vpnguard: ") || len(line) > 600 || control {
			s.Errorf("%s, %s: not a clean line of ours: %q", state, in.name, line)
		}
	}
}

// rulesKey is where a snapshot has what rules returns.
const rulesKey = "nft -s list ruleset"

func (s *faultScene) rules() string {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "nft", "-s", "list", "ruleset")
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// refusesAlways is refuses on the open host and on the sealed one.
func (s *faultScene) refusesAlways(inputs []input) {
	s.Helper()
	s.refuses("open", inputs)
	s.must(0, upByHand...)
	s.refuses("sealed", inputs)
	s.says("after all of it", "sealed", 0)
	s.must(0, "down")
	s.original("after down")
}

// up is upByHand with some flags replaced: the values given for a flag stand
// in for its own. "-" takes a flag away.
func up(replace ...string) []string {
	flags := map[string]string{"--dev": "tun0", "--endpoint": "203.0.113.10:1194/udp", "--owner": "root"}
	args := []string{"up"}
	for i := 0; i < len(replace); i += 2 {
		delete(flags, replace[i])
	}
	for _, flag := range []string{"--dev", "--endpoint", "--owner"} {
		if value, ok := flags[flag]; ok {
			args = append(args, flag+"="+value)
		}
	}
	for i := 0; i < len(replace); i += 2 {
		if replace[i+1] != "-" {
			args = append(args, replace[i]+"="+replace[i+1])
		}
	}
	return args
}

func TestTableOfInputsBeginsWithAGoodCall(t *testing.T) {
	s := newHandScene(t, "")
	s.must(0, up()...)
	s.says("up", "sealed", 0)
	s.must(0, "down")
	s.original("after down")
}
