package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func init() {
	jobs["prompt"] = promptJob
	jobs["session"] = sessionJob
}

// promptJob is an ssh-like service: what a line says it does, it does at once.
// "say" answers; "later" answers after a second, first to speak by then.
func promptJob(args []string) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", args[0]))
	if err != nil {
		return err
	}
	fmt.Print(ready)
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "later") {
					time.Sleep(time.Second)
				}
				if _, err := fmt.Fprintln(conn, lines.Text()); err != nil {
					return
				}
			}
		}()
	}
}

// sessionJob is the service's client: it sends each line that it reads, and
// says what came back within a while.
func sessionJob(args []string) error {
	// Its probes come two seconds after the last word, behind the host's first
	// one: a session that nobody tracked goes on when the peer says anything.
	alive := net.KeepAliveConfig{Enable: args[1] == "22", Idle: 2 * time.Second, Interval: time.Second, Count: 9}
	conn, err := (&net.Dialer{Timeout: 2 * time.Second, KeepAliveConfig: alive}).Dial("tcp", net.JoinHostPort(args[0], args[1]))
	if err != nil {
		fmt.Printf("failed: %v\n", err)
		return nil
	}
	defer conn.Close()
	fmt.Println("connected")
	in, back := bufio.NewScanner(os.Stdin), bufio.NewReader(conn)
	for in.Scan() {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, err := fmt.Fprintln(conn, in.Text())
		line := ""
		if err == nil {
			line, err = back.ReadString('\n')
		}
		if err != nil {
			fmt.Printf("failed: %v\n", err)
			return nil
		}
		fmt.Print(line)
	}
	return in.Err()
}

// shell is a session of somebody on the LAN with the client's host.
type shell struct {
	s   *scene
	in  io.WriteCloser
	out *bufio.Reader
}

// login opens a session from the LAN and says how that went.
func (s *scene) login(addr netip.Addr, port string) (*shell, string) {
	s.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	cmd := s.lab.Gateway.Command(s.ctx, exe)
	cmd.Env = append(os.Environ(), envJob+"=session "+addr.String()+" "+port)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { endSession(in, cmd) })
	sh := &shell{s, in, bufio.NewReader(out)}
	return sh, sh.hear()
}

func endSession(in io.Closer, cmd *exec.Cmd) {
	_ = in.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func (sh *shell) hear() string {
	sh.s.Helper()
	line, err := sh.out.ReadString('\n')
	if err != nil {
		return "ended"
	}
	return strings.TrimSpace(line)
}

func (sh *shell) send(line string) {
	sh.s.Helper()
	if _, err := fmt.Fprintln(sh.in, line); err != nil {
		sh.s.Fatalf("send to a session: %v", err)
	}
}

// works demands that the session answers, in its own words.
func (sh *shell) works(what string) {
	sh.s.Helper()
	line := "say " + probe.NewNonce()
	sh.send(line)
	if got := sh.hear(); got != line {
		sh.s.Errorf("%s: it answers %q", what, got)
	}
}

// The flows that an allowed service explains, with a session's answers.
func serviceFlow(port uint16) func(wire.Frame) bool {
	return func(f wire.Frame) bool {
		var e wire.Evidence
		for _, to := range []netip.Addr{site.Gateway, site.Gateway6} {
			e.Flows = append(e.Flows, wire.Flow{To: to, Proto: wire.TCP, SrcPort: port})
		}
		return len(e.Find([]wire.Frame{f})) == 1
	}
}

// A session from the LAN outlives the lock, and another can be opened; nothing
// else answers. Its host may speak first; on a session that the kernel did not
// track before it is heard as soon as the peer says something.
func TestAnAllowedServiceStaysReachableBehindTheLock(t *testing.T) {
	for _, tracked := range []bool{false, true} {
		for _, guarded := range []bool{false, true} {
			t.Run(fmt.Sprintf("connections tracked before %t, guardian %t", tracked, guarded), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, "")
				if tracked { // as on a host with a firewall or NAT of its own
					s.nft("add table inet own; add chain inet own in { type filter hook input priority 0; }; add rule inet own in ct state established accept")
				}
				for _, port := range []string{"22", "8022"} {
					s.job(s.lab.Client, "prompt", port)
				}
				before := s.snapshot()
				s.shown(lockProbes)
				all := []netip.Addr{site.Client, site.Client6}
				var asks, tells []*shell
				for _, addr := range all {
					asks = append(asks, s.loggedIn(addr, "22"))
					s.loggedIn(addr, "8022")
					tells = append(tells, s.loggedIn(addr, "22"))
				}
				if guarded {
					s.watch()
				}
				for _, sh := range tells {
					sh.send("later on") // as the output of a command that runs meanwhile, and of the lock itself
				}
				start := s.mark()
				s.must(0, "lock", "--allow-in", "tcp/22")
				for i, sh := range tells {
					if got := sh.hear(); got != "later on" {
						t.Errorf("the session of %s whose host speaks first: %q", all[i], got)
					}
				}
				for i, addr := range all {
					asks[i].works("the session of " + addr.String() + " that asks")
					s.loggedIn(addr, "22").works("a new session of " + addr.String())
					if _, said := s.login(addr, "8022"); !strings.HasPrefix(said, "failed") {
						t.Errorf("a service of %s that nobody allowed: %q", addr, said)
					}
				}
				for _, asked := range [][]string{{"udp4", site.Gateway.String(), site.Client.String(), "8022"}, {"udp6", site.Gateway6.String(), site.Client6.String(), "8022"}} {
					if said := s.job(s.lab.Gateway, append([]string{"ask"}, asked...)...); !strings.HasPrefix(said, "answered by <nil>") {
						t.Errorf("%v: %s", asked, said)
					}
				}
				policy := s.lab.Policy()
				policy.Also = serviceFlow(22)
				for _, name := range lockProbes {
					s.silent(s.lab.Client, s.user, probe.Order{Name: name}, policy)
				}
				t.Logf("on the wire: %v", s.explained(start, policy))
				s.must(0, "unlock")
				s.restored(before)
			})
		}
	}
}

