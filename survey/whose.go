package survey

import (
	"slices"
	"strings"
)

// program makes tables; signs are how it names them and their chains. A sign
// that ends in "*" is a beginning.
type program struct {
	name   string
	tables []string
	chains []string
	advice string // instead of the general one; empty: none
}

// programs whose tables are met beside a VPN.
var programs = []program{
	{"firewalld", []string{"firewalld"}, nil,
		"firewalld: `firewall-cmd --zone=trusted --add-interface=TUNNEL`, and a policy or rich rule for the VPN server's address if output is filtered"},
	{"ufw", nil, []string{"ufw-*", "ufw6-*"},
		"ufw: `ufw allow out to SERVER port PORT proto PROTO`, `ufw allow out on TUNNEL`; for guests `ufw route allow in on GUEST out on TUNNEL`"},
	{"Docker", []string{"docker-bridges"}, []string{"DOCKER*"},
		"Docker accepts its own bridges by itself; add rules for others to chain DOCKER-USER"},
	{"libvirt", []string{"libvirt_network"}, []string{"LIBVIRT_*"}, ""},
	{"podman", []string{"netavark"}, []string{"NETAVARK*"}, ""},
	{"CNI", nil, []string{"CNI-*"}, ""},
	{"LXC", []string{"lxc", "lxd", "incus"}, nil, ""},
	{"Kubernetes", []string{"kube-*"}, []string{"KUBE-*"}, ""},
	{"Tailscale", nil, []string{"ts-*"}, "Tailscale: `tailscale set --netfilter-mode=off`, or end it while the other VPN is up"},
	{"Mullvad", []string{"mullvad*"}, nil, "Mullvad's own seal allows only its own tunnel: disconnect it and turn its lockdown mode off, or use it without vpnguard"},
	{"NordVPN", []string{"nordvpn*"}, []string{"nordvpn*"}, "NordVPN's own kill switch allows only its own tunnel: `nordvpn set killswitch disabled`, or use it without vpnguard"},
	{"wg-quick", []string{"wg-quick-*"}, nil, ""},
	{"fail2ban", []string{"f2b-*"}, []string{"f2b-*"}, ""},
	{"CrowdSec", []string{"crowdsec*"}, nil, ""},
}

// owners are the programs that a table is made by, as far as names tell.
type owners []program

func whose(t Table) owners {
	var found owners
	chains := slices.Clone(t.Regular)
	for _, c := range t.Base {
		chains = append(chains, c.Name)
	}
	for _, p := range programs {
		if named(p.tables, t.Name) || slices.ContainsFunc(chains, func(c string) bool { return named(p.chains, c) }) {
			found = append(found, p)
		}
	}
	if len(found) == 0 && slices.Contains([]string{"INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"}, baseName(t)) {
		found = append(found, program{name: "iptables"})
	}
	return found
}

func baseName(t Table) string {
	if len(t.Base) == 0 {
		return ""
	}
	return t.Base[0].Name
}

func named(signs []string, name string) bool {
	return slices.ContainsFunc(signs, func(s string) bool {
		if start, ok := strings.CutSuffix(s, "*"); ok {
			return strings.HasPrefix(name, start)
		}
		return s == name
	})
}

// text is who made the table, in brackets.
func (o owners) text() string {
	if len(o) == 0 {
		return ""
	}
	var names []string
	for _, p := range o {
		names = append(names, p.name)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// advice is what to do by the programs' own means, or else in general.
func (o owners) advice(general string) string {
	parts := []string{general}
	for _, p := range o {
		if p.advice != "" {
			parts = append(parts, p.advice)
		}
	}
	return strings.Join(parts, "; ")
}
