package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

type tunnelUpCommand struct {
	Conf       string          `arg:"" help:"File in the format of wg-quick, or NAME for /etc/vpnguard/NAME.conf." placeholder:"CONF"`
	Name       endpoint.IfName `help:"Name of the device; default: the file's." placeholder:"IF"`
	Profile    config.Profile  `help:"full: all traffic belongs in the tunnel; split: only AllowedIPs; auto: full if a peer is allowed a default route." default:"auto" placeholder:"auto|full|split"`
	Owner      config.Owner    `help:"User of the engine; default: vpnguard, or uid 65522 if there is none." placeholder:"USER|UID"`
	Backend    string          `help:"own: the engine of this program; kernel: the kernel's WireGuard, where there is one." enum:"own,kernel" default:"own" placeholder:"own|kernel"`
	Wait       time.Duration   `help:"How long to wait for the first handshake." default:"15s" placeholder:"DURATION"`
	OnFailure  string          `help:"closed: without a handshake the host stays closed; restore: it is given back as it was." enum:"closed,restore" default:"closed" placeholder:"closed|restore"`
	Masquerade bool            `help:"Let a server's peers go out with this host's address: forwards IPv4 and translates, port shadows prevented."`
	AllowHooks bool            `help:"Run the commands of the file (PreUp and its like), as root."`
	Foreground bool            `help:"Stay in the foreground, as a service does."`
	JSON       bool            `name:"json" help:"Print JSON."`
	Ready      bool            `hidden:""` // tell by a descriptor, see background
}

// Run brings a tunnel up. All of it is done by the supervisor, which is this
// process in the foreground, and another one otherwise.
func (c *tunnelUpCommand) Run(ctx context.Context, w *world) error {
	plan, err := c.plan(w)
	if err != nil {
		return err
	}
	if c.Foreground {
		return c.supervise(ctx, w, plan)
	}
	args := []string{"tunnel", "up", "--foreground", "--ready", "--wait", c.Wait.String(), "--on-failure", c.OnFailure, "--backend", c.Backend, "--name", plan.setup.Name}
	if path, may := strings.CutSuffix(w.configFile, optional); !may {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		args = append([]string{"--config", abs}, args...)
	}
	if c.Masquerade {
		args = append(args, "--masquerade")
	}
	if c.AllowHooks {
		args = append(args, "--allow-hooks")
	}
	if c.JSON {
		args = append(args, "--json")
	}
	if c.Profile != config.ProfileAuto {
		args = append(args, "--profile", c.Profile.String())
	}
	if c.Owner.String() != "" {
		args = append(args, "--owner", c.Owner.String())
	}
	code, err := background(ctx, append(args, "--", plan.file))
	if err != nil {
		return fmt.Errorf("start the tunnel's supervisor: %w", err)
	}
	if code != 0 {
		return exitStatus(code)
	}
	return nil
}

// tunnelPlan is what a file and the flags mean, before anything is changed.
type tunnelPlan struct {
	file     string
	conf     wgconf.Config
	settings config.Config
	setup    worker.Setup // without addresses of peers given by name
	profile  rules.Profile
	uid, gid uint32
	kernel   bool // its packets have no uid of their own
	// masquerade is nil without --masquerade.
	masquerade *rules.Masquerade
}

// plan reads the file and refuses what cannot be brought up.
func (c *tunnelUpCommand) plan(w *world) (p tunnelPlan, err error) {
	if p.settings, err = w.configuration(); err != nil {
		return p, err
	}
	if p.file, err = confFile(c.Conf); err != nil {
		return p, err
	}
	if p.conf, err = readConf(p.file); err != nil {
		return p, err
	}
	if hooks := p.conf.Interface.Hooks; len(hooks) > 0 && !c.AllowHooks {
		return p, &usageError{fmt.Errorf("%s:%d: %s: a command of the file would be run as root", p.file, hooks[0].Line, hooks[0].When), "nothing was changed; take the line out, or give --allow-hooks if you trust whoever wrote it"}
	}
	name := c.Name
	if name == "" {
		base := strings.TrimSuffix(filepath.Base(p.file), ".conf")
		if name, err = endpoint.ParseIfName(base); err != nil {
			return p, &usageError{fmt.Errorf("name the device after file %q: %w", p.file, err), "nothing was changed; give --name IF"}
		}
	}
	if p.kernel = c.Backend == kernelBackend; p.kernel && c.Owner.String() != "" {
		return p, &usageError{errors.New("--owner with --backend kernel: the kernel sends with the uid of whoever uses the tunnel, so that only its mark names the owner"), "nothing was changed; leave --owner away, or --backend kernel"}
	}
	if p.uid, p.gid, err = c.engineUser(); err != nil {
		return p, err
	}
	p.setup = setupOf(name.String(), p.conf)
	if p.profile = c.profileOf(p); p.profile == rules.Full && p.settings.Steer != config.SteerAuto {
		return p, &usageError{errors.New(`steer = "off": nothing would lead all traffic into the tunnel`), `nothing was changed; take steer = "off" out of the configuration, or give --profile split`}
	}
	if p.profile == rules.Full && serves(p.conf) {
		return p, &usageError{fmt.Errorf("%s: a peer has no Endpoint: answers to one that is anywhere would be led into the tunnel with all other traffic", p.file), "nothing was changed; give --profile split, or the peer an Endpoint"}
	}
	if c.Masquerade {
		if p.masquerade, err = masqueradeOf(p); err != nil {
			return p, &usageError{err, "nothing was changed; --masquerade is for a split server with a ListenPort and an Address with a network"}
		}
	}
	return p, nil
}

