package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"

	"github.com/vpnguard/vpnguard/rules"
)

// An owned table can be changed by the socket that owns it and by no other:
// anybody else gets EPERM, and `nft flush ruleset` passes it by. With the
// persist flag (Linux 6.9) it outlives its owner as an orphan, which decides on
// packets as before, which anybody may change, and which a socket adopts by
// naming both flags again. Without persist the kernel would delete it, which
// opens the host: never used.
const ownedFlags = nftables.TableFlagOwner | nftables.TableFlagPersist

// attrTableOwner is NFTA_TABLE_OWNER: the owner's netlink port; 0: an orphan.
const attrTableOwner = 7

// ErrOwned means that our tables belong to another socket that is open: a
// guardian runs and has to be asked.
var ErrOwned = errors.New("the tables belong to a running guardian")

// Own makes this connection the owner of every table that it puts in force,
// until it is closed. Tables stay when it is closed. If the kernel has no
// persistent owned tables, the error is an [UnsupportedError], and tables stay
// as they are: anybody's.
//
// Requires at least Linux 6.9.
func (c *Conn) Own() error {
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: probeTable, Flags: ownedFlags}
	c.nft.AddTable(t)
	c.nft.DelTable(t)
	if err := c.nft.Flush(); err != nil {
		return &UnsupportedError{Missing: []Feature{{Token: "owner", Name: "tables that outlive their owner", Since: "6.9", Module: "CONFIG_NF_TABLES"}},
			Err: fmt.Errorf("own a table: %w", err)}
	}
	c.own = true
	return nil
}

// take queues what makes this connection the owner of a table that it wants
// to own, which must come before any other change of it. It refuses a table
// that another connection owns.
func (c *Conn) take(t Table) error {
	if t.Owned {
		mine, err := c.nft.GetPortID()
		if err != nil {
			return fmt.Errorf("find the own netlink port: %w", err)
		}
		if mine != t.port {
			return fmt.Errorf("table %s %s: %w", t.Family, t.Name, ErrOwned)
		}
		return nil
	}
	if t.persistent && c.own {
		h := t.handle()
		h.Flags = ownedFlags
		c.nft.AddTable(h)
	}
	return nil
}

// flags are those that a table is queued with: the kernel refuses others than
// an existing one has.
func (c *Conn) flags(have Listing, f rules.Family) nftables.TableFlags {
	t, ok := have.table(f)
	switch {
	case c.own, ok && t.Owned:
		return ownedFlags
	case ok && t.persistent:
		return nftables.TableFlagPersist
	}
	return 0
}

// mustMove reports whether a table must be made anew to get an owner: the
// kernel does not let an ordinary table become an owned one.
func (c *Conn) mustMove(t Table) bool { return c.own && !t.persistent }

// Owned reports whether each of our tables has an owner.
func (l Listing) Owned() bool {
	for _, t := range l.Tables {
		if !t.Owned {
			return false
		}
	}
	return len(l.Tables) > 0
}
