package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
)

// point is a place in a run of the program at which it is killed.
type point struct {
	name string
	nth  int // from 1
}

func (p point) String() string { return fmt.Sprintf("%s#%d", p.name, p.nth) }

// faultScene is a client with a tunnel device made by hand. Its default route
// leads to the wire, so that whatever is not stopped shows there.
type faultScene struct {
	*scene
	before lab.Snapshot
	list   string // the file of points passed
}

// The device has an address but no client behind it: what goes into it is gone.
const tunByHand = `
ip tuntap add dev tun0 mode tun
echo 1 > /proc/sys/net/ipv6/conf/tun0/disable_ipv6
ip addr add 10.8.0.2/24 dev tun0
ip link set tun0 up
`

func newFaultScene(t testing.TB) *faultScene { return newHandScene(t, "faultpoints") }

// newHandScene is the same for another build.
func newHandScene(t testing.TB, tags string) *faultScene {
	t.Helper()
	// A run over all points takes longer than other tests.
	s := &faultScene{scene: newSceneFor(t, tags, 4*sceneTime)}
	if err := s.lab.Client.Script(s.ctx, tunByHand); err != nil {
		t.Fatal(err)
	}
	s.list = filepath.Join(s.lab.Dir, "points")
	s.before = s.snapshot()
	return s
}

// upByHand seals tun0 for root's carrier.
var upByHand = []string{"up", "--dev", "tun0", "--endpoint", "203.0.113.10:1194/udp", "--owner", "root"}

// learn runs the program, which must succeed, and returns the points that it passed.
func (s *faultScene) learn(args ...string) []point {
	s.Helper()
	_ = os.Remove(s.list)
	if _, stderr, code := s.run([]string{"VPNGUARD_FAULT_LIST=" + s.list}, args...); code != 0 {
		s.Fatalf("vpnguard %q: exit %d: %s", args, code, stderr)
	}
	return s.passed()
}

func (s *faultScene) passed() []point {
	s.Helper()
	text, err := os.ReadFile(s.list)
	if err != nil {
		s.Fatal(err)
	}
	var points []point
	count := map[string]int{}
	for name := range strings.FieldsSeq(string(text)) {
		count[name]++
		points = append(points, point{name, count[name]})
	}
	return points
}

// kill runs the program up to the point and demands that it ended right there.
func (s *faultScene) kill(at point, args ...string) {
	s.Helper()
	_ = os.Remove(s.list)
	cmd := s.lab.Client.Command(s.ctx, s.exe, args...)
	cmd.Env = append(cmd.Environ(), "VPNGUARD_FAULT=kill:"+at.String(), "VPNGUARD_FAULT_LIST="+s.list)
	out, err := cmd.CombinedOutput()
	if s.ctx.Err() != nil {
		s.Fatal(s.ctx.Err())
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		s.Fatalf("vpnguard %q with a kill at %s: %v\n%s", args, at, err, out)
	}
	if passed := s.passed(); passed[len(passed)-1] != at {
		s.Fatalf("killed at %s, not at %s", passed[len(passed)-1], at)
	}
}

// ways are how traffic tries to get out: an ordinary program, names, a socket
// bound to the wire, a frame past all inet hooks.
var ways = []struct {
	probe string
	root  bool
}{{"udp-public", false}, {"udp-public-v6", false}, {"dns-udp-lan", false}, {"bind-device-udp", false}, {"packet-ipv4", true}}

// leaks shows that each way is open: the control of every later closed.
func (s *faultScene) leaks() {
	s.Helper()
	for _, w := range ways {
		if _, err := s.lab.Control(s.ctx, s.lab.Client, s.uid(w.root), probe.Order{Name: w.probe}); err != nil {
			s.Errorf("with the guard off: %v", err)
		}
	}
}

// closed demands that no way is open, and that nothing else is on the wire.
func (s *faultScene) closed(when string) {
	s.Helper()
	s.closedBut("", when)
}

// closedBut leaves one way out of it.
func (s *faultScene) closedBut(open, when string) {
	s.Helper()
	var all errgroup.Group
	for _, w := range ways {
		if w.probe == open {
			continue
		}
		all.Go(func() error {
			a, err := s.lab.Try(s.ctx, s.lab.Client, s.uid(w.root), probe.Order{Name: w.probe})
			if err != nil {
				return err
			}
			if v := a.Judge(s.lab.Policy()); len(a.Seen) > 0 || len(v.Leaks) > 0 {
				s.Errorf("%s: %s is on the wire: %v", when, w.probe, v)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		s.Fatalf("%s: %v", when, err)
	}
}

func (s *faultScene) uid(root bool) int {
	if root {
		return 0
	}
	return s.user
}

// original demands that the host and the state directory are as they were
// before the first run.
func (s *faultScene) original(when string) {
	s.Helper()
	if diff := s.before.Diff(s.snapshot()); diff != "" {
		s.Errorf("%s the host is not as it was (-before +after):\n%s", when, diff)
	}
	if _, err := os.Stat(s.lab.Client.Path("/run/vpnguard/state.json")); !os.IsNotExist(err) {
		s.Errorf("%s a record is left: %v", when, err)
	}
}

// untouched demands that rules and knobs are as they were; a record may be left.
func (s *faultScene) untouched(when string) {
	s.Helper()
	if diff := s.before.Diff(s.snapshot()); diff != "" {
		s.Errorf("%s the host is neither as it was nor closed (-before +after):\n%s", when, diff)
	}
}

// says demands a state of `status` and its exit status.
func (s *faultScene) says(when, state string, code int) {
	s.Helper()
	stdout, stderr, got := s.vpnguard("status")
	if got != code || !strings.HasPrefix(stdout, "state     "+state) {
		s.Errorf("%s: status exits %d, want %d with state %q:\n%s%s", when, got, code, state, stdout, stderr)
	}
}

// place is where a point is in a run; every run that is driven must have it.
func (s *faultScene) place(points []point, name string, nth int) int {
	s.Helper()
	i := slices.Index(points, point{name, nth})
	if i < 0 {
		s.Fatalf("the run passes no point %s#%d: %v", name, nth, points)
	}
	return i
}

// write puts a file into the client.
func (s *faultScene) write(path, content string) {
	s.Helper()
	at := s.lab.Client.Path(path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
		s.Fatal(err)
	}
}
