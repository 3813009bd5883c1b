package scenario

import (
	"encoding/json"
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

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/daemon"
	"github.com/vpnguard/vpnguard/lab/own"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// ownClient is the own tunnel: guarded, `vpnguard tunnel up`; alone, and with
// another guard, an ordinary client with the same engine.
type ownClient struct {
	dial     own.End
	endpoint netip.AddrPort
	process  *daemon.Process
	ups      int
	sealed   bool
}

var (
	ownAddr4 = netip.MustParseAddr("10.8.0.2")
	ownAddr6 = netip.MustParseAddr("fd00:8::2")
	anything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

const ownDevice, ownFar, ownPort = "own0", "far0", 1194

// watched is how often either end speaks where a client is to notice a loss.
const watched = 400 * time.Millisecond

func (c *ownClient) serve(b *bench) error {
	server, dial, err := own.Pair()
	if err != nil {
		return err
	}
	w := b.group.want
	server.Name, server.Port = ownFar, ownPort
	server.Addresses = []netip.Prefix{netip.MustParsePrefix("10.8.0.1/24"), netip.MustParsePrefix("fd00:8::1/64")}
	server.Allowed = anything // a server that does not look at inner sources
	dial.Name, dial.Gateway, dial.Allowed = ownDevice, site.Gateway, anything
	dial.Addresses = []netip.Prefix{netip.PrefixFrom(ownAddr4, 24), netip.PrefixFrom(ownAddr6, 64)}
	for _, p := range []string{"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"} {
		dial.Routes = append(dial.Routes, netip.MustParsePrefix(p))
	}
	at := site.Server
	if w.v6Server {
		at, dial.Gateway = site.Server6, site.Gateway6
	}
	c.endpoint = netip.AddrPortFrom(at, ownPort)
	if w.remote.IsValid() {
		c.endpoint = w.remote
	}
	dial.Remotes = []netip.AddrPort{c.endpoint}
	dial.Resolve = w.name
	if w.v6Server {
		// The server answers from the address that its routing prefers: one is enough.
		if err := b.lab.Server.Script(b.ctx, "ip -6 addr del "+site.ServerTwo6.String()+"/64 dev eth0\n"); err != nil {
			return err
		}
	}
	if w.ipv4Only {
		server.Addresses, dial.Addresses, dial.Routes = server.Addresses[:1], dial.Addresses[:1], dial.Routes[:2]
		dial.Allowed = anything[:1]
	}
	if w.keepalive {
		server.Keepalive, dial.Keepalive = watched, watched
	}
	c.dial = dial
	arg, err := json.Marshal(server)
	if err != nil {
		return err
	}
	_, err = b.lab.Task(b.lab.Server, own.ServerRole, string(arg))
	return err
}

func (c *ownClient) tunnel() tunnel {
	t := tunnel{device: ownDevice, far: ownFar, v4: ownAddr4, endpoint: c.endpoint, proto: wire.UDP}
	if len(c.dial.Addresses) > 1 {
		t.v6 = ownAddr6
	}
	return t
}

func (c *ownClient) connect(b *bench) error {
	if b.guarded() && b.order.Guard == "vpnguard" {
		return c.seal(b)
	}
	arg, err := json.Marshal(c.dial)
	if err != nil {
		return err
	}
	cmd := b.lab.Client.Role(b.ctx, own.ClientRole, string(arg))
	if c.process, err = daemon.StartCommand(b.lab, "client", cmd); err != nil {
		return err
	}
	c.ups = 1
	if err := c.process.WaitLog(b.ctx, "up\n", c.ups); err != nil {
		return err
	}
	return b.hook("up")
}

// seal brings the tunnel up as its manual says.
func (c *ownClient) seal(b *bench) error {
	d, w := c.dial, b.group.want
	endpoint := c.endpoint.String()
	if w.name != "" {
		endpoint = fmt.Sprintf("%s:%d", w.name, c.endpoint.Port())
	}
	allowed := "0.0.0.0/0, ::/0"
	address := fmt.Sprintf("%s, %s", d.Addresses[0], ownAddr6.String()+"/64")
	if w.ipv4Only {
		allowed, address = "0.0.0.0/0", d.Addresses[0].String()
	}
	conf := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = %s\nDNS = %s\nMTU = 1420\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\nAllowedIPs = %s\n",
		d.Private, address, site.Public, d.Peer, d.Shared, endpoint, allowed)
	if w.keepalive {
		conf += "PersistentKeepalive = 1\n"
	}
	file := b.lab.Client.Path("/etc/vpnguard/" + ownDevice + ".conf")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(conf), 0o600), os.Chmod(file, 0o600)); err != nil {
		return fmt.Errorf("write the tunnel's file: %w", err)
	}
	args := []string{"tunnel", "up", "--foreground"}
	if w.ipv4Only {
		args = append(args, "--profile", "full")
	}
	if lab.SingleUID() {
		args = append(args, "--owner", "0")
	}
	p, err := daemon.Start(b.ctx, b.lab, b.lab.Client, "client", b.program(), append(args, "/etc/vpnguard/"+ownDevice+".conf")...)
	if err != nil {
		return err
	}
	c.process, c.sealed = p, true
	c.ups++
	if err := p.WaitLog(b.ctx, "vpnguard: sealed", 1); err != nil {
		said, _ := b.lab.Client.Run(b.ctx, b.program(), "blocked")
		return fmt.Errorf("%w; vpnguard blocked: %s", err, strings.TrimSpace(said))
	}
	return nil
}

func (c *ownClient) kill(b *bench) error {
	if err := c.process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := c.process.Wait(b.ctx)
	return err
}

func (c *ownClient) restart(b *bench) error {
	if c.sealed {
		// The engine is what may crash; its supervisor starts another.
		pid, err := child(c.process.PID(), "engine")
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	if err := c.process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	c.ups++
	return c.process.WaitLog(b.ctx, "up\n", c.ups)
}

// child is the process that a process started with the word in its arguments.
func child(parent int, word string) (int, error) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
		if err != nil {
			return 0, err
		}
		all := strings.Fields(string(text))
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		for _, t := range tasks {
			if text, err := os.ReadFile(t); err == nil {
				all = append(all, strings.Fields(string(text))...)
			}
		}
		for _, f := range all {
			args, _ := os.ReadFile("/proc/" + f + "/cmdline")
			if slices.Contains(strings.Split(string(args), "\x00"), word) {
				return strconv.Atoi(f)
			}
		}
	}
	return 0, fmt.Errorf("process %d has no %q", parent, word)
}

func (o *Order) named() evidence.Named {
	switch o.Client {
	case "own":
		return evidence.Named{Name: "own tunnel"}
	case "command":
		return evidence.Named{Name: o.Command}
	}
	return evidence.Named{Name: o.Client}
}
