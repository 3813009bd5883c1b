package wgconf_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

// Keys for examples.
const (
	private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
	own     = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
	public  = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
	other   = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	shared  = "IXZlcnlzZWNyZXR2ZXJ5c2VjcmV0dmVyeXNlY3JldCE="
)

const whole = "# a client\r\n" + `[Interface]
PrivateKey = ` + private + ` # secret
listenport=51820
FWMARK = 0xca6c
Address = 10.0.0.2/24, fd00::2/64
Address = 10.9.0.1
DNS = 10.0.0.1, corp.example
DNS	=	fd00::1
MTU = 1380
Table = 1234
SaveConfig = false
PreUp = echo 1 = 1
PostUp = true
PreUp = second
PreDown = x
PostDown = y
[Peer]
PublicKey=` + public + `
PresharedKey = ` + shared + `
AllowedIPs = 0.0.0.0/0,::/0
AllowedIPs = 192.168.7.9/24
Endpoint = VPN.example.net:51820
PersistentKeepalive = 25

[peer]
  PublicKey = ` + other + `
AllowedIPs =
Endpoint = [2001:DB8::1]:65535
PersistentKeepalive = off`

func TestParseReadsEveryName(t *testing.T) {
	c, err := wgconf.Parse("wg0.conf", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Interface.PrivateKey.Reveal(); got != private {
		t.Error("PrivateKey is another")
	}
	if got := c.Peers[0].PresharedKey.Reveal(); got != shared {
		t.Error("PresharedKey is another")
	}
	c.Interface.PrivateKey, c.Peers[0].PresharedKey = key.Private{}, key.Preshared{}
	k := func(s string) key.Public { p, _ := key.ParsePublic(s); return p }
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	want := wgconf.Config{
		Interface: wgconf.Interface{
			ListenPort: 51820, FwMark: 0xca6c, MTU: 1380, Table: wgconf.Table{Number: 1234},
			Addresses: prefixes("10.0.0.2/24", "fd00::2/64", "10.9.0.1/32"),
			DNS:       []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, Domains: []string{"corp.example"},
			Hooks: []wgconf.Hook{{wgconf.PreUp, "echo 1 = 1", 13}, {wgconf.PostUp, "true", 14}, {wgconf.PreUp, "second", 15}, {wgconf.PreDown, "x", 16}, {wgconf.PostDown, "y", 17}},
		},
		Peers: []wgconf.Peer{
			{PublicKey: k(public), AllowedIPs: prefixes("0.0.0.0/0", "::/0", "192.168.7.0/24"), Endpoint: endpoint.OrName{Host: "vpn.example.net", Port: 51820, Proto: endpoint.UDP}, Keepalive: 25 * time.Second, Line: 18},
			{PublicKey: k(other), Endpoint: endpoint.OrName{Host: "2001:db8::1", Port: 65535, Proto: endpoint.UDP}, Line: 26},
		},
	}
	equal := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	zero := cmp.Options{equal, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(key.Private.Equal), cmp.Comparer(key.Preshared.Equal)}
	if diff := cmp.Diff(want, c, zero); diff != "" {
		t.Error(diff)
	}
}

func TestParseTakesFormsThatMeanNothing(t *testing.T) {
	for _, text := range []string{
		"[Interface]\nPrivateKey=" + private,
		"[INTERFACE] # x\nTable = off\nFwMark = off\nListenPort = 0\nSaveConfig = true\nPrivateKey=" + private + "\n\n#end",
		"[Interface]\nTable = auto\nFwMark=4294967295\nPrivateKey=" + private,
		"[Peer]\nPublicKey=" + public + "\n[Interface]\nPrivateKey=" + private, // the order is free
	} {
		if _, err := wgconf.Parse("f", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseSaysWhatIsWrongAndWhere(t *testing.T) {
	const head = "[Interface]\nPrivateKey = " + private + "\n"
	const peer = head + "[Peer]\nPublicKey = " + public + "\n"
	for in, want := range map[string]string{
		"":                                         "1:1: the file has no [Interface] section",
		"# nothing\n\n":                            "2:1: the file has no [Interface] section",
		"MTU = 1400":                               "1:1: the line comes before any section",
		"[Interface]\nMTU = 1400":                  "1:1: [Interface] has no PrivateKey",
		"[Wg]":                                     "1:1: a section is [Interface] or [Peer]",
		"  [Interface":                             "1:3: a section is [Interface] or [Peer]",
		head + "[Interface]":                       "3:1: there is a second [Interface] section",
		head + "[Peer]\n":                          "3:1: the peer has no PublicKey",
		head + "[Peer]\n[Peer]":                    "3:1: the peer has no PublicKey",
		head + "\x00":                              "3:1: the file holds a byte that is no text",
		head + "MTU = 14\xff":                      "3:9: the file holds a byte that is no text",
		head + "hello":                             "3:1: the line is neither a section nor name = value",
		head + "MTU":                               "3:1: the line is neither a section nor name = value",
		head + "  mtv = 3":                         `3:3: [Interface] has no name "mtv"`,
		head + other:                               "3:1: [Interface] has no such name",
		head + "AllowedIPs = ::/0":                 "3:1: AllowedIPs belongs in [Peer], not in [Interface]",
		peer + "MTU = 1400":                        "5:1: MTU belongs in [Interface], not in [Peer]",
		peer + "Endpiont = x":                      `5:1: [Peer] has no name "Endpiont"`,
		head + "MTU = 1400\nmtu=1400":              "4:1: MTU was given in line 3 already",
		head + "MTU =   # x":                       "3:6: MTU has no value",
		head + "MTU = 575":                         `3:7: MTU "575" is not a number from 576 to 65455`,
		head + "MTU = 0x500":                       `3:7: MTU "0x500" is not a number from 576 to 65455`,
		head + "MTU = +1400":                       `3:7: MTU "+1400" is not a number from 576 to 65455`,
		head + "ListenPort = 65536":                `3:14: ListenPort "65536" is not a port from 0 to 65535`,
		head + "ListenPort = 01":                   `3:14: ListenPort "01" is not a port from 0 to 65535`,
		head + "FwMark = 0x":                       `3:10: FwMark "0x" is neither off nor a number from 0 to 0xffffffff`,
		head + "FwMark = 0x100000000":              `3:10: FwMark "0x100000000" is neither off nor a number from 0 to 0xffffffff`,
		head + "Table = main":                      `3:9: Table "main" is neither off nor auto nor a number from 1 to 4294967295`,
		head + "Table = 0":                         `3:9: Table "0" is neither off nor auto nor a number from 1 to 4294967295`,
		head + "SaveConfig = yes":                  `3:14: SaveConfig "yes" is neither true nor false`,
		head + "Address = 10.0.0.1/33":             `3:11: Address "10.0.0.1/33" has a prefix length that is not from 0 to 32`,
		head + "Address = 10.0.0.1, 10.0.0.256":    `3:21: Address "10.0.0.256" is no IP address`,
		head + "Address = 10.0.0.1,":               "3:20: an item of the list is empty",
		head + "Address = 10.0.0.1,,10.0.0.2":      "3:20: an item of the list is empty",
		head + "Address = fe80::1%eth0/64":         `3:11: Address "fe80::1%eth0/64" has a zone, which means nothing here`,
		head + "Address = ::ffff:10.0.0.1":         `3:11: Address "::ffff:10.0.0.1" is an IPv4 address in IPv6's clothes: write it as IPv4`,
		head + "Address = 0.0.0.0/0":               `3:11: Address "0.0.0.0/0" cannot be an interface's own`,
		head + "Address = 10.0.0.1,10.0.0.1/8":     "3:20: Address 10.0.0.1 was given already",
		head + "Address = " + shared:               `3:11: Address "(not shown)" is no IP address`,
		head + "DNS = 127.0.0.1":                   `3:7: DNS "127.0.0.1": a loopback address is never on the wire`,
		head + "DNS = 10.0.0.1, $(id)":             `3:17: DNS "$(id)" is neither an address nor a domain: domain name holds byte 0x24`,
		head + "MTU=1279\nAddress=fd00::1/64":      "3:1: MTU 1279 is below 1280, the least for IPv6, and the interface has the IPv6 address fd00::1/64",
		"[Interface]\nPrivateKey = " + private[1:]: "2:14: PrivateKey is no key: a key is 32 bytes in base64: 44 characters that end in =",
		"[Interface]\nPrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=": "2:14: PrivateKey is no key: a key is 32 bytes in base64: 44 characters that end in =",
		head + "[Peer]\nPublicKey = x":                                           "4:13: PublicKey is no key: a key is 32 bytes in base64: 44 characters that end in =",
		head + "[Peer]\nPublicKey = " + own:                                      "4:1: the peer's PublicKey is that of our own PrivateKey",
		peer + "[Peer]\nPublicKey = " + public:                                   "6:13: the peer with this PublicKey was given in line 4 already",
		peer + "PresharedKey = " + shared[:43]:                                   "5:16: PresharedKey is no key: a key is 32 bytes in base64: 44 characters that end in =",
		peer + "AllowedIPs = 10.0.0.0/8/8":                                       `5:14: AllowedIPs "10.0.0.0/8/8" has a prefix length that is not from 0 to 32`,
		peer + "AllowedIPs = ::/129":                                             `5:14: AllowedIPs "::/129" has a prefix length that is not from 0 to 128`,
		peer + "AllowedIPs = +10.0.0.0/8":                                        `5:14: AllowedIPs "+10.0.0.0/8" is no IP address`,
		peer + "AllowedIPs = 10.0.0.0/8, 10.1.0.0/8":                             "5:26: AllowedIPs 10.0.0.0/8 was given in line 5 already, and only one peer can have it",
		peer + "Endpoint = 203.0.113.1":                                          `5:12: Endpoint "203.0.113.1" is not host:port or [IPv6]:port: no port`,
		peer + "Endpoint = 203.0.113.1:0":                                        `5:12: Endpoint "203.0.113.1:0" is not host:port or [IPv6]:port: port is not a number from 1 to 65535`,
		peer + "Endpoint = 2001:db8::1:51820":                                    `5:12: Endpoint "2001:db8::1:51820" is not host:port or [IPv6]:port: an IPv6 address needs brackets`,
		peer + "Endpoint = 127.0.0.1:1":                                          `5:12: Endpoint "127.0.0.1:1" is not host:port or [IPv6]:port: a loopback address is never on the wire`,
		peer + "Endpoint = a b:1":                                                `5:12: Endpoint "a b:1" is not host:port or [IPv6]:port: domain name holds byte 0x20`,
		peer + "PersistentKeepalive = 65536":                                     `5:23: PersistentKeepalive "65536" is neither off nor seconds from 0 to 65535`,
		peer + "PersistentKeepalive = -1":                                        `5:23: PersistentKeepalive "-1" is neither off nor seconds from 0 to 65535`,
		head + "\tMTU = 1400\n# ümläut\nTable = ä # größer":                      `5:9: Table "ä" is neither off nor auto nor a number from 1 to 4294967295`,
	} {
		_, err := wgconf.Parse("f", []byte(in))
		if fmt.Sprint(err) != "f:"+want {
			t.Errorf("%q:\n got %v\nwant f:%s", in, err, want)
		}
		var placed *wgconf.Error
		if !errors.As(err, &placed) {
			t.Errorf("%q: no place", in)
		}
	}
}

func TestModeWarningIsForFilesThatOthersCanRead(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		0o600: "", 0o400: "", 0o700: "",
		0o640: `"f" holds a private key and its mode 0640 lets its group at it: chmod 600`,
		0o604: `"f" holds a private key and its mode 0604 lets every user at it: chmod 600`,
		0o644: `"f" holds a private key and its mode 0644 lets its group and every user at it: chmod 600`,
		0o602: `"f" holds a private key and its mode 0602 lets every user at it: chmod 600`,
	} {
		if got := wgconf.ModeWarning("f", mode); got != want {
			t.Errorf("%04o: %q, want %q", mode, got, want)
		}
	}
}

// Whatever the bytes, there is a configuration that makes sense or an error at
// a place of the file, and no error repeats a key.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("[Interface]\nPrivateKey=" + private + "\n[Peer]\n" + other))
	f.Add([]byte("[Peer]\nEndpoint=[::1]:1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := wgconf.Parse("f", data)
		if err != nil {
			var placed *wgconf.Error
			if !errors.As(err, &placed) {
				t.Fatalf("%v has no place", err)
			}
			lines := strings.Split(string(data), "\n")
			if placed.Line < 1 || placed.Line > len(lines) || placed.Column < 1 || placed.Column > len(lines[placed.Line-1])+1 {
				t.Fatalf("%v is outside of the file", err)
			}
			for _, secret := range []string{private, shared, private[:43], shared[:43]} {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("a key is in the error %q", err)
				}
			}
			return
		}
		if c.Interface.PrivateKey.IsZero() || c.Interface.MTU != 0 && c.Interface.MTU < 576 {
			t.Errorf("%+v", c)
		}
		for _, p := range c.Peers {
			if p.PublicKey.IsZero() || p.Endpoint != (endpoint.OrName{}) && p.Endpoint.Port == 0 {
				t.Errorf("%+v", p)
			}
			for _, a := range p.AllowedIPs {
				if !a.IsValid() || a != a.Masked() {
					t.Errorf("%v", a)
				}
			}
		}
	})
}

// names are all that wg and wg-quick know, with a good value and a bad one.
var names = []struct {
	section, name, good, bad string
	wrong                    string // what is said of the bad one
	repeat, empty            bool
}{
	{"Interface", "PrivateKey", private, "abc", "PrivateKey is no key: a key is 32 bytes in base64: 44 characters that end in =", false, false},
	{"Interface", "ListenPort", "51820", "70000", `ListenPort "70000" is not a port from 0 to 65535`, false, false},
	{"Interface", "FwMark", "0x1", "one", `FwMark "one" is neither off nor a number from 0 to 0xffffffff`, false, false},
	{"Interface", "Address", "10.0.0.1/24", "10.0.0/24", `Address "10.0.0/24" is no IP address`, true, false},
	{"Interface", "DNS", "10.0.0.1, corp.example", "a..b", `DNS "a..b" is neither an address nor a domain: domain name has an empty label`, true, false},
	{"Interface", "MTU", "1420", "70000", `MTU "70000" is not a number from 576 to 65455`, false, false},
	{"Interface", "Table", "off", "no", `Table "no" is neither off nor auto nor a number from 1 to 4294967295`, false, false},
	{"Interface", "SaveConfig", "true", "1", `SaveConfig "1" is neither true nor false`, false, false},
	{"Interface", "PreUp", "ip a", "", "", true, false},
	{"Interface", "PostUp", "ip a", "", "", true, false},
	{"Interface", "PreDown", "ip a", "", "", true, false},
	{"Interface", "PostDown", "ip a", "", "", true, false},
	{"Peer", "PublicKey", public, shared[1:], "PublicKey is no key: a key is 32 bytes in base64: 44 characters that end in =", false, false},
	{"Peer", "PresharedKey", shared, shared + "=", "PresharedKey is no key: a key is 32 bytes in base64: 44 characters that end in =", false, false},
	{"Peer", "AllowedIPs", "10.0.0.0/8", "x/8", `AllowedIPs "x/8" is no IP address`, true, true},
	{"Peer", "Endpoint", "vpn.example:1", "vpn.example", `Endpoint "vpn.example" is not host:port or [IPv6]:port: no port`, false, false},
	{"Peer", "PersistentKeepalive", "25", "1s", `PersistentKeepalive "1s" is neither off nor seconds from 0 to 65535`, false, false},
}

// Of each name: any case is read; an empty or bad value, a second one, and one in
// the other section are refused with line, column and a sentence.
func TestEveryNameIsJudgedByLineAndColumn(t *testing.T) {
	for _, n := range names {
		// The name comes in line 3, the rest of what a file needs around it.
		file := func(section string, lines ...string) string {
			head, tail := "[Interface]\n", "\nPrivateKey = "+private
			if section == "Peer" {
				head, tail = "[Interface]\nPrivateKey = "+private+"\n[Peer]\n", "\nPublicKey = "+public
			}
			for _, l := range lines {
				if name, _, _ := strings.Cut(l, "="); strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(strings.SplitN(tail, "=", 2)[0])) {
					tail = ""
				}
			}
			pad := "\n"
			if section == "Peer" {
				pad = ""
			}
			return head + pad + strings.Join(lines, "\n") + tail + "\n"
		}
		line := 3
		if n.section == "Peer" {
			line = 4
		}
		expect := func(text string, line, column int, want string) {
			t.Helper()
			if _, err := wgconf.Parse("f", []byte(text)); fmt.Sprint(err) != fmt.Sprintf("f:%d:%d: %s", line, column, want) {
				t.Errorf("%q:\n got %v\nwant f:%d:%d: %s", text, err, line, column, want)
			}
		}
		for _, spelt := range []string{n.name, strings.ToLower(n.name), strings.ToUpper(n.name)} {
			if _, err := wgconf.Parse("f", []byte(file(n.section, spelt+" = "+n.good))); err != nil {
				t.Errorf("%s: %v", spelt, err)
			}
		}
		if n.wrong != "" {
			expect(file(n.section, "  "+n.name+" = "+n.bad), line, len(n.name)+6, n.wrong)
		}
		if !n.empty {
			expect(file(n.section, n.name+" ="), line, len(n.name)+3, n.name+" has no value")
		}
		if !n.repeat {
			expect(file(n.section, n.name+" = "+n.good, n.name+" = "+n.good), line+1, 1, fmt.Sprintf("%s was given in line %d already", n.name, line))
		}
		other, at := "Peer", 4
		if n.section == "Peer" {
			other, at = "Interface", 3
		}
		expect(file(other, n.name+" = "+n.good), at, 1, fmt.Sprintf("%s belongs in [%s], not in [%s]", n.name, n.section, other))
		expect(file(n.section, n.name+"s = x"), line, 1, fmt.Sprintf("[%s] has no name %q", n.section, n.name+"s"))
	}
}
