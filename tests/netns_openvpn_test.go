package tests

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// OpenVPN runs outside, with options and hooks of its user's, and its device is
// inside, through every kind of restart, whether it is kept meanwhile or not.
func TestNamespaceOfOpenVPNSurvivesRestarts(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	server := openvpn.Server{Proto: "udp", Address: site.Server, Push: []string{"dhcp-option DNS 8.8.8.8", "dhcp-option DOMAIN corp.example"}, Ping: time.Second, Restart: 2 * time.Second, Extra: []string{"duplicate-cn", "tun-mtu 1400"}}
	running := s.serve(server)
	before := s.snapshot()

	// A hook of the user's, behind a name and with words that need quotes.
	dir := filepath.Join(s.lab.Dir, "my hooks")
	script := "#!/bin/sh\nexec 2>&1 >> " + s.lab.Dir + "/hook.log\necho \"$script_type $1 $WORDS\" \"$2\"\nip -br link show \"$dev\" | cut -d' ' -f1\ncat /etc/resolv.conf\n"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o755))
	must(os.WriteFile(filepath.Join(dir, "up.sh"), []byte(script), 0o755))
	// It would set the host's resolvers, and fails here if it is run.
	resolvers := filepath.Join(s.lab.Dir, "update-resolv-conf")
	must(os.WriteFile(resolvers, []byte("#!/bin/sh\nexit 1\n"), 0o755))
	conf := func(name string, c openvpn.Client) string {
		c.Remotes = remotes(server)
		file := filepath.Join(s.lab.Dir, name+".conf")
		must(os.WriteFile(file, []byte(c.Config(s.pki)), 0o644))
		return file
	}
	own := `"` + dir + `/up.sh" 'two  words'`
	blue := []string{"netns", "up", "blue", "--openvpn", conf("blue", openvpn.Client{Up: "/bin/false", Down: resolvers}),
		"--", "--up", own, "--setenv", "WORDS", `a "b"  c`}
	user := "nobody"
	if lab.SingleUID() {
		user = ""
	}
	green := []string{"netns", "up", "green", "--openvpn", conf("green", openvpn.Client{User: user, PersistTun: true}), "--", "--dns", "server", "1", "address", "1.1.1.1"}
	start := s.mark()
	s.must(0, blue...)
	s.must(0, green...)
	text, err := os.ReadFile(filepath.Join(s.lab.Dir, "hook.log"))
	want := "up two  words a \"b\"  c tun0\ntun0\n# of this namespace's tunnel, by vpnguard\nnameserver 8.8.8.8\nsearch corp.example\n"
	if err != nil || string(text) != want {
		t.Errorf("the user's own hook says %q, want %q; %v", text, want, err)
	}
	for _, name := range []string{"blue", "green"} {
		s.carriesInside(name, "after up")
		if out, _ := s.sh(name, s.user, "ip link show tun0"); !strings.Contains(out, "mtu 1400") {
			t.Errorf("%s: the server's MTU is not the device's: %s", name, out)
		}
	}
	if out, _ := s.sh("green", s.user, "cat /etc/resolv.conf"); !strings.Contains(out, "nameserver 1.1.1.1") {
		t.Errorf("green's resolvers, of OpenVPN's option dns: %s", out)
	}
	s.untouched("beside two namespaces")

	var streams []*lab.Stream
	for _, name := range []string{"blue", "green"} {
		streams = append(streams, s.streamInside(name, 100))
	}
	client := func(name string) int {
		var pid int
		for _, p := range s.openvpns() {
			if p.namespace == name {
				pid = p.pid
			}
		}
		if pid == 0 {
			t.Fatalf("no OpenVPN of namespace %q runs", name)
		}
		return pid
	}
	for _, name := range []string{"blue", "green"} {
		must(syscall.Kill(client(name), syscall.SIGUSR1))
	}
	s.until("blue's device is gone", func() bool { return s.namespaces()["blue"].State == "connecting" })
	for _, name := range []string{"blue", "green"} {
		s.carriesInside(name, "after SIGUSR1")
	}
	// The server is gone for a while.
	if _, err := running.Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.until("blue has lost its server", func() bool { return s.namespaces()["blue"].State == "connecting" })
	if err := s.seenInside("blue"); err == nil {
		t.Error("blue has connectivity without a server")
	}
	s.serve(server)
	for _, name := range []string{"blue", "green"} {
		s.carriesInside(name, "after the server came back")
	}
	s.tightInside("green", "tun0", "while OpenVPN is up", nil)

	// A killed client, and a killed keeper.
	must(syscall.Kill(client("blue"), syscall.SIGKILL))
	s.until("blue is dead", func() bool { return s.namespaces()["blue"].State == "dead" })
	must(syscall.Kill(s.namespaces()["green"].PID, syscall.SIGKILL))
	s.until("green is dead", func() bool { return s.namespaces()["green"].State == "dead" })
	s.must(0, blue...)
	s.carriesInside("blue", "after a second up")
	_, said := s.must(0, "recover")
	if !strings.Contains(said, `namespace "green": nobody keeps it; it ended`) || len(s.namespaces()) != 1 {
		t.Errorf("recover says:\n%s", said)
	}
	if _, said := s.must(0, "netns", "down", "blue"); !strings.Contains(said, "1 programs still run in it, without any connectivity") {
		t.Errorf("netns down says:\n%s", said)
	}
	for _, stream := range streams {
		if count, err := stream.Stop(); err != nil || count.Sent == 0 || count.Refused == 0 {
			t.Errorf("a stream: %+v, %v", count, err)
		}
	}
	frames := s.late(start)
	for _, stream := range streams {
		if on := wire.Numbers(frames, stream.Nonce); len(on) > 0 {
			t.Errorf("%d of a stream's datagrams on the wire", len(on))
		}
	}
	if left := s.openvpns(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	s.restored(before)
	s.takesADevice(server)
	s.insideASealedHost(server)
	s.restored(before)
	// The control of the streams: one of the host's.
	stream, err := s.lab.Stream(s.ctx, s.lab.Client, s.user, probe.Stream{To: netip.AddrPortFrom(site.Public, 9), Rate: 1000})
	must(err)
	control := s.mark()
	s.until("the control shows", func() bool { return len(wire.Numbers(s.since(control), stream.Nonce)) > 0 })
	_, err = stream.Stop()
	must(err)
}

