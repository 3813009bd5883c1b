package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/daemon"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// oldFlow is a connection that is older than the tunnel.
type oldFlow struct{ flow *lab.Flow }

// send sends a nonce on it and notes what the kernel said.
func (f oldFlow) send(s *evidence.Stimulus) error {
	nonce, sent, err := f.flow.Send()
	if err != nil {
		return err
	}
	s.Nonce = nonce
	s.Signs.Needles = append(s.Signs.Needles, []byte(nonce))
	s.Sends = append(s.Sends, evidence.Send{What: sent.What, Errno: int(sent.Errno), Error: sent.Error})
	return nil
}

// older opens a connection that is bound to the wire, brings the tunnel up and
// uses the connection.
func (t *trial) older(use func(*trial, *evidence.Stimulus, oldFlow) error) error {
	// Connection tracking has to know the flow before: without that it would be
	// new to every rule, and prove nothing about rules for established ones.
	const track = "nft 'table inet tracking { chain out { type filter hook output priority 0; ct state new counter; }; }'\n"
	if err := t.lab.Client.Script(t.ctx, track); err != nil {
		return err
	}
	to := netip.AddrPortFrom(site.Public, 80)
	flow, err := t.lab.Open(t.ctx, t.lab.Client, t.user, probe.Flow{To: to, TCP: true, Dev: "eth0"})
	if err != nil {
		return err
	}
	err = t.connect()
	if err == nil {
		err = t.watchTunnel()
	}
	// What the connection said before the tunnel was up is no leak: the captures
	// begin again.
	t.recorded = t.record()
	if err != nil {
		return err
	}
	s := evidence.Stimulus{Name: "old connection", Node: t.lab.Client.Name, UID: t.user, Program: "a program with a connection to " + to.String(), Planned: 1, Started: time.Now()}
	w := flow.Wire
	s.Signs.Flows = []evidence.Flow{{To: w.To, Proto: w.Proto, SrcPort: w.SrcPort, DstPort: w.DstPort}}
	resets := t.resets()
	err = use(t, &s, oldFlow{flow})
	s.Ended = time.Now()
	time.Sleep(50 * time.Millisecond)
	// The kernel takes what is sent into its queue. That it waits there, or that
	// the connection was reset for it, is its own record.
	if now := t.resets(); now != resets {
		s.Witness = append(s.Witness, evidence.Section{Title: "/proc/net/snmp of the client", Text: fmt.Sprintf("EstabResets went from %s to %s", resets, now)})
	} else {
		s.Witness = append(s.Witness, evidence.Section{Title: "the connection in the kernel's table", Text: t.socketOf(w.SrcPort)})
	}
	t.run.Stimuli = append(t.run.Stimuli, s)
	t.shows(s.Signs)
	// A first retransmission comes after 0.2 to 1 s.
	time.Sleep(1200 * time.Millisecond)
	t.recorded.canary(evidence.Between)
	return err
}

// resets counts the client's established connections that were reset.
func (t *trial) resets() string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", t.lab.Client.PID()))
	var names []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		if i := slices.Index(names, "EstabResets"); i >= 0 && i < len(f) {
			return f[i]
		}
	}
	return ""
}

// socketOf is the kernel's line about a connection.
func (t *trial) socketOf(port uint16) string {
	out, err := t.lab.Client.Run(t.ctx, "ss", "-Htano", "sport", "=", ":"+strconv.Itoa(int(port)))
	if err != nil {
		return ""
	}
	return out
}

// ownerUID is who sends the carrier.
func (b *bench) ownerUID() string {
	if _, ok := b.client.(*ownClient); ok && !lab.SingleUID() {
		return ownEngineUID
	}
	return "0"
}

// ownEngineUID is whom the own tunnel's engine runs as where no user of its name
// exists, see `vpnguard tunnel up`.
const ownEngineUID = "65522"

// guardian starts the resident part of vpnguard.
func (t *trial) guardian() error {
	p, err := daemon.Start(t.ctx, t.lab, t.lab.Client, "guardian", t.program(), "watch")
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if out, err := t.lab.Client.Run(t.ctx, t.program(), "status"); err == nil && guardianRuns(out) {
			return nil
		}
	}
	return fmt.Errorf("start the guardian: it does not answer:\n%s", p.Tail())
}

func guardianRuns(status string) bool {
	for line := range strings.Lines(status) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "guardian" && f[1] == "pid" {
			return true
		}
	}
	return false
}
