package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// Change is one committed change of the host's ruleset.
type Change struct {
	Ours    bool     // it touched our tables
	What    []string // what of them, such as "chain output deleted"; only the first few
	PID     int      // of the thread that made it, in the first pid namespace
	Program string   // its name, at most 15 bytes, chosen by the program itself
	Lost    bool     // more came than could be read: nothing is known of what changed
}

// Monitor tells of changes of the ruleset as they are committed.
type Monitor struct {
	conn *netlink.Conn
	next Change // the one under way
}

// maxWhat bounds what is told of one change.
const maxWhat = 4

// monitorBuffer holds the messages of a change of some thousand rules, in bytes.
const monitorBuffer = 1 << 20

// OpenMonitor begins to listen; what is changed from now on is told.
func OpenMonitor() (*Monitor, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	_ = conn.SetReadBuffer(monitorBuffer) // a smaller one loses sooner, and says so
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen to changes of the ruleset: %w", err)
	}
	return &Monitor{conn: conn}, nil
}

// Close ends a Next that waits.
func (m *Monitor) Close() error { return m.conn.Close() }

// Next waits for the next changes. An error is final: open another monitor,
// and look at the whole ruleset before.
func (m *Monitor) Next() ([]Change, error) {
	for {
		messages, err := m.conn.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			m.next = Change{}
			return []Change{{Ours: true, Lost: true}}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listen to changes of the ruleset: %w", err)
		}
		var out []Change
		for _, msg := range messages {
			if c, ok := m.read(msg); ok {
				out = append(out, c)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

// read takes one message: those of a change come first, NEWGEN ends them.
func (m *Monitor) read(msg netlink.Message) (Change, bool) {
	if msg.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(msg.Data) < 4 {
		return Change{}, false
	}
	a, err := netlink.NewAttributeDecoder(msg.Data[4:])
	if err != nil {
		return Change{}, false
	}
	a.ByteOrder = binary.BigEndian
	kind := uint16(msg.Header.Type & 0xff)
	if kind != unix.NFT_MSG_NEWGEN {
		m.note(kind, a)
		return Change{}, false
	}
	c := m.next
	m.next = Change{}
	for a.Next() {
		switch a.Type() {
		case unix.NFTA_GEN_PROC_PID:
			c.PID = int(a.Uint32())
		case unix.NFTA_GEN_PROC_NAME:
			c.Program = a.String()
		}
	}
	return c, true
}

// objects are what messages speak of, and which attribute names it; 0: none.
var objects = map[uint16]struct {
	what string
	name uint16
}{
	unix.NFT_MSG_NEWTABLE: {"table changed", 0}, unix.NFT_MSG_DELTABLE: {"table deleted", 0},
	unix.NFT_MSG_NEWCHAIN: {"chain %s changed", unix.NFTA_CHAIN_NAME}, unix.NFT_MSG_DELCHAIN: {"chain %s deleted", unix.NFTA_CHAIN_NAME},
	unix.NFT_MSG_NEWRULE: {"rule added to chain %s", unix.NFTA_RULE_CHAIN}, unix.NFT_MSG_DELRULE: {"rule deleted from chain %s", unix.NFTA_RULE_CHAIN},
	unix.NFT_MSG_NEWSETELEM: {"element added to set %s", unix.NFTA_SET_ELEM_LIST_SET}, unix.NFT_MSG_DELSETELEM: {"element deleted from set %s", unix.NFTA_SET_ELEM_LIST_SET},
}

// note remembers what a message says of our tables. The table's name is the
// first attribute of each.
func (m *Monitor) note(kind uint16, a *netlink.AttributeDecoder) {
	o, told := objects[kind]
	ours, name := false, ""
	for a.Next() {
		switch {
		case a.Type() == unix.NFTA_TABLE_NAME:
			ours = a.String() == rules.TableName
		case a.Type() == o.name && o.name != 0:
			name = a.String()
		}
	}
	if !ours {
		return
	}
	m.next.Ours = true
	if strings.Contains(o.what, "%s") {
		o.what = fmt.Sprintf(o.what, name)
	}
	switch {
	case !told || slices.Contains(m.next.What, o.what):
	case o.name == 0: // the whole table says more than its parts
		m.next.What = append([]string{o.what}, m.next.What[:min(len(m.next.What), maxWhat-1)]...)
	case len(m.next.What) < maxWhat:
		m.next.What = append(m.next.What, o.what)
	}
}
