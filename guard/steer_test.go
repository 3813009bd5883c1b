package guard

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
)

// steers looks for a line of what the kernel has.
func (h *host) steers(words ...string) bool {
	for _, line := range h.routing.have.Lines() {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line+" ", w+" ")
		}
		if all {
			return true
		}
	}
	return false
}

func TestUpSteersAndStopGivesTheRoutesBack(t *testing.T) {
	h := newHost(t)
	res, err := h.Up(context.Background(), request("tun0"), true)
	if err != nil || !strings.Contains(strings.Join(res.Routing, "\n"), "rule add priority 1916 lookup 1002") || !h.routing.have.Empty() {
		t.Errorf("a dry run says %q and does %v: %v", res.Routing, h.routing.have, err)
	}
	h.mustUp("tun0")
	for _, words := range [][]string{{"0.0.0.0/0 dev tun0"}, {"blackhole 0.0.0.0/0"}, {"203.0.113.10/32 via 192.168.1.1 dev eth0"},
		{"1910 to 203.0.113.10/32", "uidrange 0-0", "dport 1194"}, {"from 192.168.1.101/32", "lookup main"}, {"to 192.168.1.0/24 lookup main"}} {
		if !h.steers(words...) {
			t.Errorf("no line with %q: %q", words, h.routing.have.Lines())
		}
	}
	if st, err := h.Status(); err != nil || !st.Enforced || len(st.Notes) > 0 {
		t.Errorf("status: %+v, %v", st, err)
	}
	h.mustStopAll()
}

func TestWithoutSteeringRoutesStayAsTheyAre(t *testing.T) {
	for name, change := range map[string]func(*host, *Request){
		"off":        func(_ *host, r *Request) { r.Settings.Table = 0 },
		"no address": func(h *host, _ *Request) { h.links.list[2].Addresses = nil },
	} {
		h := newHost(t)
		r := request("tun0")
		change(h, &r)
		res, err := h.Up(context.Background(), r, false)
		if err != nil || !h.routing.have.Empty() {
			t.Errorf("%s: %v, %q", name, err, h.routing.have.Lines())
		}
		if told := strings.Contains(strings.Join(res.Warnings, ";"), "steered"); told != (r.Settings.Table != 0) {
			t.Errorf("%s: warnings %q", name, res.Warnings)
		}
		h.mustStopAll()
	}
}

// What the user allows of the LAN is reached, behind its routers too; a prefix
// that is public is nobody's LAN.
func TestTheLANThatIsAllowedSeesTheMainTable(t *testing.T) {
	for _, lan := range []bool{false, true} {
		h := newHost(t)
		for _, dst := range []string{"10.20.0.0/16", "8.8.8.0/24"} {
			h.routing.main = append(h.routing.main, route.Route{Table: 254, Dst: netip.MustParsePrefix(dst), Gateway: netip.MustParseAddr("192.168.1.9"), Dev: 2, Type: 1})
		}
		h.links.list[1].Addresses = append(h.links.list[1].Addresses, netip.MustParsePrefix("198.51.100.7/24"))
		r := request("tun0")
		r.Settings.LAN = lan
		if _, err := h.Up(context.Background(), r, false); err != nil {
			t.Fatal(err)
		}
		if !h.steers("to 192.168.1.0/24 lookup main") || h.steers("to 10.20.0.0/16 lookup main") != lan || h.steers("to 8.8.8.0/24") || h.steers("to 198.51.100.0/24") {
			t.Errorf("LAN %t: %q", lan, h.routing.have.Lines())
		}
		h.mustStopAll()
	}
}

// The lock has no tunnel to steer into, and a session that goes without steering
// is not steered by another one's wish.
func TestLockAndASessionWithoutSteeringAreNotSteered(t *testing.T) {
	h := newHost(t)
	h.lockFor(t, "203.0.113.10:1194/udp")
	if !h.routing.have.Empty() {
		t.Errorf("the lock alone steers: %q", h.routing.have.Lines())
	}
	h.mustUp("tun0")
	r := request("tun1")
	r.Settings.Table = 0
	if _, err := h.Up(context.Background(), r, false); err != nil || !h.routing.have.Empty() {
		t.Errorf("%v, %q", err, h.routing.have.Lines())
	}
	if _, err := h.Stop(context.Background(), Selection{Dev: "tun1"}); err != nil || !h.steers("1916") {
		t.Errorf("after the other ended: %v, %q", err, h.routing.have.Lines())
	}
}

