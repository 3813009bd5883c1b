package tests

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// coexistProbes show with the guard off beside each of the firewalls.
var coexistProbes = []string{"udp-public", "tcp-public", "icmp-public", "dns-udp-lan", "udp-server", "bind-device-udp", "raw-ip"}

// Each firewall's reload works while the host is sealed and while it is locked,
// nothing leaves meanwhile, and vpnguard leaves its rules byte for byte.
func TestReloadsOfFirewallsWorkBesideTheSealAndTheLock(t *testing.T) {
	t.Parallel()
	for _, f := range firewalls {
		t.Run(f.name, func(t *testing.T) {
			srv := openvpn.Server{}
			s := newScene(t, "")
			s.serve(srv)
			f.start(s)
			rules := s.foreignRules(f.tables)
			for _, x := range s.tries(srv, coexistProbes) {
				s.shows(s.lab.Client, x.uid, x.order, s.lab.Policy())
			}
			before := s.snapshot()

			client := s.connect(clientOf(srv))
			s.foreignRulesAre(rules, "up")
			policy := s.policy(srv)
			rules = s.reloads(f, srv, policy)
			s.alive("after the reload")
			if _, err := client.Stop(s.ctx); err != nil {
				t.Fatal(err)
			}
			s.state("open")
			s.foreignRulesAre(rules, "down")
			s.restored(before)

			s.must(0, "lock")
			s.foreignRulesAre(rules, "lock")
			rules = s.reloads(f, srv, s.lab.Policy())
			s.must(0, "unlock")
			s.foreignRulesAre(rules, "unlock")
			s.restored(before)
		})
	}
}

// What these tests would see if a reload took our rules: one that flushes
// everything does, until somebody heals.
func TestAReloadThatFlushesEverythingIsSeenOnTheWireAndByStatus(t *testing.T) {
	srv := openvpn.Server{}
	s := newScene(t, "")
	s.serve(srv)
	s.connect(clientOf(srv))
	s.silent(s.lab.Client, s.user, probe.Order{Name: "bind-device-udp"}, s.policy(srv))
	s.script("nft -f - <<END\nflush ruleset\n" + ownTables + "END\n")
	s.must(3, "status")
	s.shows(s.lab.Client, s.user, probe.Order{Name: "bind-device-udp"}, s.policy(srv))
	s.must(0, "recover")
	s.must(0, "status")
	s.silent(s.lab.Client, s.user, probe.Order{Name: "bind-device-udp"}, s.policy(srv))
}

// reloads reloads the firewall while probes try to leave, and returns its rules,
// which must say what they said before.
func (s *scene) reloads(f firewall, srv openvpn.Server, policy wire.Policy) map[string]string {
	s.Helper()
	said := s.foreignMeaning()
	tries := slices.DeleteFunc(s.tries(srv, coexistProbes), func(x try) bool { return x.own(srv) })
	start, done := s.mark(), make(chan error, 1)
	go func() { done <- f.reload(s) }()
	err, rounds := error(nil), 0
	for running := true; running; rounds++ {
		select {
		case err = <-done:
			running = false // and one more round
		default:
		}
		for _, x := range tries {
			s.silent(s.lab.Client, x.uid, x.order, policy)
		}
	}
	if err != nil {
		s.Errorf("reload: %v", err)
	}
	if rounds < 2 {
		s.Error("no probe ran during the reload")
	}
	s.explained(start, policy)
	s.must(0, "status") // a reload of others is no drift of ours
	if now := s.foreignMeaning(); now != said {
		s.Errorf("after the reload its rules are\n%s\nwere\n%s", now, said)
	}
	return s.foreignRules(f.tables)
}

// foreignRules are all tables but ours with their handles, which tell whether
// a rule was replaced by its like. Those that are named must be among them.
func (s *scene) foreignRules(named []string) map[string]string {
	s.Helper()
	all := map[string]string{}
	for _, table := range s.foreignTables() {
		out, err := s.lab.Client.Run(s.ctx, "nft", append([]string{"-s", "-a", "list", "table"}, strings.Fields(table)...)...)
		if err != nil {
			s.Fatal(err)
		}
		all[table] = out
	}
	for _, table := range named {
		if len(strings.Split(all[table], "\n")) < 5 {
			s.Fatalf("table %s holds nothing:\n%s", table, all[table])
		}
	}
	return all
}

