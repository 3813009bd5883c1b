package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// world is everything that the program gets from outside.
type world struct {
	args, env      []string
	stdin          io.Reader
	stdout, stderr io.Writer
	stateDir       string
	keptDir        string // of the lock, on a disk that outlives a boot
	configFile     string
	journal        bool   // whether stderr is the journal's
	umask          int    // of the caller
	root           string // stands for / in the names of tunnels' files; empty: /
}

// hookCommands are what clients call. They are parsed alone: to take in the whole
// command line costs more memory than all else that such a call does.
type hookCommands struct {
	Config string `help:"Configuration file." placeholder:"FILE"`

	Up   upCommand   `cmd:"" help:"Seal a VPN session; as a client's hook, find everything in its environment."`
	Down downCommand `cmd:"" help:"End a session; only the user's own stop opens the host."`
}

// callsHook reports whether the arguments are those of hookCommands.
func callsHook(args []string) bool {
	return len(args) > 0 && (args[0] == "up" || args[0] == "down")
}

// commands are the whole command line.
type commands struct {
	hookCommands
	Lock    lockCommand    `cmd:"" help:"Close the host, with or without a VPN running; kept over boots."`
	Confirm confirmCommand `cmd:"" help:"Keep what lock --try set."`
	Unlock  unlockCommand  `cmd:"" help:"Take the lock off."`
	Expire  expireCommand  `cmd:"" hidden:""`
	Status  statusCommand  `cmd:"" help:"Show what is enforced; exit 0 only if it is what was recorded."`
	Blocked blockedCommand `cmd:"" help:"Show what is being blocked, who tried, and by which rule."`
	Rules   rulesCommand   `cmd:"" help:"Print the rules in force as text that nft -f accepts."`
	Watch   watchCommand   `cmd:"" help:"Guard: own the tables, heal what others change, work for hooks."`
	Recover recoverCommand `cmd:"" help:"Put right what a crash left."`
	Hooks   hooksCommand   `cmd:"" help:"Wire a VPN client to vpnguard."`
	Doctor  doctorCommand  `cmd:"" help:"Show what this kernel and host can enforce."`
	Tunnel  tunnelCommand  `cmd:"" help:"The own tunnel: WireGuard, and its keys."`
	Netns   netnsCommand   `cmd:"" help:"Protected namespaces: a tunnel and nothing else."`
	Exec    execCommand    `cmd:"" help:"Run a program in a protected namespace, as the user who calls."`
	Audit   auditCommand   `cmd:"" help:"Prove in a laboratory what leaks, and what does not."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// exited carries kong's wish to exit out of its parser.
type exited int

// run is the program but for the process around it.
func run(ctx context.Context, w world) (code int) {
	cli := commands{}
	var grammar any = &cli
	if callsHook(w.args) {
		grammar = &cli.hookCommands
	}
	parser, err := kong.New(grammar,
		kong.Name("vpnguard"),
		kong.Description("Seals a host around its VPN: nothing leaves by a wire but the VPN's own packets."),
		kong.Writers(w.stdout, w.stderr),
		kong.Exit(func(c int) { panic(exited(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return w.fail(err)
	}
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	call, err := parser.Parse(w.args)
	if err != nil {
		fmt.Fprintf(w.stderr, "vpnguard: %v\nvpnguard: hint: see `vpnguard --help`\n", err)
		return exitUsage
	}
	if cli.Config != "" {
		w.configFile = cli.Config
	} else {
		w.configFile += optional
	}
	call.BindTo(ctx, (*context.Context)(nil))
	if err := call.Run(&w); err != nil {
		var told exitStatus
		if errors.As(err, &told) {
			return int(told)
		}
		return w.fail(err)
	}
	return exitDone
}
