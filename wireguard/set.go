package wireguard

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Change is what [Set] does. Where it has a pointer, nil keeps what is. The zero
// value changes nothing.
type Change struct {
	Private      *key.Private // another one ends every session
	Port         *uint16
	Mark         *uint32
	ReplacePeers bool // forgets all peers before Peers
	Peers        []PeerChange
}

// PeerChange changes, adds or removes one peer.
type PeerChange struct {
	Public         key.Public
	Remove         bool
	UpdateOnly     bool           // passed over if there is no such peer
	Preshared      *key.Preshared // zero: none
	Endpoint       *netip.AddrPort
	Keepalive      *time.Duration // 0: off; whole seconds
	ReplaceAllowed bool           // takes every prefix away before Allowed
	Allowed        []netip.Prefix // taken from whichever peer has them
}

// Set changes a device. One that is not there is [os.ErrNotExist]. After an error
// a part of the change may be made: the kernel takes large ones in steps.
func Set(name string, c Change) error {
	config := lowered(c)
	defer erase(&config)
	if err := with(func(client *wgctrl.Client) error { return client.ConfigureDevice(name, config) }); err != nil {
		return fmt.Errorf("configure device %q: %w", name, err)
	}
	return nil
}

// lowered is the library's form of a change. It holds keys in clear.
func lowered(c Change) wgtypes.Config {
	out := wgtypes.Config{ReplacePeers: c.ReplacePeers}
	if c.Private != nil {
		k := wgtypes.Key(c.Private.Bytes())
		out.PrivateKey = &k
	}
	if c.Port != nil {
		n := int(*c.Port)
		out.ListenPort = &n
	}
	if c.Mark != nil {
		n := int(*c.Mark)
		out.FirewallMark = &n
	}
	for _, p := range c.Peers {
		peer := wgtypes.PeerConfig{
			PublicKey: wgtypes.Key(p.Public), Remove: p.Remove, UpdateOnly: p.UpdateOnly,
			PersistentKeepaliveInterval: p.Keepalive, ReplaceAllowedIPs: p.ReplaceAllowed,
		}
		if p.Preshared != nil {
			k := wgtypes.Key(p.Preshared.Bytes())
			peer.PresharedKey = &k
		}
		if p.Endpoint != nil {
			peer.Endpoint = net.UDPAddrFromAddrPort(*p.Endpoint)
		}
		for _, a := range p.Allowed {
			peer.AllowedIPs = append(peer.AllowedIPs, net.IPNet{IP: a.Masked().Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())})
		}
		out.Peers = append(out.Peers, peer)
	}
	return out
}

func erase(c *wgtypes.Config) {
	if c.PrivateKey != nil {
		clear(c.PrivateKey[:])
	}
	for _, p := range c.Peers {
		if p.PresharedKey != nil {
			clear(p.PresharedKey[:])
		}
	}
}
