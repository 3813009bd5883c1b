// Package state keeps one journal on disk that survives a kill at any
// instruction, is complete or absent, and is never trusted without its
// checksum.
//
// The journal is the file state.json in a directory of its own:
//
//	{"format":"vpnguard-state","version":1,"boot_id":"...","written":"...","sha256":"...","body":{...}}
//
// It is one line in exactly one spelling. The checksum covers the header as
// well as the body, so that a flipped bit in the boot id or in the time is
// found too. It finds damage, not forgery: whoever may write the directory may
// write any journal.
package state

import (
	"encoding/json"
	"sync"
	"time"
)

// Version is the newest format that this package reads, and the one it writes.
const Version = 1

// MaxSize is the size in bytes of the largest journal that is written or read.
const MaxSize = 16 << 20

const (
	formatName = "vpnguard-state"
	fileName   = "state.json"
	lockName   = "lock"
	tempPrefix = fileName + ".tmp-"
	// The numbered suffix keeps every damaged journal for the report.
	quarantinePrefix = fileName + ".corrupt-"
	maxQuarantine    = 100
)

// Meta is what the journal says of itself.
type Meta struct {
	Version int
	BootID  string    // the boot in which it was written
	Written time.Time // in UTC
}

// Store is a journal and its lock in one directory. Its methods may be called
// from several goroutines; those that write need [Store.Lock] first.
type Store struct {
	// BootID tells the present boot; nil reads
	// /proc/sys/kernel/random/boot_id.
	BootID func() (string, error)

	path string

	mu   sync.Mutex
	held *heldLock
	turn chan struct{} // one token: flock does not exclude goroutines that share a Store
}

// New returns the store in directory path. It touches nothing: the directory is
// created by the first [Store.Lock], mode 0755, its parent must exist.
//
// Every method refuses with an [UnsafeError] a directory that is a symbolic
// link, that group or others may write, or that belongs neither to root nor to
// the caller.
func New(path string) *Store {
	return &Store{path: path, turn: make(chan struct{}, 1)}
}

// Load reads the journal into body, a pointer as for [encoding/json]. It needs
// neither the lock nor privileges: a rename replaces the journal, so a reader
// sees the old one or the new one.
//
// Errors: [ErrNone] without a journal; a [CorruptError], also for a field that
// body does not have; a [NewerError]; a [ForeignBootError], with which alone
// body and Meta are filled all the same. Whatever the error, the disk is as it
// was.
func (s *Store) Load(body any) (Meta, error) {
	dir, err := openDir(s.path)
	if err != nil {
		return Meta{}, err
	}
	defer dir.close()
	data, err := dir.read(fileName)
	if err != nil {
		return Meta{}, err
	}
	env, err := decode(data)
	if err != nil {
		return Meta{}, err
	}
	if err := decodeBody(env.Body, body); err != nil {
		return Meta{}, err
	}
	meta := Meta{Version: env.Version, BootID: env.BootID, Written: env.Written}
	boot, err := s.bootID()
	if err != nil {
		return meta, err
	}
	if env.BootID != boot {
		return meta, &ForeignBootError{Boot: env.BootID, Now: boot}
	}
	return meta, nil
}

// Save replaces the journal by body. It needs the lock.
//
// After an error the old journal is still in place, with one exception: if the
// error says "sync directory", the new one is in place and could be lost by a
// power failure, not by a crash of the process.
func (s *Store) Save(body any) error {
	dir, err := s.locked()
	if err != nil {
		return err
	}
	boot, err := s.bootID()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return opErr("encode journal", s.path, err)
	}
	data, err := encode(envelope{
		Format: formatName, Version: Version, BootID: boot,
		Written: time.Now().UTC(), Body: raw,
	})
	if err != nil {
		return opErr("encode journal", s.path, err)
	}
	return dir.replace(fileName, data)
}

// Remove deletes the journal. It needs the lock. Without a journal it does
// nothing and succeeds.
func (s *Store) Remove() error {
	dir, err := s.locked()
	if err != nil {
		return err
	}
	return dir.remove(fileName)
}

// Quarantine moves the journal aside, so that a new one can be saved while the
// damaged one is kept for a report, and returns its new path. It needs the
// lock. Without a journal it returns [ErrNone].
func (s *Store) Quarantine() (string, error) {
	dir, err := s.locked()
	if err != nil {
		return "", err
	}
	return dir.moveAside(fileName)
}
