package tests

import (
	"strings"
	"testing"
)

func TestUpRefusesEndpointsThatAreNone(t *testing.T) {
	var inputs []input
	for _, c := range []struct{ endpoint, says string }{
		{"", "no protocol"}, {" ", "no protocol"}, {"/", "neither udp nor tcp"}, {":/", "neither udp nor tcp"},
		{"203.0.113.10", "no protocol"}, {"203.0.113.10:1194", "no protocol"}, {"203.0.113.10/udp", "no port"},
		{"203.0.113.10:/udp", "port is not a number"}, {"203.0.113.10:0/udp", "port is not a number from 1 to 65535"},
		{"203.0.113.10:65536/udp", "port is not a number"}, {"203.0.113.10:-1/udp", "port is not a number"},
		{"203.0.113.10:+1/udp", "port is not a number"}, {"203.0.113.10:0x10/udp", "port is not a number"},
		{"203.0.113.10:01194/udp", "port is not a number"}, {"203.0.113.10:1e3/udp", "port is not a number"},
		{"203.0.113.10:1194 /udp", "port is not a number"}, {"203.0.113.10:99999999999999999999/udp", "port is not a number"},
		{"203.0.113.10:1194/sctp", "neither udp nor tcp"}, {"203.0.113.10:1194/UDP", "neither udp nor tcp"}, {"203.0.113.10:1194/udp/", "neither udp nor tcp"},
		{"203.0.113.10:1194/udp,203.0.113.11:1194/udp", "neither udp nor tcp"},
		{"203.0.113.010:1194/udp", "looks like an address"}, {"203.0.113:1194/udp", "looks like an address"}, {"0x7f.1:1194/udp", "looks like an address"},
		{"203.0.113.256:1194/udp", "looks like an address"}, {"127.0.0.1:1194/udp", "loopback"}, {"127.8.8.8:1194/udp", "loopback"},
		{"0.0.0.0:1194/udp", "unspecified"}, {"224.0.0.1:1194/udp", "multicast"}, {"255.255.255.255:1194/udp", "broadcast"},
		{"2001:db8::1:1194/udp", "brackets"}, {"[2001:db8::1]/udp", "no port"}, {"[2001:db8::1:1194/udp", "brackets"}, {"[203.0.113.10]:1194/udp", "brackets"},
		{"[fe80::1%eth0]:1194/udp", "zone"}, {"[::1]:1194/udp", "loopback"}, {"[::]:1194/udp", "unspecified"}, {"[ff02::1]:1194/udp", "multicast"},
		{"[::ffff:127.0.0.1]:1194/udp", "loopback"}, {"[2001:db8::g]:1194/udp", "byte 0x3a"},
		{"$(id).example:1194/udp", "byte 0x24"}, {"`id`:1194/udp", "byte 0x60"}, {"a;id:1194/udp", "byte 0x3b"}, {"a b:1194/udp", "byte 0x20"},
		{"a|b:1194/udp", "byte 0x7c"}, {"a&b:1194/udp", "byte 0x26"}, {"a'b:1194/udp", "byte 0x27"}, {"a\"b:1194/udp", "byte 0x22"},
		{"a\nb:1194/udp", "byte 0x0a"}, {"a\x1b[2Jb:1194/udp", "byte 0x1b"}, {"a\x7fb:1194/udp", "byte 0x7f"}, {"ä.example:1194/udp", "byte 0xc3"}, {"\xff\xfe:1194/udp", "byte 0xef"},
		{"} table inet x {:1194/udp", "byte 0x7d"}, {"-a.example:1194/udp", "hyphen"}, {"a-.example:1194/udp", "hyphen"}, {"a..b:1194/udp", "empty label"}, {".:1194/udp", "empty domain name"},
		{strings.Repeat("a", 64) + ".example:1194/udp", "longer than 63 bytes"},
		{strings.Repeat("a.", 127) + "a:1194/udp", "longer than 253 bytes"},
	} {
		inputs = append(inputs, input{name: "endpoint", args: up("--endpoint", c.endpoint), says: c.says})
	}
	s := newHandScene(t, "")
	s.refusesAlways(inputs)
}

