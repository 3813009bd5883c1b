package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/vpnguard/vpnguard/hook/wiring"
)

// edit is one file's change. The zero value is none.
type edit struct {
	path string // absolute, below the tree's root
	was  string
	text string
	made bool // there was no such file
	gone bool // there is to be no such file
	mode fs.FileMode
	uid  int
	gid  int
}

func (e edit) changes() bool { return e.made || e.gone || e.text != e.was }

// tree is the directory that stands for /. No name leads out of it.
type tree struct{ root *os.Root }

// edit plans all edits before the first, does them one by one, and undoes them
// if one fails.
func (w *world) edit(dir string, plan func(*tree) ([]edit, error)) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return &usageError{fmt.Errorf("open the root directory: %w", err), "nothing was changed"}
	}
	defer root.Close()
	t := &tree{root}
	edits, err := plan(t)
	if err != nil {
		return err
	}
	for i, e := range edits {
		if err := t.do(e); err != nil {
			return t.undo(edits[:i], err)
		}
	}
	changed := false
	for _, e := range edits {
		if !e.changes() {
			continue
		}
		changed = true
		verb := "changed"
		if e.made {
			verb = "wrote"
		} else if e.gone {
			verb = "removed"
		}
		fmt.Fprintf(w.stderr, "vpnguard: %s %s\n", verb, e.path)
	}
	if !changed {
		fmt.Fprintln(w.stderr, "vpnguard: nothing to do")
	}
	return nil
}

func (t *tree) undo(done []edit, cause error) error {
	for i := len(done) - 1; i >= 0; i-- {
		e := done[i]
		e.was, e.text, e.made, e.gone = e.text, e.was, e.gone, e.made
		if err := t.do(e); err != nil {
			return fmt.Errorf("%w; and %s could not be put back: %w", cause, e.path, err)
		}
	}
	return fmt.Errorf("%w; every file is as it was", cause)
}

// existing reads a file that is to be changed. A link is not followed: what it
// leads to may be shared.
func (t *tree) existing(name string) (edit, error) {
	e := edit{path: name}
	info, err := t.root.Lstat(relative(name))
	if err != nil {
		return e, fmt.Errorf("examine: %w", err)
	}
	if !info.Mode().IsRegular() {
		return e, refusal(name, errors.New("not a regular file"))
	}
	data, err := t.root.ReadFile(relative(name))
	if err != nil {
		return e, fmt.Errorf("read: %w", err)
	}
	e.was, e.text, e.mode = string(data), string(data), info.Mode().Perm()
	e.uid, e.gid = -1, -1
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.uid, e.gid = int(st.Uid), int(st.Gid)
	}
	return e, nil
}

// written is the edit that makes a file of our own. One that somebody else
// wrote, or changed, stays.
func (t *tree) written(p wiring.Piece) (edit, error) {
	text := wiring.Sign(p.Text)
	e, err := t.existing(p.Path)
	if errors.Is(err, os.ErrNotExist) {
		return edit{path: p.Path, text: text, made: true, mode: fs.FileMode(p.Mode), uid: -1, gid: -1}, nil
	}
	if err != nil {
		return e, err
	}
	if !wiring.Signed(e.was) {
		return e, refusal(p.Path, wiring.ErrNotOurs)
	}
	e.text, e.mode = text, fs.FileMode(p.Mode)
	return e, nil
}

func relative(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

// do carries one edit out. A reader sees the old file or the new one.
func (t *tree) do(e edit) error {
	if !e.changes() {
		return nil
	}
	name := relative(e.path)
	if e.gone {
		if err := t.root.Remove(name); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		return t.tidy(path.Dir(name))
	}
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	// Programs that run all files of a directory leave out those with a dot.
	temp := path.Join(path.Dir(name), ".vpnguard."+rand.Text())
	if err := t.write(temp, e); err != nil {
		_ = t.root.Remove(temp)
		return fmt.Errorf("write %s: %w", e.path, err)
	}
	if err := t.root.Rename(temp, name); err != nil {
		_ = t.root.Remove(temp)
		return fmt.Errorf("replace %s: %w", e.path, err)
	}
	return t.sync(path.Dir(name))
}

func (t *tree) write(name string, e edit) error {
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(e.text)
	if e.uid >= 0 && (e.uid != os.Geteuid() || e.gid != os.Getegid()) {
		err = errors.Join(err, f.Chown(e.uid, e.gid))
	}
	return errors.Join(err, f.Chmod(e.mode), f.Sync(), f.Close())
}

// sync makes the change of a directory outlive a crash.
func (t *tree) sync(dir string) error {
	d, err := t.root.Open(dir)
	if err != nil {
		return fmt.Errorf("open a directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// tidy removes directories that no package has and that installing made, once
// they are empty.
func (t *tree) tidy(dir string) error {
	for d := dir; strings.HasPrefix(d, "etc/vpnc") || strings.HasPrefix(d, "etc/vpnguard"); d = path.Dir(d) {
		if err := t.root.Remove(d); err != nil {
			break // not empty
		}
		dir = path.Dir(d)
	}
	return t.sync(dir)
}
