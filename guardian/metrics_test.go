package guardian

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/guard"
)

func TestMetricsAreOpenMetrics(t *testing.T) {
	st := guard.Status{State: guard.Sealed, Enforced: true, Record: guard.Record{Sessions: make([]guard.Session, 2)}, Counters: []guard.Counter{
		{Chain: "output", Rule: "out-end: nothing else leaves by a wire", Packets: 3, Blocks: true},
		{Chain: "output", Rule: "out-loopback: the host talks to itself", Packets: 9},
		{Chain: "fence_2", Rule: "fence-end: nothing else leaves by a wire", Packets: 1, Blocks: true},
		{Chain: "fence_2", Rule: "fence-end: nothing else leaves by a wire", Packets: 4, Blocks: true},
	}}
	var page bytes.Buffer
	writeMetrics(&page, st, stats{heals: 5})
	const want = `# TYPE vpnguard_state stateset
# HELP vpnguard_state State of the host.
vpnguard_state{vpnguard_state="blocked"} 0
vpnguard_state{vpnguard_state="open"} 0
vpnguard_state{vpnguard_state="connecting"} 0
vpnguard_state{vpnguard_state="sealed"} 1
vpnguard_state{vpnguard_state="locked"} 0
# TYPE vpnguard_enforced gauge
# HELP vpnguard_enforced Whether the kernel has exactly what was recorded.
vpnguard_enforced 1
# TYPE vpnguard_drift gauge
# HELP vpnguard_drift Differences between what is recorded and what the kernel has.
vpnguard_drift 0
# TYPE vpnguard_sessions gauge
# HELP vpnguard_sessions Sessions that are recorded.
vpnguard_sessions 2
# TYPE vpnguard_heals counter
# HELP vpnguard_heals Repairs since the guardian started.
vpnguard_heals_total 5
# TYPE vpnguard_blocked_packets counter
# HELP vpnguard_blocked_packets Packets refused since the rules are in force, by chain and rule.
vpnguard_blocked_packets_total{chain="output",rule="out-end"} 3
vpnguard_blocked_packets_total{chain="fence_2",rule="fence-end"} 5
# EOF
`
	if diff := cmp.Diff(want, page.String()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
