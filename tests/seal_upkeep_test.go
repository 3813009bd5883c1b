package tests

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// Link upkeep leaves by packet sockets too, as DHCP clients use them; what only
// resembles it does not.
func TestLinkUpkeepPassesTheSealInItsExactFormOnly(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		s := newScene(t, "")
		srv := openvpn.Server{}
		s.serve(srv)
		if sealed {
			s.connect(clientOf(srv))
		} else {
			s.bare(clientOf(srv))
		}
		for _, f := range forms() {
			m := s.mark()
			said := s.jobWith(s.lab.Client, hex.EncodeToString(f.frame)+"\n", "frames", "eth0")
			frames := s.since(m)
			seen := 0
			for _, got := range frames {
				if bytes.HasPrefix(got.Data, f.frame) {
					seen++
				}
			}
			want := 1
			if sealed && !f.exact {
				want = 0
			}
			if seen != want || (said == "sent") != (want == 1) {
				t.Errorf("sealed %t: %s: on the wire %d times, want %d; the kernel: %s", sealed, f.name, seen, want, said)
			}
			v := s.policy(srv).Judge(frames)
			if bad := len(v.Leaks) > 0; bad != (!sealed && !f.exact) {
				t.Errorf("sealed %t: %s: %v", sealed, f.name, v)
			}
		}
	}
}

// The same by sockets, which the output chain sees first.
func TestDHCPBySocketsPassesTheSealInItsExactFormOnly(t *testing.T) {
	list := []struct {
		name     string
		exact    bool
		from, to string
		payload  []byte
	}{
		{"renewal", true, "68", "192.168.1.1:67", bootp(1, true)},
		{"broadcast", true, "68", "255.255.255.255:67", bootp(1, true)},
		{"to a public address", false, "68", "8.8.8.8:67", bootp(1, true)},
		{"to the server's address", false, "68", "203.0.113.10:67", bootp(1, true)},
		{"from another port", false, "69", "192.168.1.1:67", bootp(1, true)},
		{"to another port", false, "68", "192.168.1.1:68", bootp(1, true)},
		{"reply", false, "68", "192.168.1.1:67", bootp(2, true)},
		{"without its cookie", false, "68", "192.168.1.1:67", bootp(1, false)},
		{"another datagram", false, "68", "192.168.1.1:67", []byte("vpnguard")},
	}
	for _, sealed := range []bool{false, true} {
		s := newScene(t, "")
		srv := openvpn.Server{}
		s.serve(srv)
		if sealed {
			s.connect(clientOf(srv))
		} else {
			s.bare(clientOf(srv))
		}
		for _, d := range list {
			m := s.mark()
			said := s.job(s.lab.Client, "datagram", "eth0", d.from, d.to, hex.EncodeToString(d.payload))
			frames := s.since(m)
			needle := wire.Evidence{Needles: [][]byte{d.payload}}
			pass := !sealed || d.exact
			if seen := len(needle.Find(frames)) > 0; seen != pass || (said == "sent") != pass {
				t.Errorf("sealed %t: %s: on the wire: %t, want %t; the kernel: %s", sealed, d.name, seen, pass, said)
			}
			v := s.policy(srv).Judge(frames)
			if bad := len(v.Leaks) > 0; bad != (pass && !d.exact) {
				t.Errorf("sealed %t: %s: %v", sealed, d.name, v)
			}
		}
	}
}

// A real client renews its lease and takes a new one behind the seal.
func TestALeaseIsRenewedBehindTheSeal(t *testing.T) {
	t.Parallel()
	for _, srv := range []openvpn.Server{{}, {Address: site.Server6}} {
		s := newScene(t, "")
		s.serve(srv)
		s.dhcpServer()
		said, dhcp := s.dhcpClient()
		s.saysLease(said, "bound", 1)
		s.connect(clientOf(srv))
		s.alive("with a lease")
		policy, start := s.policy(srv), s.mark()
		// A renewal goes by a socket, to the server; the discovery that follows a
		// release goes by a packet socket, to all.
		if err := dhcp(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		s.saysLease(said, "renew", 1)
		renewed := policy.Judge(s.since(start))
		for _, sig := range []syscall.Signal{syscall.SIGUSR2, syscall.SIGUSR1} {
			if err := dhcp(sig); err != nil {
				t.Fatal(err)
			}
		}
		s.saysLease(said, "bound", 2)
		// The way to the router is learnt anew by ARP and neighbour discovery.
		if err := s.lab.Client.Script(s.ctx, "ip -4 neigh flush all\nip -6 neigh flush all\n"); err != nil {
			t.Fatal(err)
		}
		s.alive("after the renewal")
		v := s.explained(start, policy)
		if renewed.Counts[wire.DHCP] == 0 || v.Counts[wire.DHCP] < renewed.Counts[wire.DHCP]+2 {
			t.Errorf("want a renewal, a discovery and a request on the wire: %v, then %v", renewed, v)
		}
		upkeep := wire.ARP
		if srv.Address.Is6() {
			upkeep = wire.ND
		}
		if v.Counts[upkeep] == 0 {
			t.Errorf("want the router asked for anew: %v", v)
		}
	}
}

func (s *scene) dhcpServer() {
	s.Helper()
	// Without a daemon it keeps its uid, where there may be no other.
	s.background(s.lab.Gateway, "dnsmasq", "--no-daemon", "--port=0", "--interface=lan0", "--bind-interfaces",
		"--conf-file=/dev/null", "--dhcp-leasefile=/run/leases", "--dhcp-authoritative", "--no-ping",
		"--dhcp-range=192.168.1.101,192.168.1.101,120s")
}

// dhcpClient starts udhcpc, which changes nothing and notes in the file what it
// was told, and returns how to signal it.
func (s *scene) dhcpClient() (notes string, signal func(syscall.Signal) error) {
	s.Helper()
	notes = filepath.Join(s.lab.Dir, "lease.log")
	script := filepath.Join(s.lab.Dir, "lease")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$1 $ip\" >> "+notes+"\n"), 0o755); err != nil {
		s.Fatal(err)
	}
	return notes, s.background(s.lab.Client, "busybox", "udhcpc", "-f", "-i", "eth0", "-t", "20", "-T", "1", "-s", script)
}

// background runs a command in a node until the scene ends.
func (s *scene) background(node *lab.Node, name string, args ...string) (signal func(syscall.Signal) error) {
	s.Helper()
	cmd := node.Command(s.ctx, name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("%s said:\n%s", name, said.String())
		}
	})
	return func(sig syscall.Signal) error { return cmd.Process.Signal(sig) }
}

// saysLease waits until the client's script was called n times with this word
// and the LAN's address.
func (s *scene) saysLease(notes, word string, n int) {
	s.Helper()
	want := word + " " + site.Client.String() + "\n"
	for {
		text, err := os.ReadFile(notes)
		if err != nil && !os.IsNotExist(err) {
			s.Fatal(err)
		}
		if strings.Count(string(text), want) >= n {
			return
		}
		select {
		case <-s.ctx.Done():
			s.Fatalf("no %q %d times in:\n%s", want, n, text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
