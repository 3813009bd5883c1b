package dns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// file sets the resolvers in /etc/resolv.conf itself.
//
// A link is replaced, never written through: what it leads to belongs to
// somebody who would write it again, and who finds it untouched afterwards. A
// file that something is mounted on cannot be replaced and is written in place.
type file struct{ System }

// fileState is what the file was and what was written there.
type fileState struct {
	Before content `json:"before"`
	// Texts are what may stand there of ours, the last one if all went well.
	Texts [][]byte `json:"texts"`
}

// content is one file, or none.
type content struct {
	Kind  string            `json:"kind"` // "file", "link", "none"
	Text  []byte            `json:"text"` // where a link leads
	Mode  uint32            `json:"mode"` // permissions
	UID   int               `json:"uid"`
	GID   int               `json:"gid"`
	Attrs map[string][]byte `json:"attrs"` // extended attributes: labels, access lists
}

const (
	kindFile = "file"
	kindLink = "link"
	kindNone = "none"
)

// temp is where the file is made before it takes its place. Only one process at
// a time makes it, so that one that is found is of a process that was killed.
const temp = "/etc/.resolv.conf.vpnguard"

func (f file) prepare(old *Saved, w Wish) (Saved, error) {
	now, err := f.look()
	if err != nil {
		return Saved{}, err
	}
	var texts [][]byte
	before := now
	if old != nil && old.File != nil {
		texts = old.File.Texts
		if old.File.ours(now) {
			before = old.File.Before
		}
	}
	text := render(w, before.options())
	return Saved{File: &fileState{before, append(texts[:len(texts):len(texts)], text)}}, nil
}

func (f file) apply(s Saved) (Saved, error) {
	want := s.File.Before
	if want.Kind != kindFile {
		want = content{Kind: kindFile, Mode: 0o644}
	}
	want.Text = s.File.Texts[len(s.File.Texts)-1]
	fault.Point("dns.file.before")
	if err := f.put(want); err != nil {
		return s, err
	}
	fault.Point("dns.file.after")
	s.File = &fileState{s.File.Before, [][]byte{want.Text}}
	return s, nil
}

func (f file) verify(s Saved) []string {
	now, err := f.look()
	switch {
	case err != nil:
		return []string{err.Error()}
	case now.Kind != kindFile:
		return []string{fmt.Sprintf("%s is a %s again, not the file that was set", resolvConf, now.Kind)}
	case !bytes.Equal(now.Text, s.File.Texts[len(s.File.Texts)-1]):
		return []string{fmt.Sprintf("%s was changed by somebody else", resolvConf)}
	}
	return nil
}

func (f file) restore(s Saved) (warnings []string, err error) {
	now, err := f.look()
	if err != nil {
		return nil, err
	}
	if now.equal(s.File.Before) { // never set, or given back by a call that was killed
		return nil, f.sweep()
	}
	if !s.File.ours(now) {
		return []string{fmt.Sprintf("%s was changed by somebody else since its resolvers were set; it is left as it is", resolvConf)}, f.sweep()
	}
	fault.Point("dns.restore.before")
	if err := f.put(s.File.Before); err != nil {
		return nil, err
	}
	fault.Point("dns.restore.after")
	return nil, f.sweep()
}

// ours reports whether the file is one that we wrote, or was killed writing, or
// was killed giving back: writing in place begins by emptying it.
func (s *fileState) ours(now content) bool {
	if now.Kind != kindFile {
		return false
	}
	for _, t := range s.Texts {
		if bytes.HasPrefix(t, now.Text) {
			return true
		}
	}
	return s.Before.Kind == kindFile && bytes.HasPrefix(s.Before.Text, now.Text)
}

func (c content) equal(o content) bool {
	return c.Kind == o.Kind && bytes.Equal(c.Text, o.Text) && c.Mode == o.Mode && c.UID == o.UID && c.GID == o.GID
}

