package lab

import (
	"fmt"
	"io"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/probe"
)

// registered are the roles of other packages.
var registered = map[string]func(arg string) error{}

// Register adds a role that [Node.Role] starts. Call it before [Run] or [Play].
func Register(name string, role func(arg string) error) { registered[name] = role }

// Play plays the role for which a copy of this program was started, if it was.
func Play() (code int, played bool) {
	role := os.Getenv(envRole)
	if role == "" {
		return 0, false
	}
	os.Unsetenv(envRole)
	return playRole(role), true
}

// playRole is what a re-executed copy does instead of the program proper.
func playRole(role string) int {
	switch role {
	case "init":
		return initRole()
	case "userns":
		return usernsRole()
	case "sandbox":
		return sandboxRole()
	}
	// The rest starts only inside, from a running lab.
	if err := requireInside(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: role %q: %v\n", role, err)
		return 125
	}
	var err error
	switch role {
	case "node":
		err = nodeRole(os.Getenv(envArg))
	case "capture":
		err = captureRole(os.Getenv(envArg))
	case "respond":
		err = respondRole(os.Getenv(envArg))
	case "errand":
		err = reply(os.Getenv(envArg), probe.Do)
	case "stream":
		err = probe.StreamRole(os.Getenv(envArg))
	case "flow":
		err = probe.FlowRole(os.Getenv(envArg))
	case "probe":
		err = reply(os.Getenv(envArg), probe.Run)
	default:
		other, ok := registered[role]
		if !ok {
			err = fmt.Errorf("unknown role %q", role)
			break
		}
		err = other(os.Getenv(envArg))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %s: %v\n", role, err)
		return 1
	}
	return 0
}

// envArg carries the one argument of a role; the arguments proper belong to
// the program, which may parse them before it gets here.
const envArg = "VPNGUARD_LAB_ARG"

// nodeRole holds the namespaces it was started in until its standard input
// closes, which it does when the lab's process ends for whatever reason.
func nodeRole(hostname string) error {
	if err := prepareNode(hostname); err != nil {
		return err
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func loopbackUp() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find %q: %w", "lo", err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set %q up: %w", "lo", err)
	}
	return nil
}
