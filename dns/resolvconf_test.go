package dns

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// install lays the unpacked package over /usr and /etc, in this namespace only:
// /sbin and /lib are links into /usr.
func install(t *testing.T, name string) {
	t.Helper()
	root, over := owners(t, name), t.TempDir()
	sh(t, "copy='cp -dR --preserve=mode'; $copy "+root+"/usr/. "+over+"/; for d in bin sbin lib; do [ ! -e "+root+"/$d ] || $copy "+root+"/$d "+over+"/; done; $copy "+root+"/etc/. /etc/")
	opts := "lowerdir=" + over + ":/usr"
	if err := unix.Mount("overlay", "/usr", "overlay", 0, opts); err != nil {
		t.Fatalf("lay %s over /usr: %v", name, err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/usr", unix.MNT_DETACH) })
}

func TestResolvconfTakesTheSessionsServersFirstAndGivesBackByteForByte(t *testing.T) {
	for name, start := range map[string]string{
		"openresolv": "printf 'resolv_conf=/etc/resolv.conf\n' > /etc/resolvconf.conf",
		"resolvconf": "mkdir -p /run/resolvconf/interface; ln -sfn /run/resolvconf /etc/resolvconf/run; ln -sfn /etc/resolvconf/run/resolv.conf /etc/resolv.conf; resolvconf --enable-updates",
	} {
		t.Run(name, func(t *testing.T) {
			install(t, name)
			sh(t, "rm -f /etc/resolv.conf; rm -rf /run/resolvconf; "+start+"; printf 'nameserver 192.168.1.1\nsearch lan.example\n' | resolvconf -a eth0.dhcp")
			var s System
			before := describeReal(t)
			if !strings.Contains(before, "192.168.1.1") {
				t.Fatalf("%s did not write the file: %s", name, before)
			}
			f, err := s.Facts()
			if err != nil || f.Owner() != Resolvconf {
				t.Fatalf("owner %s, %v: %+v", f.Owner(), err, f)
			}
			full := Wish{Links: []Link{{Dev: "tun0", Servers: addrs("10.8.0.1"), Search: []string{"corp.example"}, All: true}}}
			saved := set(t, s, Resolvconf, nil, full)
			if text := describeReal(t); !strings.Contains(text, "corp.example") {
				t.Errorf("search: %s", text)
			}
			if name == "openresolv" && strings.Contains(describeReal(t), "192.168.1.1") {
				t.Error("the LAN's resolver is still asked")
			}
			two := Wish{Links: append([]Link{{Dev: "tun1", Servers: addrs("10.9.0.1"), All: true}}, full.Links...)}
			saved = set(t, s, Resolvconf, &saved, two)
			saved = set(t, s, Resolvconf, &saved, Wish{Links: two.Links[:1]}) // the first ends
			if text := describeReal(t); strings.Contains(text, "10.8.0.1") || !strings.Contains(text, "10.9.0.1") {
				t.Errorf("one ended: %s", text)
			}
			// A lease is renewed meanwhile.
			sh(t, "printf 'nameserver 192.168.1.1\nsearch lan.example\n' | resolvconf -a eth0.dhcp")
			if drift := s.Verify(saved); len(drift) > 0 {
				t.Errorf("after a renewed lease: %q", drift)
			}
			sh(t, "resolvconf -d "+record+"")
			if drift := s.Verify(saved); len(drift) != 1 {
				t.Errorf("somebody took it out: %q", drift)
			}
			giveAllBack(t, s, saved)
			giveAllBack(t, s, saved)
			if after := describeReal(t); after != before {
				t.Errorf("given back:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// describeReal is the laboratory's own file: its link and what is read there.
func describeReal(t *testing.T) string {
	t.Helper()
	link, _ := os.Readlink(resolvConf)
	text, err := os.ReadFile(resolvConf)
	must(t, err)
	info, err := os.Stat(resolvConf)
	must(t, err)
	return link + " " + info.Mode().String() + " " + string(text)
}

func TestResolvconfThatFailsSaysWhat(t *testing.T) {
	s := System{Root: t.TempDir(), Bus: "/nowhere"}
	saved, err := s.Prepare(Resolvconf, nil, wish)
	must(t, err)
	if _, err := s.Apply(saved); !errors.Is(err, ErrNoOwner) {
		t.Errorf("without the command: %v", err)
	}
	must(t, os.MkdirAll(filepath.Dir(s.path(command)), 0o755),
		os.WriteFile(s.path(command), []byte("#!/bin/sh\ncat >&2\necho \"$*; $PATH\" >&2\nexit 3\n"), 0o755))
	_, err = s.Apply(saved)
	if err == nil || !strings.Contains(err.Error(), "tun.vpnguard -x; /usr/sbin:/usr/bin:/sbin:/bin") || !strings.Contains(err.Error(), "nameserver 10.8.0.1") {
		t.Errorf("a command that fails: %v", err)
	}
}
