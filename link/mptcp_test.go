package link

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestMPTCPEndpointsAreRead(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if _, err := os.Stat("/proc/sys/net/mptcp/enabled"); err != nil {
		t.Fatalf("this kernel has no MPTCP: %v", err)
	}
	h := handle(t)
	got, err := MPTCP(h)
	if err != nil || len(got) != 0 {
		t.Fatalf("without an endpoint: %v, %v", got, err)
	}
	for _, args := range [][]string{
		{"mptcp", "endpoint", "add", "192.168.1.101", "subflow"}, {"mptcp", "endpoint", "add", "2001:db8:1::101", "signal"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	got, err = MPTCP(h)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{netip.MustParseAddr("192.168.1.101"), netip.MustParseAddr("2001:db8:1::101")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}
