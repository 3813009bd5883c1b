package guard

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

// slowResolver answers after something else happened.
type slowResolver struct{ meanwhile func() }

func (r slowResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.meanwhile()
	return []netip.Addr{netip.MustParseAddr("203.0.113.77")}, nil
}

func TestNamesOfAnEarlierLockAddNothingToALaterOne(t *testing.T) {
	h := newHost(t)
	h.lockFor(t, "vpn.example:1194/udp")
	up := Request{Client: "test", Dev: "tun0", Explicit: true, Profile: rules.Full, UIDs: []uint32{0},
		Endpoints: []endpoint.Endpoint{{Addr: netip.MustParseAddrPort("203.0.113.10:1194"), Proto: endpoint.UDP}}}
	if _, err := h.Up(context.Background(), up, false); err != nil {
		t.Fatal(err)
	}
	asked := false
	h.Resolver = slowResolver{func() {
		asked = true
		h.Resolver = fakeResolver{}
		h.lockFor(t, "vpn.example:443/tcp", "198.51.100.1:443/tcp")
	}}
	added, err := h.RefreshNames(context.Background(), time.Second)
	if err != nil || !asked {
		t.Fatalf("asked: %v, %v", asked, err)
	}
	if len(added) > 0 || strings.Contains(h.filter.have.Text(), "203.0.113.77") {
		t.Errorf("the later lock got %v of the earlier one's server", added)
	}
}
