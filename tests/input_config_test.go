package tests

import (
	"os"
	"strings"
	"testing"
)

const configPath = "/etc/vpnguard/vpnguard.toml"

// The parser's own table has every case; here a wrong file must stop the
// program before it does anything, whatever command and client call it.
func TestWrongConfigurationStopsUpAndDown(t *testing.T) {
	s := newHandScene(t, "")
	files := []struct{ name, text, says string }{
		{"unknown key", "lan = true\nlann = true\n", `:2: unknown key "lann"`},
		{"unknown key in a table", "[wires]\neth0 = 1\n", `:2: unknown key "wires.eth0"`},
		{"case", "LAN = true\n", `:1: unknown key "LAN"`},
		{"key twice", "lan = true\nlan = false\n", ":2: "},
		{"not TOML", "lan: true\n", ":1: "},
		{"binary", "\x00\xff\n", ":1: "},
		{"lan as text", "lan = \"yes\"\n", ":1: lan: want true or false, not a string"},
		{"profile", "profile = \"half\"\n", `:1: profile "half"`},
		{"mark", "mark = \"0\"\n", `:1: mark "0": value 0`},
		{"owner", "owner = [\"root;id\"]\n", `:1: owner "root;id"`},
		{"owner that is not on this host", "owner = [\"nosuchuser\"]\n", `owner "nosuchuser"`},
		{"cgroup", "cgroup = \"/\"\n", `:1: cgroup "/"`},
		{"endpoint", "endpoints = [\"203.0.113.10:0/udp\"]\n", `:1: endpoints: endpoint "203.0.113.10:0/udp": port is not a number`},
		{"hostile endpoint", "endpoints = [\"$(id).example:1/udp\"]\n", "byte 0x24"},
		{"guest", "guests = [\"lo\"]\n", "loopback is no guest"},
		{"resolver", "dns = [\"127.0.0.53\"]\n", `resolver "127.0.0.53": a loopback address`},
		{"service", "allow_in = [\"tcp\"]\n", ":1: allow_in"},
		{"fence", "fence = \"maybe\"\n", `:1: fence "maybe"`},
		{"timeout", "resolve_timeout = \"1h\"\n", `duration "1h"`},
		{"huge", "# " + strings.Repeat("x", 70000) + "\n", "larger than 65536 bytes"},
	}
	for _, sealed := range []bool{false, true} {
		state := "open"
		if sealed {
			state = "sealed"
			s.must(0, upByHand...)
		}
		s.unchanged(state, func(refuse func(input)) {
			for _, f := range files {
				s.write(configPath, f.text)
				refuse(input{name: f.name, args: []string{"up", "--dev", "tun0", "--endpoint", "203.0.113.10:1194/udp"}, says: f.says})
				refuse(input{name: f.name + ", as a hook", args: hookArgs, env: hookEnv("up"), says: f.says})
				if !strings.Contains(f.name, "on this host") { // `down` needs no owner
					refuse(input{name: f.name + ", down", args: []string{"down"}, says: f.says})
				}
			}
		})
		if err := os.Remove(s.lab.Client.Path(configPath)); err != nil {
			t.Fatal(err)
		}
	}
	s.write("/etc/other.toml", "lann = true\n")
	s.refuses("sealed", []input{{name: "by flag", args: append([]string{"--config", "/etc/other.toml"}, up()...), says: `/etc/other.toml:1: unknown key "lann"`}})
	s.must(0, "down")
	s.original("after down")
}

// hookEnv is what OpenVPN 2.6 hands to a hook, reduced to what is needed.
func hookEnv(kind string, replace ...string) []string {
	env := map[string]string{
		"script_type": kind, "script_context": "init", "dev": "tun0", "tun_mtu": "1500", "daemon_pid": "999999",
		"remote_1": "203.0.113.10", "remote_port_1": "1194", "proto_1": "udp4",
		"trusted_ip": "203.0.113.10", "trusted_port": "1194", "ifconfig_local": "10.8.0.2", "ifconfig_netmask": "255.255.255.0",
	}
	if kind == "down" {
		env["signal"] = "sigterm"
	}
	for i := 0; i < len(replace); i += 2 {
		env[replace[i]] = replace[i+1]
	}
	var list []string
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	return list
}

// hookArgs is `up` with what OpenVPN appends.
var hookArgs = []string{"up", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"}