// refusing refuses the rules after the routes went in, or nothing any more.
type refusing struct {
	*fakeRouting
	refuses bool
}

func (r *refusing) Apply(p route.Plan) error {
	if r.refuses {
		r.have.Routes = p.Routes
		return unix.EOPNOTSUPP
	}
	return r.fakeRouting.Apply(p)
}

func TestRefusedSteeringIsToldAndTheHostIsClosed(t *testing.T) {
	h := newHost(t)
	r := &refusing{&h.routing, true}
	h.Routing = r
	res, err := h.Up(context.Background(), request("tun0"), false)
	if err != nil || res.State != Sealed || !strings.Contains(strings.Join(res.Warnings, ";"), "not everything is steered") {
		t.Fatalf("up: %s, %v, %q", res.State, err, res.Warnings)
	}
	if !h.routing.have.Empty() || h.filter.have.Eval(inClear).Verdict.Passes() {
		t.Errorf("something is left, or the host is open: %q", h.routing.have.Lines())
	}
	st, err := h.Status()
	if err != nil || !st.Enforced || !strings.Contains(strings.Join(st.Notes, ";"), unix.EOPNOTSUPP.Error()) {
		t.Errorf("status: %+v, %v", st, err)
	}
	if healed := h.heal(t, false); healed.Done {
		t.Errorf("what the kernel refuses is tried again for no reason: %+v", healed)
	}
	r.refuses = false
	h.mustUp("tun0")
	if !h.steers("1916") {
		t.Errorf("the next up does not steer: %q", h.routing.have.Lines())
	}
	h.mustStopAll()
}

func TestSteeringThatOthersTakeAwayIsPutBack(t *testing.T) {
	h := newHost(t)
	h.mustUp("tun0")
	want, _ := h.routing.Have()
	for name, meddle := range map[string]func(){
		"all rules": func() { h.routing.have.Rules = nil },
		"one rule":  func() { h.routing.have.Rules = h.routing.have.Rules[1:] },
		"a route":   func() { h.routing.have.Routes = h.routing.have.Routes[1:] },
		"a route too": func() {
			h.routing.have.Routes = append(h.routing.have.Routes, route.Route{Table: 1002, Dst: netip.MustParsePrefix("8.8.8.8/32"), Dev: 2, Type: 1})
		},
	} {
		meddle()
		if st, err := h.Status(); err != nil || st.Enforced || len(st.Drift) == 0 {
			t.Errorf("%s: status %+v, %v", name, st, err)
		}
		h.steps = 0
		before := h.filter.have.Text()
		if healed := h.heal(t, false); !healed.Done || healed.Rules || h.filter.have.Text() != before {
			t.Errorf("%s: %+v", name, healed)
		}
		have, _ := h.routing.Have()
		if d := route.Drift(want, have, func(int) bool { return false }); len(d) > 0 {
			t.Errorf("%s: still %q", name, d)
		}
	}
	h.mustStopAll()
}

// The host moves to another network: the copy of the way to the server follows.
func TestHealFollowsTheWayToTheServer(t *testing.T) {
	h := newHost(t)
	h.mustUp("tun0")
	h.routing.main[0].Gateway = netip.MustParseAddr("192.168.1.254")
	if healed := h.heal(t, false); !healed.Done || !h.steers("203.0.113.10/32 via 192.168.1.254") {
		t.Errorf("%+v, %q", healed, h.routing.have.Lines())
	}
	if healed := h.heal(t, false); healed.Done {
		t.Errorf("healed twice: %+v", healed)
	}
}

// A route that went with the tunnel is the kernel's doing; the device that comes
// back has another index and gets its routes.
func TestVanishedDeviceIsNoDriftAndIsSteeredIntoWhenItComesBack(t *testing.T) {
	h := newHost(t)
	h.mustUp("tun0")
	tun := h.links.list[2]
	h.links.list = append(h.links.list[:2:2], h.links.list[3:]...)
	var left []route.Route
	for _, r := range h.routing.have.Routes {
		if r.Dev != tun.Index {
			left = append(left, r)
		}
	}
	h.routing.have.Routes = left
	if st, err := h.Status(); err != nil || !st.Enforced {
		t.Errorf("without the device: %+v, %v", st, err)
	}
	tun.Index = 99
	h.links.list = append(h.links.list, tun)
	h.routing.have.Routes = left
	if healed := h.heal(t, false); !healed.Done || !h.steers("0.0.0.0/0 dev tun0") {
		t.Errorf("%+v, %q", healed, h.routing.have.Lines())
	}
	h.mustStopAll()
}

