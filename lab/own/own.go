// Package own is both ends of our tunnel in a laboratory without anything that
// guards it: a server, and a client that behaves as ordinary VPN clients do. It
// leads all traffic into the tunnel by routes, keeps a route to the server, takes
// all of it away when it restarts or loses the server, and leaves it lying about
// when it is killed.
package own

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// Roles of a laboratory's programs, see [lab.Register].
const (
	ServerRole = "own-server"
	ClientRole = "own-client"
)

// An End is what one end needs to know.
type End struct {
	Name      string // of the device
	Private   string
	Peer      string // its public key
	Shared    string
	Port      uint16 // where a server listens; 0: a client
	Addresses []netip.Prefix
	Allowed   []netip.Prefix
	// Remotes are a client's servers, tried in turn.
	Remotes []netip.AddrPort
	// Resolve is the name of the server, looked up at each connection in place of
	// the first of Remotes.
	Resolve string
	Gateway netip.Addr // of the client's way to its server, by eth0
	Routes  []netip.Prefix
	// Keepalive is sent this often; a client that hears nothing for three of them
	// takes its routes and its device away, and tries again. 0: never.
	Keepalive time.Duration
}

// Pair makes the ends of a new tunnel.
func Pair() (server, client End, err error) {
	var ends [2]struct{ private, public string }
	for i := range ends {
		k, err := key.NewPrivate(nil)
		if err != nil {
			return server, client, fmt.Errorf("make a key: %w", err)
		}
		p, err := k.Public()
		if err != nil {
			return server, client, fmt.Errorf("make a key: %w", err)
		}
		ends[i].private, ends[i].public = k.Reveal(), p.String()
	}
	shared, err := key.NewPreshared(nil)
	if err != nil {
		return server, client, fmt.Errorf("make a key: %w", err)
	}
	server = End{Private: ends[0].private, Peer: ends[1].public, Shared: shared.Reveal()}
	client = End{Private: ends[1].private, Peer: ends[0].public, Shared: shared.Reveal()}
	return server, client, nil
}

func (e End) device(remote netip.AddrPort) (*tunnel.Device, key.Public, error) {
	private, err := key.ParsePrivate(e.Private)
	if err != nil {
		return nil, key.Public{}, err
	}
	peer, err := key.ParsePublic(e.Peer)
	if err != nil {
		return nil, peer, err
	}
	shared, err := key.ParsePreshared(e.Shared)
	if err != nil {
		return nil, peer, err
	}
	// Probes of the path would be carriers that no stimulus made.
	d, err := tunnel.New(tunnel.Config{
		Name: endpoint.IfName(e.Name), Private: private, ListenPort: e.Port, MTU: engine.DefaultMTU, Without: tunnel.Without{Probes: true},
		Peers: []engine.PeerConfig{{Public: peer, Preshared: shared, Endpoint: remote, Allowed: e.Allowed, Keepalive: e.Keepalive}},
	})
	if err != nil {
		return nil, peer, fmt.Errorf("make the device %q: %w", e.Name, err)
	}
	return d, peer, nil
}

// Serve is the server's role: it says ready, and ends with its input.
func Serve(arg string) error {
	var e End
	if err := json.Unmarshal([]byte(arg), &e); err != nil {
		return err
	}
	d, _, err := e.device(netip.AddrPort{})
	if err != nil {
		return err
	}
	defer d.Close()
	if err := tun.Configure(d.Name(), d.MTU(), 0, e.Addresses); err != nil {
		return err
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Dial is the client's role: it says up with each connection. SIGUSR1 restarts
// it, SIGTERM ends it.
func Dial(arg string) error {
	var e End
	if err := json.Unmarshal([]byte(arg), &e); err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	for attempt := 0; ; attempt++ {
		if e.Resolve != "" {
			all, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip4", e.Resolve)
			if err != nil {
				return fmt.Errorf("look %q up: %w", e.Resolve, err)
			}
			e.Remotes = []netip.AddrPort{netip.AddrPortFrom(all[0].Unmap(), e.Remotes[0].Port())}
		}
		ended, err := e.session(e.Remotes[attempt%len(e.Remotes)], signals)
		if err != nil || ended {
			return err
		}
	}
}

// errAway is a server that does not answer.
var errAway = errors.New("no answer")

// session is one connection, from the first packet to the reason to try again.
func (e End) session(remote netip.AddrPort, signals <-chan os.Signal) (ended bool, err error) {
	d, peer, err := e.device(remote)
	if err != nil {
		return true, err
	}
	defer d.Close()
	routes := e.wayTo(remote)
	if err := ip("add", routes); err != nil {
		return true, err
	}
	defer func() { err = errors.Join(err, ip("del", routes)) }()
	if err := e.handshake(d, peer, signals); err != nil {
		if errors.Is(err, errAway) {
			return false, nil
		}
		return true, err
	}
	if err := tun.Configure(d.Name(), d.MTU(), 0, e.Addresses); err != nil {
		return true, err
	}
	var lines []string
	for _, p := range e.Routes {
		lines = append(lines, fmt.Sprintf("%s dev %s", p, e.Name))
	}
	if err := ip("add", lines); err != nil {
		return true, err
	}
	fmt.Println("up")
	return e.watch(d, signals)
}

func (e End) wayTo(remote netip.AddrPort) []string {
	return []string{fmt.Sprintf("%s via %s dev eth0", netip.PrefixFrom(remote.Addr(), remote.Addr().BitLen()), e.Gateway)}
}

// patience is how long a client waits for one server's first answer.
const patience = 2 * time.Second

func (e End) handshake(d *tunnel.Device, peer key.Public, signals <-chan os.Signal) error {
	// The device needs to be up to send.
	if err := tun.Configure(d.Name(), d.MTU(), 0, nil); err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s, err := d.Status()
		if err != nil {
			return err
		}
		if len(s.Peers) == 1 && !s.Peers[0].LastHandshake.IsZero() {
			return nil
		}
		if err := d.Handshake(peer); err != nil {
			return err
		}
		select {
		case s := <-signals:
			return fmt.Errorf("ended by %v", s)
		default:
		}
	}
	return errAway
}

// restartPause is how long a restart leaves the host without a tunnel, as the
// real ones do for a second or so.
const restartPause = 300 * time.Millisecond

func (e End) watch(d *tunnel.Device, signals <-chan os.Signal) (ended bool, err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var heard uint64
	last := time.Now()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGUSR1 {
				defer time.Sleep(restartPause)
				return false, d.Close()
			}
			return true, nil
		case <-tick.C:
			s, err := d.Status()
			if err != nil || len(s.Peers) != 1 {
				return true, errors.Join(err, errors.New("the tunnel's device ended"))
			}
			if s.Peers[0].RxBytes != heard {
				heard, last = s.Peers[0].RxBytes, time.Now()
			}
			if e.Keepalive > 0 && time.Since(last) > 3*e.Keepalive {
				return false, nil
			}
		}
	}
}

// ip changes routes as a client's script does.
func ip(verb string, routes []string) error {
	for _, r := range routes {
		args := append([]string{"route", verb}, strings.Fields(r)...)
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip route %s %s: %w: %s", verb, r, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
