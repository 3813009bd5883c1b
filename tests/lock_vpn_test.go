package tests

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// vpnName is what the configuration calls the server.
const vpnName = "vpn.lab"

// bootstrap is the resolver that the owner alone may ask.
var bootstrap = netip.MustParseAddr("9.9.9.9")

// byName is a way by which client and lock find the server.
type byName struct {
	lock    []string // flags beside the endpoint
	prepare func(*scene)
	asks    bool // the client asks the bootstrap resolver behind the lock
}

var byNames = map[string]byName{
	"hosts file": {prepare: (*scene).nameInHosts},
	"bootstrap":  {[]string{"--bootstrap-dns", bootstrap.String()}, (*scene).nameAtBootstrap, true},
}

// Programs send all the time, from before the client starts until after it has
// stopped: by the host's routes, and bound to the wire.
func TestALockedHostConnectsByNameAndNeverOpens(t *testing.T) {
	for name, way := range byNames {
		t.Run(name+", guard off", func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "")
			way.prepare(s)
			srv := openvpn.Server{}
			s.serve(srv)
			if way.asks {
				s.asksAt(bootstrap, s.user, true)
			}
			start, streams := s.mark(), s.userStreams()
			client := s.bare(namedClient())
			if way.asks && len(s.questions(start)) == 0 {
				t.Error("the client did not ask for its server's name")
			}
			if _, err := client.Stop(s.ctx); err != nil {
				t.Fatal(err)
			}
			for i, n := range s.onWire(start, streams) {
				if n < 100 {
					t.Errorf("stream %d: %d packets on the wire", i, n)
				}
			}
		})
		for _, guarded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, guardian %t", name, guarded), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, "")
				way.prepare(s)
				srv := openvpn.Server{}
				s.serve(srv)
				before := s.snapshot()
				if guarded {
					s.watch()
				}
				s.must(0, append([]string{"lock", "--endpoint", vpnName + ":1194/udp", "--owner", "0"}, way.lock...)...)
				s.locksName(way, srv)
				s.must(0, "unlock")
				s.state("open")
				s.restored(before)
			})
		}
	}
}

// locksName goes through a client's whole life behind the lock.
func (s *scene) locksName(way byName, srv openvpn.Server) {
	s.Helper()
	policy := s.policy(srv)
	if way.asks {
		for _, proto := range []uint8{wire.UDP, wire.TCP} {
			policy.Carriers = append(policy.Carriers, wire.Carrier{Remote: netip.AddrPortFrom(bootstrap, probe.DNSPort), Proto: proto})
		}
	}
	start, streams := s.mark(), s.userStreams()
	s.asksAt(bootstrap, s.user, false)
	s.asksAt(bootstrap, 0, way.asks)
	asked := s.mark()
	client := s.connect(namedClient())
	s.state("sealed")
	if n := len(s.questions(asked)); (n > 0) != way.asks {
		s.Errorf("the client asked the bootstrap resolver %d times", n)
	}
	if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
		s.Fatal(err)
	}
	s.closed([]string{"dns-udp-lan", "udp-server", "bind-device-udp", "mdns"})
	if _, err := client.Stop(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.state("locked")
	s.must(0, "status")
	for i, n := range s.onWire(start, streams) {
		if n > 0 {
			s.Errorf("stream %d: %d packets in clear", i, n)
		}
	}
	s.asksAt(bootstrap, s.user, false)
	s.closed(lockProbes)
	// The question that the test itself put as root is the owner's as well.
	s.Logf("on the wire: %v", s.explained(start, policy))
}

func namedClient() openvpn.Client {
	return openvpn.Client{Extra: []string{"remote " + vpnName + " 1194 udp4"}}
}

// nameInHosts writes the server's name to the hosts file.
func (s *scene) nameInHosts() {
	s.Helper()
	s.resolveBy("127.0.0.1 localhost\n"+site.Server.String()+" "+vpnName+"\n", "files", site.Gateway)
}

