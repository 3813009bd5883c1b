package hook_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/hook"
)

// env is a minimal valid environment of OpenVPN, changed by "KEY=VALUE" and,
// to unset one, "KEY".
func env(changes ...string) []string {
	set := []string{
		"script_type=up", "dev=tun0", "daemon_pid=4711", "config=work.conf",
		"remote_1=203.0.113.5", "remote_port_1=1194", "proto_1=udp",
		"trusted_ip=203.0.113.5", "trusted_port=1194",
	}
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

func TestEventFollowsScriptTypeNotCommand(t *testing.T) {
	tests := []struct {
		kind string
		want hook.Event
	}{
		{"up", hook.EventUp},
		{"ipchange", hook.EventEndpoint},
		{"route-up", hook.EventRoutes},
		{"down", hook.EventRestart},
		{"route-pre-down", hook.EventIgnore},
		{"tls-verify", hook.EventIgnore},
		{"auth-user-pass-verify", hook.EventIgnore},
		{"learn-address", hook.EventIgnore},
		{"dns-updown", hook.EventIgnore},
		{"of-a-later-version", hook.EventIgnore},
		{"", hook.EventIgnore},
	}
	for _, tt := range tests {
		for _, command := range []hook.Command{hook.CommandUp, hook.CommandDown} {
			c, err := hook.Parse(command, env("script_type="+tt.kind), nil, hook.Parent{})
			if err != nil || c.Event != tt.want {
				t.Errorf("script_type %q, command %d: %v, %v, want %v", tt.kind, command, c.Event, err, tt.want)
			}
		}
	}
}

func TestOnlyLocalStopOpens(t *testing.T) {
	tests := []struct {
		signal string
		want   hook.Event
		cause  string
	}{
		{"signal=sigterm", hook.EventStop, "sigterm"},
		{"signal=sigint", hook.EventStop, "sigint"},
		{"signal=exit-with-notification", hook.EventRestart, "exit-with-notification"},
		{"signal=inactive", hook.EventRestart, "inactive"},
		{"signal=ping-exit", hook.EventRestart, "ping-exit"},
		{"signal=server-pushed-halt", hook.EventRestart, "server-pushed-halt"},
		{"signal=sigusr1", hook.EventRestart, "sigusr1"},
		{"signal=sighup", hook.EventRestart, "sighup"},
		{"signal=ping-restart", hook.EventRestart, "ping-restart"},
		{"signal=connection-reset", hook.EventRestart, "connection-reset"},
		{"signal=server-pushed-connection-reset", hook.EventRestart, "server-pushed-connection-reset"},
		{"signal=server_poll", hook.EventRestart, "server_poll"},
		{"signal=UNKNOWN", hook.EventRestart, "UNKNOWN"},
		{"signal", hook.EventRestart, "unknown"},
		{"signal=", hook.EventRestart, "unknown"},
		{"signal=SIGTERM", hook.EventRestart, "unknown"},
		{"signal=sigterm ", hook.EventRestart, "unknown"},
		{"signal=sigterm;reboot", hook.EventRestart, "unknown"},
		{"signal=sigterm\nsigterm", hook.EventRestart, "unknown"},
		{"signal=of-a-later-version", hook.EventRestart, "of-a-later-version"},
		{"signal=" + strings.Repeat("a", 64), hook.EventRestart, strings.Repeat("a", 64)},
		{"signal=" + strings.Repeat("a", 65), hook.EventRestart, "unknown"},
	}
	for _, tt := range tests {
		c, err := hook.Parse(hook.CommandDown, env("script_type=down", tt.signal), nil, hook.Parent{})
		if err != nil || c.Event != tt.want || c.Cause != tt.cause {
			t.Errorf("%q: %v %q %v, want %v %q", tt.signal, c.Event, c.Cause, err, tt.want, tt.cause)
		}
	}
}

func TestKeptDeviceIsNeverAStop(t *testing.T) {
	args := strings.Fields("tun0 1500 0 192.0.2.2 255.255.255.192 restart")
	for name, in := range map[string]struct {
		env  []string
		args []string
	}{
		"environment": {env("script_type=down", "signal=sigterm", "script_context=restart"), nil},
		"arguments":   {env("script_type=down", "signal=sigterm", "script_context=init"), args},
	} {
		c, err := hook.Parse(hook.CommandDown, in.env, in.args, hook.Parent{})
		if err != nil || c.Event != hook.EventRestart || !c.Interim {
			t.Errorf("%s: %v %v %v", name, c.Event, c.Interim, err)
		}
	}
}

func TestCauseIsEmptyWithoutSignalAtUp(t *testing.T) {
	c, err := hook.Parse(hook.CommandUp, env(), nil, hook.Parent{})
	if err != nil || c.Cause != "" {
		t.Errorf("cause %q, %v", c.Cause, err)
	}
}

func TestDownRootPluginIsARestart(t *testing.T) {
	frozen := env("script_type", "script_context=init", "signal=sigterm")
	poor := []string{"LANG=C"}
	tests := []struct {
		name    string
		command hook.Command
		env     []string
		args    []string
		comm    string
		want    bool
	}{
		{"frozen environment", hook.CommandDown, frozen, []string{"my", "arg"}, "", true},
		{"frozen environment below a shell", hook.CommandDown, frozen, nil, "sh", true},
		{"without config", hook.CommandDown, env("script_type", "config"), nil, "", true},
		{"without remotes", hook.CommandDown, env("script_type", "remote_1"), nil, "", true},
		{"only the parent tells", hook.CommandDown, poor, nil, "openvpn", true},
		{"without pid", hook.CommandDown, env("script_type", "daemon_pid"), nil, "", false},
		{"by hand", hook.CommandDown, poor, nil, "bash", false},
		{"by hand, parent unknown", hook.CommandDown, nil, nil, "", false},
		{"the plugin runs nothing at up", hook.CommandUp, frozen, nil, "openvpn", false},
	}
	for _, tt := range tests {
		c, err := hook.Parse(tt.command, tt.env, tt.args, hook.Parent{Comm: tt.comm})
		switch {
		case !tt.want && !errors.Is(err, hook.ErrNotHook):
			t.Errorf("%s: %+v, %v, want ErrNotHook", tt.name, c, err)
		case tt.want && (err != nil || c.Event != hook.EventRestart || c.Cause != "unknown"):
			t.Errorf("%s: %v %q %v", tt.name, c.Event, c.Cause, err)
		}
	}
}

func TestArgumentsTellWhereTheEnvironmentWasCleaned(t *testing.T) {
	tests := []struct {
		name    string
		command hook.Command
		args    string
		want    hook.Event
		ok      bool
	}{
		{"down", hook.CommandDown, "tun0|1500|0|192.0.2.2|255.255.255.192|init", hook.EventRestart, true},
		{"own arguments first", hook.CommandDown, "my|arg|tun0|1500|0|192.0.2.2|192.0.2.1|restart", hook.EventRestart, true},
		{"up", hook.CommandUp, "tun0|1500|0|192.0.2.2|255.255.255.192|init", hook.EventUp, true},
		{"no address", hook.CommandUp, "tap0|1500|0|||init", hook.EventUp, true},
		{"pppd", hook.CommandUp, "ppp0|/dev/pts/3|0|192.0.2.2|192.0.2.1|init", 0, false},
		{"no context", hook.CommandDown, "tun0|1500|0|192.0.2.2|255.255.255.192|stop", 0, false},
		{"hostile device", hook.CommandDown, "tun0;id|1500|0|192.0.2.2|255.255.255.192|init|", 0, false},
		{"too few", hook.CommandDown, "1500|0|192.0.2.2|255.255.255.192|init", 0, false},
	}
	for _, tt := range tests {
		c, err := hook.Parse(tt.command, nil, strings.Split(tt.args, "|"), hook.Parent{})
		if tt.ok {
			if err != nil || c.Event != tt.want || !strings.HasPrefix(c.Dev, "t") {
				t.Errorf("%s: %+v, %v", tt.name, c, err)
			}
		} else if !errors.Is(err, hook.ErrNotHook) {
			t.Errorf("%s: %+v, %v, want ErrNotHook", tt.name, c, err)
		}
	}
}

func TestStrangersAreNotAHook(t *testing.T) {
	for name, environ := range map[string][]string{
		"nothing":        nil,
		"reason":         {"reason=connect"},
		"interface":      {"IFACE=tun0", "INTERFACE=tun0", "NAME=x", "DEVICE=x"},
		"pppd's name":    {"IFNAME=ppp0", "IPLOCAL=192.0.2.1"},
		"pluto's verb":   {"PLUTO_VERB=up-client"},
		"networkd":       {"IFACE=tun0", "STATE=routable"},
		"script_type":    {"script_type=mine"},
		"not assignment": {"script_type", "=up"},
		"a user's own":   {"dev=tun0", "config=x", "remote_1=203.0.113.5"},
	} {
		for _, command := range []hook.Command{hook.CommandUp, hook.CommandDown} {
			if c, err := hook.Parse(command, environ, nil, hook.Parent{Comm: "bash"}); !errors.Is(err, hook.ErrNotHook) {
				t.Errorf("%s: %+v, %v, want ErrNotHook", name, c, err)
			}
		}
	}
}
