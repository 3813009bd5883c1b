package wgconf_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(key.Private.Equal), cmp.Comparer(key.Preshared.Equal),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Line" }, cmp.Ignore()),
}

func newPeer(t testing.TB) wgconf.Peer {
	t.Helper()
	k, err := key.ParsePublic("AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	psk, err := key.ParsePreshared(shared)
	if err != nil {
		t.Fatal(err)
	}
	return wgconf.Peer{PublicKey: k, PresharedKey: psk, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.77.0.9/32"), netip.MustParsePrefix("fd77::9/128")},
		Endpoint: endpoint.OrName{Host: "2001:db8::7", Port: 7, Proto: endpoint.UDP}, Keepalive: 25 * time.Second}
}

func TestFormatIsReadAsTheSame(t *testing.T) {
	for _, text := range []string{whole, "[Interface]\nPrivateKey=" + private, "[Interface]\nSaveConfig = true\nTable = off\nPrivateKey=" + private} {
		c, err := wgconf.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		out := wgconf.Format(c)
		again, err := wgconf.Parse("f", out)
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if diff := cmp.Diff(c, again, same); diff != "" {
			t.Error(diff)
		}
	}
}

// checkEdit adds a peer to a file and takes it out again; and takes each of its
// own peers out.
func checkEdit(t *testing.T, data []byte) {
	t.Helper()
	c, err := wgconf.Parse("f", data)
	if err != nil {
		return
	}
	p := newPeer(t)
	out := wgconf.Append(data, "phone", p)
	if !bytes.HasPrefix(out, data) {
		t.Fatalf("the file's bytes were changed:\n%s", out)
	}
	longer, err := wgconf.Parse("f", out)
	if err == nil {
		if diff := cmp.Diff(c.Peers, longer.Peers[:len(c.Peers)], same); diff != "" || len(longer.Peers) != len(c.Peers)+1 {
			t.Fatalf("%d peers, %s", len(longer.Peers), diff)
		}
		added := longer.Peers[len(c.Peers)]
		if diff := cmp.Diff(p, added, same); diff != "" {
			t.Fatal(diff)
		}
		if got := wgconf.Label(out, added); got != "phone" {
			t.Fatalf("label %q", got)
		}
		back := wgconf.Cut(out, added)
		if want := bytes.TrimRight(data, "\r\n"); !bytes.HasPrefix(back, data) || !bytes.Equal(bytes.TrimRight(back, "\r\n"), want) {
			t.Fatalf("after Append and Cut:\n%q\nwant\n%q", back, data)
		}
	} else if !strings.Contains(err.Error(), "already") {
		t.Fatalf("%v in\n%s", err, out)
	}
	for i, p := range c.Peers {
		_ = wgconf.Label(data, p)
		fewer, err := wgconf.Parse("f", wgconf.Cut(data, p))
		if err != nil {
			t.Fatalf("without peer %d: %v", i, err)
		}
		want := append(append([]wgconf.Peer{}, c.Peers[:i]...), c.Peers[i+1:]...)
		if diff := cmp.Diff(wgconf.Config{Interface: c.Interface, Peers: want}, fewer, same); diff != "" {
			t.Fatalf("without peer %d: %s", i, diff)
		}
	}
}

func TestEditsKeepEveryOtherByte(t *testing.T) {
	for _, text := range []string{whole, strings.ReplaceAll(whole, "\r\n", "\n") + "\n", strings.ReplaceAll(strings.ReplaceAll(whole, "\r\n", "\n"), "\n", "\r\n"), "[Interface]\nPrivateKey=" + private + "\n\n\n# end"} {
		checkEdit(t, []byte(text))
	}
	const before = "# mine\n[Interface] # x\nPrivateKey = " + private + "\n\n# the first\n# a laptop\n[Peer]\n# inside\nPublicKey = " + public + "\nAllowedIPs = 10.0.0.2 # its own\n# of the next\n[Peer]\nPublicKey = " + other + "\n# end\n"
	const after = "# mine\n[Interface] # x\nPrivateKey = " + private + "\n\n# the first\n# of the next\n[Peer]\nPublicKey = " + other + "\n# end\n"
	c, err := wgconf.Parse("f", []byte(before))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := wgconf.Label([]byte(before), c.Peers[0]), wgconf.Label([]byte(before), c.Peers[1]); a != "a laptop" || b != "of the next" {
		t.Errorf("labels %q, %q", a, b)
	}
	if got := string(wgconf.Cut([]byte(before), c.Peers[0])); got != after {
		t.Errorf("got\n%s", got)
	}
}

func FuzzEdit(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("[Interface]\nPrivateKey=" + private + "\n[Peer]\nPublicKey=" + other + "\n#\n[Peer]\n\nPublicKey=" + public))
	f.Fuzz(checkEdit)
}

