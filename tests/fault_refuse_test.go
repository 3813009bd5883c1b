package tests

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
)

// through runs the program by another one that limits it.
func (s *faultScene) through(env []string, by string, args ...string) (stdout, stderr string, code int) {
	s.Helper()
	words := append(strings.Fields(by), s.exe)
	cmd := s.lab.Client.Command(s.ctx, words[0], append(words[1:], args...)...)
	cmd.Env = append(cmd.Environ(), env...)
	var out, message strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &message
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.Fatalf("%s vpnguard %q: %v", by, args, err)
	}
	return out.String(), message.String(), cmd.ProcessState.ExitCode()
}

// withoutNetAdmin is root without the one capability that matters.
const withoutNetAdmin = "setpriv --bounding-set -net_admin --inh-caps -net_admin"

// refusal is a run that must fail, and what it must say.
type refusal struct {
	name string
	run  func(args ...string) (stdout, stderr string, code int)
	code int
	says []string
}

func (s *faultScene) by(env []string, by string) func(args ...string) (string, string, int) {
	return func(args ...string) (string, string, int) { return s.through(env, by, args...) }
}

func (s *faultScene) refusing(fault string) func(args ...string) (string, string, int) {
	return func(args ...string) (string, string, int) {
		return s.run([]string{"VPNGUARD_FAULT=refuse:" + fault}, args...)
	}
}

func (s *faultScene) without(protocol int, errno syscall.Errno) func(args ...string) (string, string, int) {
	return func(args ...string) (string, string, int) { return s.confined(protocol, errno, args...) }
}

func refusals(s *faultScene) []refusal {
	return []refusal{
		{"no CAP_NET_ADMIN", s.by(nil, withoutNetAdmin), 4, []string{"operation not permitted", "hint: run it as root, or with CAP_NET_ADMIN"}},
		{"commit not permitted", s.refusing("nft.commit:EPERM"), 4, []string{"commit: operation not permitted"}},
		{"commit out of memory", s.refusing("nft.commit:ENOBUFS"), 1, []string{"commit: no buffer space available"}},
		{"no netfilter socket permitted", s.without(unix.NETLINK_NETFILTER, unix.EPERM), 4, []string{"open netfilter socket", "operation not permitted"}},
		{"no netfilter socket known", s.without(unix.NETLINK_NETFILTER, unix.EPROTONOSUPPORT), 5, []string{"netfilter netlink sockets (Linux 2.6.14, CONFIG_NETFILTER_NETLINK)"}},
		{"no route socket permitted", s.without(unix.NETLINK_ROUTE, unix.EPERM), 4, []string{"open route socket", "operation not permitted"}},
		{"no egress hook", s.refusing("nft.egress:EOPNOTSUPP"), 5, []string{"egress hook (Linux 5.16, CONFIG_NETFILTER_EGRESS)", "operation not supported"}},
		{"no fib", s.refusing("nft.fib:ENOENT"), 5, []string{"reverse path lookup (fib) (Linux 4.10, CONFIG_NFT_FIB_INET)"}},
		{"no reject", s.refusing("nft.reject:ENOENT"), 5, []string{"reject (Linux 3.18, CONFIG_NFT_REJECT_INET)"}},
		{"no ct", s.refusing("nft.ct:EOPNOTSUPP"), 5, []string{"connection tracking (ct) (Linux 3.13, CONFIG_NFT_CT)"}},
		{"no skuid", s.refusing("nft.skuid:EOPNOTSUPP"), 5, []string{"socket owner (skuid) (Linux 3.13, CONFIG_NF_TABLES)"}},
		{"no inet tables", s.refusing("nft.inet:EAFNOSUPPORT"), 5, []string{"nf_tables inet tables (Linux 3.14, CONFIG_NF_TABLES_INET)"}},
	}
}

func (r refusal) check(t *testing.T, what, stderr string, code int) {
	t.Helper()
	if code != r.code {
		t.Errorf("%s: %s exits %d, want %d: %s", r.name, what, code, r.code, stderr)
	}
	for _, want := range r.says {
		if !strings.Contains(stderr, want) {
			t.Errorf("%s: %s does not say %q: %s", r.name, what, want, stderr)
		}
	}
}

func TestUpThatIsRefusedNamesWhatAndLeavesTheHostAlone(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	for _, r := range refusals(s) {
		stdout, stderr, code := r.run(upByHand...)
		r.check(t, "up", stderr, code)
		if !strings.Contains(stderr, "the host is as it was before: open") && !strings.Contains(stderr, "nothing was changed") {
			t.Errorf("%s: up does not say what state the host is in: %s", r.name, stderr)
		}
		if stdout != "" {
			t.Errorf("%s: up says on stdout: %s", r.name, stdout)
		}
		s.original(r.name + ":")
		s.says(r.name, "open", 0)
	}
}

func TestChangeThatIsRefusedLeavesTheSealAsItWas(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	s.must(0, upByHand...)
	sealed := s.snapshot()
	more := append(slices.Clone(upByHand), "--endpoint", "203.0.113.11:1194/udp")
	for _, r := range refusals(s) {
		_, stderr, code := r.run(more...)
		r.check(t, "a second up", stderr, code)
		if !strings.Contains(stderr, "the host is closed as it was before") && !strings.Contains(stderr, "nothing was changed") {
			t.Errorf("%s: a second up does not say what state the host is in: %s", r.name, stderr)
		}
		if diff := sealed.Diff(s.snapshot()); diff != "" {
			t.Errorf("%s: a second up changed the sealed host:\n%s", r.name, diff)
		}
		s.says(r.name, "sealed", 0)
	}
	s.closed("after all refusals")
	s.must(0, "down")
	s.original("after down")
}

