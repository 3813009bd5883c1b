package tests

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/state"
)

func TestHookNeedsLittleMemory(t *testing.T) {
	t.Parallel()
	for endpoints, most := range map[int]int64{
		1: 20 << 10,
		// More than the hook (1024) and the configuration (256) take.
		1_500: 20 << 10,
		// By hand only. Both tables have two sets of them, each element of
		// which is a few hundred bytes until the kernel has it.
		10_000: 40 << 10,
	} {
		t.Run(fmt.Sprintf("%d endpoints", endpoints), func(t *testing.T) {
			s := newScene(t, "")
			srv := openvpn.Server{}
			s.serve(srv)
			// The client only lends its tunnel; the calls are made by hand, with
			// what it would tell.
			client, err := openvpn.Client{Remotes: remotes(srv)}.Start(s.ctx, s.lab, s.pki)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.WaitUp(s.ctx, 1); err != nil {
				t.Fatal(err)
			}
			before := s.snapshot()
			call := func(name string, variables ...string) {
				t.Helper()
				command, _, _ := strings.Cut(name, " ")
				env := append(variables, "script_type="+command, "dev=tun0", "daemon_pid="+strconv.Itoa(client.PID()), "remote_1=203.0.113.10",
					"remote_port_1=1194", "proto_1=udp", "trusted_ip=203.0.113.10", "trusted_port=1194", "ifconfig_local=10.8.0.2", "ifconfig_netmask=255.255.255.0")
				kib := s.peak(env, command, "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init")
				t.Logf("%s: %.1f MiB", name, float64(kib)/1024)
				if kib > most {
					t.Errorf("%s needs %d KiB, more than %d", name, kib, most)
				}
			}
			call("up")
			s.known(endpoints)
			call("up again")
			if v := s.view(); v.State != "sealed" || len(v.Sessions[0].Endpoints) != endpoints {
				t.Errorf("%s with %d endpoints", v.State, len(v.Sessions[0].Endpoints))
			}
			call("down of a restart", "signal=sigusr1")
			call("down", "signal=sigterm")
			s.restored(before)
		})
	}
}

// known lets the session know as many servers as if its client had moved
// through them. A configuration may have 256, so they go into the record.
func (s *scene) known(endpoints int) {
	s.Helper()
	store := state.New(s.lab.Client.Path("/run/vpnguard"))
	if err := store.Lock(s.ctx); err != nil {
		s.Fatal(err)
	}
	defer func() { _ = store.Unlock() }()
	var rec guard.Record
	if _, err := store.Load(&rec); err != nil {
		s.Fatal(err)
	}
	ends := &rec.Sessions[0].Endpoints
	for i := len(*ends); i < endpoints; i++ {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i / 250), byte(i%250 + 1)})
		*ends = append(*ends, endpoint.Endpoint{Addr: netip.AddrPortFrom(addr, 1194), Proto: endpoint.UDP})
	}
	if err := store.Save(rec); err != nil {
		s.Fatal(err)
	}
}

// peak runs vpnguard to its end and returns its ru_maxrss, in KiB. That of a
// direct child would be this program's own: it shares our memory until its
// exec. So a shell forks it and ends, and this program adopts it and gets its
// wait status.
func (s *scene) peak(env []string, args ...string) int64 {
	s.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		s.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	said := filepath.Join(s.lab.Dir, "said")
	cmd := s.lab.Client.Command(s.ctx, "/bin/sh", append([]string{"-c", `"$@" >"` + said + `" 2>&1 & echo $!`, "sh", s.exe}, args...)...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		s.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		s.Fatal(err)
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	if _, err := syscall.Wait4(pid, &status, 0, &usage); err != nil {
		s.Fatalf("wait for vpnguard: %v", err)
	}
	if text, _ := os.ReadFile(said); !status.Exited() || status.ExitStatus() != 0 {
		s.Fatalf("vpnguard %.200q: %v\n%s", args, status, text)
	}
	return usage.Maxrss
}
