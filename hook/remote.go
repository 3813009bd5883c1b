package hook

import (
	"errors"
	"net/netip"
	"strconv"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Family restricts the addresses of a name. The zero value is no restriction
// that the client gave.
type Family uint8

// The families.
const (
	AnyFamily Family = iota
	IPv4
	IPv6
)

func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	case AnyFamily:
	}
	return "any"
}

// Remote is a server or proxy as the client has it configured. The zero value
// is none.
type Remote struct {
	Host   string // address or name, see [endpoint.ParseHost]
	Port   uint16 // 1..65535
	Proto  endpoint.Proto
	Family Family
}

// literal returns the endpoint of a remote that is given by address.
func (m Remote) literal() (endpoint.Endpoint, bool) {
	return endpoint.OrName{Host: m.Host, Port: m.Port, Proto: m.Proto}.Endpoint()
}

func (m Remote) admits(addr netip.Addr) bool {
	return m.Family == AnyFamily || (m.Family == IPv4) == addr.Is4()
}

// readRemotes takes remote_N with what belongs to it. An incomplete one is
// left out or, in a strict call, an error.
func readRemotes(r *reader) (remotes, proxies []Remote) {
	type pair struct{ remote, proxy Remote }
	var pairs []pair
	proxied := false
	for _, n := range r.env.numbers("remote_") {
		i := "_" + strconv.Itoa(n)
		name := "remote" + i
		host, okHost := read(r, name, endpoint.ParseHost)
		port, okPort := need(r, "remote_port"+i, name, endpoint.ParsePort)
		proto, okProto := need(r, "proto"+i, name, parseProto)
		proxy, okProxy := readProxy(r, i)
		if !okHost || !okPort || !okProto || !okProxy {
			continue
		}
		proxied = proxied || proxy != Remote{}
		pairs = put(r, pairs, pair{Remote{host, port, proto.Proto, proto.Family}, proxy}, maxRemotes, name)
	}
	for _, p := range pairs {
		remotes = append(remotes, p.remote)
		if proxied {
			proxies = append(proxies, p.proxy)
		}
	}
	return remotes, proxies
}

// readProxy returns the zero Remote if none is set; false if it is bad.
// OpenVPN has at most one proxy a remote.
func readProxy(r *reader, i string) (Remote, bool) {
	http, socks := r.env.has("http_proxy_server"+i), r.env.has("socks_proxy_server"+i)
	kind := "http"
	switch {
	case !http && !socks:
		return Remote{}, true
	case http && socks:
		r.fail("socks_proxy_server"+i, r.env["socks_proxy_server"+i], "http_proxy_server"+i+" is set too")
		return Remote{}, false
	case socks:
		kind = "socks"
	}
	name := kind + "_proxy_server" + i
	host, okHost := read(r, name, endpoint.ParseHost)
	port, okPort := need(r, kind+"_proxy_port"+i, name, endpoint.ParsePort)
	if !okHost || !okPort {
		return Remote{}, false
	}
	return Remote{Host: host, Port: port, Proto: endpoint.TCP}, true
}

type protoFamily struct {
	Proto  endpoint.Proto
	Family Family
}

// parseProto reads OpenVPN's names. A server's (tcp-server) have the same
// packets on the wire.
func parseProto(s string) (protoFamily, error) {
	switch s {
	case "udp":
		return protoFamily{endpoint.UDP, AnyFamily}, nil
	case "udp4":
		return protoFamily{endpoint.UDP, IPv4}, nil
	case "udp6":
		return protoFamily{endpoint.UDP, IPv6}, nil
	case "tcp", "tcp-client", "tcp-server":
		return protoFamily{endpoint.TCP, AnyFamily}, nil
	case "tcp4", "tcp4-client", "tcp4-server":
		return protoFamily{endpoint.TCP, IPv4}, nil
	case "tcp6", "tcp6-client", "tcp6-server":
		return protoFamily{endpoint.TCP, IPv6}, nil
	default:
		return protoFamily{}, errors.New("not a protocol of OpenVPN")
	}
}
