package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/netns"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// nsDevice is a device that some client of the host's made and keeps.
type nsDevice struct {
	moved netns.Moved
	lost  chan error
}

func (c *netnsUpCommand) deviceSource(w *world) (source, netns.Record, error) {
	if h, done, err := w.host(); err == nil {
		_, sealed := h.Session(c.Dev.String())
		done()
		if sealed {
			return nil, netns.Record{}, &usageError{fmt.Errorf("device %q is that of a sealed session: the host would be without its tunnel", c.Dev), fmt.Sprintf("nothing was changed; `vpnguard down --dev %s` ends the session", c.Dev)}
		}
	}
	m, err := netns.Look(c.Dev.String())
	if err != nil {
		return nil, netns.Record{}, &usageError{err, "nothing was changed; give the device of a tunnel that is up"}
	}
	if len(m.Prefixes()) == 0 {
		return nil, netns.Record{}, &usageError{fmt.Errorf("device %q has no address", c.Dev), "nothing was changed; give the device of a tunnel that is up"}
	}
	return &nsDevice{moved: m}, netns.Record{Kind: "dev", Source: m.Name, Device: m.Name, Addresses: m.Prefixes(), Resolvers: c.DNS, Moved: &m}, nil
}

// begin moves the device: its record is there already, so that whatever ends
// this process, the device can be given back.
func (d *nsDevice) begin(_ context.Context, k *nsKeeper) error {
	if err := k.page.WriteEtc(k.rec.Resolvers, nil); err != nil {
		return err
	}
	if err := k.open(d.moved.Name); err != nil {
		return err
	}
	var monitor *link.Monitor
	err := k.space.Do(func() (err error) {
		monitor, err = link.OpenMonitor()
		return err
	})
	if err != nil {
		return err
	}
	if err := k.space.TakeIn(d.moved.Name); err != nil {
		return err
	}
	d.lost = make(chan error, 1)
	go d.watch(k.space, monitor)
	return k.space.Do(func() error {
		var routes []netip.Prefix
		for _, a := range d.moved.Prefixes() {
			routes = append(routes, netip.PrefixFrom(unspecified(a.Addr()), 0))
		}
		if err := tun.Configure(d.moved.Name, d.moved.MTU, 0, d.moved.Prefixes()); err != nil {
			return err
		}
		return tun.Route(d.moved.Name, routes)
	})
}

// watch tells when the device is gone from inside.
func (d *nsDevice) watch(space *netns.Space, m *link.Monitor) {
	defer m.Close()
	for {
		events, err := m.Next()
		if err != nil {
			d.lost <- fmt.Errorf("watch its device: %w", err)
			return
		}
		if !slices.ContainsFunc(events, func(e link.Event) bool { return e.Kind == link.Lost || e.Kind == link.Changed }) {
			continue
		}
		err = space.Do(func() error {
			_, err := tun.Up(d.moved.Name)
			return err
		})
		if err != nil {
			d.lost <- fmt.Errorf("its device is gone: %w", err)
			return
		}
	}
}

func (d *nsDevice) stay(ctx context.Context, _ *nsKeeper) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.lost:
		return err
	}
}

func (d *nsDevice) end(k *nsKeeper) {
	if err := k.space.GiveBack(d.moved); err != nil {
		k.log.Error("the device is not as it was", "device", d.moved.Name, "err", err)
		return
	}
	if err := k.update(func(r *netns.Record) { r.Moved = nil }); err != nil {
		k.log.Error("cannot record that the device was given back", "device", d.moved.Name, "err", err)
	}
}
