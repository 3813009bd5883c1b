package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// engineUser is the documented one where no user vpnguard exists.
const engineUser = "65522"

// up brings the tunnel up as a user would.
func (s *tunnelScene) up(args ...string) {
	s.Helper()
	if lab.SingleUID() {
		args = append(args, "--owner", "0")
	}
	_, said := s.must(0, append([]string{"tunnel", "up", s.conf}, args...)...)
	if !strings.Contains(said, "vpnguard: sealed: tunnel own0 (profile ") {
		s.Errorf("tunnel up says:\n%s", said)
	}
}

// Without the guard the same tunnel leaves its prefixes open on the wire; with
// it no probe shows, not even while the engine is killed and started again.
func TestTunnelIsSealedFromItsFirstPacketToItsLast(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel(allowedSplit, "PreUp = echo %i >> /run/hooks", "PostUp = wg show %i | grep -q handshake && echo up >> /run/hooks", "PostDown = echo down >> /run/hooks")
	policy := s.policyOf()
	for _, p := range belonging {
		s.shows(s.lab.Client, s.asUser(p.name), probe.Order{Name: p.name}, policy)
	}
	for _, name := range atServer {
		s.shows(s.lab.Client, s.asUser(name), probe.Order{Name: name}, policy)
	}
	before := s.snapshot()
	s.up("--allow-hooks")
	s.must(0, "status")
	s.splitWorks(far)
	s.confined()
	s.shownByWG()
	s.keepsItsSecret(3) // the engine is in both lists

	killed := s.killEngines(func() { s.tunnelIsTight("while engines are killed") })
	if killed < 3 {
		t.Errorf("%d engines were killed, want one after the other", killed)
	}
	s.again("engines were killed")
	s.state("sealed")

	// Neither the wire nor the tunnel's own device may be lost for good.
	if err := s.lab.Client.Script(s.ctx, "ip link set own0 down\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.lab.Client.Script(s.ctx, "ip link set own0 up\n"); err != nil {
		t.Fatal(err)
	}
	s.again("its device was down")

	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
	if text, err := os.ReadFile(s.lab.Client.Path("/run/hooks")); err != nil || string(text) != "own0\nup\ndown\n" {
		t.Errorf("the file's commands: %v, %q", err, text)
	}
}

// killEngines kills each engine that starts as long as f runs.
func (s *tunnelScene) killEngines(f func()) (killed int) {
	s.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for last := 0; ; time.Sleep(10 * time.Millisecond) {
			select {
			case <-stop:
				return
			default:
			}
			for _, pid := range s.processes("tunnel engine") {
				if pid != last && syscall.Kill(pid, syscall.SIGKILL) == nil {
					last = pid
					killed++
				}
			}
		}
	}()
	f()
	close(stop)
	<-done
	return killed
}

// tunnelIsTight runs everything that must not leave by the wire, as user and
// root: neither is the owner, so that nobody has an exception.
func (s *tunnelScene) tunnelIsTight(when string) {
	s.Helper()
	policy := s.policyOf()
	start := s.mark()
	names := append([]string{}, atServer...)
	for _, p := range belonging {
		names = append(names, p.name)
	}
	for _, name := range names {
		p, err := probe.Find(name)
		if err != nil {
			s.Fatal(err)
		}
		for _, uid := range s.uids() {
			if uid == 0 || !p.Privileged {
				s.silent(s.lab.Client, uid, probe.Order{Name: name, Carrier: far.Endpoint()}, policy)
			}
		}
	}
	if v := policy.Judge(s.since(start)); len(v.Leaks) > 0 {
		s.Errorf("%s unexplained on the wire: %v", when, v)
	}
}

// again waits until the tunnel carries after it did not for a moment.
func (s *tunnelScene) again(when string) {
	s.Helper()
	var err error
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err == nil {
			return
		}
	}
	s.Errorf("after %s: %v", when, err)
}

