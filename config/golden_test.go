package config_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vpnguard/vpnguard/config"
)

var update = flag.Bool("update", false, "rewrite the .error parts of testdata/errors.txtar")

// errors.txtar holds pairs: NAME.toml and NAME.error, the message for it.
func TestGoldenErrors(t *testing.T) {
	const path = "testdata/errors.txtar"
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got txtar.Archive
	for _, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".toml")
		if !ok {
			continue
		}
		c, err := config.Parse("vpnguard.toml", f.Data)
		if err == nil {
			t.Errorf("%s: no error", f.Name)
		}
		if diff := cmp.Diff(config.Config{}, c); diff != "" {
			t.Errorf("%s: a configuration beside the error:\n%s", f.Name, diff)
		}
		got.Files = append(got.Files, f, txtar.File{Name: name + ".error", Data: fmt.Appendln(nil, err)})
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(&got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(txtar.Format(a)), string(txtar.Format(&got))); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
}
