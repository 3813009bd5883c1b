package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/uapi"
)

type tunnelShowCommand struct {
	Name endpoint.IfName `arg:"" optional:"" help:"Only this one."`
	JSON bool            `name:"json" help:"Print JSON."`
}

// tunnelsJSON is the contract of `tunnel show --json`, version 1.
type tunnelsJSON struct {
	Version int          `json:"version"`
	Tunnels []tunnelJSON `json:"tunnels"`
}

type tunnelJSON struct {
	Name       string     `json:"name"`
	PublicKey  string     `json:"public_key"` // empty: it has no key
	ListenPort uint16     `json:"listen_port"`
	FwMark     uint32     `json:"fwmark"` // 0: none
	Peers      []peerJSON `json:"peers"`
}

type peerJSON struct {
	PublicKey string         `json:"public_key"`
	Preshared bool           `json:"preshared"` // there is a preshared key
	Endpoint  string         `json:"endpoint"`  // empty: not heard of yet
	Allowed   []netip.Prefix `json:"allowed_ips"`
	Handshake *time.Time     `json:"latest_handshake"` // null: none yet
	RxBytes   uint64         `json:"rx_bytes"`
	TxBytes   uint64         `json:"tx_bytes"`
	Keepalive int            `json:"persistent_keepalive"` // seconds; 0: off
}

// askTimeout is how long a device may take to answer.
const askTimeout = 5 * time.Second

// Run prints every WireGuard device, ours and others': userspace ones that have a
// socket, and the kernel's.
func (c *tunnelShowCommand) Run(w *world) error {
	var all []tunnel.Status
	if c.Name != "" {
		st, err := w.askTunnel(c.Name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("show tunnel %q: it is not running: %w", c.Name, err)
		}
		if err != nil {
			return fmt.Errorf("show tunnel %q: %w", c.Name, err)
		}
		all = append(all, st)
	} else {
		names, err := w.tunnels()
		if err != nil {
			return fmt.Errorf("list the tunnels: %w", err)
		}
		for _, n := range names {
			st, err := w.askTunnel(n)
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED): // it ended
			case errors.Is(err, fs.ErrPermission):
				return fmt.Errorf("show tunnel %q: %w", n, err)
			case err != nil:
				w.warn([]string{fmt.Sprintf("tunnel %q cannot be shown: %v", n, err)})
			default:
				all = append(all, st)
			}
		}
	}
	if c.JSON {
		out := tunnelsJSON{Version: 1, Tunnels: []tunnelJSON{}}
		for _, st := range all {
			out.Tunnels = append(out.Tunnels, newTunnelJSON(st))
		}
		return w.json(out)
	}
	for i, st := range all {
		if i > 0 {
			fmt.Fprintln(w.stdout)
		}
		fmt.Fprint(w.stdout, tunnelText(st, time.Now()))
	}
	return nil
}

// tunnels are the names of the devices that have a socket, and of the kernel's.
func (w *world) tunnels() ([]endpoint.IfName, error) {
	entries, err := os.ReadDir(w.under(sockets))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	kernel, err := w.kernelNames()
	if err != nil {
		return nil, err
	}
	var out []endpoint.IfName
	for _, name := range kernel {
		out = append(out, endpoint.IfName(name))
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".sock")
		if name, err := endpoint.ParseIfName(base); ok && err == nil && e.Type() == fs.ModeSocket && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// withTunnel calls f with a connection to a device's socket.
func (w *world) withTunnel(name endpoint.IfName, f func(net.Conn) error) error {
	c, err := net.DialTimeout("unix", w.under(filepath.Join(sockets, name.String()+".sock")), askTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	return f(c)
}

func (w *world) askTunnel(name endpoint.IfName) (st tunnel.Status, err error) {
	err = w.withTunnel(name, func(c net.Conn) error {
		st, err = uapi.Get(c)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		if kernel, e := w.askKernel(name); !errors.Is(e, fs.ErrNotExist) {
			st, err = kernel, e
		}
	}
	st.Name = name.String()
	// Who was heard of last comes first.
	slices.SortStableFunc(st.Peers, func(a, b engine.PeerStatus) int { return b.LastHandshake.Compare(a.LastHandshake) })
	return st, err
}

func newTunnelJSON(st tunnel.Status) tunnelJSON {
	out := tunnelJSON{Name: st.Name, ListenPort: st.ListenPort, FwMark: st.FwMark, Peers: []peerJSON{}}
	if !st.Public.IsZero() {
		out.PublicKey = st.Public.String()
	}
	for _, p := range st.Peers {
		j := peerJSON{PublicKey: p.Public.String(), Preshared: p.Preshared, Allowed: append([]netip.Prefix{}, p.Allowed...), RxBytes: p.RxBytes, TxBytes: p.TxBytes, Keepalive: int(p.Keepalive / time.Second)}
		if p.Endpoint.IsValid() {
			j.Endpoint = p.Endpoint.String()
		}
		if !p.LastHandshake.IsZero() {
			at := p.LastHandshake.UTC()
			j.Handshake = &at
		}
		out.Peers = append(out.Peers, j)
	}
	return out
}

// tunnelText is a device for people.
func tunnelText(st tunnel.Status, now time.Time) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "tunnel %s\n", st.Name)
	if st.Public.IsZero() {
		row("key", "none")
	} else {
		row("key", "%s", st.Public)
	}
	row("port", "%d", st.ListenPort)
	if st.FwMark != 0 {
		row("mark", "%#x", st.FwMark)
	}
	for _, p := range st.Peers {
		fmt.Fprintf(&b, "peer %s\n", p.Public)
		if p.Endpoint.IsValid() {
			row("endpoint", "%s", p.Endpoint)
		} else {
			row("endpoint", "not known yet")
		}
		var allowed []string
		for _, a := range p.Allowed {
			allowed = append(allowed, a.String())
		}
		if len(allowed) == 0 {
			allowed = []string{"none"}
		}
		row("allowed", "%s", strings.Join(allowed, ", "))
		if p.LastHandshake.IsZero() {
			row("handshake", "none yet")
		} else {
			row("handshake", "%s ago", max(0, now.Sub(p.LastHandshake)).Truncate(time.Second))
		}
		row("received", "%s", amount(p.RxBytes))
		row("sent", "%s", amount(p.TxBytes))
		if p.Keepalive != 0 {
			row("keepalive", "every %s", p.Keepalive)
		}
		if p.Preshared {
			row("preshared", "yes")
		}
	}
	return b.String()
}

// amount is a number of bytes with the unit that fits.
func amount(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.2f %ciB", v, units[u])
}
