package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// everything is what a VPN for all traffic carries.
const everything = "0.0.0.0/0, ::/0"

// short are some of each kind.
var short = []string{"udp-public", "tcp-public-v6", "udp-server", "udp-carrier-port", "bind-device-udp", "packet-ipv4", "dns-udp-lan"}

// shownLines are the lines that `hooks show` prints for a client's configuration.
func (s *tunnelScene) shownLines(client string) (lines []string) {
	s.Helper()
	out, _ := s.must(0, "hooks", "show", client)
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// ready makes what wg-quick, and a WireGuard device that comes up, leave behind by
// themselves part of the host as it was.
func (s *tunnelScene) ready() {
	s.Helper()
	if err := s.lab.Client.Script(s.ctx, "cd /proc/sys/net/ipv4/conf/all\necho 1 > src_valid_mark\necho 0 > send_redirects\n"); err != nil {
		s.Fatal(err)
	}
}

// sealedAs demands one session, with what is read from the device.
func (s *tunnelScene) sealedAs(profile, client string) {
	s.Helper()
	v := s.view()
	if v.State != "sealed" || len(v.Sessions) != 1 {
		s.Fatalf("status:\n%s", v.text)
	}
	for _, want := range []string{
		`"client": "` + client + `"`, `"profile": "` + profile + `"`, fmt.Sprintf("%q", far.Endpoint().String()+"/udp"), `"mark": "0xca6c/0xffffffff"`, `"uids": []`,
	} {
		if !strings.Contains(v.text, want) {
			s.Errorf("status does not say %s:\n%s", want, v.text)
		}
	}
	if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
		s.Error(err)
	}
}

// wgQuick writes a configuration of wg-quick; the lines belong to [Interface].
func (s *tunnelScene) wgQuick(allowed string, lines ...string) {
	s.Helper()
	file := s.lab.Client.Path("/etc/wireguard/own0.conf")
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24, fd00:8::2/64\n%s\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\nAllowedIPs = %s\n",
		s.private.Reveal(), strings.Join(lines, "\n"), s.public, s.shared.Reveal(), far.Endpoint(), allowed)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// quick runs wg-quick, which must succeed.
func (s *tunnelScene) quick(verb string) {
	s.Helper()
	if out, err := s.lab.Client.Run(s.ctx, "env", "WG_QUICK_USERSPACE_IMPLEMENTATION="+s.userspace, "wg-quick", verb, "own0"); err != nil {
		s.Fatal(err)
	} else {
		s.Logf("wg-quick %s:\n%s", verb, out)
	}
}

// Where the kernel has no WireGuard, wg-quick starts wireguard-go, whose device is a
// TUN like any other; the hook reads it by its socket.
func TestWGQuickOverWireguardGoIsSealed(t *testing.T) {
	t.Parallel()
	s := newTunnelScene(t)
	s.userspace = filepath.Join(lab.WorkDir, "bin", "wireguard-go")
	if out, err := exec.Command("go", "build", "-o", s.userspace, "golang.zx2c4.com/wireguard").CombinedOutput(); err != nil {
		t.Fatalf("build wireguard-go: %v\n%s", err, out)
	}
	s.ready()
	s.wgQuick(everything, "FwMark = 51820")
	s.quick("up")
	for _, name := range []string{"bind-device-udp", "packet-ipv4", "dns-udp-lan"} {
		s.shows(s.lab.Client, s.asUser(name), probe.Order{Name: name}, s.policyOf())
	}
	s.quick("down")

	s.wgQuick(everything, s.shownLines("wg-quick")...)
	before := s.snapshot()
	s.quick("up")
	s.sealedAs("full", "wg-quick")
	s.silentAll(short, s.uids()...)
	s.again("all probes")
	s.quick("down")
	s.restored(before)
}
