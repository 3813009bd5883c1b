//go:build vm

package tests

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// kernelUp brings the tunnel up over the kernel.
func (s *tunnelScene) kernelUp(args ...string) {
	s.Helper()
	s.up(append([]string{"--backend", "kernel"}, args...)...)
	if pids := s.processes("tunnel engine"); len(pids) > 0 {
		s.Errorf("engines %d run beside the kernel", pids)
	}
}

// device demands that the tunnel's device is there, or that it is not.
func (s *tunnelScene) device(want bool) {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "ip", "-d", "link", "show", "own0")
	if (err == nil) != want || want && (!strings.Contains(out, "wireguard") || !strings.Contains(out, "alias vpnguard tunnel, kept by process")) {
		s.Errorf("a device of the kernel: %t wanted: %s", want, out)
	}
}

// The same seal around the kernel's packets as around the engine's: by mark and
// exact tuple, from before the first handshake until after the supervisor is gone.
func TestTunnelOverTheKernelIsSealed(t *testing.T) {
	s := newKernelScene(t)
	s.configureTunnel(everything, "DNS = 8.8.8.8", "PreUp = echo %i >> /run/hooks", "PostDown = echo down >> /run/hooks")
	s.showsBare(essential)
	before := s.snapshot()
	start := s.mark()
	s.kernelUp("--allow-hooks")
	s.sealedAs("full", "tunnel")
	s.device(true)
	s.silentAll(essential, s.uids()...)
	s.must(0, "status")
	s.again("all probes")
	s.resolves(netip.AddrPortFrom(site.Public, probe.DNSPort))
	s.keepsItsSecret(1)
	s.toldByEveryone()
	for _, verb := range []string{"down", "up"} {
		if err := s.lab.Client.Script(s.ctx, "ip link set own0 "+verb+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	s.again("its device was down")
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
	s.device(false)
	if text, err := os.ReadFile(s.lab.Client.Path("/run/hooks")); err != nil || string(text) != "own0\ndown\n" {
		t.Errorf("the file's commands: %v, %q", err, text)
	}
	if v := s.policyOf().Judge(s.since(start)); len(v.Leaks) > 0 {
		t.Errorf("from up to down unexplained on the wire: %v", v)
	}

	s.configureTunnel(allowedSplit)
	s.kernelUp()
	s.sealedAs("split", "tunnel")
	s.splitWorks(far)
	s.tunnelIsTight("over the kernel")
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
}

// toldByEveryone asks wg, which reads the kernel, and our own commands.
func (s *tunnelScene) toldByEveryone() {
	s.Helper()
	for _, words := range [][]string{{"wg", "show", "own0"}, {s.exe, "tunnel", "show"}, {s.exe, "tunnel", "show", "own0", "--json"}, {s.exe, "tunnel", "peers", "list", "own0", "--json"}} {
		out, err := s.lab.Client.Run(s.ctx, words[0], words[1:]...)
		if err != nil || !strings.Contains(out, s.public.String()) || !strings.Contains(out, "handshake") || strings.Contains(out, s.private.Reveal()) || strings.Contains(out, s.shared.Reveal()) {
			s.Errorf("%q: %v:\n%s", words[1:], err, out)
		}
	}
	if out, _ := s.must(0, "tunnel", "show", "own0", "--json"); !strings.Contains(out, `"fwmark": 51820`) || !strings.Contains(out, `"endpoint": "`+far.Endpoint().String()+`"`) ||
		!strings.Contains(out, `"persistent_keepalive": 0`) || strings.Contains(out, `"latest_handshake": null`) {
		s.Errorf("tunnel show:\n%s", out)
	}
}

// Failures leave nothing half done, and whoever kills the supervisor leaves the
// host closed, with a tunnel that nobody keeps, until he says otherwise.
func TestTunnelOverTheKernelEndsAsItsUserSays(t *testing.T) {
	s := newKernelScene(t)
	s.configureTunnel(everything)
	before := s.snapshot()
	killed := func() {
		t.Helper()
		if err := syscall.Kill(s.supervisor(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); len(s.processes("tunnel")) > 0 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		s.device(true)
	}
	for i, way := range []struct {
		ends []string
		says string
	}{
		{[]string{"recover"}, `device "own0", which nobody keeps, removed`},
		{[]string{"tunnel", "down", s.conf}, "vpnguard: open"},
	} {
		s.kernelUp()
		killed()
		if i == 0 {
			s.silentAll(short, s.uids()...)
		}
		if _, said := s.must(0, way.ends...); !strings.Contains(said, way.says) {
			t.Errorf("%q says:\n%s", way.ends, said)
		}
		s.device(false)
		s.gone(before)
	}
	// What a dead one left makes room, for either backend.
	s.kernelUp()
	killed()
	s.kernelUp()
	if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
		t.Error(err)
	}
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--backend", "kernel"); code != 2 || !strings.Contains(said, "a tunnel of that name is up already") {
		t.Errorf("up twice: exit %d:\n%s", code, said)
	}
	killed()
	s.up()
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)

	// Somebody takes the device away: the supervisor ends, the host stays closed.
	s.kernelUp()
	if out, err := s.lab.Client.Run(s.ctx, "ip", "link", "del", "own0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for end := time.Now().Add(time.Minute); len(s.processes("tunnel")) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	s.silentAll(short, s.user)
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
	// A device of somebody else's is left alone.
	if err := s.lab.Client.Script(s.ctx, "ip link add own0 type wireguard\n"); err != nil {
		t.Fatal(err)
	}
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--backend", "kernel"); code != 2 || !strings.Contains(said, "nothing was changed") {
		t.Errorf("with somebody's device: exit %d:\n%s", code, said)
	}
	s.must(0, "recover")
	if err := s.lab.Client.Script(s.ctx, "ip link del own0\n"); err != nil {
		t.Fatal(err)
	}
	s.gone(before)

	// Nobody answers.
	if err := s.lab.Server.Script(s.ctx, "ip link set far0 down\n"); err != nil {
		t.Fatal(err)
	}
	try := func(want string, args ...string) {
		t.Helper()
		_, said, code := s.vpnguard(append([]string{"tunnel", "up", s.conf, "--backend", "kernel", "--wait", "1s"}, args...)...)
		if code != 1 || !strings.Contains(said, `bring tunnel "own0" up: no peer answered within 1s; `+want) {
			t.Errorf("tunnel up %q: exit %d:\n%s", args, code, said)
		}
		s.device(false)
	}
	try("the host is as it was before: open", "--on-failure", "restore")
	s.gone(before)
	try("the tunnel is down and the host is closed")
	s.silentAll(short, s.user)
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
}

