package tests

import (
	"os"
	"strings"
)

// A firewall of the host: how it is started, and what a reload of it does.
type firewall struct {
	name   string
	start  func(*scene)
	reload func(*scene) error
	tables []string // that it must have made
}

var firewalls = []firewall{
	{"firewalld", (*scene).firewalld, (*scene).firewalldReloads, []string{"inet firewalld"}},
	{"ufw", (*scene).ufw, (*scene).ufwReloads, []string{"ip filter", "ip6 filter"}},
	{"Docker's rules", (*scene).docker, (*scene).dockerRestarts, []string{"ip filter", "ip nat"}},
	{"tables of nft -f", (*scene).ownTables, (*scene).ownTablesAgain, []string{"inet filter", "ip mine"}},
}

// unpacked is where `make firewalld` unpacks it: installed, it would come alive
// on the machine.
const unpacked = "../.cache/firewalld"

const bus = `<busconfig>
<type>system</type>
<listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth>
<policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
</policy>
</busconfig>
`

// systemBus starts a bus of the client's host.
func (s *scene) systemBus() {
	s.Helper()
	s.script("mkdir -p /run/dbus\n")
	if err := os.WriteFile(s.lab.Client.Path("/run/bus.conf"), []byte(bus), 0o644); err != nil {
		s.Fatal(err)
	}
	s.daemon("dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--nopidfile")
	s.until("the bus listens", func() bool {
		_, err := os.Stat(s.lab.Client.Path("/run/dbus/system_bus_socket"))
		return err == nil
	})
}

// firewalld starts the real one, on a bus of its own.
func (s *scene) firewalld() {
	s.Helper()
	root := s.firewalldRoot()
	s.script("cp -r " + root + "/etc/firewalld /etc/\n")
	s.systemBus()
	s.daemon("env", "PYTHONPATH="+root+"/usr/lib/python3/dist-packages", "/usr/bin/python3", root+"/usr/sbin/firewalld",
		"--nofork", "--nopid", "--default-config", root+"/usr/lib/firewalld", "--log-file", "/run/firewalld.log")
	s.until("firewalld runs", func() bool { return s.firewallCmd("--state") == nil })
}

func (s *scene) firewalldRoot() string {
	s.Helper()
	here, err := os.Getwd()
	if err != nil {
		s.Fatal(err)
	}
	root := here + "/" + unpacked
	if _, err := os.Stat(root + "/usr/sbin/firewalld"); err != nil {
		s.Fatalf("find firewalld, which `make firewalld` unpacks: %v", err)
	}
	return root
}

func (s *scene) firewallCmd(args ...string) error {
	root := s.firewalldRoot()
	cmd := append([]string{"PYTHONPATH=" + root + "/usr/lib/python3/dist-packages", "/usr/bin/python3", root + "/usr/bin/firewall-cmd"}, args...)
	_, err := s.lab.Client.Run(s.ctx, "env", cmd...)
	return err
}

// firewalldReloads reloads both ways: the second ends all connection tracking too.
func (s *scene) firewalldReloads() error {
	if err := s.firewallCmd("--reload"); err != nil {
		return err
	}
	return s.firewallCmd("--complete-reload")
}

// ufw starts the real one with its own defaults and one service.
func (s *scene) ufw() {
	s.Helper()
	s.script(`mkdir -p /etc/default /etc/ufw/applications.d
cp /usr/share/ufw/*.init /usr/share/ufw/ufw.conf /usr/share/ufw/iptables/*.rules /etc/ufw/
cat > /etc/default/ufw <<END
IPV6=yes
DEFAULT_INPUT_POLICY="DROP"
DEFAULT_OUTPUT_POLICY="ACCEPT"
DEFAULT_FORWARD_POLICY="DROP"
DEFAULT_APPLICATION_POLICY="SKIP"
MANAGE_BUILTINS=no
IPT_SYSCTL=
IPT_MODULES=""
END
ufw allow 22/tcp
ufw --force enable
`)
}

func (s *scene) ufwReloads() error {
	_, err := s.lab.Client.Run(s.ctx, "ufw", "reload")
	return err
}

// docker makes the rules that Docker keeps for docker0, without a container.
func (s *scene) docker() {
	s.Helper()
	s.script(`iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 172.31.0.0/24 ! -o docker0 -j MASQUERADE
iptables -P FORWARD DROP
for c in DOCKER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 DOCKER-USER; do iptables -N $c; done
iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A FORWARD -o docker0 -j DOCKER
iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
iptables -A FORWARD -i docker0 -o docker0 -j ACCEPT
iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
iptables -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
iptables -A DOCKER-USER -j RETURN
iptables -I FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables -I FORWARD -j DOCKER-USER
`)
}

// dockerRestarts does what a restart does: empties its chains, fills them, puts
// its jumps to the front again; then publishes a port and takes it back.
func (s *scene) dockerRestarts() error {
	return s.lab.Client.Script(s.ctx, `iptables -t nat -F DOCKER
iptables-restore --noflush <<END
*filter
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
COMMIT
END
iptables -D FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables -I FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables -D FORWARD -j DOCKER-USER
iptables -I FORWARD -j DOCKER-USER
for how in -A -D; do
	iptables -t nat $how DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.31.0.2:80
	iptables $how DOCKER -d 172.31.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
done
`)
}

// ownRuleset replaces its own tables, as a careful /etc/nftables.conf does.
const ownRuleset = `table inet filter
delete table inet filter
table ip mine
delete table ip mine
` + ownTables

const ownTables = `
table inet filter {
	set services { type inet_service; elements = { 22, 443 }; }
	chain input {
		type filter hook input priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iifname "lo" accept
		meta l4proto { icmp, ipv6-icmp } accept
		udp dport { 68, 546 } accept
		tcp dport @services accept
	}
	chain forward { type filter hook forward priority filter; policy drop; }
	chain output { type filter hook output priority filter; policy accept; }
}
table ip mine {
	chain postrouting { type nat hook postrouting priority srcnat; oifname "eth0" ip saddr 172.31.0.0/24 masquerade; }
}
`

func (s *scene) ownTables() {
	s.Helper()
	if err := s.ownTablesAgain(); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) ownTablesAgain() error {
	cmd := s.lab.Client.Command(s.ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(ownRuleset)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Logf("nft: %s", out)
	}
	return err
}

// script runs shell commands on the client's host.
func (s *scene) script(text string) {
	s.Helper()
	if err := s.lab.Client.Script(s.ctx, text); err != nil {
		s.Fatal(err)
	}
}

// daemon runs a program on the client's host until the test ends.
func (s *scene) daemon(name string, args ...string) {
	s.Helper()
	cmd := s.lab.Client.Command(s.ctx, name, args...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("%s said: %s", name, said.String())
		}
	})
}
