package uapi

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// served is a device with its server at the place where `wg` looks.
type served struct {
	*tunnel.Device
	t    *testing.T
	path string
	stop func()
}

func newKey(t *testing.T) (key.Private, key.Public) {
	t.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// start makes a device that is up, with its server.
func start(t *testing.T, name string, private key.Private, addresses ...netip.Prefix) *served {
	t.Helper()
	n, err := endpoint.ParseIfName(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := tunnel.New(tunnel.Config{Name: n, Private: private})
	if err != nil {
		t.Fatal(err)
	}
	if err := tun.Configure(name, d.MTU(), 0, addresses); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/var/run/wireguard", 0o700); err != nil {
		t.Fatal(err)
	}
	s := &served{Device: d, t: t, path: "/var/run/wireguard/" + name + ".sock"}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := &Server{Device: d, Permit: Any, Log: func(err error) { t.Log(err) }}
	go func() { done <- server.Serve(ctx, l) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *served) port() uint16 {
	s.t.Helper()
	st, err := s.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return st.ListenPort
}

// set asks for a change by the socket.
func (s *served) set(c tunnel.Change) error {
	s.t.Helper()
	conn, err := net.Dial("unix", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return Set(conn, c)
}

// wait until the devices have shaken hands.
func (s *served) wait(k key.Public) (p engine.PeerStatus) {
	s.t.Helper()
	for range 500 {
		st, err := s.Status()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, p := range st.Peers {
			if p.Public == k && !p.LastHandshake.IsZero() {
				return p
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("no handshake with peer %s", k)
	return p
}

func local(port uint16) *netip.AddrPort {
	a := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	return &a
}
