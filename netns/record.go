package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/state"
)

// Record is what is kept of a namespace from before it is made until nothing is
// left of it.
type Record struct {
	Kind      string // tunnel, openvpn or dev
	Source    string // file or device that it was made of
	PID       int    // of the process that keeps it
	Start     uint64 // when that one started, in clock ticks since boot
	Client    int    // process that has the tunnel, of another program; 0: none
	ClientAt  uint64 // when that one started
	Inode     uint64 // of the namespace; 0: not made yet
	Device    string // inside; empty: not known yet
	Addresses []netip.Prefix
	Resolvers []netip.Addr
	Domains   []string
	Up        bool // the tunnel works, as far as is known
	MadeDir   bool // [PinDir] was not there before
	// Moved is a device of the host's that goes back at the end; nil: none.
	Moved *Moved `json:",omitempty"`
}

// Alive reports whether the process that keeps it runs.
func (r Record) Alive() bool { return r.PID > 0 && owner.Alive(r.PID, r.Start, "") }

// Book is the directory with one directory for each namespace.
type Book struct{ Dir string }

// Page is one namespace's place in a [Book], and its lock.
type Page struct {
	Name  Name
	dir   string
	store *state.Store
}

// Page returns the place for a name. It touches nothing.
func (b Book) Page(name Name) Page {
	dir := filepath.Join(b.Dir, name.String())
	return Page{name, dir, state.New(dir)}
}

// lockTime bounds the wait for another call that makes or ends the same namespace.
const lockTime = 30 * time.Second

// With runs f while no other call changes this namespace. A directory that had to
// be made for that and of which f made no use is gone afterwards.
func (p Page) With(ctx context.Context, f func() error) error {
	if err := os.MkdirAll(filepath.Dir(p.dir), 0o755); err != nil {
		return fmt.Errorf("make a place for namespaces: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	if err := p.store.Lock(ctx); err != nil {
		return err
	}
	err := f()
	if _, none := p.Load(); errors.Is(none, state.ErrNone) {
		// Somebody who waits for the lock waits for that of a removed directory;
		// he finds out when he saves, and nothing was changed.
		err = errors.Join(err, os.RemoveAll(p.dir))
		_ = os.Remove(filepath.Dir(p.dir)) // if it was the last
	}
	if e := p.store.Unlock(); e != nil && !errors.Is(e, state.ErrNotLocked) {
		err = errors.Join(err, e)
	}
	return err
}

// Load reads the record; the error is [state.ErrNone] without one. Of a record
// from before a boot nothing is in force.
func (p Page) Load() (r Record, err error) {
	_, err = p.store.Load(&r)
	var before *state.ForeignBootError
	if errors.As(err, &before) {
		return Record{}, state.ErrNone
	}
	return r, err
}

// Save replaces the record.
func (p Page) Save(r Record) error {
	if err := p.store.Save(r); err != nil {
		return fmt.Errorf("record namespace %q: %w", p.Name, err)
	}
	fault.Point("netns.saved")
	return nil
}

// Pages are the places of all namespaces that are recorded, by name.
func (b Book) Pages() (list []Page, err error) {
	entries, err := os.ReadDir(b.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the namespaces: %w", err)
	}
	for _, e := range entries {
		name, err := ParseName(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		if p := b.Page(name); p.recorded() {
			list = append(list, p)
		}
	}
	return list, nil
}

func (p Page) recorded() bool {
	_, err := p.Load()
	return !errors.Is(err, state.ErrNone)
}

// Clear takes everything away that was recorded: the last act of a namespace.
// Programs inside go on, without any connectivity.
func (p Page) Clear(r Record) error {
	if r.Moved != nil {
		if err := p.giveBack(r); err != nil {
			return err
		}
	}
	err := Unpin(p.Name)
	fault.Point("netns.unpinned")
	if err == nil && r.MadeDir {
		err = removeDir()
	}
	if err != nil {
		return err
	}
	return p.store.Remove()
}

func (p Page) giveBack(r Record) error {
	s, err := Open(p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return r.Moved.restore() // it was never moved, or came back by itself
	}
	if err != nil {
		return err
	}
	defer s.Close()
	return s.GiveBack(*r.Moved)
}

// removeDir takes the directory of pins away if it has become empty.
func removeDir() error {
	left, err := os.ReadDir(PinDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(left) > 0 {
		return nil
	}
	if err == nil {
		err = unmountDir()
	}
	if err != nil {
		return fmt.Errorf("remove the directory of namespaces: %w", err)
	}
	return nil
}

// Programs are the processes that are inside, by number.
func Programs(inode uint64) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil || inode == 0 {
		return nil
	}
	want := fmt.Sprintf("net:[%d]", inode)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/net")); err == nil && ns == want {
			pids = append(pids, pid)
		}
	}
	return pids
}
