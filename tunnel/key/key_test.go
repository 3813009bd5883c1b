package key_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// RFC 7748, section 6.1: Alice's keys.
const (
	aliceSecret = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
	alicePublic = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
)

func text(t *testing.T, hexed string) string {
	t.Helper()
	b, err := hex.DecodeString(hexed)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestPublicKeyIsThatOfRFC7748(t *testing.T) {
	k, err := key.ParsePrivate(text(t, aliceSecret))
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.Public()
	if err != nil || p.String() != text(t, alicePublic) {
		t.Errorf("public key %s, %v, want %s", p, err, text(t, alicePublic))
	}
}

func TestKeysHaveOneText(t *testing.T) {
	good := text(t, alicePublic)
	if p, err := key.ParsePublic(good); err != nil || p.String() != good {
		t.Errorf("%s, %v", p, err)
	}
	loose := good[:42] + string(good[42]+1) + "=" // the same 32 bytes with a bit set that decodes to nothing
	for _, bad := range []string{"", good[:43], good + "=", " " + good[1:], good[:20] + "\n" + good[21:], strings.Repeat("A", 44), strings.Repeat("=", 44), loose, good[:43] + "A"} {
		if _, err := key.ParsePublic(bad); !errors.Is(err, key.ErrFormat) {
			t.Errorf("public %q: %v", bad, err)
		}
		if _, err := key.ParsePrivate(bad); !errors.Is(err, key.ErrFormat) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("private %q: %v", bad, err)
		}
		if _, err := key.ParsePreshared(bad); !errors.Is(err, key.ErrFormat) {
			t.Errorf("preshared %q: %v", bad, err)
		}
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	held := struct {
		Key    key.Private
		Shared key.Preshared
	}{private, shared}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%T%v"} {
		fmt.Fprintf(&out, verb+"\n", private)
		fmt.Fprintf(&out, verb+"\n", shared)
		fmt.Fprintf(&out, verb+"\n", held)
		fmt.Fprintf(&out, verb+"\n", &held)
	}
	encoded, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", private, "shared", shared, "held", held)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", private, "held", held)
	if !strings.Contains(out.String(), "(secret)") {
		t.Error("nothing was printed at all")
	}
	for _, k := range [][key.Size]byte{private.Bytes(), shared.Bytes()} {
		for _, form := range []string{base64.StdEncoding.EncodeToString(k[:]), hex.EncodeToString(k[:4]), fmt.Sprintf("%d %d %d", k[0], k[1], k[2]), string(k[:8])} {
			if strings.Contains(strings.ToLower(out.String()), strings.ToLower(form)) {
				t.Errorf("a key was printed as %q", form)
			}
		}
	}
	if again, err := key.ParsePrivate(private.Reveal()); err != nil || !again.Equal(private) {
		t.Errorf("what Reveal wrote is not read: %v", err)
	}
}

func TestNewPrivateIsClampedAndTakesAllItNeeds(t *testing.T) {
	k, err := key.NewPrivate(bytes.NewReader(bytes.Repeat([]byte{0xff}, 32)))
	if b := k.Bytes(); err != nil || b[0] != 0xf8 || b[31] != 0x7f {
		t.Errorf("%x, %v", b, err)
	}
	if _, err := key.NewPrivate(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 random bytes made a key")
	}
	if _, err := key.NewPreshared(bytes.NewReader(nil)); err == nil {
		t.Error("no random bytes made a key")
	}
}

func FuzzParsePublic(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := key.ParsePublic(s); err == nil && k.String() != s {
			t.Errorf("%q is read as %s", s, k)
		}
	})
}
