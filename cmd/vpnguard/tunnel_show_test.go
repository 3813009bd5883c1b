package main

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

func TestTunnelTextTellsWhatMatters(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	st := tunnel.Status{Name: "wg0", Public: key.Public{1}, ListenPort: 51820, FwMark: 0xca6c, Peers: []engine.PeerStatus{
		{Public: key.Public{2}, Preshared: true, Endpoint: netip.MustParseAddrPort("203.0.113.10:51820"), Keepalive: 25 * time.Second, LastHandshake: now.Add(-83 * time.Second), RxBytes: 5<<20 + 1<<19, TxBytes: 1023,
			Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
		{Public: key.Public{3}},
	}}
	const want = `tunnel wg0
  key        AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
  port       51820
  mark       0xca6c
peer AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
  endpoint   203.0.113.10:51820
  allowed    0.0.0.0/0, ::/0
  handshake  1m23s ago
  received   5.50 MiB
  sent       1023 B
  keepalive  every 25s
  preshared  yes
peer AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
  endpoint   not known yet
  allowed    none
  handshake  none yet
  received   0 B
  sent       0 B
`
	if diff := cmp.Diff(want, tunnelText(st, now)); diff != "" {
		t.Error(diff)
	}
	for n, want := range map[uint64]string{0: "0 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 1 << 40: "1.00 TiB", 1<<64 - 1: "16.00 EiB"} {
		if got := amount(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestTunnelShowAsksEveryDevice(t *testing.T) {
	root := tunnelRoot(t)
	if code, out, wrong := tunnelIn(root, "", "show"); code != 0 || out != "" || wrong != "" {
		t.Errorf("no tunnel: exit %d, %q, %q", code, out, wrong)
	}
	private, public := newPrivate(t)
	d := device(t, root, "wg0", private)
	device(t, root, "wg1", private)
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, peer := newPrivate(t)
	if err := d.SetPeer(0, engine.PeerConfig{Public: peer, Preshared: psk, Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}); err != nil {
		t.Fatal(err)
	}
	// What is no device: a file, a socket that nobody listens on, one that talks nonsense.
	if err := os.WriteFile(root+sockets+"/file.sock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead, err := net.Listen("unix", root+sockets+"/dead.sock")
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	liar, err := net.Listen("unix", root+sockets+"/liar.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	go func() {
		for {
			c, err := liar.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("\x1b[2Jhello\n\n"))
			c.Close()
		}
	}()
	code, out, wrong := tunnelIn(root, "", "show")
	if code != 0 || !strings.Contains(out, "tunnel wg0\n  key        "+public.String()) || !strings.Contains(out, "\n\ntunnel wg1\n") || strings.Contains(out, "dead") {
		t.Errorf("exit %d:\n%s%s", code, out, wrong)
	}
	if !strings.HasPrefix(wrong, `vpnguard: warning: tunnel "liar" cannot be shown: `) || strings.Contains(wrong, "\x1b") {
		t.Errorf("stderr %q", wrong)
	}
	code, text, _ := tunnelIn(root, "", "show", "--json", "wg0")
	var got tunnelsJSON
	if err := json.Unmarshal([]byte(text), &got); code != 0 || err != nil {
		t.Fatalf("exit %d, %v", code, err)
	}
	want := tunnelsJSON{1, []tunnelJSON{{"wg0", public.String(), 51820, 0xca6c, []peerJSON{{PublicKey: peer.String(), Preshared: true, Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{private.Reveal(), psk.Reveal()} {
		if strings.Contains(out+text, secret) {
			t.Error("a secret is shown")
		}
	}
	for _, name := range []string{"dead", "none"} {
		if code, out, wrong := tunnelIn(root, "", "show", name); code != exitFailed || out != "" || !strings.HasPrefix(wrong, `vpnguard: show tunnel "`+name+`": it is not running: `) {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, wrong)
		}
	}
	if code, _, _ := tunnelIn(root, "", "show", "../x"); code != exitUsage {
		t.Errorf("a name with a slash: exit %d", code)
	}
}
