package lab

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestAFloodIsCountedOrLossIsReported(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 30*time.Second)
	mark, err := l.Capture().Mark(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// No echo on this port, or the answers would be the flood.
	s, err := l.Stream(ctx, l.Client, ordinary(), probe.Stream{To: netip.AddrPortFrom(site.Public, 9), For: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	count, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	err = l.Capture().Sync(ctx)
	seen := uint64(len(wire.Numbers(l.Capture().Since(mark), s.Nonce)))
	lost, lostErr := l.Capture().Lost()
	t.Logf("sent %d refused %d %v, seen %d, lost %d", count.Sent, count.Refused, count.Errors, seen, lost)
	if lostErr != nil {
		t.Fatal(lostErr)
	}
	if err != nil && !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
	if seen > count.Sent || count.Sent > seen+lost {
		t.Errorf("%d sent, %d seen, %d lost: some are missing without a word", count.Sent, seen, lost)
	}
}

// Frames that the client's interface sends while the far end is down are lost
// on the cable, and the capture must say so.
func TestLossIsReported(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 20*time.Second)
	// A queue too short for a burst of fragments sent while the far end stands.
	if err := l.Gateway.Script(ctx, "ip link set lan0 down\n"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Try(ctx, l.Client, 0, probe.Order{Name: "packet-ipv4"})
	t.Logf("with the far end down: %v", err)
	if err == nil {
		t.Error("a frame that nobody could see is not reported as lost")
	}
}

// A reader that stands still loses frames in its ring, and must say so.
func TestAFullRingIsReported(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 30*time.Second)
	if err := l.Capture().Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.capture.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s, err := l.Stream(ctx, l.Client, ordinary(), probe.Stream{To: netip.AddrPortFrom(site.Public, 9), Padding: 1400, For: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	count, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.capture.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	err = l.Capture().Sync(ctx)
	lost, _ := l.Capture().Lost()
	seen := len(wire.Numbers(l.Capture().Since(0), s.Nonce))
	t.Logf("sent %d, seen %d, lost %d: %v", count.Sent, seen, lost, err)
	if !errors.Is(err, ErrLost) || uint64(seen)+lost < count.Sent {
		t.Errorf("sent %d, seen %d, lost %d: %v", count.Sent, seen, lost, err)
	}
}
