package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// idCount is the range mapped one to one: ordinary users, services and
// nobody (65534).
const idCount = 65536

const sandboxFlags = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// SingleUID tells that only root exists inside, because the caller is an
// ordinary user without subordinate ids (newuidmap, /etc/subuid). Then
// [Node.CommandAs] fails for every other uid and openvpn cannot drop to nobody.
func SingleUID() bool { return os.Getenv(envSingle) != "" }

func enter() (int, error) {
	outside, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, fmt.Errorf("read own network namespace: %w", err)
	}
	env := append(os.Environ(), envInside+"="+outside)
	if os.Geteuid() == 0 {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: idCount}}
		cmd := stage("init", env, sandboxFlags|unix.CLONE_NEWUSER)
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		if err = cmd.Start(); err == nil {
			return superviseFromOutside(cmd)
		}
		// Root of a container may not own the whole range.
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) {
			return 0, fmt.Errorf("start %q in new namespaces: %w", os.Args[0], err)
		}
	} else if haveSubordinateIDs() {
		return enterBySubordinateIDs(env)
	}
	cmd := stage("init", append(env, envSingle+"=1"), sandboxFlags|unix.CLONE_NEWUSER)
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %q in new namespaces: %w", os.Args[0], err)
	}
	return superviseFromOutside(cmd)
}

func stage(role string, env []string, flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(env, envRole+"="+role)
	cmd.SysProcAttr = dieWithParent(&syscall.SysProcAttr{Cloneflags: flags})
	return cmd
}

func haveSubordinateIDs() bool {
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return false
		}
	}
	_, _, errU := subordinate("/etc/subuid")
	_, _, errG := subordinate("/etc/subgid")
	return errU == nil && errG == nil
}

// subordinate returns the caller's first range in file that is big enough.
func subordinate(file string) (start, count int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	id := strconv.Itoa(os.Getuid())
	name := id
	if u, err := user.LookupId(id); err == nil {
		name = u.Username
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || (f[0] != name && f[0] != id) {
			continue
		}
		start, errS := strconv.Atoi(f[1])
		count, errC := strconv.Atoi(f[2])
		if errS == nil && errC == nil && count >= idCount-1 {
			return start, count, nil
		}
	}
	return 0, 0, fmt.Errorf("no range of %d ids for %q in %q", idCount-1, name, file)
}

// enterBySubordinateIDs needs a stage of its own: the setuid tools map the ids
// of a process that exists already, and only an exec after that has capabilities.
func enterBySubordinateIDs(env []string) (int, error) {
	cmd := stage("userns", env, unix.CLONE_NEWUSER)
	mapped, tell, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("open a pipe: %w", err)
	}
	defer tell.Close()
	cmd.ExtraFiles = []*os.File{mapped}
	err = cmd.Start()
	mapped.Close()
	if err != nil {
		return 0, fmt.Errorf("start %q in a user namespace: %w", os.Args[0], err)
	}
	for _, m := range []struct {
		tool, file string
		own        int
	}{{"newuidmap", "/etc/subuid", os.Getuid()}, {"newgidmap", "/etc/subgid", os.Getgid()}} {
		start, _, err := subordinate(m.file)
		if err == nil {
			var out []byte
			out, err = exec.Command(m.tool, strconv.Itoa(cmd.Process.Pid), "0", strconv.Itoa(m.own), "1",
				"1", strconv.Itoa(start), strconv.Itoa(idCount-1)).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
			}
		}
		if err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return 0, fmt.Errorf("map ids with %q: %w", m.tool, err)
		}
	}
	if _, err := io.WriteString(tell, "mapped\n"); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return 0, fmt.Errorf("release %q: %w", os.Args[0], err)
	}
	return superviseFromOutside(cmd)
}

// usernsRole waits for its ids, then starts the init stage with capabilities.
func usernsRole() int {
	mapped := os.NewFile(3, "mapped")
	line, err := bufio.NewReader(mapped).ReadString('\n')
	if err != nil || line != "mapped\n" {
		return 125
	}
	mapped.Close()
	// The exec gives root its capabilities; it had none while its id was unmapped.
	err = unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), envRole+"=sandbox"))
	fmt.Fprintln(os.Stderr, "lab: exec with mapped ids:", err)
	return 125
}

func sandboxRole() int {
	cmd := stage("init", os.Environ(), sandboxFlags)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: start %q in new namespaces: %v\n", os.Args[0], err)
		return 125
	}
	code, err := superviseFromOutside(cmd)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 125
	}
	return code
}
