// Command vpnguard seals a host around a VPN.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/audit/scenario"
	"github.com/vpnguard/vpnguard/lab"
)

func main() {
	scenario.Roles()
	// Copies of this program that play a part in an audit's laboratory have no
	// arguments, or the audit's own: nothing in a hook's environment makes it one.
	if len(os.Args) == 1 || os.Args[1] == "audit" {
		if code, played := lab.Play(); played {
			os.Exit(code)
		}
	}
	// A hook may run under TasksMax=10, which counts threads (Debian's
	// openvpn@.service) and its client. The work is a chain of system calls: one
	// suffices there, two elsewhere.
	runtime.GOMAXPROCS(2)
	if len(os.Args) > 1 && (os.Args[1] == "up" || os.Args[1] == "down") {
		runtime.GOMAXPROCS(1)
	}
	// `systemctl kill -s USR1` reaches every process of a unit; a client whose
	// hook it ended would give up.
	signal.Ignore(syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
	// pppd's umask would hide the record from clients without privileges.
	unix.Umask(0o022)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, world{
		args: os.Args[1:], env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		stateDir: "/run/vpnguard", keptDir: "/var/lib/vpnguard", configFile: "/etc/vpnguard/vpnguard.toml",
		journal: os.Getenv("JOURNAL_STREAM") != "",
	})
	stop()
	os.Exit(code)
}
