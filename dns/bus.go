package dns

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// The names that the owners have on the bus.
const (
	resolvedName = "org.freedesktop.resolve1"
	managerName  = "org.freedesktop.NetworkManager"
)

// systemBus is not taken from the environment, which a VPN client made.
const systemBus = "/run/dbus/system_bus_socket"

// callTime bounds each question: a VPN client stands still while its hook waits.
const callTime = 5 * time.Second

// bus connects to the system bus. The caller closes the connection.
func (s System) bus(ctx context.Context) (*dbus.Conn, error) {
	path := s.Bus
	if path == "" {
		path = systemBus
	}
	conn, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(path), dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("call the system bus: %w", err)
	}
	if err := conn.Auth(nil); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("be known to the system bus: %w", err)
	}
	if err := conn.Hello(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("be known to the system bus: %w", err)
	}
	return conn, nil
}

// answers reports whether somebody has the name now; nobody is started by the
// question.
func (s System) answers(name string) bool {
	has := false
	err := s.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		return conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", dbus.FlagNoAutoStart, name).Store(&has)
	})
	return err == nil && has
}

// onBus runs f with a connection of its own and a time limit.
func (s System) onBus(f func(context.Context, *dbus.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	conn, err := s.bus(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, conn)
}

// Watch calls came with each owner that is on the bus, and each time that one
// comes: it has lost what it was told before. Watch returns when the bus is lost
// or ctx ends.
func (s System) Watch(ctx context.Context, came func(Owner)) error {
	conn, err := s.bus(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	owners := map[string]Owner{resolvedName: Resolved, managerName: NetworkManager}
	for name, owner := range owners {
		err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"),
			dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name))
		if err != nil {
			return fmt.Errorf("watch the system bus: %w", err)
		}
		if s.answers(name) {
			came(owner)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case signal, ok := <-signals:
			if !ok {
				return fmt.Errorf("watch the system bus: %w", dbus.ErrClosed)
			}
			var name, was, is string
			if dbus.Store(signal.Body, &name, &was, &is) != nil || is == "" {
				continue
			}
			if o := owners[name]; o != "" {
				came(o)
			}
		}
	}
}
