package netns

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// DirThere reports whether the directory of pins exists.
func DirThere() bool {
	_, err := os.Lstat(PinDir)
	return err == nil
}

func unmountDir() error {
	if err := unix.Unmount(PinDir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return os.Remove(PinDir)
}
