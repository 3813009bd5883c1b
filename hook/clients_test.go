package hook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/hook"
)

// minimal is for each client a call that seals, but for tinc's host-up.
var minimal = map[string]struct {
	env, args, comm string
}{
	"openconnect": {"reason=connect|TUNDEV=tun0|VPNGATEWAY=203.0.113.5|VPNPID=4711|INTERNAL_IP4_ADDRESS=192.0.2.34|INTERNAL_IP4_NETMASK=255.255.255.240", "", ""},
	"vpnc":        {"reason=connect|TUNDEV=tun0|VPNGATEWAY=203.0.113.5|INTERNAL_IP4_ADDRESS=192.0.2.34", "", ""},
	"wg-quick":    {"LC_ALL=C", "wg0", "wg-quick"},
	"networkmanager": {"NM_DISPATCHER_ACTION=vpn-pre-up|VPN_IP_IFACE=tun0|DEVICE_IP_IFACE=eth0|VPN_IP4_ADDRESS_0=192.0.2.2/26 192.0.2.1|VPN_IP4_NAMESERVERS=192.0.2.1|VPN_IP4_DOMAINS=corp.example|VPN_IP4_ROUTE_0=203.0.113.128/25 192.0.2.1 50",
		"tun0|vpn-pre-up", "nm-dispatcher"},
	"strongswan":          {"PLUTO_VERB=up-client|PLUTO_VERSION=1.1|PLUTO_PEER=203.0.113.5|PLUTO_UDP_ENC=4500|PLUTO_MY_SOURCEIP4_1=192.0.2.120|PLUTO_PEER_CLIENT=0.0.0.0/0|PLUTO_DNS4_1=192.0.2.113", "", ""},
	"pppd":                {"IFNAME=ppp0|PPPD_PID=500|ORIG_UID=0|IPLOCAL=192.0.2.2|DNS1=192.0.2.53|USEPEERDNS=1|SPEED=38400", "ppp0||38400|192.0.2.2|192.0.2.1|203.0.113.5:22/tcp", ""},
	"ifupdown":            {"IFACE=tun9|LOGICAL=tun9|PHASE=post-up|MODE=start|METHOD=static|IF_DNS_NAMESERVERS=192.0.2.66", "", ""},
	"networkd-dispatcher": {"IFACE=vpn0|STATE=routable|OperationalState=routable|AdministrativeState=configured", "", ""},
	"tinc":                {"INTERFACE=tinc0|NAME=alice|DEVICE=/dev/net/tun|NODE=gw|REMOTEADDRESS=203.0.113.5|REMOTEPORT=655", "", ""},
}

// parse parses the minimal call of a client, changed as env is.
func parse(t *testing.T, client string, command hook.Command, args string, changes ...string) (hook.Call, error) {
	t.Helper()
	m, ok := minimal[client]
	if !ok {
		t.Fatalf("no minimal call of %q", client)
	}
	if args == "" {
		args = m.args
	}
	var list []string
	if args != "" {
		list = strings.Split(args, "|")
	}
	set := changed(strings.Split(m.env, "|"), changes)
	return hook.Parse(command, set, list, hook.Parent{Comm: m.comm})
}

// changed sets "KEY=VALUE" and unsets "KEY".
func changed(set, changes []string) []string {
	for _, c := range changes {
		key, _, keep := strings.Cut(c, "=")
		var rest []string
		for _, kv := range set {
			if !strings.HasPrefix(kv, key+"=") {
				rest = append(rest, kv)
			}
		}
		set = rest
		if keep {
			set = append(set, c)
		}
	}
	return set
}

// The control of the tables below, and that no client takes another's call.
func TestMinimalCallOfEachClientIsIts(t *testing.T) {
	for client := range minimal {
		c, err := parse(t, client, hook.CommandUp, "")
		if err != nil || c.Client != client {
			t.Errorf("%s: %q, %v", client, c.Client, err)
		}
		checkCall(t, c)
	}
	for _, client := range hook.Clients() {
		if _, ok := minimal[client]; !ok && client != "openvpn" {
			t.Errorf("%s has no minimal call", client)
		}
	}
}

