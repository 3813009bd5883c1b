package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// The manual names every command and every flag, and no flag that is not there.
func TestManualNamesEveryCommandAndFlag(t *testing.T) {
	data, err := os.ReadFile("../../man/vpnguard.8")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(data), `\-`, "-")
	parser, err := kong.New(&commands{}, kong.Name("vpnguard"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"--config": true}
	commandsSeen := 0
	for _, node := range parser.Model.Children {
		if node.Hidden {
			continue
		}
		commandsSeen++
		if !strings.Contains(page, "vpnguard "+node.Name+"\n") {
			t.Errorf("the manual has no synopsis of %q", node.Name)
		}
		_ = kong.Visit(node, func(v kong.Visitable, next kong.Next) error {
			n, ok := v.(*kong.Node)
			if !ok || n.Hidden {
				return nil
			}
			if !strings.Contains(page, n.Name) {
				t.Errorf("the manual does not name %q", n.FullPath())
			}
			for _, f := range n.Flags {
				if f.Name == "help" || f.Hidden {
					continue
				}
				known["--"+f.Name] = true
				if !strings.Contains(page, "--"+f.Name) {
					t.Errorf("the manual does not name --%s of %q", f.Name, n.FullPath())
				}
			}
			return next(nil)
		})
	}
	if commandsSeen < 10 {
		t.Errorf("only %d commands were looked at", commandsSeen)
	}
	for _, word := range strings.FieldsFunc(page, func(r rune) bool { return !(r == '-' || 'a' <= r && r <= 'z') }) {
		if strings.HasPrefix(word, "--") && len(word) > 2 && !known[word] {
			t.Errorf("the manual names %s, which is no flag", word)
		}
	}
}