// confFile finds the file. A plain name is one of a directory where only root writes.
func confFile(conf string) (string, error) {
	if strings.Contains(conf, "/") || strings.HasSuffix(conf, ".conf") {
		return filepath.Abs(conf)
	}
	name, err := endpoint.ParseIfName(conf)
	if err != nil {
		return "", &usageError{fmt.Errorf("tunnel %q: %w", conf, err), "give the path of a file, or a name for /etc/vpnguard/NAME.conf"}
	}
	return filepath.Join(confDir, name.String()+".conf"), nil
}

// readConf reads a file that nobody but its owner may read: it holds a private key.
func readConf(path string) (wgconf.Config, error) {
	const hint = "nothing was changed; correct the tunnel's file"
	f, err := os.Open(path)
	if err != nil {
		return wgconf.Config{}, &usageError{fmt.Errorf("read the tunnel's file: %w", err), "nothing was changed"}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return wgconf.Config{}, &usageError{fmt.Errorf("read the tunnel's file: %w", err), "nothing was changed"}
	}
	if warning := wgconf.ModeWarning(path, info.Mode()); warning != "" {
		return wgconf.Config{}, &usageError{errors.New(warning), "nothing was changed"}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxConf))
	if err != nil {
		return wgconf.Config{}, &usageError{fmt.Errorf("read the tunnel's file: %w", err), "nothing was changed"}
	}
	conf, err := wgconf.Parse(path, data)
	clear(data)
	if err != nil {
		return conf, &usageError{err, hint}
	}
	i := conf.Interface
	switch {
	case i.SaveConfig:
		return conf, &usageError{fmt.Errorf("%s: SaveConfig = true: the file is never written", path), "nothing was changed; take the line out"}
	case i.Table != wgconf.Table{}:
		return conf, &usageError{fmt.Errorf("%s: Table: only auto is understood", path), "nothing was changed; --profile says what belongs in the tunnel"}
	case serves(conf) && i.ListenPort == 0:
		return conf, &usageError{fmt.Errorf("%s: a peer has no Endpoint and there is no ListenPort, so that neither could find the other", path), hint}
	}
	return conf, nil
}

// serves tells whether peers may be anywhere, or may come later.
func serves(conf wgconf.Config) bool {
	return len(conf.Peers) == 0 || slices.ContainsFunc(conf.Peers, func(p wgconf.Peer) bool { return p.Endpoint == endpoint.OrName{} })
}

// Defaults of the engine's user and mark. The uid is one of those that systemd's
// list of uids leaves unused, so no service has it; the mark is wg-quick's, which
// firewalls beside us may know.
const (
	engineName        = "vpnguard"
	engineUID  uint32 = 65522
	engineMark uint32 = 0xca6c
)

func (c *tunnelUpCommand) engineUser() (uid, gid uint32, err error) {
	if c.Owner.String() == "" {
		if id, gid, err := lookupBoth(engineName); err == nil {
			return id, gid, nil
		}
		return engineUID, engineUID, nil
	}
	if uid, ok := c.Owner.UID(); ok {
		if _, gid, err := lookupBoth(strconv.FormatUint(uint64(uid), 10)); err == nil {
			return uid, gid, nil
		}
		return uid, uid, nil
	}
	if uid, gid, err = lookupBoth(c.Owner.String()); err != nil {
		return 0, 0, &usageError{fmt.Errorf("owner %q: %w", c.Owner, err), "give a user of this host or a uid"}
	}
	return uid, gid, nil
}

func setupOf(name string, conf wgconf.Config) worker.Setup {
	i := conf.Interface
	s := worker.Setup{Inside: inside(conf), Name: name, MTU: i.MTU, Port: i.ListenPort, Mark: i.FwMark, Private: worker.Secret(i.PrivateKey.Reveal())}
	if s.Mark == 0 {
		s.Mark = engineMark
	}
	for _, p := range conf.Peers {
		peer := worker.Peer{Public: p.PublicKey, Allowed: p.AllowedIPs, Keepalive: p.Keepalive}
		if !p.PresharedKey.IsZero() {
			peer.Preshared = worker.Secret(p.PresharedKey.Reveal())
		}
		s.Peers = append(s.Peers, peer)
	}
	return s
}

