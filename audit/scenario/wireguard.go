package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/lab/site"
)

// wireguardClient is wg-quick with wireguard-go, and with the kernel's WireGuard
// where that is there.
type wireguardClient struct{ ownClient }

// wireguardMark is wg-quick's own.
const wireguardMark = 51820

func (c *wireguardClient) connect(b *bench) error {
	w, d := b.group.want, c.dial
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	mine, peer := profile{kept: []string{"MTU = 1420", fmt.Sprintf("FwMark = %d", wireguardMark)}}, profile{kept: []string{"AllowedIPs = " + prefixes(d.Allowed)}}
	if len(b.order.Profile) > 0 {
		var err error
		if mine, peer, err = wireguardProfile(string(b.order.Profile)); err != nil {
			return err
		}
	}
	line("[Interface]\nPrivateKey = %s\n%s", d.Private, strings.Join(mine.kept, "\n"))
	for _, a := range d.Addresses {
		line("Address = %s", a)
	}
	if b.guarded() {
		up, down, err := c.hooks(b)
		if err != nil {
			return err
		}
		line("PostUp = %s\nPostDown = %s", up, down)
	}
	endpoint := c.endpoint.String()
	if w.name != "" {
		endpoint = fmt.Sprintf("%s:%d", w.name, c.endpoint.Port())
	}
	line("[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\n%s", d.Peer, d.Shared, endpoint, strings.Join(peer.kept, "\n"))
	file := b.lab.Client.Path("/etc/wireguard/" + ownDevice + ".conf")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)); err != nil {
		return fmt.Errorf("write the tunnel's file: %w", err)
	}
	_, err := b.lab.Client.Run(b.ctx, "wg-quick", "up", ownDevice)
	return err
}

func prefixes(all []netip.Prefix) string {
	var text []string
	for _, p := range all {
		text = append(text, p.String())
	}
	return strings.Join(text, ", ")
}

// hooks are the guard as wg-quick calls it.
func (c *wireguardClient) hooks(b *bench) (up, down string, err error) {
	if b.order.Guard == "vpnguard" {
		return fmt.Sprintf("%s up --endpoint %s/udp --mark %d --dns %s %%i", b.program(), c.endpoint, wireguardMark, site.Public), b.program() + " down %i", nil
	}
	script := func(event string) (string, error) {
		text := "#!/bin/sh\n"
		for _, e := range b.environment(event) {
			name, value, _ := strings.Cut(e, "=")
			text += fmt.Sprintf("export %s='%s'\n", name, value)
		}
		file := filepath.Join(b.lab.Dir, "guard-"+event+".sh")
		return file, errors.Join(os.WriteFile(file, []byte(text+b.order.Guard+"\n"), 0o755), os.Chmod(file, 0o755))
	}
	up, err = script("up")
	if err != nil {
		return "", "", err
	}
	down, err = script("down")
	return up, down, err
}

// kill ends the process that moves packets. The kernel's WireGuard has none, so
// that its device is what is taken away.
func (c *wireguardClient) kill(b *bench) error {
	pids, err := b.processes("wireguard-go")
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return b.lab.Client.Script(b.ctx, "ip link del "+ownDevice+"\n")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := b.lab.Client.Run(b.ctx, "ip", "link", "show", ownDevice); err != nil {
			return nil
		}
	}
	return fmt.Errorf("%q outlives its process", ownDevice)
}

func (c *wireguardClient) restart(b *bench) error {
	_, err := b.lab.Client.Run(b.ctx, "sh", "-c", "wg-quick down "+ownDevice+" && wg-quick up "+ownDevice)
	return err
}

// processes are those in the client's network namespace, by a word of their
// command lines; an empty word takes all but the laboratory's own.
func (b *bench) processes(word string) (pids []int, err error) {
	mine, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", b.lab.Client.PID()))
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if ns, err := os.Readlink(d + "/ns/net"); err != nil || ns != mine || pid == b.lab.Client.PID() {
			continue
		}
		args, _ := os.ReadFile(d + "/cmdline")
		if slices.ContainsFunc(strings.Split(string(args), "\x00"), func(a string) bool { return strings.Contains(a, word) }) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
