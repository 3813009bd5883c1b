package nft

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// The netfilter library's own read-back leaves out expressions that it does
// not know and the device of netdev chains, so the dumps are read here.

// List reads our tables. No table is an empty Listing, not an error.
func (c *Conn) List() (Listing, error) {
	l, _, err := c.snapshot(list)
	return l, err
}

// A reading asks the kernel for our tables: list for all that is in them, heads
// for no more than which there are.
type reading func(*netlink.Conn) (Listing, error)

// snapshot reads our tables and the generation of the ruleset that they
// belong to. It takes several dumps, between which anybody may change
// something, so it starts again until the generation is the same at both ends.
func (c *Conn) snapshot(read reading) (l Listing, gen uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == nil {
		if c.read, err = netlink.Dial(unix.NETLINK_NETFILTER, nil); err != nil {
			return Listing{}, 0, fmt.Errorf("open netfilter socket: %w", err)
		}
	}
	if l, gen, err = stable(c.read, read); err != nil {
		// Half an answer may still be in it.
		_ = c.read.Close()
		c.read = nil
	}
	return l, gen, err
}

func stable(conn *netlink.Conn, read reading) (Listing, uint32, error) {
	for range tries {
		before, err := generation(conn)
		if err != nil {
			return Listing{}, 0, fmt.Errorf("read ruleset generation: %w", err)
		}
		l, errList := read(conn)
		after, err := generation(conn)
		if err != nil {
			return Listing{}, 0, fmt.Errorf("read ruleset generation: %w", err)
		}
		if before == after {
			return l, before, errList
		}
	}
	return Listing{}, 0, fmt.Errorf("list tables %s: the ruleset changed during each of %d readings", rules.TableName, tries)
}

// generation is the number of the last change. The library's own reading
// loses the errno, and with it what a process without privileges is told.
func generation(conn *netlink.Conn) (id uint32, err error) {
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN),
			Flags: netlink.Request,
		},
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, err
	}
	found := false
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		a, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return 0, err
		}
		a.ByteOrder = binary.BigEndian
		for a.Next() {
			if a.Type() == unix.NFTA_GEN_ID {
				id, found = a.Uint32(), true
			}
		}
		if err := a.Err(); err != nil {
			return 0, err
		}
	}
	if !found {
		return 0, errors.New("no generation in the answer")
	}
	return id, nil
}

func list(conn *netlink.Conn) (Listing, error) {
	l, err := heads(conn)
	if err != nil {
		return Listing{}, err
	}
	for i := range l.Tables {
		if err := l.Tables[i].dumpContents(conn); err != nil {
			return Listing{}, fmt.Errorf("list table %s %s: %w", l.Tables[i].Family, rules.TableName, err)
		}
	}
	return l, nil
}

func heads(conn *netlink.Conn) (Listing, error) {
	var l Listing
	for _, f := range []rules.Family{rules.Inet, rules.Netdev} {
		err := dump(conn, f, unix.NFT_MSG_GETTABLE, nil, func(a *netlink.AttributeDecoder) error {
			if t := tableHead(f, a); t.Name == rules.TableName {
				l.Tables = append(l.Tables, t)
			}
			return nil
		})
		if err != nil {
			return Listing{}, fmt.Errorf("list tables of family %s: %w", f, err)
		}
	}
	return l, nil
}

func tableHead(f rules.Family, a *netlink.AttributeDecoder) Table {
	t := Table{Family: f}
	for a.Next() {
		switch a.Type() {
		case unix.NFTA_TABLE_NAME:
			t.Name = a.String()
		case unix.NFTA_TABLE_FLAGS:
			flags := a.Uint32()
			t.Dormant = flags&uint32(nftables.TableFlagDormant) != 0
			t.Owned = flags&uint32(nftables.TableFlagOwner) != 0
			t.persistent = flags&uint32(nftables.TableFlagPersist) != 0
		case attrTableOwner:
			t.port = a.Uint32()
		}
	}
	return t
}

func (t *Table) dumpContents(conn *netlink.Conn) error {
	anonymous, err := t.dumpSets(conn)
	if err != nil {
		return err
	}
	if err := t.dumpChains(conn); err != nil {
		return err
	}
	return t.dumpRules(conn, anonymous)
}

// dump asks for what one of our tables' families has.
func dump(conn *netlink.Conn, f rules.Family, msg uint16, filter []netlink.Attribute, each func(*netlink.AttributeDecoder) error) error {
	return dumpFamily(conn, byte(lower.Family(f)), msg, filter, func(_ byte, a *netlink.AttributeDecoder) error { return each(a) })
}

// dumpFamily sends one request and hands each answer's family and attributes to
// each. NFPROTO_UNSPEC asks for every family.
func dumpFamily(conn *netlink.Conn, family byte, msg uint16, filter []netlink.Attribute, each func(byte, *netlink.AttributeDecoder) error) error {
	data, err := netlink.MarshalAttributes(filter)
	if err != nil {
		return err
	}
	header := []byte{family, unix.NFNETLINK_V0, 0, 0}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | msg),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append(header, data...),
	})
	if err != nil {
		return err
	}
	for _, m := range answers {
		if len(m.Data) < len(header) {
			return fmt.Errorf("answer of %d bytes", len(m.Data))
		}
		a, err := netlink.NewAttributeDecoder(m.Data[len(header):])
		if err != nil {
			return err
		}
		a.ByteOrder = binary.BigEndian
		if err := each(m.Data[0], a); err != nil {
			return err
		}
		if err := a.Err(); err != nil {
			return err
		}
	}
	return nil
}

func text(s string) []byte { return append([]byte(s), 0) }