func TestBadValueOfEachClientFailsUpAndNeverDown(t *testing.T) {
	for _, tt := range []struct{ client, change, want string }{
		{"openconnect", "TUNDEV", `hook value TUNDEV "": not set beside reason`},
		{"openconnect", "TUNDEV=tun0 id", `hook value TUNDEV "tun0 id"`},
		{"openconnect", "TUNDEV=../../x", "holds byte 0x2f"},
		{"openconnect", "VPNGATEWAY", `hook value VPNGATEWAY "": not set beside reason`},
		{"openconnect", "VPNGATEWAY=vpn.example.net", "not an IP address"},
		{"openconnect", "VPNGATEWAY=127.0.0.1", "loopback"},
		{"openconnect", "VPNPID=0", "not a number from 1 to 4194304"},
		{"openconnect", "INTERNAL_IP4_ADDRESS=::1", "loopback"},
		{"openconnect", "INTERNAL_IP4_NETMASK=0.0.0.0", "a link of all addresses"},
		{"openconnect", "INTERNAL_IP4_MTU=1", "not a number from 68 to 65535"},
		{"openconnect", "INTERNAL_IP4_DNS=192.0.2.33; $(touch x)", `"192.0.2.33;": not an IP address`},
		{"openconnect", "INTERNAL_IP4_DNS=127.0.0.53", "loopback"},
		{"openconnect", "CISCO_DEF_DOMAIN=a.example `id`", "holds byte 0x60"},
		{"openconnect", "CISCO_SPLIT_DNS=a.example,$(id).example", "holds byte 0x24"},
		{"openconnect", "CISCO_SPLIT_INC_0_ADDR=203.0.113.128", "CISCO_SPLIT_INC_0_MASKLEN \"\": not set beside"},
		{"openconnect", "CISCO_SPLIT_INC_0_ADDR=x", "not an IPv4 network"},
		{"openconnect", "CISCO_IPV6_SPLIT_INC_0_ADDR=fe80::%1", "not an IPv6 network"},
		{"vpnc", "VPNGATEWAY=0.0.0.0", "unspecified"},
		{"networkmanager", "VPN_IP_IFACE=tun1", "another device than in the arguments"},
		{"networkmanager", "VPN_IP_IFACE", "not set beside NM_DISPATCHER_ACTION"},
		{"networkmanager", "VPN_IP4_ADDRESS_0=192.0.2.2 192.0.2.1", "not an address with its prefix length"},
		{"networkmanager", "VPN_IP4_ADDRESS_0=192.0.2.2/0 192.0.2.1", "not an address with its prefix length"},
		{"networkmanager", "VPN_IP4_NAMESERVERS=192.0.2.1 $(id)", `"$(id)": not an IP address`},
		{"networkmanager", "VPN_IP6_DOMAINS=a;b", "holds byte 0x3b"},
		{"networkmanager", "VPN_IP4_ROUTE_0=default", "not a prefix"},
		{"networkmanager", "CONNECTION_FILENAME=a\x1bb", "not a file name"},
		{"strongswan", "PLUTO_PEER=`id`", "not an IP address"},
		{"strongswan", "PLUTO_PEER", "not set beside PLUTO_VERB"},
		{"strongswan", "PLUTO_UDP_ENC=0", "port is not a number"},
		{"strongswan", "PLUTO_MY_SOURCEIP4_1=x", "not an IP address"},
		{"strongswan", "PLUTO_PEER_CLIENT=0.0.0.0", "not a prefix"},
		{"strongswan", "PLUTO_DNS4_1=$(id)", "not an IP address"},
		{"pppd", "IFNAME=ppp1", "another device than in the arguments"},
		{"pppd", "IFNAME=ppp 0", "holds byte 0x20"},
		{"pppd", "PPPD_PID=x", "not a number from"},
		{"pppd", "IPLOCAL=2001:db8::1", "not an IPv4 address"},
		{"pppd", "DNS1=not", "not an IP address"},
		{"ifupdown", "IFACE=a\nb", "holds byte 0x0a"},
		{"networkd-dispatcher", "IFACE=", "empty interface name"},
		{"tinc", "INTERFACE=a/b", "holds byte 0x2f"},
		{"tinc", "REMOTEADDRESS=MYSELF", "not an IP address"},
		{"tinc", "REMOTEADDRESS", "not set beside NODE"},
		{"tinc", "REMOTEPORT=53", "a port of name services"},
		{"tinc", "REMOTEPORT=65536", "port is not a number"},
	} {
		c, err := parse(t, tt.client, hook.CommandUp, "", tt.change)
		var bad *hook.ValueError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %q: %v, want %q", tt.client, tt.change, err, tt.want)
		}
		if c.Dev != "" || c.Carriers() != nil || c.Resolvers != nil {
			t.Errorf("%s with %q: the refused call holds values: %+v", tt.client, tt.change, c)
		}
		for _, end := range []string{"reason=disconnect", "NM_DISPATCHER_ACTION=vpn-down", "PLUTO_VERB=down-client", "CONNECT_TIME=1", "PHASE=post-down", "STATE=off"} {
			key, _, _ := strings.Cut(end, "=")
			if m := minimal[tt.client]; !strings.Contains(m.env, key+"=") && !(key == "CONNECT_TIME" && tt.client == "pppd") {
				continue
			}
			if c, err := parse(t, tt.client, hook.CommandDown, "", tt.change, end); err != nil {
				t.Errorf("%s with %q and %q fails: %v", tt.client, tt.change, end, err)
			} else {
				checkCall(t, c)
			}
		}
	}
}