func TestUpRefusesDevicesThatAreNoTunnel(t *testing.T) {
	s := newHandScene(t, "")
	s.write("/etc/hosts", "203.0.113.10 vpn.example\n")
	s.write("/etc/nsswitch.conf", "hosts: files\n")
	inputs := []input{
		{name: "unknown", args: up("--dev", "nosuch0"), says: `unknown device "nosuch0"`},
		{name: "loopback", args: up("--dev", "lo"), says: `device "lo" is the loopback, no tunnel`},
		{name: "the wire", args: up("--dev", "eth0"), says: `device "eth0" carries packets to 203.0.113.10:1194/udp: it is the wire, not the tunnel`},
		{name: "the wire, with a mark", args: append(up("--dev", "eth0"), "--mark=1"), says: "it is the wire, not the tunnel"},
		{name: "the wire, the server by name", args: up("--dev", "eth0", "--endpoint", "vpn.example:1194/udp"), says: "it is the wire, not the tunnel"},
		{name: "the wire, by the second endpoint", args: append(up("--dev", "eth0", "--endpoint", "10.8.0.1:1194/udp"), "--endpoint=203.0.113.10:1194/udp"), says: "it is the wire, not the tunnel"},
		{name: "the wire, no route to the server", args: up("--dev", "eth0", "--endpoint", "[2001:db8:dead::1]:1194/udp"), says: "the wire"},
		{name: "none", args: up("--dev", "-"), says: "no tunnel device is known"},
	}
	for _, c := range []struct{ dev, says string }{
		{"", "empty interface name"}, {"sixteen-bytes-xx", "longer than 15 bytes"}, {strings.Repeat("x", 5000), "longer than 15 bytes"}, {".", "reserved"}, {"..", "reserved"},
		{"-tun0", "begins with a hyphen"}, {"tun*", "byte 0x2a"}, {"tun%d", "byte 0x25"}, {"tun0;id", `unknown device "tun0;id"`}, {"tun 0", "byte 0x20"},
		{"tun0\n", "byte 0x0a"}, {"a/b", "byte 0x2f"}, {"eth0:1", "byte 0x3a"}, {"a\"b", "byte 0x22"}, {"tün0", "byte 0xc3"}, {"a\x1bb", "byte 0x1b"},
	} {
		inputs = append(inputs, input{name: "name", args: up("--dev", c.dev), says: c.says})
	}
	if err := s.lab.Client.Script(s.ctx, "ip -6 route add unreachable 2001:db8:dead::/48"); err != nil {
		t.Fatal(err)
	}
	s.before = s.snapshot()
	// On a sealed host the recorded endpoints stand in for these.
	s.refuses("open", []input{
		{name: "no endpoint", args: up("--endpoint", "-"), says: "no endpoint is known"},
		{name: "no endpoint that resolves", args: up("--endpoint", "nosuch.example:1194/udp"), says: "no endpoint is known"},
	})
	s.refusesAlways(inputs)
}

func TestUpRefusesOwnersMarksAndTheRest(t *testing.T) {
	var inputs []input
	for flag, values := range map[string][][2]string{
		"--owner": {
			{"nosuchuser", `owner "nosuchuser"`}, {"4294967295", "a uid is a number from 0 to 4294967294"}, {"4294967296", "a uid is a number"},
			{"99999999999999999999", "a uid is a number"}, {"00", "a uid is a number"}, {"-1", "hyphen"}, {"", "1 to 64 bytes"}, {"0x0", `owner "0x0"`},
			{"root;id", "byte 0x3b"}, {"ro ot", "byte 0x20"}, {"root\n", "byte 0x0a"}, {strings.Repeat("r", 65), "1 to 64 bytes"}, {".root", "hyphen or dot"},
		},
		"--mark": {
			{"0", "value 0 is that of unmarked packets"}, {"-1", "32-bit number"}, {"4294967296", "32-bit number"}, {"0x", "32-bit number"}, {"0x1ffffffff", "32-bit number"},
			{"010", "32-bit number"}, {"1/0", "mask 0 compares nothing"}, {"2/1", "value has bits outside the mask"}, {"1/", "32-bit number"}, {"/1", "32-bit number"},
			{"1/1/1", "32-bit number"}, {"a", "32-bit number"}, {"", "32-bit number"}, {"1 ", "32-bit number"}, {"0/0xff", "value 0"},
		},
		"--cgroup": {
			{"relative", "not an absolute path"}, {"", "not an absolute path"}, {"/", "every process is below the root"}, {"/a/../b", `path element ".."`}, {"//a", `path element ""`}, {"/a/", `path element ""`},
			{"/nosuch.slice", `cgroup "/nosuch.slice"`}, {"/a b", "byte 0x20"}, {"/a\"b", "byte 0x22"}, {"/a*", "byte 0x2a"}, {"/a\nb", "byte 0x0a"}, {"/" + strings.Repeat("a", 256), "longer than 255 bytes"},
		},
		"--dns": {
			{"127.0.0.1", "loopback"}, {"x", "--dns"}, {"fe80::1%eth0", "zone"}, {"8.8.8.8,1.1.1.1", "--dns"}, {"0.0.0.0", "unspecified"}, {"224.0.0.1", "multicast"}, {"", "not an IP address"},
		},
		"--domain": {
			{"a b", "byte 0x20"}, {"$(id)", "byte 0x24"}, {"", "empty domain name"}, {"a..b", "empty label"}, {"~", "empty domain name"}, {"corp.example\n", "byte 0x0a"},
		},
		"--profile": {{"half", `"half"`}, {"", "--profile"}, {"FULL", `"FULL"`}, {"full,split", "--profile"}},
		"--client":  {{"a b", "no spaces and no control characters"}, {"a\nb", "no spaces"}, {"\x1b[2J", "no spaces"}},
	} {
		for _, v := range values {
			inputs = append(inputs, input{name: flag, args: up(flag, v[0]), says: v[1]})
		}
	}
	s := newHandScene(t, "")
	s.refusesAlways(inputs)
}

