package hook_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vpnguard/vpnguard/hook"
)

// What the hostile servers pushed goes into no field, whatever the event.
func TestNoShellTextFromHostileServersInAnyField(t *testing.T) {
	paths, err := filepath.Glob("testdata/openvpn/hostile-*.txtar")
	if err != nil || len(paths) != 2 {
		t.Fatalf("found %v, %v", paths, err)
	}
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		hostile := false
		for _, c := range callsOf(t, a) {
			hostile = hostile || strings.Contains(strings.Join(c.env, " "), "`id`")
			// As `up` it fails; the lenient events must not let it through either.
			for _, kind := range []string{"up", "route-up", "ipchange", "down", "tls-verify"} {
				env := append([]string{"script_type=" + kind}, c.env...)
				call, err := hook.Parse(hook.CommandDown, env, c.args, hook.Parent{})
				if text := fmt.Sprintf("%+v", call); strings.ContainsAny(text, "$`;&|<>()'\"\\!?*~#\n") || !ascii(text) {
					t.Errorf("%s %s as %s: %s (%v)", path, c.name, kind, text, err)
				}
			}
		}
		// Control: the text is there to be let through.
		if !hostile {
			t.Errorf("%s holds nothing hostile", path)
		}
	}
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}