func TestEventOfEachClient(t *testing.T) {
	for _, tt := range []struct {
		client  string
		command hook.Command
		args    string
		changes string
		want    string // event, cause
	}{
		{"openconnect", hook.CommandDown, "", "", "up "}, // the reason wins over the command
		{"openconnect", hook.CommandUp, "", "reason=disconnect", "restart disconnect"},
		{"openconnect", hook.CommandUp, "", "reason=of-a-later-version", "ignore "},
		{"openconnect", hook.CommandUp, "", "reason=attempt-reconnect", "restart attempt-reconnect"},
		{"openconnect", hook.CommandUp, "", "reason=reconnect", "up "},
		{"networkmanager", hook.CommandDown, "", "", "up "},
		{"networkmanager", hook.CommandUp, "", "NM_DISPATCHER_ACTION=vpn-pre-down", "stop vpn-pre-down"},
		{"networkmanager", hook.CommandUp, "", "NM_DISPATCHER_ACTION=vpn-down", "restart vpn-down"},
		{"networkmanager", hook.CommandUp, "", "NM_DISPATCHER_ACTION=dns-change", "ignore "},
		{"networkmanager", hook.CommandUp, "eth0|up", "NM_DISPATCHER_ACTION=up", "routes "},
		{"networkmanager", hook.CommandUp, "eth0|up", "NM_DISPATCHER_ACTION=up|CONNECTION_EXTERNAL=1", "ignore "},
		{"networkmanager", hook.CommandUp, "eth0|pre-down", "NM_DISPATCHER_ACTION=pre-down|CONNECTION_EXTERNAL=1", "ignore "},
		{"strongswan", hook.CommandDown, "", "PLUTO_VERB=up-host-v6", "up "},
		{"strongswan", hook.CommandUp, "", "PLUTO_VERB=down-host-v6", "restart down-host-v6"},
		{"strongswan", hook.CommandUp, "", "PLUTO_VERB=route-client", "ignore "},
		{"pppd", hook.CommandDown, "", "", "restart unknown"},
		{"pppd", hook.CommandUp, "", "CONNECT_TIME=3", "restart unknown"},
		{"pppd", hook.CommandUp, "ppp0|vpnsrv|root||38400", "", "ignore "},
		{"pppd", hook.CommandUp, "ppp0|/dev/ttyUSB0|115200|192.0.2.2|192.0.2.1", "", "ignore "},
		{"pppd", hook.CommandUp, "ppp0|/dev/pts/3|0|192.0.2.2|192.0.2.1", "", "up "},
		{"pppd", hook.CommandUp, "", "DEVICE=eth0", "ignore "},
		{"wg-quick", hook.CommandUp, "", "", "routes "},
		{"wg-quick", hook.CommandDown, "", "", "stop wg-quick"},
		{"ifupdown", hook.CommandUp, "", "PHASE=pre-up", "ignore "},
		{"ifupdown", hook.CommandUp, "", "PHASE=pre-down", "ignore "},
		{"ifupdown", hook.CommandUp, "", "PHASE=post-down", "stop post-down"},
		{"ifupdown", hook.CommandUp, "", "METHOD=NetworkManager", "ignore "},
		{"ifupdown", hook.CommandUp, "", "METHOD=loopback", "ignore "},
		{"ifupdown", hook.CommandUp, "", "IFACE=--all", "ignore "},
		{"networkd-dispatcher", hook.CommandDown, "", "", "routes "},
		{"networkd-dispatcher", hook.CommandDown, "", "STATE=off", "restart off"},
		{"networkd-dispatcher", hook.CommandDown, "", "STATE=carrier", "ignore "},
		{"tinc", hook.CommandUp, "", "", "endpoint "},
		{"tinc", hook.CommandDown, "", "", "ignore "},
		{"tinc", hook.CommandUp, "", "SUBNET=192.0.2.0/24", "ignore "},
		{"tinc", hook.CommandUp, "", "NODE|REMOTEADDRESS|REMOTEPORT", "up "},
		{"tinc", hook.CommandDown, "", "NODE|REMOTEADDRESS|REMOTEPORT", "stop tinc-down"},
	} {
		var changes []string
		if tt.changes != "" {
			changes = strings.Split(tt.changes, "|")
		}
		c, err := parse(t, tt.client, tt.command, tt.args, changes...)
		if got := fmt.Sprint(c.Event, " ", c.Cause); err != nil || got != tt.want || c.Client != tt.client {
			t.Errorf("%s, command %d, %q %q: %q %s (%v), want %q", tt.client, tt.command, tt.args, tt.changes, got, c.Client, err, tt.want)
		}
	}
}

