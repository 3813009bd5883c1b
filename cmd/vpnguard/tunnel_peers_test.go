package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

func sameFiles(t *testing.T, want, got map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// server puts a server's configuration in place.
func server(t *testing.T, root string) (private key.Private, text string) {
	t.Helper()
	private, _ = newPrivate(t)
	_, public := newPrivate(t)
	text = "# my server\r\n[Interface]\r\nPrivateKey = " + private.Reveal() + " # secret\r\nListenPort = 51820\r\nAddress = 10.8.0.1/24, fd00::1/64\r\nMTU=1400\r\n\r\n# laptop\r\n[Peer]\r\nPublicKey=" + public.String() + "\r\nAllowedIPs = 10.8.0.2, fd00::2 # its own\r\n# the end\r\n"
	if err := os.MkdirAll(root+confDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+confDir+"/wg0.conf", []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return private, text
}

func TestPeersAreAddedToFileAndDeviceAndRemovedAgain(t *testing.T) {
	root := tunnelRoot(t)
	private, text := server(t, root)
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, root)
	code, out, wrong := tunnelIn(root, "", "peers", "add", "wg0", "phone", "--endpoint", "vpn.example.net", "--preshared", "--dns", "10.8.0.1", "--keepalive", "25")
	if code != 0 || !strings.Contains(wrong, "tunnel wg0 does not run: the change counts when it is brought up") {
		t.Fatalf("exit %d, %q", code, wrong)
	}
	theirs, err := wgconf.Parse("peer", []byte(out))
	if err != nil {
		t.Fatal(err)
	}
	p := theirs.Peers[0]
	if got := prefixesOf(theirs.Interface.Addresses); got != "10.8.0.3/32 fd00::3/128" || theirs.Interface.MTU != 1400 || len(theirs.Interface.DNS) != 1 {
		t.Errorf("interface %+v", theirs.Interface)
	}
	if p.PublicKey != public || p.PresharedKey.IsZero() || prefixesOf(p.AllowedIPs) != "0.0.0.0/0 ::/0" || p.Endpoint.String() != "vpn.example.net:51820/udp" || p.Keepalive.Seconds() != 25 {
		t.Errorf("peer %+v", p)
	}
	now, err := os.ReadFile(root + confDir + "/wg0.conf")
	if err != nil || !bytes.HasPrefix(now, []byte(text)) {
		t.Fatalf("the file's bytes were changed, %v:\n%s", err, now)
	}
	if info, err := os.Stat(root + confDir + "/wg0.conf"); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %s", info.Mode())
	}
	ours, err := wgconf.Parse("server", now)
	if err != nil {
		t.Fatal(err)
	}
	theirPublic, err := theirs.Interface.PrivateKey.Public()
	if err != nil {
		t.Fatal(err)
	}
	if added := ours.Peers[1]; added.PublicKey != theirPublic || !added.PresharedKey.Equal(p.PresharedKey) || prefixesOf(added.AllowedIPs) != "10.8.0.3/32 fd00::3/128" {
		t.Errorf("the server has %+v", added)
	}
	// The peer's private key is on standard output alone.
	for name, content := range files(t, root) {
		if strings.Contains(content, theirs.Interface.PrivateKey.Reveal()) {
			t.Errorf("%s holds the peer's private key", name)
		}
	}
	if strings.Contains(wrong, theirs.Interface.PrivateKey.Reveal()) || strings.Contains(wrong, p.PresharedKey.Reveal()) {
		t.Error("a secret is on standard error")
	}

	d := device(t, root, "wg0", private)
	_, own := newPrivate(t)
	code, out, wrong = tunnelIn(root, "", "peers", "add", "wg0", "tablet", "--endpoint", "[2001:db8::1]:7", "--public-key", own.String(), "--route", "10.8.0.9/24", "--address", "10.8.0.77")
	if code != 0 || !strings.Contains(wrong, "changed the running tunnel wg0") || !strings.Contains(wrong, "the peer puts its own PrivateKey in") {
		t.Fatalf("exit %d, %q", code, wrong)
	}
	if strings.Contains(out, "PrivateKey") || !strings.Contains(out, "Endpoint = [2001:db8::1]:7\n") || !strings.Contains(out, "AllowedIPs = 10.8.0.0/24\n") {
		t.Errorf("printed\n%s", out)
	}
	if peers := d.Peers(); len(peers) != 1 || peers[0].Public != own || prefixesOf(peers[0].Allowed) != "10.8.0.77/32" {
		t.Errorf("the device has %+v", peers)
	}

	code, out, _ = tunnelIn(root, "", "peers", "list", "wg0")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 3 || !strings.HasSuffix(lines[0], " 10.8.0.2/32 fd00::2/128 # laptop") || lines[2] != own.String()+" 10.8.0.77/32 # tablet" {
		t.Errorf("exit %d:\n%s", code, out)
	}
	var list peersJSON
	code, out, _ = tunnelIn(root, "", "peers", "list", "--json", "wg0")
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || list.Version != 1 || !list.Running || len(list.Peers) != 3 || list.Peers[1].Label != "phone" || list.Peers[1].Handshake != nil {
		t.Errorf("exit %d, %v: %+v", code, err, list)
	}

	// A device that refuses leaves the file as it was.
	full := files(t, root)
	d.refuse = errors.New("no")
	for _, args := range [][]string{{"add", "wg0", "--endpoint", "x.example"}, {"remove", "wg0", "tablet"}} {
		code, out, wrong := tunnelIn(root, "", append([]string{"peers"}, args...)...)
		if code != exitFailed || out != "" || !strings.Contains(wrong, "every file is as it was") {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, wrong)
		}
	}
	sameFiles(t, full, files(t, root))
	d.refuse = os.ErrPermission
	if code, _, wrong := tunnelIn(root, "", "peers", "remove", "wg0", "tablet"); code != exitUsage || !strings.Contains(wrong, "the tunnel does not take this change while it runs, its log says why: end it") {
		t.Errorf("a device that takes no changes: exit %d, %q", code, wrong)
	}
	sameFiles(t, full, files(t, root))
	d.refuse = nil
	// Nobody can read what is printed: there is no such peer.
	closed := world{args: []string{"tunnel", "peers", "add", "wg0", "lost", "--endpoint", "x.example"}, stdout: brokenPipe{}, stderr: &bytes.Buffer{}, root: root}
	if code := run(context.Background(), closed); code != exitFailed || len(d.Peers()) != 1 {
		t.Errorf("exit %d, peers %+v", code, d.Peers())
	}
	sameFiles(t, full, files(t, root))

	for _, who := range []string{"phone", own.String()} {
		if code, out, wrong := tunnelIn(root, "", "peers", "remove", "wg0", who); code != 0 || out != "" {
			t.Errorf("remove %s: exit %d, %q, %q", who, code, out, wrong)
		}
	}
	if len(d.Peers()) != 0 {
		t.Errorf("the device still has %+v", d.Peers())
	}
	if err := os.RemoveAll(root + "/run"); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, before, files(t, root)) // byte for byte
}

