package dns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab"
)

var (
	wish  = Wish{Links: []Link{{Dev: "tun0", Servers: addrs("10.8.0.1"), Search: []string{"corp.example"}, All: true}}}
	other = Wish{Links: []Link{{Dev: "tun1", Servers: addrs("10.9.0.1"), All: true}}}
)

// etc makes a host with this file, or none.
func etc(t *testing.T, make func(path string) error) System {
	t.Helper()
	s := System{Root: t.TempDir(), Bus: "/nowhere"}
	must(t, os.MkdirAll(s.path("/etc"), 0o755), os.MkdirAll(s.path("/run/stub"), 0o755))
	if make != nil {
		must(t, make(s.path(resolvConf)))
	}
	return s
}

func regular(text string, mode os.FileMode) func(string) error {
	return func(path string) error {
		return errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode))
	}
}

// describe is everything of the file that must be as it was, and whatever else
// is in /etc.
func describe(t *testing.T, s System) string {
	t.Helper()
	c, err := file{s}.look()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.path("/etc"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %q %o %d:%d %q %v", c.Kind, c.Text, c.Mode, c.UID, c.GID, c.Attrs, entries)
}

var hosts = []struct {
	name      string
	make      func(string) error
	otherUser bool
}{
	{name: "a file", make: regular("# mine\nnameserver 192.168.1.1\noptions timeout:1 trust-ad evil;x\n", 0o644)},
	{name: "a file without a last line feed", make: regular("nameserver 192.168.1.1", 0o640)},
	{name: "an empty file", make: regular("", 0o600)},
	{name: "a file with any bytes", make: regular("\x00\xff\nnameserver 192.168.1.1\n", 0o755)},
	{name: "a file of another user", otherUser: true, make: func(p string) error {
		return errors.Join(regular("nameserver 1.1.1.1\n", 0o604)(p), os.Chown(p, 1000, 8))
	}},
	{name: "a file with attributes", make: func(p string) error {
		return errors.Join(regular("nameserver 1.1.1.1\n", 0o644)(p), unix.Setxattr(p, "user.label", []byte("x\x00y"), 0))
	}},
	{name: "a link", make: func(p string) error { return os.Symlink("../run/stub/resolv.conf", p) }},
	{name: "a link to nothing", make: func(p string) error { return os.Symlink("/nowhere/resolv.conf", p) }},
	{name: "no file"},
}

func TestFileIsGivenBackByteForByte(t *testing.T) {
	for _, h := range hosts {
		if h.otherUser && lab.SingleUID() {
			t.Logf("not tested: %s, for only root exists in this laboratory", h.name)
			continue
		}
		s := etc(t, h.make)
		target := s.path("/run/stub/resolv.conf")
		must(t, os.WriteFile(target, []byte("nameserver 127.0.0.1\n"), 0o644))
		before := describe(t, s)
		saved := set(t, s, File, nil, wish)
		text, err := os.ReadFile(s.path(resolvConf))
		if err != nil || !strings.Contains(string(text), "\nnameserver 10.8.0.1\nsearch corp.example\n") || strings.Contains(string(text), "192.168") {
			t.Errorf("%s: set: %q, %v", h.name, text, err)
		}
		if strings.Contains(string(text), "trust-ad") || strings.Contains(string(text), "evil") {
			t.Errorf("%s: options that must not stay: %q", h.name, text)
		}
		saved = set(t, s, File, &saved, other) // an update keeps what was before the first
		giveAllBack(t, s, saved)
		giveAllBack(t, s, saved) // recover may come after down
		if after := describe(t, s); after != before {
			t.Errorf("%s: given back\n%s\nbefore\n%s", h.name, after, before)
		}
		if text, err := os.ReadFile(target); err != nil || string(text) != "nameserver 127.0.0.1\n" {
			t.Errorf("%s: the file that the link leads to: %q, %v", h.name, text, err)
		}
	}
}

// Of an interrupted update either text may stand there, and what was before
// the first must not be lost.
func TestFileIsGivenBackAfterAnUpdateThatWasKilled(t *testing.T) {
	s := etc(t, hosts[0].make)
	before := describe(t, s)
	saved := set(t, s, File, nil, wish)
	recorded, err := s.Prepare(File, &saved, other) // recorded, and killed before anything was set
	must(t, err)
	again, err := s.Prepare(File, &recorded, wish)
	must(t, err)
	must(t, os.WriteFile(s.path(temp), []byte("half"), 0o600)) // and killed while making the file
	giveAllBack(t, s, again)
	if after := describe(t, s); after != before {
		t.Errorf("given back\n%s\nbefore\n%s", after, before)
	}
}

func TestFileThatSomebodyElseChangedIsLeftAlone(t *testing.T) {
	s := etc(t, hosts[0].make)
	saved := set(t, s, File, nil, wish)
	must(t, regular("nameserver 192.168.2.1\n", 0o644)(s.path(resolvConf)))
	if drift := s.Verify(saved); len(drift) != 1 || !strings.Contains(drift[0], "changed by somebody else") {
		t.Errorf("drift: %q", drift)
	}
	foreign := describe(t, s)
	warnings, err := s.Restore(saved)
	if err != nil || len(warnings) != 1 || describe(t, s) != foreign {
		t.Errorf("restore over a foreign file: %q, %v, %s", warnings, err, describe(t, s))
	}
	// Set again over it, its own is what is given back.
	saved = set(t, s, File, &saved, wish)
	giveAllBack(t, s, saved)
	if describe(t, s) != foreign {
		t.Errorf("given back %s, want %s", describe(t, s), foreign)
	}
}

// A container's file is a mount point: it can be written, not replaced.
func TestMountedFileIsWrittenInPlace(t *testing.T) {
	s := etc(t, hosts[0].make)
	source := s.path("/run/source")
	must(t, os.WriteFile(source, []byte("nameserver 192.168.1.1\n# long enough to be longer than what is set in its place, so that a rest of it would show\n"), 0o644))
	must(t, unix.Mount(source, s.path(resolvConf), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(s.path(resolvConf), unix.MNT_DETACH) })
	f, err := s.Facts()
	if err != nil || !f.Mounted || f.Owner() != File {
		t.Errorf("found: %+v, %v", f, err)
	}
	before := describe(t, s)
	saved := set(t, s, File, nil, wish)
	if text, err := os.ReadFile(source); err != nil || !bytes.Equal(text, saved.File.Texts[0]) {
		t.Errorf("in place: %q, %v", text, err)
	}
	// Killed while writing, either way.
	for n := range len(saved.File.Texts[0]) {
		must(t, os.WriteFile(source, saved.File.Texts[0][:n], 0o644))
		giveAllBack(t, s, saved)
		must(t, os.WriteFile(source, saved.File.Before.Text[:min(n, len(saved.File.Before.Text))], 0o644))
		giveAllBack(t, s, saved)
		if after := describe(t, s); after != before {
			t.Fatalf("killed after %d bytes: %s, want %s", n, after, before)
		}
	}
}

func TestFileThatCannotBeWrittenIsAClearErrorAndNothingChanged(t *testing.T) {
	for name, c := range map[string]struct {
		make func(t *testing.T, s System)
		says string
		is   error
	}{
		"a read-only file system": {func(t *testing.T, s System) {
			must(t, unix.Mount(s.path("/etc"), s.path("/etc"), "", unix.MS_BIND, ""))
			must(t, unix.Mount("", s.path("/etc"), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
			t.Cleanup(func() { _ = unix.Unmount(s.path("/etc"), unix.MNT_DETACH) })
		}, "read-only file system", unix.EROFS},
		"a file mounted read-only": {func(t *testing.T, s System) {
			must(t, unix.Mount(s.path(resolvConf), s.path(resolvConf), "", unix.MS_BIND, ""))
			must(t, unix.Mount("", s.path(resolvConf), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
			t.Cleanup(func() { _ = unix.Unmount(s.path(resolvConf), unix.MNT_DETACH) })
		}, "read-only file system", unix.EROFS},
		"a directory": {func(t *testing.T, s System) {
			must(t, os.Remove(s.path(resolvConf)), os.Mkdir(s.path(resolvConf), 0o755))
		}, "neither a file nor a link", nil},
	} {
		s := etc(t, hosts[0].make)
		c.make(t, s)
		dir := func() string {
			return sh(t, "ls -la --time-style=+ "+s.path("/etc")+"; cat "+s.path(resolvConf)+" 2>/dev/null || :")
		}
		before := dir()
		saved, err := s.Prepare(File, nil, wish)
		if err == nil {
			_, err = s.Apply(saved)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		if after := dir(); after != before {
			t.Errorf("%s: changed:\n%s\nbefore:\n%s", name, after, before)
		}
	}
}

// An immutable file and a security module's refusal are seen as these errors;
// a namespace cannot make the first, nor can a test load a policy.
func TestRefusalsAreExplained(t *testing.T) {
	for err, says := range map[unix.Errno]string{unix.EPERM: "immutable", unix.EACCES: "SELinux", unix.EROFS: "read-only file system"} {
		if got := explain(err); !errors.Is(got, err) || !strings.Contains(got.Error(), says) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// Names and addresses come from servers.
func TestHostileValuesAreRefusedBeforeAnythingIsRead(t *testing.T) {
	s := System{Root: "/nowhere", Bus: "/nowhere"}
	for _, l := range []Link{
		{Dev: "tun0"},
		{Dev: "tun0; reboot", Servers: addrs("10.8.0.1")},
		{Dev: "../x", Servers: addrs("10.8.0.1")},
		{Dev: "tun0", Servers: addrs("127.0.0.1")},
		{Dev: "tun0", Servers: addrs("224.0.0.251")},
		{Dev: "tun0", Servers: addrs("fe80::1%eth0")},
		{Dev: "tun0", Servers: addrs("10.8.0.1"), Search: []string{"a\nnameserver 192.0.2.66"}},
		{Dev: "tun0", Servers: addrs("10.8.0.1"), Search: []string{"a`id`b;reboot"}},
		{Dev: "tun0", Servers: addrs("10.8.0.1"), Search: []string{"../../etc/x"}},
		{Dev: "tun0", Servers: addrs("10.8.0.1"), Route: []string{"UPPER.example"}},
		{Dev: "tun0", Servers: addrs("10.8.0.1"), Route: []string{"."}},
		{Dev: "tun0", Servers: addrs("10.8.0.1"), Route: []string{""}},
	} {
		for _, o := range []Owner{Resolved, NetworkManager, Resolvconf, File} {
			_, err := s.Prepare(o, nil, Wish{Links: []Link{l}})
			if err == nil || !strings.Contains(err.Error(), "link") {
				t.Errorf("%s: %+v: %v", o, l, err)
			}
		}
	}
}

func TestFileNamesAtMostThreeServersAndKeepsRoomForTheLast(t *testing.T) {
	many := Link{Dev: "tun0", Servers: addrs("10.8.0.1", "10.8.0.2", "10.8.0.3", "10.8.0.4"), All: true}
	for _, c := range []struct {
		w    Wish
		want string
	}{
		{Wish{Links: []Link{many}}, "10.8.0.1 10.8.0.2 10.8.0.3"},
		{Wish{Links: []Link{many}, Last: addrs("9.9.9.9")}, "10.8.0.1 10.8.0.2 9.9.9.9"},
		{Wish{Links: []Link{wish.Links[0], other.Links[0]}, Last: addrs("9.9.9.9", "9.9.9.9")}, "10.8.0.1 10.9.0.1 9.9.9.9"},
	} {
		var got []string
		for _, a := range nameservers(string(render(c.w, nil))) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
