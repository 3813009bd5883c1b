package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// Masquerade puts the table of a tunnel's server role in force, in the place of
// one that there is, in one transaction. After an error the kernel holds what
// it held before. Flows that were translated before stay so.
func (c *Conn) Masquerade(m rules.Masquerade) error {
	if err := m.Validate(); err != nil {
		return err
	}
	t, err := lower.Masquerade(m)
	if err != nil {
		return err
	}
	c.nft.AddTable(t.Table)
	c.nft.DelTable(t.Table)
	if err := c.queueTable(t); err != nil {
		return errors.Join(fmt.Errorf("replace table %s: %w", rules.MasqueradeTable, err), c.discard())
	}
	if err := c.nft.Flush(); err != nil {
		return fmt.Errorf("replace table %s: %w", rules.MasqueradeTable, err)
	}
	return nil
}

// Unmasquerade deletes that table. None is not an error.
func (c *Conn) Unmasquerade() error {
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: rules.MasqueradeTable}
	c.nft.AddTable(t) // deleting what is not there would fail
	c.nft.DelTable(t)
	if err := c.nft.Flush(); err != nil {
		return fmt.Errorf("remove table %s: %w", rules.MasqueradeTable, err)
	}
	return nil
}
