package tests

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// binary is the program under test, built once. With the build tag
// faultpoints it can be killed and refused at marked points.
func binary(t testing.TB, tags string) string {
	t.Helper()
	path, err := built(tags)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// envBinary names the program under test where there is no Go to build it.
const envBinary = "VPNGUARD_TEST_BINARY"

var (
	builds   = map[string]string{}
	buildsMu sync.Mutex
)

func built(tags string) (string, error) {
	buildsMu.Lock()
	defer buildsMu.Unlock()
	if path, ok := builds[tags]; ok {
		return path, nil
	}
	if path := os.Getenv(envBinary); path != "" && tags == "" {
		return path, nil
	}
	path := filepath.Join(lab.WorkDir, "bin"+tags, "vpnguard")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", tags, "-o", path, "../cmd/vpnguard")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build vpnguard: %w: %s", err, out)
	}
	builds[tags] = path
	return path, nil
}

// scene is a laboratory, a VPN server and the program under test.
type scene struct {
	testing.TB
	ctx  context.Context
	lab  *lab.Lab
	pki  openvpn.PKI
	exe  string
	user int // an ordinary uid, or root where there is no other

	onlyRoot sync.Once // so that it is said once
}

// sceneTime bounds one test, life-cycle tests included.
const sceneTime = 150 * time.Second

func newScene(t testing.TB, tags string) *scene { return newSceneFor(t, tags, sceneTime) }

// newSceneFor is newScene for a test that needs longer than others.
func newSceneFor(t testing.TB, tags string, limit time.Duration) *scene {
	t.Helper()
	exe := binary(t, tags)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	pki, err := openvpn.NewPKI(filepath.Join(l.Dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{TB: t, ctx: ctx, lab: l, pki: pki, exe: exe, user: 1000}
	if lab.SingleUID() {
		s.user = 0
	}
	return s
}

// transport is how the client reaches its server.
type transport struct {
	name  string
	proto string // of openvpn
	addr  netip.Addr
}

// serve starts the VPN server.
func (s *scene) serve(srv openvpn.Server) *openvpn.Process {
	s.Helper()
	p, err := srv.Start(s.ctx, s.lab, s.pki)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// connect starts the client with the hooks wired, and waits for the tunnel.
func (s *scene) connect(c openvpn.Client) *openvpn.Process {
	s.Helper()
	p := s.start(c)
	if err := p.WaitUp(s.ctx, 1); err != nil {
		s.Fatal(err)
	}
	return p
}

// start starts the client with the hooks wired as the README says.
func (s *scene) start(c openvpn.Client) *openvpn.Process {
	s.Helper()
	c.Up, c.Down = s.exe+" up", s.exe+" down"
	p, err := c.Start(s.ctx, s.lab, s.pki)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// vpnguard runs the program in the client's namespaces as root.
func (s *scene) vpnguard(args ...string) (stdout, stderr string, code int) {
	s.Helper()
	return s.run(nil, args...)
}

func (s *scene) run(env []string, args ...string) (stdout, stderr string, code int) {
	s.Helper()
	cmd := s.lab.Client.Command(s.ctx, s.exe, args...)
	cmd.Env = append(cmd.Environ(), env...)
	var out, message strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &message
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.Fatalf("vpnguard %q: %v", args, err)
	}
	return out.String(), message.String(), cmd.ProcessState.ExitCode()
}

// must runs the program and demands an exit status.
func (s *scene) must(want int, args ...string) (stdout, stderr string) {
	s.Helper()
	stdout, stderr, code := s.vpnguard(args...)
	if code != want {
		s.Fatalf("vpnguard %q: exit %d, want %d\n%s%s", args, code, want, stdout, stderr)
	}
	return stdout, stderr
}

// policy explains what may be on the wire while the carrier is sealed.
func (s *scene) policy(srv openvpn.Server) wire.Policy {
	proto := wire.UDP
	if srv.Proto == "tcp" {
		proto = wire.TCP
	}
	return s.lab.Policy(wire.Carrier{Remote: srv.Endpoint(), Proto: proto})
}

func (s *scene) snapshot() lab.Snapshot {
	s.Helper()
	snap, err := s.lab.Client.Snapshot(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	return snap
}

// restored demands that the client's host is as it was.
func (s *scene) restored(before lab.Snapshot) {
	s.Helper()
	if diff := before.Diff(s.snapshot()); diff != "" {
		s.Errorf("the host is not as it was before (-before +after):\n%s", diff)
	}
}

func remotes(servers ...openvpn.Server) []netip.AddrPort {
	var list []netip.AddrPort
	for _, srv := range servers {
		list = append(list, srv.Endpoint())
	}
	return list
}