func TestLabelsAreOneLineOfPrint(t *testing.T) {
	for _, good := range []string{"", "phone", "Jürgen's # 2"} {
		if err := wgconf.CheckLabel(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{" x", "x\n", "a\n[Peer]", "a\x1b[2J", "a\xff", private, strings.Repeat("x ", 40) + "x"} {
		if err := wgconf.CheckLabel(bad); err == nil {
			t.Errorf("%q is a label", bad)
		}
	}
}

func TestFreeAddressesAreTheLowestThatNobodyHas(t *testing.T) {
	for _, c := range []struct {
		own   string
		taken string
		want  string // "": none
	}{
		{"10.8.0.1/24", "", "10.8.0.2"},
		{"10.8.0.9/24", "", "10.8.0.1"},
		{"10.8.0.1/24", "10.8.0.2/32 10.8.0.3/32 10.8.0.5/32", "10.8.0.4"},
		{"10.8.0.1/24", "10.8.0.5/32 10.8.0.3/32 10.8.0.2/32 0.0.0.0/0 10.0.0.0/8 10.9.0.0/24", "10.8.0.4"},
		{"10.8.0.1/24", "10.8.0.0/25", "10.8.0.128"},
		{"10.8.0.1/24", "10.8.0.0/25 10.8.0.4/32", "10.8.0.128"},
		{"10.8.0.1/24", "10.8.0.0/24", ""},
		{"10.8.0.1/30", "10.8.0.2/32", ""},
		{"10.8.0.1/31", "", "10.8.0.0"},
		{"10.8.0.1/32", "", ""},
		{"255.255.255.253/30", "255.255.255.254/32", ""},
		{"fd00::1/64", "fd00::2/128 10.0.0.1/32", "fd00::3"},
		{"fd00::5/64", "", "fd00::1"},
		{"fd00::1/64", "fd00::/65", "fd00::8000:0:0:0"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/128", ""},
		{"fd00::1/128", "", ""},
	} {
		var taken []netip.Prefix
		for _, s := range strings.Fields(c.taken) {
			taken = append(taken, netip.MustParsePrefix(s))
		}
		got, err := wgconf.Free(netip.MustParsePrefix(c.own), taken)
		if c.want == "" {
			if !errors.Is(err, wgconf.ErrFull) {
				t.Errorf("%s without %s: %s, %v", c.own, c.taken, got, err)
			}
			continue
		}
		if err != nil || got != netip.MustParseAddr(c.want) {
			t.Errorf("%s without %s: %s, %v, want %s", c.own, c.taken, got, err, c.want)
		}
	}
}

func TestDropMakesCommentsOfSettings(t *testing.T) {
	out, dropped := wgconf.Drop([]byte(whole), "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig")
	want := []wgconf.Dropped{{"SaveConfig", 12}, {"PreUp", 13}, {"PostUp", 14}, {"PreUp", 15}, {"PreDown", 16}, {"PostDown", 17}}
	if diff := cmp.Diff(want, dropped); diff != "" {
		t.Error(diff)
	}
	c, err := wgconf.Parse("f", out)
	if err != nil || len(c.Interface.Hooks) != 0 || len(c.Peers) != 2 || !strings.Contains(string(out), "\n# PreUp = echo 1 = 1\n") || len(out) != len(whole)+2*len(want) {
		t.Errorf("%v in\n%s", err, out)
	}
}
