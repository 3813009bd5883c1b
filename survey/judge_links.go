package survey

import (
	"fmt"
	"slices"
	"strings"
)

// guestBridges are how programs name the bridge of their containers and VMs.
var guestBridges = []struct{ sign, program string }{
	{"docker*", "Docker"}, {"br-*", "Docker"}, {"virbr*", "libvirt"}, {"lxcbr*", "LXC"}, {"lxdbr*", "LXD"}, {"incusbr*", "Incus"},
	{"cni*", "CNI"}, {"podman*", "podman"}, {"flannel*", "Kubernetes"}, {"cbr*", "Kubernetes"},
}

// vpnKinds are links that carry somebody's packets elsewhere.
var vpnKinds = map[string]bool{
	"tun": true, "wireguard": true, "ovpn": true, "ppp": true, "xfrm": true, "vti": true, "vti6": true,
	"gre": true, "gretap": true, "ipip": true, "sit": true, "ip6tnl": true, "l2tpeth": true,
}

func guests(h Host) []Finding {
	var all []Finding
	for _, l := range h.Links {
		who := guestProgram(l)
		if who == "" || slices.Contains(h.Guests, l.Name) {
			continue
		}
		all = append(all, Finding{"guest-bridge", Blocks,
			fmt.Sprintf("%s is a bridge of %s, which no configuration names: behind the seal its containers or VMs have no network", l.Name, who),
			fmt.Sprintf("guests = [%q] in /etc/vpnguard/vpnguard.toml gives them the tunnel, and never the wire", l.Name)})
	}
	if h.Files.Docker && !slices.ContainsFunc(h.Links, func(l Link) bool { return guestProgram(l) == "Docker" }) {
		all = append(all, Finding{"docker", Note,
			"Docker runs without a bridge; one that appears after `up` gives its containers no network behind the seal",
			"name the bridge in `guests` before its containers start"})
	}
	return all
}

func guestProgram(l Link) string {
	if l.Kind != "bridge" {
		return ""
	}
	for _, b := range guestBridges {
		if named([]string{b.sign}, l.Name) {
			return b.program
		}
	}
	return ""
}

// vpns: another VPN's device is a wire like any other.
func vpns(h Host) []Finding {
	var all []Finding
	for _, l := range h.Links {
		if !vpnKinds[l.Kind] || slices.Contains(h.Tunnels, l.Name) || slices.Contains(h.Guests, l.Name) || idle(l) || guestPort(h, l) {
			continue
		}
		what, do := fmt.Sprintf("%s (%s) belongs to no session of vpnguard", l.Name, l.Kind), "wire its client's hooks, or seal it by hand: `vpnguard up --dev "+l.Name+" --endpoint ADDR:PORT/PROTO`"
		if strings.HasPrefix(l.Name, "tailscale") {
			what, do = l.Name+" is Tailscale's", "end Tailscale while a full tunnel is up, or use profile = \"split\""
		}
		all = append(all, Finding{"other-vpn", Blocks, what + ": a full seal takes it for a wire and lets neither its packets nor its carrier out", do})
	}
	for _, r := range h.Rules {
		who := ""
		if r.Mask == 0xff0000 && r.Mark&^r.Mask == 0 {
			who = " (Tailscale's marks)"
		}
		all = append(all, Finding{"mark-rule", Note,
			fmt.Sprintf("routing rule %d looks in table %d for packets with firewall mark %#x/%#x%s: they may take another way than the main table's", r.Priority, r.Table, r.Mark, r.Mask, who),
			"give `mark` other bits, or none"})
	}
	return all
}

// idle are devices that the kernel makes by itself when a module is loaded.
func idle(l Link) bool {
	return slices.Contains([]string{"tunl0", "gre0", "gretap0", "sit0", "ip6tnl0", "ip_vti0", "ip6_vti0"}, l.Name) && len(l.Addresses) == 0
}

// guestPort is a VM's tap at a bridge of guests.
func guestPort(h Host, l Link) bool {
	return l.Kind == "tun" && slices.ContainsFunc(h.Links, func(b Link) bool { return b.Index == l.Master && guestProgram(b) != "" })
}

func wires(h Host) []Finding {
	var all []Finding
	for _, l := range h.Links {
		if (l.Kind == "macvlan" || l.Kind == "macvtap" || l.Kind == "ipvlan" || l.Kind == "ipvtap") && l.Parent != 0 {
			all = append(all, Finding{"child", Note,
				fmt.Sprintf("%s is a %s child of %s: its frames pass no hook but the egress hook of that link", l.Name, l.Kind, nameOf(h, l.Parent)),
				"keep fence = \"required\"; without the fence what uses it leaks"})
		}
	}
	var six []string
	for _, l := range h.Links {
		if l.Loopback || vpnKinds[l.Kind] || guestProgram(l) != "" {
			continue
		}
		for _, a := range l.Addresses {
			if a.Addr().Is6() && a.Addr().IsGlobalUnicast() {
				six = append(six, l.Name)
			}
		}
	}
	if len(six) > 0 {
		all = append(all, Finding{"ipv6", Note,
			fmt.Sprintf("the host has IPv6 on %s; a full seal closes it too, and through a tunnel without IPv6 it does not work", strings.Join(sortedUnique(six), ", ")),
			"nothing; programs fall back to IPv4 at once, because they are refused and not left waiting"})
	}
	return all
}

// bridges: a wire that is a port of a bridge is passed by frames of others.
func bridges(h Host) []Finding {
	var all []Finding
	for _, l := range h.Links {
		i := slices.IndexFunc(h.Links, func(b Link) bool { return b.Index == l.Master && b.Kind == "bridge" })
		if l.Master == 0 || i < 0 || l.Kind == "veth" || l.Kind == "tun" {
			continue
		}
		all = append(all, Finding{"bridged-wire", Note,
			fmt.Sprintf("%s is a port of bridge %s: frames of other ports leave by it past every inet hook, and only the fence stops them", l.Name, h.Links[i].Name),
			"keep fence = \"required\", and do not name that bridge in `guests`"})
	}
	bridge := func(l Link) bool { return l.Kind == "bridge" }
	if h.Files.Knobs["bridge/bridge-nf-call-iptables"] == "1" && slices.ContainsFunc(h.Links, bridge) {
		all = append(all, Finding{"br-netfilter", Note,
			"br_netfilter shows bridged frames to the inet hooks as forwarded packets: guests of one bridge may be refused each other",
			"nothing, unless guests need each other by the bridge: then net.bridge.bridge-nf-call-iptables = 0"})
	}
	return all
}

func nameOf(h Host, index int) string {
	for _, l := range h.Links {
		if l.Index == index {
			return l.Name
		}
	}
	return fmt.Sprintf("link %d", index)
}

// VPN reports whether a link of the kind carries somebody's packets elsewhere.
func VPN(kind string) bool { return vpnKinds[kind] }
