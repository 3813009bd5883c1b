package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/rules"
)

// told is a line of `blocked --follow --json`.
type told struct {
	Version  int        `json:"version"`
	Time     time.Time  `json:"time"`
	Rule     string     `json:"rule"`
	Reason   string     `json:"reason"`
	Hook     string     `json:"hook"`
	In       string     `json:"in"`
	Out      string     `json:"out"`
	Protocol string     `json:"protocol"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	DstPort  uint16     `json:"dst_port"`
	UID      *uint32    `json:"uid"`
	PID      int        `json:"pid"`
	Program  string     `json:"program"`
	Lost     uint64     `json:"lost"`
}

// listener is a running `vpnguard blocked --follow`.
type listener struct {
	*scene
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  chan string
}

// follow starts it in the client and returns when the kernel tells it.
func (s *scene) follow(args ...string) *listener {
	s.Helper()
	l := &listener{scene: s, lines: make(chan string, 1<<20)}
	l.cmd = s.lab.Client.Command(s.ctx, s.exe, append([]string{"blocked", "--follow"}, args...)...)
	l.cmd.Stderr = &l.stderr
	out, err := l.cmd.StdoutPipe()
	must(s, err)
	must(s, l.cmd.Start())
	go func() {
		defer close(l.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			l.lines <- lines.Text()
		}
	}()
	for !l.bound() {
		if s.ctx.Err() != nil {
			s.Fatalf("vpnguard blocked does not listen: %s", l.stderr.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return l
}

func (l *listener) bound() bool {
	l.Helper()
	out, err := l.lab.Client.Run(l.ctx, "cat", "/proc/net/netfilter/nfnetlink_log")
	must(l, err)
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == strconv.Itoa(int(rules.LogGroup)) {
			return true
		}
	}
	return false
}

// stop interrupts it, and demands that this is a success.
func (l *listener) stop() {
	l.Helper()
	must(l, l.cmd.Process.Signal(syscall.SIGINT))
	for range l.lines {
	}
	if err := l.cmd.Wait(); err != nil {
		l.Errorf("vpnguard blocked --follow, interrupted: %v: %s", err, l.stderr.String())
	}
}

// hears returns the first event that fits, or what came instead.
func (l *listener) hears(fits func(told) bool) (found told, others []told) {
	l.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case line, ok := <-l.lines:
			var e told
			if err := json.Unmarshal([]byte(line), &e); !ok || err != nil {
				l.Fatalf("line %q: %v: %s", line, err, l.stderr.String())
			}
			if fits(e) {
				return e, others
			}
			others = append(others, e)
		case <-timeout:
			return told{}, others
		}
	}
}

func TestBlockedTellsWhoTriedWhat(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	must(t, s.lab.EnableGuest(s.ctx))
	s.must(0, "lock", "--endpoint", "203.0.113.10:1194/udp", "--owner", "0")
	l := s.follow("--json")
	self := lab.WorkDir + "/.self"
	gone := map[string]int{}
	var all []told
	try := func(node *lab.Node, uid int, name string, want told, socket bool) {
		t.Helper()
		if _, err := s.lab.Try(s.ctx, node, uid, probe.Order{Name: name}); err != nil {
			t.Fatal(err)
		}
		e, others := l.hears(func(e told) bool {
			all = append(all, e)
			return e.Rule == want.Rule && e.Hook == want.Hook && e.Protocol == want.Protocol && e.Dst == want.Dst && e.DstPort == want.DstPort
		})
		switch {
		case e.Version != 1 || e.Reason == "" || e.Out != "eth0" || e.In != want.In || time.Since(e.Time).Abs() > time.Minute || e.Lost != 0:
			t.Errorf("%s as uid %d: told %+v, besides %+v", name, uid, e, others)
		case socket && (e.UID == nil || *e.UID != uint32(uid)):
			t.Errorf("%s as uid %d: uid %v", name, uid, e.UID)
		case !socket && (e.UID != nil || e.PID != 0 || e.Program != "" || e.Src != want.Src):
			t.Errorf("%s, forwarded: told %+v", name, e)
		}
		if e.Program != "" && e.Program != self {
			t.Errorf("%s as uid %d: program %q, and it is %q", name, uid, e.Program, self)
		}
		if socket && e.Program == "" {
			gone[want.Protocol+" "+want.Hook]++
		}
	}
	output := func(rule, protocol string, dst netip.Addr, port uint16) told {
		return told{Rule: rule, Hook: "output", Protocol: protocol, Dst: dst, DstPort: port}
	}
	for _, uid := range s.uids() {
		for name, want := range map[string]told{
			"udp-public": output("out-end", "udp", site.Public, 7), "udp-public-v6": output("out-end", "udp", site.Public6, 7),
			"tcp-public": output("out-end-tcp", "tcp", site.Public, 7), "tcp-public-v6": output("out-end-tcp", "tcp", site.Public6, 7),
			"icmp-public": output("out-end", "icmp", site.Public, 0), "icmp-public-v6": output("out-end", "icmpv6", site.Public6, 0),
			"dns-udp-lan": output("out-dns-udp", "udp", site.Gateway, 53), "dns-tcp-lan": output("out-dns-tcp", "tcp", site.Gateway, 53),
			"udp-server": output("out-end", "udp", site.Server, 56789), "bind-device-udp": output("out-end", "udp", site.Public, 7),
		} {
			try(s.lab.Client, uid, name, want, true)
		}
	}
	for name, dst := range map[string]netip.Addr{"packet-ipv4": site.Public, "packet-ipv6": site.Public6} {
		try(s.lab.Client, 0, name, told{Rule: "fence-end", Hook: "egress", Protocol: "udp", Dst: dst, DstPort: 7}, true)
	}
	try(s.lab.Client, 0, "packet-odd-type", told{Rule: "fence-end", Hook: "egress", Protocol: "ether 0x88b5"}, true)
	try(s.lab.Client, 0, "packet-arp", told{Rule: "fence-end", Hook: "egress", Protocol: "arp", Dst: site.Public}, true)
	try(s.lab.Guest, s.user, "udp-public", told{Rule: "fwd-end", Hook: "forward", Protocol: "udp", In: "guest0", Src: site.Guest, Dst: site.Public, DstPort: 7}, false)
	t.Logf("programs that were gone before they could be named: %v", gone)

	t.Run("a program that stays a moment is named", func(t *testing.T) {
		st, err := s.lab.Stream(s.ctx, s.lab.Client, s.user, probe.Stream{To: netip.AddrPortFrom(site.Gateway, 9), Rate: 50, For: 500 * time.Millisecond})
		must(t, err)
		e, others := l.hears(func(e told) bool { return e.Dst == site.Gateway && e.DstPort == 9 && e.Program != "" })
		if e.PID == 0 || e.Program != self || e.UID == nil || int(*e.UID) != s.user || e.Rule != "out-end" || e.Out != "eth0" {
			t.Errorf("told %+v, besides %+v", e, others)
		}
		if _, err := st.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("of one that ends at once some are named, and none wrongly", func(t *testing.T) {
		const names = 100
		cmd := s.lab.Client.CommandAs(s.ctx, s.user, "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); busybox nslookup -type=a who.example 192.168.1.1; done", names))
		_ = cmd.Run() // each is refused
		named, asked := 0, 0
		for asked < names {
			e, others := l.hears(func(e told) bool { return e.Rule == "out-dns-udp" })
			if e.Rule == "" {
				t.Fatalf("only %d of %d told, besides %+v", asked, names, others)
			}
			asked++
			if e.Program != "" {
				named++
			}
			if e.Dst != site.Gateway || e.DstPort != 53 || e.UID == nil || int(*e.UID) != s.user || e.Program != "" && filepath.Base(e.Program) != "busybox" { // one that ends has a name longer than a path
				t.Errorf("told %+v", e)
			}
		}
		t.Logf("%d of %d programs were named that end when they are refused", named, asked) // chance, on a busy machine
	})
	t.Run("what comes in is told, and has no program", func(t *testing.T) {
		st, err := s.lab.Stream(s.ctx, s.lab.Gateway, 0, probe.Stream{To: netip.AddrPortFrom(site.Client, 9), Rate: 20, For: 200 * time.Millisecond})
		must(t, err)
		if _, err := st.Wait(); err != nil {
			t.Fatal(err)
		}
		e, others := l.hears(func(e told) bool { return e.Dst == site.Client && e.DstPort == 9 })
		if e.Rule != "in-end" || e.Hook != "input" || e.In != "eth0" || e.Out != "" || e.Src != site.Gateway || e.UID != nil || e.Program != "" || e.Reason == "" {
			t.Errorf("told %+v, besides %+v", e, others)
		}
	})
	t.Run("what may leave is not told", func(t *testing.T) {
		if s.user == 0 {
			s.uids() // says what is not tested
			return
		}
		try(s.lab.Client, s.user, "udp-carrier-port", output("out-end", "udp", site.Server, 1194), true)
		if a, err := s.lab.Try(s.ctx, s.lab.Client, 0, probe.Order{Name: "udp-carrier-port"}); err != nil || len(a.Seen) == 0 {
			t.Fatalf("the owner's packet did not leave: %v", err)
		}
		try(s.lab.Client, s.user, "udp-server", output("out-end", "udp", site.Server, 56789), true)
		// The owner's would have come before the last one.
		for _, e := range all {
			if e.UID != nil && *e.UID == 0 && e.DstPort == 1194 {
				t.Errorf("told of the owner's carrier: %+v", e)
			}
		}
	})
	l.stop()
	s.counted()
}

// counted demands that the counters of `blocked` name rules and reasons.
func (s *scene) counted() {
	s.Helper()
	out, _ := s.must(0, "blocked")
	for _, want := range []string{"out-dns-udp", "no other resolver, wherever it is", "egress eth0", "fwd-end", "in-end"} {
		if !strings.Contains(out, want) {
			s.Errorf("vpnguard blocked does not say %q:\n%s", want, out)
		}
	}
	out, _ = s.must(0, "blocked", "--json")
	var have struct {
		Version int
		State   string
		Rules   []struct {
			Rule, Reason, Chain, Hook, Device string
			Packets                           uint64
		}
	}
	must(s, json.Unmarshal([]byte(out), &have))
	packets := map[string]uint64{}
	for _, r := range have.Rules {
		packets[r.Rule] += r.Packets
		if r.Reason == "" || r.Chain == "" || r.Hook == "" || (r.Device != "") != (r.Hook == "egress") {
			s.Errorf("rule %+v", r)
		}
	}
	if have.Version != 1 || have.State != "locked" || packets["out-dns-udp"] == 0 || packets["fence-end"] == 0 || packets["fwd-end"] == 0 || packets["out-end"] < 8 {
		s.Errorf("vpnguard blocked --json: %s", out)
	}
}

func TestBlockedInTextNamesRuleAndReason(t *testing.T) {
	s := newScene(t, "")
	_, stderr := s.must(0, "blocked")
	if !strings.Contains(stderr, "open: no rules are in force") {
		t.Errorf("on an open host: %s", stderr)
	}
	// It may be started before there is anything to tell, and outlives replacements.
	l := s.follow()
	for range 2 {
		s.must(0, "lock")
		if _, err := s.lab.Try(s.ctx, s.lab.Client, s.user, probe.Order{Name: "dns-udp-lan"}); err != nil {
			t.Fatal(err)
		}
		want := " output eth0 udp 192.168.1.101:"
		select {
		case line := <-l.lines:
			for _, w := range []string{want, " > 192.168.1.1:53 uid " + strconv.Itoa(s.user), ": out-dns-udp: no other resolver, wherever it is"} {
				if !strings.Contains(line, w) {
					t.Errorf("no %q in %q", w, line)
				}
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("nothing was told: %s", l.stderr.String())
		}
	}
	_, stderr, code := s.vpnguard("blocked", "--follow")
	if code != 1 || !strings.Contains(stderr, fmt.Sprintf("process %d", l.cmd.Process.Pid)) || !strings.Contains(stderr, "listens on nflog group") {
		t.Errorf("a second listener: exit %d: %s", code, stderr)
	}
	must(t, l.cmd.Process.Signal(syscall.SIGTERM))
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if s.user != 0 {
		cmd := s.lab.Client.CommandAs(s.ctx, s.user, s.exe, "blocked", "--follow")
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 4 {
			t.Errorf("as uid %d: exit %d: %s", s.user, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// A kernel without nflog is sealed all the same, and says what it cannot.
func TestKernelWithoutNFLogSealsAndCannotTell(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	without := s.refusing("nft.nflog:ENOENT")
	if _, stderr, code := without(upByHand...); code != 0 {
		t.Fatalf("up: exit %d: %s", code, stderr)
	}
	s.closed("without nflog")
	s.says("without nflog", "sealed", 0)
	if text, _ := s.must(0, "rules"); strings.Contains(text, " log ") {
		t.Errorf("the rules in force log:\n%s", text)
	}
	if _, stderr, code := s.vpnguard("blocked", "--follow"); code != 5 || !strings.Contains(stderr, "telling blocked packets (nflog) (Linux 3.17, CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG)") {
		t.Errorf("blocked --follow: exit %d: %s", code, stderr)
	}
	if out, _ := s.must(0, "blocked"); !strings.Contains(out, "out-end") {
		t.Errorf("blocked does not count: %s", out)
	}
	if out, stderr, code := without("doctor"); code != 0 || !strings.Contains(out, "missing, optional: telling blocked packets (nflog)") {
		t.Errorf("doctor: exit %d: %s%s", code, out, stderr)
	}
	s.must(0, "down")
	s.original("after down")
	s.must(0, upByHand...)
	if text, _ := s.must(0, "rules"); !strings.Contains(text, " log ") {
		t.Errorf("with nflog again the rules do not log:\n%s", text)
	}
	s.must(0, "down")
}

// flood is how many packets are blocked while somebody listens.
const floodPackets = 120_000

func TestAFloodOfBlockedPacketsCostsTheListenerNoMemory(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	s.must(0, "lock")
	l := s.follow("--json")
	stream := func(packets uint64) (heard, lost uint64) {
		t.Helper()
		st, err := s.lab.Stream(s.ctx, s.lab.Client, s.user, probe.Stream{To: netip.AddrPortFrom(site.Public, probe.EchoPort)})
		must(t, err)
		var count probe.Count
		for total := uint64(0); total < packets; {
			time.Sleep(200 * time.Millisecond)
			total = s.blockedBy("out-end")
		}
		count, err = st.Stop()
		must(t, err)
		if count.Sent > 0 {
			t.Errorf("%d datagrams were not refused", count.Sent)
		}
		for quiet := time.After(time.Second); ; {
			select {
			case line := <-l.lines:
				var e told
				must(t, json.Unmarshal([]byte(line), &e))
				heard, lost = heard+1, lost+e.Lost
				continue
			case <-quiet:
			}
			return heard, lost
		}
	}
	first, firstLost := stream(1000)
	before := residentKiB(t, l.cmd.Process.Pid)
	heard, lost := stream(floodPackets)
	after := residentKiB(t, l.cmd.Process.Pid)
	// What was lost at the end the next one tells.
	if _, err := s.lab.Try(s.ctx, s.lab.Client, s.user, probe.Order{Name: "dns-udp-lan"}); err != nil {
		t.Fatal(err)
	}
	last, _ := l.hears(func(e told) bool { return e.Rule == "out-dns-udp" })
	heard, lost = first+heard+1, firstLost+lost+last.Lost
	if blocked := s.blockedBy("out-end"); heard+lost < blocked {
		t.Errorf("%d blocked, but only %d told and %d lost", blocked, heard, lost)
	}
	t.Logf("%d packets blocked: %d told, %d lost; resident %d KiB before, %d KiB at most", s.blockedBy("out-end"), heard, lost, before, after)
	const growth = 8 << 10 // the collector's freedom
	if heard == 0 || after > before+growth {
		t.Errorf("%d told, %d KiB grew to %d KiB", heard, before, after)
	}
	l.stop()
}

// residentKiB is the most that the process ever had in memory.
func residentKiB(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			n, err := strconv.Atoi(f[1])
			must(t, err)
			return n
		}
	}
	t.Fatalf("no VmHWM of process %d", pid)
	return 0
}

func (s *scene) blockedBy(rule string) (packets uint64) {
	s.Helper()
	out, _ := s.must(0, "blocked", "--json")
	var have struct {
		Rules []struct {
			Rule    string
			Packets uint64
		}
	}
	must(s, json.Unmarshal([]byte(out), &have))
	for _, r := range have.Rules {
		if r.Rule == rule {
			packets += r.Packets
		}
	}
	return packets
}
