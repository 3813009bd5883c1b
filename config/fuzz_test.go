package config_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
)

// FuzzParse holds for any file: no panic, no Config beside an error, an error
// on one line that begins with the name, and only valid values else.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range txtar.Parse(data).Files {
		f.Add(string(file.Data))
	}
	f.Add("owner = [\"openvpn\", 1000]\nmark = \"0x1/0xff\"\nresolve_timeout = \"3s\"\nallow_in = [\"udp/1-2\"]\n")
	f.Fuzz(func(t *testing.T, data string) {
		c, err := config.Parse("f.toml", []byte(data))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.toml:") {
				t.Errorf("error %q", err)
			}
			if diff := cmp.Diff(config.Config{}, c, byValue); diff != "" {
				t.Errorf("a configuration beside the error:\n%s", diff)
			}
			return
		}
		if c.ResolveTimeout < time.Second || c.ResolveTimeout > 30*time.Second {
			t.Errorf("timeout %v", c.ResolveTimeout)
		}
		for _, e := range c.Endpoints {
			if again, err := endpoint.ParseOrName(e.String()); err != nil || again != e {
				t.Errorf("endpoint %v does not round-trip: %v, %v", e, again, err)
			}
		}
		for _, o := range c.Owners {
			roundTrip(t, &o, new(config.Owner))
		}
		for _, s := range c.AllowIn {
			roundTrip(t, &s, new(config.Service))
		}
		if c.Mark != (config.Mark{}) {
			roundTrip(t, &c.Mark, new(config.Mark))
		}
		for _, a := range append(c.DNS, c.BootstrapDNS...) {
			if endpoint.CheckAddr(a) != nil {
				t.Errorf("resolver %v", a)
			}
		}
		for _, n := range c.Guests {
			if _, err := endpoint.ParseIfName(string(n)); err != nil || n == "lo" {
				t.Errorf("guest %q", n)
			}
		}
	})
}

// FuzzValues feeds each parser that the command line uses.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"0x1/0xff", "tcp/22", "udp/1-2", "auto", "off", "openvpn", "1000", "/system.slice/x.service", "01", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, create := range []func() value{newMark, newService, newProfile, newFence, newOwner, newCgroup} {
			v := create()
			zero := v.String()
			if err := v.UnmarshalText([]byte(s)); err != nil {
				if v.String() != zero {
					t.Errorf("%T %q: the error changed it to %q", v, s, v)
				}
				continue
			}
			roundTrip(t, v, create())
			if strings.ContainsAny(v.String(), " \"\n\x00*") || v.String() == "" {
				t.Errorf("%T %q: %q", v, s, v)
			}
			if m, ok := v.(*config.Mark); ok && (m.Value == 0 || m.Mask == 0 || m.Value&^m.Mask != 0) {
				t.Errorf("mark %q: %+v", s, m)
			}
			if p, ok := v.(*config.Service); ok && (p.First == 0 || p.First > p.Last) {
				t.Errorf("service %q: %+v", s, p)
			}
		}
	})
}

func roundTrip(t *testing.T, v, again value) {
	t.Helper()
	if err := again.UnmarshalText([]byte(v.String())); err != nil || again.String() != v.String() {
		t.Errorf("%T %q does not round-trip: %q, %v", v, v, again, err)
	}
}
