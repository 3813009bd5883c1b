package owner

import (
	"fmt"
	"os/user"
	"strconv"
)

// LookupUser returns the uid of a user given by name or number. In a build
// without cgo only /etc/passwd is asked: users of a directory service and
// systemd's DynamicUser are unknown there and must be given by number. Errors
// wrap user.UnknownUserError for a name that is not known.
func LookupUser(name string) (uint32, error) {
	text := name
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, fmt.Errorf("look up user %q: %w", name, err)
		}
		text = u.Uid
	}
	uid, err := strconv.ParseUint(text, 10, 32)
	// All ones means "no uid" to the kernel.
	if err != nil || uid == 1<<32-1 {
		return 0, fmt.Errorf("look up user %q: uid %q is out of range", name, text)
	}
	return uint32(uid), nil
}
