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
	if callsHook(os.Args[1:]) {
		runtime.GOMAXPROCS(1)
	}
	// `systemctl kill -s USR1` reaches every process of a unit; a client whose
	// hook it ended would give up.
	ctx, stop := context.Background(), func() {}
	// What exec runs is to get signals as its caller left them.
	if len(os.Args) < 2 || os.Args[1] != "exec" {
		signal.Ignore(syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	}
	// pppd's umask would hide the record from clients without privileges.
	umask := unix.Umask(0o022)
	code := run(ctx, world{
		args: os.Args[1:], env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		stateDir: "/run/vpnguard", keptDir: "/var/lib/vpnguard", configFile: "/etc/vpnguard/vpnguard.toml",
		journal: os.Getenv("JOURNAL_STREAM") != "", umask: umask,
	})
	stop()
	os.Exit(code)
}
