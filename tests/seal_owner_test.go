package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// dedicated is the uid that an OpenVPN has for itself.
const dedicated = 1001

// carrierProbes are those at the endpoint, and which of them the hole is for.
var carrierProbes = []struct {
	name string
	hole bool
}{{"udp-carrier-port", true}, {"tcp-carrier-port", false}, {"udp-server", false}, {"icmp-server", false}}

func TestOnlyTheDedicatedOwnerMayUseTheHole(t *testing.T) {
	t.Parallel()
	if lab.SingleUID() {
		t.Skip("not tested: that root and an ordinary user are refused at the endpoint of a client with a uid of its own, and that this uid is not; only root exists in this laboratory")
	}
	srv := openvpn.Server{}
	s := newScene(t, "")
	s.serve(srv)
	s.openvpnAs(srv)
	before := s.snapshot() // with the client's device and routes, which stay
	uids := []int{0, s.user, dedicated}
	for _, p := range carrierProbes {
		for _, uid := range uids {
			a, err := s.lab.Control(s.ctx, s.lab.Client, uid, probe.Order{Name: p.name})
			if err != nil || len(a.Seen) == 0 {
				t.Errorf("control of %s as uid %d: %v", p.name, uid, err)
			}
		}
	}
	_, said := s.must(0, "up", "--dev", "tun0", "--endpoint", "203.0.113.10:1194/udp", "--owner", fmt.Sprint(dedicated))
	if !strings.Contains(said, fmt.Sprintf("owner uid %d", dedicated)) {
		t.Errorf("up did not say whose the hole is: %s", said)
	}
	s.alive("of a client with its own uid")
	policy, start := s.policy(srv), s.mark()
	for _, p := range carrierProbes {
		for _, uid := range uids {
			x := try{Probe: probe.Probe{Name: p.name}, uid: uid, order: probe.Order{Name: p.name}}
			if p.hole && uid == dedicated {
				s.ownerPasses(x, policy)
			} else {
				s.silent(s.lab.Client, uid, x.order, policy)
			}
			s.alive(fmt.Sprintf("after %s as uid %d", p.name, uid))
		}
	}
	s.explained(start, policy)
	s.must(0, "down", "--dev", "tun0")
	s.restored(before)
}

// openvpnAs starts OpenVPN as the dedicated uid, with the one capability that
// it needs for its device and routes, and waits for the tunnel.
func (s *scene) openvpnAs(srv openvpn.Server) {
	s.Helper()
	key := filepath.Join(s.pki.Dir, "client.key")
	if err := errors.Join(os.Chmod(s.pki.Dir, 0o755), os.Chown(key, dedicated, dedicated)); err != nil {
		s.Fatal(err)
	}
	id := fmt.Sprint(dedicated)
	s.openvpnBy("own-uid", clientOf(srv), "setpriv", "--reuid", id, "--regid", id, "--clear-groups",
		"--inh-caps", "+net_admin", "--ambient-caps", "+net_admin", "--")
}

// openvpnBy starts OpenVPN by another program and waits for the tunnel.
func (s *scene) openvpnBy(name string, c openvpn.Client, by ...string) {
	s.Helper()
	conf, log := filepath.Join(s.lab.Dir, name+".conf"), filepath.Join(s.lab.Dir, name+".log")
	if err := os.WriteFile(conf, []byte(c.Config(s.pki)), 0o644); err != nil {
		s.Fatal(err)
	}
	file, err := os.Create(log)
	if err != nil {
		s.Fatal(err)
	}
	defer file.Close()
	cmd := s.lab.Client.Command(s.ctx, by[0], append(by[1:], "openvpn", "--config", conf)...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			s.Fatal(err)
		}
		if strings.Contains(string(text), openvpn.Completed) {
			return
		}
		select {
		case <-ended:
			s.Fatalf("openvpn ended:\n%s", text)
		case <-s.ctx.Done():
			s.Fatalf("openvpn is not up:\n%s", text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestOnlyTheCgroupMayUseTheHole(t *testing.T) {
	t.Parallel()
	group, path := newCgroup(t)
	srv := openvpn.Server{}
	s := newScene(t, "")
	s.serve(srv)
	s.configure(fmt.Sprintf("cgroup = %q\n", path))
	c := clientOf(srv)
	control := s.mark()
	for _, in := range []string{"", group} {
		s.nonceFrom(in, control, true)
	}
	c.Up, c.Down = s.exe+" up", s.exe+" down"
	s.openvpnBy("cgroup", c, inGroup(group)...)
	s.must(0, "status")
	s.alive("of a client in a cgroup")
	policy, start := s.policy(srv), s.mark()
	s.nonceFrom("", start, false) // root, as the client is, but another cgroup
	s.nonceFrom(group, start, true)
	s.silent(s.lab.Client, 0, probe.Order{Name: "udp-carrier-port"}, policy)
	s.silent(s.lab.Client, s.user, probe.Order{Name: "udp-carrier-port"}, policy)
	s.alive("after the probes")
	s.explained(start, policy)
}

// nonceFrom sends a nonce to the carrier's endpoint as root from a cgroup, if
// one is given, and demands that it is on the wire or not.
func (s *scene) nonceFrom(group string, m lab.Mark, want bool) {
	s.Helper()
	nonce := probe.NewNonce()
	args := append(inGroup(group), "bash", "-c", "echo "+nonce+" > /dev/udp/203.0.113.10/1194")
	out, err := s.lab.Client.Command(s.ctx, args[0], args[1:]...).CombinedOutput()
	seen := len(wire.FindNonce(s.since(m), nonce)) > 0
	if seen != want || seen != (err == nil) {
		s.Errorf("to the endpoint from cgroup %q: on the wire: %t, want %t; the sender: %v: %s", group, seen, want, err, out)
	}
}

// inGroup is a command line's beginning that puts the rest into a cgroup.
func inGroup(group string) []string {
	if group == "" {
		return []string{"env"}
	}
	return []string{"sh", "-c", `echo 0 > "$0/cgroup.procs" && exec "$@"`, group}
}

// newCgroup makes a cgroup v2 directory for the test: where it is, and its
// path in the hierarchy. The skip says what is missing.
func newCgroup(t *testing.T) (dir, path string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		path = fmt.Sprintf("/vpnguard-test-%d", os.Getpid())
		own, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(own)) {
			if at, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found && at != "/" {
				path = at + path
			}
		}
		dir = f[1] + path
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("not tested: a cgroup as the owner: a directory cannot be made there: %v", err)
		}
		t.Cleanup(func() { removeCgroup(t, dir) })
		probe := exec.Command("sh", "-c", `echo 0 > "$0/cgroup.procs"`, dir)
		if out, err := probe.CombinedOutput(); err != nil {
			t.Skipf("not tested: a cgroup as the owner: no process can be put into %q: %v: %s", dir, err, out)
		}
		return dir, path
	}
	t.Skip("not tested: a cgroup as the owner: no cgroup2 file system is mounted")
	return "", ""
}

// removeCgroup waits for the last process in it to be gone.
func removeCgroup(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for os.Remove(dir) != nil {
		select {
		case <-ctx.Done():
			t.Errorf("cgroup %q is still in use", dir)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
