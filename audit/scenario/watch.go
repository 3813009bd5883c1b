package scenario

import (
	"net/netip"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// watch is one vantage point of a bench.
type watch struct {
	evidence.Capture // without frames and canaries: what is the same in every run
	from             *lab.Capture
}

// Vantage points.
const (
	atWire     = "wire"
	atAttacker = "attacker"
	atTunnel   = "tunnel"
	atInternet = "internet"
	atGuest    = "guest"
	atSecond   = "second wire"
)

// small is the ring of a capture that nobody floods, in blocks.
const small = 16

// watch starts the captures that every scenario has.
func (b *bench) watch() error {
	b.watches = append(b.watches, &watch{evidence.Capture{Vantage: atWire, Interface: "lan0", Declared: b.declared()}, b.lab.Capture()})
	if err := b.see(atAttacker, evidence.Attacker, b.lab.Gateway, wire.View{Interface: "lan0", Direction: wire.Sent, Blocks: small}, evidence.Ethernet); err != nil {
		return err
	}
	if err := b.see(atInternet, evidence.Internet, b.lab.Internet, wire.View{Interface: "gw0", Blocks: small}, evidence.Ethernet); err != nil {
		return err
	}
	if b.group.late {
		return nil
	}
	return b.watchTunnel()
}

// watchTunnel captures what comes out of the tunnel at the server.
func (b *bench) watchTunnel() error { return b.watchTunnelAs(atTunnel) }

func (b *bench) watchTunnelAs(vantage string) error {
	t := b.client.tunnel()
	if err := b.see(vantage, evidence.Inside, b.lab.Server, wire.View{Interface: t.far, Blocks: small}, evidence.IP); err != nil {
		return err
	}
	// The client's own addresses, and what forms links inside.
	own := []netip.Prefix{netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::/128")}
	for _, a := range []netip.Addr{t.v4, t.v6} {
		if a.IsValid() {
			own = append(own, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	w := b.watches[len(b.watches)-1]
	w.Declared.Entries = []evidence.Entry{{Name: "tunnelled", Kind: evidence.Inner, Reason: "from the client's own addresses in the tunnel", Sources: own}}
	return nil
}

func (b *bench) see(vantage string, role evidence.Role, node *lab.Node, v wire.View, layer evidence.Layer) error {
	c, err := b.lab.Watch(node, v)
	if err != nil {
		return err
	}
	b.watches = append(b.watches, &watch{evidence.Capture{Vantage: vantage, Role: role, Interface: v.Interface, Layer: layer}, c})
	return nil
}

// declared explains the client's link upkeep and its carrier, and nothing else.
func (b *bench) declared() evidence.Declared {
	t := b.client.tunnel()
	d := evidence.Declared{
		MACs:       []string{site.ClientMAC},
		Hosts:      []netip.Addr{site.Client, site.Client6, site.ClientLinkLocal},
		Neighbours: []netip.Addr{site.Gateway, site.Gateway6, site.GatewayLinkLocal},
		Entries: []evidence.Entry{
			{Name: "ARP", Kind: evidence.ARP, Reason: "the link needs it: own address, and the gateway's"},
			{Name: "neighbour discovery", Kind: evidence.ND, Reason: "the link needs it: own addresses, and the gateway's"},
			{Name: "DHCP", Kind: evidence.DHCP, Reason: "the link's lease"},
		},
	}
	for _, c := range t.carriers() {
		d.Entries = append(d.Entries, evidence.Entry{
			Name: "carrier " + protocol(c.Proto), Kind: evidence.Carrier, Reason: "the tunnel itself",
			To: netip.PrefixFrom(c.Remote.Addr(), c.Remote.Addr().BitLen()), Proto: c.Proto, ToPort: c.Remote.Port(),
		})
	}
	if g := b.group.resident; g != nil {
		d.MACs, d.Hosts = append(d.MACs, g.mac), append(d.Hosts, g.hosts...)
	}
	if b.group.want.second {
		d.Entries = append(d.Entries, evidence.Entry{Name: "second carrier", Kind: evidence.Carrier, Reason: "the tunnel to the second server", To: netip.PrefixFrom(site.ServerTwo, 32), Proto: t.proto, ToPort: t.endpoint.Port()})
	}
	for _, a := range []netip.Addr{t.v4, t.v6} {
		if a.IsValid() {
			d.Never = append(d.Never, a)
		}
	}
	return d
}

// sync proves to all captures at once that they are alive, and returns what each
// came to.
func (b *bench) sync() map[*watch]error {
	var mu sync.Mutex
	var all sync.WaitGroup
	came := map[*watch]error{}
	for _, w := range b.watches {
		all.Go(func() {
			err := w.from.Sync(b.ctx)
			mu.Lock()
			defer mu.Unlock()
			came[w] = err
		})
	}
	all.Wait()
	return came
}

// recorded are the captures of one run, as far as it has come.
type recorded struct {
	bench *bench
	marks map[*watch]lab.Mark
	all   map[*watch]*evidence.Capture
}

func (b *bench) record() *recorded {
	r := &recorded{bench: b, marks: map[*watch]lab.Mark{}, all: map[*watch]*evidence.Capture{}}
	r.canary(evidence.AtStart)
	return r
}

// canary notes that the captures are alive. One that is new starts here.
func (r *recorded) canary(at evidence.Place) {
	came := r.bench.sync()
	for _, w := range r.bench.watches {
		c := r.all[w]
		place := at
		if c == nil {
			copied := w.Capture
			c = &copied
			r.all[w], r.marks[w] = c, lab.Mark(len(w.from.Since(0)))
			place = evidence.AtStart
		}
		k := evidence.Canary{When: place, At: time.Now(), Sent: 1, Seen: 1}
		if err := came[w]; err != nil {
			k.Seen = 0
			c.Error = err.Error()
		}
		if lost, err := w.from.Lost(); err == nil {
			c.Drops = lost
		}
		c.Canaries = append(c.Canaries, k)
	}
}

// frames are those of one vantage point so far.
func (r *recorded) frames(vantage string) []wire.Frame {
	for w, m := range r.marks {
		if w.Vantage == vantage {
			return w.from.Since(m)
		}
	}
	return nil
}

func (r *recorded) end() []evidence.Capture {
	r.canary(evidence.AtEnd)
	var out []evidence.Capture
	for _, w := range r.bench.watches {
		c := r.all[w]
		c.Frames = w.from.Since(r.marks[w])
		c.Count = len(c.Frames)
		out = append(out, *c)
	}
	return out
}
