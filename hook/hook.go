// Package hook turns what a VPN client tells its hook, the environment and the
// arguments, into a Call. It does no I/O. Everything that a server or a
// certificate can put there is taken for hostile: what comes out is an
// address, a number or a valid name, never text passed through.
//
// Each client is one [client]: how its calls are recognised, and how their
// values are read. Callers see one kind of Call, whoever the client is.
package hook

import (
	"errors"
	"net/netip"

	"github.com/vpnguard/vpnguard/endpoint"
)

// ErrNotHook means that no VPN client was recognised: the command was called
// by hand, or by a program that tells nothing.
var ErrNotHook = errors.New("not called by a known vpn client")

// Command is the subcommand that the client called. Where the client says
// itself what happened, as OpenVPN does by script_type, that wins.
type Command uint8

// The commands that clients are wired to. The zero value is CommandUp, which
// never opens anything.
const (
	CommandUp Command = iota
	CommandDown
)

// Parent is what the caller knows of the calling process.
type Parent struct {
	// Comm is its name, as in /proc/PID/comm; "" if unknown. Of a shell that
	// only runs the hook, it is the name of who started the shell.
	Comm string
}

// Call is what a client told its hook. A zero field was not told, or was
// invalid in a call that must not fail.
type Call struct {
	Client string // "openvpn", "openconnect", ...: see [Clients]
	Event  Event

	// Cause is why a session ends: OpenVPN's signal or another client's word
	// for it, a known token or [a-z0-9_-]{1,64}, else "unknown". It is "" if
	// none was given and none was due.
	Cause string

	// AnyDevice: the client calls for each device of the host, tunnels and
	// wires alike. Only a tunnel's call counts; the caller has to look.
	AnyDevice bool

	// Comm is the name of the client's process, an ancestor of the hook, where
	// no PID is told; "" where the client has none that lasts.
	Comm string

	Dev        string // tunnel device, see [endpoint.ParseIfName]
	PID        int    // of the client, 1..4194304 (Linux, PID_MAX_LIMIT)
	ConfigFile string // may be relative to the client's working directory
	InKernel   bool   // the kernel sends the carrier, with the uid of whoever uses the tunnel
	MTU        int    // of the tunnel device, 68..65535 bytes
	Interim    bool   // the device stays while the client reconnects (script_context=restart)

	// Peer is the address that the client is connected to: server or proxy.
	Peer netip.AddrPort

	// Server is the same where the client does not tell the port. Standard are
	// the endpoints there, by the protocols and ports that are the client's
	// standard.
	Server   netip.Addr
	Standard []endpoint.Endpoint

	// Remotes are all servers that the client may try, in its order. Proxies
	// is nil, or as long as Remotes: the proxy by which each is reached, zero
	// for none. A proxy is always reached by TCP first.
	Remotes []Remote
	Proxies []Remote

	Addresses     []netip.Prefix // the tunnel's own, with the prefix of its link
	Resolvers     []netip.Addr
	SearchDomains []string
	RouteDomains  []string       // only these are to be asked of Resolvers
	Routes        []netip.Prefix // into the tunnel; no host route to Peer, none by the old gateway
	Redirect      Redirect
}

// Parse finds the client in environ ("KEY=VALUE", of two equal keys the first
// counts) and args (without the program and the subcommand).
//
// The error is [ErrNotHook] if no client is recognised. It is a [*ValueError]
// if a used value is invalid and the event is one that seals: the Call then
// holds Client, Event and Cause only. EventStop, EventRestart and EventIgnore
// never fail: there invalid values are dropped.
func Parse(command Command, environ, args []string, parent Parent) (Call, error) {
	in := input{command, newEnvironment(environ), args, parent}
	for _, client := range clients {
		head, ok := client.recognise(in)
		if !ok {
			continue
		}
		head.Client = client.name(in)
		r := &reader{env: in.env, strict: head.Event.seals()}
		c := head
		client.read(r, in, &c)
		if r.err != nil {
			return head, r.err
		}
		return c, nil
	}
	return Call{}, ErrNotHook
}

// Splits reports whether the call proves that only some traffic belongs in the
// tunnel. OpenVPN knows its routes from `route-up` on; what a variable says
// before is of the connection before.
func (c Call) Splits() bool {
	return c.Redirect == RedirectNone && (c.Event == EventRoutes || c.Client != "openvpn")
}

// Carriers returns the endpoints that are known without resolving a name:
// Peer, by each protocol that it can have, all literal remotes, of a remote
// behind a proxy the proxy, and the standard ones.
func (c Call) Carriers() []endpoint.Endpoint { return c.carriers() }

// Names returns the remotes, of one behind a proxy the proxy, whose names must
// be resolved to know the rest of the carriers.
func (c Call) Names() []Remote { return c.names() }