// Of two kinds of evidence the one that is not inherited counts.
func TestNearestClientHasTheCall(t *testing.T) {
	ifupdown := strings.Split(minimal["ifupdown"].env, "|")
	openconnect := strings.Split(minimal["openconnect"].env, "|")
	for _, tt := range []struct {
		name string
		env  []string
		comm string
		want string
	}{
		{"ifupdown starts wg-quick", ifupdown, "wg-quick", "wg-quick"},
		{"and a fork of it", ifupdown, "awg-quick", "wg-quick"},
		{"ifupdown starts openconnect", append(ifupdown, openconnect...), "openconnect", "openconnect"},
		{"openconnect before 9.0", changed(openconnect, []string{"VPNPID"}), "openconnect", "openconnect"},
		{"vpnc", changed(openconnect, []string{"VPNPID"}), "vpnc", "vpnc"},
	} {
		c, err := hook.Parse(hook.CommandUp, tt.env, []string{"tun0"}, hook.Parent{Comm: tt.comm})
		if err != nil || c.Client != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, c.Client, err, tt.want)
		}
	}
}

func TestCiscoServersProveASplitTunnelByFamily(t *testing.T) {
	v4 := []string{"CISCO_SPLIT_INC=1", "CISCO_SPLIT_INC_0_ADDR=203.0.113.130", "CISCO_SPLIT_INC_0_MASKLEN=25"}
	v6 := []string{"CISCO_IPV6_SPLIT_INC=1", "CISCO_IPV6_SPLIT_INC_0_ADDR=2001:db8:b::", "CISCO_IPV6_SPLIT_INC_0_MASKLEN=48"}
	addr6 := "INTERNAL_IP6_ADDRESS=2001:db8:8::2"
	for _, tt := range []struct {
		name   string
		env    []string
		want   hook.Redirect
		routes string
	}{
		{"nothing is included", nil, hook.RedirectAll, "[]"},
		{"one network", v4, hook.RedirectNone, "[203.0.113.128/25]"},
		{"IPv4 split and IPv6 not", append([]string{addr6}, v4...), hook.RedirectAll, "[203.0.113.128/25]"},
		{"both split", append(append([]string{addr6}, v4...), v6...), hook.RedirectNone, "[203.0.113.128/25 2001:db8:b::/48]"},
		{"IPv6 alone is split", append([]string{addr6}, v6...), hook.RedirectAll, "[2001:db8:b::/48]"},
		{"all is included", append(v4, "CISCO_SPLIT_INC_1_ADDR=0.0.0.0", "CISCO_SPLIT_INC_1_MASKLEN=0"), hook.RedirectAll, "[203.0.113.128/25 0.0.0.0/0]"},
		{"the server excludes everything", []string{"CISCO_SPLIT_EXC=1", "CISCO_SPLIT_EXC_0_ADDR=0.0.0.0", "CISCO_SPLIT_EXC_0_MASKLEN=0"}, hook.RedirectAll, "[]"},
		{"the server itself", []string{"CISCO_SPLIT_INC=1", "CISCO_SPLIT_INC_0_ADDR=203.0.113.5", "CISCO_SPLIT_INC_0_MASKLEN=32"}, hook.RedirectNone, "[]"},
		{"the count lies", append([]string{"CISCO_SPLIT_INC=7"}, v4[1:]...), hook.RedirectNone, "[203.0.113.128/25]"},
	} {
		c, err := parse(t, "openconnect", hook.CommandUp, "", tt.env...)
		if err != nil || c.Redirect != tt.want || fmt.Sprint(c.Routes) != tt.routes {
			t.Errorf("%s: %v %v, %v, want %v %s", tt.name, c.Redirect, c.Routes, err, tt.want, tt.routes)
		}
		if c.Splits() != (tt.want == hook.RedirectNone) {
			t.Errorf("%s: splits %v", tt.name, c.Splits())
		}
	}
}

