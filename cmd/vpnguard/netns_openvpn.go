package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/netns"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// nsOpenVPN is an OpenVPN that runs outside and whose device is brought inside
// by its hook.
type nsOpenVPN struct {
	dir      string
	args     []string // all of OpenVPN's
	settings owner.Settings
	client   *client
	calls    chan hookCall
	up       bool

	mu   sync.Mutex
	said []string // by OpenVPN, until it is clear whether anybody wants to know
	told bool
}

// hookCall is what a hook tells, and hookReply what it is to do then.
type hookCall struct {
	PID  int
	Env  []string
	Args []string // device, MTU and so on
	err  error
}

type hookReply struct {
	PID       int
	Failed    string   // the hook fails, and with it OpenVPN
	Namespace string   // of Then
	Then      []string // the user's own hook, to become
}

// resolverHooks set the host's resolvers. The namespace has its own, and the
// host's stay as they are.
var resolverHooks = []string{"update-resolv-conf", "update-resolv-conf.sh", "update-systemd-resolved", "client.up", "client.down"}

func (c *netnsUpCommand) openvpnSource() (source, netns.Record, error) {
	wrong := func(err error, hint string) (source, netns.Record, error) {
		return nil, netns.Record{}, &usageError{err, "nothing was changed; " + hint}
	}
	if c.Dir == "" {
		var err error
		if c.Dir, err = os.Getwd(); err != nil {
			return nil, netns.Record{}, err
		}
	}
	conf := c.OpenVPN
	if !filepath.IsAbs(conf) {
		conf = filepath.Join(c.Dir, conf)
	}
	o := &nsOpenVPN{dir: c.Dir, args: append([]string{"--config", conf}, c.Options...)}
	var err error
	if o.settings, err = owner.ParseOpenVPN(append([]string{"openvpn"}, o.args...), c.Dir, os.ReadFile); err != nil {
		return wrong(err, "correct OpenVPN's configuration")
	}
	for _, u := range o.settings.Unknown {
		if u.File == conf && u.Line == 0 {
			return wrong(u, "give OpenVPN's configuration file")
		}
	}
	switch s := o.settings; {
	case s.Daemon:
		return wrong(errors.New("daemon: OpenVPN would leave the process that keeps the namespace"), "take the option out")
	case s.Chroot != "":
		return wrong(errors.New("chroot: hooks would not be found there"), "take the option out")
	case s.DevType == "tap" || strings.HasPrefix(s.Dev, "tap") && s.DevType == "":
		return wrong(fmt.Errorf("dev %s: a tap device is not supported", s.Dev), "use a tun device")
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, netns.Record{}, err
	}
	ours := quoted(exe) + " netns hook"
	o.args = append(o.args, "--ifconfig-noexec", "--route-noexec", "--disable-dco",
		"--script-security", strconv.Itoa(max(2, o.settings.Security)), "--up", ours, "--down", ours,
		// OpenVPN 2.7 would set the host's resolvers by itself.
		"--setenv", "opt", "dns-updown", "disable")
	return o, netns.Record{Kind: "openvpn", Source: conf}, nil
}

// quoted is a word as OpenVPN reads it.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func (o *nsOpenVPN) begin(ctx context.Context, k *nsKeeper) (err error) {
	// Until the server has told: no resolver.
	if err := k.page.WriteEtc(nil, nil); err != nil {
		return err
	}
	if o.client, err = startClient(o.dir, o.args, &lines{say: o.hear}); err != nil {
		return err
	}
	defer func() { o.tell(err != nil || k.Foreground && !k.Ready) }()
	p, err := owner.Find(o.client.pid, "")
	if err != nil {
		return err
	}
	if err := k.update(func(r *netns.Record) { r.Client, r.ClientAt = p.PID, p.StartTime }); err != nil {
		return err
	}
	o.calls = make(chan hookCall)
	go o.listen()
	late := time.NewTimer(k.Wait)
	defer late.Stop()
	for !o.up {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for OpenVPN: %w", ctx.Err())
		case <-late.C:
			return fmt.Errorf("OpenVPN did not connect within %v", k.Wait)
		case err := <-o.client.ended:
			o.client.ended <- err
			return fmt.Errorf("OpenVPN ended: %w", cmp.Or(err, errors.New("by itself")))
		case call := <-o.calls:
			o.answer(k, call)
		}
	}
	return nil
}

func (o *nsOpenVPN) stay(ctx context.Context, k *nsKeeper) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-o.client.ended:
			o.client.ended <- err
			return fmt.Errorf("OpenVPN ended: %w", cmp.Or(err, errors.New("by itself")))
		case call := <-o.calls:
			o.answer(k, call)
		}
	}
}

