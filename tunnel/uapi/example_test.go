package uapi_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/uapi"
)

// A device that `wg show vpn0` and `wg set vpn0` work on. Only servers that the
// caller knows may become endpoints.
func ExampleServer() {
	private, err := key.NewPrivate(nil)
	if err != nil {
		log.Fatal(err)
	}
	d, err := tunnel.New(tunnel.Config{Name: "vpn0", Private: private, ListenPort: 51820})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	if err := os.MkdirAll("/run/wireguard", 0o700); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("unix", "/run/wireguard/vpn0.sock")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.Chmod("/run/wireguard/vpn0.sock", 0o600); err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	s := &uapi.Server{Device: d, Permit: func(c tunnel.Change) error {
		for _, e := range c.Endpoints() {
			if e != netip.MustParseAddrPort("203.0.113.10:51820") {
				return fmt.Errorf("the seal does not let %s pass", e)
			}
		}
		return nil
	}}
	go func() { served <- s.Serve(ctx, l) }()

	c, err := net.Dial("unix", "/run/wireguard/vpn0.sock")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	st, err := uapi.Get(c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.ListenPort, len(st.Peers))
	stop()
	fmt.Println(<-served)
	// Output:
	// 51820 0
	// <nil>
}
