package nft_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// envWithout marks the copy of the test that runs without CAP_NET_ADMIN.
const envWithout = "VPNGUARD_TEST_WITHOUT_NET_ADMIN"

func TestEveryCallWithoutNetAdminIsNotPermitted(t *testing.T) {
	if os.Getenv(envWithout) == "" {
		conn := open(t)
		if _, err := conn.Replace(build(t, policy())); err != nil {
			t.Fatal(err)
		}
		before := listed(t)
		for _, drop := range [][]string{
			{"--bounding-set", "-net_admin", "--inh-caps", "-net_admin"},
			{"--reuid", "1000", "--regid", "1000", "--clear-groups"},
		} {
			if lab.SingleUID() && drop[0] == "--reuid" {
				continue // there is no other uid
			}
			// The test binary lies where only its owner may go; the laboratory keeps a copy for all.
			cmd := exec.Command("setpriv", append(drop, "--", lab.WorkDir+"/.self", "-test.run", "^"+t.Name()+"$", "-test.v")...)
			cmd.Env, cmd.Dir = append(os.Environ(), envWithout+"=1"), "/"
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "tried without CAP_NET_ADMIN") {
				t.Errorf("%v: %v\n%s", drop, err, out)
			}
		}
		if listed(t) != before {
			t.Error("the rules changed")
		}
		return
	}
	if caps := effective(t); caps>>12&1 != 0 {
		t.Fatalf("CAP_NET_ADMIN is in %x", caps)
	}
	conn, err := nft.Open()
	if err != nil {
		t.Fatalf("Open needs no privilege: %v", err)
	}
	defer conn.Close()
	_, errReplace := conn.Replace(build(t, policy()))
	_, errList := conn.List()
	_, errForeign := conn.Foreign()
	for name, err := range map[string]error{"Replace": errReplace, "List": errList, "Foreign": errForeign, "Remove": conn.Remove()} {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %v is not os.ErrPermission", name, err)
		}
		var unsupported *nft.UnsupportedError
		if errors.As(err, &unsupported) {
			t.Errorf("%s: want of privilege is taken for want of a feature: %v", name, err)
		}
	}
	for _, s := range conn.Probe() {
		if !errors.Is(s.Err, os.ErrPermission) {
			t.Errorf("Probe %s: %v", s.Token, s.Err)
		}
	}
	if _, err := conn.Replace(rules.Ruleset{}); err == nil {
		t.Error("replacing by nothing succeeds")
	}
	t.Log("tried without CAP_NET_ADMIN")
}

func effective(t *testing.T) uint64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(status), "CapEff:\t")
	if !ok {
		t.Fatal("no CapEff")
	}
	return hex(t, strings.Fields(after)[0])
}
