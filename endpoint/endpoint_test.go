package endpoint_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
)

func TestParseAcceptsOneFormOfEachEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.10:1194/udp":         "203.0.113.10:1194/udp",
		"[2001:db8::1]:443/tcp":         "[2001:db8::1]:443/tcp",
		"[2001:DB8:0::1]:443/tcp":       "[2001:db8::1]:443/tcp",
		"[::ffff:203.0.113.10]:443/tcp": "203.0.113.10:443/tcp",
		"203.0.113.10:65535/tcp":        "203.0.113.10:65535/tcp",
	} {
		e, err := endpoint.Parse(in)
		if err != nil || e.String() != want || !e.IsValid() {
			t.Errorf("%q: %v, %v, want %s", in, e, err, want)
		}
		o, err := endpoint.ParseOrName(in)
		if err != nil || o.String() != want {
			t.Errorf("%q or name: %v, %v", in, o, err)
		}
		if got, ok := o.Endpoint(); !ok || got != e {
			t.Errorf("%q: endpoint %v %v, want %v", in, got, ok, e)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                           `endpoint "": no protocol, want host:port/udp or host:port/tcp`,
		"203.0.113.10":               `endpoint "203.0.113.10": no protocol, want host:port/udp or host:port/tcp`,
		"203.0.113.10:1194":          `endpoint "203.0.113.10:1194": no protocol, want host:port/udp or host:port/tcp`,
		"203.0.113.10/udp":           `endpoint "203.0.113.10/udp": no port`,
		"[2001:db8::1]/udp":          `endpoint "[2001:db8::1]/udp": no port`,
		"203.0.113.10:1194/UDP":      `endpoint "203.0.113.10:1194/UDP": protocol "UDP": neither udp nor tcp`,
		"203.0.113.10:1194/udp/x":    `endpoint "203.0.113.10:1194/udp/x": protocol "udp/x": neither udp nor tcp`,
		"203.0.113.10:0/udp":         `endpoint "203.0.113.10:0/udp": port is not a number from 1 to 65535`,
		"203.0.113.10:/udp":          `endpoint "203.0.113.10:/udp": port is not a number from 1 to 65535`,
		"203.0.113.10:+1/udp":        `endpoint "203.0.113.10:+1/udp": port is not a number from 1 to 65535`,
		"203.0.113.10:01/udp":        `endpoint "203.0.113.10:01/udp": port is not a number from 1 to 65535`,
		"203.0.113.10:65536/udp":     `endpoint "203.0.113.10:65536/udp": port is not a number from 1 to 65535`,
		"2001:db8::1:443/tcp":        `endpoint "2001:db8::1:443/tcp": an IPv6 address needs brackets`,
		"[203.0.113.10]:443/tcp":     `endpoint "[203.0.113.10]:443/tcp": brackets are for IPv6 addresses`,
		"[2001:db8::1:443/tcp":       `endpoint "[2001:db8::1:443/tcp": brackets are for IPv6 addresses`,
		"[fe80::1%eth0]:443/tcp":     `endpoint "[fe80::1%eth0]:443/tcp": an address with a zone names no host`,
		"0.0.0.0:443/tcp":            `endpoint "0.0.0.0:443/tcp": the unspecified address names no host`,
		"[::ffff:0.0.0.0]:443/tcp":   `endpoint "[::ffff:0.0.0.0]:443/tcp": the unspecified address names no host`,
		"127.0.0.1:443/tcp":          `endpoint "127.0.0.1:443/tcp": a loopback address is never on the wire`,
		"[::ffff:127.0.0.1]:443/tcp": `endpoint "[::ffff:127.0.0.1]:443/tcp": a loopback address is never on the wire`,
		"[ff02::1]:443/udp":          `endpoint "[ff02::1]:443/udp": a multicast address names no host`,
		"255.255.255.255:443/udp":    `endpoint "255.255.255.255:443/udp": the broadcast address names no host`,
		"203.0.113.010:443/udp":      `endpoint "203.0.113.010:443/udp": not an IP address`,
		"vpn.example.net:443/udp":    `endpoint "vpn.example.net:443/udp": not an IP address`,
	} {
		e := endpoint.Endpoint{Proto: endpoint.TCP}
		err := e.UnmarshalText([]byte(in))
		if fmt.Sprint(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if e != (endpoint.Endpoint{Proto: endpoint.TCP}) {
			t.Errorf("%q: the error changed the value to %v", in, e)
		}
	}
}

func TestOrNameTakesNames(t *testing.T) {
	o, err := endpoint.ParseOrName("VPN.Example.net.:1194/udp")
	if err != nil || o != (endpoint.OrName{Host: "vpn.example.net", Port: 1194, Proto: endpoint.UDP}) {
		t.Errorf("%+v, %v", o, err)
	}
	if e, ok := o.Endpoint(); ok {
		t.Errorf("a name became the endpoint %v", e)
	}
	for in, want := range map[string]string{
		"127.1:1194/udp":     `endpoint "127.1:1194/udp": domain name looks like an address`,
		"0x7f000001:1/udp":   `endpoint "0x7f000001:1/udp": domain name looks like an address`,
		"127.0.0.1:1194/udp": `endpoint "127.0.0.1:1194/udp": a loopback address is never on the wire`,
		":1194/udp":          `endpoint ":1194/udp": empty domain name`,
		"$(id):1194/udp":     `endpoint "$(id):1194/udp": domain name holds byte 0x24`,
		"[vpn]:1194/udp":     `endpoint "[vpn]:1194/udp": brackets are for IPv6 addresses`,
	} {
		if _, err := endpoint.ParseOrName(in); fmt.Sprint(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestZeroValuesAreInvalidAndEmpty(t *testing.T) {
	if e := (endpoint.Endpoint{}); e.IsValid() || e.String() != "" {
		t.Errorf("zero endpoint %q", e)
	}
	if o := (endpoint.OrName{}); o.String() != "" {
		t.Errorf("zero name %q", o)
	} else if _, ok := o.Endpoint(); ok {
		t.Error("the zero name is an endpoint")
	}
	var p endpoint.Proto
	if _, err := p.MarshalText(); err == nil || p.String() != "invalid" {
		t.Errorf("zero protocol %v", p)
	}
	mapped := endpoint.Endpoint{Addr: netip.MustParseAddrPort("[::ffff:203.0.113.1]:1"), Proto: endpoint.UDP}
	if mapped.IsValid() {
		t.Error("an IPv4-mapped endpoint is valid: it would match no IPv4 packet")
	}
}

func TestParseName(t *testing.T) {
	label := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"corp.example":   "corp.example",
		"CORP.Example.":  "corp.example",
		"host":           "host",
		"_sip._udp.x":    "_sip._udp.x",
		"xn--kse-qla.de": "xn--kse-qla.de",
		"1.2.3.4x":       "1.2.3.4x",
		label:            label,
		label + "." + label + "." + label + "." + label[:61]: label + "." + label + "." + label + "." + label[:61],
	} {
		if got, err := endpoint.ParseName(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", ".", "..", "a..b", ".a", "a..", "-a", "a-", "a.-b", "a-.b", label + "a",
		label + "." + label + "." + label + "." + label[:62], "a b", "a/b", "a;b", "a\nb", "a\x00b",
		"käse.example", "*.example", "a`id`b", "1.2.3.4", "a.1", "0x7f", "a.0x", "~corp.example",
	} {
		if got, err := endpoint.ParseName(in); err == nil {
			t.Errorf("%q was accepted as %q", in, got)
		}
	}
}

func TestParseIfName(t *testing.T) {
	for _, in := range []string{"tun0", "eth0.100", "br-1a2b3c", "wlan0@x", "a", "123456789012345", "...", "tun_0", "tun$", "x{y}"} {
		if got, err := endpoint.ParseIfName(in); err != nil || string(got) != in {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", ".", "..", "1234567890123456", "a/b", "a:b", "a b", "a\tb", "a\nb", "a\x00", "a\x7f", "a\"", "a'", "a`",
		`a\`, "a*", "tun%d", "-a", "büro", "a\xa0b",
	} {
		n := endpoint.IfName("was")
		if err := n.UnmarshalText([]byte(in)); err == nil || n != "was" {
			t.Errorf("%q was accepted, or changed the value: %q", in, n)
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"203.0.113.10:1194/udp", "[2001:db8::1]:443/tcp", "[::ffff:1.2.3.4]:1/tcp", "vpn.example.:1/udp", "[fe80::1%a]:1/udp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, errE := endpoint.Parse(s)
		o, errO := endpoint.ParseOrName(s)
		if errE == nil {
			if again, err := endpoint.Parse(e.String()); err != nil || again != e || !e.IsValid() {
				t.Errorf("%q: %v does not round-trip: %v, %v", s, e, again, err)
			}
			if got, ok := o.Endpoint(); errO != nil || !ok || got != e {
				t.Errorf("%q: endpoint %v, or name %v, %v", s, e, o, errO)
			}
		}
		if errO != nil {
			return
		}
		if again, err := endpoint.ParseOrName(o.String()); err != nil || again != o {
			t.Errorf("%q: %v does not round-trip: %v, %v", s, o, again, err)
		}
		if _, ok := o.Endpoint(); ok != (errE == nil) {
			t.Errorf("%q: %v is an endpoint: %v, but Parse says %v", s, o, ok, errE)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"corp.example", "Corp.Example.", "a`id`b", "127.1", "tun0", "-x", "2001:db8::1", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789-_."
		if n, err := endpoint.ParseName(s); err == nil {
			if again, err := endpoint.ParseName(n); err != nil || again != n {
				t.Errorf("%q: %q does not round-trip: %q, %v", s, n, again, err)
			}
			if strings.Trim(n, alphabet) != "" || len(n) > 253 {
				t.Errorf("%q: bad name %q", s, n)
			}
		}
		if h, err := endpoint.ParseHost(s); err == nil {
			if again, err := endpoint.ParseHost(h); err != nil || again != h || strings.Trim(h, alphabet+":") != "" {
				t.Errorf("%q: %q does not round-trip: %q, %v", s, h, again, err)
			}
		}
		if n, err := endpoint.ParseIfName(s); err == nil && (string(n) != s || len(s) > 15 || strings.ContainsAny(s, "/:*\"'\\ %")) {
			t.Errorf("%q: bad interface name %q", s, n)
		}
		if a, err := endpoint.ParseAddr(s); err == nil && (a.Is4In6() || endpoint.CheckAddr(a) != nil) {
			t.Errorf("%q: bad address %v", s, a)
		}
	})
}
