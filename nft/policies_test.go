package nft_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

// policy has something of everything; its wires are those of open.
func policy() rules.Policy {
	return rules.Policy{
		Tunnels: []rules.Tunnel{{Name: "tun0", Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.2")}}},
		Carriers: []rules.Carrier{{Owner: rules.Owner{UIDs: []uint32{0}}, Endpoints: []endpoint.Endpoint{
			udpEndpoint("203.0.113.10", 1194), udpEndpoint("203.0.113.11", 1194), udpEndpoint("2001:db8:5::10", 1194),
		}}},
		Wires: []rules.Wire{{Name: "wire0.5", Index: 10}},
		LAN:   true,
		Log:   true,
	}
}

func udpEndpoint(addr string, port uint16) endpoint.Endpoint {
	return endpoint.Endpoint{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), port), Proto: endpoint.UDP}
}

func build(t testing.TB, p rules.Policy) rules.Ruleset {
	t.Helper()
	rs, err := rules.Build(p)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// listed is the whole ruleset with handles, without counts.
func listed(t *testing.T) string {
	t.Helper()
	return run(t, "nft", "--stateless", "--handle", "list", "ruleset")
}

// handles maps each chain to its handle.
func handles(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*chain (\S+) \{ # handle (\d+)$`).FindAllStringSubmatch(listed(t), -1) {
		found[m[1]] = m[2]
	}
	if len(found) == 0 {
		t.Fatal("nft lists no chain with a handle")
	}
	return found
}

// handleOf finds the handle of the rule that has the id in its comment.
func handleOf(t *testing.T, id string) string {
	t.Helper()
	m := regexp.MustCompile(fmt.Sprintf(`comment "%s: [^"]*" # handle (\d+)`, regexp.QuoteMeta(id))).FindStringSubmatch(listed(t))
	if m == nil {
		t.Fatalf("nft lists no rule %q", id)
	}
	return m[1]
}