func TestDownThatIsRefusedStaysClosed(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	for _, r := range refusals(s) {
		if strings.Contains(r.name, "no ") && r.code == 5 && !strings.Contains(r.name, "socket") {
			continue // removing rules needs no feature
		}
		s.must(0, upByHand...)
		_, stderr, code := r.run("down")
		r.check(t, "down", stderr, code)
		if !strings.Contains(stderr, "the host is closed") && !strings.Contains(stderr, "nothing was changed") {
			t.Errorf("%s: down does not say what state the host is in: %s", r.name, stderr)
		}
		s.closed(r.name)
		s.must(0, "recover")
		s.original(r.name + " and recovered")
	}
}

// An ordinary user may ask, and is told who may; nothing hangs, nothing changes.
func TestOrdinaryUserIsNotPermitted(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	if s.user == 0 {
		t.Skip("only root exists in this laboratory") // proved by newuidmap's absence: lab.SingleUID
	}
	user := s.by(nil, "setpriv --reuid 1000 --regid 1000 --clear-groups")
	for _, sealed := range []bool{false, true} {
		if sealed {
			s.must(0, upByHand...)
		}
		before := s.snapshot()
		record, _ := os.ReadFile(s.lab.Client.Path("/run/vpnguard/state.json"))
		for _, args := range [][]string{upByHand, {"down"}, {"status"}, {"status", "--json"}, {"rules"}, {"recover"}, {"doctor"}} {
			stdout, stderr, code := user(args...)
			if code != 4 || !strings.Contains(stderr, "CAP_NET_ADMIN") {
				t.Errorf("sealed %v: %q exits %d, want 4 with a hint: %s%s", sealed, args, code, stdout, stderr)
			}
			if args[0] == "doctor" {
				if !strings.Contains(stdout, "could not look at what this kernel can enforce: ") {
					t.Errorf("sealed %v: doctor does not say what it could not see: %s", sealed, stdout)
				}
			} else if stdout != "" && args[0] != "rules" {
				t.Errorf("sealed %v: %q claims on stdout: %s", sealed, args, stdout)
			}
		}
		if _, stderr, code := user("version"); code != 0 {
			t.Errorf("version exits %d: %s", code, stderr)
		}
		if diff := before.Diff(s.snapshot()); diff != "" {
			t.Errorf("an ordinary user changed the host:\n%s", diff)
		}
		if now, _ := os.ReadFile(s.lab.Client.Path("/run/vpnguard/state.json")); string(now) != string(record) {
			t.Errorf("an ordinary user changed the record:\n%s\n%s", record, now)
		}
	}
	s.must(0, "down")
	s.original("after down")
}

func TestConfigurationMayGoWithoutTheEgressHook(t *testing.T) {
	s := newFaultScene(t)
	s.leaks()
	lacking := s.refusing("nft.egress:EOPNOTSUPP")
	if _, stderr, code := lacking(upByHand...); code != 5 || !strings.Contains(stderr, `fence = "off"`) {
		t.Errorf("control: without the setting exit %d: %s", code, stderr)
	}
	s.write("/etc/vpnguard/vpnguard.toml", "fence = \"off\"\n")
	if _, stderr, code := lacking(upByHand...); code != 0 {
		t.Fatalf("with fence off exit %d: %s", code, stderr)
	}
	stdout, _, code := lacking("status")
	if code != 0 || !strings.Contains(stdout, "packet sockets, macvlan children and bridged guests are not stopped") {
		t.Errorf("status exits %d and does not say what is not stopped:\n%s", code, stdout)
	}
	s.closedBut("packet-ipv4", "with fence off")
	if _, err := s.lab.Control(s.ctx, s.lab.Client, 0, probe.Order{Name: "packet-ipv4"}); err != nil {
		t.Errorf("status says what is not so: %v", err)
	}
	s.must(0, "down")
	s.original("after down")
}

// The client must not go on without the guard that it was told to start.
func TestOpenVPNGivesUpWhereTheSealIsRefused(t *testing.T) {
	t.Parallel()
	s := newHookFaultScene(t)
	for _, fault := range []string{"nft.egress:EOPNOTSUPP", "nft.ct:ENOENT", "nft.commit:EPERM", "sysctl.write:EIO"} {
		p := s.start(s.client("refuse:" + fault))
		code, err := p.Wait(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if code == 0 || strings.Contains(p.Log(), openvpn.Completed) {
			t.Errorf("%s: openvpn ends with %d:\n%s", fault, code, p.Log())
		}
		if out, err := s.lab.Client.Run(s.ctx, "ip", "link", "show", "tun0"); err == nil {
			t.Errorf("%s: the tunnel is left: %s", fault, out)
		}
		if fault == "sysctl.write:EIO" {
			// The rules were in force already: closed, and said so.
			if !strings.Contains(p.Log(), "the host is closed; `vpnguard recover` opens it") {
				t.Errorf("%s: the state is not said:\n%s", fault, p.Log())
			}
			s.closed(fault)
			s.says(fault, "blocked", 3)
			s.recovered(fault)
		}
		s.original(fault + ":")
		s.worksAfter(fault)
	}
}
