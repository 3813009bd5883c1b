package scenario

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// Faults that an order can ask for, so that tests can show that none of them
// ends in a pass.
const (
	FaultCapture = "capture" // the capture on the wire is dead
	FaultTunnel  = "tunnel"  // the tunnel is down
	FaultDrops   = "drops"   // frames are lost before the capture
	FaultProbe   = "probe"   // the probes' program is gone
)

func (b *bench) sabotage() {
	if b.phase != evidence.Guarded {
		return
	}
	switch b.order.Fault {
	case FaultCapture:
		_ = syscall.Kill(b.lab.Capture().PID(), syscall.SIGKILL)
	case FaultTunnel:
		_ = b.client.kill(b)
	case FaultDrops:
		// The capture stands still while the tunnel is full: its ring overflows.
		capture := b.lab.Capture().PID()
		_ = syscall.Kill(capture, syscall.SIGSTOP)
		stream, err := b.lab.Stream(b.ctx, b.lab.Client, b.user, probe.Stream{To: netip.AddrPortFrom(site.Web, 9), Padding: 1300, For: 3 * time.Second})
		if err == nil {
			_, _ = stream.Wait()
		}
		_ = syscall.Kill(capture, syscall.SIGCONT)
	case FaultProbe:
		_ = b.lab.Client.Script(b.ctx, "mount -t tmpfs none /run/lab\n")
	}
}