// end stops OpenVPN, whose hooks still get their answers, and its device is gone
// with it.
func (o *nsOpenVPN) end(k *nsKeeper) {
	if o.client == nil {
		return
	}
	defer o.client.hooks.Close()
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		_ = unix.Kill(o.client.pid, s)
		for late := time.After(clientTime); ; {
			select {
			case <-o.client.ended:
				return
			case call := <-o.calls:
				o.answer(k, call)
				continue
			case <-late:
			}
			break
		}
	}
}

// hear takes a line that OpenVPN prints.
func (o *nsOpenVPN) hear(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told {
		fmt.Fprintln(os.Stderr, "openvpn:", line)
		return
	}
	o.said = append(o.said, line)
	o.said = o.said[max(0, len(o.said)-maxSaid):]
}

// maxSaid is more lines than OpenVPN prints until it is connected, at its usual
// verbosity.
const maxSaid = 200

// tell prints what was held back, if somebody wants to know, and all that follows.
func (o *nsOpenVPN) tell(past bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range o.said {
		if past {
			fmt.Fprintln(os.Stderr, "openvpn:", line)
		}
	}
	o.said, o.told = nil, true
}

// maxCall bounds what a hook tells, in bytes: Linux gives no program more than
// this in one argument, and a server cannot push so much.
const maxCall = 128 << 10

// listen hands calls over. It ends with the socket.
func (o *nsOpenVPN) listen() {
	for buf := make([]byte, maxCall); ; {
		n, err := o.client.hooks.Read(buf)
		if err != nil || n == 0 {
			return
		}
		var call hookCall
		call.err = json.Unmarshal(buf[:n], &call)
		o.calls <- call
	}
}

// answer does what a hook asks for and tells it how that went. A hook that fails
// ends OpenVPN.
func (o *nsOpenVPN) answer(k *nsKeeper, call hookCall) {
	reply := hookReply{PID: call.PID, Namespace: k.Name.String()}
	then, err := o.follow(k, call)
	if err != nil {
		reply.Failed = err.Error()
		k.log.Error("OpenVPN's hook fails", "namespace", k.Name, "err", err)
	}
	reply.Then = then
	text, err := json.Marshal(reply)
	if err == nil {
		_, err = o.client.hooks.Write(text)
	}
	if err != nil {
		k.log.Error("cannot answer OpenVPN's hook", "namespace", k.Name, "err", err)
	}
}

func (o *nsOpenVPN) follow(k *nsKeeper, call hookCall) (then []string, err error) {
	if call.err != nil {
		return nil, fmt.Errorf("read what the hook tells: %w", call.err)
	}
	kind := ""
	for _, v := range call.Env {
		if value, ok := strings.CutPrefix(v, "script_type="); ok {
			kind = value
		}
	}
	c, err := hook.Parse(hook.CommandUp, call.Env, call.Args, hook.Parent{})
	if err != nil {
		return nil, err
	}
	own := o.settings.Down
	switch {
	case kind == "up":
		own = o.settings.Up
		if err := o.bring(k, c); err != nil {
			return nil, err
		}
		o.up = true
	case !c.Interim:
		o.up = false
		if k.rec.Up {
			err = k.update(func(r *netns.Record) { r.Up = false })
		}
	}
	if own == "" || err != nil {
		return nil, err
	}
	words, err := owner.OpenVPNWords(own)
	if err != nil {
		return nil, fmt.Errorf("read the command of your own hook: %w", err)
	}
	if len(words) == 0 || slices.Contains(resolverHooks, filepath.Base(words[0])) {
		return nil, nil
	}
	return append(words, call.Args...), nil
}

// bring moves the device inside and configures it there. What is inside of a
// family that the server gave no address stays without a route.
func (o *nsOpenVPN) bring(k *nsKeeper, c hook.Call) error {
	if _, err := endpoint.ParseIfName(c.Dev); err != nil {
		return fmt.Errorf("device %q: %w", c.Dev, err)
	}
	if len(c.Addresses) == 0 {
		return errors.New("the server gave no address")
	}
	if err := k.space.TakeIn(c.Dev); err != nil {
		return err
	}
	if err := k.open(c.Dev); err != nil {
		return err
	}
	var routes []netip.Prefix
	for _, a := range c.Addresses {
		routes = append(routes, netip.PrefixFrom(unspecified(a.Addr()), 0))
	}
	err := k.space.Do(func() error {
		if err := tun.Configure(c.Dev, cmp.Or(c.MTU, 1500), 0, c.Addresses); err != nil {
			return err
		}
		return tun.Route(c.Dev, routes)
	})
	if err != nil {
		return err
	}
	if err := k.page.WriteEtc(c.Resolvers, c.SearchDomains); err != nil {
		return err
	}
	return k.update(func(r *netns.Record) {
		r.Device, r.Addresses, r.Resolvers, r.Domains, r.Up = c.Dev, c.Addresses, c.Resolvers, c.SearchDomains, true
	})
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