// dumpSets keeps the named sets and returns the anonymous ones, by the names
// that the kernel gave them.
func (t *Table) dumpSets(conn *netlink.Conn) (map[string]Set, error) {
	var all []Set
	filter := []netlink.Attribute{{Type: unix.NFTA_SET_TABLE, Data: text(t.Name)}}
	err := dump(conn, t.Family, unix.NFT_MSG_GETSET, filter, func(a *netlink.AttributeDecoder) error {
		var s Set
		for a.Next() {
			switch a.Type() {
			case unix.NFTA_SET_NAME:
				s.Name = a.String()
			case unix.NFTA_SET_FLAGS:
				s.flags = a.Uint32()
			}
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	anonymous := map[string]Set{}
	for _, s := range all {
		if err := t.dumpElements(conn, &s); err != nil {
			return nil, fmt.Errorf("elements of set %q: %w", s.Name, err)
		}
		if s.flags&unix.NFT_SET_ANONYMOUS != 0 {
			anonymous[s.Name] = s
		} else {
			t.Sets = append(t.Sets, s)
		}
	}
	return anonymous, nil
}

// dumpElements counts the elements and adds their digests up, because the
// kernel lists a hash set in no fixed order.
func (t *Table) dumpElements(conn *netlink.Conn, s *Set) error {
	filter := []netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: text(t.Name)},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: text(s.Name)},
	}
	return dump(conn, t.Family, unix.NFT_MSG_GETSETELEM, filter, func(a *netlink.AttributeDecoder) error {
		for a.Next() {
			if a.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				a.Nested(func(list *netlink.AttributeDecoder) error {
					for list.Next() {
						s.Len++
						for i, b := range sha256.Sum256(list.Bytes()) {
							s.keys[i] ^= b
						}
					}
					return nil
				})
			}
		}
		return nil
	})
}

func (t *Table) dumpChains(conn *netlink.Conn) error {
	err := dump(conn, t.Family, unix.NFT_MSG_GETCHAIN, nil, func(a *netlink.AttributeDecoder) error {
		var c Chain
		table := ""
		for a.Next() {
			switch a.Type() {
			case unix.NFTA_CHAIN_TABLE:
				table = a.String()
			case unix.NFTA_CHAIN_NAME:
				c.Name = a.String()
			case unix.NFTA_CHAIN_TYPE:
				c.Type = a.String()
			case unix.NFTA_CHAIN_POLICY:
				if a.Uint32() == uint32(nftables.ChainPolicyAccept) {
					c.Policy = rules.Accept
				}
			case unix.NFTA_CHAIN_HOOK:
				a.Nested(t.hook(&c))
			}
		}
		if table == t.Name {
			t.Chains = append(t.Chains, c)
		}
		return nil
	})
	slices.SortFunc(t.Chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
	return err
}

func (t *Table) hook(c *Chain) func(*netlink.AttributeDecoder) error {
	return func(h *netlink.AttributeDecoder) error {
		for h.Next() {
			switch h.Type() {
			case unix.NFTA_HOOK_HOOKNUM:
				c.Hook = hookName(t.family(), h.Uint32())
			case unix.NFTA_HOOK_PRIORITY:
				c.Priority = int(int32(h.Uint32()))
			case unix.NFTA_HOOK_DEV:
				c.Device = h.String()
			}
		}
		return nil
	}
}

func (t *Table) dumpRules(conn *netlink.Conn, anonymous map[string]Set) error {
	filter := []netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: text(t.Name)}}
	return dump(conn, t.Family, unix.NFT_MSG_GETRULE, filter, func(a *netlink.AttributeDecoder) error {
		var r Rule
		table, chain := "", ""
		for a.Next() {
			switch a.Type() {
			case unix.NFTA_RULE_TABLE:
				table = a.String()
			case unix.NFTA_RULE_CHAIN:
				chain = a.String()
			case unix.NFTA_RULE_USERDATA:
				r.Comment = lower.Comment(a.Bytes())
			case unix.NFTA_RULE_EXPRESSIONS:
				a.Nested(func(list *netlink.AttributeDecoder) error { return r.expressions(list, anonymous) })
			}
		}
		for i := range t.Chains {
			if table == t.Name && t.Chains[i].Name == chain {
				t.Chains[i].Rules = append(t.Chains[i].Rules, r)
			}
		}
		return nil
	})
}

// expressions digests the kernel's form of each expression. A counter's
// counts and the running number in an anonymous set's name change without
// meaning: what the set holds goes in instead of its name.
func (r *Rule) expressions(list *netlink.AttributeDecoder, anonymous map[string]Set) error {
	h := sha256.New()
	for list.Next() {
		list.Nested(func(e *netlink.AttributeDecoder) error {
			name := ""
			for e.Next() {
				switch e.Type() {
				case unix.NFTA_EXPR_NAME:
					name = e.String()
					h.Write(text(name))
				case unix.NFTA_EXPR_DATA:
					switch name {
					case "counter":
						e.Nested(r.counter)
					case "lookup":
						e.Nested(func(d *netlink.AttributeDecoder) error {
							for d.Next() {
								if s, ok := anonymous[d.String()]; ok && d.Type() == unix.NFTA_LOOKUP_SET {
									fmt.Fprintf(h, "%d %d %x\n", s.flags, s.Len, s.keys)
									continue
								}
								fmt.Fprintf(h, "%d %x\n", d.Type(), d.Bytes())
							}
							return nil
						})
					default:
						fmt.Fprintf(h, "%x\n", e.Bytes())
					}
				}
			}
			return nil
		})
	}
	h.Sum(r.exprs[:0])
	return nil
}

func (r *Rule) counter(d *netlink.AttributeDecoder) error {
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_COUNTER_BYTES:
			r.Bytes = d.Uint64()
		case unix.NFTA_COUNTER_PACKETS:
			r.Packets = d.Uint64()
		}
	}
	return nil
}
