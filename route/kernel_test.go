package route

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const childEnv = "VPNGUARD_ROUTE_TEST_CHILD"

// inNamespace runs the rest of the test in a child with a network of its own,
// and returns false in the parent, which has nothing left to do.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childEnv) != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

// everything is all rules and routes as iproute2 shows them.
func everything(t *testing.T) string {
	t.Helper()
	return ip(t, "rule show") + ip(t, "-6 rule show") + ip(t, "route show table all") + ip(t, "-6 route show table all")
}

// steered is a host with a wire and a tunnel, and its policy.
func steered(t *testing.T) (Kernel, Policy) {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(func() { _ = h.Close() })
	for _, args := range []string{
		"link set lo up", "link add eth0 type veth peer name far", "tuntap add dev tun0 mode tun",
		// Link-local addresses would come by themselves, and late.
		"link set eth0 addrgenmode none", "link set far addrgenmode none", "link set tun0 addrgenmode none", "link set eth0 up", "link set far up", "link set tun0 up",
		"addr add 192.168.1.101/24 dev eth0", "addr add fd12::101/64 dev eth0 nodad", "addr add 10.8.0.2/24 dev tun0", "addr add fd00:8::2/64 dev tun0 nodad",
		"route add default via 192.168.1.1", "-6 route add default via fd12::1", "route add 0.0.0.0/1 via 10.8.0.1", "route add 128.0.0.0/1 via 10.8.0.1",
	} {
		ip(t, args)
	}
	// The kernel adds the local routes of IPv6 addresses some time after them.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		local := ip(t, "-6 route show table local")
		if strings.Contains(local, "fd12::101 ") && strings.Contains(local, "fd00:8::2 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no local routes:\n%s", local)
		}
	}
	k := Kernel{h}
	p := home()
	p.Tunnels[0].Index, p.Tunnels[0].Addresses = index(t, "tun0"), addrs("10.8.0.2", "fd00:8::2")
	p.Carriers[0].Avoid = []int{index(t, "tun0")}
	p.Carriers[0].Endpoints = append(p.Carriers[0].Endpoints, udp("[2001:db8:5::10]:1194"))
	p.Main, err = k.Main()
	must(t, err)
	return k, p
}

func index(t *testing.T, name string) int {
	t.Helper()
	i, err := net.InterfaceByName(name)
	must(t, err)
	return i.Index
}

func (k Kernel) mustHave(t *testing.T, want Plan) {
	t.Helper()
	have, err := k.Have()
	must(t, err)
	if drift := Drift(want, have, never); len(drift) > 0 {
		t.Errorf("the kernel has not what was planned: %q\n%s", drift, everything(t))
	}
}

func TestKernelHasExactlyThePlanAndGivesEverythingBack(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k, p := steered(t)
	before := everything(t)
	for name, change := range map[string]func(*Policy){
		"uid": func(*Policy) {},
		"mark": func(p *Policy) {
			p.Carriers[0].UIDs, p.Carriers[0].Mark, p.Carriers[0].Mask = nil, 0x10, 0xff
		},
		"owners that name more and less": func(p *Policy) {
			marked := p.Carriers[0]
			marked.Mark, marked.Mask = 0x10, 0xff
			p.Carriers = append(p.Carriers, marked)
		},
		"services": func(p *Policy) { p.Services = append(p.Services, Service{2, 5000, 5010}) },
		"device with neighbours": func(p *Policy) {
			p.Tunnels[0].Ethernet, p.Tunnels[0].Gateways = true, addrs("10.8.0.1", "fd00:8::1")
		},
		"down":  func(p *Policy) { p.Tunnels[0].Up = false },
		"split": func(p *Policy) { p.Tunnels[0].Full = false },
		"other": func(p *Policy) { p.Carriers[0].Endpoints[0] = udp("203.0.113.11:443") },
	} {
		q := p
		q.Carriers, q.Tunnels = []Carrier{p.Carriers[0]}, []Tunnel{p.Tunnels[0]}
		q.Carriers[0].Endpoints = append(q.Carriers[0].Endpoints[:0:0], p.Carriers[0].Endpoints...)
		change(&q)
		plan := Make(q)
		for range 2 { // the second time there is nothing to do
			if err := k.Apply(plan); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			k.mustHave(t, plan)
		}
		if has(plan, "-6 rule") != strings.Contains(ip(t, "-6 rule show"), "1910") {
			t.Errorf("%s: the plan and the kernel differ about IPv6", name)
		}
	}
	must(t, k.Remove())
	must(t, k.Remove())
	if diff := cmp.Diff(before, everything(t)); diff != "" {
		t.Errorf("not as it was (-before +after):\n%s", diff)
	}
}