// takesADevice moves the device of a client that knows nothing of namespaces, and
// gives it back as it was, its routes too; by recover after its keeper was killed.
func (s *scene) takesADevice(server openvpn.Server) {
	s.Helper()
	client, err := openvpn.Client{Number: 5, Remotes: remotes(server)}.Start(s.ctx, s.lab, s.pki)
	if err == nil {
		err = client.WaitUp(s.ctx, 1)
	}
	if err != nil {
		s.Fatal(err)
	}
	// A link-local address that the kernel chooses is another one each time.
	if err := s.lab.Client.Script(s.ctx, "ip link set tun5 addrgenmode none\nip -6 addr flush dev tun5 scope link\necho 1 > /proc/sys/net/ipv4/conf/tun5/accept_local\n"); err != nil {
		s.Fatal(err)
	}
	settled := func() {
		s.until("no address is tentative", func() bool {
			out, err := s.lab.Client.Run(s.ctx, "ip", "-6", "addr", "show", "tentative")
			return err == nil && out == ""
		})
	}
	settled()
	before := s.snapshot()
	for _, end := range [][]string{{"netns", "down", "grey"}, {"recover"}} {
		s.must(0, "netns", "up", "grey", "--dev", "tun5", "--dns", "8.8.8.8")
		s.carriesInside("grey", "after up")
		s.untouched("without its tunnel's device")
		if out, _ := s.sh("grey", s.user, "cat /etc/resolv.conf"); !strings.Contains(out, "nameserver 8.8.8.8") {
			s.Errorf("grey's resolvers: %s", out)
		}
		if end[0] == "recover" {
			if err := syscall.Kill(s.namespaces()["grey"].PID, syscall.SIGKILL); err != nil {
				s.Fatal(err)
			}
			s.until("grey is dead", func() bool { return s.namespaces()["grey"].State == "dead" })
			s.carriesInside("grey", "without its keeper")
		}
		s.must(0, end...)
		settled()
		s.restored(before)
	}
	// A device that vanishes leaves nothing behind that has connectivity.
	s.must(0, "netns", "up", "grey", "--dev", "tun5")
	if _, err := client.Stop(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.until("grey is dead", func() bool { return s.namespaces()["grey"].State == "dead" })
	if err := s.seenInside("grey"); err == nil {
		s.Error("grey has connectivity without its device")
	}
	s.must(0, "netns", "down", "grey")
}

// insideASealedHost brings a namespace up on a host that another VPN seals: its
// carrier goes by that one's tunnel.
func (s *scene) insideASealedHost(server openvpn.Server) {
	s.Helper()
	file := s.otherTunnel(nestedFar, "4002")
	host := s.connect(openvpn.Client{Remotes: remotes(server)})
	s.must(0, "status")
	if _, said, code := s.vpnguard("netns", "up", "nested", "--dev", "tun0"); code != 2 || !strings.Contains(said, "is that of a sealed session") {
		s.Errorf("a sealed session's device in a namespace: exit %d: %s", code, said)
	}
	start := s.mark()
	s.must(0, append([]string{"netns", "up", "nested", "--tunnel", file}, engineArgs()...)...)
	if said := s.job(s.inside("nested", s.user), "ask", "tcp", "10.8.0.2", "10.8.0.1", "4002"); said != "connected: <nil>" {
		s.Errorf("a namespace of a sealed host: %s", said)
	}
	s.must(0, "netns", "down", "nested")
	s.must(0, "status")
	policy := s.policy(server)
	if v := policy.Judge(s.since(start)); len(v.Leaks) > 0 || v.Counts[wire.CarrierClass] == 0 {
		s.Errorf("unexplained on the wire of a sealed host: %v", v)
	}
	if _, err := host.Stop(s.ctx); err != nil {
		s.Fatal(err)
	}
}

type openvpnProcess struct {
	pid       int
	namespace string // whose configuration it has
}

// openvpns are the clients that namespaces keep.
func (s *scene) openvpns() (list []openvpnProcess) {
	s.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if !strings.Contains(string(text), "--ifconfig-noexec") {
			continue
		}
		p := openvpnProcess{namespace: "green"}
		if strings.Contains(string(text), "WORDS") {
			p.namespace = "blue"
		}
		if _, err := fmt.Sscanf(file, "/proc/%d/", &p.pid); err != nil {
			s.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}