// brokenPipe takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func prefixesOf(list []netip.Prefix) string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}

func TestPeersRefuseWhatCannotBe(t *testing.T) {
	root := tunnelRoot(t)
	server(t, root)
	put(t, root, confDir+"/small.conf", "[Interface]\nPrivateKey = "+func() string { k, _ := newPrivate(t); return k.Reveal() }()+"\nAddress = 10.9.0.1/31, 10.9.0.0\n", 0o600)
	put(t, root, confDir+"/broken.conf", "[Interface]\nMTU = 1\n", 0o600)
	before := files(t, root)
	for _, c := range []struct{ args, want string }{
		{"add wg0", "missing flags: --endpoint"},
		{"add none --endpoint x.example", `tunnel "none": /etc/vpnguard/none.conf does not exist`},
		{"add broken --endpoint x.example", `/etc/vpnguard/broken.conf:2:7: MTU "1" is not a number`},
		{"add wg0 --endpoint 127.0.0.1", "--endpoint \"127.0.0.1\": a loopback address is never on the wire"},
		{"add wg0 --endpoint x.example:0", "--endpoint"},
		{"add small --endpoint x.example", "has no port, and the server's file has no ListenPort"},
		{"add small --endpoint x.example:1", "find an address in 10.9.0.0/31: every address is taken"},
		{"add wg0 --endpoint x.example --public-key abc", "--public-key: a key is 32 bytes"},
		{"add wg0 laptop --endpoint x.example", `the label "laptop" is taken`},
		{"add wg0 --endpoint x.example --address 10.8.0.2", "--address 10.8.0.2 is taken"},
		{"add wg0 --endpoint x.example --address 10.8.0.1", "--address 10.8.0.1 is taken"},
		{"add wg0 --endpoint x.example --address 127.0.0.1", `Address "127.0.0.1/32" cannot be an interface's own`},
		{"add wg0 --endpoint x.example --dns 224.0.0.1", "a multicast address names no host"},
		{"remove wg0 nobody", `no peer has the label or public key "nobody"`},
		{"qr " + root + confDir + "/broken.conf", `MTU "1" is not a number`},
	} {
		code, out, wrong := tunnelIn(root, "", append([]string{"peers"}, strings.Fields(c.args)...)...)
		if code != exitUsage || out != "" || !strings.Contains(wrong, c.want) {
			t.Errorf("%s: exit %d, %q, %q, want %q", c.args, code, out, wrong, c.want)
		}
	}
	if code, _, wrong := tunnelIn(root, "", "peers", "add", "wg0", "a\n[Peer]", "--endpoint", "x.example"); code != exitUsage || !strings.Contains(wrong, "one line") {
		t.Errorf("a label of two lines: exit %d, %q", code, wrong)
	}
	sameFiles(t, before, files(t, root))
}

