package uapi

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// wg runs Debian's `wg`.
func wg(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("wg", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustWG(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := wg(t, stdin, args...)
	if err != nil {
		t.Fatalf("wg %q: %v: %s", args, err, out)
	}
	return out
}

// The real `wg` shows and configures a device, and two devices that it
// configured shake hands.
func TestWgWorksOnADevice(t *testing.T) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	aKey, aPublic := newKey(t)
	bKey, bPublic := newKey(t)
	a := start(t, "own0", aKey, netip.MustParsePrefix("10.8.0.1/24"))
	b := start(t, "own1", bKey)

	if got := strings.Fields(mustWG(t, "", "show", "interfaces")); len(got) != 2 {
		t.Fatalf("wg show interfaces: %q", got)
	}
	psk := strings.TrimSpace(mustWG(t, "", "genpsk"))
	mustWG(t, psk+"\n", "set", "own1", "listen-port", "51871", "peer", aPublic.String(), "preshared-key", "/dev/stdin", "allowed-ips", "10.8.0.1/32")
	mustWG(t, psk+"\n", "set", "own0", "listen-port", "51870", "fwmark", "0xca6c", "peer", bPublic.String(), "preshared-key", "/dev/stdin",
		"endpoint", "127.0.0.1:51871", "persistent-keepalive", "1", "allowed-ips", "10.8.0.2/32,fd00::/64")
	p := a.wait(bPublic)
	if b.wait(aPublic); !p.Preshared || p.Keepalive != time.Second {
		t.Errorf("peer %+v", p)
	}
	show := mustWG(t, "", "show", "own0")
	for _, want := range []string{
		"public key: " + aPublic.String(), "listening port: 51870", "fwmark: 0xca6c", "peer: " + bPublic.String(), "preshared key: (hidden)",
		"endpoint: 127.0.0.1:51871", "allowed ips: 10.8.0.2/32, fd00::/64", "latest handshake: ", "transfer: ", "persistent keepalive: every 1 second",
	} {
		if !strings.Contains(show, want) {
			t.Errorf("wg show has no %q:\n%s", want, show)
		}
	}
	conf := mustWG(t, "", "showconf", "own0")
	for _, want := range []string{"PrivateKey = " + aKey.Reveal(), "PresharedKey = " + psk, "ListenPort = 51870", "FwMark = 0xca6c", "AllowedIPs = 10.8.0.2/32, fd00::/64", "Endpoint = 127.0.0.1:51871", "PersistentKeepalive = 1"} {
		if !strings.Contains(conf, want) {
			t.Errorf("wg showconf has no %.14q", want)
		}
	}

	t.Run("syncconf changes what differs and keeps sessions", func(t *testing.T) {
		before := a.wait(bPublic)
		other := "\n[Peer]\nPublicKey = " + strings.TrimSpace(mustWG(t, mustWG(t, "", "genkey"), "pubkey")) + "\nAllowedIPs = 10.9.0.0/16\n"
		mustWG(t, conf+other, "syncconf", "own0", "/dev/stdin")
		st, err := a.Status()
		if err != nil || len(st.Peers) != 2 || st.ListenPort != 51870 {
			t.Fatalf("status %+v, %v", st, err)
		}
		if after := a.wait(bPublic); after.LastHandshake != before.LastHandshake || after.RxBytes < before.RxBytes {
			t.Errorf("the peer was made anew: %+v, then %+v", before, after)
		}
		mustWG(t, "", "set", "own0", "peer", bPublic.String(), "allowed-ips", "10.8.0.2/32")
		mustWG(t, conf, "syncconf", "own0", "/dev/stdin")
		if st, err := a.Status(); err != nil || len(st.Peers) != 1 || len(st.Peers[0].Allowed) != 2 {
			t.Errorf("status %+v, %v", st, err)
		}
	})
	t.Run("setconf replaces all", func(t *testing.T) {
		mustWG(t, "[Interface]\nPrivateKey = "+aKey.Reveal()+"\nListenPort = 51872\n", "setconf", "own0", "/dev/stdin")
		st, err := a.Status()
		if err != nil || len(st.Peers) != 0 || st.ListenPort != 51872 || st.FwMark != 0 {
			t.Errorf("status %+v, %v", st, err)
		}
		mustWG(t, conf, "addconf", "own0", "/dev/stdin")
		if a.wait(bPublic); a.port() != 51870 {
			t.Errorf("port %d", a.port())
		}
	})
	t.Run("what cannot be done changes nothing", func(t *testing.T) {
		before := mustWG(t, "", "showconf", "own0")
		for _, c := range []struct {
			stdin string
			args  []string
			want  string
		}{
			// Everything before the port could be done.
			{"", []string{"set", "own0", "fwmark", "9", "listen-port", "51871", "peer", bPublic.String(), "remove"}, "Address already in use"},
			{"", []string{"set", "own0", "peer", bPublic.String(), "endpoint", "224.0.0.1:1"}, "Invalid argument"},
			{"", []string{"set", "own0", "fwmark", "9", "private-key", "/dev/null"}, "Invalid argument"},
			{"[Interface]\n", []string{"setconf", "own0", "/dev/stdin"}, "Invalid argument"}, // no private key
		} {
			if out, err := wg(t, c.stdin, c.args...); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("wg %q: %v, %q", c.args, err, out)
			}
			if after := mustWG(t, "", "showconf", "own0"); after != before {
				t.Errorf("wg %q failed and changed something", c.args)
			}
		}
	})
	t.Run("a new private key needs a new handshake", func(t *testing.T) {
		newPrivate, newPublic := newKey(t)
		mustWG(t, psk+"\n", "set", "own1", "peer", newPublic.String(), "preshared-key", "/dev/stdin", "allowed-ips", "10.8.0.1/32")
		file := t.TempDir() + "/key"
		if err := os.WriteFile(file, []byte(newPrivate.Reveal()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		mustWG(t, "", "set", "own0", "private-key", file)
		b.wait(newPublic)
		if out := mustWG(t, "", "show", "own0", "public-key"); strings.TrimSpace(out) != newPublic.String() {
			t.Errorf("public key %q", out)
		}
	})
	if out, err := wg(t, "", "show", "own9"); err == nil {
		t.Errorf("wg shows a device that is not there: %s", out)
	}
}
