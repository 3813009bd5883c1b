package hook_test

import (
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/hook"
)

// events say what each captured call means, by the name of the hook that the
// capture program stood in for. The name is not part of the call: it is the
// witness beside the want parts.
var events = map[string]map[string]hook.Event{
	"openconnect": vpncEvents,
	"vpnc":        vpncEvents,
	"wg-quick": {
		"pre-up": hook.EventRoutes, "post-up": hook.EventRoutes, "post-up2": hook.EventRoutes,
		"pre-down": hook.EventStop, "post-down": hook.EventStop,
	},
	"pppd": {
		"ip-pre-up": hook.EventUp, "ip-up": hook.EventUp, "ipv6-up": hook.EventUp,
		"ip-down": hook.EventRestart, "ipv6-down": hook.EventRestart,
		"auth-up": hook.EventIgnore, "auth-down": hook.EventIgnore,
	},
	"networkmanager": {
		"vpn-pre-up": hook.EventUp, "vpn-up": hook.EventRoutes, "vpn-pre-down": hook.EventStop, "vpn-down": hook.EventRestart,
		"pre-up": hook.EventUp, "up": hook.EventRoutes, "pre-down": hook.EventStop, "down": hook.EventRestart,
		"hostname": hook.EventIgnore, "connectivity-change": hook.EventIgnore, "dhcp4-change": hook.EventIgnore,
	},
	"strongswan": {
		"up-client": hook.EventUp, "up-client-v6": hook.EventUp,
		"down-client": hook.EventRestart, "down-client-v6": hook.EventRestart,
	},
	"ifupdown": {
		"iface-pre-up": hook.EventIgnore, "if-pre-up.d": hook.EventIgnore, "iface-up": hook.EventUp, "if-up.d": hook.EventUp,
		"if-down.d": hook.EventIgnore, "iface-down": hook.EventIgnore, "if-post-down.d": hook.EventStop, "iface-post-down": hook.EventStop,
	},
	"networkd-dispatcher": {
		"configuring": hook.EventIgnore, "carrier": hook.EventIgnore, "degraded": hook.EventIgnore,
		"routable": hook.EventRoutes, "configured": hook.EventIgnore, "off": hook.EventRestart,
	},
	"tinc": {
		"tinc-up": hook.EventUp, "host-up": hook.EventEndpoint, "hosts-gw-up": hook.EventEndpoint, "subnet-up": hook.EventIgnore,
		"tinc-down": hook.EventStop, "host-down": hook.EventIgnore, "hosts-gw-down": hook.EventIgnore, "subnet-down": hook.EventIgnore,
	},
}

var vpncEvents = map[string]hook.Event{
	"pre-init": hook.EventIgnore, "connect": hook.EventUp, "attempt-reconnect": hook.EventRestart,
	"reconnect": hook.EventUp, "disconnect": hook.EventRestart,
}

func checkAgainstName(t *testing.T, c captured, call hook.Call) {
	t.Helper()
	name := strings.TrimSuffix(c.hook(), ".no-wait")
	name = strings.TrimPrefix(strings.TrimPrefix(name, "after-vpnc-script-"), "run-parts-")
	want, ok := events[c.client][name]
	switch {
	case !ok:
		t.Errorf("%s: no event is expected of %q", c.name, name)
	case c.client == "pppd" && strings.Contains(strings.Join(c.args, "|"), "|eth0|"), // PPPoE is the wire
		strings.Contains(strings.Join(c.env, "\n"), "CONNECTION_EXTERNAL=1"): // told by vpn-* already
		want = hook.EventIgnore
	}
	if call.Event != want {
		t.Errorf("%s: event %v, want %v", c.name, call.Event, want)
	}
	if call.Client != c.client {
		t.Errorf("%s: client %q", c.name, call.Client)
	}
}