// state waits for a state.
func (s *tunnelScene) state(want string) {
	s.Helper()
	got := ""
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, _, _ := s.vpnguard("status", "--json")
		var v struct{ State string }
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			s.Fatalf("status: %v\n%s", err, out)
		}
		if got = v.State; got == want {
			return
		}
	}
	s.Errorf("state %q, want %q", got, want)
}

// shownByWG asks by WireGuard's own protocol, as `wg show` does.
func (s *tunnelScene) shownByWG() {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "wg", "show", "own0")
	if err != nil || !strings.Contains(out, "peer: "+s.public.String()) || !strings.Contains(out, "latest handshake: ") || !strings.Contains(out, "fwmark: 0xca6c") {
		s.Errorf("wg show: %v:\n%s", err, out)
	}
	if out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "peer", s.public.String(), "endpoint", "203.0.113.11:1194"); err == nil {
		s.Errorf("wg set another endpoint than the seal's: %s", out)
	}
}

// confined demands that the engine has no right left that can be taken away.
func (s *tunnelScene) confined() {
	s.Helper()
	uid := engineUser
	if lab.SingleUID() {
		uid = "0"
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.engine(0)))
	if err != nil || len(tasks) == 0 {
		s.Fatalf("%q, %v", tasks, err)
	}
	const none = "0000000000000000"
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			s.Fatal(err)
		}
		for name, want := range map[string]string{
			"Uid": strings.Repeat(uid+"\t", 4), "Gid": strings.Repeat(uid+"\t", 4), "NoNewPrivs": "1", "Seccomp": "2",
			"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		} {
			if line := "\n" + name + ":\t" + strings.TrimSpace(want) + "\n"; !strings.Contains(string(text), line) {
				s.Errorf("%s has not %q:\n%s", task, line, text)
			}
		}
	}
}

// keepsItsSecret looks for the private key wherever others could: in arguments
// and environments, below /run and /var/lib, and in what was printed.
func (s *tunnelScene) keepsItsSecret(processes int) {
	s.Helper()
	pids := append(s.processes("engine"), s.processes("tunnel")...)
	if len(pids) < processes {
		s.Fatalf("processes %d: want %d, the supervisor among them", pids, processes)
	}
	var places []string
	for _, pid := range pids {
		places = append(places, fmt.Sprintf("/proc/%d/cmdline", pid), fmt.Sprintf("/proc/%d/environ", pid))
	}
	for _, dir := range []string{"/run/vpnguard", "/var/lib/vpnguard", "/etc"} {
		root := s.lab.Client.Path(dir)
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				places = append(places, path)
			}
			return nil
		})
		if err != nil {
			s.Fatal(err)
		}
	}
	var found []string
	for _, place := range places {
		text, err := os.ReadFile(place)
		if err != nil {
			s.Errorf("%v", err)
		}
		for _, secret := range []string{s.private.Reveal(), s.shared.Reveal()} {
			if strings.Contains(string(text), secret) {
				found = append(found, place)
				break
			}
		}
	}
	// The control is the file that it comes from.
	if len(found) != 1 || !strings.HasSuffix(found[0], s.conf) {
		s.Errorf("secrets are in %q, want them in %q alone", found, s.conf)
	}
}

// Whoever kills the supervisor takes tunnel and device along, and leaves the host
// closed until he says otherwise.
func TestKilledTunnelLeavesTheHostClosed(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel(allowedSplit)
	before := s.snapshot()
	for i, way := range []struct {
		name string
		ends []string // empty: another tunnel takes over first
		says string
	}{
		{"recover", []string{"recover"}, `session "own0": no client of it lives; it ended`},
		{"tunnel down", []string{"tunnel", "down", s.conf}, "vpnguard: open"},
		{"tunnel up", nil, ""},
	} {
		s.up()
		supervisor := s.supervisor()
		if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.vanishes()
		if i == 0 {
			s.tunnelIsTight("after its supervisor was killed")
		}
		if way.ends == nil {
			s.up()
			s.splitWorks(far)
			way.ends = []string{"tunnel", "down", "own0"}
		}
		if _, said := s.must(0, way.ends...); !strings.Contains(said, way.says) {
			t.Errorf("%s says:\n%s", way.name, said)
		}
		s.gone(before)
	}
}

