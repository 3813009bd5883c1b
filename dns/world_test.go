package dns

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
)

// unpacked is where `make resolvers` unpacks the owners.
const unpacked = "../.cache/resolvers"

func owners(t *testing.T, name string) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join(unpacked, name))
	if err == nil {
		_, err = os.Stat(root)
	}
	if err != nil {
		t.Fatalf("find %s, which `make resolvers` unpacks: %v", name, err)
	}
	return root
}

// daemon runs a program until the test or the function ends it.
func daemon(t *testing.T, env []string, name string, args ...string) (stop func()) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", name, said.String())
		}
	}
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func sh(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

const busConfig = `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>`

// systemBusRuns starts a bus of the test's own.
func systemBusRuns(t *testing.T) {
	t.Helper()
	sh(t, "mkdir -p /run/dbus")
	if err := os.WriteFile("/run/bus.conf", []byte(busConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(systemBus)
	stop := daemon(t, nil, "dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--nopidfile")
	_ = stop
	until(t, "the bus listens", func() bool { _, err := os.Stat(systemBus); return err == nil })
}

// resolvedRuns starts the real systemd-resolved; the function ends it.
func resolvedRuns(t *testing.T) (stop func()) {
	t.Helper()
	uid := "990"
	if lab.SingleUID() {
		uid = "0"
	}
	sh(t, `grep -q '^systemd-resolve:' /etc/passwd || { echo 'systemd-resolve:x:`+uid+`:`+uid+`::/:/bin/false' >> /etc/passwd; echo 'systemd-resolve:x:`+uid+`:' >> /etc/group; }
mkdir -p /run/systemd/resolve /etc/systemd; chown `+uid+`:`+uid+` /run/systemd/resolve
printf '[Resolve]\nDNS=192.168.1.1\nFallbackDNS=\n' > /etc/systemd/resolved.conf`)
	stop = daemon(t, []string{"SYSTEMD_LOG_LEVEL=info"}, owners(t, "systemd-resolved")+"/lib/systemd/systemd-resolved")
	until(t, "systemd-resolved answers", func() bool { return System{}.answers(resolvedName) })
	return stop
}

func tunnelDevice(t *testing.T, name string) {
	t.Helper()
	sh(t, "ip tuntap add dev "+name+" mode tun && ip addr add 10.8.0.2/24 dev "+name+" && ip link set "+name+" up")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// set goes the whole way: prepare, apply, verify.
func set(t *testing.T, s System, o Owner, old *Saved, w Wish) Saved {
	t.Helper()
	next, err := s.Prepare(o, old, w)
	if err == nil {
		next, err = s.Apply(next)
	}
	if err != nil {
		t.Fatal(err)
	}
	if drift := s.Verify(next); len(drift) > 0 {
		t.Fatalf("just set, and: %q", drift)
	}
	return next
}

func giveAllBack(t *testing.T, s System, saved Saved) {
	t.Helper()
	if warnings, err := s.Restore(saved); err != nil || len(warnings) > 0 {
		t.Fatalf("restore: %q, %v", warnings, err)
	}
}

// resolvctl is systemd-resolved's own tool: it tells what was really set.
func resolvectl(t *testing.T, args string) string {
	t.Helper()
	return strings.TrimSpace(sh(t, owners(t, "systemd-resolved")+"/usr/bin/resolvectl --no-pager "+args))
}
