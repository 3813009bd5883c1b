package main

import (
	"context"
	"fmt"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/netns"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// nsTunnel is the own tunnel in a namespace: the engine with the sockets is
// outside, where this process is, and the device was made inside.
type nsTunnel struct {
	plan   tunnelPlan
	device *tun.Device
	events chan keeper.Event
	ended  chan error // what became of the engine's keeper
	stop   context.CancelFunc
}

func (c *netnsUpCommand) tunnelSource(w *world) (source, netns.Record, error) {
	// The namespace needs no seal: what its engine sends is the host's, and where
	// the host is sealed by another session it is sealed as well.
	up := &tunnelUpCommand{Conf: c.Tunnel, Owner: c.Owner, Profile: config.ProfileSplit}
	plan, err := up.plan(w)
	if err != nil {
		return nil, netns.Record{}, err
	}
	i := plan.conf.Interface
	return &nsTunnel{plan: plan}, netns.Record{Kind: "tunnel", Source: plan.file, Device: plan.setup.Name, Addresses: i.Addresses, Resolvers: i.DNS, Domains: i.Domains}, nil
}

func (t *nsTunnel) begin(ctx context.Context, k *nsKeeper) error {
	ends, err := t.plan.resolve(ctx, nil)
	if err != nil {
		return err
	}
	name := t.plan.setup.Name
	if err := k.page.WriteEtc(k.rec.Resolvers, k.rec.Domains); err != nil {
		return err
	}
	err = k.space.Do(func() (err error) {
		t.device, err = tun.Open(endpoint.IfName(name), tun.All)
		return err
	})
	if err != nil {
		return err
	}
	if err := k.open(name); err != nil {
		return err
	}
	t.plan.setup.TUN = t.device.Has()
	if err := t.configure(k); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.Background())
	t.stop, t.ended, t.events = stop, make(chan error, 1), make(chan keeper.Event, 64)
	log := &lines{say: func(line string) { k.log.Warn("the engine says", "line", line) }}
	engines := keeper.New(t.plan.setup, func() (keeper.Child, error) {
		return startEngine(t.plan.uid, t.plan.gid, t.device.FD(), nil, log)
	}, func(e keeper.Event) {
		select {
		case t.events <- e:
		case <-run.Done():
		}
	})
	engines.Begin()
	go func() { t.ended <- engines.Run(run) }()
	if len(ends) == 0 {
		return nil // a server waits for whoever comes
	}
	return handshake(ctx, k.Wait, t.ended, t.events, func(e keeper.Event) { t.note(k, e) }, nil, nil)
}

// configure gives the device addresses, routes and what MTU is known.
func (t *nsTunnel) configure(k *nsKeeper) error {
	mtu := t.plan.setup.MTU
	if mtu == 0 {
		mtu = engine.DefaultMTU
	}
	name := t.plan.setup.Name
	return k.space.Do(func() error {
		gso := tun.GSOSize(mtu, noise.TransportSize, udp.MaxBytes, udp.MaxSegments)
		if err := tun.Configure(name, mtu, gso, t.plan.conf.Interface.Addresses); err != nil {
			return err
		}
		return tun.Route(name, t.plan.allowed())
	})
}

func (t *nsTunnel) stay(ctx context.Context, k *nsKeeper) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-t.ended:
			t.ended <- nil
			return fmt.Errorf("its tunnel ended: %w", err)
		case e := <-t.events:
			t.note(k, e)
			if up := e.Completed != nil; (up || e.Ended != nil) && up != k.rec.Up {
				if err := k.update(func(r *netns.Record) { r.Up = up }); err != nil {
					k.log.Error("cannot record how the tunnel is", "namespace", k.Name, "err", err)
				}
			}
		}
	}
}

func (t *nsTunnel) note(k *nsKeeper, e keeper.Event) {
	switch {
	case e.MTU >= minMTU && e.MTU <= engine.MaxMTU:
		if err := k.space.Do(func() error { return tun.SetMTU(t.plan.setup.Name, e.MTU) }); err != nil {
			k.log.Warn("the device does not get its MTU", "namespace", k.Name, "err", err)
		}
	case e.Refused != nil:
		k.log.Warn("the engine changed what it may not change", "namespace", k.Name, "err", e.Refused)
	case e.Ended != nil:
		k.log.Warn("the engine ended; there is no connectivity until another one follows", "namespace", k.Name, "err", e.Ended)
	case e.Ready != nil:
		for _, m := range e.Ready.Missing {
			k.log.Warn("the engine is less confined than it could be", "missing", m)
		}
	}
}

// end closes the device's last descriptor, with which it vanishes.
func (t *nsTunnel) end(*nsKeeper) {
	if t.stop != nil {
		t.stop()
		<-t.ended
	}
	if t.device != nil {
		_ = t.device.Close()
	}
}
