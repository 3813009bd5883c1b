package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/wireguard"
)

// kernelBackend moves packets by the kernel's WireGuard: there is no engine, and
// the supervisor keeps a device of the kernel as it keeps a TUN device otherwise.
const kernelBackend = "kernel"

// overKernel brings the tunnel up and keeps it. The device is there first, so that
// what the kernel lacks and a port that is taken are errors of a host that is as it
// was; without key and peer nothing goes by it. It goes with the supervisor's end.
func (s *supervisor) overKernel(ctx context.Context, ends []endpoint.Endpoint) error {
	setup := s.plan.setup
	self, err := owner.Find(os.Getpid(), "")
	if err == nil {
		err = wireguard.Make(endpoint.IfName(setup.Name), wireguard.Maker{PID: self.PID, Start: self.StartTime}, setup.Port, setup.Mark)
	}
	if errors.Is(err, os.ErrExist) {
		return nameTaken(setup.Name, err)
	}
	if err != nil {
		return &guard.StateError{Err: fmt.Errorf("bring tunnel %q up: %w", setup.Name, err), State: "nothing was changed"}
	}
	defer func() {
		if err := wireguard.Remove(setup.Name); err != nil {
			s.log.Error("the tunnel's device stays", "err", err)
		}
	}()
	if s.mtu == 0 {
		s.mtu = s.kernelMTU(ends)
	}
	run, stop := context.WithCancel(context.Background())
	go func() { s.ended <- s.poll(run, len(ends) > 0) }()
	defer func() {
		stop()
		<-s.ended
	}()
	if err := s.up(ctx, ends); err != nil {
		return err
	}
	return s.stay(ctx)
}

// nameTaken refuses a name that a device has.
func nameTaken(name string, err error) error {
	return &usageError{err, fmt.Sprintf("nothing was changed; a tunnel of that name is up already: `vpnguard tunnel down %s` ends it", name)}
}

// greeting is a keepalive that is not the user's wish: switched on, it makes the
// kernel call the peer at once and not with the first packet.
const greeting = 25 * time.Second

// fill gives the kernel its key and peers. From then on it sends.
func (s *supervisor) fill() error {
	private, err := key.ParsePrivate(string(s.plan.setup.Private))
	if err != nil {
		return err
	}
	change := wireguard.Change{Private: &private, ReplacePeers: true}
	for _, p := range s.plan.setup.Peers {
		peer := wireguard.PeerChange{Public: p.Public, Allowed: p.Allowed, Keepalive: &p.Keepalive}
		if p.Preshared != "" {
			shared, err := key.ParsePreshared(string(p.Preshared))
			if err != nil {
				return err
			}
			peer.Preshared = &shared
		}
		if len(p.Endpoints) > 0 {
			hello := max(p.Keepalive, greeting)
			peer.Endpoint, peer.Keepalive = &p.Endpoints[0], &hello
		}
		change.Peers = append(change.Peers, peer)
	}
	return wireguard.Set(s.plan.setup.Name, change)
}

// How often the kernel is asked: before the first handshake, when somebody waits,
// and later, when its answer is only worth a line. And how long an address of a
// peer is tried, which is WireGuard's own REKEY_TIMEOUT.
const (
	pollEarly = 20 * time.Millisecond
	pollLate  = 2 * time.Second
	addressed = 5 * time.Second
)

// poll tells of handshakes, for the kernel does not. It returns an error when the
// device is gone, and nil at the end of ctx.
func (s *supervisor) poll(ctx context.Context, calls bool) error {
	heard := map[key.Public]time.Time{}
	pause, turn, try := pollEarly, time.Now(), 0
	if !calls {
		pause = pollLate // a server waits for whoever comes
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		d, err := wireguard.Read(s.plan.setup.Name)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("its device is gone: %w", err)
		}
		if err != nil {
			s.log.Warn("the kernel does not tell how the tunnel is", "err", err)
			pause = pollLate
			continue
		}
		for _, p := range d.Peers {
			if !p.LastHandshake.After(heard[p.Public]) {
				continue
			}
			heard[p.Public] = p.LastHandshake
			if pause == pollEarly {
				pause = pollLate
				s.greeted()
			}
			select {
			case s.events <- keeper.Event{Completed: &p.Public}:
			case <-ctx.Done():
				return nil
			}
		}
		if pause == pollEarly && time.Since(turn) > addressed {
			turn, try = time.Now(), try+1
			s.nextAddress(try)
		}
	}
}

// greeted gives peers the keepalive that the user wishes. One that was not heard
// yet is called for another while by the kernel itself.
func (s *supervisor) greeted() {
	var change wireguard.Change
	for _, p := range s.plan.setup.Peers {
		change.Peers = append(change.Peers, wireguard.PeerChange{Public: p.Public, UpdateOnly: true, Keepalive: &p.Keepalive})
	}
	if err := wireguard.Set(s.plan.setup.Name, change); err != nil {
		s.log.Warn("a peer keeps a keepalive that nobody asked for", "err", err)
	}
}

// nextAddress tries the next address of peers whose names have several.
func (s *supervisor) nextAddress(try int) {
	var off, on wireguard.Change
	for _, p := range s.plan.setup.Peers {
		if len(p.Endpoints) < 2 {
			continue
		}
		none, hello := time.Duration(0), max(p.Keepalive, greeting)
		off.Peers = append(off.Peers, wireguard.PeerChange{Public: p.Public, UpdateOnly: true, Keepalive: &none})
		on.Peers = append(on.Peers, wireguard.PeerChange{Public: p.Public, UpdateOnly: true, Keepalive: &hello, Endpoint: &p.Endpoints[try%len(p.Endpoints)]})
	}
	for _, c := range []wireguard.Change{off, on} {
		if err := wireguard.Set(s.plan.setup.Name, c); err != nil {
			s.log.Warn("a peer's next address is not tried", "err", err)
		}
	}
}

// overhead is what WireGuard adds on IPv6, in bytes; it is less on IPv4, and a
// device has one MTU for all peers.
const overhead = 80

// kernelMTU is what the links take by which peers are reached: the kernel does not
// look further, and neither does wg-quick.
func (s *supervisor) kernelMTU(ends []endpoint.Endpoint) int {
	mtu := engine.DefaultMTU
	for _, e := range ends {
		index, err := s.host.Links.RouteTo(e.Addr.Addr(), s.plan.setup.Mark)
		if err != nil {
			continue
		}
		if link, err := net.InterfaceByIndex(index); err == nil {
			mtu = min(mtu, link.MTU-overhead)
		}
	}
	return max(mtu, minMTU)
}

// clearDead removes devices of the kernel whose supervisors died, the one of a
// name or, with none, all. Where one had closed the host, it is closed without it.
func clearDead(name string) (removed []string, err error) {
	made, err := wireguard.Made()
	if err != nil {
		return nil, err
	}
	var failed []error
	for dev, by := range made {
		if name != "" && dev != name || owner.Alive(by.PID, by.Start, "") {
			continue
		}
		if err := wireguard.Remove(dev); err != nil {
			failed = append(failed, err)
			continue
		}
		removed = append(removed, dev)
	}
	return removed, errors.Join(failed...)
}
