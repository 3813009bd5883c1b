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

// The other clients' hostile captures: what their servers, their peers and the
// local network chose. None of it is in any field, whatever the event.
func TestNoShellTextFromOtherHostileCapturesInAnyField(t *testing.T) {
	for _, h := range []struct{ client, path, holds string }{
		{"openconnect", "openconnect/hostile-server", "$(touch"},
		{"pppd", "pppd/pty-replacedefault", "$(id)"},
		{"networkmanager", "networkmanager/ethernet-dhcp-hostile", ";id"},
		{"strongswan", "strongswan/ikev2-dns-handler", "`id`"},
	} {
		a, err := txtar.ParseFile("testdata/" + h.path + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		hostile, refused := false, 0
		for _, c := range callsOf(t, a) {
			hostile = hostile || strings.Contains(strings.Join(append(c.env, c.args...), " "), h.holds)
			for _, command := range []hook.Command{hook.CommandUp, hook.CommandDown} {
				call, err := hook.Parse(command, c.env, c.args, hook.Parent{})
				if text := fmt.Sprintf("%+v", call); strings.ContainsAny(text, "$`;&|<>()'\"\\!?*~#\n") || !ascii(text) {
					t.Errorf("%s %s: %s (%v)", h.path, c.name, text, err)
				}
				if call.Client != h.client {
					t.Errorf("%s %s: client %q", h.path, c.name, call.Client)
				}
				if err != nil {
					refused++
				}
			}
		}
		if !hostile {
			t.Errorf("%s holds nothing hostile", h.path)
		}
		if (refused > 0) != (h.client == "openconnect") {
			t.Errorf("%s: %d calls are refused", h.path, refused)
		}
	}
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}