// options are the resolver's that are kept: how long to wait is the host's to
// say, whether an answer is to be trusted is not.
func (c content) options() (list []string) {
	if c.Kind != kindFile {
		return nil
	}
	for line := range strings.Lines(string(c.Text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "options" {
			continue
		}
		for _, o := range words[1:] {
			plain := strings.Trim(o, "abcdefghijklmnopqrstuvwxyz0123456789-:") == ""
			if plain && o != "trust-ad" {
				list = append(list, o)
			}
		}
	}
	return list
}

// render is the file's text, as resolv.conf(5) has it.
func render(w Wish, options []string) []byte {
	var b bytes.Buffer
	var devs []string
	for _, l := range w.Links {
		devs = append(devs, l.Dev)
	}
	fmt.Fprintf(&b, "# Set by vpnguard for the VPN on %s; `vpnguard down` gives the file back as it was.\n", strings.Join(unique(devs), " and "))
	b.Write(entries(w))
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.Bytes()
}

func entries(w Wish) []byte {
	var b bytes.Buffer
	for _, a := range w.servers() {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if search := w.search(); len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return b.Bytes()
}

// look reads the file as it is, no link followed.
func (f file) look() (content, error) {
	path := f.path(resolvConf)
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return content{Kind: kindNone}, nil
	case err != nil:
		return content{}, fmt.Errorf("examine %q: %w", resolvConf, err)
	}
	c := content{Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return content{}, fmt.Errorf("read link %q: %w", resolvConf, err)
		}
		c.Kind, c.Text = kindLink, []byte(target)
		return c, nil
	case unix.S_IFREG:
		c.Kind = kindFile
	default:
		return content{}, fmt.Errorf("examine %q: it is neither a file nor a link", resolvConf)
	}
	if c.Text, err = f.readText(resolvConf); err != nil {
		return content{}, fmt.Errorf("read %q: %w", resolvConf, err)
	}
	c.Attrs, err = attributes(path)
	return c, err
}

// put makes the file what c says, at once where that can be.
func (f file) put(c content) error {
	err := f.replace(c)
	if errors.Is(err, unix.EBUSY) { // something is mounted on it
		err = f.overwrite(c)
	}
	if err != nil {
		return fmt.Errorf("set the resolvers in %q: %w", resolvConf, explain(err))
	}
	return nil
}

// explain adds what an error of the file system means here.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: the file or its directory is immutable (lsattr), or this process may not write it", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: this process may not write there, by its capabilities or by a security module (SELinux, AppArmor)", err)
	}
	return err
}

// replace makes the new file beside the old one and puts it in its place.
func (f file) replace(c content) error {
	if err := f.sweep(); err != nil {
		return err
	}
	if c.Kind == kindNone {
		err := unix.Unlink(f.path(resolvConf))
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return errors.Join(err, f.sync())
	}
	if err := f.make(c); err != nil {
		_ = f.sweep()
		return err
	}
	fault.Point("dns.file.made")
	if err := unix.Rename(f.path(temp), f.path(resolvConf)); err != nil {
		_ = f.sweep()
		return err
	}
	fault.Point("dns.file.renamed")
	return f.sync()
}

func (f file) make(c content) error {
	if c.Kind == kindLink {
		if err := os.Symlink(string(c.Text), f.path(temp)); err != nil {
			return err
		}
		return own(func() error { return os.Lchown(f.path(temp), c.UID, c.GID) }, f.path(temp), c)
	}
	t, err := os.OpenFile(f.path(temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.Write(c.Text); err != nil {
		return err
	}
	// The owner last: the mode of somebody else's file is not ours to change.
	if err := unix.Fchmod(int(t.Fd()), c.Mode); err != nil {
		return err
	}
	if err := setAttributes(f.path(temp), c.Attrs); err != nil {
		return err
	}
	if err := own(func() error { return t.Chown(c.UID, c.GID) }, f.path(temp), c); err != nil {
		return err
	}
	return t.Sync()
}

// own changes the owner only if it is another one: a client's unit may leave
// its hooks no right to.
func own(chown func() error, path string, c content) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if int(st.Uid) == c.UID && int(st.Gid) == c.GID {
		return nil
	}
	return chown()
}

// overwrite writes in place. Killed in between, it leaves the beginning of the text.
func (f file) overwrite(c content) error {
	if c.Kind != kindFile {
		return unix.EBUSY
	}
	t, err := os.OpenFile(f.path(resolvConf), os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer t.Close()
	fault.Point("dns.file.emptied")
	if _, err := t.Write(c.Text); err != nil {
		return err
	}
	fault.Point("dns.file.written")
	return t.Sync()
}

// sweep removes what a process that was killed left.
func (f file) sweep() error {
	err := unix.Unlink(f.path(temp))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

func (f file) sync() error {
	d, err := os.Open(filepath.Dir(f.path(resolvConf)))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
