package tests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// ownPoints are those of names: the others have tests of their own.
func ownPoints(points []point) []point {
	return slices.DeleteFunc(slices.Clone(points), func(p point) bool {
		return !strings.HasPrefix(p.name, "names.") && !strings.HasPrefix(p.name, "dns.")
	})
}

var upWithNames = append(slices.Clone(upByHand), "--dns", "10.8.0.1", "--domain", "corp.example")

// Killed at any step of the resolver file, the host is closed, and three ways
// lead back to the file as it was: recover, down, and up again with down.
func TestNamesKilledAnywhereLeaveTheHostClosedAndComeBackByteForByte(t *testing.T) {
	for _, host := range []struct{ name, script string }{
		{"a file", "chmod 604 /etc/resolv.conf"},
		{"a mounted file", "printf 'nameserver 192.168.1.1\n' > /run/real; rm /etc/resolv.conf; touch /etc/resolv.conf; mount --bind /run/real /etc/resolv.conf"},
	} {
		t.Run(host.name, func(t *testing.T) {
			s := newFaultScene(t)
			s.leaks()
			s.script(host.script)
			s.before = s.snapshot()
			points := ownPoints(s.learn(upWithNames...))
			s.closed("sealed")
			set := s.resolvers()
			if !strings.Contains(set, "nameserver 10.8.0.1\nsearch corp.example\n") {
				t.Fatalf("set: %s", set)
			}
			ends := ownPoints(s.learn("down"))
			s.original("after a whole run")
			s.nothingLeft("after a whole run")
			want := []string{"names.recorded", "dns.file.before", "dns.file.after", "names.set"}
			if host.name == "a mounted file" {
				want = append(want, "dns.file.emptied", "dns.file.written")
			} else {
				want = append(want, "dns.file.made", "dns.file.renamed")
			}
			for _, name := range want {
				s.place(points, name, 1)
			}
			s.place(ends, "names.restoring", 1)
			s.place(ends, "names.restored", 1)
			file := s.resolverFile()
			givenBack := func(when string) {
				if now := s.resolverFile(); now != file {
					t.Errorf("%s: %s, want %s", when, now, file)
				}
				s.nothingLeft(when)
			}
			for i, at := range points {
				when := "up killed at " + at.String()
				s.kill(at, upWithNames...)
				if i == len(points)/2 {
					s.closed(when)
				}
				if at.name != "names.set" {
					s.says(when, "sealed", 3) // closed, and names are not as they should be
				}
				s.must(0, "recover")
				givenBack(when + " and recovered")

				s.kill(at, upWithNames...)
				s.must(0, upWithNames...)
				if now := s.resolvers(); now != set {
					t.Errorf("%s and up again: %s", when, now)
				}
				s.must(0, "down")
				givenBack(when + ", up again and down")
			}
			for i, at := range ends {
				when := "down killed at " + at.String()
				s.must(0, upWithNames...)
				s.kill(at, "down")
				if i == len(ends)/2 {
					s.closed(when)
				}
				s.must(0, "recover")
				givenBack(when + " and recovered")
			}
			s.original("in the end")
			t.Logf("%d points of up, each killed twice, and %d of down", len(points), len(ends))
		})
	}
}

func (s *scene) resolvers() string {
	s.Helper()
	text, err := os.ReadFile(s.lab.Client.Path("/etc/resolv.conf"))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// resolverFile is all that must come back.
func (s *scene) resolverFile() string {
	s.Helper()
	path := s.lab.Client.Path("/etc/resolv.conf")
	info, err := os.Lstat(path)
	if err != nil {
		s.Fatal(err)
	}
	target, _ := os.Readlink(path)
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%s %d:%d %q %q", info.Mode(), stat.Uid, stat.Gid, target, s.resolvers())
}

// nothingLeft demands that no record of names and no half-made file remains.
func (s *scene) nothingLeft(when string) {
	s.Helper()
	for _, path := range []string{"/var/lib/vpnguard/names/state.json", "/etc/.resolv.conf.vpnguard"} {
		if _, err := os.Lstat(s.lab.Client.Path(path)); !os.IsNotExist(err) {
			s.Errorf("%s %s is left: %v", when, path, err)
		}
	}
}
