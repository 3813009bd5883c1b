// Package nft is the only netfilter socket of vpnguard: it replaces our
// tables in one transaction, reads back what the kernel has of them, and
// removes them. It touches no table that is not called vpnguard.
package nft

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// Conn is a netfilter socket in the network namespace of the caller. It is
// not safe for concurrent use, but for List.
type Conn struct {
	nft *nftables.Conn
	own bool // new tables get this connection as their owner

	// For reading. It stays open: the kernel lets who closes a netfilter socket
	// wait until what was deleted before is freed, some ten milliseconds.
	mu   sync.Mutex
	read *netlink.Conn // nil: none yet, or the last one failed
}

// Open opens the socket. It needs no privilege; every other call needs
// CAP_NET_ADMIN and fails with an error that is os.ErrPermission without it.
func Open() (*Conn, error) {
	c, err := nftables.New(nftables.AsLasting())
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, &UnsupportedError{Missing: []Feature{noNetlink}, Err: fmt.Errorf("open netfilter socket: %w", err)}
	}
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	return &Conn{nft: c}, nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.read != nil {
		err = c.read.Close()
		c.read = nil
	}
	return errors.Join(err, c.nft.CloseLasting())
}

// tries bounds how often a reading or a replacement starts again because
// somebody else changed the ruleset meanwhile. One try takes milliseconds.
const tries = 100

// Replace puts the ruleset in the place of all that our tables hold, in one
// transaction, and reads back that it is there. After an error the kernel
// holds what it held before, or, if the error says so, the new ruleset.
// An error for want of a kernel feature is an *UnsupportedError.
func (c *Conn) Replace(rs rules.Ruleset) (Listing, error) {
	tables, err := lower.Lower(rs)
	if err != nil {
		return Listing{}, err
	}
	if err = refused(tables); err == nil {
		err = c.transact(list, func(have Listing) error { return c.queueReplace(have, tables) })
	}
	if err != nil {
		return Listing{}, c.explain(tables, fmt.Errorf("replace tables %s: %w", rules.TableName, err))
	}
	have, err := c.List()
	if err != nil {
		return Listing{}, fmt.Errorf("read back tables %s (they were replaced): %w", rules.TableName, err)
	}
	if drift := have.Compare(rs); len(drift) > 0 {
		return have, fmt.Errorf("read back tables %s (they were replaced): %s", rules.TableName, drift[0])
	}
	return have, nil
}

// Restore puts the ruleset in the place of all that tables of its families hold,
// without a look at what that is: it is for the moment after somebody else has
// changed them, when each millisecond counts. It verifies nothing; Replace does.
// Tables that this connection owns cannot be changed by others, and it does
// not work on them.
func (c *Conn) Restore(rs rules.Ruleset) error {
	tables, err := lower.Lower(rs)
	if err != nil {
		return err
	}
	for _, t := range tables {
		c.nft.AddTable(t.Table)
		c.nft.DelTable(t.Table)
		if err := c.queueTable(t); err != nil {
			return errors.Join(err, c.discard())
		}
	}
	if err := c.nft.Flush(); err != nil {
		return fmt.Errorf("restore tables %s: %w", rules.TableName, err)
	}
	return nil
}

// Remove deletes our tables in one transaction. None is not an error.
func (c *Conn) Remove() error {
	err := c.transact(heads, func(have Listing) error {
		for _, t := range have.Tables {
			if err := c.take(t); err != nil {
				return err
			}
			c.nft.DelTable(t.handle())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove tables %s: %w", rules.TableName, err)
	}
	return nil
}

// transact reads what there is, queues the change and commits it only if
// nothing changed meanwhile.
func (c *Conn) transact(read reading, queue func(have Listing) error) error {
	if err := fault.Refuse("nft.commit"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	var err error
	for range tries {
		have, generation, errList := c.snapshot(read)
		if errList != nil {
			return errList
		}
		if err := queue(have); err != nil {
			return errors.Join(err, c.discard())
		}
		fault.Point("nft.commit.before")
		err = c.nft.FlushWithGenID(generation)
		fault.Point("nft.commit.after")
		if !errors.Is(err, unix.ERESTART) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// discard forgets what is queued, which would otherwise go out with the next commit.
func (c *Conn) discard() error {
	fresh, err := Open()
	if err != nil {
		return err
	}
	err = c.nft.CloseLasting()
	c.nft = fresh.nft
	return err
}

// queueReplace keeps chains that stay and refills them: a chain that is
// deleted and added again leaves a moment in which only its policy stands.
func (c *Conn) queueReplace(have Listing, tables []lower.Table) error {
	for _, old := range have.Tables {
		if err := c.take(old); err != nil {
			return err
		}
		wanted := slices.ContainsFunc(tables, func(t lower.Table) bool { return t.Family == old.family() })
		if !wanted || c.mustMove(old) {
			c.nft.DelTable(old.handle())
			continue
		}
		for _, ch := range old.Chains {
			c.nft.FlushChain(&nftables.Chain{Table: old.handle(), Name: ch.Name})
		}
		// Sets first: a foreign verdict map may point to a chain.
		for _, s := range old.Sets {
			c.nft.DelSet(&nftables.Set{Table: old.handle(), Name: s.Name})
		}
		for _, ch := range old.Chains {
			if !stays(ch, old, tables) {
				c.nft.DelChain(&nftables.Chain{Table: old.handle(), Name: ch.Name})
			}
		}
	}
	for _, t := range tables {
		t.Flags = c.flags(have, familyOf(t))
		if err := c.queueTable(t); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) queueTable(t lower.Table) error {
	c.nft.AddTable(t.Table)
	for _, s := range t.Sets {
		if err := c.nft.AddSet(s.Set, s.Elements); err != nil {
			return fmt.Errorf("set %q: %w", s.Name, err)
		}
	}
	for _, ch := range t.Chains {
		c.nft.AddChain(ch.Chain)
		for _, r := range ch.Rules {
			for _, s := range r.Sets {
				if err := c.nft.AddSet(s.Set, s.Elements); err != nil {
					return fmt.Errorf("set of rule %q: %w", lower.Comment(r.UserData), err)
				}
			}
			c.nft.AddRule(r.Rule)
		}
	}
	return nil
}

// stays reports whether the new ruleset has the same base chain.
func stays(old Chain, of Table, tables []lower.Table) bool {
	for _, t := range tables {
		if t.Family != of.family() {
			continue
		}
		for _, ch := range t.Chains {
			if ch.Name == old.Name {
				return old.Type == string(ch.Type) && old.Hook == hookName(t.Family, uint32(*ch.Hooknum)) &&
					old.Device == ch.Device && old.Priority == int(*ch.Priority)
			}
		}
	}
	return false
}
