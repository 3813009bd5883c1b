package tunnel_test

import (
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// A client of one server. It needs CAP_NET_ADMIN, and whoever wants no packet
// past the tunnel seals the host first.
func ExampleNew() {
	private, err := key.NewPrivate(nil)
	if err != nil {
		log.Fatal(err)
	}
	server, err := key.ParsePublic("3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=")
	if err != nil {
		log.Fatal(err)
	}
	d, err := tunnel.New(tunnel.Config{
		Name:    "vpn0",
		Private: private,
		Peers: []engine.PeerConfig{{
			Public:    server,
			Endpoint:  netip.MustParseAddrPort("203.0.113.10:51820"),
			Allowed:   []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")},
			Keepalive: 25 * time.Second,
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	// The device is down and has no address until now.
	if err := tun.Configure(d.Name(), d.MTU(), 0, []netip.Prefix{netip.MustParsePrefix("10.8.0.2/24")}); err != nil {
		log.Fatal(err)
	}
	st, err := d.Status()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.Name, st.MTU, len(st.Peers), st.Peers[0].Endpoint)
	// Output: vpn0 1420 1 203.0.113.10:51820
}

// Two peers come and one goes, between two packets: all of it or nothing.
func ExampleDevice_Apply() {
	private, err := key.NewPrivate(nil)
	if err != nil {
		log.Fatal(err)
	}
	d, err := tunnel.New(tunnel.Config{Name: "vpn0", Private: private})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	var change tunnel.Change
	for i := range 2 {
		other, err := key.NewPrivate(nil)
		if err != nil {
			log.Fatal(err)
		}
		public, err := other.Public()
		if err != nil {
			log.Fatal(err)
		}
		address := netip.AddrFrom4([4]byte{10, 8, 0, byte(2 + i)})
		change.Peers = append(change.Peers, engine.PeerChange{
			Public:  public,
			Allowed: []engine.AllowedChange{{Prefix: netip.PrefixFrom(address, 32)}},
		})
	}
	if err := d.Apply(change); err != nil {
		log.Fatal(err)
	}
	gone := tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{{Public: change.Peers[0].Public, Remove: true}}}}
	if err := d.Apply(gone); err != nil {
		log.Fatal(err)
	}
	// One wish that cannot be: the other is not done either.
	gone = tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{{Public: change.Peers[1].Public, Remove: true}, {}}}}
	fmt.Println(d.Apply(gone) != nil)
	st, err := d.Status()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(st.Peers), st.Peers[0].Allowed)
	// Output:
	// true
	// 1 [10.8.0.3/32]
}
