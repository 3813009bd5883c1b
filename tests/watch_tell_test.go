package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What was blocked, by whom and for which reason: to a person, to a follower
// and to a collector of metrics.
func TestGuardianTellsWhatItBlocks(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	s.must(0, "lock")
	socket := s.lab.Dir + "/metrics"
	s.watch("--metrics", "unix:"+socket)
	follow := s.lab.Client.Command(s.ctx, s.exe, "blocked", "--follow", "--json")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		_ = follow.Process.Kill()
		_ = follow.Wait()
	})
	type event struct {
		Rule, Dst, Protocol, Out string
		DstPort                  uint16 `json:"dst_port"`
		UID                      *int
	}
	var seen event
	s.until("the follower is told", func() bool {
		s.closed([]string{"dns-udp-lan"})
		for {
			select {
			case line := <-lines:
				var e event
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if e.Rule == "out-dns-udp" {
					seen = e
					return true
				}
			case <-time.After(200 * time.Millisecond):
				return false
			}
		}
	})
	if seen.Dst != "192.168.1.1" || seen.DstPort != 53 || seen.Protocol != "udp" || seen.UID == nil || *seen.UID != s.user || seen.Out != "eth0" {
		t.Errorf("told: %+v", seen)
	}
	s.closed([]string{"udp-public", "tcp-public"})

	text, _ := s.must(0, "status")
	for _, want := range []string{
		"state     locked for", "enforced  yes", "lock      no endpoint", "guardian  pid",
		fmt.Sprintf("udp to 192.168.1.1:53 by uid %d", s.user), "rule out-dns-udp in the last 10m0s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n > 12 {
		t.Errorf("status has %d lines:\n%s", n, text)
	}

	metrics := s.scrape(socket)
	for _, want := range []string{`vpnguard_state{vpnguard_state="locked"} 1`, "vpnguard_enforced 1", `vpnguard_blocked_packets_total{chain="output",rule="out-dns-udp"}`, "# EOF"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics do not say %q:\n%s", want, metrics)
		}
	}
	// The follower's end is no failure of the guardian's.
	_ = follow.Process.Kill()
	_, _ = follow.Process.Wait()
	if v := s.guardian(); !v.Running {
		t.Error("the guardian is gone")
	}
}

// scrape reads the metrics as a collector does. The socket is in a directory that
// the test shares with the client.
func (s *scene) scrape(socket string) string {
	s.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	res, err := client.Get("http://guardian/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/openmetrics-text") {
		s.Fatalf("%s: %v: %s", res.Status, err, text)
	}
	return string(text)
}
