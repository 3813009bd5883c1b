package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// inside is the client as a program in a namespace sees it.
func (s *scene) inside(namespace string, uid int) *lab.Node {
	return s.lab.Client.Through(s.exe, "exec", "--namespace", namespace, "--user", strconv.Itoa(uid), "--")
}

// sh runs a shell command as a user in a namespace.
func (s *scene) sh(namespace string, uid int, script string) (out string, code int) {
	s.Helper()
	cmd := s.inside(namespace, uid).Command(s.ctx, "sh", "-c", script)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.Fatalf("run %q in namespace %q: %v", script, namespace, err)
	}
	return strings.TrimSpace(string(text)), cmd.ProcessState.ExitCode()
}

// owner is the engine's user, where the laboratory has others than root.
func engineArgs() []string {
	if lab.SingleUID() {
		return []string{"--owner", "0"}
	}
	return nil
}

// carries demands that programs in the namespace reach the internet as the
// server, and only wait for that if the tunnel is just coming back.
func (s *scene) carriesInside(namespace, when string) {
	s.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = s.seenInside(namespace); err == nil {
			return
		}
	}
	s.Errorf("%s: %v", when, err)
}

func (s *scene) seenInside(namespace string) error {
	// Each try is short: with the next connection the tunnel may have another
	// address, and this one would wait in vain.
	node := s.lab.Client.Through(s.exe, "exec", "--namespace", namespace, "--user", strconv.Itoa(s.user), "--", "timeout", "3")
	for to, want := range map[netip.Addr]netip.Addr{site.Public: site.Server, site.Public6: site.Server6} {
		for _, network := range []string{"tcp", "udp"} {
			seen, err := s.lab.SeenAs(s.ctx, node, 0, network, netip.AddrPortFrom(to, probe.EchoPort))
			if err != nil || seen != want {
				return fmt.Errorf("%s to %s: the internet sees %s, not %s: %w", network, to, seen, want, err)
			}
		}
	}
	return nil
}

// untouched demands that the host's own traffic is as without any namespace.
func (s *scene) untouched(when string) {
	s.Helper()
	seen, err := s.lab.SeenAs(s.ctx, s.lab.Client, s.user, "udp", netip.AddrPortFrom(site.Public, probe.EchoPort))
	if err != nil || seen != netip.MustParseAddr("198.51.100.2") {
		s.Errorf("%s: the internet sees the host as %s, %v", when, seen, err)
	}
}

// otherFar is where another tunnel ends, with the same addresses inside, as the
// client reaches it, and nestedFar as the VPN server does: a server answers from
// the address that its routes prefer.
var (
	otherFar  = netip.MustParseAddrPort("198.51.100.1:1194")
	nestedFar = netip.MustParseAddrPort("203.0.113.1:1194")
)

// otherTunnel starts that far end, with a service there, and returns the file of a
// client of it.
func (s *scene) otherTunnel(at netip.AddrPort, port string) (file string) {
	s.Helper()
	var texts []string
	for range 2 {
		private, err := key.NewPrivate(nil)
		if err != nil {
			s.Fatal(err)
		}
		public, err := private.Public()
		if err != nil {
			s.Fatal(err)
		}
		texts = append(texts, private.Reveal(), public.String())
	}
	shared, err := key.NewPreshared(nil)
	if err != nil {
		s.Fatal(err)
	}
	s.job(s.lab.Internet, "far", texts[0], texts[3], shared.Reveal(), "0s")
	s.job(s.lab.Internet, "serve", port)
	file = "/etc/vpnguard/own1.conf"
	conf := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\nAllowedIPs = 0.0.0.0/0\n", texts[2], texts[1], shared.Reveal(), at)
	path := s.lab.Client.Path(file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(conf), 0o600)); err != nil {
		s.Fatal(err)
	}
	return file
}

