package tests

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A namespace has its tunnel and nothing else: before the tunnel is up, while it
// is, and when it was killed. The host's own traffic is as it was.
func TestNamespaceHasItsTunnelAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newTunnelScene(t)
	s.configureTunnel("0.0.0.0/0, ::/0", "DNS = 8.8.8.8")
	policy := s.policyOf()
	// The control: the same probes by programs of the host.
	seen, _ := s.probes("eth0", s.lab.Client)
	silent := 0
	for name, n := range seen {
		if n == 0 {
			t.Logf("control: nothing of %s on the wire", name)
			silent++
		}
	}
	if silent > 2 {
		t.Errorf("%d of %d probes show nothing on the wire without a namespace", silent, len(seen))
	}
	// Left from another program: it is no file of ours, and decides nothing.
	if err := s.lab.Client.Script(s.ctx, "mkdir -p /etc/netns/red\necho nameserver 192.168.1.1 > /etc/netns/red/resolv.conf\n"); err != nil {
		t.Fatal(err)
	}
	before := s.snapshot()
	up := append([]string{"netns", "up", "red", "--tunnel", s.conf, "--forward", "tcp/8080", "--allow-in", "tcp/4003"}, engineArgs()...)
	s.must(0, up...)
	s.carriesInside("red", "after up")
	s.untouched("beside a namespace")
	s.tightInside("red", "own0", "while the tunnel is up", &policy)
	if out, err := s.lab.Client.Run(s.ctx, "ip", "netns", "list"); err != nil || !strings.Contains(out, "red") {
		t.Errorf("ip netns list: %q, %v", out, err)
	}
	if _, said, code := s.vpnguard(up...); code != 2 || !strings.Contains(said, `namespace "red" is up already`) {
		t.Errorf("a second up: exit %d: %s", code, said)
	}
	s.execIsTheProgram()
	s.reached()
	s.resolversAreItsOwn()
	s.noWayOut()
	s.rulesHold(policy)

	// A stream goes on inside while the engine and then its keeper are killed.
	start := s.mark()
	stream := s.streamInside("red", 1000)
	s.streamPasses()
	s.killEngines(func() { time.Sleep(300 * time.Millisecond) })
	s.streamPasses()
	if err := syscall.Kill(s.namespaces()["red"].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("the namespace is dead", func() bool { return s.namespaces()["red"].State == "dead" })
	s.vanishes()
	s.tightInside("red", "own0", "after its keeper was killed", nil)
	// What runs inside has connectivity again, without being started anew.
	s.must(0, up...)
	s.streamPasses()
	if n := s.namespaces()["red"]; n.State != "up" || len(n.Programs) != 5 {
		t.Errorf("after a second up: %+v, want the five programs of before", n)
	}
	s.besideAnother(policy)
	s.must(0, "netns", "down", "red")
	count, err := stream.Stop()
	if err != nil || count.Sent == 0 {
		t.Errorf("the stream: %+v, %v", count, err)
	}
	frames := s.late(start)
	if on := wire.Numbers(frames, stream.Nonce); len(on) > 0 {
		t.Errorf("%d of the stream's datagrams on the wire", len(on))
	}
	s.gone(before)
	if _, err := os.Lstat(s.lab.Client.Path("/run/netns")); !os.IsNotExist(err) {
		t.Errorf("/run/netns is left: %v", err)
	}
}

// besideAnother brings up a second tunnel in a second namespace, with the same
// private addresses, and demands that each reaches its own far end and no other.
func (s *tunnelScene) besideAnother(policy wire.Policy) {
	s.Helper()
	s.job(s.lab.Server, "serve", "4001")
	file := s.otherTunnel(otherFar, "4002")
	start := s.mark()
	s.must(0, append([]string{"netns", "up", "blue", "--tunnel", file}, engineArgs()...)...)
	if _, said, code := s.vpnguard("exec", "--", "true"); code != 2 || !strings.Contains(said, "there are 2 namespaces") {
		s.Errorf("exec without a name: exit %d: %s", code, said)
	}
	for port, namespace := range map[string]string{"4001": "red", "4002": "blue"} {
		for _, from := range []string{"red", "blue"} {
			said := s.job(s.inside(from, s.user), "ask", "tcp", "10.8.0.2", "10.8.0.1", port)
			if (said == "connected: <nil>") != (from == namespace) {
				s.Errorf("port %s, served to %s only, from %s: %s", port, namespace, from, said)
			}
		}
	}
	policy.Carriers = append(slices.Clone(policy.Carriers), wire.Carrier{Remote: otherFar, Proto: wire.UDP})
	if v := policy.Judge(s.since(start)); len(v.Leaks) > 0 {
		s.Errorf("unexplained on the wire: %v", v)
	}
	s.must(0, "netns", "down", "blue")
}

