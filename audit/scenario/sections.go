package scenario

import (
	"fmt"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// listings are what a reader wants to know of the audited host.
var listings = []struct{ title, command string }{
	{"nftables rules", "nft -s list ruleset"},
	{"routing rules", "ip rule show; ip -6 rule show"},
	{"routes", "ip route show table all; ip -6 route show table all"},
	{"addresses", "ip addr show"},
	{"knobs", "cd /proc/sys/net && grep -H . ipv4/ip_forward ipv4/conf/*/rp_filter ipv4/conf/*/arp_ignore ipv4/conf/*/arp_announce ipv4/conf/*/accept_redirects ipv6/conf/*/accept_ra ipv6/conf/*/disable_ipv6 ipv6/conf/*/forwarding"},
	{"resolver", "cat /etc/resolv.conf"},
}

// listed reads the client's state.
func (b *bench) listed(when string) (all []evidence.Section) {
	for _, l := range listings {
		out, err := b.lab.Client.Run(b.ctx, "sh", "-c", l.command)
		if err != nil {
			out = err.Error()
		}
		all = append(all, evidence.Section{Title: fmt.Sprintf("%s of the client, guard on, %s", l.title, when), Text: strings.TrimSpace(out)})
	}
	return all
}

// version is the first line of what the client's program says of itself.
func (b *bench) version() string {
	command := map[string]string{
		"openvpn": "openvpn --version", "openconnect": "openconnect --version", "wireguard": "wg --version; wireguard-go --version",
	}[b.order.Client]
	if command == "" {
		return ""
	}
	// OpenVPN ends with 1 after it has told.
	out, _ := b.lab.Client.Run(b.ctx, "sh", "-c", command+"; :")
	line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	return line
}