// What a phone reads off the terminal is what was printed.
func TestQRCodesAreReadAsTheConfiguration(t *testing.T) {
	root := tunnelRoot(t)
	server(t, root)
	code, drawn, wrong := tunnelIn(root, "", "peers", "add", "wg0", "phone", "--endpoint", "vpn.example.net", "--preshared", "--qr")
	if code != 0 || strings.Contains(drawn, "PrivateKey") {
		t.Fatalf("exit %d, %q", code, wrong)
	}
	text := readQR(t, drawn)
	c, err := wgconf.Parse("qr", []byte(text))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if c.Peers[0].Endpoint.Host != "vpn.example.net" {
		t.Errorf("read %q", text)
	}
	if code, again, wrong := tunnelIn(root, text, "peers", "qr", "-"); code != 0 || again != drawn {
		t.Errorf("qr -: exit %d, %q", code, wrong)
	}
	if code, _, wrong := tunnelIn(root, text+strings.Repeat("# comment\n", 400), "peers", "qr", "-"); code != exitUsage || !strings.Contains(wrong, "too long") {
		t.Errorf("a long one: exit %d, %q", code, wrong)
	}
}

// readQR looks at what a terminal shows.
func readQR(t *testing.T, drawn string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(strings.NewReplacer(qrColours, "", qrPlain, "").Replace(drawn)), "\n")
	const scale = 4
	width := len([]rune(lines[1]))
	img := image.NewGray(image.Rect(0, 0, width*scale, 2*len(lines)*scale))
	for y, line := range lines {
		for x, r := range []rune(line) {
			for half, light := range []bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				for i := range scale * scale {
					if light {
						img.SetGray(x*scale+i%scale, (2*y+half)*scale+i/scale, color.Gray{Y: 255})
					}
				}
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.GetText()
}

// Those who add at the same moment get different addresses, and none is lost.
func TestPeersThatAreAddedAtOnceAreAllThere(t *testing.T) {
	root := tunnelRoot(t)
	server(t, root)
	var all sync.WaitGroup
	const adders = 8
	for range adders {
		all.Go(func() {
			if code, _, wrong := tunnelIn(root, "", "peers", "add", "wg0", "--endpoint", "vpn.example.net"); code != 0 {
				t.Errorf("exit %d, %q", code, wrong)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(root + confDir + "/wg0.conf")
	if err != nil {
		t.Fatal(err)
	}
	c, err := wgconf.Parse("wg0.conf", text) // which refuses an address that two have
	if err != nil || len(c.Peers) != 1+adders {
		t.Errorf("%d peers, %v", len(c.Peers), err)
	}
}
