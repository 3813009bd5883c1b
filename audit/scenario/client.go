package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// newClient is a client that has not started.
func newClient(o *Order) (client, error) {
	switch o.Client {
	case "", "own":
		o.Client = "own"
		return &ownClient{}, nil
	case "openvpn":
		return &openvpnClient{}, installed("openvpn")
	case "wireguard":
		needed := []string{"wg", "wg-quick"}
		if _, err := os.Stat("/sys/module/wireguard"); err != nil {
			needed = append(needed, "wireguard-go") // no kernel's WireGuard
		}
		return &wireguardClient{}, installed(needed...)
	case "openconnect":
		if o.Ocserv != "" {
			return &openconnectClient{}, installed("openconnect", o.Ocserv)
		}
		return &openconnectClient{}, installed("openconnect", "ocserv")
	case "command":
		return &commandClient{}, nil
	}
	return nil, fmt.Errorf("client %q is not known", o.Client)
}

// installed wants programs that a client needs.
func installed(programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil && !slices.ContainsFunc([]string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/"}, func(dir string) bool {
			_, err := exec.LookPath(dir + p)
			return err == nil
		}) {
			return fmt.Errorf("the client needs %q: %w", p, err)
		}
	}
	return nil
}

// awayer is a client that goes away and tries again when told to.
type awayer interface{ away(b *bench) error }

// rotator is a client that changes to a second server.
type rotator interface{ failover(b *bench) error }

// unsuited is why a scenario makes no sense with a client.
func unsuited(o *Order, s grouped) string { return s.unfit[o.Client] }

// noticesAfter is when a client has noticed that its server is gone, and is busy
// with that.
func (b *bench) noticesAfter() time.Duration {
	if b.order.Client == "own" || b.order.Client == "wireguard" {
		return 4*watched + aWhile
	}
	// Three seconds without a ping, and the first attempts.
	return 5 * time.Second
}
