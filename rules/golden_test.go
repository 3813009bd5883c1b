package rules_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestTextIsTheGoldenOfEachPolicy(t *testing.T) {
	const dir = "testdata"
	want := map[string]bool{}
	for name, p := range policies() {
		file := name + ".nft"
		want[file] = true
		t.Run(name, func(t *testing.T) {
			got := build(t, p).Text()
			path := filepath.Join(dir, file)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("golden (-), text (+):\n%s", diff)
			}
		})
	}
	// The other way round: a golden that no policy makes tests nothing.
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !want[f.Name()] {
			t.Errorf("%q in %s belongs to no policy", f.Name(), dir)
		}
	}
}
