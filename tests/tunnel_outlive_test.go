package tests

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A wire that goes and comes back, and a host that sleeps: the tunnel goes on by
// itself, without anything in clear and with few handshakes. Without a wire nothing
// goes round in the tunnel.
func TestTunnelOutlivesALostWireAndSleep(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel("0.0.0.0/0, ::/0", "DNS = 8.8.8.8")
	before := s.snapshot()
	s.up()
	if !s.reaches("5") {
		t.Fatal("the tunnel does not work")
	}
	policy, start, began := s.policyOf(), s.mark(), time.Now()
	again := func(what string) {
		t.Helper()
		began := time.Now()
		s.until(what, func() bool { return s.reaches("1") })
		t.Logf("%s: after %v", what, time.Since(began))
		s.state("sealed")
		s.must(0, "status")
	}

	s.script("ip link set eth0 down")
	was := s.into("own0")
	if s.reaches("1") { // what goes round does so thousands of times in a second
		t.Error("the control: the tunnel works without a wire")
	}
	if n := s.into("own0") - was; n < 1 || n > 20 {
		t.Errorf("%d packets went into the tunnel for one question", n)
	}
	s.script("ip link set eth0 up; ip route add default via 192.168.1.1 dev eth0; ip addr add 2001:db8:1::101/64 dev eth0 nodad; ip route add ::/0 via 2001:db8:1::1 dev eth0")
	again("the tunnel works when the wire is back")

	// As in sleep, but for the clock: nobody of the tunnel runs, others do.
	pids := []int{s.supervisor(), s.engine(0)}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if s.reaches("2") {
		t.Error("the control: the tunnel works while it sleeps")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	again("the tunnel works when it is awake")
	frames := s.since(start)
	if v := policy.Judge(frames); len(v.Leaks) > 0 {
		t.Errorf("unexplained on the wire: %v", v)
	}
	if n, most := initiations(frames), 4+int(time.Since(began)/(5*time.Second)); n > most { // one in 5 s is what a peer may ask
		t.Errorf("%d handshakes were begun, want at most %d", n, most)
	}
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
}

// into is how many packets the host sent into a device.
func (s *tunnelScene) into(dev string) int {
	s.Helper()
	text, err := s.lab.Client.Run(s.ctx, "cat", "/sys/class/net/"+dev+"/statistics/tx_packets")
	n, e := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || e != nil {
		s.Fatalf("packets into %s: %v, %v", dev, err, e)
	}
	return n
}

// initiations counts WireGuard's first messages to IPv4 endpoints: 148 bytes that
// begin with a 1 and three zeros.
func initiations(frames []wire.Frame) (n int) {
	for _, f := range frames {
		if f.Len == 14+20+8+148 && len(f.Data) > 46 && string(f.Data[42:46]) == "\x01\x00\x00\x00" {
			n++
		}
	}
	return n
}

// Ten tunnels that are brought up at once all come up, and work; whoever ends all
// sessions ends them too, and their own end then has nothing to complain about.
func TestTenTunnelsAtOnce(t *testing.T) {
	s := newTunnelScene(t)
	const count = 10
	args := []string{"many"}
	for i := range count {
		private, public := s.keys()
		args = append(args, public.String())
		s.writeFile(fmt.Sprintf("/etc/vpnguard/ten%d.conf", i), "")
		s.conf = fmt.Sprintf("/etc/vpnguard/ten%d.conf", i)
		s.writeTunnel(fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.9.%d.2/24\n[Peer]\nPublicKey = %s\nEndpoint = 203.0.113.10:1195\nAllowedIPs = 10.9.%d.0/24\n",
			private.Reveal(), i, s.public, i), 0o600)
	}
	s.job(s.lab.Server, append([]string{args[0], s.server.Reveal()}, args[1:]...)...)
	before := s.snapshot()
	type result struct {
		said string
		code int
	}
	results := make(chan result, count)
	began := time.Now()
	for i := range count {
		up := []string{"tunnel", "up", fmt.Sprintf("ten%d", i)}
		if lab.SingleUID() {
			up = append(up, "--owner", "0")
		}
		go func() {
			_, said, code := s.vpnguard(up...)
			results <- result{said, code}
		}()
	}
	for range count {
		if r := <-results; r.code != 0 || !strings.Contains(r.said, "vpnguard: sealed: tunnel ten") {
			t.Errorf("tunnel up beside nine others: exit %d:\n%s", r.code, r.said)
		}
	}
	t.Logf("ten tunnels after %v", time.Since(began))
	for i := range count {
		if out, err := s.lab.Client.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", "8", "-I", fmt.Sprintf("ten%d", i), fmt.Sprintf("10.9.%d.1", i)); err != nil {
			t.Errorf("tunnel ten%d: %v: %s", i, err, out)
		}
	}
	s.must(0, "status")
	s.must(0, "tunnel", "down", "ten3")
	s.must(0, "down", "--all")
	s.until("all processes have ended", func() bool { return len(s.processes("tunnel")) == 0 })
	s.gone(before)
	for i := range count {
		log, err := s.lab.Client.Run(s.ctx, "cat", fmt.Sprintf("/run/vpnguard/tunnel/ten%d.log", i))
		if err != nil || strings.Contains(log, "level=ERROR") || strings.Contains(log, "hint:") || !strings.Contains(log, "the tunnel ended") {
			t.Errorf("the log of ten%d: %v:\n%s", i, err, log)
		}
	}
	if _, said, code := s.vpnguard("tunnel", "down", "ten4"); code != 2 || !strings.Contains(said, `no tunnel "ten4" is up`) {
		t.Errorf("tunnel down of one that has ended: exit %d:\n%s", code, said)
	}
}
