package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/vpnguard/vpnguard/hook/wiring"
)

type hooksCommand struct {
	Root    string              `help:"Directory that stands for / in file names." default:"/" placeholder:"DIR"`
	Show    hooksShowCommand    `cmd:"" help:"Print the lines that make a client call vpnguard, and where they belong."`
	Install hooksInstallCommand `cmd:"" help:"Put them there; what others wrote is kept and chained."`
	Remove  hooksRemoveCommand  `cmd:"" help:"Take them out again, if they are as they were put in."`
}

type hooksShowCommand struct {
	Client string `arg:"" help:"Name of the client."`
}

type hooksInstallCommand struct {
	Client string `arg:"" help:"Name of the client."`
	File   string `arg:"" optional:"" help:"The client's configuration, of openvpn and wg-quick."`
}

type hooksRemoveCommand hooksInstallCommand

// Run prints the wiring.
func (c *hooksShowCommand) Run(w *world) error {
	wired, _, err := wiringFor(c.Client)
	if err == nil {
		fmt.Fprint(w.stdout, wired.Show())
	}
	return err
}

// Run writes the wiring. After an error every file is as it was, unless the
// error says otherwise.
func (c *hooksInstallCommand) Run(w *world, all *hooksCommand) error {
	wired, exe, err := wiringFor(c.Client)
	if err != nil {
		return err
	}
	return w.edit(all.Root, func(t *tree) ([]edit, error) {
		pieces, config := wired.Pieces, edit{}
		if !wired.Own() || c.File != "" {
			if config, pieces, err = c.wire(t, exe); err != nil {
				return nil, err
			}
		}
		var edits []edit
		for _, p := range pieces {
			e, err := t.written(p)
			if err != nil {
				return nil, err
			}
			edits = append(edits, e)
		}
		if config.path != "" {
			edits = append(edits, config) // last: it names the files before
		}
		return edits, nil
	})
}

// wire puts the wiring into a configuration of the user's. What it already
// calls goes into files of our own, to be called as well.
func (c *hooksInstallCommand) wire(t *tree, exe string) (edit, []wiring.Piece, error) {
	e, rest, _, err := c.configuration(t)
	if err != nil {
		return e, nil, err
	}
	var pieces []wiring.Piece
	var text, after string
	switch c.Client {
	case "wg-quick":
		after = "[Interface]"
		text, err = wgquickLines(rest, exe)
	default:
		text, pieces, err = openvpnLines(rest, exe, path.Base(c.File))
	}
	if err == nil {
		rest, err = wiring.Insert(rest, after, text)
	}
	if err != nil {
		return e, nil, refusal(c.File, err)
	}
	e.text = rest
	return e, pieces, nil
}

// configuration reads the file that the user named, and what it is without our
// block.
func (c *hooksInstallCommand) configuration(t *tree) (e edit, rest string, found bool, err error) {
	switch {
	case c.Client != "openvpn" && c.Client != "wg-quick":
		return e, "", false, &usageError{fmt.Errorf("%s: its configuration can only be edited by hand", c.Client), "add what `vpnguard hooks show " + c.Client + "` prints"}
	case c.File == "":
		return e, "", false, &usageError{fmt.Errorf("%s: no configuration is named", c.Client), "vpnguard hooks install " + c.Client + " FILE"}
	case !path.IsAbs(c.File) || path.Clean(c.File) != c.File:
		return e, "", false, &usageError{fmt.Errorf("file %q: not an absolute name", c.File), ""}
	}
	if e, err = t.existing(c.File); err != nil {
		return e, "", false, err
	}
	rest, found, err = wiring.Extract(e.text)
	return e, rest, found, refusal(c.File, err)
}

// Run takes the wiring out.
func (c *hooksRemoveCommand) Run(w *world, all *hooksCommand) error {
	wired, _, err := wiringFor(c.Client)
	if err != nil {
		return err
	}
	return w.edit(all.Root, func(t *tree) ([]edit, error) {
		var edits []edit
		var own []string
		if wired.Own() && c.File == "" {
			for _, p := range wired.Pieces {
				own = append(own, p.Path)
			}
		} else {
			e, rest, found, err := (*hooksInstallCommand)(c).configuration(t)
			if err != nil {
				return nil, err
			}
			if e.text = rest; found {
				edits = append(edits, e)
			}
			if c.Client == "openvpn" {
				own = append(own, chainFile(path.Base(c.File), "up"), chainFile(path.Base(c.File), "down"))
			}
		}
		for _, name := range own {
			e, err := t.existing(name)
			switch {
			case errors.Is(err, os.ErrNotExist):
				continue
			case err != nil:
				return nil, err
			case !wiring.Signed(e.text):
				return nil, refusal(name, wiring.ErrNotOurs)
			}
			e.gone = true
			edits = append(edits, e)
		}
		return edits, nil
	})
}

// refusal says that a file is not touched, and nothing else either.
func refusal(name string, err error) error {
	if err == nil {
		return nil
	}
	return &usageError{fmt.Errorf("file %q: %w", name, err), "nothing was changed; `vpnguard hooks show` prints what to change by hand"}
}

// wiringFor is the wiring of a client to the program that runs.
func wiringFor(client string) (wiring.Wiring, string, error) {
	exe, err := os.Executable()
	if err != nil {
		return wiring.Wiring{}, "", fmt.Errorf("find this program: %w", err)
	}
	w, err := wiring.For(client, exe)
	if err != nil {
		return w, exe, &usageError{err, ""}
	}
	return w, exe, nil
}

// chainDir is where scripts lie that call vpnguard and another program.
const chainDir = "/etc/vpnguard/hooks/"

func chainFile(config, verb string) string {
	return chainDir + strings.TrimSuffix(config, ".conf") + "-" + verb
}
