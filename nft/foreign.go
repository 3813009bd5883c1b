package nft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// ForeignTable is a table that is not ours. A verdict of ours never overrides
// a drop in one.
type ForeignTable struct {
	Family  string // inet, ip, ip6, netdev, arp or bridge
	Name    string
	Base    []ForeignChain // chains at a hook, by hook and priority
	Regular []string       // names of the other chains, sorted: they tell whose the table is
}

// ForeignChain is a base chain and what it does with packets. What its rules
// ask of a packet is not evaluated; jumps are followed, verdict maps are not.
type ForeignChain struct {
	Name     string
	Type     string   // filter, nat or route
	Hook     string   // ingress, prerouting, input, forward, output, postrouting or egress
	Devices  []string // sorted
	Priority int
	Policy   rules.Verdict // Accept or Drop
	// End is what a rule without a condition does with the packets that no
	// rule before it took: "accept", "drop", "reject", or "queue" if a program
	// decides. Empty: there is no such rule, and the policy decides.
	End string
	// Drops is the number of rules that drop or reject under a condition.
	Drops int
	// Established tells that answers to flows that began here are accepted.
	Established bool
}

// Foreign reads all tables that are not ours, but those that are dormant. It
// changes nothing.
func (c *Conn) Foreign() ([]ForeignTable, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	defer conn.Close()
	for range tries {
		before, err := generation(conn)
		if err != nil {
			return nil, fmt.Errorf("read ruleset generation: %w", err)
		}
		all, errList := foreign(conn)
		after, err := generation(conn)
		if err != nil {
			return nil, fmt.Errorf("read ruleset generation: %w", err)
		}
		if before == after {
			return all, errList
		}
	}
	return nil, fmt.Errorf("list foreign tables: the ruleset changed during each of %d readings", tries)
}

// tableKey names a table: a name may stand in each family.
type tableKey struct {
	family byte
	table  string
}

type foreignReading struct {
	tables map[tableKey]*ForeignTable
	chains map[tableKey]map[string][]step // rules by chain
}

func foreign(conn *netlink.Conn) ([]ForeignTable, error) {
	r := foreignReading{tables: map[tableKey]*ForeignTable{}, chains: map[tableKey]map[string][]step{}}
	for _, part := range []struct {
		what string
		msg  uint16
		each func(byte, *netlink.AttributeDecoder)
	}{
		{"tables", unix.NFT_MSG_GETTABLE, r.table},
		{"chains", unix.NFT_MSG_GETCHAIN, r.chain},
		{"rules", unix.NFT_MSG_GETRULE, r.rule},
	} {
		if err := dumpFamily(conn, unix.NFPROTO_UNSPEC, part.msg, nil, func(f byte, a *netlink.AttributeDecoder) error {
			part.each(f, a)
			return nil
		}); err != nil {
			return nil, fmt.Errorf("list all %s: %w", part.what, err)
		}
	}
	var all []ForeignTable
	for key, t := range r.tables {
		for i := range t.Base {
			b := &t.Base[i]
			w := walk{chains: r.chains[key], ends: map[string]string{}}
			b.End = w.chain(b.Name)
			b.Drops, b.Established = w.drops, w.established
		}
		slices.Sort(t.Regular)
		slices.SortFunc(t.Base, func(a, b ForeignChain) int {
			if a.Hook != b.Hook {
				return strings.Compare(a.Hook, b.Hook)
			}
			return a.Priority - b.Priority
		})
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b ForeignTable) int {
		return strings.Compare(a.Family+" "+a.Name, b.Family+" "+b.Name)
	})
	return all, nil
}

var familyNames = map[byte]string{
	unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6",
	unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_ARP: "arp", unix.NFPROTO_BRIDGE: "bridge",
}

func (r foreignReading) table(family byte, a *netlink.AttributeDecoder) {
	t := ForeignTable{Family: familyNames[family]}
	dormant := false
	for a.Next() {
		switch a.Type() {
		case unix.NFTA_TABLE_NAME:
			t.Name = a.String()
		case unix.NFTA_TABLE_FLAGS:
			dormant = a.Uint32()&uint32(nftables.TableFlagDormant) != 0
		}
	}
	ours := t.Name == rules.TableName && (family == unix.NFPROTO_INET || family == unix.NFPROTO_NETDEV) ||
		t.Name == rules.MasqueradeTable && family == unix.NFPROTO_INET
	if t.Family == "" {
		t.Family = fmt.Sprintf("family %d", family)
	}
	if !ours && !dormant {
		key := tableKey{family, t.Name}
		r.tables[key], r.chains[key] = &t, map[string][]step{}
	}
}

func (r foreignReading) chain(family byte, a *netlink.AttributeDecoder) {
	c, table, hooked := ForeignChain{Policy: rules.Accept}, "", false
	for a.Next() {
		switch a.Type() {
		case unix.NFTA_CHAIN_TABLE:
			table = a.String()
		case unix.NFTA_CHAIN_NAME:
			c.Name = a.String()
		case unix.NFTA_CHAIN_TYPE:
			c.Type = a.String()
		case unix.NFTA_CHAIN_POLICY:
			if a.Uint32() == uint32(nftables.ChainPolicyDrop) {
				c.Policy = rules.Drop
			}
		case unix.NFTA_CHAIN_HOOK:
			hooked = true
			a.Nested(func(h *netlink.AttributeDecoder) error { return c.place(family, h) })
		}
	}
	t, ok := r.tables[tableKey{family, table}]
	switch {
	case !ok:
	case hooked:
		t.Base = append(t.Base, c)
	default:
		t.Regular = append(t.Regular, c.Name)
	}
}

// hookDevices is NFTA_HOOK_DEVS, of a chain on several devices.
const hookDevices = 4

func (c *ForeignChain) place(family byte, h *netlink.AttributeDecoder) error {
	for h.Next() {
		switch h.Type() {
		case unix.NFTA_HOOK_HOOKNUM:
			c.Hook = foreignHook(family, h.Uint32())
		case unix.NFTA_HOOK_PRIORITY:
			c.Priority = int(int32(h.Uint32()))
		case unix.NFTA_HOOK_DEV:
			c.Devices = []string{h.String()}
		case hookDevices:
			c.Devices = nil
			h.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					c.Devices = append(c.Devices, list.String())
				}
				slices.Sort(c.Devices)
				return nil
			})
		}
	}
	return nil
}

// foreignHook names a hook, whose number means something else in each family
// (<linux/netfilter.h>, netfilter_arp.h, netfilter_bridge.h).
func foreignHook(family byte, num uint32) string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	switch family {
	case unix.NFPROTO_ARP:
		names = []string{"input", "output", "forward"}
	case unix.NFPROTO_NETDEV:
		names = []string{"ingress", "egress"}
	}
	if int(num) < len(names) {
		return names[num]
	}
	return fmt.Sprintf("hook %d", num)
}

func (r foreignReading) rule(family byte, a *netlink.AttributeDecoder) {
	table, chain := "", ""
	s := step{}
	for a.Next() {
		switch a.Type() {
		case unix.NFTA_RULE_TABLE:
			table = a.String()
		case unix.NFTA_RULE_CHAIN:
			chain = a.String()
		case unix.NFTA_RULE_EXPRESSIONS:
			a.Nested(s.read)
		}
	}
	if chains, ok := r.chains[tableKey{family, table}]; ok {
		chains[chain] = append(chains[chain], s)
	}
}
