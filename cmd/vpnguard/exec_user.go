package main

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/netns"
	"github.com/vpnguard/vpnguard/owner"
)

// someone is a user with what a session of theirs has.
type someone struct {
	netns.User
	name, home, shell string
	// session is the environment in which sudo was called; nil: not known.
	session []string
	caller  bool // this process's environment is theirs already
}

// who is the user that was named, or who called: through sudo, pkexec, or as
// themselves.
func (c *execCommand) who() (someone, error) {
	if c.User != "" {
		uid, gid, err := lookupBoth(c.User)
		if err != nil {
			return someone{}, &usageError{err, "the command was not run; give a user of this host"}
		}
		return lookUp(uid, gid, nil), nil
	}
	for _, v := range []string{"SUDO_UID", "PKEXEC_UID"} {
		text, ok := os.LookupEnv(v)
		if !ok {
			continue
		}
		uid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return someone{}, &usageError{fmt.Errorf("%s=%q is no uid", v, text), "the command was not run; give --user USER"}
		}
		gid := uid
		if g, err := strconv.ParseUint(os.Getenv("SUDO_GID"), 10, 32); err == nil && v == "SUDO_UID" {
			gid = g
		} else if _, g, err := lookupBoth(text); err == nil {
			gid = uint64(g)
		}
		session, groups := calledSudo(uint32(uid))
		s := lookUp(uint32(uid), uint32(gid), groups)
		s.session = session
		return s, nil
	}
	s := lookUp(uint32(os.Getuid()), uint32(os.Getgid()), nil)
	s.caller = true
	if groups, err := os.Getgroups(); err == nil && len(groups) > 0 {
		s.Groups = nil
		for _, g := range groups {
			s.Groups = append(s.Groups, uint32(g))
		}
	}
	return s, nil
}

// lookUp finds the rest of a user out. One that no file knows has none.
func lookUp(uid, gid uint32, groups []uint32) someone {
	s := someone{User: netns.User{UID: uid, GID: gid, Groups: groups}, home: "/", shell: "/bin/sh"}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return s
	}
	s.name, s.home = u.Username, u.HomeDir
	if text, err := os.ReadFile("/etc/passwd"); err == nil {
		for line := range strings.Lines(string(text)) {
			if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && f[0] == u.Username && f[6] != "" {
				s.shell = f[6]
			}
		}
	}
	if ids, err := u.GroupIds(); err == nil && len(s.Groups) == 0 {
		for _, id := range ids {
			if g, err := strconv.ParseUint(id, 10, 32); err == nil {
				s.Groups = append(s.Groups, uint32(g))
			}
		}
	}
	return s
}

// calledSudo finds the sudo that started this process, and returns the
// environment in which it was called, which is the user's own, and the groups
// of the program that called it. Both only serve the user who has them already.
func calledSudo(uid uint32) (session []string, groups []uint32) {
	list, err := owner.Ancestors(os.Getpid(), maxAncestors, "")
	if err != nil {
		return nil, nil
	}
	for i, p := range list {
		// sudo may have a second process of itself between: the outermost counts.
		if p.Comm != "sudo" || i+1 >= len(list) || list[i+1].Comm == "sudo" {
			continue
		}
		caller, err := owner.Discover(list[i+1].PID, "")
		if err != nil || caller.UIDs.Real != uid {
			return nil, nil
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		if err != nil {
			return nil, nil
		}
		for v := range bytes.SplitSeq(bytes.TrimRight(text, "\x00"), []byte{0}) {
			session = append(session, string(v))
		}
		return session, groupsOf(list[i+1].PID)
	}
	return nil, nil
}

func groupsOf(pid int) (groups []uint32) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Groups:"); ok {
			for _, f := range strings.Fields(list) {
				if g, err := strconv.ParseUint(f, 10, 32); err == nil {
					groups = append(groups, uint32(g))
				}
			}
		}
	}
	return groups
}

// env is the program's environment: the session's, if it is known, and otherwise
// this process's with the names that tell who somebody is changed, for they are
// root's. Where the session's sockets are, follows from the uid.
func (s someone) env(own []string) []string {
	if s.session != nil || s.caller {
		return pick(s.session, own)
	}
	set := map[string]string{"HOME": s.home, "USER": s.name, "LOGNAME": s.name, "SHELL": s.shell}
	runtime := fmt.Sprintf("/run/user/%d", s.UID)
	if _, err := os.Stat(runtime); err == nil {
		set["XDG_RUNTIME_DIR"] = runtime
		if _, err := os.Stat(runtime + "/bus"); err == nil {
			set["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=" + runtime + "/bus"
		}
	}
	var env []string
	for _, v := range own {
		name, _, _ := strings.Cut(v, "=")
		if _, other := set[name]; !other && !strings.HasPrefix(name, "SUDO_") && name != "PKEXEC_UID" && name != "MAIL" {
			env = append(env, v)
		}
	}
	for _, name := range []string{"HOME", "USER", "LOGNAME", "SHELL", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"} {
		if set[name] != "" {
			env = append(env, name+"="+set[name])
		}
	}
	return env
}

func pick(session, own []string) []string {
	if session != nil {
		return session
	}
	return own
}