// supervisor is the process that keeps the tunnel.
func (s *tunnelScene) supervisor() int {
	s.Helper()
	pids := s.processes("--foreground")
	if len(pids) != 1 {
		s.Fatalf("supervisors %d, want one", pids)
	}
	return pids[0]
}

// vanishes waits until no process of the tunnel is left and no device.
func (s *tunnelScene) vanishes() {
	s.Helper()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if len(s.processes("tunnel")) > 0 {
			continue
		}
		if _, err := s.lab.Client.Run(s.ctx, "ip", "link", "show", "own0"); err != nil {
			return
		}
	}
	s.Errorf("processes %d or their device outlive the supervisor", s.processes("tunnel"))
}

// Nothing is brought up of a file that is wrong, and its place is named.
func TestTunnelRefusesWrongFiles(t *testing.T) {
	s := newTunnelScene(t)
	before := s.snapshot()
	// Only its files know names here: the laboratory's resolver knows all of them.
	if err := os.WriteFile(s.lab.Client.Path("/etc/nsswitch.conf"), []byte("hosts: files\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.configureTunnel(allowedSplit)
	good, err := os.ReadFile(s.lab.Client.Path(s.conf))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		mode     os.FileMode
		says     string
	}{
		{"", "", 0o644, `"/etc/vpnguard/own0.conf" holds a private key and its mode 0644 lets its group and every user at it: chmod 600`},
		{"PrivateKey = ", "PrivateKey = x", 0o600, "own0.conf:2:14: PrivateKey is no key"},
		{"PublicKey = ", "PublicKey = AA", 0o600, "own0.conf:6:13: PublicKey is no key"},
		{"10.8.0.2/24", "10.8.0.2/33", 0o600, "own0.conf:3:11: Address"},
		{":1194", ":0", 0o600, "own0.conf:8:12: Endpoint"},
		{"203.0.113.10:1194", "nosuch.example:1194", 0o600, "find the endpoint of the peer in line 5"},
		{"Endpoint", "Endpiont", 0o600, `own0.conf:8:1: [Peer] has no name "Endpiont"`},
		{"Endpoint = 203.0.113.10:1194", "", 0o600, "a peer has no Endpoint and there is no ListenPort"},
		{"\n\n", "\nPostUp = reboot\n", 0o600, "own0.conf:4: PostUp: a command of the file would be run as root"},
		{"\n\n", "\nTable = off\n", 0o600, "Table: only auto is understood"},
		{"\n\n", "\nSaveConfig = true\n", 0o600, "SaveConfig = true: the file is never written"},
	} {
		text := strings.Replace(string(good), c.old, c.new, 1)
		if c.old != "" && text == string(good) {
			t.Fatalf("%q is not in the file", c.old)
		}
		s.writeTunnel(text, c.mode)
		_, said, code := s.vpnguard("tunnel", "up", s.conf)
		if code == 0 || !strings.Contains(said, c.says) || !strings.Contains(said, "nothing was changed") || strings.Contains(said, s.private.Reveal()) {
			t.Errorf("want %q, exit %d:\n%s", c.says, code, said)
		}
	}
	s.configureTunnel(allowedSplit)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"tunnel", "up", "nosuch"}, "/etc/vpnguard/nosuch.conf: no such file"},
		{[]string{"tunnel", "up", s.conf, "--name", "a/b"}, "byte 0x2f"},
		{[]string{"tunnel", "up", s.conf, "--owner", "nosuchuser"}, `owner "nosuchuser"`},
		{[]string{"tunnel", "up", s.conf, "--on-failure", "open"}, "--on-failure"},
		{[]string{"tunnel", "down", "own0"}, `no tunnel "own0" is up`},
	} {
		if _, said, code := s.vpnguard(c.args...); code != 2 || !strings.Contains(said, c.says) {
			t.Errorf("%q: exit %d:\n%s", c.args, code, said)
		}
	}
	s.gone(before)
}
