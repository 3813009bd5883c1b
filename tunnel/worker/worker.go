package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/uapi"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// Process is what a worker's process was given.
type Process struct {
	Control io.ReadWriter
	TUN     int // the TUN device's descriptor
	// UAPI is where the device's configuration protocol is served; nil: nowhere.
	// A change that the seal would have to follow is refused there.
	UAPI net.Listener
	// Confine gives this process's rights up and names what the kernel lacks for
	// that.
	Confine func() ([]string, error)
	// Log takes refusals that nobody else hears of.
	Log func(error)
}

// Run is the worker's process. It returns nil when the supervisor hangs up, and an error when the tunnel ends by
// itself; the supervisor was told.
func Run(p Process) error {
	w := &worker{Process: p, orders: json.NewDecoder(p.Control), reports: NewSender(p.Control), completed: make(chan key.Public, 64), unanswered: make(chan Unanswered, 64)}
	err := w.run()
	if err != nil {
		_ = w.reports.Send(Report{Failed: err.Error()})
	}
	return err
}

type worker struct {
	Process
	orders     *json.Decoder
	reports    *Sender
	completed  chan key.Public
	unanswered chan Unanswered
	device     *tunnel.Device
	mu         sync.Mutex // of what the protocol's server reads of setup
	setup      Setup      // of which peers change
}

func (w *worker) run() error {
	var first Order
	if err := w.orders.Decode(&first); err != nil || first.Setup == nil {
		return fmt.Errorf("wait for the tunnel's setup: %w", errors.Join(err, errors.New("it did not come")))
	}
	w.setup = *first.Setup
	config, err := first.Setup.config()
	if err != nil {
		return err
	}
	// The socket's user is that of the moment of its making (fsuid), and its mark
	// needs a capability: so it is made between the change of the user, which lies
	// behind, and the loss of all capabilities.
	socket, err := tunnel.Socket(config.ListenPort, config.FwMark)
	if err != nil {
		return err
	}
	port, err := socket.Port()
	if err != nil {
		return err
	}
	w.setup.Port = port
	device, err := tun.Adopt(w.TUN, first.Setup.Name, first.Setup.TUN)
	if err != nil {
		return err
	}
	missing, err := w.Confine()
	if err != nil {
		return fmt.Errorf("confine the tunnel's engine: %w", err)
	}
	if err := w.reports.Send(Report{Ready: &Ready{Port: port, Missing: missing}}); err != nil {
		return fmt.Errorf("tell the supervisor: %w", err)
	}
	return w.serve(config, device, socket)
}

// serve does what is ordered. Nothing was sent before the order to begin.
func (w *worker) serve(config tunnel.Config, device *tun.Device, socket *udp.Socket) error {
	orders := make(chan Order)
	go func() {
		defer close(orders)
		for {
			var o Order
			if w.orders.Decode(&o) != nil {
				return // the supervisor is gone, or ends this
			}
			orders <- o
		}
	}()
	var done <-chan struct{}
	for {
		select {
		case <-done:
			return fmt.Errorf("the tunnel ended: %w", w.device.Close())
		case k := <-w.completed:
			if err := w.reports.Send(Report{Completed: &k, At: w.at(k)}); err != nil {
				return fmt.Errorf("tell the supervisor of a handshake: %w", err)
			}
		case u := <-w.unanswered:
			if err := w.reports.Send(Report{Unanswered: &u}); err != nil {
				return fmt.Errorf("tell the supervisor of a peer's silence: %w", err)
			}
		case o, more := <-orders:
			if !more {
				if w.device != nil {
					return w.device.Close()
				}
				return nil
			}
			if err := w.obey(o, config, device, socket); err != nil {
				return err
			}
			if w.device != nil {
				done = w.device.Done()
			}
		}
	}
}

func (w *worker) obey(o Order, config tunnel.Config, device *tun.Device, socket *udp.Socket) (err error) {
	switch {
	case o.Begin && w.device == nil:
		if config.Peers, err = w.setup.peers(); err != nil { // which may have moved
			return err
		}
		return w.begin(config, device, socket)
	case o.Move != nil:
		return w.move(*o.Move)
	}
	return nil
}

// begin starts the tunnel and asks every peer for keys whose place is known.
func (w *worker) begin(config tunnel.Config, device *tun.Device, socket *udp.Socket) (err error) {
	config.TUN, config.UDP = device, socket
	config.SetMTU = func(mtu int) error { return w.reports.Send(Report{MTU: mtu}) }
	config.Completed = func(k key.Public) {
		select {
		case w.completed <- k:
		default: // the supervisor is slow; it heard of many
		}
	}
	config.Unanswered = func(k key.Public, inARow int) {
		select {
		case w.unanswered <- Unanswered{k, inARow}:
		default:
		}
	}
	if w.device, err = tunnel.New(config); err != nil {
		return err
	}
	if w.UAPI != nil {
		// Its end is the process's.
		go func() {
			s := uapi.Server{Device: pinning{w.device}, Permit: w.permit, Settled: w.settled, Log: w.Log}
			_ = s.Serve(context.Background(), w.UAPI)
		}()
	}
	for _, p := range config.Peers {
		if len(p.Pinned) > 0 {
			if err := w.device.Handshake(p.Public); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled tells the supervisor of a change before its caller hears that it was
// made: a worker that ends in between would take it along.
func (w *worker) settled(c tunnel.Change, err error) {
	if err != nil {
		return
	}
	change := newChange(c)
	if err := w.reports.Send(Report{Changed: &change}); err != nil && w.Log != nil {
		w.Log(fmt.Errorf("tell the supervisor of a change: %w", err))
	}
}

// pinning keeps peers at the place that a change names, as those of the setup
// are kept: whoever is elsewhere is not let through anyway.
type pinning struct{ *tunnel.Device }

func (d pinning) Apply(c tunnel.Change) error {
	c.Peers = slices.Clone(c.Peers)
	for i, p := range c.Peers {
		if p.Endpoint != nil && !p.Remove {
			c.Peers[i].Pinned = &[]netip.AddrPort{*p.Endpoint}
		}
	}
	return d.Device.Apply(c)
}

func (s *Setup) config() (c tunnel.Config, err error) {
	c = tunnel.Config{ListenPort: s.Port, FwMark: s.Mark, MTU: s.MTU}
	if c.Name, err = endpoint.ParseIfName(s.Name); err != nil {
		return c, err
	}
	if c.Private, err = key.ParsePrivate(string(s.Private)); err != nil {
		return c, fmt.Errorf("read the private key: %w", err)
	}
	c.Peers, err = s.peers()
	return c, err
}

func (s *Setup) peers() (list []engine.PeerConfig, err error) {
	for _, p := range s.Peers {
		peer := engine.PeerConfig{Public: p.Public, Pinned: p.Endpoints, Allowed: p.Allowed, Keepalive: p.Keepalive}
		if p.Preshared != "" {
			if peer.Preshared, err = key.ParsePreshared(string(p.Preshared)); err != nil {
				return nil, fmt.Errorf("read the preshared key of peer %q: %w", p.Public, err)
			}
		}
		list = append(list, peer)
	}
	return list, nil
}
