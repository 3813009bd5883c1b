package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed mkroot.sh
var mkroot []byte

// Image is an installed Debian that has never run.
type Image struct{ Disk, Kernel, Initrd string }

// FindImage returns the cached image of what mkroot.sh makes, and makes it if
// there is none. Making it takes minutes, the Debian mirror, and root, by sudo
// if need be.
func FindImage(ctx context.Context) (Image, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME
	if err != nil {
		return Image{}, fmt.Errorf("find the cache directory: %w", err)
	}
	dir := filepath.Join(cache, "vpnguard-vm", fmt.Sprintf("%x", sha256.Sum256(mkroot))[:16])
	image := Image{filepath.Join(dir, "disk"), filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd")}
	if _, err := os.Stat(dir); err == nil {
		return image, nil
	}
	// Made beside and moved: a directory of that name is complete.
	making := dir + ".new"
	as := []string{"sh", "-s", making}
	if os.Geteuid() != 0 {
		as = append([]string{"sudo", "-n"}, as...)
	}
	if err := errors.Join(os.RemoveAll(making), os.MkdirAll(making, 0o755)); err != nil {
		return Image{}, fmt.Errorf("make the image: %w", err)
	}
	c := exec.CommandContext(ctx, as[0], as[1:]...)
	c.Stdin = bytes.NewReader(mkroot)
	if out, err := c.CombinedOutput(); err != nil {
		return Image{}, fmt.Errorf("make the image in %q: %w\n%s", making, err, tail(out))
	}
	if err := os.Rename(making, dir); err != nil {
		return Image{}, fmt.Errorf("keep the image: %w", err)
	}
	return image, nil
}

// tail is as much of a log as a person reads.
func tail(log []byte) []byte {
	const most = 4000
	return log[max(0, len(log)-most):]
}