func TestWrongCallsAreRefused(t *testing.T) {
	s := newHandScene(t, "")
	s.refusesAlways([]input{
		{name: "no command", says: "expected one of"},
		{name: "unknown command", args: []string{"open"}, says: `unexpected argument open`},
		{name: "unknown flag", args: append(up(), "--force"), says: `unknown flag "--force"`},
		{name: "unknown flag of status", args: []string{"status", "--yaml"}, says: "unknown flag --yaml"},
		{name: "flag without a value", args: []string{"up", "--dev"}, says: "--dev"},
		{name: "argument of up", args: append(up(), "tun0"), says: `unexpected argument "tun0": no vpn client is recognised`},
		{name: "argument of down", args: []string{"down", "tun0"}, says: `unexpected argument "tun0": no vpn client is recognised`},
		{name: "argument of status", args: []string{"status", "tun0"}, says: "unexpected argument tun0"},
		{name: "argument of recover", args: []string{"recover", "tun0"}, says: "unexpected argument tun0"},
		{name: "argument of doctor", args: []string{"doctor", "x"}, says: "unexpected argument x"},
		{name: "argument of version", args: []string{"version", "x"}, says: "unexpected argument x"},
		{name: "down twice told", args: []string{"down", "--dev", "tun0", "--all"}, says: "--dev and --all can't be used together"},
		{name: "two profiles", args: append(up(), "--profile", "full", "--profile", "split"), says: "profiles full and split conflict"},
		{name: "two profiles, auto", args: append(up(), "--profile", "split", "--profile", "auto"), says: "profiles split and auto conflict"},
		{name: "configuration that is not there", args: append([]string{"--config", "/etc/nosuch.toml"}, up()...), says: `/etc/nosuch.toml: no such file`},
		{name: "configuration that is a directory", args: append([]string{"--config", "/etc"}, up()...), says: "is a directory"},
		{name: "no packet", args: []string{"rules", "--explain", "x"}, says: `"x" is no way of a packet`},
		{name: "packet without an end", args: []string{"rules", "--explain", "out eth0 udp"}, says: "packet"},
		{name: "packet with a strange word", args: []string{"rules", "--explain", "out eth0 udp 8.8.8.8:53 fast"}, says: `"fast" is not understood`},
	})
	s.must(0, upByHand...)
	s.refuses("sealed", []input{{name: "another session", args: []string{"down", "--dev", "tun1"}, says: `no session "tun1" is recorded; there are: ["tun0"]`}})
}

// What was sealed with one profile is not silently sealed with another.
func TestUpRefusesAnotherProfileForTheSameSession(t *testing.T) {
	s := newHandScene(t, "")
	for _, p := range [][2]string{{"full", "split"}, {"split", "full"}} {
		s.must(0, append(up(), "--profile", p[0])...)
		s.refuses(p[0], []input{{name: "the other profile", args: append(up(), "--profile", p[1]), says: `session "tun0" is sealed with profile ` + p[0] + `; profile ` + p[1] + ` conflicts with it`}})
		s.must(0, append(up(), "--profile", p[0])...)
		s.must(0, up()...) // not asked: it stays
		if stdout, _ := s.must(0, "status"); !strings.Contains(stdout, "profile "+p[0]) {
			t.Errorf("status:\n%s", stdout)
		}
		s.must(0, "down")
		s.original("after down")
	}
}
