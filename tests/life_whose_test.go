package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// hookUp makes a tunnel device and seals it by the hook of a client with this
// process id.
func (s *scene) hookUp(pid int) {
	s.Helper()
	if err := s.lab.Client.Script(s.ctx, "ip tuntap add tun0 mode tun\nip addr add 10.8.0.2/24 dev tun0\nip link set tun0 up\n"); err != nil {
		s.Fatal(err)
	}
	env := append(whoseEnv("up", pid), "trusted_ip=203.0.113.10", "trusted_port=1194", "ifconfig_local=10.8.0.2", "ifconfig_netmask=255.255.255.0")
	if _, message, code := s.run(env, "up", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"); code != 0 {
		s.Fatalf("up exits %d: %s", code, message)
	}
}

func whoseEnv(script string, pid int) []string {
	return []string{"script_type=" + script, "script_context=init", "dev=tun0", fmt.Sprintf("daemon_pid=%d", pid),
		"remote_1=203.0.113.10", "remote_port_1=1194", "proto_1=udp4"}
}

// living starts a process that stands for a client.
func (s *scene) living() int {
	s.Helper()
	cmd := s.lab.Client.Command(s.ctx, "sleep", "600")
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// A device's name may belong to another client by the time that a late `down` runs.
func TestClientEndsItsOwnSessionOnly(t *testing.T) {
	s := newScene(t, "")
	mine, other := s.living(), s.living()
	s.hookUp(mine)
	_, message, code := s.run(append(whoseEnv("down", other), "signal=sigterm"), "down", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init")
	if code == 0 || !strings.Contains(message, "no session of process") {
		t.Errorf("the other client's down exits %d: %s", code, message)
	}
	s.state("sealed")
	if _, message, code = s.run(append(whoseEnv("down", mine), "signal=sigterm"), "down", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"); code != 0 {
		t.Errorf("its own down exits %d: %s", code, message)
	}
	s.state("open")
}

func TestRecordOfAnotherNetworkNamespaceIsLeftAlone(t *testing.T) {
	s := newScene(t, "")
	s.hookUp(s.living())
	file := s.lab.Client.Path("/run/vpnguard/state.json")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"recover"}, {"down", "--all"}, {"unlock"}, {"status"}} {
		out, err := s.lab.Client.Command(s.ctx, "unshare", append([]string{"--net", s.exe}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "network namespace") {
			t.Errorf("%q elsewhere: %v: %s", args, err, out)
		}
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(before) {
		t.Errorf("the record was changed: %v", err)
	}
	s.must(0, "status")
}

func TestWireIsNoGuest(t *testing.T) {
	s := newScene(t, "")
	if err := s.lab.Client.Script(s.ctx, "ip tuntap add tun0 mode tun\nip link set tun0 up\nmkdir -p /etc/vpnguard\necho 'guests = [\"eth0\"]' > /etc/vpnguard/vpnguard.toml\n"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"up", "--dev", "tun0", "--endpoint", "203.0.113.10:1194/udp"}, {"lock"}, {"lock", "--guests", "eth0"}} {
		if _, message := s.must(2, args...); !strings.Contains(message, "it is a wire") {
			t.Errorf("%q: %s", args, message)
		}
	}
	s.state("open")
}
