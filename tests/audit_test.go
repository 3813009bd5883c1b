package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
)

// auditReport is what these tests read of an audit's report.
type auditReport struct {
	Outcome struct {
		Status  string   `json:"status"`
		Reasons []string `json:"reasons"`
	} `json:"outcome"`
	Results []struct {
		ID      string   `json:"id"`
		Variant string   `json:"variant"`
		Verdict string   `json:"verdict"`
		Fired   bool     `json:"fired"`
		Reasons []string `json:"reasons"`
		Runs    []struct {
			Phase    string `json:"phase"`
			Timeline *struct {
				Leaked int `json:"leaked"`
			} `json:"timeline"`
		} `json:"runs"`
	} `json:"results"`
}

// audit runs `vpnguard audit lab` and reads its report.
func audit(t *testing.T, wantExit int, args ...string) (r auditReport) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t, ""), append([]string{"audit", "lab", "--format", "json", "--seed", "7"}, args...)...)
	var out, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &message
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != wantExit {
		t.Errorf("%q: exit %d, want %d\n%s", args, code, wantExit, message.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%q: %v\n%s\n%s", args, err, out.String(), message.String())
	}
	return r
}

// audited has one of each laboratory, and of each way to judge.
var audited = []string{
	"port-fail", "bind-to-device", "af-packet", "l2-chatter", "dns-lan-resolver", "dns-third-party-in-tunnel", "weak-host-v4", "inject-oracle", "dhcp-opt121",
	"ra-rogue-default", "endpoint-v6-unsealed", "dns-endpoint-lookup", "forward-container", "macvlan-ipvlan", "bridged-uplink", "accept-shadowing",
	"client-crash", "pre-tunnel-window", "established-survivor", "ruleset-flush", "hotplug-uplink", "v4-mapped",
}

// The audit of the own tunnel: with its guard nothing leaks, and each control
// leaks without it. The whole of it is `make audit`.
func TestAnAuditOfTheOwnTunnelFindsNothingAndEachControlLeaks(t *testing.T) {
	t.Parallel()
	bundle := filepath.Join(t.TempDir(), "bundle")
	r := audit(t, 0, "--only", strings.Join(audited, ","), "--output", bundle)
	tested := map[string]bool{}
	for _, x := range r.Results {
		if !slices.Contains(audited, x.ID) {
			continue
		}
		if x.Verdict != "pass" || !x.Fired {
			t.Errorf("%s/%s: %s, control leaks: %t: %q", x.ID, x.Variant, x.Verdict, x.Fired, x.Reasons)
		}
		tested[x.ID] = true
		for _, run := range x.Runs {
			if run.Timeline != nil && (run.Timeline.Leaked > 0) != (run.Phase == "control") {
				t.Errorf("%s/%s, %s: %d datagrams of the stream leaked", x.ID, x.Variant, run.Phase, run.Timeline.Leaked)
			}
		}
	}
	if len(tested) != len(audited) || r.Outcome.Status != "clean" {
		t.Errorf("%d of %d were tested; %s: %q", len(tested), len(audited), r.Outcome.Status, r.Outcome.Reasons)
	}
	if files, err := filepath.Glob(filepath.Join(bundle, "*", "*.pcapng")); err != nil || len(files) < len(audited) {
		t.Errorf("the bundle has %d captures: %v", len(files), err)
	}
}

// Without a guard the same tunnel leaks, and only the harmless probe passes.
func TestAnAuditWithoutAGuardFindsEachLeak(t *testing.T) {
	t.Parallel()
	r := audit(t, 3, "--guard", "none", "--only", "port-fail,dns-lan-resolver,weak-host-v4,inject-oracle,dhcp-opt121,client-crash,v4-mapped")
	for _, x := range r.Results {
		switch {
		case x.Verdict == "not-tested":
		case x.Variant == "negative control":
			if x.Verdict != "pass" {
				t.Errorf("a harmless probe is %s: %q", x.Verdict, x.Reasons)
			}
		case x.Verdict != "leak" && x.Verdict != "exposed":
			t.Errorf("%s/%s is %s: %q", x.ID, x.Variant, x.Verdict, x.Reasons)
		}
	}
}

// What cannot be proved is never a pass.
func TestABrokenAuditIsInconclusive(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]string{
		"capture": "the capture ended", "probe": "run probe", "tunnel": "the tunnel does not carry", "drops": "frames were lost",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			r := audit(t, 6, "--fault", fault, "--only", "port-fail")
			for _, x := range r.Results {
				if x.ID == "port-fail" && (x.Verdict != "inconclusive" || !strings.Contains(strings.Join(x.Reasons, " "), want)) {
					t.Errorf("%s: %q", x.Verdict, x.Reasons)
				}
			}
		})
	}
}

// Where no namespace can be made there is no laboratory, and no verdict either.
func TestAnAuditWithoutNamespacesIsRefused(t *testing.T) {
	t.Parallel()
	// The limit is of a user namespace of its own.
	cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "sh", "-c",
		"echo 0 > /proc/sys/user/max_user_namespaces && exec "+binary(t, "")+" audit lab --only port-fail")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 || !strings.Contains(string(out), "no laboratory of namespaces can be made here") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Two audits run beside each other, and one that is ended leaves nothing.
func TestAnAuditThatIsEndedLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			// A copy with a name of its own, to find what it leaves.
			exe := filepath.Join(lab.WorkDir, fmt.Sprintf("ended-%d", int(s)), "vpnguard")
			data, err := os.ReadFile(binary(t, ""))
			if err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(exe), 0o755), os.WriteFile(exe, data, 0o755))
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			bundle := filepath.Join(dir, "bundle")
			cmd := exec.CommandContext(t.Context(), exe, "audit", "lab", "--output", bundle)
			cmd.Env = append(os.Environ(), "VPNGUARD_TEST_ENDED="+exe)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Its laboratories run when there are that many processes.
			for end := time.Now().Add(time.Minute); len(marked(exe)) < 12; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d processes of the audit run", len(marked(exe)))
				}
			}
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it ended as if all were done")
			}
			for end := time.Now().Add(time.Minute); len(marked(exe)) > 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("processes %q are left", marked(exe))
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("files are left: %v, %v", left, err)
			}
		})
	}
}

// marked are the processes that have a mark in their environment. Namespaces end
// with their last process.
func marked(exe string) (pids []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		if env, err := os.ReadFile(filepath.Join(d, "environ")); err == nil && bytes.Contains(env, []byte("VPNGUARD_TEST_ENDED="+exe+"\x00")) {
			pids = append(pids, filepath.Base(d))
		}
	}
	return pids
}
