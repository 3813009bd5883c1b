package main

import (
	"os"
	"strings"
	"testing"
)

func TestTunnelImportPutsAFileInPlaceAndSaysWhatIsNotUsed(t *testing.T) {
	root := tunnelRoot(t)
	private, _ := newPrivate(t)
	_, public := newPrivate(t)
	good := "[Interface]\nPrivateKey = " + private.Reveal() + "\nAddress = 10.0.0.2/32\nPostUp = rm -rf /\nSaveConfig = true\n\n[Peer]\nPublicKey = " + public.String() + "\nEndpoint = 203.0.113.1:51820\nAllowedIPs = 0.0.0.0/0\n"
	want := strings.NewReplacer("PostUp", "# PostUp", "SaveConfig", "# SaveConfig").Replace(good)
	file := root + "/provider.conf"
	if err := os.WriteFile(file, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, wrong := tunnelIn(root, "", "import", file)
	for _, line := range []string{
		"holds a private key and its mode 0644 lets its group and every user at it: chmod 600",
		"warning: line 4: PostUp: a command that would run as root is never run: it is a comment now",
		"warning: line 5: SaveConfig: the file is never written back: it is a comment now",
		"warning: AllowedIPs hold all of IPv4 and not all of IPv6",
		"warning: there is no DNS",
		"vpnguard: wrote /etc/vpnguard/provider.conf",
	} {
		if !strings.Contains(wrong, line) {
			t.Errorf("%q is not said:\n%s", line, wrong)
		}
	}
	if code != 0 || out != "" || strings.Contains(wrong, private.Reveal()) {
		t.Errorf("exit %d, %q", code, out)
	}
	isConf := func(name, text string) {
		t.Helper()
		path := root + confDir + "/" + name + ".conf"
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 || string(got) != text {
			t.Errorf("%s: mode %s, %v:\n%s", name, info.Mode(), err, got)
		}
	}
	isConf("provider", want)
	// The same again is no conflict, and puts the mode right.
	if err := os.Chmod(root+confDir+"/provider.conf", 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, wrong := tunnelIn(root, good, "import", "-", "--name", "provider"); code != 0 {
		t.Errorf("exit %d, %s", code, wrong)
	}
	isConf("provider", want)

	other := strings.Replace(good, "203.0.113.1", "203.0.113.2", 1)
	before := files(t, root)
	for _, c := range []struct{ stdin, args, want string }{
		{other, "- --name provider", "vpnguard: /etc/vpnguard/provider.conf exists and differs\nvpnguard: hint: nothing was changed; --force"},
		{other, "-", "vpnguard: a configuration from standard input has no name\nvpnguard: hint: --name"},
		{strings.Replace(good, "10.0.0.2/32", "10.0.0.2/33", 1), "- --name provider --force", `vpnguard: standard input:3:11: Address "10.0.0.2/33" has a prefix length`},
		{"client\nremote x\n", "- --name x", "vpnguard: standard input:1:1: the line is neither a section nor"},
		{good, "- --name ../x", "vpnguard: --name"},
		{good, root + "/none.conf", "vpnguard: read the tunnel's file: open "},
	} {
		code, out, wrong := tunnelIn(root, c.stdin, append([]string{"import"}, strings.Fields(c.args)...)...)
		if code != exitUsage || out != "" || !strings.Contains(wrong, c.want) {
			t.Errorf("%s: exit %d, %q, want %q", c.args, code, wrong, c.want)
		}
	}
	sameFiles(t, before, files(t, root))
	if code, _, _ := tunnelIn(root, other, "import", "--force", "--name", "provider", "-"); code != 0 {
		t.Errorf("--force: exit %d", code)
	}
	isConf("provider", strings.Replace(want, "203.0.113.1", "203.0.113.2", 1))

	// A link is not followed: what it leads to may be anybody's.
	if err := os.WriteFile(root+"/victim", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../victim", root+confDir+"/link.conf"); err != nil {
		t.Fatal(err)
	}
	if code, _, wrong := tunnelIn(root, good, "import", "--force", "--name", "link", "-"); code == 0 || !strings.Contains(wrong, "not a regular file") {
		t.Errorf("a link: exit %d, %q", code, wrong)
	}
	if text, err := os.ReadFile(root + "/victim"); err != nil || string(text) != "x" {
		t.Errorf("a link's target is %q, %v", text, err)
	}
}