// A server over the kernel is open at its port alone, behind the lock too; its
// peers come and go within what is sealed.
func TestTunnelOverTheKernelServes(t *testing.T) {
	s := newTunnelScene(t)
	s.writeTunnel(fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24, fd00:8::2/64\nListenPort = 51820\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.8.0.1/32, fd00:8::1/128\n",
		s.private.Reveal(), s.public, s.shared.Reveal()), 0o600)
	before := s.snapshot()
	s.job(s.lab.Client, "hold", "51820", held.String())
	free := time.After(held + 100*time.Millisecond)
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--backend", "kernel"); code != 1 || !strings.Contains(said, "port 51820 is somebody else's") || !strings.Contains(said, "nothing was changed") {
		t.Errorf("a server without its port: exit %d:\n%s", code, said)
	}
	s.gone(before)
	<-free
	s.must(0, "lock")
	s.job(s.lab.Gateway, append(s.dial, "192.168.1.101:51820")...)
	s.kernelUp()
	s.pings(s.lab.Gateway, "10.8.0.2", 1)
	s.must(0, "status")
	policy := s.policyOf()
	policy.Carriers = nil
	for _, x := range s.tries(far, []string{"udp-public", "udp-server", "udp-lan", "bind-device-udp", "dns-udp-lan"}) {
		if a, err := s.lab.Try(s.ctx, s.lab.Client, x.uid, x.order); err != nil || len(a.Seen) > 0 {
			t.Errorf("%s as uid %d beside the server: %d frames, %v", x.Name, x.uid, len(a.Seen), err)
		}
	}
	theirs, said := s.must(0, "tunnel", "peers", "add", "own0", "phone", "--endpoint", "192.168.1.101", "--preshared")
	if !strings.Contains(said, "changed the running tunnel own0") || !strings.Contains(theirs, "PrivateKey = ") {
		t.Errorf("peers add says:\n%s", said)
	}
	out, err := s.lab.Client.Run(s.ctx, "wg", "show", "own0", "allowed-ips")
	if err != nil || !strings.Contains(out, "10.8.0.3/32") {
		t.Errorf("the kernel has no new peer: %v:\n%s", err, out)
	}
	if _, said, code := s.vpnguard("tunnel", "peers", "add", "own0", "far", "--endpoint", "192.168.1.101", "--address", "8.8.8.9"); code != 2 || !strings.Contains(said, "the tunnel is sealed around the addresses of its file") {
		t.Errorf("an address outside for a peer: exit %d:\n%s", code, said)
	}
	s.must(0, "tunnel", "peers", "remove", "own0", "phone")
	if out, err := s.lab.Client.Run(s.ctx, "wg", "show", "own0", "allowed-ips"); err != nil || strings.Contains(out, "10.8.0.3/32") {
		t.Errorf("the kernel keeps a peer that was removed: %v:\n%s", err, out)
	}
	s.must(0, "tunnel", "down", "own0")
	s.must(0, "unlock")
	s.gone(before)
}