// loggedIn is a session that works.
func (s *scene) loggedIn(addr netip.Addr, port string) *shell {
	s.Helper()
	sh, said := s.login(addr, port)
	if said != "connected" {
		s.Errorf("a session with port %s of %s: %s", port, addr, said)
	}
	sh.works("a session with port " + port + " of " + addr.String())
	return sh
}

func (s *scene) nft(commands string) {
	s.Helper()
	if out, err := s.lab.Client.Run(s.ctx, "nft", commands); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
}

// lanNames are names asked of the LAN, and its groups, which no user allows by
// allowing the LAN.
var lanNames = append(slices.Clone(nameProbes), "dns-udp-lan-v6", "dns-tcp-lan-v6", "dot-udp-lan-v6", "dot-tcp-lan-v6",
	"mdns-v6", "llmnr-v6", "ssdp-v6", "multicast-if", "multicast-if-v6", "broadcast", "igmp-join", "mld-join")

// The LAN's hosts are reached and reach the host; nobody is asked for names.
func TestTheLANIsReachableBehindTheLockButNotItsNames(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	s.job(s.lab.Client, "prompt", "8022")
	// Only never-public ranges are the LAN: one of IPv6 beside the laboratory's.
	for node, script := range map[*lab.Node]string{
		s.lab.Client: "ip addr add fd00:1::101/64 dev eth0 nodad\n", s.lab.Gateway: "ip addr add fd00:1::1/64 dev lan0 nodad\n",
	} {
		if err := node.Script(s.ctx, script); err != nil {
			t.Fatal(err)
		}
	}
	client6, gateway6 := netip.MustParseAddr("fd00:1::101"), netip.MustParseAddr("fd00:1::1")
	s.job(s.lab.Gateway, "serve", "8023")
	before := s.snapshot()
	s.shown(append(slices.Clone(lockProbes), lanProbes...))
	s.shown(lanNames)
	reach := func(want bool) {
		t.Helper()
		for _, x := range []struct{ from, to netip.Addr }{{site.Client, site.Gateway}, {client6, gateway6}} {
			for network, worked := range map[string]string{"tcp": "connected: <nil>", "udp": "answered by " + net.JoinHostPort(x.to.String(), "8023")} {
				if network == "udp" && !want {
					continue // the kernel refuses it at once; the probes below look at the wire
				}
				said := s.job(s.lab.Client, "ask", network, x.from.String(), x.to.String(), "8023")
				if strings.HasPrefix(said, worked) != want {
					t.Errorf("%s to %s: %s, want it to work: %t", network, x.to, said, want)
				}
			}
		}
		for _, addr := range []netip.Addr{site.Client, client6} {
			if _, said := s.login(addr, "8022"); (said == "connected") != want {
				t.Errorf("from the LAN to %s: %s, want it to work: %t", addr, said, want)
			}
		}
	}
	reach(true)
	s.must(0, "lock")
	reach(false)
	for _, name := range lanProbes {
		s.silent(s.lab.Client, s.user, probe.Order{Name: name}, s.lab.Policy())
	}
	s.must(0, "lock", "--lan")
	reach(true)
	policy := s.lab.Policy()
	policy.Hosts = append(policy.Hosts, client6)
	policy.Neighbours = append(policy.Neighbours, gateway6)
	for _, uid := range s.uids() {
		for _, name := range lanNames {
			s.silent(s.lab.Client, uid, probe.Order{Name: name}, policy)
		}
		for _, name := range lockProbes {
			s.silent(s.lab.Client, uid, probe.Order{Name: name}, policy)
		}
		for _, name := range lanProbes {
			if a, err := s.lab.Control(s.ctx, s.lab.Client, uid, probe.Order{Name: name}); err != nil || len(a.Seen) == 0 {
				t.Errorf("the LAN that the user allows: %s: %v", a.Receipt, err)
			}
		}
	}
	s.must(0, "unlock")
	s.restored(before)
}
