package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// tunnelRun runs `vpnguard tunnel`.
func tunnelRun(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, wrong bytes.Buffer
	code = run(context.Background(), world{args: append([]string{"tunnel"}, args...), stdin: strings.NewReader(stdin), stdout: &out, stderr: &wrong})
	return code, out.String(), wrong.String()
}

func TestTunnelMakesKeysThatBelongTogether(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		code, private, stderr := tunnelRun("", "genkey")
		k, err := key.ParsePrivate(strings.TrimSuffix(private, "\n"))
		if code != 0 || err != nil || stderr != "" || seen[private] {
			t.Fatalf("genkey: exit %d, %v, %q", code, err, stderr)
		}
		seen[private] = true
		want, err := k.Public()
		if err != nil {
			t.Fatal(err)
		}
		for _, stdin := range []string{private, strings.TrimSpace(private), " " + private + "\n"} {
			if code, public, stderr := tunnelRun(stdin, "pubkey"); code != 0 || public != want.String()+"\n" || stderr != "" {
				t.Errorf("pubkey: exit %d, %q, %q", code, public, stderr)
			}
		}
	}
	code, shared, _ := tunnelRun("", "genpsk")
	if _, err := key.ParsePreshared(strings.TrimSuffix(shared, "\n")); code != 0 || err != nil {
		t.Errorf("genpsk: exit %d, %v", code, err)
	}
}

func TestTunnelPubkeyRefusesWhatIsNoKeyAndDoesNotRepeatIt(t *testing.T) {
	for _, stdin := range []string{"", "\n", "nearly-a-key-nearly-a-key-nearly-a-key-near=", strings.Repeat("A", 43) + "=", strings.Repeat("x", 4000)} {
		code, stdout, stderr := tunnelRun(stdin, "pubkey")
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "vpnguard: read a private key on standard input: a key is 32 bytes") {
			t.Errorf("%.20q: exit %d, %q, %q", stdin, code, stdout, stderr)
		}
		if word := strings.TrimSpace(stdin); word != "" && strings.Contains(stderr, word) {
			t.Errorf("%q is repeated", word)
		}
	}
}
