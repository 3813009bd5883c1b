package wiring_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/hook/wiring"
)

func TestEveryClientHasItsWiring(t *testing.T) {
	known := hook.Clients()
	slices.Sort(known)
	if !slices.Equal(known, wiring.Clients()) {
		t.Errorf("wired are %q, recognised are %q", wiring.Clients(), known)
	}
	for _, client := range wiring.Clients() {
		w, err := wiring.For(client, "/usr/sbin/vpnguard")
		if err != nil || w.Client != client || len(w.Pieces) == 0 || len(w.Notes) == 0 {
			t.Errorf("%s: %+v, %v", client, w, err)
		}
		if wiring.Missing(client) == "" {
			t.Errorf("%s: nothing is said about what is missing", client)
		}
		calls := false
		for _, p := range w.Pieces {
			called := strings.Contains(p.Text, "/usr/sbin/vpnguard ") || strings.Contains(p.Text, `"/usr/sbin/vpnguard`)
			calls = calls || called
			if !strings.HasSuffix(p.Text, "\n") {
				t.Errorf("%s: %q", client, p.Text)
			}
			if (p.Path == "") == (p.Into == "") || p.Path != "" && p.Mode == 0 {
				t.Errorf("%s: piece %+v belongs nowhere, or twice", client, p)
			}
			if !strings.Contains(w.Show(), p.Text) {
				t.Errorf("%s: %q is not shown", client, p.Text)
			}
			if p.Path != "" && !called {
				t.Errorf("%s: %s calls nobody", client, p.Path)
			}
		}
		if !calls {
			t.Errorf("%s: nothing calls vpnguard", client)
		}
	}
}

func TestProgramsThatNeedQuotingAreRefused(t *testing.T) {
	for _, exe := range []string{"", "vpnguard", "./vpnguard", "/a b/vpnguard", "/a'b", "/a\"b", "/a$b", "/a`b", "/a\\b", "/a\nb", "/a%i", "/ä", "/x (deleted)"} {
		if _, err := wiring.For("openvpn", exe); err == nil {
			t.Errorf("%q passes", exe)
		}
	}
}

func TestSignatureHoldsForEveryByte(t *testing.T) {
	for _, text := range []string{"", "x\n", "#!/bin/sh\nexec x\n", "#!/bin/sh"} {
		signed := wiring.Sign(text)
		if text == "#!/bin/sh" {
			continue // no whole line
		}
		if !wiring.Signed(signed) {
			t.Errorf("%q is not signed", signed)
		}
		for i := range len(signed) {
			changed := signed[:i] + string(signed[i]^1) + signed[i+1:]
			if wiring.Signed(changed) {
				t.Errorf("%q passes for signed", changed)
			}
		}
		if wiring.Signed(text) || wiring.Signed(signed+"x") {
			t.Errorf("%q passes for signed", text)
		}
	}
}

// FuzzBlock holds for any file: what goes in comes out, byte for byte.
func FuzzBlock(f *testing.F) {
	for _, file := range []string{"", "a", "a\n", "[Interface]", "[Interface]\nb\n", "# vpnguard hooks end\n", "# vpnguard hooks begin, x\n"} {
		f.Add(file, true)
		f.Add(file, false)
	}
	f.Fuzz(func(t *testing.T, file string, section bool) {
		rest, found, err := wiring.Extract(file)
		if err != nil && !errors.Is(err, wiring.ErrNotOurs) {
			t.Errorf("unexpected error %v", err)
		}
		if err != nil || found {
			return
		}
		if rest != file {
			t.Fatalf("no block, but %q became %q", file, rest)
		}
		after := ""
		if section {
			after = "[Interface]"
		}
		with, err := wiring.Insert(file, after, "up x\n")
		if err != nil {
			if !section {
				t.Errorf("no place at the end of %q: %v", file, err)
			}
			return
		}
		back, found, err := wiring.Extract(with)
		if err != nil || !found || back != file {
			t.Errorf("%q became %q (%v, %v) by way of %q", file, back, found, err, with)
		}
	})
}

func TestChainKeepsTheOrderAndTheOutcome(t *testing.T) {
	up, down := wiring.Chain("/v", "up", []string{"/bin/x", "a b", "it's"}), wiring.Chain("/v", "down", []string{"/bin/x"})
	if up != "#!/bin/sh\n/v up \"$@\" || exit 1\nexec '/bin/x' 'a b' 'it'\\''s' \"$@\"\n" {
		t.Error(up)
	}
	if down != "#!/bin/sh\n'/bin/x' \"$@\"\n/v down \"$@\" || :\n" {
		t.Error(down)
	}
}