// way is by which device, and from which address, the kernel would send.
func way(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", append([]string{"route", "get"}, strings.Fields(args)...)...).CombinedOutput()
	if err != nil {
		return strings.TrimSpace(string(out))
	}
	return string(out)
}

func TestKernelSteers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k, p := steered(t)
	must(t, k.Apply(Make(p)))
	ip(t, "route add 8.8.8.8/32 via 192.168.1.1") // a rogue DHCP server's
	ip(t, "route add 203.0.113.10/32 via 192.168.1.1")
	for args, dev := range map[string]string{
		"203.0.113.10 ipproto udp dport 1194 uid 0":            "eth0", // the carrier
		"203.0.113.10 ipproto udp sport 1194":                  "eth0", // its reverse path, ports not turned
		"203.0.113.10 ipproto udp dport 1195 uid 0":            "tun0",
		"203.0.113.10 ipproto tcp dport 1194 uid 0":            "tun0",
		"203.0.113.11 ipproto udp dport 1194 uid 0":            "tun0",
		"2001:db8:5::10 ipproto udp dport 1194 uid 0":          "eth0",
		"2001:db8:5::10 ipproto udp dport 80":                  "tun0",
		"8.8.8.8":                                              "tun0",
		"8.8.8.8 from 192.168.1.101":                           "eth0", // bound to the wire: the packet filter's
		"8.8.8.8 oif eth0":                                     "eth0",
		"192.168.1.77":                                         "eth0",
		"192.168.1.77 from 10.8.0.2":                           "tun0",
		"198.51.100.7 ipproto udp sport 68 dport 67":           "tun0", // main has the tunnel's route
		"198.51.100.7 from 192.168.1.101 ipproto tcp sport 22": "tun0", // and for this one too
		"fd12::77":         "eth0",
		"fe80::1 oif eth0": "eth0",
		"2001:db8:80::80":  "tun0",
		"10.8.0.1":         "tun0",
		"127.0.0.1":        "lo",
		"192.168.1.101":    "lo",
	} {
		if got := way(t, args); !strings.Contains(got, "dev "+dev+" ") {
			t.Errorf("ip route get %s: %q, want by %s", args, got, dev)
		}
	}
	ip(t, "link del tun0")
	for _, args := range []string{"8.8.4.4", "203.0.113.11", "2001:db8:80::80", "10.8.0.1", "8.8.4.4 from 10.8.0.2"} {
		if got := way(t, args); !strings.Contains(got, "Invalid argument") && !strings.Contains(got, "unreachable") {
			t.Errorf("without the tunnel, ip route get %s: %q, want an error", args, got)
		}
	}
	if got := way(t, "203.0.113.10 ipproto udp dport 1194 uid 0"); !strings.Contains(got, "dev eth0 ") {
		t.Errorf("without the tunnel the carrier goes by %q", got)
	}
	have, err := k.Have()
	must(t, err)
	gone := func(i int) bool { return i == p.Tunnels[0].Index }
	if drift := Drift(Make(p), have, gone); len(drift) > 0 {
		t.Errorf("what went with its device is drift: %q", drift)
	}
	if drift := Drift(Make(p), have, never); len(drift) != 3 {
		t.Errorf("three routes went, and drift is %q", drift)
	}
}