func TestOneSessionsCarrierIsNotLedIntoItsOwnTunnelNorIntoALaterOne(t *testing.T) {
	h := newHost(t)
	by := func(dst, gw string, dev int) route.Route {
		return route.Route{Table: 254, Dst: netip.MustParsePrefix(dst), Gateway: netip.MustParseAddr(gw), Dev: dev, Type: 1}
	}
	h.routing.main = append(h.routing.main, by("0.0.0.0/1", "10.8.0.1", 10), by("128.0.0.0/1", "10.8.0.1", 10), by("203.0.112.0/22", "10.8.1.1", 11))
	h.mustUp("tun0")
	r := request("tun1")
	r.Endpoints = []endpoint.Endpoint{{Addr: netip.MustParseAddrPort("203.0.113.20:443"), Proto: endpoint.TCP}}
	now := h.Now
	h.Now = func() time.Time { return now().Add(1) }
	if _, err := h.Up(context.Background(), r, false); err != nil {
		t.Fatal(err)
	}
	if !h.steers("203.0.113.10/32 via 192.168.1.1 dev eth0") || !h.steers("203.0.113.20/32 via 10.8.0.1 dev tun0") || !h.steers("0.0.0.0/0 dev tun1 metric 1", "table 1002") {
		t.Errorf("%q", h.routing.have.Lines())
	}
	if rec := mustRecord(h); rec.policy().Profile != rules.Full {
		t.Error("the sessions are not full")
	}
}

// A server's answers to peers that are anywhere go where main leads, not into the
// tunnel of the full session beside it.
func TestServersAnswersSeeTheMainTable(t *testing.T) {
	h := newHost(t)
	h.mustUp("tun0")
	if h.steers("sport 51820") {
		t.Fatal("nobody serves yet")
	}
	if _, err := h.Up(context.Background(), serving("tun1"), false); err != nil {
		t.Fatal(err)
	}
	if !h.steers("priority 1915", "ipproto udp sport 51820 lookup main") {
		t.Errorf("%q", h.routing.have.Lines())
	}
}

// A hook may run before its client has set the device up; leading everything
// nowhere until somebody calls again would break the tunnel.
func TestDeviceThatIsNotUpYetIsSteeredIntoLater(t *testing.T) {
	h := newHost(t)
	h.links.list[2].Up = false
	res, err := h.Up(context.Background(), request("tun0"), false)
	if err != nil || res.State != Sealed || !h.routing.have.Empty() || !strings.Contains(strings.Join(res.Warnings, ";"), "not up yet") {
		t.Errorf("%v, %q, %q", err, res.Warnings, h.routing.have.Lines())
	}
	h.links.list[2].Up = true
	if healed := h.heal(t, false); !healed.Done || !h.steers("0.0.0.0/0 dev tun0") {
		t.Errorf("%+v, %q", healed, h.routing.have.Lines())
	}
	h.links.list[2].Up = false // and now it is gone
	h.mustUp("tun0")
	if !h.steers("blackhole 0.0.0.0/0") || h.steers("dev tun0") {
		t.Errorf("%q", h.routing.have.Lines())
	}
	h.mustStopAll()
}

func TestHundredsOfEndpointsAreNotSteeredOneByOne(t *testing.T) {
	h := newHost(t)
	r := request("tun0")
	for i := range maxSteered {
		r.Endpoints = append(r.Endpoints, endpoint.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 443), Proto: endpoint.TCP})
	}
	res, err := h.Up(context.Background(), r, false)
	if err != nil || !h.routing.have.Empty() || !strings.Contains(strings.Join(res.Warnings, ";"), "65 endpoints are more than the 64") {
		t.Errorf("%v, %q, %q", err, res.Warnings, h.routing.have.Lines())
	}
	h.mustStopAll()
}

func TestInjectedRoutesAreNoted(t *testing.T) {
	h := newHost(t)
	h.mustUp("tun0")
	h.routing.main = append(h.routing.main, route.Route{Table: 254, Dst: netip.MustParsePrefix("8.8.8.8/32"), Gateway: netip.MustParseAddr("192.168.1.1"), Dev: 2, Type: 1, Protocol: unix.RTPROT_DHCP})
	st, err := h.Status()
	if err != nil || !st.Enforced || !strings.Contains(strings.Join(st.Notes, ";"), "route 8.8.8.8/32 via 192.168.1.1 dev eth0 leads to a wire (protocol 16): what it attracts is steered") {
		t.Errorf("%+v, %v", st, err)
	}
}
