package tests

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/state"
)

const recordPath = "/run/vpnguard/state.json"

// damages are records that must not be believed, made from a good one.
var damages = []struct {
	name string
	make func(good string) string
	says string
}{
	{"empty", func(string) string { return "" }, "corrupt: truncated"},
	{"truncated", func(good string) string { return good[:len(good)/2] }, "corrupt: truncated"},
	{"without its end", func(good string) string { return good[:len(good)-1] }, "corrupt: truncated"},
	{"flipped byte in the body", func(good string) string { return strings.Replace(good, `"dev":"tun0"`, `"dev":"tun1"`, 1) }, "corrupt: checksum does not match"},
	{"flipped byte in the boot id", func(good string) string {
		i := strings.Index(good, `"boot_id":"`) + len(`"boot_id":"`)
		return good[:i] + string(good[i]^1) + good[i+1:]
	}, "corrupt: checksum does not match"},
	{"not JSON", func(string) string { return "sealed\n" }, "corrupt: not JSON"},
	{"binary", func(string) string { return "\x00\x01\x02\xff\n" }, "corrupt: not JSON"},
	{"another program's", func(string) string { return `{"format":"other","version":1}` + "\n" }, "corrupt: wrong format"},
	{"newer version", func(good string) string { return strings.Replace(good, `"version":1`, `"version":2`, 1) }, "has version 2, this program knows up to 1"},
	{"unknown field in the header", func(good string) string { return strings.Replace(good, `{"format"`, `{"extra":1,"format"`, 1) }, "corrupt: "},
	{"something behind it", func(good string) string { return good + good }, "corrupt: trailing data"},
	{"huge", func(good string) string { return good + strings.Repeat(" ", state.MaxSize) }, "corrupt: "},
}

func (s *faultScene) record() string {
	s.Helper()
	text, err := os.ReadFile(s.lab.Client.Path(recordPath))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// A record that cannot be believed stops every change; only `recover` opens,
// keeps the file and says what it could not give back.
func TestRecordThatIsDamagedIsNeverBelieved(t *testing.T) {
	s := newHandScene(t, "")
	s.leaks()
	s.must(0, upByHand...)
	good := s.record()
	s.must(0, "down")
	for _, d := range damages {
		for _, sealed := range []bool{true, false} {
			if sealed {
				s.must(0, upByHand...)
				s.damaged(d.name, d.make(s.record()), d.says)
			} else {
				s.damaged(d.name+", nothing sealed", d.make(good), d.says)
			}
		}
	}
}

func TestRecordWithAnUnknownFieldIsNeverBelieved(t *testing.T) {
	s := newHandScene(t, "")
	s.leaks()
	s.must(0, upByHand...)
	store := state.New(s.lab.Client.Path("/run/vpnguard"))
	if err := store.Lock(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Its checksum is right: a newer program of the same format wrote it.
	if err := store.Save(map[string]any{"phase": "steady", "surprise": 1}); err != nil {
		t.Fatal(err)
	}
	if err := store.Unlock(); err != nil {
		t.Fatal(err)
	}
	s.damaged("unknown field", s.record(), `unknown field "surprise"`)
}

// damaged puts a record in place and goes through all commands; at the end the
// host is open and, but for the knobs of a lost record, as it was.
func (s *faultScene) damaged(name, content, says string) {
	s.Helper()
	s.write(recordPath, content)
	sealed := strings.Contains(s.rules(), "table inet vpnguard")
	host := s.snapshot()
	s.refuses(name, []input{
		{name: "up", args: upByHand, says: says},
		{name: "dry run", args: append(up(), "--dry-run"), says: says},
		{name: "down", args: []string{"down"}, says: says},
		{name: "down --all", args: []string{"down", "--all"}, says: says},
	})
	stdout, stderr, code := s.vpnguard("status")
	if code != 3 || !strings.HasPrefix(stdout, "state     blocked") || !strings.Contains(stdout, says) {
		s.Errorf("%s: status exits %d:\n%s%s", name, code, stdout, stderr)
	}
	if sealed {
		s.closed(name)
	}
	if diff := host.Diff(s.snapshot()); diff != "" {
		s.Errorf("%s: the host changed:\n%s", name, diff)
	}

	_, stderr, code = s.vpnguard("recover")
	if code != 1 || !strings.Contains(stderr, says) || !strings.Contains(stderr, `it is kept as "/run/vpnguard/state.json.corrupt-1"`) ||
		!strings.Contains(stderr, "the host is open, but sysctls are not restored") {
		s.Errorf("%s: recover exits %d: %s", name, code, stderr)
	}
	if now, want := s.files(), map[string]string{"state.json.corrupt-1": content}; !maps.Equal(now, want) {
		s.Errorf("%s: recover leaves %.200q", name, now)
	}
	now := s.snapshot()
	for key, value := range s.before {
		lost := sealed && strings.HasPrefix(key, "/proc/sys/net/") && now[key] == host[key]
		if now[key] != value && !lost {
			s.Errorf("%s: recover leaves %s as %q, not %q", name, key, now[key], value)
		}
	}
	s.says(name+" and recovered", "open", 0)
	if err := os.Remove(s.lab.Client.Path(recordPath + ".corrupt-1")); err != nil {
		s.Fatal(err)
	}
	s.restoreKnobs(now)
}

// restoreKnobs writes back what a lost record lost.
func (s *faultScene) restoreKnobs(now map[string]string) {
	s.Helper()
	var script strings.Builder
	for key, value := range s.before {
		if strings.HasPrefix(key, "/proc/sys/") && now[key] != value {
			script.WriteString("echo " + strings.TrimSpace(value) + " > " + key + "\n")
		}
	}
	if err := s.lab.Client.Script(s.ctx, script.String()); err != nil {
		s.Fatal(err)
	}
	s.original("knobs put back by hand:")
}

// A record of another boot describes a kernel that is gone.
func TestRecordOfAnotherBootIsNoSession(t *testing.T) {
	s := newHandScene(t, "")
	store := state.New(s.lab.Client.Path("/run/vpnguard"))
	store.BootID = func() (string, error) { return "00000000-0000-0000-0000-000000000000", nil }
	s.must(0, upByHand...)
	s.must(0, "down") // makes the directory
	stale := func() {
		t.Helper()
		if err := store.Lock(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := store.Save(map[string]any{"phase": "steady", "knobs": []any{map[string]any{"knob": "net/ipv4/conf/eth0/rp_filter", "old": 2, "new": 0}}}); err != nil {
			t.Fatal(err)
		}
		if err := store.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
	stale()
	s.says("record of another boot", "blocked", 3)
	s.must(0, "recover")
	s.original("after recover") // the stale old value was not written

	stale()
	s.must(0, upByHand...)
	s.says("up over it", "sealed", 0)
	s.must(0, "down")
	s.original("after down")
}