// While the wire is down, a carrier gets an error; the control is the same plan
// without what is behind the main table. Main's route counts as soon as it is back.
func TestKernelLeadsNoCarrierIntoItsOwnTunnel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k, p := steered(t)
	ip(t, "-6 route add 2000::/3 dev tun0") // of the client's
	apply := func(change func([]Rule) []Rule) {
		t.Helper()
		var err error
		p.Main, err = k.Main()
		must(t, err)
		plan := Make(p)
		plan.Rules = change(plan.Rules)
		must(t, k.Apply(plan))
	}
	careful := func(list []Rule) []Rule { return list }
	careless := func(list []Rule) (out []Rule) {
		for _, r := range list {
			if r.Longer = 0; r.Priority != priorityNowhere {
				out = append(out, r)
			}
		}
		return out
	}
	carriers := []string{"203.0.113.10 ipproto udp dport 1194 uid 0", "2001:db8:5::10 ipproto udp dport 1194 uid 0"}
	leads := func(when, want string) {
		t.Helper()
		for _, args := range carriers {
			if got := way(t, args); !strings.Contains(got, want) {
				t.Errorf("%s ip route get %s: %q, want %q", when, args, got, want)
			}
		}
	}
	apply(careful)
	leads("with the wire", "dev eth0 ")
	ip(t, "link set eth0 down")
	leads("without the wire", "unreachable")
	apply(careless)
	leads("the control:", "dev tun0 ")
	apply(careful)
	// The client's own routes to its server come back; ours are not planned anew.
	ip(t, "link set eth0 up")
	ip(t, "addr replace fd12::101/64 dev eth0 nodad")
	leads("before the client's routes are back", "unreachable")
	ip(t, "route add 203.0.113.10/32 via 192.168.1.1")
	ip(t, "-6 route add 2001:db8:5::10/128 via fd12::1")
	leads("with the client's routes", "dev eth0 ")
	if got := way(t, "203.0.113.10 ipproto udp dport 1195 uid 0"); !strings.Contains(got, "dev tun0 ") {
		t.Errorf("another program to the server: %q", got)
	}
}

func TestSomebodyElsesTableOrPriorityIsLeftAlone(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k, p := steered(t)
	plan := Make(p)
	for _, theirs := range []string{"route %s default dev tun0 table 1002", "rule %s to 1.1.1.1 lookup 1000", "rule %s to 1.1.1.1 lookup main priority 1912", "-6 rule %s to 2001:db8::1 lookup 1001"} {
		ip(t, strings.Replace(theirs, "%s", "add", 1))
		before := everything(t)
		if err := k.Apply(plan); !errors.Is(err, ErrInUse) {
			t.Errorf("beside %q: %v, want %v", theirs, err, ErrInUse)
		}
		must(t, k.Remove())
		if diff := cmp.Diff(before, everything(t)); diff != "" {
			t.Errorf("beside %q (-before +after):\n%s", theirs, diff)
		}
		ip(t, strings.Replace(theirs, "%s", "del", 1))
	}
	must(t, k.Apply(plan))
}

func TestWhatOthersTakeAwayIsDriftAndIsPutBack(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k, p := steered(t)
	plan := Make(p)
	must(t, k.Apply(plan))
	for _, meddle := range []string{"rule del priority 1916", "-6 rule flush", "route flush table 1002", "route add 1.2.3.4/32 dev tun0 table 1002 proto 118"} {
		ip(t, meddle)
		have, err := k.Have()
		must(t, err)
		if len(Drift(plan, have, never)) == 0 {
			t.Errorf("after %q nothing differs", meddle)
		}
		must(t, k.Apply(plan))
		k.mustHave(t, plan)
	}
}

// A removal names what the rule has, and takes the first that has it all.
func TestRemovingARuleLeavesTheOnesThatNameMore(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k, p := steered(t)
	marked := p.Carriers[0]
	marked.Mark, marked.Mask = 0x10, 0xff
	both, one := p, p
	plain := marked
	plain.Mark, plain.Mask = 0, 0
	both.Carriers, one.Carriers = []Carrier{marked, plain}, []Carrier{marked}
	for range 3 {
		must(t, k.Apply(Make(both)))
		k.mustHave(t, Make(both))
		must(t, k.Apply(Make(one)))
		k.mustHave(t, Make(one))
	}
	must(t, k.Apply(Make(both)))
	must(t, k.Remove())
	k.mustHave(t, Plan{})
}
