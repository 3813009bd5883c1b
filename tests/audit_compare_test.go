//go:build audit

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The whole laboratory against every client, and against guards whose holes are
// known: an audit that would not find these finds nothing. It takes minutes, see
// `make audit`.

// known says of each id whether it is closed (Y) or open (N) by: the classic
// script that seals the gateway, wg-quick alone, and wg-quick with the kill switch
// of its manual. A dot is where it depends, or has no meaning.
var known = map[string]string{
	"dhcp-opt121": "NNY", "localnet-public-subnet": "NNY", "serverip-dns-spoof": ".YY", "ra-rogue-default": "N..", "ra-rio": "NN.", "selective-dos": "N.N",
	"port-fail": "YYY", "endpoint-marker": "YYY", "endpoint-shared-uid": "NYY", "endpoint-setuid-helper": "NYY", "endpoint-mark-spoof": ".NN", "endpoint-v6-unsealed": "NY.",
	"bind-to-device": "NNY", "pktinfo-unicast-if": "NNY", "mptcp-subflow": "NNY", "af-packet": "NNN", "raw-fragments": "NNN", "ipv6-native": "N..",
	"dns-lan-resolver": "N..", "dns-encrypted-lan": "NNY", "macvlan-ipvlan": "NNN", "bridged-uplink": "NNN", "weak-host-v4": "NYY", "weak-host-v6": "NYY",
	"inject-oracle": "NYY", "arp-tunnel-ip": "NNN", "asymmetric-reply": "NNN", "client-crash": "NNY", "reconnect-window": "N..", "hook-unseal": "N..",
	"established-survivor": "NNY", "ruleset-flush": "NNN", "hotplug-uplink": "N.Y", "nm-connectivity-check": "NNY", "l2-chatter": "NNN",
}

// Where a row is not what documentation says: "raw-fragments" has a variant by a
// packet socket, which only a fence at the wire stops; "client-crash" of wg-quick
// alone leaks where a program moves the packets, for its device goes with it, and
// does not where the kernel does.

func TestTheAuditFindsTheHolesOfOthers(t *testing.T) {
	for i, g := range []struct{ name, client, guard string }{
		{"gateway seal", "openvpn", guardScript(t, "gateway-seal.sh")},
		{"wg-quick", "wireguard", "none"},
		{"wg-quick with its kill switch", "wireguard", guardScript(t, "wg-quick-kill-switch.sh")},
	} {
		t.Run(g.name, func(t *testing.T) {
			withWireGuardGo(t)
			r := audit(t, 3, "--client", g.client, "--guard", g.guard)
			found := map[string]bool{}
			closed := map[string]bool{}
			for _, x := range r.Results {
				switch x.Verdict {
				case "leak", "exposed", "blocked-oracle-remains":
					found[x.ID] = true
				case "pass":
					closed[x.ID] = true
				}
			}
			for id, row := range known {
				switch want := row[i]; {
				case want == 'Y' && (found[id] || !closed[id]):
					t.Errorf("%s is closed, and the audit says otherwise: %v", id, verdicts(r, id))
				case want == 'N' && !found[id]:
					t.Errorf("%s is open, and the audit does not find it: %v", id, verdicts(r, id))
				}
			}
			t.Logf("open: %d, closed: %d", len(found), len(closed))
		})
	}
}

// Every client with vpnguard: nothing leaks, and what is known to be open is all
// that is found.
func TestTheAuditOfEachClientWithVpnguard(t *testing.T) {
	server, err := filepath.Abs(ocserv)
	if err != nil {
		t.Fatal(err)
	}
	for client, exit := range map[string]int{
		"own": 0,
		// A forged "fragmentation needed" cuts these clients' carriers: SECURITY.md.
		"openvpn": 3,
		// And after a link was away wireguard-go's packets went round in its own
		// tunnel, and the two ends keep that way.
		"wireguard": 3,
		// The owner is root, so that root's other programs pass to the exact endpoint;
		// and after a link was away DTLS goes out with the tunnel's address as its source.
		"openconnect": 3,
	} {
		t.Run(client, func(t *testing.T) {
			withWireGuardGo(t)
			r := audit(t, exit, "--client", client, "--ocserv", server)
			fired := 0
			for _, x := range r.Results {
				if x.Fired {
					fired++
				}
				if x.Verdict == "pass" || strings.HasPrefix(x.Verdict, "not-") {
					continue
				}
				if !expected[client][x.ID] {
					t.Errorf("%s/%s is %s: %q", x.ID, x.Variant, x.Verdict, x.Reasons)
				}
			}
			if fired < 50 {
				t.Errorf("only %d controls show their leak", fired)
			}
		})
	}
}

var expected = map[string]map[string]bool{
	"openvpn":     {"pmtu-manipulation": true},
	"wireguard":   {"pmtu-manipulation": true, "suspend-resume": true},
	"openconnect": {"pmtu-manipulation": true, "endpoint-shared-uid": true, "endpoint-setuid-helper": true, "endpoint-fd-inherit": true, "suspend-resume": true},
}

func verdicts(r auditReport, id string) (all []string) {
	for _, x := range r.Results {
		if x.ID == id {
			all = append(all, x.Variant+" "+x.Verdict+" "+strings.Join(x.Reasons, "; "))
		}
	}
	return all
}

func guardScript(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "guards", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withWireGuardGo puts wireguard-go, which is in the module's cache, into PATH.
func withWireGuardGo(t *testing.T) {
	t.Helper()
	// Not below /run, of which an audit's laboratory has its own.
	dir, err := filepath.Abs("../bin/wireguard-go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "wireguard-go")); err != nil {
		if out, err := exec.Command("go", "build", "-o", dir+"/", "golang.zx2c4.com/wireguard").CombinedOutput(); err != nil {
			t.Fatalf("build wireguard-go: %v: %s", err, out)
		}
		if err := os.Rename(filepath.Join(dir, "wireguard"), filepath.Join(dir, "wireguard-go")); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+dir)
}
