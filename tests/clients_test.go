package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scenario is what a client's captured calls do to a real host, one word a
// call: the state after it, or "refused".
type scenario struct {
	capture string // below hook/testdata, without its suffix
	config  string
	args    string // what the hook's line says besides
	dev     string // instead of the tun0 that the host has
	states  string
	says    string // a word of each refusal
}

var scenarios = []scenario{
	{capture: "openconnect/raw-script", states: "open sealed connecting"},
	{capture: "openconnect/raw-script", config: "open_on_server_stop = true\n", states: "open sealed open"},
	{capture: "openconnect/link-loss", config: "open_on_server_stop = true\n",
		states: "open open sealed sealed connecting connecting connecting connecting sealed sealed open open"},
	// It gives up while it reconnects: that opens under no configuration.
	{capture: "openconnect/reconnect-timeout", config: "open_on_server_stop = true\n",
		states: "open open sealed sealed connecting connecting connecting connecting connecting connecting"},
	{capture: "openconnect/hostile-server", states: "open refused open", says: "INTERNAL_IP4_DNS"},
	{capture: "vpnc/basic", states: "open sealed connecting"},
	{capture: "networkmanager/openvpn", config: "endpoints = [\"203.0.113.5:1194/udp\"]\n",
		states: "sealed sealed sealed sealed open open open"},
	{capture: "networkmanager/openvpn", states: "refused open refused open open open open", says: "endpoints = ["},
	// Killed: the tunnel is gone and no event says so.
	{capture: "networkmanager/networkmanager-killed", config: "endpoints = [\"203.0.113.5:4500/udp\"]\n",
		states: "sealed sealed sealed sealed sealed sealed"},
	// A wire comes and goes as it likes.
	{capture: "networkmanager/ethernet-dhcp-hostile", config: "endpoints = [\"203.0.113.5:4500/udp\"]\n",
		states: "open open open open open open open open open open open"},
	{capture: "pppd/l2tp", dev: "ppp0", states: "refused refused open", says: "force userspace"},
	{capture: "pppd/l2tp", dev: "ppp0", args: "--mark 42", states: "sealed sealed connecting"},
	{capture: "pppd/pty", dev: "ppp0", states: "refused refused refused open open", says: "ipparam"},
	{capture: "pppd/pppoe", dev: "ppp0", states: "open open open"},
	{capture: "strongswan/ikev2-full", states: "refused refused open open refused refused open open", says: "encap = yes"},
	{capture: "strongswan/ikev2-udp-encap", states: "refused open", says: "XFRM interface"},
	{capture: "strongswan/ikev2-udp-encap", args: "--dev tun0", states: "sealed connecting"},
	{capture: "ifupdown/dummy", dev: "tun9", args: "--dev tun9 --endpoint 203.0.113.5:1194/udp", states: "open open sealed sealed sealed sealed open open"},
	{capture: "ifupdown/dummy", dev: "tun9", states: "open open open open open open open open"}, // of no kind that is a tunnel by itself
	{capture: "networkd-dispatcher/dummy", dev: "vpn0", args: "--dev vpn0 --endpoint 203.0.113.5:1194/udp", states: "open open open sealed sealed connecting"},
	{capture: "tinc/basic", dev: "tinc0", args: "--endpoint 203.0.113.5:655/udp", states: "sealed sealed sealed sealed sealed sealed sealed sealed sealed"},
	{capture: "tinc/exit1-tinc-up", dev: "tinc0", args: "--endpoint 203.0.113.5:655/udp", states: "sealed open"},
	{capture: "tinc/exit1-tinc-up", dev: "tinc0", states: "refused open", says: "--endpoint"},
}

func TestCapturedCallsOfEveryClientOnARealHost(t *testing.T) {
	for _, c := range scenarios {
		t.Run(strings.ReplaceAll(c.capture, "/", " ")+" "+c.args+c.config, func(t *testing.T) {
			s := newHandScene(t, "")
			if c.config != "" {
				s.configure(c.config)
			}
			if c.dev != "" {
				if err := s.lab.Client.Script(s.ctx, "ip link set tun0 down\nip link set tun0 name "+c.dev+" up\n"); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, call := range hookCalls(t, "../hook/testdata/"+c.capture+".txtar") {
				verb := []string{"up"}
				if strings.HasSuffix(call.name, "down") || strings.HasSuffix(call.name, "down.d") {
					verb[0] = "down"
				}
				if verb[0] == "up" {
					verb = append(verb, strings.Fields(c.args)...)
				} else if strings.Contains(c.args, "--dev") {
					verb = append(verb, strings.Fields(c.args)[:2]...)
				}
				before := s.files()
				_, stderr, code := s.run(call.env, append(verb, call.args...)...)
				state := s.stateNow()
				switch {
				case code == 0:
				case code == 2 && c.says != "" && strings.Contains(stderr, c.says) && fmt.Sprint(before) == fmt.Sprint(s.files()):
					state = "refused"
				default:
					t.Errorf("%s: exit %d: %s", call.name, code, stderr)
				}
				if strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), func(r rune) bool { return r < ' ' }) {
					t.Errorf("%s: control characters get to the log: %q", call.name, stderr)
				}
				got = append(got, state)
			}
			if states := strings.Join(got, " "); states != c.states {
				t.Errorf("states\n%s, want\n%s", states, c.states)
			}
		})
	}
}

// stateNow is the state that `status` says.
func (s *scene) stateNow() string {
	s.Helper()
	out, _, _ := s.vpnguard("status")
	fields := strings.Fields(out)
	if len(fields) < 2 {
		s.Fatalf("status says %q", out)
	}
	return fields[1]
}

// wg-quick is known by the parent process: the script that runs the line.
func TestHookOfWGQuickIsKnownByItsParent(t *testing.T) {
	s := newHandScene(t, "")
	for _, name := range []string{"wg-quick", "awg-quick"} {
		script := filepath.Join(s.lab.Dir, name)
		text := "#!/bin/bash\n( eval \"$1\" )\n"
		if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		line := func(want int, line string) {
			t.Helper()
			cmd := s.lab.Client.Command(s.ctx, script, line)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != want {
				t.Fatalf("%s: %s: exit %d, want %d: %s", name, line, code, want, out)
			}
		}
		line(0, s.exe+" up --endpoint 203.0.113.5:51820/udp --mark 51820 tun0")
		s.state("sealed")
		if v := s.view(); len(v.Sessions) != 1 || v.Sessions[0].Client != "wg-quick" {
			t.Errorf("%+v", v.Sessions)
		}
		line(0, s.exe+" down tun0")
		s.state("open")
		line(2, s.exe+" up tun0") // no endpoint
		s.state("open")
	}
	s.restored(s.before)
}
