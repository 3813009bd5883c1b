package tunnel_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

func newDevice(t *testing.T, name string) (*tunnel.Device, error) {
	t.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := endpoint.ParseIfName(name)
	if err != nil {
		t.Fatal(err)
	}
	return tunnel.New(tunnel.Config{Name: n, Private: private})
}

func TestDeviceLivesUntilItIsClosed(t *testing.T) {
	d, err := newDevice(t, "own7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName("own7"); err != nil {
		t.Error(err)
	}
	if _, err := newDevice(t, "own7"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second device of that name: %v", err)
	}
	other, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := other.Public()
	if err != nil {
		t.Fatal(err)
	}
	peer := engine.PeerConfig{Public: public, Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	if err := d.SetPeer(peer); err != nil {
		t.Fatal(err)
	}
	if err := d.SetPeer(engine.PeerConfig{}); err == nil {
		t.Error("a peer without a key")
	}
	st, err := d.Status()
	if err != nil || st.Name != "own7" || st.ListenPort == 0 || st.MTU != engine.DefaultMTU || len(st.Peers) != 1 || st.Peers[0].Public != public {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := d.RemovePeer(public); err != nil {
		t.Fatal(err)
	}
	if st, err := d.Status(); err != nil || len(st.Peers) != 0 {
		t.Errorf("status %+v, %v", st, err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := net.InterfaceByName("own7"); err == nil {
		t.Error("the device outlived its tunnel")
	}
	if err := d.SetPeer(peer); !errors.Is(err, tunnel.ErrClosed) {
		t.Errorf("a peer for a closed device: %v", err)
	}
}

func TestDeviceThatIsTakenAwayEndsTheTunnel(t *testing.T) {
	d, err := newDevice(t, "own8")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "del", "own8").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	select {
	case <-d.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the tunnel goes on without its device")
	}
	if err := d.Close(); err == nil {
		t.Error("nobody tells why the tunnel ended")
	}
}
