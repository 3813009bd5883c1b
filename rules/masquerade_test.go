package rules

import (
	"net/netip"
	"strings"
	"testing"
)

func TestMasqueradeNeverUsesAPortOnWhichTheHostListens(t *testing.T) {
	for _, c := range []struct {
		listen   uint16
		services []uint16
		want     PortRange
	}{
		{51820, nil, PortRange{1024, 51819}},
		{1194, nil, PortRange{1195, 65535}},
		{500, nil, PortRange{1024, 65535}},
		{65535, nil, PortRange{1024, 65534}},
		{51820, []uint16{8080, 443, 51820}, PortRange{8081, 51819}},
		{30000, []uint16{1024}, PortRange{30001, 65535}},
	} {
		if got := (Masquerade{ListenPort: c.listen, Services: c.services}).Ports(); got != c.want {
			t.Errorf("beside %d and %v: %v, want %v", c.listen, c.services, got, c.want)
		}
	}
}

func TestMasqueradeRefusesWhatProtectsNothing(t *testing.T) {
	inside := []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}
	for name, m := range map[string]Masquerade{
		"no device":        {ListenPort: 1, Inside: inside},
		"a device's name":  {Device: "a b", ListenPort: 1, Inside: inside},
		"no port":          {Device: "own0", Inside: inside},
		"everybody inside": {Device: "own0", ListenPort: 1, Inside: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		"mapped":           {Device: "own0", ListenPort: 1, Inside: []netip.Prefix{netip.MustParsePrefix("::ffff:10.8.0.0/120")}},
		"no ports left":    {Device: "own0", ListenPort: 60000, Services: []uint16{5000, 9000, 13000, 17000, 21000, 25000, 29000, 33000, 37000, 41000, 45000, 49000, 53000, 57000, 64000}},
	} {
		if m.Validate() == nil {
			t.Errorf("%s was accepted: %s", name, m.Text())
		}
	}
	m := Masquerade{Device: "own0", ListenPort: 51820, Inside: inside}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	m.Inside = nil
	if text := m.Text(); m.Validate() != nil || strings.Contains(text, "masquerade") || !strings.Contains(text, "drop") {
		t.Errorf("where somebody else translates the fix stays: %s", text)
	}
}
