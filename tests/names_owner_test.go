package tests

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// The guardian sets again what others write over, and gives up on who does it
// each time; the next `up` begins anew.
func TestGuardianSetsResolversAgainAndGivesUpInTheEnd(t *testing.T) {
	s := newHandScene(t, "")
	g := s.watch()
	s.must(0, upWithNames...)
	ours := s.resolvers()
	foreign := "nameserver 192.168.1.1 # a lease was renewed\n"
	for n := range 5 {
		s.script("printf '" + strings.TrimSpace(foreign) + "\\n' > /etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf")
		s.until("resolvers are set again", func() bool { return s.resolvers() == ours })
		if t.Failed() {
			t.Fatalf("time %d", n)
		}
	}
	s.must(0, "status")
	s.script("printf '" + strings.TrimSpace(foreign) + "\\n' > /etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf")
	g.says("set again 5 times")
	if now := s.resolvers(); now != foreign {
		t.Errorf("given up, and: %s", now)
	}
	if stdout, _ := s.must(3, "status"); !strings.Contains(stdout, "drift     /etc/resolv.conf was changed by somebody else; they were set again 5 times") {
		t.Errorf("status: %s", stdout)
	}
	s.closed("names given up")
	s.must(0, upWithNames...)
	if now := s.resolvers(); now != ours {
		t.Errorf("up again: %s", now)
	}
	s.must(0, "status")
	s.must(0, "down")
	if now := s.resolvers(); now != foreign {
		t.Errorf("down gives back %q, want what the other wrote last", now)
	}
	s.nothingLeft("after down")
}

// Power is lost while the file is ours: rules and records in /run are gone.
func TestResolverFileIsGivenBackAfterABoot(t *testing.T) {
	s := newHandScene(t, "")
	for _, way := range []string{"recover", "down", "guardian"} {
		s.script("echo 5d0d7a5e-0000-4000-8000-000000000001 > /run/boot; mount --bind /run/boot /proc/sys/kernel/random/boot_id")
		s.must(0, upWithNames...)
		record, err := os.ReadFile(s.lab.Client.Path("/var/lib/vpnguard/names/state.json"))
		if err != nil {
			t.Fatal(err)
		}
		set := s.resolvers()
		s.must(0, "down")
		s.script("umount /proc/sys/kernel/random/boot_id")
		s.original(way)
		// The boot: what is on the disk is as it was, and of another boot.
		s.write("/etc/resolv.conf", set)
		s.write("/var/lib/vpnguard/names/state.json", string(record))
		if stdout, _ := s.must(3, "status"); !strings.Contains(stdout, "resolvers of a session that is no more") {
			t.Errorf("%s: status: %s", way, stdout)
		}
		if way == "guardian" {
			g := s.watch()
			s.until("the file is given back", func() bool { return s.resolvers() != set })
			if err := g.ends(15); err != nil {
				t.Error(err)
			}
		} else {
			s.must(0, way)
		}
		s.original(way + " after a boot")
		s.nothingLeft(way + " after a boot")
	}
}

// Two sessions: the newest full one is asked first, and one that ends leaves
// the other's.
func TestTwoSessionsKeepEachOthersResolvers(t *testing.T) {
	s := newHandScene(t, "")
	s.script("ip tuntap add dev tun1 mode tun\nip addr add 10.9.0.2/24 dev tun1\nip link set tun1 up\n")
	s.before = s.snapshot()
	split := []string{"up", "--dev", "tun1", "--endpoint", "203.0.113.11:1194/udp", "--owner", "root", "--profile", "split", "--dns", "10.9.0.1", "--domain", "b.example"}
	s.must(0, upWithNames...)
	s.must(0, split...)
	if now := s.resolvers(); !strings.Contains(now, "nameserver 10.8.0.1\nnameserver 10.9.0.1\nsearch corp.example b.example\n") {
		t.Errorf("both: %s", now)
	}
	s.must(0, "down", "--dev", "tun0")
	if now := s.resolvers(); strings.Contains(now, "10.8.0.1") || !strings.Contains(now, "nameserver 10.9.0.1\nsearch b.example\n") {
		t.Errorf("one ended: %s", now)
	}
	s.must(0, upWithNames...)
	s.must(0, "down", "--dev", "tun1")
	if now := s.resolvers(); strings.Contains(now, "10.9.0.1") || !strings.Contains(now, "nameserver 10.8.0.1\nsearch corp.example\n") {
		t.Errorf("the other ended: %s", now)
	}
	s.must(0, "down")
	s.original("after both")
	s.nothingLeft("after both")
}

// A container's file system is often read-only: names stay blocked, and it is said.
func TestResolversThatCannotBeSetAreSaidAndTheHostIsClosed(t *testing.T) {
	s := newHandScene(t, "")
	s.script("mount --bind /etc /etc && mount -o remount,bind,ro /etc")
	s.before = s.snapshot()
	_, stderr := s.must(0, upWithNames...)
	if !strings.Contains(stderr, "read-only file system") || !strings.Contains(stderr, "names are blocked") {
		t.Errorf("up says: %s", stderr)
	}
	s.closed("without resolvers")
	if stdout, _ := s.must(3, "status"); !strings.Contains(stdout, "the session's resolvers are not set: ") || !strings.Contains(stdout, "NOT set") {
		t.Errorf("status: %s", stdout)
	}
	s.must(0, "down")
	s.original("after down")
	s.nothingLeft("after down")
}

const unpackedResolved = "../.cache/resolvers/systemd-resolved"

