package hook

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// tinc 1.0 calls scripts by name, without arguments: tinc-up and tinc-down for
// its device, host-* and subnet-* with NODE or SUBNET for what other nodes say.

func recogniseTinc(in input) (Call, bool) {
	if !in.env.has("INTERFACE") || !in.env.has("NAME") || !strings.HasPrefix(in.env["DEVICE"], "/dev/") {
		return Call{}, false
	}
	switch down := in.command == CommandDown; {
	case in.env.has("SUBNET"):
		return Call{}, true
	case in.env.has("NODE") && down:
		return Call{Event: EventIgnore}, true // one node of many is gone
	case in.env.has("NODE"):
		return Call{Event: EventEndpoint}, true
	case down:
		// The daemon ends, by an order on this host; nodes cannot end it.
		return Call{Event: EventStop, Cause: "tinc-down"}, true
	default:
		return Call{Event: EventUp}, true // the device exists and is down
	}
}

func readTinc(r *reader, _ input, c *Call) {
	c.Comm = "tincd"
	if dev, ok := read(r, "INTERFACE", endpoint.ParseIfName); ok {
		c.Dev = dev.String()
	}
	if !r.env.has("NODE") || r.env.has("SUBNET") {
		return
	}
	addr, okAddr := need(r, "REMOTEADDRESS", "NODE", endpoint.ParseAddr)
	port, okPort := need(r, "REMOTEPORT", "NODE", notNames(endpoint.ParsePort))
	if okAddr && okPort {
		c.Peer = netip.AddrPortFrom(addr, port)
		for _, p := range []endpoint.Proto{endpoint.TCP, endpoint.UDP} {
			c.Standard = append(c.Standard, endpoint.Endpoint{Addr: c.Peer, Proto: p})
		}
	}
}

// namePorts are of DNS, its encrypted form, mDNS, LLMNR and NetBIOS.
var namePorts = []uint16{53, 853, 5353, 5355, 137}

// notNames refuses the ports of name services: other nodes choose what a node's
// address is said to be, and could make a resolver of this network a carrier.
func notNames(parse func(string) (uint16, error)) func(string) (uint16, error) {
	return func(s string) (uint16, error) {
		port, err := parse(s)
		if err == nil && slices.Contains(namePorts, port) {
			err = errors.New("a port of name services")
		}
		return port, err
	}
}
