package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Judge says what of the host breaks a tunnel or a seal, the worst first. What
// could not be read is a finding too.
func Judge(h Host) []Finding {
	var all []Finding
	for _, judge := range []func(Host) []Finding{
		unread, foreignTables, reload, legacy, resolvers, guests, vpns, wires, bridges, others,
	} {
		all = append(all, judge(h)...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return int(a.Severity) - int(b.Severity) })
	return all
}

func unread(h Host) []Finding {
	var all []Finding
	for _, u := range h.Unread {
		do := "nothing is known about it, which does not mean that it is as it should be"
		if errors.Is(u.Err, fs.ErrPermission) {
			do += "; run `vpnguard doctor` as root"
		}
		all = append(all, Finding{"unread", Note, fmt.Sprintf("could not look at %s: %v", u.What, u.Err), do})
	}
	return all
}

// reload: what flushes everything takes our rules with it.
func reload(h Host) []Finding {
	r := h.Files.Reload
	if r.File == "" {
		return nil
	}
	f := Finding{"flush-ruleset", Note,
		fmt.Sprintf("%s flushes the whole ruleset, ours too; nftables.service, which loads it, is not enabled", r.File),
		fmt.Sprintf("before enabling it, replace `flush ruleset` in %s by `delete table` of its own tables", r.File)}
	if r.Enabled {
		f.Severity = Leaks
		f.What = fmt.Sprintf("a reload or stop of nftables.service opens the host: %s flushes the whole ruleset, ours too", r.File)
		f.Do = fmt.Sprintf("replace `flush ruleset` in %s by `delete table` of its own tables; after a reload, `vpnguard status` tells and `vpnguard recover` seals again", r.File)
	}
	if strings.HasSuffix(r.File, ".service") {
		f.Do = "override ExecReload and ExecStop by `systemctl edit nftables.service`, so that they delete the host's own tables only"
	}
	return []Finding{f}
}

func legacy(h Host) []Finding {
	if len(h.Legacy) == 0 {
		return nil
	}
	return []Finding{{"legacy-iptables", Note,
		fmt.Sprintf("legacy iptables has tables that nftables does not show, and nobody looked at their rules: %s", strings.Join(h.Legacy, ", ")),
		"see `iptables-legacy-save` and `ip6tables-legacy-save`; a drop there blocks whatever vpnguard accepts"}}
}

// others are the kernel's and the system's settings.
func others(h Host) []Finding {
	var all []Finding
	if c := h.Files.Connectivity; c.URI != "" {
		all = append(all, Finding{"connectivity-check", Note,
			fmt.Sprintf("NetworkManager asks %s on each link whether the internet is there (%s); behind the seal a wire's check fails and its routes may be ranked lower", c.URI, c.File),
			"set `enabled=false` in section [connectivity] of a file in /etc/NetworkManager/conf.d if that disturbs the VPN's route"})
	}
	for _, t := range h.Files.Time {
		if t.Addr.IsPrivate() || t.Addr.IsLinkLocalUnicast() {
			all = append(all, Finding{"time-lan", Note,
				fmt.Sprintf("the clock is set by %s in the LAN (%s), which cannot be reached behind the seal", t.Addr, t.File),
				"name a server that can be reached through the tunnel, or set lan = true"})
		}
	}
	for _, a := range h.MPTCP {
		all = append(all, Finding{"mptcp-endpoint", Note,
			fmt.Sprintf("multipath TCP may open more ways for a connection from %s, its endpoint; what does not go by the tunnel is refused behind a full seal", a),
			"`ip mptcp endpoint flush` if connections hang while they try"})
	}
	knob := func(id, path, value, what, do string) {
		if h.Files.Knobs[path] == value {
			all = append(all, Finding{id, Note, what, do})
		}
	}
	knob("rp-filter-loose", "ipv4/conf/default/rp_filter", "2",
		"new interfaces come with a loose reverse path (net.ipv4.conf.default.rp_filter = 2); those that appear after `up` have the strict check of the rules only",
		"nothing for the seal; for the time without it, set net.ipv4.conf.default.rp_filter = 1")
	knob("forwarding", "ipv4/ip_forward", "1",
		"the host forwards IPv4; behind the seal nothing that is forwarded leaves by a wire",
		"name in `guests` the interfaces whose containers and VMs may use the tunnel")
	knob("forwarding", "ipv6/conf/all/forwarding", "1",
		"the host forwards IPv6; behind the seal nothing that is forwarded leaves by a wire",
		"name in `guests` the interfaces whose containers and VMs may use the tunnel")
	return all
}

// sortedUnique is for lists that a person reads.
func sortedUnique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
