package tunnel

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// segmentBroken reports whether this kernel's UDP_SEGMENT is not to be trusted.
func segmentBroken() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return brokenRelease(unix.ByteSliceToString(u.Release[:]))
}

// brokenRelease knows the kernels, 7.0 to 7.1.4, that damage runs of datagrams
// which are all equal in length, with some network drivers. It cannot be
// probed: what arrives is wrong, not what the call returns.
func brokenRelease(release string) bool {
	var v [3]int
	for i, part := range strings.SplitN(release, ".", 3) {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			part = part[:end]
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		v[i] = n
	}
	return v[0] == 7 && (v[1] == 0 || v[1] == 1 && v[2] <= 4)
}