func (s *scene) foreignTables() []string {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "nft", "list", "tables")
	if err != nil {
		s.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(out) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "table ")
		if ok && !strings.HasSuffix(name, " vpnguard") {
			names = append(names, name)
		}
	}
	return names
}

func (s *scene) foreignRulesAre(want map[string]string, after string) {
	s.Helper()
	now := s.foreignRules(nil)
	for table, text := range want {
		if now[table] != text {
			s.Errorf("after %s table %s is\n%s\nwas\n%s", after, table, now[table], text)
		}
	}
	if len(now) != len(want) {
		s.Errorf("after %s there are %d foreign tables, there were %d", after, len(now), len(want))
	}
}

// foreignMeaning is what the foreign tables say, in an order of its own: a
// reload may write them in another.
func (s *scene) foreignMeaning() string {
	s.Helper()
	var lines []string
	for _, table := range s.foreignTables() {
		out, err := s.lab.Client.Run(s.ctx, "nft", append([]string{"-s", "list", "table"}, strings.Fields(table)...)...)
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.Lines(out) {
			lines = append(lines, table+": "+strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// A container at docker0, with the rules that Docker makes for it, has the
// tunnel if docker0 is named, nothing if it is not, and the wire never.
func TestContainersAtDocker0GetTheTunnelAndNeverTheWire(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{Ping: time.Minute, Restart: 5 * time.Minute} // carriers are counted
	names := []string{"udp-public", "tcp-public", "icmp-public", "udp-server", "dns-udp-lan", "tcp-lan", "raw-ip"}
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		s.docker0()
		s.guestTries(names, func(uid int, p probe.Probe) {
			s.shows(s.lab.Guest, uid, probe.Order{Name: p.Name}, s.lab.Policy())
		})
	})
	for _, named := range []bool{false, true} {
		name, toml := "not named", ""
		if named {
			name, toml = "named", "guests = [\"docker0\"]\n"
		}
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			s.serve(srv)
			s.newLinksAreSilent()
			s.docker0()
			s.configure(toml)
			if advised := s.finds(s.doctor(), "guest-bridge", "docker0"); advised == named {
				t.Errorf("docker0 named: %v; doctor advises to name it: %v", named, advised)
			}
			before, rules := s.snapshot(), s.foreignRules([]string{"ip filter", "ip nat"})
			client := s.connect(clientOf(srv))
			policy := s.policy(srv)
			s.alive("before the container's probes")
			s.quiet(policy)
			start := s.mark()
			tries := func() {
				s.Helper()
				s.guestTries(names, func(uid int, p probe.Probe) {
					a := s.silent(s.lab.Guest, uid, probe.Order{Name: p.Name}, policy)
					if n := a.Judge(policy).Counts[wire.CarrierClass]; !named && n > 0 {
						t.Errorf("%s of a container that nobody named: %d packets in the tunnel", p.Name, n)
					}
				})
			}
			tries()
			if named {
				s.guestUsesTheTunnel()
			}
			if err := s.dockerRestarts(); err != nil {
				t.Error(err)
			}
			tries()
			if named {
				s.guestUsesTheTunnel()
			}
			s.explained(start, policy)
			s.must(0, "status")
			if _, err := client.Stop(s.ctx); err != nil {
				t.Fatal(err)
			}
			if now := s.foreignMeaning(); !strings.Contains(now, "DOCKER-USER") || len(s.foreignTables()) != len(rules) {
				t.Errorf("Docker's rules are\n%s", now)
			}
			s.restored(before)
		})
	}
}

// docker0 hangs the guest on a bridge as Docker does, with IPv6.
func (s *scene) docker0() {
	s.Helper()
	if err := s.lab.EnableGuest(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.docker()
	s.script(`nft delete table inet guest
ip -batch - <<END
link add docker0 type bridge
addr flush dev guest0
link set guest0 master docker0
link set docker0 up
addr add 172.31.0.1/24 brd + dev docker0
addr add fd00:31::1/64 dev docker0 nodad
END
ip6tables -t nat -A POSTROUTING -s fd00:31::/64 ! -o docker0 -j MASQUERADE
ip6tables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
ip6tables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
`)
}
