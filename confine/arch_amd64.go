package confine

import "golang.org/x/sys/unix"

const archAudit = unix.AUDIT_ARCH_X86_64

// archCalls are those that only this architecture has.
var archCalls = []uint32{unix.SYS_POLL, unix.SYS_EPOLL_WAIT}
