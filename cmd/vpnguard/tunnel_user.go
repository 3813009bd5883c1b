package main

import (
	"fmt"
	"os/user"
	"strconv"
)

// lookupBoth finds a user's uid and group by name or number.
func lookupBoth(name string) (uid, gid uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, 0, fmt.Errorf("look up user %q: %w", name, err)
		}
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("look up user %q: uid %q", name, u.Uid)
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("look up user %q: gid %q", name, u.Gid)
	}
	return uint32(id), uint32(group), nil
}