// startResolved starts it and tells it of the LAN's resolver.
func (s *scene) startResolved(root string) (stop func()) {
	s.Helper()
	kill := s.background(s.lab.Client, root+"/lib/systemd/systemd-resolved")
	s.until("systemd-resolved answers", func() bool {
		_, err := s.lab.Client.Run(s.ctx, root+"/usr/bin/resolvectl", "dns", "eth0", "192.168.1.1")
		return err == nil
	})
	return func() {
		if err := kill(syscall.SIGKILL); err != nil {
			s.Fatal(err)
		}
	}
}

// resolvedRuns starts the real systemd-resolved on the client's host, with the
// LAN's resolver on the wire.
func (s *scene) resolvedRuns() (stop func()) {
	s.Helper()
	root, err := filepath.Abs(unpackedResolved)
	if err == nil {
		_, err = os.Stat(root)
	}
	if err != nil {
		s.Fatalf("find systemd-resolved, which `make resolvers` unpacks: %v", err)
	}
	uid := "990"
	if s.user == 0 {
		uid = "0"
	}
	s.script(`mkdir -p /run/systemd/resolve /etc/systemd
echo systemd-resolve:x:` + uid + `:` + uid + `::/:/bin/false >> /etc/passwd; echo systemd-resolve:x:` + uid + `: >> /etc/group
chown ` + uid + `:` + uid + ` /run/systemd/resolve
printf '[Resolve]\nFallbackDNS=\n' > /etc/systemd/resolved.conf
`)
	s.systemBus()
	stop = s.startResolved(root)
	s.script(root + "/usr/bin/resolvectl llmnr eth0 no; " + root + "/usr/bin/resolvectl mdns eth0 no; ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf")
	return stop
}

func TestResolvedAsksTheVPNsResolverOfItsNamesWhileTheSplitSealLasts(t *testing.T) {
	s := newScene(t, "")
	srv := namesServer()
	srv.Split = true
	s.serveNames(srv)
	stop := s.resolvedRuns()
	s.lanKnows("guard off")
	bare := s.bare(clientOf(srv))
	s.lanKnows("guard off, tunnel up")
	if _, err := bare.Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	before := s.snapshot()
	guardian := s.watch()
	client := s.connectSplit(clientOf(srv))
	stdout, _ := s.must(0, "status")
	if !strings.Contains(stdout, "set in systemd-resolved") {
		t.Errorf("status: %s", stdout)
	}
	if now := s.snapshot()["/etc/resolv.conf"]; now != before["/etc/resolv.conf"] {
		t.Errorf("the file was changed: %s", now)
	}
	s.vpnKnows("split", behind, behindAddress)
	s.vpnKnows("split, by the search list", "host", behindAddress)
	// Other names go where they went before, by systemd-resolved alone.
	s.until("others may be asked", func() bool { return s.elsewhere("public.example") })
	s.vpnKnows("split, while others are asked", behind, behindAddress)
	for _, name := range []string{"dns-udp-lan", "dns-tcp-lan", "dns-udp-public"} {
		s.silent(s.lab.Client, s.asUser(name), probe.Order{Name: name}, s.policy(srv))
	}

	// It is restarted, and has forgotten: the guardian tells it again.
	m := s.mark()
	stop()
	s.script("rm -rf /run/systemd/resolve/netif")
	root, _ := filepath.Abs(unpackedResolved)
	s.startResolved(root)
	s.until("the guardian has told it again", func() bool {
		out, err := s.lab.Client.Run(s.ctx, root+"/usr/bin/resolvectl", "dns", "tun0")
		return err == nil && strings.Contains(out, vpnResolver)
	})
	s.until("status is as recorded", func() bool { _, _, code := s.vpnguard("status"); return code == 0 })
	s.vpnKnows("after a restart of systemd-resolved", behind, behindAddress)
	if told := s.toldOf(m); len(told) > 0 {
		t.Errorf("%d questions on the wire over the restart", len(told))
	}
	if stdout, _ := s.must(0, "status"); !strings.Contains(stdout, "may ask any resolver") {
		t.Errorf("status does not say who may ask: %s", stdout)
	}
	s.until("others may be asked again", func() bool { return s.elsewhere("other.example") })

	// With the device systemd-resolved forgets whose names they are.
	s.killed(client)
	s.until("nobody may ask others any more", func() bool {
		stdout, _, _ := s.vpnguard("status")
		return !strings.Contains(stdout, "may ask any resolver")
	})
	m = s.mark()
	out, err := s.lab.Client.Run(s.ctx, "env", "RES_OPTIONS=timeout:1 attempts:1", "getent", "ahostsv4", behind) // to no avail: it is not waited for
	if told := s.toldOf(m); err == nil || len(told) > 0 {
		t.Errorf("the client was killed: answer %q, %d questions on the wire", out, len(told))
	}
	s.must(0, "down", "--dev", "tun0")
	s.restored(before)
	s.lanKnows("after the end")

	// Nor without a guardian, who would see that.
	s.connectSplit(clientOf(srv))
	s.until("others may be asked by the second session", func() bool { return s.elsewhere("second.example") })
	if err := guardian.ends(15); err != nil {
		t.Error(err)
	}
	s.must(0, "status")
	s.vpnKnows("without a guardian", behind, behindAddress)
	s.vpnKnows("without a guardian, a name of nobody's", "public.example", site.Web.String())
}

// elsewhere reports whether the LAN's resolver answers a name that is not the
// session's.
func (s *scene) elsewhere(name string) bool {
	s.Helper()
	answer, told := s.asks(name)
	return answer == probe.DNSAnswer.String() && len(wire.Mentioning(told, site.Gateway)) > 0
}
