package tests

import (
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// foreign is what a host may have of its own: a firewall that accepts early and
// counts, one with sets and a map, and a filter at a link's entrance.
const foreign = `
table ip filter {
	counter early {
	}
	chain OUTPUT {
		type filter hook output priority -400; policy accept;
		counter name "early"
		oifname "eth0" counter accept comment "an early accept"
	}
	chain INPUT {
		type filter hook input priority -400; policy accept;
		counter accept
	}
	chain FORWARD {
		type filter hook forward priority -400; policy accept;
		counter accept
	}
}
table inet firewalld {
	set trusted {
		type ipv4_addr
		flags interval
		elements = { 8.8.8.0/24, 192.168.1.0/24 }
	}
	map zones {
		type ifname : verdict
		elements = { "eth0" : goto zone_public, "tun0" : goto zone_trusted }
	}
	chain filter_OUTPUT {
		type filter hook output priority filter + 10; policy accept;
		ct state { established, related } accept
		oifname vmap @zones
	}
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		iifname vmap @zones
	}
	chain zone_public {
		ip saddr @trusted accept
		tcp dport { 22, 80, 443 } accept
	}
	chain zone_trusted {
		accept
	}
	chain nat_POSTROUTING {
		type nat hook postrouting priority srcnat + 10; policy accept;
		oifname "eth0" ip saddr 172.31.0.0/24 masquerade
	}
}
table netdev entrance {
	chain ingress {
		type filter hook ingress device "eth0" priority -500; policy accept;
		ip saddr 192.0.2.0/24 drop
		accept
	}
}
`

// foreignTables are the tables above, as nft lists them.
var foreignTables = []string{"ip filter", "inet firewalld", "netdev entrance"}

// foreignProbes are one of each kind; the whole matrix is another test.
var foreignProbes = []string{
	"udp-public", "tcp-public", "udp-public-v6", "udp-server", "tcp-server", "icmp-server", "udp-carrier-port", "tcp-carrier-port",
	"dns-udp-lan", "dns-tcp-lan", "dot-tcp-lan", "mdns", "netbios-ns", "udp-lan", "tcp-lan-v6",
	"bind-device-udp", "bind-device-tcp", "bind-device-tcp-v6", "pktinfo", "multicast-if", "source-udp", "raw-ip", "fragments", "proto-gre",
	"packet-ipv4", "packet-ipv6-bypass", "packet-arp", "packet-odd-type", "igmp-join",
}

func TestForeignTablesNeitherLoosenTheSealNorAreTouched(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{}
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		s.foreign()
		policy := s.policy(srv)
		policy.Carriers = nil
		for _, x := range s.tries(srv, foreignProbes) {
			s.shows(s.lab.Client, x.uid, x.order, policy) // the foreign tables stop none of them
		}
	})
	t.Run("sealed", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		s.foreign()
		before, tables := s.snapshot(), s.foreignListing()
		client := s.connect(clientOf(srv))
		s.must(0, "status")
		policy, start := s.policy(srv), s.mark()
		for _, x := range s.tries(srv, foreignProbes) {
			if x.own(srv) {
				s.ownerPasses(x, policy)
				continue
			}
			s.silent(s.lab.Client, x.uid, x.order, policy)
			s.alive("after " + x.Name)
		}
		s.explained(start, policy)
		if now := s.foreignListing(); now != tables {
			t.Errorf("sealed, the foreign tables are\n%s\nwere\n%s", now, tables)
		}
		if _, err := client.Stop(s.ctx); err != nil {
			t.Fatal(err)
		}
		s.restored(before)
	})
}

func (s *scene) foreign() {
	s.Helper()
	cmd := s.lab.Client.Command(s.ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(foreign)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("load the foreign tables: %v: %s", err, out)
	}
}

func (s *scene) foreignListing() string {
	s.Helper()
	all := ""
	for _, t := range foreignTables {
		out, err := s.lab.Client.Run(s.ctx, "nft", append([]string{"-s", "-a", "list", "table"}, strings.Fields(t)...)...)
		if err != nil {
			s.Fatal(err)
		}
		all += out
	}
	return all
}
