// Package fault marks the points of a change at which a test may kill the
// process or refuse a system call.
//
// A release build has no such points: [Point] is empty and [Refuse] returns
// nil. With the build tag faultpoints both read the environment variable
// VPNGUARD_FAULT:
//
//	kill:NAME        the process kills itself with SIGKILL at the point NAME
//	kill:NAME#N      the same, at the N-th time (from 1) that NAME is passed
//	refuse:NAME:ERR  Refuse(NAME) returns the errno called ERR (EPERM, EOPNOTSUPP, ...)
//
// and VPNGUARD_FAULT_LIST names a file to which each point passed is appended,
// one name a line, so that a test can learn all of them and then drive each.
package fault