// probesJob runs all probes of a host that has a tunnel or none, one after the
// other, and tells what each left to look for.
func probesJob(args []string) error {
	var all []probe.Receipt
	for _, p := range probe.All() {
		if p.NeedsTunnel || p.Privileged && os.Getuid() != 0 {
			continue
		}
		r, err := probe.Run(probe.Order{Name: p.Name, Nonce: probe.NewNonce(), Dev: args[0], Carrier: far.Endpoint()})
		if err != nil {
			r.Probe += ": " + err.Error()
		}
		all = append(all, r)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// probes runs them in nodes and returns how many frames of each were seen.
func (s *scene) probes(dev string, nodes ...*lab.Node) (seen map[string]int, frames []wire.Frame) {
	s.Helper()
	var all []probe.Receipt
	start := s.mark()
	for _, node := range nodes {
		var some []probe.Receipt
		if err := json.Unmarshal([]byte(s.job(node, "probes", dev)), &some); err != nil {
			s.Fatal(err)
		}
		if len(some) < 40 {
			s.Errorf("%d probes ran", len(some))
		}
		all = append(all, some...)
	}
	frames = s.late(start)
	seen = map[string]int{}
	for _, r := range all {
		seen[r.Probe] += len(r.Evidence.Find(frames))
	}
	return seen, frames
}

// tightInside demands that nothing of a namespace's programs is on the wire,
// whatever they try, as the user and as root. A policy has to explain all else:
// nil where a tunnel's socket closed, for the host's kernel, which nothing seals
// here, tells the server.
func (s *scene) tightInside(namespace, dev, when string, policy *wire.Policy) {
	s.Helper()
	var nodes []*lab.Node
	for _, uid := range s.uids() {
		nodes = append(nodes, s.inside(namespace, uid))
	}
	seen, frames := s.probes(dev, nodes...)
	for name, n := range seen {
		if n > 0 {
			s.Errorf("%s: %d frames of %s on the wire", when, n, name)
		}
	}
	if policy == nil {
		return
	}
	if v := policy.Judge(frames); len(v.Leaks) > 0 {
		s.Errorf("%s: unexplained on the wire: %v", when, v)
	}
}

// resolverSockets are where daemons of a host look names up for whoever asks.
var resolverSockets = []string{"/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket", "/run/dbus/system_bus_socket", "@resolver"}

// resolversJob is a daemon that asks the LAN's resolver for each name that it
// is told on its sockets.
func resolversJob(sockets []string) error {
	for _, path := range sockets {
		if !strings.HasPrefix(path, "@") {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(path, "@") {
			if err := os.Chmod(path, 0o666); err != nil {
				return err
			}
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				buf := make([]byte, 256)
				n, _ := conn.Read(buf)
				if out, err := net.Dial("udp", netip.AddrPortFrom(site.Gateway, 53).String()); err == nil {
					_, _ = out.Write(buf[:n])
					_ = out.Close()
				}
				_, _ = conn.Write([]byte("asked\n"))
				_ = conn.Close()
			}
		}()
	}
	fmt.Print(ready)
	time.Sleep(time.Hour) // its end is the scene's
	return nil
}

// lookUpJob tells a nonce to each socket that it is given, and says how many took
// it.
func lookUpJob(args []string) error {
	took := 0
	for _, path := range args[1:] {
		conn, err := net.Dial("unix", path)
		if err != nil {
			continue
		}
		if _, err := conn.Write([]byte(args[0])); err == nil {
			if n, _ := conn.Read(make([]byte, 16)); n > 0 {
				took++
			}
		}
		_ = conn.Close()
	}
	fmt.Println(took)
	return nil
}

// namespaceView is what `netns list --json` tells of one.
type namespaceView struct {
	Name, State, Kind, Device string
	Addresses                 []netip.Prefix
	DNS                       []netip.Addr
	PID                       int
	Programs                  []int
}

func (s *scene) namespaces() map[string]namespaceView {
	s.Helper()
	out, _ := s.must(0, "netns", "list", "--json")
	var v struct{ Namespaces []namespaceView }
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		s.Fatal(err)
	}
	all := map[string]namespaceView{}
	for _, n := range v.Namespaces {
		all[n.Name] = n
	}
	return all
}

// streamInside is a program in a namespace that sends so many datagrams a second.
func (s *scene) streamInside(namespace string, rate int) *lab.Stream {
	s.Helper()
	stream, err := s.lab.Stream(s.ctx, s.inside(namespace, s.user), 0, probe.Stream{To: netip.AddrPortFrom(site.Public, 9), Rate: rate})
	if err != nil {
		s.Fatal(err)
	}
	return stream
}
