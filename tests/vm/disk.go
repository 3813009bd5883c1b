package vm

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// rootfs is what every guest has beside its packages.
//
//go:embed all:rootfs
var rootfs embed.FS

// NewDisk copies the image's disk to file and puts onto it what every guest
// has, and files: host's path by guest's path. Each is owned by root and has
// the mode of the host's file.
func NewDisk(ctx context.Context, image Image, file string, files map[string]string) error {
	if out, err := exec.CommandContext(ctx, "cp", "--sparse=always", image.Disk, file).CombinedOutput(); err != nil {
		return fmt.Errorf("copy disk %q: %w\n%s", image.Disk, err, out)
	}
	own, err := os.MkdirTemp(filepath.Dir(file), "rootfs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(own)
	if err := os.CopyFS(own, rootfs); err != nil {
		return err
	}
	var w diskWriter
	err = fs.WalkDir(rootfs, "rootfs", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			from := filepath.Join(own, name)
			w.put(strings.TrimPrefix(name, "rootfs"), from)
			err = os.Chmod(from, 0o644)
		}
		return err
	})
	if err != nil {
		return err
	}
	for to, from := range files {
		w.put(to, from)
	}
	for _, unit := range []string{"guest.service", "early.service"} {
		const units = "/etc/systemd/system/"
		w.mkdir(units + "sysinit.target.wants")
		w.line("symlink %ssysinit.target.wants/%s %s%s", units, unit, units, unit)
	}
	return w.run(ctx, file)
}

// diskWriter collects commands of debugfs, which needs neither root nor a mount.
type diskWriter struct {
	commands bytes.Buffer
	made     map[string]bool
}

func (w *diskWriter) line(format string, args ...any) { fmt.Fprintf(&w.commands, format+"\n", args...) }

func (w *diskWriter) mkdir(dir string) {
	if dir == "/" || w.made[dir] {
		return
	}
	w.mkdir(path.Dir(dir))
	if w.made == nil {
		w.made = map[string]bool{}
	}
	w.made[dir] = true
	w.line("mkdir %s", dir)
}

func (w *diskWriter) put(to, from string) {
	w.mkdir(path.Dir(to))
	w.line("rm %s", to)
	w.line("write %s %s", from, to)
}

// expected is what debugfs says beside its prompts when all is well: a directory
// may be there, a file to be replaced need not.
var expected = regexp.MustCompile(`^(debugfs.*|Allocated inode: \d+|ext2fs_mkdir: Ext2 directory already exists .*|mkdir: Ext2 directory already exists *|rm: File not found by ext2_lookup.*|)$`)

func (w *diskWriter) run(ctx context.Context, file string) error {
	c := exec.CommandContext(ctx, "debugfs", "-w", "-f", "/dev/stdin", file)
	c.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C")
	c.Stdin = &w.commands
	out, err := c.CombinedOutput() // its status says nothing about its commands
	if err != nil {
		return fmt.Errorf("write to disk %q: %w\n%s", file, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSuffix(line, "\n"); !expected.MatchString(line) {
			return fmt.Errorf("write to disk %q: %s", file, line)
		}
	}
	return nil
}
