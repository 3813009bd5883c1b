package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The manual names every key of a policy.
func TestTheManualNamesEveryKey(t *testing.T) {
	data, err := os.ReadFile("../../man/vpnguard.8")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(data), ".SH AUDIT POLICY\n")
	if !found {
		t.Fatal("the manual has no section on the policy")
	}
	section, _, _ = strings.Cut(section, "\n.SH ")
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(section, func(r rune) bool { return strings.ContainsRune(" \n,.()[]", r) }) {
		words[w] = true
	}
	keys := 0
	var look func(reflect.Type)
	look = func(f reflect.Type) {
		for i := range f.NumField() {
			key := f.Field(i).Tag.Get("toml")
			keys++
			if !words[key] {
				t.Errorf("the manual does not name %q", key)
			}
			if kind := f.Field(i).Type; kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct {
				look(kind.Elem())
			}
		}
	}
	look(reflect.TypeFor[file]())
	if keys < 20 {
		t.Errorf("only %d keys were looked for", keys)
	}
}
