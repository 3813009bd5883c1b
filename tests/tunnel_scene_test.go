package tests

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// far is the other end of the tunnel, at the place where OpenVPN's server is in
// other scenes, so that their judgements serve here:
//
//	own0 10.8.0.2, fd00:8::2 ---- client ==== 203.0.113.10:1194 ---- far0 10.8.0.1, fd00:8::1
var far = openvpn.Server{Proto: "udp", Address: site.Server}

// allowedSplit is what a split tunnel carries here: a company's prefixes.
const allowedSplit = "10.8.0.0/24, fd00:8::/64, 8.8.8.0/24, 2001:db8:80::/48"

// tunnelScene is a laboratory with the far end of a tunnel.
type tunnelScene struct {
	*scene
	private key.Private // the client's
	shared  key.Preshared
	server  key.Private
	public  key.Public // the server's
	conf    string     // path in the client
	// userspace is the program that wg-quick starts where the kernel has no
	// WireGuard; empty: its usual one.
	userspace string
	dial      []string // the job of a far end that dials the address that is added
}

func newTunnelScene(t testing.TB) *tunnelScene { return newDistantScene(t, 0) }

// newDistantScene is a tunnel scene with a round trip to the server.
func newDistantScene(t testing.TB, trip time.Duration) *tunnelScene {
	t.Helper()
	s := newKeyedScene(t, sceneTime)
	client, err := s.private.Public()
	if err != nil {
		t.Fatal(err)
	}
	s.dial = []string{"far", s.server.Reveal(), client.String(), s.shared.Reveal(), "0s"}
	s.job(s.lab.Server, "far", s.server.Reveal(), client.String(), s.shared.Reveal(), trip.String())
	return s
}

// newKeyedScene has the keys of a tunnel and no far end yet.
func newKeyedScene(t testing.TB, limit time.Duration) *tunnelScene {
	t.Helper()
	s := &tunnelScene{scene: newSceneFor(t, "", limit), conf: "/etc/vpnguard/own0.conf"}
	s.server, s.public = s.keys()
	s.private, _ = s.keys()
	var err error
	if s.shared, err = key.NewPreshared(nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// keys makes a pair.
func (s *scene) keys() (key.Private, key.Public) {
	s.Helper()
	k, err := key.NewPrivate(nil)
	p, e := k.Public()
	if err = errors.Join(err, e); err != nil {
		s.Fatal(err)
	}
	return k, p
}

// manyJob is the far end of any number of tunnels, 10.9.0.1 to 10.9.0.2, 10.9.1.1
// to 10.9.1.2 and so on.
func manyJob(args []string) error {
	private, err := key.ParsePrivate(args[0])
	if err != nil {
		return err
	}
	c := tunnel.Config{Name: "many0", Private: private, ListenPort: 1195}
	var addresses []netip.Prefix
	for i, text := range args[1:] {
		public, err := key.ParsePublic(text)
		if err != nil {
			return err
		}
		c.Peers = append(c.Peers, engine.PeerConfig{Public: public, Allowed: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i), 2}), 32)}})
		addresses = append(addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i), 1}), 24))
	}
	return runFar(c, addresses)
}

// runFar is a far end until the scene ends.
func runFar(c tunnel.Config, addresses []netip.Prefix) error {
	d, err := tunnel.New(c)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := tun.Configure(d.Name(), d.MTU(), 0, addresses); err != nil {
		return err
	}
	fmt.Print(ready)
	time.Sleep(time.Hour) // its end is the scene's
	return nil
}

