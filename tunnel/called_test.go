package tunnel_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
)

// A server of two addresses answers from the one that a peer calls, by every path:
// handshakes, single packets, runs and super-packets. The peer's packet filter hears
// no other, and counts what came from there; the control is the other address, from
// which the same server speaks when it is called there.
func TestServerOfTwoAddressesAnswersFromTheOneThatIsCalled(t *testing.T) {
	for name, without := range map[string]tunnel.Without{"all offloads": {}, "no offloads": {TUNHeader: true, UDPSegment: true, UDPGather: true}} {
		for family, more := range []string{"198.51.100.77/24", "2001:db8::77/64"} {
			t.Run(fmt.Sprintf("%s, IPv%d", name, 4+2*family), func(t *testing.T) {
				a, b := places(t, 1500)
				args := []string{"addr", "add", more, "dev", "wire"}
				if family == 1 {
					args = append(args, "nodad")
				}
				b.run("ip", args...)
				first, second := b.wire[family], netip.MustParsePrefix(more).Addr()
				// The kernel adds the local route of an IPv6 address some time after it.
				for deadline := time.Now().Add(time.Minute); !strings.Contains(b.run("ip", "route", "show", "table", "local")+b.run("ip", "-6", "route", "show", "table", "local"), second.String()+" "); time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s has no local route", second)
					}
				}
				preferred, other := first, second
				// Which one the routes prefer is the kernel's affair.
				if strings.Contains(b.run("ip", "route", "get", a.wire[family].String()), second.String()) {
					preferred, other = second, first
				}
				a.run("nft", fmt.Sprintf("add table inet heard; add chain inet heard i { type filter hook input priority 0; }; add rule inet heard i udp sport 51820 %s saddr %s counter drop; add rule inet heard i udp sport 51820 counter",
					[]string{"ip", "ip6"}[family], preferred))
				tunnelsBy(t, "end", a, b, family, func(oa, ob *endOrder) {
					oa.Without, ob.Without = without, without
					oa.Endpoint = netip.AddrPortFrom(other, 51820)
				})
				a.run("busybox", "ping", "-q", "-c", "1", "-W", "7", b.in[0].String())
				transfer(a, b, 2, 200*time.Millisecond)
				transfer(b, a, 2, 200*time.Millisecond)
				out := a.run("nft", "list", "table", "inet", "heard")
				dropped, passed := counted(t, out, 0), counted(t, out, 1)
				if dropped != 0 || passed < 20 {
					t.Errorf("%d datagrams came from the address that was not called, %d from the other:\n%s", dropped, passed, out)
				}
				b.run("ip", "route", "get", a.wire[family].String(), "from", other.String()) // it has both
			})
		}
	}
}

// counted reads the nth counter of a listing.
func counted(t *testing.T, listing string, n int) (packets int) {
	t.Helper()
	parts := strings.Split(listing, "counter packets ")
	if len(parts) < n+2 {
		t.Fatalf("no counter %d in:\n%s", n, listing)
	}
	if _, err := fmt.Sscan(parts[n+1], &packets); err != nil {
		t.Fatal(err)
	}
	return packets
}