// inside are the networks of our own addresses and what the peers of the file are
// allowed: the seal keeps both in the tunnel.
func inside(conf wgconf.Config) (list []netip.Prefix) {
	for _, a := range conf.Interface.Addresses {
		list = append(list, a.Masked())
	}
	for _, p := range conf.Peers {
		list = append(list, p.AllowedIPs...)
	}
	return list
}

// profileOf is full where a default route is allowed: whoever writes that wants
// all of the traffic in the tunnel, of both families.
func (c *tunnelUpCommand) profileOf(p tunnelPlan) rules.Profile {
	asked := c.Profile
	if asked == config.ProfileAuto {
		asked = p.settings.Profile
	}
	switch asked {
	case config.ProfileFull:
		return rules.Full
	case config.ProfileSplit:
		return rules.Split
	case config.ProfileAuto:
	}
	for _, peer := range p.conf.Peers {
		if peer.Endpoint == (endpoint.OrName{}) {
			continue // a client of ours: what it may send is no way for our traffic
		}
		for _, a := range peer.AllowedIPs {
			if a.Bits() <= 1 { // 0.0.0.0/0, or one of the halves that stand for it
				return rules.Full
			}
		}
	}
	return rules.Split
}

// allowed is what all peers together are allowed.
func (p tunnelPlan) allowed() (list []netip.Prefix) {
	for _, peer := range p.conf.Peers {
		list = append(list, peer.AllowedIPs...)
	}
	return list
}

// resolve finds the addresses of all peers while the host's resolvers can still
// be asked. All of a name's count, and are tried in turn. Where an earlier run left
// the host closed nobody can be asked: then what that run found counts.
func (p *tunnelPlan) resolve(ctx context.Context, earlier []endpoint.Endpoint) (ends []endpoint.Endpoint, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(p.settings.ResolveTimeout, config.MinResolveTimeout))
	defer cancel()
	for i, peer := range p.conf.Peers {
		if peer.Endpoint == (endpoint.OrName{}) {
			continue
		}
		var addrs []netip.Addr
		if e, ok := peer.Endpoint.Endpoint(); ok {
			addrs = []netip.Addr{e.Addr.Addr()}
		} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", peer.Endpoint.Host); err != nil {
			for _, e := range earlier {
				if e.Addr.Port() == peer.Endpoint.Port {
					addrs = append(addrs, e.Addr.Addr())
				}
			}
		}
		if len(addrs) == 0 {
			return nil, &guard.StateError{Err: fmt.Errorf("find the endpoint of the peer in line %d: %w", peer.Line, err), State: "nothing was changed"}
		}
		for _, a := range addrs[:min(len(addrs), maxAddresses)] {
			e := endpoint.Endpoint{Addr: netip.AddrPortFrom(a.Unmap(), peer.Endpoint.Port), Proto: endpoint.UDP}
			if !e.IsValid() {
				return nil, &guard.StateError{Err: fmt.Errorf("endpoint %q of the peer in line %d: its address %s is no server's", peer.Endpoint, peer.Line, a), State: "nothing was changed"}
			}
			p.setup.Peers[i].Endpoints = append(p.setup.Peers[i].Endpoints, e.Addr)
			if !slices.Contains(ends, e) {
				ends, p.setup.Sealed = append(ends, e), append(p.setup.Sealed, e.Addr)
			}
		}
	}
	return ends, nil
}

// maxAddresses of one name count: whoever answers for the LAN's resolver must
// not choose how many holes there are.
const maxAddresses = 32

// request asks for the seal around the tunnel.
func (p tunnelPlan) request(ends []endpoint.Endpoint) (guard.Request, error) {
	i := p.conf.Interface
	r := guard.Request{
		Client: tunnelClient, Dev: p.setup.Name, PID: os.Getpid(), Explicit: true, Profile: p.profile, Connecting: true,
		Endpoints: ends, UIDs: []uint32{p.uid}, Mark: p.setup.Mark, Mask: ^uint32(0),
		Addresses: i.Addresses, DNS: i.DNS, Domains: i.Domains, Settings: settings(p.settings),
	}
	if p.kernel {
		r.UIDs = nil
	}
	if serves(p.conf) {
		r.Listen, r.Masquerade = i.ListenPort, p.masquerade
	}
	if p.profile == rules.Split {
		r.Routes = p.allowed()
	}
	err := names(&r, hook.Call{}, p.settings, nil, false)
	return r, err
}

// tunnelClient is the client of a session that is our own tunnel's.
const tunnelClient = "tunnel"