// farJob is the far end: our own engine, with nothing around it.
func farJob(args []string) error {
	private, err := key.ParsePrivate(args[0])
	if err != nil {
		return err
	}
	public, err := key.ParsePublic(args[1])
	if err != nil {
		return err
	}
	shared, err := key.ParsePreshared(args[2])
	if err != nil {
		return err
	}
	trip, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	var at netip.AddrPort // of our other end; not valid: it dials
	if len(args) > 4 {
		at = netip.MustParseAddrPort(args[4])
	}
	port := far.Endpoint().Port()
	name, addresses := "far0", []netip.Prefix{netip.MustParsePrefix("10.8.0.1/24"), netip.MustParsePrefix("fd00:8::1/64")}
	if len(args) > 5 { // one more in the same place
		port, name, addresses = 0, args[5], []netip.Prefix{netip.MustParsePrefix(args[6])}
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("10.8.0.2/32"), netip.MustParsePrefix("fd00:8::2/128")}
	if len(args) > 7 {
		allowed = []netip.Prefix{netip.MustParsePrefix(args[7])}
	}
	if trip > 0 {
		port++
		if err := delay(far.Endpoint().Port(), port, trip/2); err != nil {
			return err
		}
	}
	return runFar(tunnel.Config{Name: endpoint.IfName(name), Private: private, ListenPort: port, Peers: []engine.PeerConfig{{
		Public: public, Preshared: shared, Endpoint: at, Allowed: allowed,
	}}}, addresses)
}

// delay passes one client's datagrams on between two ports, each after a while.
func delay(outer, inner uint16, after time.Duration) error {
	out, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(outer)})
	if err != nil {
		return err
	}
	in, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(inner)})
	if err != nil {
		return err
	}
	var client atomic.Pointer[netip.AddrPort]
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, from, err := out.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			client.Store(&from)
			data := bytes.Clone(b[:n])
			time.AfterFunc(after, func() { _, _ = in.Write(data) })
		}
	}()
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, err := in.Read(b)
			if to := client.Load(); err == nil && to != nil {
				data := bytes.Clone(b[:n])
				time.AfterFunc(after, func() { _, _ = out.WriteToUDPAddrPort(data, *to) })
			}
		}
	}()
	return nil
}

// configureTunnel writes the tunnel's file. Extra lines belong to [Interface].
func (s *tunnelScene) configureTunnel(allowed string, extra ...string) {
	s.Helper()
	s.writeTunnel(fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24, fd00:8::2/64\n%s\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\nAllowedIPs = %s\n",
		s.private.Reveal(), strings.Join(extra, "\n"), s.public, s.shared.Reveal(), far.Endpoint(), allowed), 0o600)
}

func (s *tunnelScene) writeTunnel(text string, mode os.FileMode) {
	s.Helper()
	file := s.lab.Client.Path(s.conf)
	if err := errors.Join(os.MkdirAll(s.lab.Client.Path("/etc/vpnguard"), 0o755), os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode)); err != nil {
		s.Fatal(err)
	}
}

// engine waits for the process that moves packets, and for another one than not.
func (s *tunnelScene) engine(not int) int {
	s.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, pid := range s.processes("engine") {
			if pid != not {
				return pid
			}
		}
	}
	s.Fatal("no engine runs")
	return 0
}

// processes are those of this program in the client with the word among their arguments.
func (s *tunnelScene) processes(word string) (pids []int) {
	s.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", s.lab.Client.PID()))
	if err != nil {
		s.Fatal(err)
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		s.Fatal(err)
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		list := strings.Split(string(args), "\x00")
		if ns == own && strings.Contains(list[0], "vpnguard") && len(list) > 2 && strings.Contains(strings.Join(list[1:], " "), word) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone demands that nothing of the tunnel is left and the host is as it was.
func (s *tunnelScene) gone(before lab.Snapshot) {
	s.Helper()
	for _, word := range []string{"engine", "tunnel"} {
		if left := s.processes(word); len(left) > 0 {
			s.Errorf("processes %d are left", left)
		}
	}
	s.restored(before)
}

// policyOf explains the tunnel's carrier and link upkeep, and nothing else.
func (s *tunnelScene) policyOf() wire.Policy { return s.policy(far) }

// writeFile writes one of the client's files.
func (s *tunnelScene) writeFile(path, text string) {
	s.Helper()
	file := s.lab.Client.Path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		s.Fatal(err)
	}
}
