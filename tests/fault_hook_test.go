package tests

import (
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// OpenVPN hands `setenv` lines to its scripts, so the hooks get their fault.
func (s *faultScene) client(fault string) openvpn.Client {
	c := openvpn.Client{Remotes: remotes(openvpn.Server{})}
	if fault != "" {
		c.Extra = []string{"setenv VPNGUARD_FAULT " + fault}
	}
	return c
}

func newHookFaultScene(t *testing.T) *faultScene {
	t.Helper()
	s := &faultScene{scene: newSceneFor(t, "faultpoints", 4*sceneTime)}
	s.serve(openvpn.Server{})
	s.before = s.snapshot()
	s.leaks()
	return s
}

// A hook that is killed fails, so that OpenVPN gives up and its tunnel goes.
func TestOpenVPNWhoseUpHookIsKilledLeavesTheHostUntouchedOrClosed(t *testing.T) {
	t.Parallel()
	s := newHookFaultScene(t)
	for _, at := range []struct {
		point  point
		closed bool
	}{
		{point{"up.start", 1}, false}, {point{"state.save.after-rename", 1}, false}, {point{"nft.commit.before", 1}, false},
		{point{"nft.commit.after", 1}, true}, {point{"sysctl.write.after", 3}, true}, {point{"up.hardened", 1}, true}, {point{"up.done", 1}, true},
	} {
		when := "up hook killed at " + at.point.String()
		p := s.start(s.client("kill:" + at.point.String()))
		code, err := p.Wait(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if log := p.Log(); code == 0 || strings.Contains(log, openvpn.Completed) || !strings.Contains(log, "did not exit normally") {
			t.Errorf("%s: openvpn ends with %d:\n%s", when, code, log)
		}
		if at.closed {
			s.closed(when)
		} else {
			s.untouched(when)
		}
		s.recovered(when)
		s.worksAfter(when)
	}
}

func TestOpenVPNWhoseDownHookIsKilledStaysClosedUntilTheRulesGo(t *testing.T) {
	t.Parallel()
	s := newHookFaultScene(t)
	for _, at := range []struct {
		point  point
		closed bool
	}{
		{point{"down.start", 1}, true}, {point{"down.recorded", 1}, true}, {point{"down.restored", 1}, true},
		{point{"down.opened", 1}, false}, {point{"state.remove.after", 1}, false}, {point{"down.done", 1}, false},
	} {
		when := "down hook killed at " + at.point.String()
		p := s.connect(s.client("kill:" + at.point.String()))
		s.says(when+" later", "sealed", 0)
		if _, err := p.Stop(s.ctx); err != nil {
			t.Fatal(err)
		}
		if log := p.Log(); !strings.Contains(log, "did not exit normally") {
			t.Errorf("%s: its hook was not killed:\n%s", when, log)
		}
		if at.closed {
			s.closed(when)
		} else {
			s.untouched(when)
		}
		s.recovered(when)
		s.worksAfter(when)
	}
}

// worksAfter demands that the next connection is as good as the first.
func (s *faultScene) worksAfter(when string) {
	s.Helper()
	p := s.connect(s.client(""))
	s.says(when+", recovered and connected", "sealed", 0)
	if _, err := p.Stop(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.original(when + ", recovered, connected and stopped")
}
