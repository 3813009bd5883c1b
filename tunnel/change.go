package tunnel

import (
	"net/netip"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// Change is what [Device.Apply] does together or not at all. Where it has a
// pointer, nil keeps what is. The zero value changes nothing.
type Change struct {
	engine.Change
	// ListenPort moves the socket to another port; 0: any, which keeps the one
	// that was found when any was asked for before. Datagrams that are under
	// way to the old port are lost.
	ListenPort *uint16
	// FwMark of what goes out by the wire; 0: none. Another one than before
	// needs CAP_NET_ADMIN.
	FwMark *uint32
}

// Endpoints are the addresses that the change would send to, each once. What
// seals the host around the tunnel must let them pass.
func (c Change) Endpoints() []netip.AddrPort {
	seen := map[netip.AddrPort]bool{}
	var out []netip.AddrPort
	for _, p := range c.Peers {
		if p.Endpoint == nil || p.Remove || seen[*p.Endpoint] {
			continue
		}
		seen[*p.Endpoint] = true
		out = append(out, *p.Endpoint)
	}
	return out
}

// Export is a whole configuration with its secrets, of one moment. Their types
// print no key.
type Export struct {
	Status
	Private   key.Private
	Preshared map[key.Public]key.Preshared // of peers that have one
}

// Apply makes a change between two packets: all of it, or, with an error, nothing.
func (d *Device) Apply(c Change) error {
	var err error
	if closed := d.do(func() { err = d.p.apply(c) }); closed != nil {
		return closed
	}
	return err
}

// Export tells how the tunnel is, with its private and preshared keys.
func (d *Device) Export() (Export, error) {
	var x Export
	err := d.do(func() { x = Export{d.p.status(), d.p.engine.Private(), d.p.engine.Preshared()} })
	x.sort()
	return x, err
}

// apply does what can fail first: the engine's part, which then waits, and one
// step of the socket's.
func (p *pump) apply(c Change) error {
	prepared, err := p.engine.Prepare(c.Change)
	if err != nil {
		return err
	}
	if err := p.rebind(c); err != nil {
		return err
	}
	prepared.Commit(p.now)
	return nil
}

// rebind moves the socket to another port or mark.
func (p *pump) rebind(c Change) error {
	port, mark := p.wanted, p.mark
	if c.ListenPort != nil {
		port = *c.ListenPort
	}
	if c.FwMark != nil {
		mark = *c.FwMark
	}
	switch {
	case port != p.wanted && port != p.port:
		made, err := udp.Listen(port, mark, p.udp.Has())
		if err != nil {
			return err
		}
		found, err := made.Port()
		if err != nil {
			_ = made.Close()
			return err
		}
		_ = p.udp.Close()
		p.udp, p.port = made, found
	case mark != p.mark:
		if err := p.udp.Mark(mark); err != nil {
			return err
		}
	}
	p.wanted, p.mark = port, mark
	return nil
}
