package openvpn

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

var (
	tunnelAddr  = netip.MustParseAddr("10.8.0.2")
	tunnelAddr6 = netip.MustParseAddr("fd00:8::1000")
)

// user is an ordinary uid, if there is one.
func user() int {
	if lab.SingleUID() {
		return 0
	}
	return 1000
}

// connected is a laboratory with a tunnel and no guard.
func connected(t *testing.T, s Server, c Client) (context.Context, *lab.Lab, *Process, wire.Policy) {
	t.Helper()
	ctx, l, pki := build(t)
	if _, err := s.Start(ctx, l, pki); err != nil {
		t.Fatal(err)
	}
	if c.Remotes == nil {
		c.Remotes = []netip.AddrPort{s.Endpoint()}
	}
	client, err := c.Start(ctx, l, pki)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 1); err != nil {
		t.Fatal(err)
	}
	return ctx, l, client, l.Policy(wire.Carrier{Remote: s.Endpoint(), Proto: wire.UDP})
}

// What a VPN without a guard lets out, and what it does not: the probes that a
// tunnel alone stops must not show, or the capture sees things.
func TestAnUnguardedTunnelLeaksWhatItsRoutesDoNotCover(t *testing.T) {
	ctx, l, _, policy := connected(t, Server{}, Client{})
	leak := []string{
		"udp-server", "tcp-server", "icmp-server", "udp-carrier-port", "dns-udp-lan", "dns-tcp-lan", "dns-udp-lan-v6", "mdns", "llmnr",
		"netbios-ns", "bind-device-udp", "bind-device-tcp", "bind-device-icmp", "bind-device-udp-v6", "unicast-if", "unicast-if-v6",
		"pktinfo", "pktinfo-v6", "multicast-if", "igmp-join", "raw-ip", "fragments", "packet-ipv4-bypass", "packet-arp", "packet-odd-type",
	}
	tunnelled := []string{"udp-public", "tcp-public", "icmp-public", "udp-public-v6", "tcp-public-v6", "dns-udp-public", "udp-v4-mapped"}
	for _, name := range append(slices.Clone(leak), tunnelled...) {
		p, err := probe.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		uid := user()
		if p.Privileged {
			uid = 0
		}
		if slices.Contains(leak, name) {
			a, err := l.Control(ctx, l.Client, uid, probe.Order{Name: name})
			if err != nil {
				t.Error(err)
			} else if v := a.Judge(policy); len(v.Leaks) == 0 {
				t.Errorf("%s: explained: %v", name, v)
			}
			if p.Name == "igmp-join" {
				// Its reports go on for a second or two.
				if err := l.Settled(ctx, policy, 2*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		a, err := l.Try(ctx, l.Client, uid, probe.Order{Name: name})
		if err != nil {
			t.Error(err)
			continue
		}
		v := a.Judge(policy)
		if len(a.Seen)+len(v.Leaks) > 0 || v.Counts[wire.CarrierClass] == 0 {
			t.Errorf("%s: want it in carriers only: %v", name, v)
		}
	}
}

func TestInjectedRoutesLeadPastAnUnguardedTunnel(t *testing.T) {
	ctx, l, _, policy := connected(t, Server{}, Client{})
	for _, i := range lab.Injections {
		t.Run(string(i), func(t *testing.T) {
			undo, err := l.Inject(ctx, i)
			if err != nil {
				t.Fatal(err)
			}
			name := "udp-public"
			if strings.HasSuffix(string(i), "v6") {
				name += "-v6"
			}
			a, err := l.Control(ctx, l.Client, user(), probe.Order{Name: name})
			if err != nil {
				t.Error(err)
			}
			t.Logf("%v", a.Judge(policy))
			if err := undo(ctx); err != nil {
				t.Fatal(err)
			}
			a, err = l.Try(ctx, l.Client, user(), probe.Order{Name: name})
			if err != nil || len(a.Seen) > 0 {
				t.Errorf("after undo: %v, %v", a.Judge(policy), err)
			}
		})
	}
}

func TestAttacksOnTheTunnelAddressDrawAnswers(t *testing.T) {
	// No keepalive in the time of the test: carriers are counted.
	ctx, l, _, policy := connected(t, Server{Ping: 30 * time.Second, Restart: time.Minute}, Client{})
	if err := l.TunnelWorks(ctx, user(), site.Server, site.Server6); err != nil {
		t.Fatal(err)
	}
	for _, p := range probe.Attacks() {
		for _, target := range []netip.Addr{tunnelAddr, tunnelAddr6} {
			v6 := target.Is6()
			if v6 && (p.Name == "attack-arp" || strings.HasPrefix(p.Name, "attack-timestamp")) || !v6 && p.Name == "attack-ns" {
				continue
			}
			a, err := l.Attack(ctx, p.Name, target)
			if err != nil {
				t.Errorf("%s: %v", p.Name, err)
				continue
			}
			v := a.Judge(policy)
			t.Logf("%s on %s: %d answers in clear, %d in the tunnel", p.Name, target, len(a.Seen), v.Counts[wire.CarrierClass])
			switch {
			case p.Name == "attack-ns": // IPv6 answers per interface
			case strings.HasSuffix(p.Name, "-spoofed"):
				if v.Counts[wire.CarrierClass] == 0 {
					t.Errorf("%s on %s drew nothing: %v", p.Name, target, v)
				}
			case len(a.Seen) == 0:
				t.Errorf("%s on %s drew nothing: %v", p.Name, target, v)
			}
		}
	}
}

func TestSubflowJoinsOutsideTheTunnel(t *testing.T) {
	ctx, l, _, policy := connected(t, Server{}, Client{})
	if err := l.EnableSubflows(ctx); err != nil {
		t.Fatal(err)
	}
	a, err := l.Control(ctx, l.Client, user(), probe.Order{Name: "mptcp-subflow"})
	if err != nil {
		t.Fatal(err)
	}
	if text := a.Judge(policy).String(); !strings.Contains(text, "syn mptcp subtype 1") {
		t.Errorf("no MP_JOIN on the wire: %s", text)
	}
}

func TestOldFlowsGoOnWhenBoundToTheWire(t *testing.T) {
	ctx, l, pki := build(t)
	bound, err := l.Open(ctx, l.Client, user(), probe.Flow{To: netip.AddrPortFrom(site.Public, 80), TCP: true, Dev: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	free, err := l.Open(ctx, l.Client, user(), probe.Flow{To: netip.AddrPortFrom(site.Public, 80), TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	s := Server{}
	if _, err := s.Start(ctx, l, pki); err != nil {
		t.Fatal(err)
	}
	client, err := Client{Remotes: []netip.AddrPort{s.Endpoint()}}.Start(ctx, l, pki)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for name, flow := range map[string]*lab.Flow{"bound": bound, "free": free} {
		mark, err := l.Capture().Mark(ctx)
		if err != nil {
			t.Fatal(err)
		}
		nonce, sent, err := flow.Send()
		if err != nil || sent.Error != "" {
			t.Fatalf("%s: %+v, %v", name, sent, err)
		}
		if err := l.Capture().Sync(ctx); err != nil {
			t.Fatal(err)
		}
		seen := len(wire.FindNonce(l.Capture().Since(mark), nonce)) > 0
		if seen != (name == "bound") {
			t.Errorf("%s flow: nonce on the wire: %t", name, seen)
		}
	}
}

// The leak that every guard is for: the client dies and the stream goes on in
// clear. With it the stream's counting is proven.
func TestAKilledClientLeaksTheStream(t *testing.T) {
	ctx, l, client, _ := connected(t, Server{}, Client{})
	stream, err := l.Stream(ctx, l.Client, user(), probe.Stream{To: netip.AddrPortFrom(site.Public, probe.EchoPort), Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	mark, err := l.Capture().Mark(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Capture().Until(ctx, mark, func(f []wire.Frame) bool { return len(wire.Numbers(f, stream.Nonce)) >= 100 }); err != nil {
		t.Fatalf("stream not on the wire: %v", err)
	}
	count, err := stream.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Capture().Sync(ctx); err != nil {
		t.Fatal(err)
	}
	numbers := wire.Numbers(l.Capture().Since(mark), stream.Nonce)
	t.Logf("sent %+v, %d in clear, from %d to %d", count, len(numbers), numbers[0], numbers[len(numbers)-1])
	if want := int(numbers[len(numbers)-1]-numbers[0]) + 1; len(numbers) != want {
		t.Errorf("%d datagrams of %d: the count is not exact", len(numbers), want)
	}
}
