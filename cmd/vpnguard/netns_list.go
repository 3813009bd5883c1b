package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vpnguard/vpnguard/netns"
)

type netnsListCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// namespacesJSON is the contract of `netns list --json`, version 1.
type namespacesJSON struct {
	Version    int             `json:"version"`
	Namespaces []namespaceJSON `json:"namespaces"`
}

type namespaceJSON struct {
	Name      string         `json:"name"`
	State     string         `json:"state"` // up, connecting; dead: nobody keeps it
	Kind      string         `json:"kind"`  // tunnel, openvpn, dev
	Source    string         `json:"source"`
	Device    string         `json:"device"` // empty: not known yet
	Addresses []netip.Prefix `json:"addresses"`
	DNS       []netip.Addr   `json:"dns"`
	PID       int            `json:"pid"`
	Programs  []int          `json:"programs"` // pids of what runs in it
}

// Run lists the namespaces of this program.
func (c *netnsListCommand) Run(w *world) error {
	pages, err := w.namespaces().Pages()
	if err != nil {
		return err
	}
	out := namespacesJSON{Version: 1, Namespaces: []namespaceJSON{}}
	for _, page := range pages {
		rec, err := page.Load()
		if err != nil {
			w.warn([]string{fmt.Sprintf("namespace %q cannot be listed: %v", page.Name, err)})
			continue
		}
		n := namespaceJSON{
			Name: page.Name.String(), State: "connecting", Kind: rec.Kind, Source: rec.Source, Device: rec.Device,
			Addresses: rec.Addresses, DNS: rec.Resolvers, PID: rec.PID, Programs: netns.Programs(rec.Inode),
		}
		if rec.Up {
			n.State = "up"
		}
		if !rec.Alive() {
			n.State, n.PID = "dead", 0
		}
		out.Namespaces = append(out.Namespaces, n)
	}
	if c.JSON {
		return w.json(out)
	}
	for _, n := range out.Namespaces {
		var addrs []string
		for _, a := range n.Addresses {
			addrs = append(addrs, a.String())
		}
		fmt.Fprintf(w.stdout, "%s  %s  %s %s  %s %s  %d programs\n", n.Name, n.State, n.Kind, n.Source, n.Device, strings.Join(addrs, " "), len(n.Programs))
	}
	return nil
}
