package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

type tunnelCommand struct {
	Up     tunnelUpCommand     `cmd:"" help:"Seal the host around a tunnel and bring it up."`
	Down   tunnelDownCommand   `cmd:"" help:"End a tunnel and give the host back."`
	Engine engineCommand       `cmd:"" hidden:""`
	Ask    askCommand          `cmd:"" hidden:""`
	Show   tunnelShowCommand   `cmd:"" help:"Show the tunnels of this host, their peers and how they are."`
	Import tunnelImportCommand `cmd:"" help:"Check a configuration of wg-quick and put it in place."`
	Peers  tunnelPeersCommand  `cmd:"" help:"Add, remove and list the peers of a server."`

	Genkey genkeyCommand `cmd:"" help:"Print a new private key."`
	Pubkey pubkeyCommand `cmd:"" help:"Read a private key on standard input, print its public key."`
	Genpsk genpskCommand `cmd:"" help:"Print a new preshared key."`
}

type genkeyCommand struct{}

// Run prints a key. It is the one place where a private key is put out.
func (genkeyCommand) Run(w *world) error {
	k, err := key.NewPrivate(nil)
	if err != nil {
		return err
	}
	fmt.Fprintln(w.stdout, k.Reveal())
	return nil
}

type pubkeyCommand struct{}

// Run reads one key and nothing else.
func (pubkeyCommand) Run(w *world) error {
	text, err := io.ReadAll(io.LimitReader(w.stdin, 1<<10))
	if err != nil {
		return fmt.Errorf("read a private key on standard input: %w", err)
	}
	k, err := key.ParsePrivate(strings.TrimSpace(string(text)))
	if err != nil || k.IsZero() {
		return &usageError{fmt.Errorf("read a private key on standard input: %w", key.ErrFormat), "vpnguard tunnel genkey | vpnguard tunnel pubkey"}
	}
	public, err := k.Public()
	if err != nil {
		return err
	}
	fmt.Fprintln(w.stdout, public)
	return nil
}

type genpskCommand struct{}

// Run prints a preshared key.
func (genpskCommand) Run(w *world) error {
	k, err := key.NewPreshared(nil)
	if err != nil {
		return err
	}
	fmt.Fprintln(w.stdout, k.Reveal())
	return nil
}
