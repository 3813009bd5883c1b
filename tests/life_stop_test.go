package tests

import (
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// Between the end of the tunnel and the end of the rules nothing may leave;
// the test holds the state's lock to make that time long.
func TestUserStopOpensTheHostOnlyWhenTheHookSaysSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signal syscall.Signal // zero: SIGTERM
		client openvpn.Client
		cause  string
	}{
		"SIGTERM":     {cause: "sigterm"},
		"SIGINT":      {signal: syscall.SIGINT, cause: "sigint"},
		"persist-tun": {client: openvpn.Client{PersistTun: true}, cause: "sigterm"},
		"up-restart":  {client: openvpn.Client{PersistTun: true, Extra: []string{"up-restart"}}, cause: "sigterm"},
		"up-delay":    {client: openvpn.Client{Extra: []string{"up-delay"}}, cause: "sigterm"},
		"down-pre":    {client: openvpn.Client{Extra: []string{"down-pre"}}, cause: "sigterm"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.signal == 0 {
				c.signal = syscall.SIGTERM
			}
			e := event{client: c.client}
			e.happens = func(l *life) { l.opens(func() { l.signal(c.signal) }) }
			e.test(t, func(l *life) {
				if text := "vpnguard: open: " + c.cause; !strings.Contains(l.client.Log(), text) {
					t.Errorf("no %q in:\n%s", text, l.client.Log())
				}
				l.opened()
			})
		})
	}
}

// A client that sets no routes is sealed as any other: programs that do not
// choose the tunnel themselves reach nothing.
func TestClientWithoutRoutesIsSealedAndRestored(t *testing.T) {
	e := event{client: openvpn.Client{Extra: []string{"route-noexec"}}, routeless: true}
	e.happens = func(l *life) {
		l.away()
		if l.guarded {
			l.is("sealed")
		}
		l.opens(func() { l.signal(syscall.SIGTERM) })
	}
	e.test(t, func(l *life) { l.opened() })
}
