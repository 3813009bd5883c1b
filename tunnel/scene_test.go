package tunnel_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// place is a network namespace.
//
//	a                                       b
//	own0 10.8.0.1, fd00:8::1                own0 10.8.0.2, fd00:8::2
//	wire 198.51.100.1, 2001:db8::1  ------  wire 198.51.100.2, 2001:db8::2
type place struct {
	t    testing.TB
	pid  int
	wire [2]netip.Addr // by family: 4, 6
	in   [2]netip.Addr
}

var self = func() string { s, _ := os.Executable(); return s }()

func newPlace(t testing.TB, n int) *place {
	t.Helper()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "TUNNEL_TEST_ROLE=hold")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	a := func(s string) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(s, n)) }
	return &place{t, cmd.Process.Pid, [2]netip.Addr{a("198.51.100.%d"), a("2001:db8::%d")}, [2]netip.Addr{a("10.8.0.%d"), a("fd00:8::%d")}}
}

// places makes both and the cable between them.
func places(t testing.TB, mtu int) (a, b *place) {
	t.Helper()
	a, b = newPlace(t, 1), newPlace(t, 2)
	if out, err := exec.Command("ip", "link", "add", "wire", "mtu", fmt.Sprint(mtu), "netns", fmt.Sprint(a.pid), "type", "veth", "peer", "name", "wire", "mtu", fmt.Sprint(mtu), "netns", fmt.Sprint(b.pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range []*place{a, b} {
		p.run("ip", "link", "set", "lo", "up")
		p.run("ip", "addr", "add", p.wire[0].String()+"/24", "dev", "wire")
		p.run("ip", "addr", "add", p.wire[1].String()+"/64", "dev", "wire", "nodad")
		p.run("ip", "link", "set", "wire", "up")
	}
	return a, b
}

func (p *place) command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", p.pid), "--", name}, args...)...)
}

func (p *place) run(name string, args ...string) string {
	p.t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// role prepares this program in the place.
func (p *place) role(name string, order any) *exec.Cmd {
	text, err := json.Marshal(order)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := p.command(self)
	cmd.Env = append(os.Environ(), "TUNNEL_TEST_ROLE="+name, "TUNNEL_TEST_ORDER="+string(text))
	cmd.Stderr = os.Stderr
	return cmd
}

// endOrder is what one end of a tunnel is told.
type endOrder struct {
	Private   string
	Peer      key.Public
	Preshared string
	Endpoint  netip.AddrPort
	Address   [2]netip.Addr
	Allowed   []netip.Prefix
	MTU       int
	Without   tunnel.Without
	More      int    // peers beside, that never say anything
	Listen    uint16 // 0: 51820
	// Another peer, whose endpoint is not known.
	Other        key.Public
	OtherAllowed []netip.Prefix
}

// end is a running tunnel in a place.
type end struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (p *place) start(role string, o any) *end {
	p.t.Helper()
	e := &end{t: p.t, cmd: p.role(role, o)}
	var err error
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	e.out = bufio.NewReader(out)
	if err := e.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(e.stop)
	if line, err := e.out.ReadString('\n'); err != nil || line != "up\n" {
		p.t.Fatalf("the end said %q, %v", line, err)
	}
	return e
}

func (e *end) pid() int { return e.cmd.Process.Pid }

func (e *end) stop() {
	if e.in != nil {
		e.in.Close()
		if err := e.cmd.Wait(); err != nil {
			e.t.Errorf("an end of the tunnel: %v", err)
		}
		e.in = nil
	}
}

func (e *end) status() (st tunnel.Status) {
	e.t.Helper()
	e.ask("status", &st)
	return st
}

// storage is what an end's runtime tells of itself after a collection.
type storage struct {
	Heap       uint64 // bytes in use
	Mallocs    uint64 // allocations so far
	Goroutines int
}

func (e *end) storage() (s storage) {
	e.t.Helper()
	e.ask("storage", &s)
	return s
}

func (e *end) ask(what string, answer any) {
	e.t.Helper()
	fmt.Fprintln(e.in, what)
	line, err := e.out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), answer)
	}
	if err != nil {
		e.t.Fatalf("asked an end for its %s, it said %q: %v", what, line, err)
	}
}

