package config_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
)

var byValue = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestEveryKeyIsRead(t *testing.T) {
	const file = `
profile = "split"
owner = ["openvpn", 1000, "1000", "0"]
mark = "0x1/0xff"
cgroup = '/system.slice/system-openvpn\x2dclient.slice/openvpn-client@work.service'
lan = true
allow_in = ["tcp/22", "udp/5000-5010", "tcp/22"]
guests = ["docker0"]
bootstrap_dns = ["9.9.9.9"]
fence = "off"
steer = "off"
steer_table = 1000
open_on_server_stop = true
endpoints = ["203.0.113.10:1194/udp", "[2001:db8::1]:443/tcp", "VPN.example.net:1194/udp"]
dns = ["10.8.0.1", "::ffff:10.8.0.1"]
domains = ["Corp.Example."]
resolve_timeout = "1500ms"
`
	want := config.Config{
		Profile:      config.ProfileSplit,
		Owners:       []config.Owner{"openvpn", "1000", "0"},
		Mark:         config.Mark{Value: 1, Mask: 0xff},
		Cgroup:       `/system.slice/system-openvpn\x2dclient.slice/openvpn-client@work.service`,
		LAN:          true,
		AllowIn:      []config.Service{{Proto: endpoint.TCP, First: 22, Last: 22}, {Proto: endpoint.UDP, First: 5000, Last: 5010}},
		Guests:       []endpoint.IfName{"docker0"},
		BootstrapDNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")},
		Fence:        config.FenceOff,
		Steer:        config.SteerOff,
		SteerTable:   1000,
		Endpoints: []endpoint.OrName{
			{Host: "203.0.113.10", Port: 1194, Proto: endpoint.UDP},
			{Host: "2001:db8::1", Port: 443, Proto: endpoint.TCP},
			{Host: "vpn.example.net", Port: 1194, Proto: endpoint.UDP},
		},
		DNS:              []netip.Addr{netip.MustParseAddr("10.8.0.1")},
		Domains:          []string{"corp.example"},
		OpenOnServerStop: true,
		ResolveTimeout:   1500 * time.Millisecond,
	}
	got, err := config.Parse("vpnguard.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	for _, data := range []string{"", "\n", "# nothing\n", "owner = []\n"} {
		got, err := config.Parse("vpnguard.toml", []byte(data))
		if diff := cmp.Diff(config.Default(), got, byValue); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", data, err, diff)
		}
	}
	want := config.Config{Profile: config.ProfileAuto, ResolveTimeout: 3 * time.Second, SteerTable: 51920}
	if diff := cmp.Diff(want, config.Default(), byValue); diff != "" {
		t.Errorf("default differs (-want +got):\n%s", diff)
	}
}

func TestZeroValuesAreTheStrictest(t *testing.T) {
	var c config.Config
	got := fmt.Sprintf("%v %v lan=%v open=%v mark=%q", c.Profile, c.Fence, c.LAN, c.OpenOnServerStop, c.Mark)
	if want := `full required lan=false open=false mark=""`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLargeFilesAndListsAreRefused(t *testing.T) {
	long := "guests = [" + strings.Repeat(`"a",`, 257) + "]"
	if _, err := config.Parse("f", []byte(long)); fmt.Sprint(err) != "f:1: guests: more than 256 entries" {
		t.Error(err)
	}
	if _, err := config.Parse("f", make([]byte, 64<<10+1)); fmt.Sprint(err) != "f: larger than 65536 bytes" {
		t.Error(err)
	}
}

type value interface {
	fmt.Stringer
	UnmarshalText([]byte) error
}

func TestValuesHaveOneForm(t *testing.T) {
	tests := []struct {
		new  func() value
		in   string
		want string // "" for refused
	}{
		{newMark, "1", "0x1"},
		{newMark, "0x10/0xf0", "0x10/0xf0"},
		{newMark, "16/240", "0x10/0xf0"},
		{newMark, "4294967295", "0xffffffff"},
		{newMark, "0xffffffff/0xffffffff", "0xffffffff"},
		{newMark, "0x01", "0x1"},
		{newMark, "", ""},
		{newMark, "/1", ""},
		{newMark, "1/", ""},
		{newMark, "1/1/1", ""},
		{newMark, "0x", ""},
		{newMark, "0X1", ""},
		{newMark, "0x1_0", ""},
		{newMark, " 1", ""},
		{newMark, "0x-1", ""},
		{newMark, "4294967296", ""},
		{newService, "tcp/22", "tcp/22"},
		{newService, "udp/5000-5010", "udp/5000-5010"},
		{newService, "udp/53-53", "udp/53"},
		{newService, "tcp/1-65535", "tcp/1-65535"},
		{newService, "tcp/0", ""},
		{newService, "tcp/", ""},
		{newService, "tcp/22-", ""},
		{newService, "tcp/-22", ""},
		{newService, "tcp/1-2-3", ""},
		{newService, "TCP/22", ""},
		{newService, "22/tcp", ""},
		{newService, "", ""},
		{newProfile, "auto", "auto"},
		{newProfile, "full", "full"},
		{newProfile, "split", "split"},
		{newProfile, "", ""},
		{newProfile, "invalid", ""},
		{newFence, "required", "required"},
		{newFence, "off", "off"},
		{newFence, "on", ""},
		{newOwner, "openvpn", "openvpn"},
		{newOwner, "_x", "_x"},
		{newOwner, "alice@corp.example", "alice@corp.example"},
		{newOwner, "0", "0"},
		{newOwner, "4294967294", "4294967294"},
		{newOwner, "4294967295", ""},
		{newOwner, "99999999999999999999", ""},
		{newOwner, "01", ""},
		{newOwner, "", ""},
		{newOwner, ".x", ""},
		{newOwner, "a b", ""},
		{newOwner, "a:b", ""},
		{newOwner, "a\n", ""},
		{newOwner, strings.Repeat("a", 65), ""},
		{newCgroup, "/a", "/a"},
		{newCgroup, "/a/", ""},
		{newCgroup, "//a", ""},
		{newCgroup, "/a/./b", ""},
		{newCgroup, `/a"b`, ""},
		{newCgroup, "/a*", ""},
		{newCgroup, "/a\nb", ""},
		{newCgroup, "", ""},
		{newCgroup, strings.Repeat("/a", 256), ""},
		{newCgroup, "/" + strings.Repeat("a", 256), ""},
	}
	for _, tt := range tests {
		v := tt.new()
		zero := v.String()
		err := v.UnmarshalText([]byte(tt.in))
		if tt.want == "" {
			if err == nil || v.String() != zero {
				t.Errorf("%T %q: accepted, or changed by the error: %q", v, tt.in, v)
			}
			continue
		}
		if err != nil || v.String() != tt.want {
			t.Errorf("%T %q: %q, %v, want %q", v, tt.in, v, err, tt.want)
		}
	}
}

func newMark() value    { return new(config.Mark) }
func newService() value { return new(config.Service) }
func newProfile() value { return new(config.Profile) }
func newFence() value   { return new(config.Fence) }
func newOwner() value   { return new(config.Owner) }
func newCgroup() value  { return new(config.Cgroup) }

func TestOwnerKnowsItsUID(t *testing.T) {
	for in, want := range map[config.Owner]string{
		"1000": "1000 true", "0": "0 true", "openvpn": "0 false", "": "0 false", "4294967295": "4294967295 false",
	} {
		if uid, ok := in.UID(); fmt.Sprint(uid, ok) != want {
			t.Errorf("%q: %d %v, want %s", in, uid, ok, want)
		}
	}
}
