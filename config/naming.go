package config

// Naming says who sets the session's resolvers on the host. The zero value is
// NamingAuto.
type Naming uint8

// The ways.
const (
	NamingAuto           Naming = iota // who owns the resolver configuration is found out
	NamingResolved                     // systemd-resolved
	NamingNetworkManager               // NetworkManager
	NamingResolvconf                   // Debian's resolvconf or openresolv
	NamingFile                         // /etc/resolv.conf itself
	NamingOff                          // nobody; other resolvers are blocked all the same
)

var namings = []string{
	NamingAuto: "auto", NamingResolved: "resolved", NamingNetworkManager: "networkmanager",
	NamingResolvconf: "resolvconf", NamingFile: "file", NamingOff: "off",
}

// String returns "auto", "resolved", "networkmanager", "resolvconf", "file" or
// "off".
func (n Naming) String() string { return name(namings, n) }

// UnmarshalText reads what String returns. An error leaves n as it was.
func (n *Naming) UnmarshalText(text []byte) error {
	return choose(n, "dns", "auto, resolved, networkmanager, resolvconf, file, off, or a list of addresses", namings, text)
}
