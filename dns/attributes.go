package dns

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes reads a file's extended attributes, among them its security label
// and its access list. Those that this process may not read stay with the old
// file; a file system without any has none.
func attributes(path string) (map[string][]byte, error) {
	names := make([]byte, 64<<10) // the kernel's own limit, XATTR_LIST_MAX
	n, err := unix.Llistxattr(path, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes of %q: %w", path, err)
	}
	all := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Lgetxattr(path, name, value)
		if err == nil {
			all[name] = value[:n]
		}
	}
	return all, nil
}

// setAttributes gives a new file those of the old one. One that this process
// may not set is left to the host's policy, which labels new files itself.
func setAttributes(path string, all map[string][]byte) error {
	for name, value := range all {
		err := unix.Lsetxattr(path, name, value, 0)
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %q of %q: %w", name, path, err)
		}
	}
	return nil
}