// runEnd is the end's own process.
func runEnd() error {
	var o endOrder
	if err := order(&o); err != nil {
		return err
	}
	private, err := key.ParsePrivate(o.Private)
	if err != nil {
		return err
	}
	var psk key.Preshared
	if o.Preshared != "" {
		if psk, err = key.ParsePreshared(o.Preshared); err != nil {
			return err
		}
	}
	name, err := endpoint.ParseIfName("own0")
	if err != nil {
		return err
	}
	peers := []engine.PeerConfig{{Public: o.Peer, Preshared: psk, Endpoint: o.Endpoint, Allowed: o.Allowed}}
	for i := range o.More {
		other, err := key.NewPrivate(nil)
		if err != nil {
			return err
		}
		public, err := other.Public()
		if err != nil {
			return err
		}
		addr := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
		peers = append(peers, engine.PeerConfig{Public: public, Preshared: psk, Endpoint: netip.AddrPortFrom(addr, 1), Allowed: []netip.Prefix{netip.PrefixFrom(addr, 32)}})
	}
	if len(o.OtherAllowed) > 0 {
		peers = append(peers, engine.PeerConfig{Public: o.Other, Allowed: o.OtherAllowed})
	}
	d, err := tunnel.New(tunnel.Config{Name: name, Private: private, ListenPort: cmp.Or(o.Listen, 51820), MTU: o.MTU, Without: o.Without, Peers: peers})
	if err != nil {
		return err
	}
	addresses := []netip.Prefix{netip.PrefixFrom(o.Address[0], 24), netip.PrefixFrom(o.Address[1], 64)}
	if err := tun.Configure(d.Name(), d.MTU(), tun.GSOSize(d.MTU(), noise.TransportSize, udp.MaxBytes, udp.MaxSegments), addresses); err != nil {
		return err
	}
	fmt.Println("up")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var answer any
		switch lines.Text() {
		case "status":
			answer, err = d.Status()
		case "storage":
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			answer = storage{m.HeapAlloc, m.Mallocs, runtime.NumGoroutine()}
		default:
			err = fmt.Errorf("asked for %q", lines.Text())
		}
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			return err
		}
	}
	return d.Close()
}

// tunnels joins the places by a tunnel over the family (0: IPv4, 1: IPv6).
func tunnels(t testing.TB, a, b *place, family, mtu int, withoutA, withoutB tunnel.Without) (ea, eb *end) {
	t.Helper()
	return tunnelsBy(t, "end", a, b, family, func(oa, ob *endOrder) { oa.MTU, ob.MTU, oa.Without, ob.Without = mtu, mtu, withoutA, withoutB })
}

// tunnelsBy does that with the program of a role, or of two ("end,theirs"), and
// orders that are changed.
func tunnelsBy(t testing.TB, role string, a, b *place, family int, change func(oa, ob *endOrder)) (ea, eb *end) {
	t.Helper()
	var secret [2]key.Private
	var public [2]key.Public
	var err error
	for i := range secret {
		if secret[i], err = key.NewPrivate(nil); err != nil {
			t.Fatal(err)
		}
		if public[i], err = secret[i].Public(); err != nil {
			t.Fatal(err)
		}
	}
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(p *place) []netip.Prefix {
		return []netip.Prefix{netip.PrefixFrom(p.in[0], 32), netip.PrefixFrom(p.in[1], 128)}
	}
	oa := endOrder{Private: secret[0].Reveal(), Peer: public[1], Preshared: psk.Reveal(), Endpoint: netip.AddrPortFrom(b.wire[family], 51820), Address: a.in, Allowed: allowed(b)}
	ob := endOrder{Private: secret[1].Reveal(), Peer: public[0], Preshared: psk.Reveal(), Address: b.in, Allowed: allowed(a)}
	change(&oa, &ob)
	roleA, roleB, two := strings.Cut(role, ",")
	if !two {
		roleB = roleA
	}
	ea, eb = a.start(roleA, oa), b.start(roleB, ob)
	waitAddress(a, b)
	return ea, eb
}

// waitAddress waits until the inner IPv6 addresses may be used.
func waitAddress(places ...*place) {
	for _, p := range places {
		for range 100 {
			if !strings.Contains(p.run("ip", "-6", "addr", "show", "dev", "own0"), "tentative") {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
