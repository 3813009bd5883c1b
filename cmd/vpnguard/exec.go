package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/netns"
)

type execCommand struct {
	Namespace netns.Name `help:"Namespace to run in; default: the only one." placeholder:"NAME"`
	User      string     `help:"Run as this user; default: the one who called, through sudo or pkexec." placeholder:"USER"`
	Command   []string   `arg:"" passthrough:"" help:"Program and its arguments." placeholder:"COMMAND"`
}

// Exit statuses of shells, for a program that did not start.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// Run turns this process into the program. It returns only if it did not start.
func (c *execCommand) Run(w *world) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return &usageError{errors.New("no command"), "give one: vpnguard exec -- COMMAND"}
	}
	page, rec, err := c.page(w)
	if err != nil {
		return err
	}
	prog, err := c.program(w)
	if err != nil {
		return err
	}
	space, err := netns.Open(page.Name)
	if err == nil && space.Inode != rec.Inode {
		err = fmt.Errorf("open namespace %q: %w", page.Name, netns.ErrTaken)
	}
	if err != nil {
		return notRun(err)
	}
	if len(os.Args) > 1 && os.Args[1] != "exec" { // behind --config; see main
		// Handlers end with the program; what is ignored would stay so.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
	}
	err = page.Exec(space, prog)
	code := 0
	switch {
	case errors.Is(err, netns.ErrNotFound):
		code = exitNotFound
	case errors.Is(err, netns.ErrNotExecutable):
		code = exitNotExecutable
	default:
		return notRun(err)
	}
	fmt.Fprintf(w.stderr, "vpnguard: %v\n", err)
	return exitStatus(code)
}

func notRun(err error) error {
	return &guard.StateError{Err: err, State: "the command was not run"}
}

// page is the namespace that is meant.
func (c *execCommand) page(w *world) (netns.Page, netns.Record, error) {
	page := w.namespaces().Page(c.Namespace)
	if c.Namespace == "" {
		pages, err := w.namespaces().Pages()
		if err != nil {
			return page, netns.Record{}, notRun(err)
		}
		if len(pages) != 1 {
			return page, netns.Record{}, &usageError{fmt.Errorf("there are %d namespaces", len(pages)), "the command was not run; give --namespace NAME, `vpnguard netns list` shows what there is"}
		}
		page = pages[0]
	}
	rec, err := page.Load()
	if errors.Is(err, os.ErrNotExist) {
		return page, rec, &usageError{fmt.Errorf("no namespace %q is up", page.Name), "the command was not run; `vpnguard netns list` shows what there is"}
	}
	if err != nil {
		return page, rec, notRun(err)
	}
	if !rec.Alive() || !rec.Up {
		w.warn([]string{fmt.Sprintf("the tunnel of namespace %q is not up: there is no connectivity inside until it is", page.Name)})
	}
	return page, rec, nil
}

// program is the command with the caller's surroundings.
func (c *execCommand) program(w *world) (netns.Program, error) {
	who, err := c.who()
	if err != nil {
		return netns.Program{}, err
	}
	dir, err := os.Getwd()
	if err != nil || !strings.HasPrefix(dir, "/") { // "(unreachable)/..."
		dir = "/"
	}
	return netns.Program{Args: c.Command, Env: who.env(w.env), Dir: dir, User: who.User, Umask: w.umask}, nil
}
