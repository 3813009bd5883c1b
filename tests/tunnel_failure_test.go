package tests

import (
	"os"
	"strings"
	"testing"
	"time"
)

// A server that does not answer: the host stays closed, or is given back, as the
// user chose. A host that was left closed is not opened by a try that fails.
func TestTunnelWithoutAnAnswerLeavesTheHostAsTheUserChose(t *testing.T) {
	s := newTunnelScene(t)
	configure := func(preUp string) {
		t.Helper()
		s.configureTunnel(allowedSplit, "PreUp = echo preup >> /run/hooks"+preUp, "PostUp = echo postup >> /run/hooks", "PreDown = echo predown >> /run/hooks", "PostDown = ip link show %i || echo postdown >> /run/hooks")
	}
	configure("")
	before := s.snapshot()
	if err := s.lab.Server.Script(s.ctx, "ip link set eth0 down\n"); err != nil {
		t.Fatal(err)
	}
	why := "no peer answered within 200ms; "
	try := func(want string, args ...string) {
		t.Helper()
		hooks := s.lab.Client.Path("/run/hooks")
		_ = os.Remove(hooks)
		_, said, code := s.vpnguard(append([]string{"tunnel", "up", s.conf, "--wait", "200ms", "--allow-hooks"}, args...)...)
		if code != 1 || !strings.Contains(said, `bring tunnel "own0" up: `+why+want) {
			t.Errorf("tunnel up %q: exit %d:\n%s", args, code, said)
		}
		s.vanishes()
		// What PreUp did is undone, however far it came; what was never up does not go down.
		if text, err := os.ReadFile(hooks); err != nil || string(text) != "preup\npostdown\n" {
			t.Errorf("the file's commands: %v, %q", err, text)
		}
	}
	try("the host is as it was before: open", "--on-failure", "restore")
	s.gone(before)
	// Before the first handshake as after it.
	tight := make(chan struct{})
	go func() {
		defer close(tight)
		for len(s.processes("engine")) == 0 && s.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		s.state("connecting")
		s.tunnelIsTight("before the first handshake and after a try that failed")
	}()
	try("the tunnel is down and the host is closed: `vpnguard tunnel down own0` opens it")
	<-tight
	try("the tunnel is down and the host is closed", "--on-failure", "restore")
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
	configure("; false")
	why = "PreUp of line 4: exit status 1; "
	try("the tunnel is down and the host is closed")
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
}
