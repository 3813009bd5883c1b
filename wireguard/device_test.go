package wireguard

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// userspace starts a device of wireguard-go with its socket where wg looks.
func userspace(t *testing.T, name string) {
	t.Helper()
	link, err := tun.CreateTUN(name, 1420)
	if err != nil {
		t.Fatal(err)
	}
	d := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.IpcHandle(c)
		}
	}()
}

func newPeer(t *testing.T) (key.Private, key.Public, key.Preshared) {
	t.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	shared, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	return private, public, shared
}

func ptr[T any](v T) *T { return &v }

// A device tells what it was given, and no secret of it.
func TestWhatIsSetIsReadBackWithoutSecrets(t *testing.T) {
	userspace(t, "wgu0")
	private, public, _ := newPeer(t)
	_, first, shared := newPeer(t)
	_, second, _ := newPeer(t)
	err := Set("wgu0", Change{Private: &private, Mark: ptr(uint32(0x80000001)), Peers: []PeerChange{
		{Public: first, Preshared: &shared, Endpoint: ptr(netip.MustParseAddrPort("203.0.113.10:51820")), Keepalive: ptr(25 * time.Second),
			Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2000::/3")}},
		{Public: second, Endpoint: ptr(netip.MustParseAddrPort("[2001:db8::5]:7")), Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read("wgu0")
	if err != nil {
		t.Fatal(err)
	}
	want := Device{Name: "wgu0", Public: public, Port: got.Port, Mark: 0x80000001, Peers: []Peer{
		{Public: first, Preshared: true, Endpoint: netip.MustParseAddrPort("203.0.113.10:51820"), Keepalive: 25 * time.Second,
			Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2000::/3")}},
		{Public: second, Endpoint: netip.MustParseAddrPort("[2001:db8::5]:7"), Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
	}}
	byKey := cmpopts.SortSlices(func(a, b Peer) bool { return a.Public.String() < b.Public.String() })
	if diff := cmp.Diff(want, got, byKey, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if len(got.Endpoints()) != 2 || len(got.Allowed()) != 3 {
		t.Errorf("endpoints %v, allowed %v", got.Endpoints(), got.Allowed())
	}
	text := fmt.Sprintf("%v %+v %#v", got, got, got)
	for _, secret := range []string{private.Reveal(), shared.Reveal(), bytesOf(private.Bytes()), bytesOf(shared.Bytes())} {
		if strings.Contains(text, secret) {
			t.Errorf("it tells a secret: %s", text)
		}
	}

	if err := Set("wgu0", Change{Peers: []PeerChange{{Public: second, Remove: true}, {Public: first, Preshared: &key.Preshared{}, ReplaceAllowed: true, Keepalive: ptr(time.Duration(0))}}}); err != nil {
		t.Fatal(err)
	}
	if got, err = Read("wgu0"); err != nil || len(got.Peers) != 1 || got.Peers[0].Preshared || got.Peers[0].Keepalive != 0 || len(got.Peers[0].Allowed) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func bytesOf(b [key.Size]byte) string { return hex.EncodeToString(b[:]) }

func TestWhatIsNoWireGuardDoesNotExist(t *testing.T) {
	link, err := tun.CreateTUN("wgu1", 1420) // a tunnel that nobody speaks for
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	for _, name := range []string{"lo", "wgu1", "nosuch", "", "a/b"} {
		if _, err := Read(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
		if err := Set(name, Change{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q is set: %v", name, err)
		}
	}
}

// A program that is stopped must not stop who asks.
func TestAProgramThatDoesNotAnswerIsAnError(t *testing.T) {
	link, err := tun.CreateTUN("wgu2", 1420)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", sockets+"/wgu2.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer func(was time.Duration) { patience = was }(patience)
	patience = 50 * time.Millisecond
	if _, err := Read("wgu2"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
