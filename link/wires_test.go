package link

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWiresAreWhatIsNotNamedOtherwise(t *testing.T) {
	links := []Link{
		{Name: "lo", Index: 1, Kind: "device", Loopback: true},
		{Name: "eth0", Index: 2, Kind: "device", Up: true},
		{Name: "eth1", Index: 3, Kind: "device"},
		{Name: "eth0.100", Index: 4, Kind: "vlan", Parent: 2},
		{Name: "mv0", Index: 5, Kind: "macvlan", Parent: 2},
		{Name: "tun0", Index: 6, Kind: "tun"},
		{Name: "tun1", Index: 7, Kind: "tun"},
		{Name: "docker0", Index: 8, Kind: "bridge"},
		{Name: "veth1", Index: 9, Kind: "veth", Master: 8},
		{Name: "vnet0", Index: 10, Kind: "tun", Master: 8},
		{Name: "eth2", Index: 11, Kind: "device", Master: 8},
		{Name: "br1", Index: 12, Kind: "bridge"},
		{Name: "veth2", Index: 13, Kind: "veth", Master: 12},
		{Name: "bond0", Index: 14, Kind: "bond", Master: 8},
		{Name: "veth3", Index: 15, Kind: "veth"},
		{Name: "ve-x", Index: 16, Kind: "veth"},
		{Name: "vlan8", Index: 17, Kind: "vlan", Master: 8},
	}
	for _, tt := range []struct {
		name            string
		tunnels, guests []string
		want            []string
	}{
		{"nothing named", nil, nil, []string{"eth0", "eth1", "eth0.100", "mv0", "tun0", "tun1", "docker0", "veth1", "vnet0", "eth2",
			"br1", "veth2", "bond0", "veth3", "ve-x", "vlan8"}},
		// A card in a guest bridge leads outside: it stays a wire.
		{"tunnel and guests", []string{"tun0"}, []string{"docker0", "ve-x", "gone"}, []string{"eth0", "eth1", "eth0.100", "mv0", "tun1",
			"eth2", "br1", "veth2", "bond0", "veth3", "vlan8"}},
		{"no prefix match", []string{"tun"}, []string{"docker", ""}, []string{"eth0", "eth1", "eth0.100", "mv0", "tun0", "tun1", "docker0",
			"veth1", "vnet0", "eth2", "br1", "veth2", "bond0", "veth3", "ve-x", "vlan8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, l := range Wires(links, tt.tunnels, tt.guests) {
				got = append(got, l.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := Wires([]Link{{}}, nil, nil); len(got) != 1 {
		t.Error("the zero link is no wire")
	}
}
