package hook

import (
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

func (c Call) carriers() []endpoint.Endpoint {
	var list []endpoint.Endpoint
	add := func(e endpoint.Endpoint) {
		if e.IsValid() && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	for _, p := range c.peerProtos() {
		add(endpoint.Endpoint{Addr: c.Peer, Proto: p})
	}
	for _, m := range c.first() {
		if e, ok := m.literal(); ok {
			add(e)
		}
	}
	for _, e := range c.Standard {
		add(e)
	}
	return list
}

func (c Call) names() []Remote {
	var list []Remote
	for _, m := range c.first() {
		if _, ok := m.literal(); !ok && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// first returns for each remote whom the client's packets go to: its proxy or
// the remote itself.
func (c Call) first() []Remote {
	list := slices.Clone(c.Remotes)
	for i := range list {
		if i < len(c.Proxies) && c.Proxies[i] != (Remote{}) {
			list[i] = c.Proxies[i]
		}
	}
	return list
}

// peerProtos returns the protocols that the connection to Peer can have: no
// variable tells. A literal remote with Peer's address and port decides; else
// the names with its port and family; else any remote's will do, as a server
// may answer from elsewhere (float, a SOCKS relay).
func (c Call) peerProtos() []endpoint.Proto {
	var literal, named, all []endpoint.Proto
	add := func(list *[]endpoint.Proto, p endpoint.Proto) {
		if !slices.Contains(*list, p) {
			*list = append(*list, p)
		}
	}
	for i, m := range c.first() {
		if e, ok := m.literal(); !ok && m.Port == c.Peer.Port() && m.admits(c.Peer.Addr()) {
			add(&named, m.Proto)
		} else if ok && e.Addr == c.Peer {
			add(&literal, m.Proto)
		}
		add(&all, m.Proto)
		// By SOCKS the tunnel's UDP goes to a relay whose port nobody names.
		add(&all, c.Remotes[i].Proto)
	}
	for _, list := range [][]endpoint.Proto{literal, named, all} {
		if len(list) > 0 && c.Peer != (netip.AddrPort{}) {
			return list
		}
	}
	return nil
}
