package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

type tunnelImportCommand struct {
	File  string          `arg:"" help:"A configuration of wg-quick, such as a provider gives; - is standard input."`
	Name  endpoint.IfName `help:"The tunnel's name; default: that of the file." placeholder:"NAME"`
	Force bool            `help:"Replace a configuration that is there."`
}

// Run checks a configuration, says what a person should know of it, and puts it
// in place.
func (c *tunnelImportCommand) Run(w *world) error {
	name, err := c.Name, error(nil)
	if name == "" {
		if c.File == "-" {
			return &usageError{errors.New("a configuration from standard input has no name"), "--name gives it one"}
		}
		if name, err = nameOf(c.File); err != nil {
			return err
		}
	}
	data, conf, err := w.readConf(c.File, warnExposed)
	if err != nil {
		return err
	}
	// As comments they are there to be read, and cannot run by mistake.
	data, dropped := wgconf.Drop(data, "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig")
	err = w.tunnelTree(func(t *tree) error { return c.install(t, name, string(data)) })
	if err != nil {
		return err
	}
	w.warn(importWarnings(conf, dropped))
	fmt.Fprintf(w.stderr, "vpnguard: wrote %s/%s.conf: `vpnguard tunnel up %s` brings it up\n", confDir, name, name)
	return nil
}

func (c *tunnelImportCommand) install(t *tree, name endpoint.IfName, text string) error {
	path := "/" + name.String() + ".conf"
	e, err := t.existing(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		e = edit{path: path, made: true, uid: -1, gid: -1}
	case err != nil:
		return err
	case !c.Force && e.was != text:
		return &usageError{fmt.Errorf("%s%s exists and differs", confDir, path), "nothing was changed; --force replaces it, --name takes another name"}
	}
	e.text, e.mode = text, 0o600
	if !e.changes() && !e.made {
		e.made = true // its mode may be another
	}
	return t.do(e)
}

// importWarnings say what of a configuration is not used, and what it does not
// do that its reader may expect.
func importWarnings(c wgconf.Config, dropped []wgconf.Dropped) (out []string) {
	for _, d := range dropped {
		why := "a command that would run as root is never run: it is a comment now"
		if d.Name == "SaveConfig" {
			why = "the file is never written back: it is a comment now"
		}
		out = append(out, fmt.Sprintf("line %d: %s: %s", d.Line, d.Name, why))
	}
	var four, six, whole bool
	for _, p := range c.Peers {
		if len(p.AllowedIPs) == 0 {
			out = append(out, fmt.Sprintf("line %d: the peer has no AllowedIPs: nothing goes to it, and nothing of it is taken", p.Line))
		}
		if p.Endpoint.Port == 0 && c.Interface.ListenPort == 0 {
			out = append(out, fmt.Sprintf("line %d: the peer has no Endpoint and we no ListenPort: neither end can begin", p.Line))
		}
		for _, a := range p.AllowedIPs {
			four = four || a.Addr().Is4() && a.Bits() == 0
			six = six || a.Addr().Is6() && a.Bits() == 0
		}
		whole = whole || four || six
	}
	switch {
	case len(c.Peers) == 0:
		out = append(out, "there is no peer")
	case four && !six:
		out = append(out, "AllowedIPs hold all of IPv4 and not all of IPv6: with the profile full, IPv6 has nowhere to go")
	case six && !four:
		out = append(out, "AllowedIPs hold all of IPv6 and not all of IPv4: with the profile full, IPv4 has nowhere to go")
	}
	if whole && len(c.Interface.DNS) == 0 {
		out = append(out, "there is no DNS: all traffic goes into the tunnel, and the LAN's resolver is out of reach")
	}
	if len(c.Interface.Addresses) == 0 {
		out = append(out, "there is no Address: the device will have none")
	}
	return out
}