// streamPasses waits until packets come out at the other end of the tunnel.
func (s *tunnelScene) streamPasses() {
	s.Helper()
	before := s.forwarded()
	s.until("the stream passes", func() bool { return s.forwarded() > before+20 })
}

// forwarded is how many packets the far end has had out of the tunnel.
func (s *tunnelScene) forwarded() (n int) {
	s.Helper()
	out, err := s.lab.Server.Run(s.ctx, "cat", "/sys/class/net/far0/statistics/rx_packets")
	if err != nil {
		s.Fatal(err)
	}
	if _, err := fmt.Sscan(out, &n); err != nil {
		s.Fatal(err)
	}
	return n
}

// reached demands that what was named is reached from outside, and nothing else.
func (s *tunnelScene) reached() {
	s.Helper()
	for _, port := range []string{"8080", "8081", "4003", "4004"} {
		s.job(s.inside("red", s.user), "serve", port)
	}
	for _, c := range []struct {
		node           *lab.Node
		from, to, port string
		want           bool
	}{
		{s.lab.Client, "127.0.0.1", "127.0.0.1", "8080", true},
		{s.lab.Client, "127.0.0.1", "127.0.0.1", "8081", false},
		{s.lab.Server, "10.8.0.1", "10.8.0.2", "4003", true},
		{s.lab.Server, "10.8.0.1", "10.8.0.2", "4004", false},
		{s.inside("red", s.user), "127.0.0.1", "127.0.0.1", "4004", true},
	} {
		if said := s.job(c.node, "ask", "tcp", c.from, c.to, c.port); (said == "connected: <nil>") != c.want {
			s.Errorf("from %s to %s, port %s: %s", c.from, c.to, c.port, said)
		}
	}
	conn := s.job(s.lab.Client, "relayed", "8080")
	if conn != "echoed" {
		s.Errorf("through the relay: %s", conn)
	}
}

// relayedJob sends something to a port of loopback and says whether it came back.
func relayedJob(args []string) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", args[0]), time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	text := make([]byte, len("hello"))
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err = io.ReadFull(conn, text)
	if err != nil || string(text) != "hello" {
		return fmt.Errorf("%q: %w", text, err)
	}
	fmt.Println("echoed")
	return nil
}

