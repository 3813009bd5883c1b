package tunnel_test

import (
	"encoding/json"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel"
)

// While the tunnel's thread gets no processor nothing is lost, for 10 ms at 200,000
// packets a second; the control is the kernel's own queue.
func TestDeviceKeepsPacketsWhileTheTunnelDoesNotRun(t *testing.T) {
	a, b := places(t, 1500)
	ea, _ := tunnels(t, a, b, 0, 1420, tunnel.Without{}, tunnel.Without{})
	a.run("busybox", "ping", "-q", "-c", "1", "-W", "7", b.in[0].String())
	lost := func() int {
		t.Helper()
		before := dropped(t, a)
		if err := syscall.Kill(ea.pid(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		r := a.traffic(trafficOrder{Kind: "shoot", Addr: netip.AddrPortFrom(b.in[0], 7001), Bytes: 64, Count: 2000}).result()
		if err := syscall.Kill(ea.pid(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		ea.status() // it runs again
		if r.Good != 2000 {
			t.Fatalf("%d packets were sent", r.Good)
		}
		return dropped(t, a) - before
	}
	if n := lost(); n != 0 {
		t.Errorf("%d of 2000 packets are lost", n)
	}
	a.run("ip", "link", "set", "own0", "txqueuelen", "500")
	if n := lost(); n < 1000 {
		t.Errorf("the control: %d of 2000 packets are lost", n)
	}
}

// dropped is what a tunnel's device did not take of its host.
func dropped(t *testing.T, p *place) int {
	t.Helper()
	var links []struct {
		Stats64 struct{ TX struct{ Dropped int } }
	}
	if err := json.Unmarshal([]byte(p.run("ip", "-s", "-j", "link", "show", "own0")), &links); err != nil || len(links) != 1 {
		t.Fatalf("statistics of own0: %v", err)
	}
	return links[0].Stats64.TX.Dropped
}
