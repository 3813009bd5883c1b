package nft_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// What somebody else may do to our tables by the system's nft. %s is the
// handle of the rule with the id.
var tamperings = []struct {
	name    string
	id      string // the rule that is meant
	command string
	drift   string // what Compare says of it; empty: the fingerprint alone notices
}{
	{"rule added", "", "add rule inet vpnguard output accept", `"" is not ours`},
	{"rule inserted", "", "insert rule inet vpnguard output accept", `chain "output": rule 1 is "", not "out-loopback"`},
	{"rule inserted with our comment", "", `insert rule inet vpnguard output accept comment "out-loopback: the host talks to itself"`, `chain "output": rule 2 is "out-loopback: `},
	{"rule deleted", "out-dns-udp", "delete rule inet vpnguard output handle %s", `chain "output": rule`},
	{"last rule deleted", "out-end", "delete rule inet vpnguard output handle %s", `chain "output": rule "out-end" is missing`},
	{"rule replaced", "out-dns-udp", "replace rule inet vpnguard output handle %s accept", `is "", not "out-dns-udp"`},
	{"verdict replaced under the same comment", "out-end", `replace rule inet vpnguard output handle %s counter log prefix "vpnguard out-end" group 30311 accept comment "out-end: nothing else leaves by a wire"`, ""},
	{"drop made accept under the same comment", "fence-end", `replace rule netdev vpnguard fence_10 handle %s counter log prefix "vpnguard fence-end" group 30311 accept comment "fence-end: nothing else leaves by a wire"`, ""},
	{"interface replaced under the same comment", "out-loopback", `replace rule inet vpnguard output handle %s oifname "wire0.5" counter accept comment "out-loopback: the host talks to itself"`, ""},
	{"uid replaced under the same comment", "out-carrier0_ip4-uid0", `replace rule inet vpnguard output handle %s ip daddr . meta l4proto . th dport @carrier0_ip4 meta skuid 1000 counter accept comment "out-carrier0_ip4-uid0: the owner, to exactly its endpoints"`, ""},
	{"lookup turned round under the same comment", "out-server4", `replace rule inet vpnguard output handle %s ip daddr != @servers_ip4 counter log prefix "vpnguard out-server4" group 30311 reject with icmpx admin-prohibited comment "out-server4: a server's address on the wire is for its carrier only"`, ""},
	{"port replaced under the same comment", "out-dns-udp", `replace rule inet vpnguard output handle %s meta l4proto udp th dport { 54, 854 } counter log prefix "vpnguard out-dns-udp" group 30311 reject with icmpx admin-prohibited comment "out-dns-udp: no other resolver, wherever it is"`, ""},
	{"range replaced under the same comment", "out-lan4", `add rule inet vpnguard output handle %[1]s ip daddr { 0.0.0.0/1, 128.0.0.0/2 } counter accept comment "out-lan4: the user allows the LAN"; delete rule inet vpnguard output handle %[1]s`, ""},
	{"counter dropped under the same comment", "out-end", `replace rule inet vpnguard output handle %s log prefix "vpnguard out-end" group 30311 reject with icmpx admin-prohibited comment "out-end: nothing else leaves by a wire"`, ""},
	{"log dropped under the same comment", "out-end", `replace rule inet vpnguard output handle %s counter reject with icmpx admin-prohibited comment "out-end: nothing else leaves by a wire"`, ""},
	{"log sent to another group", "out-end", `replace rule inet vpnguard output handle %s counter log prefix "vpnguard out-end" group 1 reject with icmpx admin-prohibited comment "out-end: nothing else leaves by a wire"`, ""},
	{"log of another name", "fence-end", `replace rule netdev vpnguard fence_10 handle %s counter log prefix "vpnguard out-end" group 30311 drop comment "fence-end: nothing else leaves by a wire"`, ""},
	{"rule moved", "out-loopback", "delete rule inet vpnguard output handle %s; add rule inet vpnguard output oifname lo counter accept comment \"out-loopback: the host talks to itself\"", `chain "output": rule 1 is "out-carrier0_ip4-uid0`},
	{"fence's rule deleted", "fence-end", "delete rule netdev vpnguard fence_10 handle %s", `chain "fence_10": rule "fence-end" is missing`},
	{"policy changed", "", "chain inet vpnguard output { policy accept; }", `chain "output" is filter at output "" priority 0 policy accept, not`},
	{"fence's policy changed", "", "chain netdev vpnguard fence_10 { policy accept; }", `chain "fence_10" is filter at egress "wire0.5" priority 0 policy accept`},
	{"element added", "", "add element inet vpnguard carrier0_ip4 { 8.8.8.8 . udp . 53 }", `set "carrier0_ip4" has 3 elements, not 2`},
	{"element deleted", "", "delete element inet vpnguard servers_ip4 { 203.0.113.10 }", `set "servers_ip4" has 1 elements, not 2`},
	{"element exchanged", "", "delete element inet vpnguard carrier0_ip4 { 203.0.113.10 . udp . 1194 }; add element inet vpnguard carrier0_ip4 { 203.0.113.99 . udp . 1194 }", ""},
	{"set added", "", "add set inet vpnguard mine { type ipv4_addr; }", `set "mine" is not ours`},
	{"chain added", "", "add chain inet vpnguard mine { type filter hook output priority -400; policy accept; }", `chain "mine" is not ours`},
	{"verdict map to a chain added", "", "add chain inet vpnguard mine; add map inet vpnguard m { type inet_service : verdict; elements = { 53 : jump mine }; }; insert rule inet vpnguard output tcp dport vmap @m", `set "m" is not ours`},
	{"chain flushed", "", "flush chain inet vpnguard output", `chain "output": rule "out-loopback" is missing`},
	{"chain deleted", "", "flush chain inet vpnguard forward; delete chain inet vpnguard forward", `chain "forward" is missing`},
	{"chain moved to another priority", "", "delete chain inet vpnguard forward; add chain inet vpnguard forward { type filter hook forward priority 300; policy drop; }", `chain "forward" is filter at forward "" priority 300`},
	{"chain of another type", "", "flush chain inet vpnguard output; delete chain inet vpnguard output; add chain inet vpnguard output { type route hook output priority 0; policy drop; }", `chain "output" is route at output`},
	{"chain without a hook", "", "delete chain inet vpnguard forward; add chain inet vpnguard forward", `chain "forward" is `},
	{"fence moved to another wire", "", "delete chain netdev vpnguard fence_10; add chain netdev vpnguard fence_10 { type filter hook egress device wire1.5 priority 0; policy drop; }", `chain "fence_10" is filter at egress "wire1.5"`},
	{"table flushed", "", "flush table inet vpnguard", `chain "input": rule "in-loopback" is missing`},
	{"table deleted", "", "delete table inet vpnguard", "table inet vpnguard is missing"},
	{"fences deleted", "", "delete table netdev vpnguard", "table netdev vpnguard is missing"},
	{"table put to sleep", "", "add table inet vpnguard { flags dormant; }", "table inet vpnguard: is dormant"},
	{"everything flushed", "", "flush ruleset", "table inet vpnguard is missing"},
}