// resolversAreItsOwn demands that names are asked at the tunnel's resolver alone,
// whoever on the host would ask for others, and whatever becomes of its files.
func (s *tunnelScene) resolversAreItsOwn() {
	s.Helper()
	s.job(s.lab.Client, append([]string{"resolvers"}, resolverSockets...)...)
	nonce := probe.NewNonce()
	start := s.mark()
	if took := s.job(s.lab.Client, append([]string{"look-up", nonce}, resolverSockets...)...); took != fmt.Sprint(len(resolverSockets)) {
		s.Errorf("control: %s of %d sockets look a name up for a program of the host", took, len(resolverSockets))
	}
	evidence := wire.Evidence{Needles: [][]byte{[]byte(nonce)}}
	if n := len(evidence.Find(s.since(start))); n != len(resolverSockets) {
		s.Errorf("control: %d questions on the wire, want %d", n, len(resolverSockets))
	}
	// The same sockets by other ways: the file trees of processes outside, of which
	// one is the user's own.
	other := s.lab.Client.CommandAs(s.ctx, s.user, "sleep", "1000")
	if err := other.Start(); err != nil {
		s.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	comm := fmt.Sprintf("/proc/%d/comm", other.Process.Pid)
	s.until("the user's process runs", func() bool { text, _ := os.ReadFile(comm); return string(text) == "sleep\n" })
	ways := slices.Clone(resolverSockets)
	var trees []string
	for _, path := range resolverSockets[:4] {
		trees = append(trees, fmt.Sprintf("/proc/%d/root%s", other.Process.Pid, path))
		ways = append(ways, fmt.Sprintf("/proc/%d/root%s", s.lab.Client.PID(), path), "/proc/self/root"+path, "/var"+path)
	}
	ways = append(ways, trees...)
	id := fmt.Sprint(s.user)
	user := s.lab.Client.Through("setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--bounding-set=-all", "--")
	if took := s.job(user, append([]string{"look-up", nonce}, trees...)...); took != fmt.Sprint(len(trees)) {
		s.Errorf("control: %s of %d sockets are reached by the user's own process outside", took, len(trees))
	}
	nonce = probe.NewNonce()
	evidence = wire.Evidence{Needles: [][]byte{[]byte(nonce)}}
	start = s.mark()
	for _, uid := range s.uids() {
		if took := s.job(s.inside("red", uid), append([]string{"look-up", nonce}, ways...)...); took != "0" {
			s.Errorf("as uid %d, %s of %d sockets look a name up outside", uid, took, len(ways))
		}
	}
	if n := len(evidence.Find(s.since(start))); n > 0 {
		s.Errorf("%d questions of programs inside on the wire", n)
	}
	// The control is a file that is bound over the host's, as others do it.
	const wait = `mount --bind /etc/hostname /etc/resolv.conf; echo bound; read x; cat /etc/resolv.conf`
	const inside = `cat /etc/resolv.conf; echo bound; read x; cat /etc/resolv.conf`
	for _, c := range []struct {
		name string
		cmd  []string
		want bool // that the host's file shows afterwards
	}{
		{"control", []string{"unshare", "-m", "--propagation", "slave", "sh", "-c", wait}, true},
		{"exec", []string{s.exe, "exec", "--", "sh", "-c", inside}, false},
	} {
		cmd := s.lab.Client.Command(s.ctx, c.cmd[0], c.cmd[1:]...)
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
		text := ""
		read := func() {
			buf := make([]byte, 4096)
			n, _ := out.Read(buf)
			text += string(buf[:n])
		}
		for !strings.Contains(text, "bound\n") {
			before := text
			if read(); text == before {
				s.Fatalf("%s says %q", c.name, text)
			}
		}
		if err := s.lab.Client.Script(s.ctx, "cp -p /etc/resolv.conf /etc/resolv.new\necho '# replaced' >> /etc/resolv.new\nmv /etc/resolv.new /etc/resolv.conf\n"); err != nil {
			s.Fatal(err)
		}
		_, _ = in.Write([]byte("\n"))
		text = ""
		for {
			before := text
			if read(); text == before {
				break
			}
		}
		_ = cmd.Wait()
		if strings.Contains(text, "# replaced") != c.want || c.want == strings.Contains(text, "nameserver 8.8.8.8") {
			s.Errorf("%s: after the host's resolv.conf was replaced: %q", c.name, text)
		}
		if err := s.lab.Client.Script(s.ctx, "sed -i '/# replaced/d' /etc/resolv.conf\n"); err != nil {
			s.Fatal(err)
		}
	}
}

// noWayOut tries to leave the namespace, as the user and as root without
// capabilities. Each way but the kernel's own refusals is open to root outside.
func (s *tunnelScene) noWayOut() {
	s.Helper()
	host, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", s.lab.Client.PID()))
	if err != nil {
		s.Fatal(err)
	}
	ways := map[string]string{
		"setns by a process outside": fmt.Sprintf("nsenter --net=/proc/%d/ns/net readlink /proc/self/ns/net", s.lab.Client.PID()),
		"setns by a descriptor":      "nsenter --net=/proc/self/fd/7 readlink /proc/self/ns/net",
		"setns by standard input":    "nsenter --net=/proc/self/fd/0 readlink /proc/self/ns/net",
	}
	open := fmt.Sprintf("exec 7</proc/%d/ns/net 0</proc/%[1]d/ns/net; ", s.lab.Client.PID())
	for name, way := range ways {
		out, err := s.lab.Client.Run(s.ctx, "sh", "-c", open+way)
		if err != nil || strings.TrimSpace(out) != host {
			s.Errorf("control of %s: %q, %v", name, out, err)
		}
		for _, uid := range s.uids() {
			cmd := s.lab.Client.Command(s.ctx, "sh", "-c", fmt.Sprintf("%s%s exec --user %d -- %s", open, s.exe, uid, way))
			if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), host) {
				s.Errorf("%s as uid %d: %v: %s", name, uid, err, out)
			}
		}
	}
	const typeIn = `perl -e 'ioctl(STDIN, 0x5412, my $c = "x") or print $!' < /dev/null` // TIOCSTI
	if out, err := s.lab.Client.Run(s.ctx, "sh", "-c", typeIn); err != nil || !strings.HasPrefix(out, "Inappropriate ioctl") {
		s.Errorf("control of TIOCSTI: %q, %v", out, err)
	}
	for _, c := range []struct{ script, says string }{
		{"unshare -n true", "Operation not permitted"},
		{"ip link add type dummy; ip link set own0 down", "Operation not permitted"},
		{"nft flush ruleset", "Operation not permitted"},
		{"umount /run; umount /etc", ""},
		// In a user namespace of its own a program has all capabilities, but none
		// over what is outside: what covers the host's files stays.
		{"unshare -Urm sh -c 'umount /run; umount -l /etc; ls /run/nscd /run/dbus; cat /etc/resolv.conf' | grep nameserver.192 && echo reached", ""},
		{"unshare -Urm ls /run/nscd /run/dbus 2>/dev/null && echo reached", ""},
		{fmt.Sprintf("cat /proc/%d/environ", s.lab.Client.PID()), "ermission denied"},
		{typeIn, "Operation not permitted"},
		{"grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\n\\t'", "CapBnd:0000000000000000NoNewPrivs:1Seccomp:2"},
	} {
		for _, uid := range s.uids() {
			out, _ := s.sh("red", uid, c.script)
			if !strings.Contains(out, c.says) || strings.Contains(out, "reached") {
				s.Errorf("%s as uid %d says:\n%s", c.script, uid, out)
			}
		}
	}
	for script, says := range map[string]string{" exec -- true 0</run": "descriptor 0 is a directory", " exec -- true": `change to directory "/run/nscd" inside`} {
		cmd := s.lab.Client.Command(s.ctx, "sh", "-c", "cd /run/nscd && "+s.exe+script)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), says) {
			s.Errorf("exec from where only the host has something: %v, %s", err, out)
		}
	}
}