// nameAtBootstrap lets the bootstrap resolver alone know the server's name.
func (s *scene) nameAtBootstrap() {
	s.Helper()
	s.resolveBy("127.0.0.1 localhost\n", "files dns", bootstrap)
	if err := s.lab.Internet.Script(s.ctx, "ip addr add "+bootstrap.String()+"/32 dev lo\n"); err != nil {
		s.Fatal(err)
	}
	s.background(s.lab.Internet, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--listen-address="+bootstrap.String(), "--bind-interfaces", "--address=/"+vpnName+"/"+site.Server.String())
	s.until("the bootstrap resolver answers", func() bool {
		_, err := s.lab.Client.Run(s.ctx, "getent", "ahostsv4", vpnName)
		return err == nil
	})
}

// resolveBy configures how the client's host looks names up.
func (s *scene) resolveBy(hosts, order string, resolver netip.Addr) {
	s.Helper()
	for path, text := range map[string]string{
		"/etc/hosts": hosts, "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: " + order + "\n",
		"/etc/resolv.conf": "nameserver " + resolver.String() + "\noptions timeout:1\n",
	} {
		if err := os.WriteFile(s.lab.Client.Path(path), []byte(text), 0o644); err != nil {
			s.Fatal(err)
		}
	}
}

// asksAt sends a question as uid to a resolver, and demands that it shows on
// the wire or not.
func (s *scene) asksAt(resolver netip.Addr, uid int, want bool) {
	s.Helper()
	if uid == 0 && s.user == 0 && !want {
		return // only root exists, and it is the owner
	}
	m := s.mark()
	nonces := []string{}
	for _, tcp := range []bool{false, true} {
		flow, err := s.lab.Open(s.ctx, s.lab.Client, uid, probe.Flow{To: netip.AddrPortFrom(resolver, probe.DNSPort), TCP: tcp})
		if err != nil {
			if tcp && !want && strings.Contains(err.Error(), "connect to") {
				continue // refused already when it connects
			}
			s.Fatalf("ask %s as uid %d: %v", resolver, uid, err)
		}
		nonce, _, err := flow.Send()
		if err != nil {
			s.Fatalf("ask %s as uid %d: %v", resolver, uid, err)
		}
		nonces = append(nonces, nonce)
		_ = flow.Close()
	}
	frames := s.since(m)
	for _, n := range nonces {
		if seen := len(wire.FindNonce(frames, n)) > 0; seen != want {
			s.Errorf("a question to %s as uid %d: on the wire: %t, want %t", resolver, uid, seen, want)
		}
	}
	if found := wire.Mentioning(frames, resolver); !want && len(found) > 0 {
		s.Errorf("asked as uid %d, the wire tells of %s: %s", uid, resolver, wire.Describe(found[0]))
	}
}

// questions are the frames to the bootstrap resolver since the mark.
func (s *scene) questions(m lab.Mark) []wire.Frame {
	s.Helper()
	return wire.Evidence{Flows: []wire.Flow{{To: bootstrap, Proto: wire.UDP, DstPort: probe.DNSPort}}}.Find(s.since(m))
}

// userStreams starts programs of a user that send 1000 packets a second each.
func (s *scene) userStreams() (streams []*lab.Stream) {
	s.Helper()
	for _, st := range []probe.Stream{
		{To: netip.AddrPortFrom(site.Public, 7)}, {To: netip.AddrPortFrom(site.Public, 7), Dev: "eth0"},
		{To: netip.AddrPortFrom(site.Public6, 7)},
	} {
		st.Rate, st.For = 1000, sceneTime
		running, err := s.lab.Stream(s.ctx, s.lab.Client, s.user, st)
		if err != nil {
			s.Fatal(err)
		}
		streams = append(streams, running)
	}
	return streams
}

// onWire ends streams and counts the packets of each on the wire.
func (s *scene) onWire(m lab.Mark, streams []*lab.Stream) (counts []int) {
	s.Helper()
	time.Sleep(600 * time.Millisecond) // for hundreds of packets more of each
	for _, st := range streams {
		c, err := st.Stop()
		if err != nil {
			s.Fatal(err)
		}
		n := len(wire.Numbers(s.since(m), st.Nonce))
		if c.Sent+c.Refused < 500 {
			s.Errorf("a stream tried only %d times", c.Sent+c.Refused)
		}
		s.Logf("stream to the internet: %d taken, %d refused, %d on the wire", c.Sent, c.Refused, n)
		counts = append(counts, n)
	}
	return counts
}
