package uapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Keys for examples, in hexadecimal.
var (
	hexA = strings.Repeat("a1", 32)
	hexB = strings.Repeat("B2", 32)
	zero = strings.Repeat("00", 32)
)

// whole has every name.
var whole = "set=1\nprivate_key=" + hexA + "\nlisten_port=51820\nfwmark=51820\nreplace_peers=true\n" +
	"public_key=" + hexA + "\nupdate_only=true\npreshared_key=" + hexB + "\nendpoint=[2001:db8::1]:7\npersistent_keepalive_interval=25\n" +
	"allowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\nprotocol_version=1\nallowed_ip=192.0.2.9/24\nallowed_ip=-10.0.0.0/8\nallowed_ip=+fd00::/64\n" +
	"public_key=" + hexB + "\nremove=true\n\n"

var equal = cmp.Options{
	cmp.Comparer(key.Private.Equal), cmp.Comparer(key.Preshared.Equal),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func parse(text string) (request, error) {
	return readRequest(bufio.NewReaderSize(strings.NewReader(text), maxLine))
}

func TestSetHasEveryName(t *testing.T) {
	r, err := parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(b byte) (out [32]byte) {
		for i := range out {
			out[i] = b
		}
		return out
	}
	private, psk := key.PrivateFrom(raw(0xa1)), key.PresharedFrom(raw(0xb2))
	port, mark, keepalive, end := uint16(51820), uint32(51820), 25*time.Second, netip.MustParseAddrPort("[2001:db8::1]:7")
	want := tunnel.Change{ListenPort: &port, FwMark: &mark, Change: engine.Change{Private: &private, ReplacePeers: true, Peers: []engine.PeerChange{
		{Public: raw(0xa1), UpdateOnly: true, Preshared: &psk, Endpoint: &end, Keepalive: &keepalive, ReplaceAllowed: true, Allowed: []engine.AllowedChange{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Remove: true}, {Prefix: netip.MustParsePrefix("fd00::/64")},
		}},
		{Public: raw(0xb2), Remove: true},
	}}}
	if diff := cmp.Diff(request{change: want}, r, equal, cmp.AllowUnexported(request{})); diff != "" {
		t.Error(diff)
	}
	if got := r.change.Endpoints(); len(got) != 1 || got[0] != end {
		t.Errorf("endpoints %v", got)
	}
	if r, err := parse("get=1\n\n"); err != nil || !r.get {
		t.Errorf("get: %+v, %v", r, err)
	}
}

