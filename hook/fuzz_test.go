package hook_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vpnguard/vpnguard/hook"
)

// FuzzParse holds for any input: no panic; a Call that checkCall accepts; an
// event that must not fail does not; and never a stop without a local signal.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/openvpn/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; i+1 < len(a.Files) && i < 8; i += 2 {
			f.Add(i%4 == 0, string(a.Files[i+1].Data), string(a.Files[i].Data), "openvpn")
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
		if c.Event == hook.EventStop {
			for _, s := range []string{"sigterm", "sigint"} {
				if strings.Contains("\n"+environ+"\n", "\nsignal="+s+"\n") {
					return
				}
			}
			t.Error("a stop without a local signal")
		}
	})
}