func TestIPParamMayCarryEndpoints(t *testing.T) {
	for param, want := range map[string]string{
		"203.0.113.5:22/tcp":                        "203.0.113.5:22/tcp",
		"203.0.113.5:22/tcp,[2001:db8::5]:443/udp":  "203.0.113.5:22/tcp [2001:db8::5]:443/udp",
		"vpn.example.net:443/tcp":                   "vpn.example.net",
		"203.0.113.5":                               "",
		"work":                                      "",
		"two words; $(id)":                          "",
		"203.0.113.5:22/tcp;id,203.0.113.6:1/udp x": "",
		"": "",
	} {
		c, err := parse(t, "pppd", hook.CommandUp, "ppp0||38400|192.0.2.2|192.0.2.1|"+param)
		var got []string
		for _, e := range c.Carriers() {
			got = append(got, e.String())
		}
		for _, n := range c.Names() {
			got = append(got, n.Host)
		}
		if s := strings.Join(got, " "); err != nil || s != want {
			t.Errorf("%q: %q, %v, want %q", param, s, err, want)
		}
	}
	// xl2tpd gives the address alone; L2TP has no speed.
	c, err := parse(t, "pppd", hook.CommandUp, "ppp0||0|192.0.2.2|192.0.2.1|203.0.113.5", "SPEED")
	if got := fmt.Sprint(c.Carriers(), err); got != "[203.0.113.5:1701/udp] <nil>" {
		t.Error(got)
	}
}

// A wire must come up whatever a DHCP server or its own options say.
func TestWiresNeverFailByTheirValues(t *testing.T) {
	for client, changes := range map[string][]string{
		"ifupdown":       {"IF_DNS_NAMESERVERS=$(id) 192.0.2.66", "IF_MTU=9", "IF_DNS_SEARCH=a..b"},
		"networkmanager": {"NM_DISPATCHER_ACTION=up", "DEVICE_IP_IFACE=tun0", "IP4_DOMAINS=$(id)", "IP4_NAMESERVERS=x", "IP4_ADDRESS_0=y", "IP4_ROUTE_0=z"},
	} {
		c, err := parse(t, client, hook.CommandUp, "", changes...)
		if err != nil || !c.AnyDevice || c.SearchDomains != nil || c.Routes != nil {
			t.Errorf("%s: %+v, %v", client, c, err)
		}
	}
}
