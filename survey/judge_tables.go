package survey

import (
	"fmt"
	"strings"
)

// foreignTables: an accept of ours never overrides a drop of theirs.
func foreignTables(h Host) []Finding {
	var all []Finding
	for _, t := range h.Tables {
		who := whose(t)
		for _, c := range t.Base {
			if f, ok := foreignChain(t, c, who); ok {
				all = append(all, f)
			}
		}
	}
	return all
}

func foreignChain(t Table, c Chain, who owners) (Finding, bool) {
	refuses := c.End == "drop" || c.End == "reject" || (c.End == "" && c.PolicyDrop)
	if !refuses && c.Drops == 0 {
		return Finding{}, false
	}
	policy := "accept"
	if c.PolicyDrop {
		policy = "drop"
	}
	place := fmt.Sprintf("table %s %s%s: chain %s at hook %s", t.Family, t.Name, who.text(), c.Name, c.Hook)
	if len(c.Devices) > 0 {
		place += " of " + strings.Join(c.Devices, ", ")
	}
	place += fmt.Sprintf(", priority %d, policy %s, ", c.Priority, policy)
	if !refuses {
		return Finding{"foreign-rules", Note,
			place + fmt.Sprintf("drops under conditions (rules: %d)", c.Drops),
			"nothing, unless the tunnel does not work: a drop there holds whatever vpnguard accepts"}, true
	}
	how := "drops what no rule of it accepts"
	if c.End != "" {
		how = "ends in a " + c.End
	}
	f := Finding{"foreign-drop", Blocks, place + how, ""}
	switch {
	case t.Family == "bridge":
		f.Severity = Note
		f.What += "; it decides on frames through bridges only"
		f.Do = "nothing, unless a wire is a port of a bridge"
	case c.Hook == "input" && c.Established && t.Family != "arp":
		f.Severity = Note
		f.What += "; answers to flows that began here are accepted, which is all that a VPN client needs"
		f.Do = "nothing for the VPN; a service named in `allow_in` must be allowed there too"
	case c.Hook == "input":
		f.What += "; a VPN server's answers may be dropped"
		f.Do = who.advice("accept there what belongs to flows that began here (ct state established,related)")
	case c.Hook == "forward":
		f.Severity = Note
		f.What += "; containers and VMs may get no network, with the tunnel either"
		f.Do = who.advice("if `guests` is used, accept there what goes between the guests' interface and the tunnel device")
	case c.Hook == "output" || c.Hook == "postrouting" || c.Hook == "egress":
		f.What += "; the carrier and the tunnel's traffic may be dropped, for an accept of vpnguard does not override it"
		f.Do = who.advice("accept there the VPN server's address, protocol and port, and all that leaves by the tunnel device")
	default:
		f.What += "; a VPN server's answers and the tunnel's traffic may be dropped before vpnguard sees them"
		f.Do = who.advice("accept there what comes from the VPN server's address and port, and all that comes by the tunnel device")
	}
	return f, true
}