func TestBadRequestsAreRefusedByLine(t *testing.T) {
	const peer = "set=1\npublic_key=PUB\n"
	for in, want := range map[string]string{
		"hello\n\n":                 "refuse a request: line 1 is neither get=1 nor set=1",
		"get=2\n\n":                 "refuse a request: line 1 is neither get=1 nor set=1",
		"\n\n":                      "refuse a request: line 1 is neither get=1 nor set=1",
		"get=1\nset=1\n\n":          "refuse a request: a get has no second line",
		"set=1\nhello\n\n":          "refuse a request: line 2: it is not name=value",
		"set=1\nprivate_key=zz\n\n": "refuse a request: line 2: private_key is no key in hexadecimal",
		"set=1\nprivate_key=" + hexA[1:] + "g\n\n":         "refuse a request: line 2: private_key is no key in hexadecimal",
		"set=1\nlisten_port=65536\n\n":                     "refuse a request: line 2: listen_port is not from 0 to 65535",
		"set=1\nlisten_port=+1\n\n":                        "refuse a request: line 2: listen_port is not from 0 to 65535",
		"set=1\nfwmark=0x1\n\n":                            "refuse a request: line 2: fwmark is not from 0 to 4294967295",
		"set=1\nreplace_peers=false\n\n":                   "refuse a request: line 2: replace_peers is not true",
		"set=1\nmtu=1\n\n":                                 "refuse a request: line 2: a device has no such name, or it came after a peer's",
		"set=1\nallowed_ip=10.0.0.0/8\n\n":                 "refuse a request: line 2: a device has no such name, or it came after a peer's",
		"set=1\npublic_key=" + zero + "\n\n":               "refuse a request: line 2: public_key is no key in hexadecimal",
		"set=1\npublic_key=\n\n":                           "refuse a request: line 2: public_key is no key in hexadecimal",
		peer + "private_key=PUB\n\n":                       "refuse a request: line 3: a peer has no such name",
		peer + "remove=1\n\n":                              "refuse a request: line 3: remove is not true",
		peer + "update_only=\n\n":                          "refuse a request: line 3: update_only is not true",
		peer + "preshared_key=1\n\n":                       "refuse a request: line 3: preshared_key is no key in hexadecimal",
		peer + "endpoint=example.net:1\n\n":                "refuse a request: line 3: endpoint is not address:port or [IPv6]:port",
		peer + "endpoint=192.0.2.1\n\n":                    "refuse a request: line 3: endpoint is not address:port or [IPv6]:port",
		peer + "persistent_keepalive_interval=off\n\n":     "refuse a request: line 3: persistent_keepalive_interval is not from 0 to 65535",
		peer + "replace_allowed_ips=no\n\n":                "refuse a request: line 3: replace_allowed_ips is not true",
		peer + "allowed_ip=10.0.0.0\n\n":                   "refuse a request: line 3: allowed_ip is not address/length, with + or - before it or not",
		peer + "allowed_ip=--10.0.0.0/8\n\n":               "refuse a request: line 3: allowed_ip is not address/length, with + or - before it or not",
		peer + "protocol_version=2\n\n":                    "refuse a request: line 3: protocol_version is not 1",
		peer + "rx_bytes=2\n\n":                            "refuse a request: line 3: a peer has no such name",
		"set=1\n" + strings.Repeat("x", maxLine) + "\n\n":  "give a caller up: a line has more than 256 bytes",
		"set=1\nlisten_port=1\n":                           "unexpected EOF",
		"set=1\nlisten_port=1":                             "unexpected EOF",
		"set=1":                                            "unexpected EOF",
		"":                                                 "EOF",
		"set=1\n" + strings.Repeat("fwmark=1\n", maxLines): "give a caller up: a request has more than 1048576 lines",
	} {
		if _, err := parse(strings.ReplaceAll(in, "PUB", hexA)); fmt.Sprint(err) != want {
			t.Errorf("%.80q:\n got %v\nwant %s", in, err, want)
		}
	}
}

// Whatever comes, there is a change that is written and read as itself, or an
// error that repeats no key.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("get=1\n\n"))
	f.Add([]byte("set=1\npublic_key=" + hexA + "\nendpoint=[fe80::1%25e]:1\nallowed_ip=::ffff:1.2.3.4/120\n\n"))
	f.Add([]byte("set=1\nprivate_key=" + hexA + "x\n\n"))
	f.Add([]byte("set=1\npublic_key=" + hexA + "\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\n\nget=1\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(string(data))
		if err != nil {
			if strings.Contains(err.Error(), hexA) || !errors.Is(err, errRefused) && !errors.Is(err, errLost) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %q", err)
			}
			return
		}
		if r.get {
			return
		}
		again, err := parse(string(appendSet(nil, r.change)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again, equal, cmp.AllowUnexported(request{})); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("private_key=" + hexA + "\nlisten_port=1\npublic_key=" + hexB + "\nendpoint=192.0.2.1:1\nlast_handshake_time_sec=1\nlast_handshake_time_nsec=5\nallowed_ip=10.0.0.0/8\nnew=1\nerrno=0\n\n"))
	f.Add([]byte("errno=-22\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a answer
		if err := a.read(bufio.NewReaderSize(strings.NewReader(string(data)), maxLine)); err != nil && strings.Contains(err.Error(), hexA) {
			t.Fatalf("a key is in %q", err)
		}
	})
}
