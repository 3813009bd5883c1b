package rules

import (
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Inside, each chain ends by itself, whatever its policy, and nothing but the
// device may send.
func TestInsideLetsOnlyTheDeviceSend(t *testing.T) {
	for _, device := range []string{"", "tun0"} {
		rs := Inside(device, []Service{{endpoint.TCP, 22, 22}})
		table, ok := rs.Table(Inet)
		if !ok || len(rs.Tables) != 1 || len(table.Chains) != 3 {
			t.Fatalf("%q: %+v", device, rs)
		}
		for _, c := range table.Chains {
			if last := c.Rules[len(c.Rules)-1]; c.Policy.Passes() || last.Verdict.Passes() || len(last.Matches) > 0 {
				t.Errorf("%q: chain %s does not end in a refusal", device, c.Name)
			}
			for _, r := range c.Rules {
				if !r.Verdict.Passes() {
					continue
				}
				bound, ok := r.Matches[0].(Iface)
				if !ok || bound.Not || bound.Name != "lo" && (device == "" || bound.Name != device) {
					t.Errorf("%q: rule %s of chain %s lets another link pass", device, r.ID, c.Name)
				}
			}
		}
		text := rs.Text()
		if (strings.Count(text, "tun0") > 0) != (device != "") || strings.Contains(text, "in-service") != (device != "") {
			t.Errorf("%q:\n%s", device, text)
		}
	}
}