// rulesHold gives the namespace a second link, as some modules do to each, and
// demands that nothing leaves by it. The control is the same without our rules.
func (s *tunnelScene) rulesHold(policy wire.Policy) {
	s.Helper()
	const link = `
ip link add out0 type veth peer name in0 netns red
ip addr add 192.168.77.1/24 dev out0
ip link set out0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
nft add table ip bypass
nft add chain ip bypass nat '{ type nat hook postrouting priority srcnat; }'
nft add rule ip bypass nat oifname eth0 masquerade
ip -n red addr add 192.168.77.2/24 dev in0
ip -n red link set in0 up
ip -n red route add 1.1.1.1 via 192.168.77.1
`
	const unlink = "ip link del out0\necho 0 > /proc/sys/net/ipv4/ip_forward\nnft delete table ip bypass\n"
	if err := s.lab.Client.Script(s.ctx, link); err != nil {
		s.Fatal(err)
	}
	o := probe.Order{Name: "udp-public2"}
	s.silent(s.inside("red", s.user), 0, o, policy)
	out, err := s.lab.Client.Run(s.ctx, "sh", "-c", "ip netns exec red nft list table inet vpnguard; ip netns exec red nft delete table inet vpnguard")
	if err != nil || !strings.Contains(out, "out-tunnel-own0") {
		s.Errorf("the rules inside: %v: %s", err, out)
	}
	s.shows(s.inside("red", s.user), 0, o, policy)
	if err := s.lab.Client.Script(s.ctx, unlink); err != nil {
		s.Fatal(err)
	}
}
