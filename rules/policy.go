package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Profile says how much of the host's traffic belongs in the tunnels.
// The zero value is Full, the strictest.
type Profile uint8

const (
	// Full: nothing leaves by a wire but carriers, link upkeep and what the policy names.
	Full Profile = iota
	// Split: only the tunnels' own prefixes, resolvers and endpoints are sealed.
	Split
)

func (p Profile) String() string {
	if p == Split {
		return "split"
	}
	return "full"
}

// Internet protocol numbers that rules speak of (RFC 5237, IANA registry).
const (
	ProtoICMP   uint8 = 1
	ProtoTCP    uint8 = 6
	ProtoUDP    uint8 = 17
	ProtoICMPv6 uint8 = 58
)

// ProtoNumber is the IP protocol number of a carrier's protocol.
func ProtoNumber(p endpoint.Proto) uint8 {
	if p == endpoint.TCP {
		return ProtoTCP
	}
	return ProtoUDP
}

// Owner says who may send carrier packets. All parts that are set must match.
// An Owner with no part set is refused by Validate: it would let everybody send.
type Owner struct {
	UIDs   []uint32 // any of these, compared with the uid at the socket's creation
	Mark   uint32   // firewall mark under Mask
	Mask   uint32   // zero: the mark is not compared
	Cgroup Cgroup
}

// Cgroup is a cgroup v2 directory as `socket cgroupv2` knows it.
type Cgroup struct {
	Path  string // below the cgroup2 mount, without a leading slash; empty: not compared
	Level uint32 // number of path elements, 1..255
	ID    uint64 // inode number of the directory; changes when a service restarts
}

// Carrier is a set of endpoints and the owner that may reach them.
type Carrier struct {
	Owner     Owner
	Endpoints []endpoint.Endpoint
	// Listen is the UDP port of a tunnel's server, whose peers may be anywhere:
	// they may call it, and the owner may send from it. 0: none.
	Listen uint16
}

// Tunnel is one session's tunnel device.
type Tunnel struct {
	Name      string         // 1..15 bytes
	Addresses []netip.Addr   // the host's own addresses in the tunnel
	Prefixes  []netip.Prefix // what belongs in the tunnel in the Split profile
	Resolvers []netip.Addr   // the only resolvers that may be asked through it; none: any
}

// Wire is a link of the host that gets a fence.
type Wire struct {
	Name  string
	Index int // names the fence's chain; 1 or more
	// OnLink is what ARP and neighbour discovery may ask for beside
	// never-public ranges: the wire's own prefixes and its gateways.
	OnLink []netip.Prefix
}

// Service is an inbound service that stays reachable.
type Service struct {
	Proto       endpoint.Proto
	First, Last uint16 // port range, both included, 1..65535
}

// String is the service as it is written on the command line, such as tcp/22.
func (s Service) String() string {
	return fmt.Sprintf("%s/%s", s.Proto, PortRange{s.First, s.Last})
}

// Policy is everything that rules depend on.
type Policy struct {
	Profile  Profile
	Tunnels  []Tunnel
	Carriers []Carrier
	Wires    []Wire    // each gets a fence; none on a kernel without the egress hook
	LAN      bool      // whether never-public ranges may be reached on the wire
	AllowIn  []Service // reachable from the wire
	Guests   []string  // interfaces of containers and VMs: tunnel yes, wire no
	// Asker is the uid of the program that asks each name of the resolver which
	// it belongs to: in the Split profile it may ask others than the tunnels'.
	// nil: nobody may.
	Asker *uint32
	Log   bool // tell of each packet that is blocked, to whoever listens on LogGroup
}

// Validate reports the first part of the policy that no rule may be made of.
func (p Policy) Validate() error {
	if p.Profile != Full && p.Profile != Split {
		return fmt.Errorf("profile %d: neither full nor split", p.Profile)
	}
	seen := map[string]string{"lo": "loopback"}
	add := func(kind, name string) error {
		if _, err := endpoint.ParseIfName(name); err != nil {
			return fmt.Errorf("%s %q: %w", kind, name, err)
		}
		if was, ok := seen[name]; ok {
			return fmt.Errorf("%s %q: it is a %s already", kind, name, was)
		}
		seen[name] = kind
		return nil
	}
	for _, t := range p.Tunnels {
		if err := add("tunnel", t.Name); err != nil {
			return err
		}
		if err := t.validate(); err != nil {
			return err
		}
	}
	for _, g := range p.Guests {
		if err := add("guest", g); err != nil {
			return err
		}
	}
	indexes := map[int]string{}
	for _, w := range p.Wires {
		if err := add("wire", w.Name); err != nil {
			return err
		}
		if w.Index < 1 {
			return fmt.Errorf("wire %q: index %d is not positive", w.Name, w.Index)
		}
		if was, ok := indexes[w.Index]; ok {
			return fmt.Errorf("wire %q: index %d is that of %q", w.Name, w.Index, was)
		}
		indexes[w.Index] = w.Name
		for _, x := range w.OnLink {
			if !x.IsValid() || x.Addr().Is4In6() {
				return fmt.Errorf("wire %q: %s is not a prefix of addresses in a packet", w.Name, x)
			}
		}
	}
	for _, c := range p.Carriers {
		if err := c.validate(); err != nil {
			return err
		}
	}
	for _, s := range p.AllowIn {
		if (s.Proto != endpoint.TCP && s.Proto != endpoint.UDP) || s.First == 0 || s.Last < s.First {
			return fmt.Errorf("service %s/%d-%d: not a port range of tcp or udp", s.Proto, s.First, s.Last)
		}
	}
	return nil
}

// validate refuses addresses that no packet has: an IPv4-mapped one is in no
// IPv4 header, so a rule that should keep it inside would let it out.
func (t Tunnel) validate() error {
	for _, a := range slices.Concat(t.Addresses, t.Resolvers) {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("tunnel %q: %s is not an address in a packet", t.Name, a)
		}
	}
	for _, x := range t.Prefixes {
		if !x.IsValid() || x.Addr().Is4In6() {
			return fmt.Errorf("tunnel %q: %s is not a prefix of addresses in a packet", t.Name, x)
		}
	}
	return nil
}

func (c Carrier) validate() error {
	o := c.Owner
	if len(o.UIDs) == 0 && o.Mask == 0 && o.Cgroup.Path == "" {
		return errors.New("carrier: no owner: anybody could send to the endpoint")
	}
	if o.Mark&^o.Mask != 0 {
		return fmt.Errorf("carrier: mark %#x has bits outside its mask %#x", o.Mark, o.Mask)
	}
	if o.Mask != 0 && o.Mark == 0 {
		return fmt.Errorf("carrier: mark 0/%#x would match every unmarked packet", o.Mask)
	}
	if g := o.Cgroup; g.Path != "" && (g.ID == 0 || g.Level == 0 || g.Level > 255 || strings.ContainsAny(g.Path, "\"\n")) {
		return fmt.Errorf("carrier: cgroup %q at level %d with id %d cannot be matched", g.Path, g.Level, g.ID)
	}
	for _, e := range c.Endpoints {
		if !e.IsValid() {
			return fmt.Errorf("endpoint %s/%s: not the address, port and protocol of a server", e.Addr, e.Proto)
		}
	}
	return nil
}

func (p Policy) tunnelNames() []string {
	names := make([]string, 0, len(p.Tunnels))
	for _, t := range p.Tunnels {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}
