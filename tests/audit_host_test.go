package tests

import (
	"strconv"
	"testing"
)

func TestExploreAuditHost(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel("0.0.0.0/0, ::/0", "DNS = 8.8.8.8")
	out, errs, code := s.vpnguard("audit", "host")
	t.Logf("OPEN: exit %d\n%s\n%s", code, out, errs)
	s.up()
	out, errs, code = s.vpnguard("audit", "host")
	t.Logf("SEALED: exit %d\n%s\n%s", code, out, errs)
	peer := "nsenter --net=/proc/" + strconv.Itoa(s.lab.Gateway.PID()) + "/ns/net " + s.exe + " audit witness --interface lan0 --mac {mac}"
	out, errs, code = s.vpnguard("audit", "host", "--peer", peer)
	t.Logf("PEER: exit %d\n%s\n%s", code, out, errs)
}
