package hook_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vpnguard/vpnguard/hook"
)

// FuzzParse holds for any input of any client: no panic; a Call that checkCall
// accepts; an event that must not fail does not; and never a stop without what
// says so in that client's contract. The seeds are all clients' captures.
func FuzzParse(f *testing.F) {
	comms := map[string]string{}
	for _, c := range captures {
		comms[c.client] = c.comm
	}
	paths, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		comm := comms[filepath.Base(filepath.Dir(path))]
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; i+1 < len(a.Files) && i < 8; i += 2 {
			f.Add(i%4 == 0, string(a.Files[i+1].Data), string(a.Files[i].Data), comm)
		}
	}
	f.Fuzz(func(t *testing.T, down bool, environ, args, comm string) {
		command := hook.CommandUp
		if down {
			command = hook.CommandDown
		}
		env := strings.Split(environ, "\n")
		c, err := hook.Parse(command, env, strings.Split(args, "\n"), hook.Parent{Comm: comm})
		if bad := (*hook.ValueError)(nil); errors.As(err, &bad) {
			if c.Event == hook.EventStop || c.Event == hook.EventRestart || c.Event == hook.EventIgnore {
				t.Errorf("%v fails: %v", c.Event, err)
			}
			if len(err.Error()) > 1000 && len(bad.Name) < 100 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		} else if err != nil {
			if !errors.Is(err, hook.ErrNotHook) {
				t.Errorf("unexpected error %v", err)
			}
			return
		}
		checkCall(t, c)
		if c.Event == hook.EventStop && !stopSaid(c.Client, command, environ, comm) {
			t.Errorf("a stop of %s that nothing says", c.Client)
		}
	})
}

// stopSaid looks for the words of a stop as a reader of the contracts would.
func stopSaid(client string, command hook.Command, environ, comm string) bool {
	says := func(lines ...string) bool {
		for _, l := range lines {
			if strings.Contains("\n"+environ+"\n", "\n"+l+"\n") {
				return true
			}
		}
		return false
	}
	switch client {
	case "openvpn":
		return says("signal=sigterm", "signal=sigint")
	case "networkmanager":
		return says("NM_DISPATCHER_ACTION=vpn-pre-down", "NM_DISPATCHER_ACTION=pre-down")
	case "ifupdown":
		return says("PHASE=post-down")
	case "wg-quick":
		return command == hook.CommandDown && strings.HasSuffix(comm, "wg-quick")
	case "tinc":
		return command == hook.CommandDown
	}
	return false // the others never say it
}
