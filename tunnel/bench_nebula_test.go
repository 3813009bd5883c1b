package tunnel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nebulaDir is where `make bench` puts Nebula's programs, or tells in a file
// "why" what kept it from that.
const nebulaDir = "../.cache/nebula"

// BenchmarkAgainstNebula moves one stream each way by Nebula, with our cipher
// and all its offloads, and by us. There is no goal: it says where both are.
func BenchmarkAgainstNebula(b *testing.B) {
	dir, err := filepath.Abs(nebulaDir)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nebula")); err != nil {
		why, err := os.ReadFile(filepath.Join(dir, "why"))
		if err != nil {
			why = []byte("nobody has built it: make bench does")
		}
		say("Nebula is not measured: %s", strings.TrimSpace(string(why)))
		return
	}
	p, q := places(b, 1500)
	work := b.TempDir()
	cert := func(args ...string) {
		p.run("sh", append([]string{"-c", `cd "$1" && shift && "$@"`, "sh", work, filepath.Join(dir, "nebula-cert")}, args...)...)
	}
	cert("ca", "-name", "bench", "-duration", "24h")
	var s score
	for i, n := range []*place{p, q} {
		cert("sign", "-name", fmt.Sprint(i), "-ip", n.in[0].String()+"/24")
	}
	for range min(3, rounds(b)) {
		v := newVisit(b, p, q, "ours", "end", &s)
		v.oneStream()
		v.stop()
		stopQ, stopP := q.nebula(dir, work, "1", p), p.nebula(dir, work, "0", q)
		theirs := visit{b: b, p: p, q: q, who: "Nebula", s: &s}
		theirs.oneStream()
		stopP()
		stopQ()
	}
	s.report(b, "ours", "Nebula", nil)
}

// nebula starts it. What it returns ends it.
func (p *place) nebula(dir, work, name string, to *place) (stop func()) {
	p.t.Helper()
	config := fmt.Sprintf(`pki: {ca: %[1]s/ca.crt, cert: %[1]s/%[2]s.crt, key: %[1]s/%[2]s.key}
static_host_map: {"%[3]s": ["%[4]s:4242"]}
lighthouse: {am_lighthouse: false, hosts: []}
listen: {host: 0.0.0.0, port: 4242, udp_offloads: true}
punchy: {punch: false}
cipher: chachapoly
tun: {dev: own0, mtu: 1420, use_offloads: true}
logging: {level: error}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
`, work, name, to.in[0], to.wire[0])
	path := filepath.Join(work, name+".yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
	cmd := p.command(filepath.Join(dir, "nebula"), "-config", path)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	stop = p.ending(cmd)
	for range 100 {
		if p.command("ip", "link", "show", "own0").Run() == nil {
			return stop
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatal("Nebula has no device after 5 s")
	return stop
}
