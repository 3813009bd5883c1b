package state

import (
	"errors"
	"fmt"
	"os"
)

// ErrNone says that there is no journal. errors.Is(ErrNone, os.ErrNotExist) holds.
var ErrNone error = noneError{}

// ErrNotLocked says that a method that writes was called without the lock.
// Nothing was changed.
var ErrNotLocked = errors.New("state lock not held")

type noneError struct{}

func (noneError) Error() string        { return "no state recorded" }
func (noneError) Is(target error) bool { return target == os.ErrNotExist }

// Damage tells how a journal is corrupt. The zero value is damage of an unnamed
// kind.
type Damage int

// The kinds of damage.
const (
	DamageUnknown Damage = iota
	Truncated            // ends too early, or is empty
	NotJSON
	WrongFormat  // JSON, but not a journal, or not spelt as one
	WrongVersion // a version below 1
	WrongSum
	TrailingData
	TooLarge
	WrongBody // does not fit the caller's type, an unknown field included
)

// String returns a few lower-case words.
func (d Damage) String() string {
	names := [...]string{
		"damaged", "truncated", "not JSON", "wrong format", "wrong version",
		"checksum does not match", "trailing data", "too large", "unexpected content",
	}
	if d < 0 || int(d) >= len(names) {
		return names[0]
	}
	return names[d]
}

// CorruptError says that the journal cannot be believed. The file is left where
// it is; see [Store.Quarantine].
type CorruptError struct {
	Why Damage
	Err error // the cause, or nil
}

func (e *CorruptError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("recorded state is corrupt: %v: %v", e.Why, e.Err)
	}
	return fmt.Sprintf("recorded state is corrupt: %v", e.Why)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// NewerError says that a newer vpnguard wrote the journal. Nothing in it was
// read or checked.
type NewerError struct {
	Have int // the version of the file
	Know int // the newest version that this program reads
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("recorded state has version %d, this program knows up to %d", e.Have, e.Know)
}

// ForeignBootError says that the journal was written before the last reboot, so
// that nothing it records can be in force now.
type ForeignBootError struct {
	Boot string // of the journal
	Now  string
}

func (e *ForeignBootError) Error() string {
	return fmt.Sprintf("recorded state is of boot %q, not of this one", e.Boot)
}

// UnsafeError says that a file or directory was refused because somebody else
// could have put it there. Nothing was read or changed.
type UnsafeError struct {
	Path string
	Why  string
}

func (e *UnsafeError) Error() string { return fmt.Sprintf("refuse %q: %s", e.Path, e.Why) }

// LockedError says that the lock was not got in time. Nothing was changed.
type LockedError struct {
	Path string
	PID  int   // who holds it; 0 if unknown
	Err  error // the context's error
}

func (e *LockedError) Error() string {
	if e.PID > 0 {
		return fmt.Sprintf("lock %q: held by process %d: %v", e.Path, e.PID, e.Err)
	}
	return fmt.Sprintf("lock %q: held by another process: %v", e.Path, e.Err)
}

func (e *LockedError) Unwrap() error { return e.Err }

func opErr(op, path string, err error) error {
	return fmt.Errorf("%s %q: %w", op, path, err)
}
