package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// Change is one committed change of the host's ruleset.
type Change struct {
	Ours    bool   // it touched our tables
	PID     int    // of the thread that made it, in the first pid namespace
	Program string // its name, at most 15 bytes, chosen by the program itself
	Lost    bool   // more came than could be read: nothing is known of what changed
}

// Monitor tells of changes of the ruleset as they are committed.
type Monitor struct {
	conn *netlink.Conn
	ours bool // a message of the change under way spoke of our tables
}

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
			m.ours = false
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
	if msg.Header.Type&0xff != unix.NFT_MSG_NEWGEN {
		// The table's name is the first attribute of every other message.
		for a.Next() {
			if a.Type() == unix.NFTA_TABLE_NAME && a.String() == rules.TableName {
				m.ours = true
			}
		}
		return Change{}, false
	}
	c := Change{Ours: m.ours}
	m.ours = false
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
