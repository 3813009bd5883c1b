package tunnel_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// BenchmarkAgainstOpenVPN moves one stream each way by OpenVPN, in userspace
// and with our cipher, and by us. There is no goal: it says where both are.
func BenchmarkAgainstOpenVPN(b *testing.B) {
	out, _ := exec.Command("openvpn", "--version").Output() // its exit status is 1
	version := strings.Join(strings.Fields(string(out) + " unknown version")[:2], " ")
	if !strings.HasPrefix(version, "OpenVPN 2.") {
		b.Fatalf("no OpenVPN 2: %q", out)
	}
	pki, err := openvpn.NewPKI(filepath.Join(b.TempDir(), "pki"))
	if err != nil {
		b.Fatal(err)
	}
	p, q := places(b, 1500)
	var s score
	for range min(3, rounds(b)) {
		v := newVisit(b, p, q, "ours", "end", &s)
		v.oneStream()
		v.stop()
		stopQ := q.openVPN(pki, p, "server", "--tls-server", "--dh", "none")
		stopP := p.openVPN(pki, q, "client", "--tls-client")
		theirs := visit{b: b, p: p, q: q, who: version, s: &s}
		theirs.oneStream()
		stopP()
		stopQ()
	}
	s.report(b, "ours", version, nil)
}

// oneStream moves one stream each way.
func (v *visit) oneStream() {
	v.b.Helper()
	for try := 1; v.p.command("busybox", "ping", "-q", "-c", "1", "-W", "1", v.q.in[0].String()).Run() != nil; try++ {
		if try == 15 {
			v.b.Fatalf("%s: nothing comes back", v.who)
		}
	}
	for name, way := range map[string][2]*place{"TCP 1 stream, Gbit/s": {v.p, v.q}, "TCP 1 stream back, Gbit/s": {v.q, v.p}} {
		w := newVigil()
		gigabytes, seconds := transfer(way[0], way[1], 1, second)
		v.s.add(name, v.who, 8*gigabytes/seconds, w.foreign())
	}
}

// openVPN starts it as one of two points. The first to start waits for the
// other. What it returns ends it.
func (p *place) openVPN(pki openvpn.PKI, to *place, name string, role ...string) (stop func()) {
	p.t.Helper()
	file := func(end string) string { return filepath.Join(pki.Dir, end) }
	cmd := p.command("openvpn", append([]string{
		"--dev", "own0", "--dev-type", "tun", "--proto", "udp", "--port", "1194", "--remote", to.wire[0].String(),
		"--ifconfig", p.in[0].String(), to.in[0].String(), "--data-ciphers", "CHACHA20-POLY1305", "--disable-dco",
		"--ca", file("ca.crt"), "--cert", file(name + ".crt"), "--key", file(name + ".key"), "--verb", "3",
	}, role...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			// The server is ready to answer long before it has been asked.
			if strings.Contains(lines.Text(), "Initialization Sequence Completed") || name == "server" && strings.Contains(lines.Text(), "UDPv4 link remote") {
				select {
				case said <- "":
				default:
				}
			}
		}
		select {
		case said <- all.String():
		default:
		}
	}()
	stop = p.ending(cmd)
	select {
	case text := <-said:
		if text != "" {
			p.t.Fatalf("OpenVPN ended:\n%s", text)
		}
	case <-time.After(20 * time.Second):
		p.t.Fatal("OpenVPN is not up after 20 s")
	}
	return stop
}
