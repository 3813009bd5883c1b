package state

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type heldLock struct {
	dir  *directory
	file *os.File
}

// The first retry comes soon, for a hook's lock is short; later ones cost
// nothing to a waiting guardian.
const (
	firstRetry = time.Millisecond
	lastRetry  = 50 * time.Millisecond
)

// Lock takes the store's lock, waiting no longer than ctx allows, and creates
// the directory if it is missing. The kernel releases the lock when the process
// ends, however it ends; a program started meanwhile does not inherit it.
//
// Errors: a [LockedError] with the holder if ctx ends first (it wraps the
// context's error), an [UnsafeError], or a permission error: the lock file can
// only be opened by the directory's owner, so that nobody else can hold it.
func (s *Store) Lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return &LockedError{Path: s.path, PID: os.Getpid(), Err: ctx.Err()}
	}
	held, err := takeLock(ctx, s.path)
	if err != nil {
		<-s.turn
		return err
	}
	s.mu.Lock()
	s.held = held
	s.mu.Unlock()
	return nil
}

// Unlock releases the lock. Without the lock it returns [ErrNotLocked].
func (s *Store) Unlock() error {
	s.mu.Lock()
	held := s.held
	s.held = nil
	s.mu.Unlock()
	if held == nil {
		return ErrNotLocked
	}
	// Else the next one who waits would be told a pid that is long gone.
	_ = held.file.Truncate(0)
	err := held.file.Close()
	held.dir.close()
	<-s.turn
	return err
}

func (s *Store) locked() (*directory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil, ErrNotLocked
	}
	return s.held.dir, nil
}

func takeLock(ctx context.Context, path string) (*heldLock, error) {
	wait := firstRetry
	for {
		held, holder, err := tryLock(path)
		if held != nil || err != nil {
			return held, err
		}
		select {
		case <-ctx.Done():
			return nil, &LockedError{Path: path, PID: holder, Err: ctx.Err()}
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

// tryLock returns neither a lock nor an error if it must be tried again. The
// directory is opened anew each time: it may have been removed and made again.
func tryLock(path string) (held *heldLock, holder int, err error) {
	dir, err := createDir(path)
	if errors.Is(err, ErrNone) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if held == nil {
			dir.close()
		}
	}()
	// 0600: whoever can open a file, even to read, can flock it.
	f, err := dir.open(lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ENOENT) {
		return nil, 0, nil // the directory was removed since
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if held == nil {
			f.Close()
		}
	}()
	err = ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, readPID(f), nil
	case err != nil:
		return nil, 0, opErr("lock", dir.join(lockName), err)
	}
	if !stillThere(path, f) {
		return nil, 0, nil
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, 0, opErr("set mode of", dir.join(lockName), err)
	}
	// The pid is only for the message of who waits; a full disk is no reason
	// not to lock.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &heldLock{dir: dir, file: f}, 0, nil
}

// stillThere tells whether the locked file is the one that others will open.
func stillThere(path string, f *os.File) bool {
	var have, want unix.Stat_t
	if unix.Fstat(int(f.Fd()), &have) != nil || unix.Stat(path+"/"+lockName, &want) != nil {
		return false
	}
	return have.Dev == want.Dev && have.Ino == want.Ino
}

func readPID(f *os.File) int {
	buf := make([]byte, 16)
	n, _ := f.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func ignoringEINTR(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
