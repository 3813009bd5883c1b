package confine

import "golang.org/x/sys/unix"

const archAudit = unix.AUDIT_ARCH_AARCH64

// archCalls are those that only this architecture has.
var archCalls []uint32
