package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// A server's peers may be anywhere, behind the lock too; and nothing but its port
// is open for them.
func TestTunnelServesPeersThatAreAnywhere(t *testing.T) {
	s := newTunnelScene(t)
	conf := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24, fd00:8::2/64\nListenPort = 51820\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.8.0.1/32, fd00:8::1/128\n",
		s.private.Reveal(), s.public, s.shared.Reveal())
	s.writeTunnel(conf, 0o600)
	before := s.snapshot()
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--profile", "full"); code != 2 || !strings.Contains(said, "give --profile split") {
		t.Errorf("a server with profile full: exit %d:\n%s", code, said)
	}
	ping := func(want bool, wait string) { // a handshake is tried again after 5 s
		t.Helper()
		out, err := s.lab.Gateway.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", wait, "10.8.0.2")
		if (err == nil) != want {
			t.Errorf("the peer reaches the server %t, want %t: %v: %s", err == nil, want, err, out)
		}
	}
	s.portOfSomebodyElse()
	s.must(0, "lock")
	s.job(s.lab.Gateway, append(s.dial, "192.168.1.101:51820")...)
	ping(false, "1") // the control: nobody serves
	s.up()
	ping(true, "8")
	s.must(0, "status")
	s.comesToRest()
	// No program, not even root, sends from there to anywhere.
	policy := s.policyOf()
	policy.Carriers = nil
	for _, x := range s.tries(far, []string{"udp-public", "udp-server", "udp-lan", "bind-device-udp", "dns-udp-lan"}) {
		a, err := s.lab.Try(s.ctx, s.lab.Client, x.uid, probe.Order{Name: x.Name})
		if err != nil || len(a.Seen) > 0 {
			t.Errorf("%s as uid %d beside the server: %d frames, %v", x.Name, x.uid, len(a.Seen), err)
		}
	}
	// Peers come and go without the seal, and get nothing of its else.
	out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "peer", s.public.String(), "allowed-ips", "10.8.0.1/32,fd00:8::1/128,10.8.0.9/32")
	if err != nil {
		t.Errorf("an address inside for a peer: %v: %s", err, out)
	}
	if out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "peer", s.public.String(), "allowed-ips", "8.8.8.0/24"); err == nil {
		t.Errorf("an address outside for a peer: %s", out)
	}
	s.peersChangeWhileItRuns()
	s.must(0, "tunnel", "down", "own0")
	s.must(0, "unlock")
	s.gone(before)
}

// portOfSomebodyElse holds the server's port: any program of the host can.
func (s *tunnelScene) portOfSomebodyElse() {
	s.Helper()
	before := s.snapshot()
	s.job(s.lab.Client, "hold", "51820", held.String())
	free := time.After(held + 100*time.Millisecond)
	if _, said, code := s.vpnguard("tunnel", "up", s.conf); code != 1 || !strings.Contains(said, "address already in use") || !strings.Contains(said, "nothing was changed") {
		s.Errorf("a server without its port: exit %d:\n%s", code, said)
	}
	s.gone(before)
	<-free
}

// held is how long somebody else has the port.
const held = 2 * time.Second

// holdJob takes a UDP port for a while.
func holdJob(args []string) error {
	while, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	c, err := net.ListenPacket("udp", ":"+args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Print(ready)
	time.Sleep(while)
	return nil
}

// comesToRest looks whether the tunnel answers a change with changes of its own,
// which it would answer again.
func (s *tunnelScene) comesToRest() {
	s.Helper()
	monitor := s.lab.Client.Command(s.ctx, "timeout", "1", "ip", "monitor", "link", "address")
	var out strings.Builder
	monitor.Stdout = &out
	if err := monitor.Start(); err != nil {
		s.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	for _, verb := range []string{"add", "del"} {
		if text, err := s.lab.Client.Run(s.ctx, "ip", "address", verb, "127.0.0.9/32", "dev", "lo"); err != nil {
			s.Fatalf("%v: %s", err, text)
		}
	}
	_ = monitor.Wait()
	if n := strings.Count(out.String(), "127.0.0.9"); n != 2 || strings.Contains(out.String(), "own0") {
		s.Errorf("two changes of lo are followed by others:\n%.2000s", out.String())
	}
}

// peersChangeWhileItRuns adds a peer to the running server, kills its engine, and
// takes the peer away: it passes data until then.
func (s *tunnelScene) peersChangeWhileItRuns() {
	s.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		s.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		s.Fatal(err)
	}
	server, err := s.private.Public()
	if err != nil {
		s.Fatal(err)
	}
	shared := ""
	// A far end that begins asks for keys at once; one whose server forgot its
	// session does so after 15 s only.
	begins := func(dev string) {
		s.Helper()
		s.job(s.lab.Gateway, "far", private.Reveal(), server.String(), shared, "0s", "192.168.1.101:51820", dev, "10.8.0.7/32")
	}
	passes := func(dev string, want bool, when string) {
		s.Helper()
		wait := "8"
		if !want {
			wait = "1"
		}
		out, err := s.lab.Gateway.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", wait, "-I", dev, "10.8.0.2")
		if (err == nil) != want {
			s.Errorf("the added peer reaches the server %t, want %t, %s: %v: %s", err == nil, want, when, err, out)
		}
	}
	theirs, said := s.must(0, "tunnel", "peers", "add", "own0", "phone", "--endpoint", "192.168.1.101", "--public-key", public.String(), "--preshared", "--address", "10.8.0.7")
	if !strings.Contains(said, "changed the running tunnel own0") {
		s.Errorf("peers add says:\n%s", said)
	}
	_, rest, _ := strings.Cut(theirs, "PresharedKey = ")
	var ok bool
	shared, _, ok = strings.Cut(rest, "\n")
	if !ok {
		s.Fatalf("no preshared key in:\n%s", theirs)
	}
	begins("far1")
	passes("far1", true, "when it was added")
	was := s.engine(0)
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	s.engine(was)
	begins("far2")
	passes("far2", true, "after the engine was killed")
	if found := s.holding(shared); len(found) != 1 || !strings.HasSuffix(found[0], s.conf) {
		s.Errorf("the peer's preshared key is in %q, want it in %q alone", found, s.conf)
	}
	s.must(0, "tunnel", "peers", "remove", "own0", "phone")
	passes("far2", false, "when it was removed")
	was = s.engine(0)
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	s.engine(was)
	begins("far3")
	passes("far3", false, "when it was removed and the engine killed")
	// What the seal would have to follow is refused, with the reason in the log.
	if out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "listen-port", "51821"); err == nil || !strings.Contains(out+err.Error(), "not permitted") {
		s.Errorf("wg set listen-port: %v: %s", err, out)
	}
	const reason = "the tunnel is sealed: its port is that of its file; nothing was changed"
	var log []byte
	for deadline := time.Now().Add(3 * time.Second); !strings.Contains(string(log), reason); time.Sleep(10 * time.Millisecond) {
		if log, err = os.ReadFile(s.lab.Client.Path("/run/vpnguard/tunnel/own0.log")); err != nil || time.Now().After(deadline) {
			s.Fatalf("the log of the tunnel has no reason: %v:\n%s", err, log)
		}
	}
	s.must(0, "status")
}

// holding are the files of the client below /run/vpnguard, /var/lib/vpnguard and
// /etc that hold a text.
func (s *tunnelScene) holding(text string) (found []string) {
	s.Helper()
	for _, dir := range []string{"/run/vpnguard", "/var/lib/vpnguard", "/etc"} {
		err := filepath.WalkDir(s.lab.Client.Path(dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			data, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(data), text) {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			s.Fatal(err)
		}
	}
	return found
}