func TestTamperingIsNoticedAndHealed(t *testing.T) {
	conn := open(t)
	rs := build(t, policy())
	for _, c := range tamperings {
		t.Run(c.name, func(t *testing.T) {
			was, err := conn.Replace(rs)
			if err != nil {
				t.Fatal(err)
			}
			command := c.command
			if c.id != "" {
				command = fmt.Sprintf(command, handleOf(t, c.id))
			}
			script(t, strings.ReplaceAll(command, "; add ", "\nadd "))
			is, err := conn.List()
			if err != nil {
				t.Fatal(err)
			}
			if is.Fingerprint() == was.Fingerprint() {
				t.Error("the fingerprint is the same")
			}
			drift := is.Compare(rs)
			if c.drift == "" && len(drift) > 0 {
				t.Errorf("Compare says more than it can: %v", drift)
			}
			if !slices.ContainsFunc(drift, func(d string) bool { return strings.Contains(d, c.drift) }) && c.drift != "" {
				t.Errorf("Compare says %q, want %q", drift, c.drift)
			}
			healed, err := conn.Replace(rs)
			if err != nil {
				t.Fatalf("heal: %v", err)
			}
			if healed.Fingerprint() != was.Fingerprint() {
				t.Errorf("Replace does not bring back what was: %v\n%s", healed.Compare(rs), list(t))
			}
		})
	}
}

// Counts move with every packet; nothing else does.
func TestMovingCountersAreNoDrift(t *testing.T) {
	conn := open(t)
	rs := build(t, policy())
	was, err := conn.Replace(rs)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		_ = c.Close()
	}
	is, err := conn.List()
	if err != nil {
		t.Fatal(err)
	}
	if p, b := counts(is.Tables[0].Chains, "out-loopback"); p < 10 || b < 10*29 {
		t.Fatalf("10 packets of 29 bytes were counted as %d with %d bytes", p, b)
	}
	if is.Fingerprint() != was.Fingerprint() {
		t.Error("counters move the fingerprint")
	}
	if drift := is.Compare(rs); len(drift) > 0 {
		t.Errorf("counters are drift: %v", drift)
	}
	// Nor do the kernel's running numbers and handles.
	again, err := conn.Replace(rs)
	if err != nil || again.Fingerprint() != was.Fingerprint() {
		t.Errorf("the same ruleset again has another fingerprint, %v", err)
	}
}

func TestCompareNamesAForeignTable(t *testing.T) {
	conn := open(t)
	is, err := conn.Replace(build(t, policy()))
	if err != nil {
		t.Fatal(err)
	}
	want := "table netdev vpnguard is not ours to have now"
	if drift := is.Compare(build(t, rules.Policy{})); !slices.Contains(drift, want) {
		t.Errorf("drift %q, want %q", drift, want)
	}
}

func counts(chains []nft.Chain, id string) (packets, bytes uint64) {
	for _, c := range chains {
		for _, r := range c.Rules {
			if strings.HasPrefix(r.Comment, id+": ") {
				return r.Packets, r.Bytes
			}
		}
	}
	return 0, 0
}
