//go:build vm

package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// built are the programs of the guests, for all tests.
var built struct{ vpnguard, guest string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "vpnguard-vm")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.vpnguard, built.guest = filepath.Join(dir, "vpnguard"), filepath.Join(dir, "guest")
	for file, pkg := range map[string]string{built.vpnguard: "../../cmd/vpnguard", built.guest: "./guest"} {
		c := exec.Command("go", "build", "-trimpath", "-o", file, pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			os.Exit(1)
		}
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// managers are the programs that bring the wire up, each by the kernel's
// command line that leaves it alone to do so.
var managers = map[string]string{
	"networkd":       "systemd.wants=systemd-networkd.service systemd.mask=NetworkManager.service systemd.mask=networking.service systemd.mask=ifup@wire0.service",
	"NetworkManager": "systemd.mask=networking.service systemd.mask=ifup@wire0.service",
	"ifupdown":       "systemd.mask=NetworkManager.service",
}

// files are what a package of vpnguard puts where, by the guest's path.
func files() map[string]string {
	return map[string]string{
		"/usr/local/sbin/vpnguard":                  built.vpnguard,
		"/usr/local/lib/guest":                      built.guest,
		"/etc/systemd/system/vpnguard-lock.service": "../../dist/systemd/vpnguard-lock.service",
		"/etc/systemd/system/vpnguard.service":      "../../dist/systemd/vpnguard.service",
		"/etc/udev/rules.d/99-vpnguard.rules":       "../../dist/udev/99-vpnguard.rules",
	}
}

// scene is one machine and what happens to it.
type scene struct {
	*testing.T
	ctx     context.Context
	machine *Machine
	words   string // of the kernel's command line
	guest   *Guest
	hosts   []netip.Addr // that the guest had on its wire when it was last asked
	since   int          // frames before this one are not judged
}

// newScene makes a machine that has not booted yet; more are files beside those of
// every guest, by the guest's path.
func newScene(t *testing.T, manager string, more ...map[string]string) *scene {
	t.Helper()
	words, ok := managers[manager]
	if !ok {
		t.Fatalf("no manager %q", manager)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Minute)
	t.Cleanup(cancel)
	image, err := FindImage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "vm")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{T: t, ctx: ctx, machine: &Machine{Image: image, Dir: dir}, words: words}
	t.Cleanup(func() {
		if s.guest != nil {
			s.guest.Kill()
		}
		if t.Failed() {
			_ = os.Remove(filepath.Join(dir, "disk"))
			t.Logf("consoles of the boots and captures are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	all := files()
	for _, m := range more {
		maps.Copy(all, m)
	}
	if err := NewDisk(ctx, image, filepath.Join(dir, "disk"), all); err != nil {
		t.Fatal(err)
	}
	return s
}

// boot switches the machine on and waits until systemd has done all it was to do.
func (s *scene) boot() {
	s.Helper()
	start := time.Now()
	var err error
	if s.guest, err = s.machine.Boot(s.ctx, s.words); err != nil {
		s.Fatal(err)
	}
	s.since = 0
	agent := time.Since(start)
	s.eventually("the boot", "systemctl list-jobs --no-legend; test -z \"$(systemctl list-jobs --no-legend)\"")
	s.Logf("boot %d: agent after %.1fs, booted after %.1fs", s.machine.boots, agent.Seconds(), time.Since(start).Seconds())
}

// must runs a script that must succeed.
func (s *scene) must(script string) string {
	s.Helper()
	return s.mustWithin(patience, script)
}

func (s *scene) mustWithin(limit time.Duration, script string) string {
	s.Helper()
	out, status, err := s.guest.Run(limit, script)
	if err != nil {
		s.Fatal(err, "\n", string(s.guest.consoleTail()))
	}
	if status != 0 {
		s.Fatalf("%q in the guest: exit %d:\n%s", script, status, out)
	}
	return out
}

// patience is for what the guest does by itself.
const patience = 4 * time.Minute

func (s *scene) eventually(what, script string) {
	s.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		out, status, err := s.guest.Run(time.Minute, script)
		if err != nil {
			s.Fatal(err, "\n", string(s.guest.consoleTail()))
		}
		if status == 0 {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("%s is not done after %s: %s\n%s", what, patience, out, string(s.guest.consoleTail()))
		}
	}
}

// online waits for both families' addresses, which proves that link upkeep works.
func (s *scene) online() {
	s.Helper()
	s.eventually("getting addresses", "ip -br addr show wire0; ip -4 addr show wire0 | grep -q 'inet "+Guest4.String()+"/' && ip -6 addr show wire0 | grep -q 'inet6 fd77:1:' && ! ip -6 addr show wire0 | grep -q tentative")
	var links []struct {
		AddrInfo []struct {
			Local netip.Addr `json:"local"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(s.must("ip -j addr show wire0")), &links); err != nil {
		s.Fatal(err)
	}
	s.hosts = nil
	for _, l := range links {
		for _, a := range l.AddrInfo {
			s.hosts = append(s.hosts, a.Local)
		}
	}
}

// off waits for the machine's end; what it was told in time.
func (s *scene) off(script string) {
	s.Helper()
	s.must(script)
	if err := s.guest.Off(); err != nil {
		s.Fatal(err)
	}
}

// verdict judges the frames since the last mark: a carrier, link upkeep, or a leak.
func (s *scene) verdict(carriers ...wire.Carrier) wire.Verdict {
	detection, announcement := Detection(s.hosts), Announcement(s.hosts)
	p := wire.Policy{
		MACs: [][6]byte{[6]byte(GuestMAC)}, Hosts: s.hosts, Neighbours: []netip.Addr{Gateway4, Gateway6}, Carriers: carriers,
		Forbidden: wire.Evidence{Needles: [][]byte{[]byte("vm-")}},
		Also:      func(f wire.Frame) bool { return detection(f) || announcement(f) },
	}
	return p.Judge(s.guest.Gateway.Frames()[s.since:])
}

// closed demands that nothing but carriers and link upkeep was sent since the
// last mark.
func (s *scene) closed(what string, carriers ...wire.Carrier) {
	s.Helper()
	v := s.verdict(carriers...)
	s.save()
	if len(v.Leaks) > 0 {
		s.Errorf("%s: %v", what, v)
		return
	}
	s.Logf("%s: %v", what, v)
}

func (s *scene) save() {
	f, err := os.Create(filepath.Join(s.machine.Dir, fmt.Sprintf("wire%d.pcap", s.machine.boots)))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	write, err := wire.NewPcap(f)
	if err != nil {
		s.Fatal(err)
	}
	for _, fr := range s.guest.Gateway.Frames() {
		if err := write(fr); err != nil {
			s.Fatal(err)
		}
	}
}

// mark lets the next verdict begin here. What was sent before is on its way a
// moment longer than the guest's answer.
func (s *scene) mark() {
	time.Sleep(500 * time.Millisecond)
	s.since = len(s.guest.Gateway.Frames())
}
