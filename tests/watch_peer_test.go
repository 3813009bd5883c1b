package tests

import (
	be "encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// A client that gave its privileges up ends its session through the guardian.
func TestClientWithoutPrivilegesOpensThroughTheGuardian(t *testing.T) {
	if lab.SingleUID() {
		t.Skip("only root exists here: an ordinary user without newuidmap cannot give openvpn another uid")
	}
	s := newScene(t, "")
	before := s.snapshot()
	srv := openvpn.Server{}
	s.serve(srv)
	g := s.watch()
	client := s.connect(openvpn.Client{Remotes: remotes(srv), User: "nobody", PersistTun: true})
	s.state("sealed")
	s.closed(lockProbes[:3])
	if _, err := client.Stop(s.ctx); err != nil {
		t.Fatalf("%v\n%s\n%s", err, client.Log(), g.log())
	}
	s.state("open")
	if v := s.guardian(); v.Running {
		g.says(`call=stop caller="uid 65534`)
	}
	_ = g.ends(syscall.SIGTERM)
	s.restored(before)
}

// Behind the lock the end of a session opens nothing.
func TestClientWithoutPrivilegesLeavesTheLockOn(t *testing.T) {
	if lab.SingleUID() {
		t.Skip("only root exists here: an ordinary user without newuidmap cannot give openvpn another uid")
	}
	s := newScene(t, "")
	srv := openvpn.Server{}
	s.serve(srv)
	s.must(0, "lock", "--endpoint", srv.Endpoint().String()+"/udp", "--owner", "0", "--owner", "nobody")
	g := s.watch()
	client := s.connect(openvpn.Client{Remotes: remotes(srv), User: "nobody", PersistTun: true})
	s.state("sealed")
	if _, err := client.Stop(s.ctx); err != nil {
		t.Fatalf("%v\n%s\n%s", err, client.Log(), g.log())
	}
	s.state("locked")
	s.closed(lockProbes[:3])
}

// A stranger ends nothing, whatever it says of itself; neither does a uid that
// only stands for what cannot be mapped.
func TestStrangersAreRefusedByTheGuardian(t *testing.T) {
	if lab.SingleUID() {
		t.Skip("only root exists here: there is no stranger")
	}
	s := newScene(t, "")
	srv := openvpn.Server{}
	s.serve(srv)
	g := s.watch()
	client := s.connect(openvpn.Client{Remotes: remotes(srv)})
	hookEnv := []string{"script_type=down", "dev=tun0", "signal=sigterm", "daemon_pid=" + strconv.Itoa(client.PID())}
	for _, c := range []struct {
		uid  int
		env  []string
		args []string
	}{
		{1000, nil, []string{"down", "--dev", "tun0"}},
		{1000, nil, []string{"down", "--all"}},
		{1000, hookEnv, []string{"down", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"}},
		{1000, nil, []string{"unlock"}},
		{1000, nil, []string{"recover"}},
		{1000, nil, []string{"lock"}},
		{1000, nil, []string{"confirm"}},
		{65534, nil, []string{"down", "--dev", "tun0"}},
	} {
		cmd := s.lab.Client.CommandAs(s.ctx, c.uid, s.exe, c.args...)
		cmd.Env = append(cmd.Environ(), c.env...)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 4 {
			t.Errorf("uid %d, vpnguard %q: %v: %s", c.uid, c.args, err, out)
		}
	}
	s.state("sealed")
	g.says(`msg="refused or failed" caller="uid 1000`)
	// Root of another user namespace is root of nothing here.
	out, err := s.lab.Client.CommandAs(s.ctx, 1000, "unshare", "-r", s.exe, "down", "--dev", "tun0").CombinedOutput()
	if err == nil {
		t.Errorf("root of another user namespace: %s", out)
	}
	s.state("sealed")
	// The control: root may.
	s.must(0, "down", "--dev", "tun0")
	s.state("open")
}

// Whatever comes in at the socket, the guardian goes on.
func TestGuardianSurvivesHostileCalls(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	s.must(0, "lock")
	g := s.watch()
	socket := s.lab.Client.Path("/run/vpnguard/guardian/socket")
	if len(socket) > 100 { // sun_path has 108 bytes
		link := filepath.Join(s.lab.Dir, "gs")
		if err := os.Symlink(filepath.Dir(socket), link); err != nil {
			t.Fatal(err)
		}
		socket = filepath.Join(link, "socket")
	}
	frame := func(body string) []byte {
		return append(be.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	for name, bytes := range map[string][]byte{
		"nothing":            nil,
		"half a length":      {0, 0},
		"a length alone":     {0, 0, 16, 0},
		"a huge length":      {0xff, 0xff, 0xff, 0xff},
		"no JSON":            frame("GET / HTTP/1.1"),
		"an unknown field":   frame(`{"version":1,"verb":"unlock","sudo":true}`),
		"an unknown verb":    frame(`{"version":1,"verb":"open"}`),
		"another version":    frame(`{"version":99,"verb":"unlock"}`),
		"another namespace":  frame(`{"version":1,"netns":1,"verb":"unlock"}`),
		"something behind":   frame(`{"version":1,"netns":1,"verb":"unlock"}{}`),
		"deep nesting":       frame(strings.Repeat("[", 100000)),
		"a verb without all": frame(`{"version":1,"verb":"stop"}`),
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Write(bytes)
		if u := conn.(*net.UnixConn); name != "a length alone" {
			_ = u.CloseWrite()
		}
		answer := make([]byte, 4096)
		n, _ := conn.Read(answer)
		if !strings.Contains(string(answer[:n]), `"failure"`) || !strings.Contains(string(answer[:n]), "nothing was changed") {
			t.Errorf("%s: answer %q", name, answer[:n])
		}
		_ = conn.Close()
	}
	s.must(0, "status")
	s.state("locked")
	if v := s.guardian(); !v.Running {
		t.Errorf("the guardian is gone:\n%s", g.log())
	}
}
