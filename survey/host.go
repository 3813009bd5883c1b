// Package survey looks at what else lives on the host and tells what of it
// will break a tunnel or weaken a seal. Reading changes nothing, and judging
// is pure.
package survey

import "net/netip"

// Host is what was read. What could not be read is in Unread, never just empty.
type Host struct {
	Tables    []Table  // foreign nftables tables
	Legacy    []string // tables of legacy iptables, such as "ip filter"
	Rules     []Rule   // foreign routing rules by firewall mark
	Links     []Link
	MPTCP     []netip.Addr // endpoints
	Tunnels   []string     // devices of recorded sessions
	Guests    []string     // that the configuration names
	Files     Files
	Listeners []Listener // on port 53 of this host
	Services  []Service  // that answer others
	Unread    []Unread
}

// Files is what files and /proc tell.
type Files struct {
	Reload       Reload
	Sockets      []string // of resolvers, paths that exist
	Resolv       Resolv
	Hosts        []string // sources of the hosts line of nsswitch.conf
	Connectivity Connectivity
	Time         []TimeServer
	Knobs        map[string]string // by path below /proc/sys/net; only those that exist
	Docker       bool              // its socket exists
}

// Table is a foreign nftables table.
type Table struct {
	Family, Name string
	Base         []Chain
	Regular      []string // names of chains without a hook
}

// Chain is a base chain of a foreign table.
type Chain struct {
	Name, Type, Hook string
	Devices          []string
	Priority         int
	PolicyDrop       bool
	End              string // accept, drop or reject of an unconditional rule; empty: the policy decides
	Drops            int    // rules that drop or reject under a condition
	Established      bool   // answers to flows that began here are accepted
}

// Rule is a routing rule by firewall mark.
type Rule struct {
	Priority   int
	Mark, Mask uint32
	Table      int
}

// Link is a link of the host; see package link.
type Link struct {
	Name      string
	Index     int
	Kind      string
	Loopback  bool
	Master    int
	Parent    int
	Addresses []netip.Prefix
}

// Reload is the distribution's nftables.service.
type Reload struct {
	File    string // that flushes the whole ruleset; empty: none does
	Enabled bool   // the service starts at boot
}

// Resolv is /etc/resolv.conf.
type Resolv struct {
	Exists  bool
	Target  string // of the symlink; empty: a file
	Servers []netip.Addr
}

// Connectivity is NetworkManager's check whether the internet is there.
type Connectivity struct {
	URI  string // empty: none
	File string // that names it
}

// TimeServer is one that the host asks by its address.
type TimeServer struct {
	Addr netip.Addr
	File string
}

// Listener is a program that answers on port 53.
type Listener struct {
	Addr    netip.Addr
	Proto   string // udp or tcp
	UID     uint32
	Program string // empty: not known
}

// Service is a socket that waits for packets of others, at any port. UDP
// sockets at ports that the kernel gives to clients are none.
type Service struct {
	Addr    netip.Addr // never loopback's
	Port    uint16
	Proto   string // udp or tcp
	UID     uint32
	Program string // empty: not known
}

// Unread is something that could not be looked at.
type Unread struct {
	What string
	Err  error
}
