// Package wiring holds what has to be written where, so that a VPN client
// calls vpnguard: the text for each client, and how it is put into files and
// taken out again. It does no I/O.
package wiring

import (
	"errors"
	"fmt"
	"strings"
)

// Piece is text that belongs into one file.
type Piece struct {
	Path string // of a file of our own; "" in one of the user's
	Into string // of a piece without Path: where a person puts it
	Mode uint32 // of a file of our own
	Text string // whole lines
}

// Wiring is all that makes a client call vpnguard.
type Wiring struct {
	Client string
	Pieces []Piece
	Notes  []string // what a person has to know or to add, a sentence each
}

// Own reports whether every piece is a file of our own, so that it can be
// written without looking into the user's.
func (w Wiring) Own() bool {
	for _, p := range w.Pieces {
		if p.Path == "" {
			return false
		}
	}
	return true
}

// Show is the wiring for a person who does it by hand.
func (w Wiring) Show() string {
	b := &strings.Builder{}
	for i, p := range w.Pieces {
		if i > 0 {
			b.WriteString("\n")
		}
		if p.Path == "" {
			fmt.Fprintf(b, "# in %s:\n%s", p.Into, p.Text)
			continue
		}
		fmt.Fprintf(b, "# %s (mode %04o):\n%s", p.Path, p.Mode, p.Text)
	}
	for i, n := range w.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "# %s\n", n)
	}
	return b.String()
}

// For returns the wiring of a client to the program exe.
func For(client, exe string) (Wiring, error) {
	if err := CheckProgram(exe); err != nil {
		return Wiring{}, err
	}
	make, ok := texts[client]
	if !ok {
		return Wiring{}, fmt.Errorf("client %q is none of %s", client, strings.Join(Clients(), ", "))
	}
	w := make(exe)
	w.Client = client
	return w, nil
}

// CheckProgram refuses a path that would need quoting: the clients have five
// different ways to quote, and each of them may read the path twice.
func CheckProgram(exe string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-"
	switch {
	case !strings.HasPrefix(exe, "/"):
		return fmt.Errorf("program %q: hooks need its absolute path", exe)
	case strings.Trim(exe, plain) != "" || strings.HasSuffix(exe, " (deleted)"):
		return fmt.Errorf("program %q: its path would have to be quoted; move it to a plain one", exe)
	}
	return nil
}

// ErrNotOurs is text that vpnguard did not write, or that was changed since.
var ErrNotOurs = errors.New("not as vpnguard wrote it")
