package netns

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNamesAreFileNamesWithoutSurprises(t *testing.T) {
	for _, good := range []string{"a", "work", "Work-2", "a.b_c", strings.Repeat("x", 63)} {
		if n, err := ParseName(good); err != nil || n.String() != good {
			t.Errorf("%q: %v", good, err)
		}
	}
	// Options of overlayfs end at a comma, its layers at a colon.
	for _, bad := range []string{"", ".", "..", "-x", "a/b", "a:b", "a,b", "a b", "a\x00", "ä", strings.Repeat("x", 64)} {
		if _, err := ParseName(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestNamesAreAskedOfNobodyOutside(t *testing.T) {
	const host = "passwd: files systemd\nhosts:  mymachines resolve [!UNAVAIL=return] files mdns4_minimal dns\n hosts : wins\n# hosts: x\nnetworks: files"
	const want = "passwd: files systemd\n# hosts: x\nnetworks: files\nhosts: files dns\n"
	if got := nsswitchText(host); got != want {
		t.Errorf("nsswitch.conf is %q, want %q", got, want)
	}
	if got := nsswitchText(""); got != "hosts: files dns\n" {
		t.Errorf("without the host's: %q", got)
	}
}

func TestResolversAreTheTunnelsAlone(t *testing.T) {
	got := resolvText([]netip.Addr{netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("fd00::1")}, []string{"corp.example", "~inner.example"})
	if want := "nameserver 10.8.0.1\nnameserver fd00::1\nsearch corp.example\n"; !strings.HasSuffix(got, "\n"+want) || !strings.HasPrefix(got, "#") {
		t.Errorf("resolv.conf is %q", got)
	}
	if got := resolvText(nil, nil); strings.Contains(got, "nameserver") {
		t.Errorf("without resolvers: %q", got)
	}
}

func TestSocketsOfResolversAreHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"nscd": true, "dbus": true, "avahi-daemon": true, "systemd": true, "varlink": true, "docker.sock": true, "docker": true, "unbound.ctl": true, "vpnguard": true, "netns": true,
		"user": false, "lock": false, "media": false, "udev": false, "cups": false, "shm": false,
	} {
		if concealed(name) != want {
			t.Errorf("%q is hidden: %v, want %v", name, !want, want)
		}
	}
	for _, name := range systemdShown {
		if strings.HasPrefix(name, "resolve") || name == "private" {
			t.Errorf("/run/systemd/%s is shown", name)
		}
	}
}
